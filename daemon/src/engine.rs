//! Everything between the log and the readers: workers, sinks and housekeeping, each on a thread of its own.
//!
//! The HTTP server, `replay` and the demo are users of it. Threads rather than tasks: they compute and wait for the
//! disk or the brokers, and the tables need no locks because each belongs to one worker. What is different for the two
//! kinds of log is in [`embedded`] and in [`kafka`].

mod base;
mod embedded;
mod failure;
mod kafka;
mod parts;
mod readiness;
mod status;
mod threads;
mod worker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::observation::Observations;
use daemon_base::stop::Stop;
use daemon_kafka::{KafkaConfig, KafkaSettings};
use daemon_log::{Log, PartitionLog};
use daemon_partition::{Control, StatusSource, Taps, WorkerSettings};
use daemon_sinks::alarms::{AlertmanagerSettings, WebhookSettings};
use daemon_sinks::influxdb::InfluxSettings;
use daemon_sinks::redis::RedisSettings;
use daemon_sinks::remote_write::RemoteWriteSettings;
use daemon_sinks::results_webhook::ResultsWebhookSettings;
use daemon_sources::intake::Intake;
use derived_stats::Registry;
use proxy_uve::Plan;
use tokio::sync::watch;
use tracing::warn;

use crate::telemetry::Telemetry;
use crate::view::{EventHub, UveView, ViewSink};

pub(crate) use self::base::Base;
pub(crate) use self::embedded::{EmbeddedSettings, check_partitions};
pub(crate) use self::failure::{Failure, permanent_damage};
pub(crate) use self::kafka::publisher;
use self::readiness::Readiness;
pub(crate) use self::readiness::ReadyState;
use self::threads::{Lifetime, Threads};
pub(crate) use crate::view::checkpoint::NAME as VIEW_CHECKPOINT;
pub(crate) use crate::view::history::NAME as RESULT_INDEX;

/// How long sinks that are replaced may deliver their backlog. What is left then is for the sinks of the next settings.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(30);

/// The settings of the engine.
#[derive(Clone, Debug)]
pub(crate) struct EngineSettings {
    pub log: LogSettings,
    /// What is computed, by stream.
    pub plans: Vec<Arc<Plan>>,
    /// Worker threads, at least 1.
    pub threads: usize,
    pub worker: WorkerSettings,
    /// The file that results are appended to.
    pub result_file: Option<PathBuf>,
    /// The InfluxDB that results are written to.
    pub influxdb: Option<InfluxSettings>,
    /// The Redis that UVEs are written to, and the brokers that get messages about them.
    pub redis: Option<(RedisSettings, Option<KafkaConfig>)>,
    /// The receiver that series are written to.
    pub remote_write: Option<RemoteWriteSettings>,
    /// The server that results are posted to.
    pub results_webhook: Option<ResultsWebhookSettings>,
    /// The Alertmanager that alarms are sent to.
    pub alertmanager: Option<AlertmanagerSettings>,
    /// The server that alarms are posted to.
    pub webhook: Option<WebhookSettings>,
}

/// The log to work on.
#[derive(Clone, Debug)]
pub(crate) enum LogSettings {
    Embedded(EmbeddedSettings),
    Kafka(Box<KafkaSettings>),
}

/// The running parts.
pub(crate) struct Engine {
    pub log: Arc<dyn Log>,
    /// The log, if all of it is this process's.
    pub local: Option<Arc<dyn PartitionLog>>,
    pub status: Arc<dyn StatusSource>,
    pub telemetry: Arc<Telemetry>,
    pub view: Arc<UveView>,
    pub events: Arc<EventHub>,
    pub intake: Intake,
    /// What the sources have observed.
    pub observations: Observations,
    /// Who looks at the records.
    pub taps: Taps,
    /// True once all partitions are restored and the view has read what was there.
    pub ready: watch::Receiver<bool>,
    /// Whether a part failed for good.
    pub failed: watch::Receiver<Failure>,
    pub control: Arc<Control>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The algorithms of the embedding program.
    pub(crate) algorithms: Arc<Registry>,
    /// What is computed, by stream.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// The numbers of the configured streams. Input of other streams stays unapplied.
    streams: BTreeSet<u16>,
    /// The first result of the event stream that its clients have not got.
    events_from: u64,
    /// The names of the sinks that end with these settings.
    built_in_sinks: Vec<String>,
    base: Base,
    stop_sinks: Stop,
    /// Makes sinks that end leave their backlog to those of the next settings.
    cut_sinks: Arc<AtomicBool>,
    workers: Threads,
    sinks: Threads,
}

impl Engine {
    /// Opens the log and starts everything. Restoring goes on in the background; see [`Engine::ready`].
    ///
    /// # Errors
    ///
    /// When the data directory cannot be used, or the settings of Kafka are refused.
    pub(crate) fn start(settings: &EngineSettings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        Self::start_on(settings, Base { observations: settings.worker.observations.clone(), ..Base::new(clock) })
    }

