//! The engine on the embedded log: all partitions are this process's, each always with the same worker.

mod absences;
mod mode;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::setting::file;
use daemon_base::stop::Stop;
use daemon_log::{EmbeddedLog, Log, LogConfig, PartitionId, PartitionLog};
use daemon_partition::{StreamPlan, WorkerSettings};
use daemon_sources::intake::{Intake, PayloadForm};
use daemon_sources::opserver::confirm_polled;
use proxy_uve::Plan;
use tracing::{error, warn};

use self::absences::Absences;
use super::rejections::TappedRejections;
use super::status::LocalStatus;
use super::threads::Lifetime;
use crate::engine::worker::{AllWritten, Begin, Start, Worker};
use crate::engine::{Base, Engine, EngineSettings, FailedStart, Readiness};

/// How often old data is looked for.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);

/// Where the log is, and its shape.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddedSettings {
    pub data_dir: PathBuf,
    pub log: LogConfig,
    /// Partitions of each stream, at least 1.
    pub partitions: u16,
}

/// Opens the log and starts everything.
pub(super) fn start(
    settings: &EngineSettings,
    own: &EmbeddedSettings,
    mut base: Base,
) -> Result<Engine, Box<FailedStart>> {
    let start = if base.embedded.is_some() { Start::AfterChange } else { Start::OfProcess };
    let prepared = match prepare(settings, own, &mut base) {
        Ok(prepared) => prepared,
        Err(error) => return Err(FailedStart::before(error, base)),
    };
    let Prepared { log, streams, intake } = prepared;
    let status = LocalStatus {
        log: Arc::clone(&log) as Arc<dyn PartitionLog>,
        telemetry: Arc::clone(&base.telemetry.workers),
        partitions: streams.len() * usize::from(own.partitions),
    };
    // Every worker and the view must be ready.
    let (readiness, ready) = Readiness::new(settings.threads + 1);
    let shared = Arc::clone(&log) as Arc<dyn Log>;
    let mut engine = Engine::new(shared, Arc::new(status), intake, ready, Arc::default(), base);
    engine.local = Some(Arc::clone(&log) as Arc<dyn PartitionLog>);
    engine.streams = streams.keys().copied().collect();
    match start_threads(&mut engine, settings, own, (&streams, start), &readiness) {
        Ok(()) => Ok(engine),
        Err(error) => Err(engine.give_up(error)),
    }
}

/// What the threads of an engine need.
struct Prepared {
    log: Arc<EmbeddedLog>,
    streams: BTreeMap<u16, Arc<StreamPlan>>,
    intake: Intake,
}

/// Opens the log, if it is not open, and registers the streams.
fn prepare(settings: &EngineSettings, own: &EmbeddedSettings, base: &mut Base) -> anyhow::Result<Prepared> {
    let log = match &base.embedded {
        Some(log) => Arc::clone(log),
        None => open(own)?,
    };
    let start = if base.embedded.is_some() { Start::AfterChange } else { Start::OfProcess };
    base.embedded = Some(Arc::clone(&log));
    let mut plans = BTreeMap::new();
    for plan in &settings.plans {
        let name = plan.stream().to_string();
        plans.insert(log.stream_id(&name).with_context(|| format!("register the stream {name}"))?, plan);
    }
    let absences = absences(&log, own, &plans.keys().copied().collect(), (start, &*base.clock))?;
    let stream = |(id, plan): (u16, &Arc<Plan>)| {
        let stream = StreamPlan::new(Arc::clone(plan), &settings.worker.observations).with_absence(absences.of(id));
        (id, Arc::new(stream.with_taps(&settings.worker.taps).with_alarms(&settings.worker.alarms)))
    };
    let streams: BTreeMap<_, _> = plans.into_iter().map(stream).collect();
    confirm_polled(&*log, &settings.worker.observations).context("read the names of the polled streams")?;
    let numbered = streams.iter().map(|(&id, stream)| (&stream.plan, id));
    let intake = Intake::new(numbered, own.partitions, PayloadForm::Stored, settings.worker.table.allowed_skew)
        .with_rejections(TappedRejections(settings.worker.taps.clone()));
    Ok(Prepared { log, streams, intake })
}

