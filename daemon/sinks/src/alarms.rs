//! The sink that sends alarms to others: to an Alertmanager ([`AlarmSink::alertmanager`]) or a webhook
//! ([`AlarmSink::webhook`]).
//!
//! The results log has a row for each object with an alarm at each window close, and one in which its last alarm ends.
//! A sink follows these rows ([`tracker`]), and its notifier sends what changed. The stored position moves only after the
//! receiver has accepted everything before it, so a process that is killed sends the same changes again: nothing is lost,
//! and receivers recognise what they know by its labels or its id.
//!
//! With the position the sink stores the offset of the oldest row of an alarm that fires. A start reads the rows from
//! there on, so that it knows what fires without telling it again. A new sink begins at the end of the results: what ended
//! before is history, and what fires is sent once. Its position has no such offset until that was sent.

mod alertmanager;
mod client;
mod config;
pub(crate) mod hmac;
mod position;
mod reading;
mod telemetry;
mod tracker;
mod webhook;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::backoff::{Backoff, random_share};
use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{Log, RecordBatch};
use tracing::{error, info, warn};
use ureq::tls::TlsConfig;

use self::client::{Client, Failure};
use self::position::{DETAIL_BYTES, Held, Position};
use self::tracker::Tracker;
use crate::Sink;

pub use self::alertmanager::AlertmanagerSettings;
pub use self::config::{AlertmanagerConfig, WebhookConfig};
pub use self::telemetry::AlarmTelemetry;
pub use self::webhook::WebhookSettings;

const PAUSE: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// The shortest time between two log messages about a failure.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The changes that wait for a receiver before the sink reads no further.
const MAX_WAITING: usize = 50_000;

/// What is sent to a receiver, and how.
trait Notifier: Send {
    /// The name of the sink.
    fn name(&self) -> &'static str;

    /// The settings that a message about a failure names.
    fn settings(&self) -> &'static str;

    /// What fires at the start, and was sent by the process before but for what it held back; `None` if nothing was.
    fn resume(&mut self, tracker: &Tracker, held: Option<&Held>);

    /// Whether there is something to send at this monotonic time.
    fn is_due(&self, tracker: &Tracker, now: Duration) -> bool;

    /// Sends what is due.
    fn send(&mut self, tracker: &Tracker, client: &Client, clock: &dyn Clock) -> Result<(), Failure>;

    /// Why a part of the receivers did not take what the others did.
    fn problem(&self) -> Option<&str> {
        None
    }

    /// What is held back after it was to be sent, in numbers that a start recognises.
    fn held(&self) -> &[u64] {
        &[]
    }
}

/// A sink of alarms with its notifier.
pub struct AlarmSink {
    notifier: Box<dyn Notifier>,
    client: Client,
    clock: Arc<dyn Clock>,
    telemetry: AlarmTelemetry,
    tracker: Tracker,
    /// The streams that are configured; `None` for all.
    streams: Option<BTreeSet<String>>,
    /// The offset of the next record to read.
    next: u64,
    stored: Option<Position>,
    /// The most bytes of the detail of a position that the log is known to take.
    detail_bytes: usize,
    /// What a start will not remember, and why.
    store_problem: Option<String>,
    /// The first offset whose changes are not sent.
    sent_to: u64,
    failures: u32,
    /// The monotonic time of the next attempt.
    retry_at: Option<Duration>,
    logged_at: Option<Duration>,
    rejected_at: Option<Duration>,
}

/// Whether a message is not too soon after the one before, at `last`.
fn is_due(last: &mut Option<Duration>, now: Duration) -> bool {
    let is_due = last.is_none_or(|before| now.saturating_sub(before) >= LOG_INTERVAL);
    if is_due {
        *last = Some(now);
    }
    is_due
}

impl AlarmSink {
    /// Ends at the start what fires in other streams than these: they were removed from the configuration.
    #[must_use]
    pub fn with_streams(self, streams: impl IntoIterator<Item = String>) -> Self {
        Self { streams: Some(streams.into_iter().collect()), ..self }
    }

    fn new(
        notifier: Box<dyn Notifier>,
        requests: (Duration, TlsConfig),
        clock: Arc<dyn Clock>,
        telemetry: AlarmTelemetry,
        stop: Stop,
    ) -> Self {
        telemetry.expect(notifier.name());
        Self {
            client: Client::new(requests, notifier.name(), stop),
            notifier,
            clock,
            telemetry,
            tracker: Tracker::default(),
            streams: None,
            next: 0,
            stored: None,
            detail_bytes: DETAIL_BYTES,
            store_problem: None,
            sent_to: 0,
            failures: 0,
            retry_at: None,
            logged_at: None,
            rejected_at: None,
        }
    }

