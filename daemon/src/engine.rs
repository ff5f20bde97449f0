//! Everything between the log and the readers: workers, sinks and housekeeping, each on a thread of its own.
//!
//! The HTTP server, `replay` and the demo are users of it. Threads rather than tasks: they compute and wait for the
//! disk or the brokers, and the tables need no locks because each belongs to one worker. What is different for the two
//! kinds of log is in [`embedded`] and in [`kafka`].

mod embedded;
mod kafka;
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
use daemon_base::stop::Stop;
use daemon_kafka::KafkaSettings;
use daemon_log::{Log, Observations, PartitionLog};
use daemon_partition::{Control, StatusSource, WorkerSettings};
use daemon_results::line::LineReader;
use daemon_sinks::Sink;
use daemon_sinks::alarms::{AlertmanagerSettings, AlertmanagerSink, WebhookSettings, WebhookSink};
use daemon_sinks::file::FileSink;
use daemon_sinks::influxdb::{InfluxSettings, InfluxSink};
use daemon_sources::intake::Intake;
use daemon_sources::{Source, SourceContext};
use derived_stats::Registry;
use proxy_uve::Plan;
use tokio::sync::watch;
use tracing::warn;

use crate::telemetry::Telemetry;
use crate::view::{EventHub, UveView, ViewSink};

