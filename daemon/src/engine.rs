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
mod rejections;
mod replace;
mod status;
mod threads;
mod worker;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::observation::Observations;
use daemon_base::stop::Stop;
use daemon_kafka::{KafkaConfig, KafkaSettings};
use daemon_log::{Log, PartitionLog};
use daemon_partition::{Control, StatusSource, Taps, WorkerSettings};
use daemon_sinks::alarms::{AlertmanagerSettings, WebhookSettings};
use daemon_sinks::influxdb::InfluxSettings;
use daemon_sinks::otlp::OtlpSettings;
use daemon_sinks::redis::RedisSettings;
use daemon_sinks::remote_write::RemoteWriteSettings;
use daemon_sinks::results_webhook::ResultsWebhookSettings;
use daemon_sources::intake::Intake;
use derived_stats::Registry;
use proxy_uve::Plan;
use tokio::sync::watch;
use tracing::warn;

use crate::telemetry::Telemetry;
use daemon_view::{EventHub, UveView};

pub(crate) use self::base::Base;
pub(crate) use self::embedded::{EmbeddedSettings, PARTITIONS, check_partitions, partitions_file};
pub(crate) use self::failure::{Failure, permanent_damage};
pub(crate) use self::kafka::publisher;
use self::readiness::Readiness;
pub(crate) use self::readiness::ReadyState;
pub(crate) use self::replace::{FailedStart, StopBy};
use self::threads::{Lifetime, Threads};
pub(crate) use daemon_view::checkpoint::NAME as VIEW_CHECKPOINT;
pub(crate) use daemon_view::history::NAME as RESULT_INDEX;

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
    /// The receiver that gauges are sent to.
    pub otlp: Option<OtlpSettings>,
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
        let base = Base { observations: settings.worker.observations.clone(), ..Base::new(clock) };
        Self::start_on(settings, base).map_err(|failed| failed.error)
    }

    /// The same on what another engine has left; see [`Engine::pause`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub(crate) fn start_on(settings: &EngineSettings, base: Base) -> Result<Self, Box<FailedStart>> {
        let mut settings = settings.clone();
        settings.worker.observations = base.observations.clone();
        settings.worker.taps = base.taps.clone();
        let mut engine = match &settings.log {
            LogSettings::Embedded(own) => embedded::start(&settings, own, base),
            LogSettings::Kafka(own) => kafka::start(&settings, own, base),
        }?;
        let state = engine.ready_state();
        let readiness = engine.add_helper("readiness", move |stop| {
            state.log_changes(stop);
            Ok(())
        });
        match readiness {
            Ok(()) => Ok(engine),
            Err(error) => Err(engine.give_up(error)),
        }
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

    fn wake_all(&self) {
        self.log.wake_all();
    }
}
