//! Everything between the log and the readers: workers, sinks and housekeeping, each on a thread of its own.
//!
//! The HTTP server, `replay` and the demo are users of it. Threads rather than tasks: they compute and wait for the
//! disk, and the tables need no locks because each belongs to one worker.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use proxy_uve::Plan;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::intake::Intake;
use crate::log::{EmbeddedLog, Log, LogConfig, PartitionId};
use crate::sink::{self, EventHub, FileSink, Sink, ViewSink};
use crate::telemetry::Telemetry;
use crate::view::UveView;
use crate::worker::{Control, StreamPlan, Worker, WorkerSettings};

/// How often old data is looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);

/// What the engine needs to know.
#[derive(Clone, Debug)]
pub(crate) struct EngineSettings {
    pub data_dir: PathBuf,
    pub log: LogConfig,
    /// What is computed, by stream.
    pub plans: Vec<Arc<Plan>>,
    /// Partitions of each stream, at least 1.
    pub partitions: u16,
    /// Worker threads, at least 1.
    pub threads: usize,
    pub worker: WorkerSettings,
    /// The file that results are appended to.
    pub result_file: Option<PathBuf>,
}

/// The running parts.
pub(crate) struct Engine {
    pub log: Arc<dyn Log>,
    pub telemetry: Arc<Telemetry>,
    pub view: Arc<UveView>,
    pub events: Arc<EventHub>,
    pub intake: Intake,
    /// True once all partitions are restored and the view has read what was there.
    pub ready: watch::Receiver<bool>,
    /// True once a part failed for good.
    pub failed: watch::Receiver<bool>,
    pub control: Arc<Control>,
    clock: Arc<dyn Clock>,
    /// The numbers of the configured streams: nobody applies the input of others, which older settings left behind.
    streams: BTreeSet<u16>,
    stop_sinks: Arc<AtomicBool>,
    workers: Threads,
    sinks: Threads,
}

/// Threads that say when they end.
struct Threads {
    sender: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
    running: usize,
}

/// Counts down to readiness.
struct Readiness {
    ready: watch::Sender<bool>,
    missing: std::sync::Mutex<usize>,
}

impl Engine {
    /// Opens the log and starts everything. Restoring goes on in the background; see [`Engine::ready`].
    ///
    /// # Errors
    ///
    /// When the data directory cannot be used.
    pub(crate) fn start(settings: EngineSettings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let directory = &settings.data_dir;
        let log = EmbeddedLog::open(directory, settings.log.clone());
        let log: Arc<dyn Log> = Arc::new(log.with_context(|| format!("open the log in {}", directory.display()))?);
        keep_partitions(directory, settings.partitions)?;
        let mut streams = BTreeMap::new();
        for plan in &settings.plans {
            let name = plan.stream().to_string();
            let id = log.stream_id(&name).with_context(|| format!("register the stream {name}"))?;
            streams.insert(id, Arc::new(StreamPlan { name, plan: Arc::clone(plan) }));
        }
        let intake = Intake::new(streams.iter().map(|(&id, stream)| (stream.name.as_str(), id)), settings.partitions);
        // Every worker and the view must be ready.
        let (ready_sender, ready) = watch::channel(false);
        let readiness = Readiness { ready: ready_sender, missing: (settings.threads + 1).into() };
        let (failed_sender, failed) = watch::channel(false);
        let mut engine = Self {
            log,
            telemetry: Arc::default(),
            view: Arc::default(),
            events: Arc::default(),
            intake,
            ready,
            failed,
            control: Arc::default(),
            clock,
            streams: streams.keys().copied().collect(),
            stop_sinks: Arc::default(),
            workers: Threads::new(),
            sinks: Threads::new(),
        };
        let readiness = Arc::new(readiness);
        engine.start_workers(&settings, &streams, &readiness, &Arc::new(failed_sender))?;
        engine.start_sinks(&settings, &readiness)?;
        Ok(engine)
    }

    fn start_workers(
        &mut self,
        settings: &EngineSettings,
        streams: &BTreeMap<u16, Arc<StreamPlan>>,
        readiness: &Arc<Readiness>,
        failed: &Arc<watch::Sender<bool>>,
    ) -> anyhow::Result<()> {
        let mut shares = vec![BTreeMap::new(); settings.threads];
        for (&stream, plan) in streams {
            for partition in 0..settings.partitions {
                let share = (usize::from(stream) * usize::from(settings.partitions) + usize::from(partition))
                    % settings.threads;
                shares[share].insert(PartitionId::new(stream, partition), Arc::clone(plan));
            }
        }
        for (number, share) in shares.into_iter().enumerate() {
            let (log, clock, control) = (Arc::clone(&self.log), Arc::clone(&self.clock), Arc::clone(&self.control));
            let (telemetry, worker_settings) = (Arc::clone(&self.telemetry), settings.worker.clone());
            let (readiness, failed) = (Arc::clone(readiness), Arc::clone(failed));
            self.workers.spawn(format!("worker-{number}"), move || {
                match Worker::new(log, clock, worker_settings, telemetry, share, control) {
                    Ok(worker) => {
                        readiness.one_more();
                        worker.run();
                    }
                    Err(error) => {
                        error!(error = %format!("{error:#}"), "A worker cannot start.");
                        failed.send_replace(true);
                    }
                }
            })?;
        }
        Ok(())
    }