/// Starts the threads: those that nothing but a lack of threads keeps from starting, and that change the states, last.
fn start_threads(
    engine: &mut Engine,
    settings: &EngineSettings,
    own: &EmbeddedSettings,
    (streams, start): (&BTreeMap<u16, Arc<StreamPlan>>, Start),
    readiness: &Arc<Readiness>,
) -> anyhow::Result<()> {
    engine.start_sinks(settings, readiness)?;
    start_workers(engine, settings, own, (streams, start), readiness)?;
    let Some(log) = engine.base.embedded.clone().filter(|_| start == Start::OfProcess) else { return Ok(()) };
    let clock = Arc::clone(&engine.clock);
    engine.add_lasting_helper("retention", move |stop| {
        run_retention(&log, &*clock, stop);
        Ok(())
    })
}

/// When each stream was not configured, up to now.
fn absences(
    log: &EmbeddedLog,
    own: &EmbeddedSettings,
    configured: &BTreeSet<u16>,
    (start, clock): (Start, &dyn Clock),
) -> anyhow::Result<Absences> {
    let mut absences = Absences::read(&own.data_dir)?;
    let known =
        log.stats().context("read the streams of the log")?.partitions.into_iter().map(|it| it.partition.stream);
    let now = clock.now_micros();
    let last = log.written_before().filter(|_| start == Start::OfProcess).unwrap_or(now);
    if absences.update(known, configured, last, now)
        && let Err(error) = absences.write()
    {
        let error = format!("{error:#}");
        warn!(
            %error,
            "The streams that are not configured cannot be stored: after a restart their objects may age by that time."
        );
    }
    Ok(absences)
}

fn open(own: &EmbeddedSettings) -> anyhow::Result<Arc<EmbeddedLog>> {
    let directory = &own.data_dir;
    let log = EmbeddedLog::open(directory, own.log.clone());
    let log = Arc::new(log.with_context(|| format!("open the log in {}", directory.display()))?);
    check_disk(&log);
    mode::check(directory);
    keep_partitions(&log, directory, own.partitions)?;
    Ok(log)
}

fn start_workers(
    engine: &mut Engine,
    settings: &EngineSettings,
    own: &EmbeddedSettings,
    (streams, start): (&BTreeMap<u16, Arc<StreamPlan>>, Start),
    readiness: &Arc<Readiness>,
) -> anyhow::Result<()> {
    // The permission is for the start of the process.
    let may_start_over = start == Start::OfProcess && take_permission(&settings.worker.start_over)?;
    let written = Arc::new(AllWritten::new(streams.iter().map(|(&id, stream)| (id, stream)), own.partitions));
    for (number, share) in shares(settings, own, streams).into_iter().enumerate() {
        let Some(log) = engine.local.clone() else { continue };
        let (clock, control) = (Arc::clone(&engine.clock), Arc::clone(&engine.control));
        let telemetry = Arc::clone(&engine.telemetry.workers);
        let worker_settings = WorkerSettings { may_start_over, ..settings.worker.clone() };
        let (readiness, begin) = (Arc::clone(readiness), Begin { start, written: Arc::clone(&written) });
        engine.workers.spawn_for(Lifetime::UntilStop, format!("worker-{number}"), move || {
            let worker = Worker::new(log, clock, worker_settings, telemetry, share, control, begin)?;
            readiness.one_more();
            worker.run()
        })?;
    }
    Ok(())
}

/// The partitions of each worker.
fn shares(
    settings: &EngineSettings,
    own: &EmbeddedSettings,
    streams: &BTreeMap<u16, Arc<StreamPlan>>,
) -> Vec<BTreeMap<PartitionId, Arc<StreamPlan>>> {
    let mut shares = vec![BTreeMap::new(); settings.threads];
    for (&stream, plan) in streams {
        for partition in 0..own.partitions {
            let share = (usize::from(stream) * usize::from(own.partitions) + usize::from(partition)) % settings.threads;
            shares[share].insert(PartitionId::new(stream, partition), Arc::clone(plan));
        }
    }
    shares
}

