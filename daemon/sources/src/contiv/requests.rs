//! Requests to nodes and to etcd, each on a thread of its own that ends with the request.
//!
//! So a server that hangs delays neither the others nor a stop.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use netplugin_adapter::{DecodeError, Limits, ServiceStats, decode};

use super::discovery::Discovery;
use super::get::{GetError, Getter, START_LENGTH, start};
use super::settings::{Node, ScraperSettings};
use super::telemetry::ScraperTelemetry;

/// What a thread does.
pub(super) type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread of a name. A parameter because tests need threads that cannot be started.
pub(super) type Spawn = dyn Fn(&str, Job) -> io::Result<()> + Send;

/// Starts a thread of the operating system.
pub(super) fn spawn(name: &str, job: Job) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(job).map(drop)
}

/// Sends requests and receives how they ended.
pub(super) struct Requests {
    getter: Getter,
    /// The scheme of nodes.
    scheme: &'static str,
    limits: Limits,
    clock: Arc<dyn Clock>,
    telemetry: ScraperTelemetry,
    stop: Stop,
    spawn: Box<Spawn>,
    sender: mpsc::Sender<Event>,
    receiver: mpsc::Receiver<Event>,
}

/// The end of a request.
pub(super) enum Event {
    /// A request to a node ended; `took` is the time from the request to the decoded answer.
    Scraped { node: Node, scrape_time: u64, outcome: Result<ServiceStats, ScrapeError>, took: Duration },
    /// etcd listed the nodes; `None` if no server did.
    Discovered { discovery: Discovery, nodes: Option<Vec<Node>> },
}

/// Why a node's answer is missing.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    #[error("{error}{position}; the answer begins with `{start}`")]
    Decode { error: DecodeError, position: String, start: String },
    #[error(transparent)]
    Get(#[from] GetError),
    #[error(
        "no thread could be started for the request ({0}); raise the limit on threads, or lower contiv.concurrency"
    )]
    Thread(io::Error),
    #[error(
        "nothing in the answer could be read: {}; it begins with `{start}`; check that the address is Netplugin's",
        first_rejected(stats)
    )]
    Unreadable { stats: Box<ServiceStats>, start: String },
}

impl ScrapeError {
    /// All labels that [`reason`](Self::reason) returns.
    pub(super) const REASONS: [&'static str; 9] = [
        "json",
        "status",
        "thread",
        "timeout",
        "too_large",
        "too_many_endpoints",
        "too_many_entries",
        "transport",
        "unreadable",
    ];

    /// Returns the reason as a label.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Decode { error, .. } => error.kind(),
            Self::Get(error) => error.reason(),
            Self::Thread(_) => "thread",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl Requests {
    /// Returns requests whose waits end when `stop` is set.
    pub(super) fn new(
        settings: &ScraperSettings,
        getter: Getter,
        clock: &Arc<dyn Clock>,
        telemetry: &ScraperTelemetry,
        stop: &Stop,
        spawn: Box<Spawn>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let limits = Limits::of_body(settings.max_body_bytes);
        let scheme = if settings.netplugin_tls { "https" } else { "http" };
        let (clock, telemetry, stop) = (Arc::clone(clock), telemetry.clone(), stop.clone());
        Self { getter, scheme, limits, clock, telemetry, stop, spawn, sender, receiver }
    }

    /// Returns the HTTP client.
    pub(super) fn getter(&self) -> &Getter {
        &self.getter
    }

    /// Requests the counters of a node for the scrape at `scrape_time`; [`Event::Scraped`] follows.
    ///
    /// # Errors
    ///
    /// [`ScrapeError::Thread`]; no event follows then.
    pub(super) fn scrape(&self, node: Node, scrape_time: u64) -> Result<(), ScrapeError> {
        let (getter, limits, clock) = (self.getter.clone(), self.limits, Arc::clone(&self.clock));
        let url = format!("{}://{}/svcstats", self.scheme, node.address);
        let job = move || {
            let began = clock.monotonic();
            let outcome = scrape(&getter, &url, &limits);
            let took = clock.monotonic().saturating_sub(began);
            Event::Scraped { node, scrape_time, outcome, took }
        };
        self.start("contiv-get", job).map_err(ScrapeError::Thread)
    }

    /// Requests the list of nodes at monotonic time `now`; [`Event::Discovered`] follows.
    ///
    /// # Errors
    ///
    /// When no thread can be started; no event follows then.
    pub(super) fn discover(&self, mut discovery: Discovery, now: Duration) -> io::Result<()> {
        let telemetry = self.telemetry.clone();
        self.start("contiv-etcd", move || {
            let nodes = discovery.request(now, &telemetry);
            Event::Discovered { discovery, nodes }
        })
    }

    /// Waits up to `time` for the next event; a stop ends the wait.
    pub(super) fn next(&self, time: Duration) -> Option<Event> {
        self.stop.wait_for(time, || self.try_next())
    }

    /// Returns the next event if it is there already.
    pub(super) fn try_next(&self) -> Option<Event> {
        self.receiver.try_recv().ok()
    }

    fn start(&self, name: &str, job: impl FnOnce() -> Event + Send + 'static) -> io::Result<()> {
        let (sender, stop) = (self.sender.clone(), self.stop.clone());
        let job = move || {
            // After a stop the receiver is dropped.
            let _ = sender.send(job());
            stop.wake();
        };
        (self.spawn)(name, Box::new(job))
    }
}

fn scrape(getter: &Getter, url: &str, limits: &Limits) -> Result<ServiceStats, ScrapeError> {
    let body = getter.get(url)?;
    let start = || start(&body, START_LENGTH);
    let failed = |error| ScrapeError::Decode { position: position(&error, &body), error, start: start() };
    let stats = decode(&body, limits).map_err(failed)?;
    // As an answer it would be a node without traffic.
    if !stats.rejected().is_empty() && stats.endpoint_ips().next().is_none() {
        return Err(ScrapeError::Unreadable { stats: Box::new(stats), start: start() });
    }
    Ok(stats)
}

/// Returns the parser's message, which has line and column, and the position in bytes; an empty text for other errors.
fn position(error: &DecodeError, body: &[u8]) -> String {
    let DecodeError::Json(source) = error else { return String::new() };
    let before: usize =
        body.split_inclusive(|byte| *byte == b'\n').take(source.line().saturating_sub(1)).map(<[u8]>::len).sum();
    let at = before.saturating_add(source.column()).min(body.len());
    let cut = if source.is_eof() { ": it was cut off" } else { "" };
    format!(" ({source}, which is byte {at} of {}{cut})", body.len())
}

fn first_rejected(stats: &ServiceStats) -> String {
    let count = stats.rejected().len();
    let first = stats.rejected().first();
    first.map_or_else(String::new, |first| {
        format!("endpoint {}, the first of {count}: {}", first.endpoint, first.reason)
    })
}