pub(crate) use self::embedded::{EmbeddedSettings, check_partitions};
pub(crate) use self::kafka::publisher;
use self::readiness::Readiness;
pub(crate) use self::readiness::ReadyState;
use self::threads::{Lifetime, Threads};

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
    /// True once all partitions are restored and the view has read what was there.
    pub ready: watch::Receiver<bool>,
    /// True once a part failed for good.
    pub failed: watch::Receiver<bool>,
    pub control: Arc<Control>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The algorithms of the embedding program.
    pub(crate) algorithms: Arc<Registry>,
    /// What is computed, by stream.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// The numbers of the configured streams. Input of other streams stays unapplied.
    streams: BTreeSet<u16>,
    stop_sinks: Stop,
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
        let mut engine = match &settings.log {
            LogSettings::Embedded(own) => embedded::start(settings, own, clock),
            LogSettings::Kafka(own) => kafka::start(settings, own, clock),
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
        telemetry: Arc<Telemetry>,
        intake: Intake,
        ready: watch::Receiver<bool>,
        control: Arc<Control>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (failure, failed) = watch::channel(false);
        let failure = Arc::new(failure);
        let stop_sinks = Stop::default();
        let sinks = Threads::new(stop_sinks.clone(), Arc::clone(&failure));
        Self {
            log,
            local: None,
            status,
            telemetry,
            view: Arc::default(),
            events: Arc::default(),
            intake,
            observations: Observations::default(),
            ready,
            failed,
            workers: Threads::new(control.stop.clone(), failure),
            control,
            clock,
            algorithms: Arc::default(),
            plans: Vec::new(),
            streams: BTreeSet::new(),
            stop_sinks,
            sinks,
        }
    }

    /// Starts a thread that appends samples; it ends before the sinks.
    pub(crate) fn add_source(&mut self, name: &str, body: impl FnOnce(&Stop) + Send + 'static) -> anyhow::Result<()> {
        self.add_source_for(Lifetime::UntilStop, name, body)
    }

    fn add_source_for(
        &mut self,
        lifetime: Lifetime,
        name: &str,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) -> anyhow::Result<()> {
        let control = Arc::clone(&self.control);
        self.workers.spawn_for(lifetime, name.to_owned(), move || {
            body(&control.stop);
            Ok(())
        })
    }

    /// Runs a source of an embedding program, with the workers.
    pub(crate) fn add_own_source(&mut self, mut source: Box<dyn Source>) -> anyhow::Result<()> {
        let (log, intake, clock) = (Arc::clone(&self.log), self.intake.clone(), Arc::clone(&self.clock));
        let (name, telemetry) = (source.name().to_owned(), self.telemetry.sources.clone());
        let observations = self.observations.clone();
        self.add_source_for(Lifetime::Own, &name.clone(), move |stop| {
            let context = SourceContext::new(&name, &telemetry, &*log, &intake, &observations, &*clock, stop);
            daemon_sources::run(&mut *source, &context);
        })
    }

    /// Starts a thread that ends after the workers.
    pub(crate) fn add_helper(
        &mut self,
        name: &str,
        body: impl FnOnce(&Stop) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let stop = self.stop_sinks.clone();
        self.sinks.spawn_for(Lifetime::UntilStop, name.to_owned(), move || body(&stop))
    }

    pub(crate) fn start_sinks(&mut self, settings: &EngineSettings, readiness: &Arc<Readiness>) -> anyhow::Result<()> {
        self.plans.clone_from(&settings.plans);
        let lines = || LineReader::new(&settings.plans);
        let view = ViewSink::new(Arc::clone(&self.view), Arc::clone(&self.events), &settings.plans);
        let (readiness, caught_up) = (Arc::clone(readiness), AtomicBool::new(false));
        self.add_sink(view, move |at_end| {
            if at_end && !caught_up.swap(true, Ordering::AcqRel) {
                readiness.one_more();
            }
        })?;
        if let Some(path) = &settings.result_file {
            daemon_sinks::file::check_kind(path).map_err(|message| anyhow::anyhow!("sinks.file.path: {message}"))?;
            self.add_sink(FileSink::new(path.clone()), |_| ())?;
        } else {
            self.log.remove_sink(FileSink::NAME).context("forget the file sink")?;
        }
        if let Some(own) = &settings.influxdb {
            let (clock, stop) = (Arc::clone(&self.clock), self.stop_sinks.clone());
            let telemetry = self.telemetry.influxdb.clone();
            self.add_sink(InfluxSink::new(own.clone(), lines(), clock, telemetry, stop), |_| ())?;
        } else {
            self.log.remove_sink(InfluxSink::NAME).context("forget the InfluxDB sink")?;
        }
        self.start_alarm_sinks(settings)
    }

    fn start_alarm_sinks(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let parts = || (Arc::clone(&self.clock), self.telemetry.alarms.clone(), self.stop_sinks.clone());
        let alertmanager = settings.alertmanager.clone().map(|own| {
            let (clock, telemetry, stop) = parts();
            AlertmanagerSink::new(own, clock, telemetry, stop)
        });
        let webhook = settings.webhook.clone().map(|own| {
            let (clock, telemetry, stop) = parts();
            WebhookSink::new(own, clock, telemetry, stop)
        });
        match alertmanager {
            Some(sink) => self.add_sink(sink, |_| ())?,
            None => self.log.remove_sink(AlertmanagerSink::NAME).context("forget the Alertmanager sink")?,
        }
        match webhook {
            Some(sink) => self.add_sink(sink, |_| ()),
            None => self.log.remove_sink(WebhookSink::NAME).context("forget the webhook sink"),
        }
    }

    /// Runs a further sink. `progress` is called after each step with whether everything is delivered.
    pub(crate) fn add_sink(
        &mut self,
        sink: impl Sink + 'static,
        progress: impl Fn(bool) + Send + 'static,
    ) -> anyhow::Result<()> {
        let (log, stop, telemetry) = (Arc::clone(&self.log), self.stop_sinks.clone(), Arc::clone(&self.telemetry));
        let name = sink.name().to_owned();
        anyhow::ensure!(!telemetry.sinks.all().contains_key(&name), "two sinks have the name {name}; rename one");
        telemetry.sinks.expect(&name, sink.is_durable());
        self.sinks.spawn_for(Lifetime::UntilStop, name, move || {
            daemon_sinks::run(sink, &log, &stop, |name, next, at_end| {
                telemetry.sinks.set(name, next, at_end);
                progress(at_end);
            })
        })
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
        self.wake_all();
        let workers = self.workers.wait(&*self.clock, deadline);
        self.stop_sinks.set();
        self.wake_all();
        let sinks = self.sinks.wait(&*self.clock, deadline);
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