/// Holds the number of partitions to what the log was made with: with another number an object's samples would go to
/// another partition than its state.
fn keep_partitions(log: &EmbeddedLog, directory: &Path, partitions: u16) -> anyhow::Result<()> {
    check_partitions(directory, partitions)?;
    let path = partitions_file(directory);
    let least = log.least_partitions().context("read the partitions of the log")?;
    if path.exists() {
        anyhow::ensure!(
            least <= partitions,
            "{} has {partitions}, and the log has {least} partitions or more: with a lower number objects lose their states; \
             correct the file and log.partitions, or restore a copy",
            path.display(),
        );
        return Ok(());
    }
    anyhow::ensure!(
        least == 0,
        "{0} is missing, which has the log.partitions that the log was made with: {least} or more; with another number \
         objects lose their states; if {partitions}, which is configured, is that number: echo {partitions} > {0}",
        path.display(),
    );
    file::replace(&path, &format!("{partitions}\n")).with_context(|| format!("write {}", path.display()))
}

/// Checks that the log in a directory, if there is one, was made with this number of partitions.
///
/// # Errors
///
/// When it was made with another one; the error names the remedy.
pub(crate) fn check_partitions(directory: &Path, partitions: u16) -> anyhow::Result<()> {
    let path = partitions_file(directory);
    let found = match file::read_regular_text(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found.with_context(|| format!("read {}", path.display()))?,
    };
    let (found, directory) = (found.trim(), directory.display());
    let number: u16 = found.parse().ok().filter(|number| *number > 0).with_context(|| {
        let found: String = found.chars().take(40).collect();
        format!(
            "{0} has {found:?} instead of the log.partitions that the log was made with; with another number objects \
             lose their states; if {partitions}, which is configured, is that number: echo {partitions} > {0}",
            path.display(),
        )
    })?;
    let makes = match partitions > number && partitions.is_multiple_of(number) {
        true => format!(
            ": `derived-statsd migrate --partitions {partitions} --config FILE {directory} NEW` makes one of this one"
        ),
        false => String::new(),
    };
    anyhow::ensure!(
        number == partitions,
        "the log in {directory} was made with log.partitions={number}, not {partitions}; set that, or use another \
         log.data_dir{makes}"
    );
    Ok(())
}

/// The file with the number of partitions that a log was made with.
pub(crate) const PARTITIONS: &str = "PARTITIONS";

/// The file with the number of partitions that the log in a directory was made with.
pub(crate) fn partitions_file(directory: &Path) -> PathBuf {
    directory.join(PARTITIONS)
}

/// Notices a disk that takes no writes before a write fails, also while nobody writes.
fn check_disk(log: &EmbeddedLog) {
    if let Err(error) = log.check_disk() {
        warn!(%error, "The log cannot write; the daemon is not ready until it can.");
    }
}

/// Takes the permission to start over: deletes the file, which is for one start. Whether it was there.
///
/// # Errors
///
/// When it cannot be deleted: the next start would have the permission too.
fn take_permission(file: &Path) -> anyhow::Result<bool> {
    match std::fs::remove_file(file) {
        Ok(()) => {
            warn!(file = %file.display(), "Partitions whose states cannot be used start over, this time.");
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("delete {}, which is for one start", file.display())),
    }
}

fn run_retention(log: &EmbeddedLog, clock: &dyn Clock, stop: &Stop) {
    // The first time after a while, and not at the start: a machine that boots may not know the time yet.
    while stop.rest(RETENTION_INTERVAL) {
        match log.enforce_retention(clock.now_micros()) {
            Ok(retained) if retained.results_dropped > 0 => {
                error!(
                    dropped_records = retained.results_dropped,
                    "Retention deleted results that a sink had not read: log.retention.results_hard_limit_bytes is reached. \
                     Check the sink that lags, or raise the limit."
                );
            }
            Ok(_) => {}
            Err(error) => warn!(%error, "Old data could not be deleted; trying again."),
        }
        check_disk(log);
    }
}