    /// Sends what is due; a failure waits for the next call.
    fn flush(&mut self, log: &dyn Log, is_last: bool) -> anyhow::Result<()> {
        let now = self.clock.monotonic();
        let is_waiting = self.retry_at.is_some_and(|at| now < at) && !is_last;
        if is_waiting {
            return Ok(());
        }
        if self.notifier.is_due(&self.tracker, now) || is_last && self.tracker.has_changes() {
            match self.notifier.send(&self.tracker, &self.client, &*self.clock) {
                Ok(()) => self.succeeded(now),
                Err(Failure::Rejected(problem)) => self.rejected(&problem, now),
                Err(Failure::Retryable(problem)) => {
                    self.failed(&problem, now);
                    return Ok(());
                }
            }
        } else if self.tracker.has_changes() {
            // They wait for the next request.
            self.telemetry.held(self.notifier.name(), self.tracker.waiting());
            return Ok(());
        }
        self.sent_to = self.next;
        self.store(log)
    }

    fn succeeded(&mut self, now: Duration) {
        if self.failures > 0 {
            info!(sink = self.notifier.name(), "The receiver of alarms accepts them again.");
        }
        (self.failures, self.retry_at) = (0, None);
        self.tracker.clear_changes();
        self.telemetry.sent(self.notifier.name(), "delivered");
        if let Some(failure) = self.notifier.problem().map(str::to_owned)
            && self.may_log(now)
        {
            let (sink, settings) = (self.notifier.name(), self.notifier.settings());
            warn!(sink, %failure, "Some receivers do not take alarms that others have; check {settings}.");
        }
        self.telemetry.set_problem(self.notifier.name(), self.partial_problem());
    }

    /// The same request would be rejected again, so its changes are dropped.
    fn rejected(&mut self, problem: &str, now: Duration) {
        let (sink, settings) = (self.notifier.name(), self.notifier.settings());
        (self.failures, self.retry_at) = (0, None);
        self.tracker.clear_changes();
        self.telemetry.set_problem(sink, format!("it rejected alarms, which are dropped: {problem}; check {settings}"));
        self.telemetry.sent(sink, "rejected");
        // Not with the limit of failures that pass: what is dropped is another message.
        if is_due(&mut self.rejected_at, now) {
            error!(sink, failure = problem, "The receiver rejects alarms; they are dropped. Check {settings}.");
        }
    }

    fn failed(&mut self, problem: &str, now: Duration) {
        let (sink, settings) = (self.notifier.name(), self.notifier.settings());
        self.telemetry.set_problem(sink, format!("{problem}; check {settings}"));
        self.telemetry.sent(sink, "failed");
        let pause = PAUSE.after(self.failures, random_share());
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + pause);
        if self.may_log(now) {
            let (failure, retry_seconds) = (problem, pause.as_secs_f64());
            warn!(sink, %failure, retry_seconds, "Alarms cannot be sent at present; check {settings}. They stay in the log.");
        }
    }

    fn may_log(&mut self, now: Duration) -> bool {
        is_due(&mut self.logged_at, now)
    }
}

impl Sink for AlarmSink {
    fn name(&self) -> &str {
        self.notifier.name()
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let (name, bounds) = (self.notifier.name(), log.results_bounds()?);
        let position = log.sink_position(name)?.map(Position::from);
        let Position { next, oldest, held } =
            position.unwrap_or_else(|| Position { next: bounds.next, ..Position::default() });
        self.tracker = Tracker::new(bounds.next);
        self.read_back(log, oldest.unwrap_or(bounds.first), next)?;
        (self.next, self.sent_to, self.stored) = (next, next, None);
        if oldest.is_none() {
            self.end_others(false);
            self.tracker.announce();
            // Registers a new sink, so that the log keeps unread results for it.
            let registered = self.set_position(log, Position { next, ..Position::default() });
            registered.with_context(|| format!("register the sink {name}"))?;
            self.notifier.resume(&self.tracker, None);
        } else {
            // The end of what was sent is a change, so the position is stored before it.
            self.notifier.resume(&self.tracker, Some(&held));
            self.store(log)?;
            self.end_others(false);
        }
        Ok(next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        self.flush_if_full(log)?;
        let was_behind = self.next < self.tracker.doubtful_to();
        for record in batch.records() {
            // After an error the same batch comes again.
            if record.offset < self.next {
                continue;
            }
            self.apply(record.offset, record.payload, false);
            self.next = record.offset + 1;
        }
        self.next = self.next.max(batch.next_offset());
        if was_behind && self.next >= self.tracker.doubtful_to() {
            // Of a stream that is not configured any more no later row ends what fired behind the position.
            self.end_others(true);
        }
        self.flush(log, false)
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        self.flush(log, stopping)
    }

    fn delivered(&self, _next: u64) -> u64 {
        self.sent_to
    }
}

impl AlarmSink {
    /// Ends what fires in streams that are not configured any more.
    fn end_others(&mut self, in_doubt: bool) {
        if let Some(streams) = &self.streams {
            self.tracker.end_others(streams, self.clock.now_micros(), in_doubt);
        }
    }

    /// Reads no further while too much waits for the receiver.
    fn flush_if_full(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        if self.tracker.waiting() < MAX_WAITING {
            return Ok(());
        }
        self.flush(log, false)?;
        let name = self.notifier.name();
        anyhow::ensure!(self.tracker.waiting() < MAX_WAITING, "{MAX_WAITING} changes wait for the receiver of {name}");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