    /// The same on what another engine has left; see [`Engine::pause`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(crate) fn start_on(settings: &EngineSettings, base: Base) -> anyhow::Result<Self> {
        let mut settings = settings.clone();
        settings.worker.observations = base.observations.clone();
        settings.worker.taps = base.taps.clone();
        let mut engine = match &settings.log {
            LogSettings::Embedded(own) => embedded::start(&settings, own, base),
            LogSettings::Kafka(own) => kafka::start(&settings, own, base),
        }?;
        let state = engine.ready_state();
        engine.add_helper("readiness", move |stop| {
            state.log_changes(stop);
            Ok(())
        })?;
        Ok(engine)
    }

    /// Whether the daemon is ready, and why not.
    pub(crate) fn ready_state(&self) -> ReadyState {
        let (log, group) = (Arc::clone(&self.log), Arc::clone(&self.telemetry.group));
        ReadyState { log, started: self.ready.clone(), group }
    }

    /// The parts that both kinds of log have, none of them running yet.
    pub(crate) fn new(
        log: Arc<dyn Log>,
        status: Arc<dyn StatusSource>,
        intake: Intake,
        ready: watch::Receiver<bool>,
        control: Arc<Control>,
        base: Base,
    ) -> Self {
        base.replace_intake(&intake);
        let stop_sinks = Stop::default();
        Self {
            log,
            local: None,
            status,
            telemetry: Arc::clone(&base.telemetry),
            view: Arc::default(),
            events: Arc::clone(&base.events),
            intake,
            observations: base.observations.clone(),
            taps: base.taps.clone(),
            ready,
            failed: base.failed.clone(),
            workers: Threads::new(control.stop.clone(), Arc::clone(&base.failure)),
            control,
            clock: Arc::clone(&base.clock),
            algorithms: Arc::clone(&base.algorithms),
            plans: Vec::new(),
            streams: BTreeSet::new(),
            events_from: base.events_from,
            built_in_sinks: Vec::new(),
            sinks: Threads::new(stop_sinks.clone(), Arc::clone(&base.failure)),
            stop_sinks,
            cut_sinks: Arc::default(),
            base,
        }
    }

    /// Whether all input of the configured streams is applied and committed. Always true on Kafka, where other daemons
    /// apply it.
    pub(crate) fn is_drained(&self) -> anyhow::Result<bool> {
        let Some(log) = &self.local else { return Ok(true) };
        let stats = log.stats()?;
        let mut configured = stats.partitions.iter().filter(|it| self.streams.contains(&it.partition.stream));
        Ok(configured.all(|partition| partition.cursor.unwrap_or(0) >= partition.bounds.next))
    }

    /// Stops: the workers commit what they have, then the sinks deliver it. `false` if that took longer than `grace`.
    pub(crate) fn stop(mut self, grace: Duration) -> bool {
        let deadline = self.clock.monotonic() + grace;
        self.control.stop.set();
        self.base.stop_sources.set();
        self.wake_all();
        let workers = self.workers.wait(&*self.clock, deadline) && self.base.sources.wait(&*self.clock, deadline);
        self.stop_sinks.set();
        self.base.stop_helpers.set();
        self.wake_all();
        let sinks = self.sinks.wait(&*self.clock, deadline) && self.base.helpers.wait(&*self.clock, deadline);
        if !(workers && sinks) {
            warn!(
                grace_seconds = grace.as_secs_f64(),
                "Not everything ended in time; what is missing is done again at the next start."
            );
        }
        workers && sinks
    }

    /// Ends the workers and the sinks of these settings, each after its last commit, and returns what goes on: the log, the
    /// event stream, what has been observed, sources and sinks of an embedding program.
    ///
    /// # Errors
    ///
    /// When a thread did not end in `patience`: then only a restart helps.
    pub(crate) fn pause(mut self, patience: Duration) -> anyhow::Result<Base> {
        let deadline = self.clock.monotonic() + patience;
        self.control.is_replaced.store(true, Ordering::Release);
        self.control.stop.set();
        self.wake_all();
        let workers = self.workers.wait(&*self.clock, deadline);
        self.stop_sinks.set();
        self.wake_all();
        let cut = deadline.min(self.clock.monotonic() + BACKLOG_PATIENCE);
        let delivered = self.sinks.wait(&*self.clock, cut);
        self.cut_sinks.store(true, Ordering::Release);
        let sinks = delivered || self.sinks.wait(&*self.clock, deadline);
        anyhow::ensure!(workers && sinks, "a thread did not end within {} s; restart the daemon", patience.as_secs());
        self.telemetry.workers.remove_tables();
        for name in &self.built_in_sinks {
            let next = self.telemetry.sinks.remove(name);
            if name == ViewSink::NAME {
                self.base.events_from = next.unwrap_or(0).max(self.events_from);
            }
        }
        self.base.algorithms = self.algorithms;
        Ok(self.base)
    }

    /// Why the settings of this engine cannot be replaced while it runs, if they cannot.
    pub(crate) fn replace_hindrance(&self) -> Option<&'static str> {
        let is_shared = self.local.is_none() && self.base.has_own_parts;
        is_shared.then_some("sources and sinks of this program hold the connection to Kafka; restart the daemon")
    }

    /// Makes sure, before anything ends, that the log takes what other settings need of it.
    ///
    /// # Errors
    ///
    /// When it cannot write.
    pub(crate) fn make_room_for(&self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(log) = &self.base.embedded else { return Ok(()) };
        if let Some(outage) = self.log.outage() {
            anyhow::bail!("the log cannot write: {}", outage.reason);
        }
        for plan in &settings.plans {
            let name = plan.stream().to_string();
            log.stream_id(&name).with_context(|| format!("register the stream {name}"))?;
        }
        Ok(())
    }

    fn wake_all(&self) {
        self.log.wake_all();
    }
}