    fn start_sinks(&mut self, settings: &EngineSettings, readiness: &Arc<Readiness>) -> anyhow::Result<()> {
        let view = ViewSink { view: Arc::clone(&self.view), events: Arc::clone(&self.events) };
        let there = self.log.results_bounds().context("read the bounds of the results")?.next;
        let (readiness, caught_up) = (Arc::clone(readiness), AtomicBool::new(false));
        self.add_sink(view, move |next| {
            if next >= there && !caught_up.swap(true, Ordering::AcqRel) {
                readiness.one_more();
            }
        })?;
        if let Some(path) = &settings.result_file {
            self.add_sink(FileSink::new(path.clone()), |_| ())?;
        } else {
            self.log.remove_sink(FileSink::NAME).context("forget the file sink")?;
        }
        let (log, clock, stop) = (Arc::clone(&self.log), Arc::clone(&self.clock), Arc::clone(&self.stop_sinks));
        self.sinks.spawn("retention".to_owned(), move || keep_house(&*log, &*clock, &stop))
    }

    /// Runs a further sink. `progress` hears the next offset it will read.
    pub(crate) fn add_sink(
        &mut self,
        sink: impl Sink + 'static,
        progress: impl Fn(u64) + Send + 'static,
    ) -> anyhow::Result<()> {
        let (log, stop, telemetry) = (Arc::clone(&self.log), Arc::clone(&self.stop_sinks), Arc::clone(&self.telemetry));
        let name = sink.name().to_owned();
        self.sinks.spawn(name, move || {
            sink::run(sink, &log, &stop, |name, next| {
                telemetry.set_sink(name, next);
                progress(next);
            });
        })
    }

    /// Whether everything in the log that is of a configured stream is applied, and its results are committed.
    pub(crate) fn is_drained(&self) -> anyhow::Result<bool> {
        let stats = self.log.stats()?;
        let mut configured = stats.partitions.iter().filter(|it| self.streams.contains(&it.partition.stream));
        Ok(configured.all(|partition| partition.cursor.unwrap_or(0) >= partition.bounds.next))
    }

    /// Stops: the workers commit what they have, then the sinks deliver it. `false` if that took longer than `grace`.
    pub(crate) fn stop(mut self, grace: Duration) -> bool {
        let deadline = self.clock.monotonic() + grace;
        self.control.stop.store(true, Ordering::Release);
        self.log.wake_all();
        let workers = self.workers.wait(&*self.clock, deadline);
        self.stop_sinks.store(true, Ordering::Release);
        self.log.wake_all();
        let sinks = self.sinks.wait(&*self.clock, deadline);
        if !(workers && sinks) {
            warn!(
                grace_seconds = grace.as_secs_f64(),
                "Not everything ended in time; what is missing is done again at the next start."
            );
        }
        workers && sinks
    }
}

impl Threads {
    fn new() -> Self {
        let (sender, ended) = mpsc::channel();
        Self { sender, ended, running: 0 }
    }

    fn spawn(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
        let ended = EndNotice(self.sender.clone());
        let context = format!("start the thread {name}");
        thread::Builder::new()
            .name(name)
            .spawn(move || {
                let _ended = ended;
                body();
            })
            .context(context)?;
        self.running += 1;
        Ok(())
    }

    /// Waits until all have ended; `false` at the deadline.
    fn wait(&mut self, clock: &dyn Clock, deadline: Duration) -> bool {
        while self.running > 0 {
            match self.ended.recv_timeout(deadline.saturating_sub(clock.monotonic())) {
                Ok(()) => self.running -= 1,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return false,
            }
        }
        true
    }
}

/// Says that its thread ended, also if it panicked.
struct EndNotice(mpsc::Sender<()>);

impl Drop for EndNotice {
    fn drop(&mut self) {
        // Nobody may be waiting.
        let _ = self.0.send(());
    }
}

impl Readiness {
    fn one_more(&self) {
        let mut missing = self.missing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            info!("Ready: all partitions are restored and the view has caught up.");
            self.ready.send_replace(true);
        }
    }
}

/// Holds the number of partitions to what the log was made with: with another number an object's samples would go to
/// another partition than its state.
fn keep_partitions(directory: &Path, partitions: u16) -> anyhow::Result<()> {
    let file = directory.join("PARTITIONS");
    match std::fs::read_to_string(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::write(&file, format!("{partitions}\n")).with_context(|| format!("write {}", file.display()))
        }
        Err(error) => Err(error).with_context(|| format!("read {}", file.display())),
        Ok(text) if text.trim() == partitions.to_string() => Ok(()),
        Ok(text) => anyhow::bail!(
            "the log in {} was made with log.partitions={}, not {partitions}; set that, or use another log.data_dir",
            directory.display(),
            text.trim(),
        ),
    }
}

fn keep_house(log: &dyn Log, clock: &dyn Clock, stop: &AtomicBool) {
    let mut last = clock.monotonic();
    while !stop.load(Ordering::Acquire) {
        thread::sleep(Duration::from_millis(100));
        if clock.monotonic().saturating_sub(last) < RETENTION_INTERVAL {
            continue;
        }
        last = clock.monotonic();
        match log.enforce_retention(clock.now_micros()) {
            Ok(retained) if retained.results_dropped > 0 => {
                error!(
                    dropped = retained.results_dropped,
                    "Results were deleted that a sink had not read: results_hard_limit_bytes is reached."
                );
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "Old data could not be deleted; trying again."),
        }
    }
}
