//! The threads around the workers: sources, sinks and helpers, and how long each runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_kafka::{KafkaConfig, TopicPublisher};
use daemon_results::line::LineReader;
use daemon_sinks::Sink;
use daemon_sinks::alarms::AlarmSink;
use daemon_sinks::file::FileSink;
use daemon_sinks::influxdb::InfluxSink;
use daemon_sinks::redis::{Publish, RedisSink, UveMessage};
use daemon_sinks::{otlp, remote_write, results_webhook};
use daemon_sources::{Source, SourceContext};

use super::{Engine, EngineSettings, Lifetime, Readiness};
use daemon_view::ViewSink;

impl Engine {
    /// Starts a thread that appends samples; it ends with the workers.
    pub(crate) fn add_source(&mut self, name: &str, body: impl FnOnce(&Stop) + Send + 'static) -> anyhow::Result<()> {
        let control = Arc::clone(&self.control);
        self.workers.spawn_for(Lifetime::UntilStop, name.to_owned(), move || {
            body(&control.stop);
            Ok(())
        })
    }

    /// Runs a source of an embedding program until the daemon stops.
    pub(crate) fn add_own_source(&mut self, mut source: Box<dyn Source>) -> anyhow::Result<()> {
        let (log, clock, stop) = (Arc::clone(&self.log), Arc::clone(&self.clock), self.base.stop_sources.clone());
        let (name, telemetry) = (source.name().to_owned(), self.telemetry.sources.clone());
        let (observations, intake) = (self.observations.clone(), self.base.intake.clone());
        self.base.has_own_parts = true;
        self.base.sources.spawn_for(Lifetime::Own, name.clone(), move || {
            let context = SourceContext::new(&name, &telemetry, &*log, &intake, &observations, &*clock, &stop);
            daemon_sources::run(&mut *source, &context);
            Ok(())
        })
    }

    /// Starts a thread that ends after the workers when the daemon stops, and not before.
    pub(crate) fn add_lasting_helper(
        &mut self,
        name: &str,
        body: impl FnOnce(&Stop) -> anyhow::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let stop = self.base.stop_helpers.clone();
        self.base.helpers.spawn_for(Lifetime::UntilStop, name.to_owned(), move || body(&stop))
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
        let (view, events, local) = (Arc::clone(&self.view), Arc::clone(&self.events), self.local.clone());
        let view = ViewSink::new(view, events, &settings.plans, local).with_events_from(self.events_from);
        let (readiness, caught_up) = (Arc::clone(readiness), AtomicBool::new(false));
        self.add_built_in_sink(view, move |at_end| {
            if at_end && !caught_up.swap(true, Ordering::AcqRel) {
                readiness.one_more();
            }
        })?;
        if let Some(path) = &settings.result_file {
            daemon_sinks::file::check_kind(path).map_err(|message| anyhow::anyhow!("sinks.file.path: {message}"))?;
            self.add_built_in_sink(FileSink::new(path.clone()), |_| ())?;
        }
        self.start_influxdb(settings)?;
        self.start_redis(settings)?;
        self.start_remote_write(settings)?;
        self.start_otlp(settings)?;
        self.start_results_webhook(settings)?;
        self.start_alertmanager(settings)?;
        self.start_webhook(settings)?;
        self.forget_sinks_that_are_off(settings)
    }

    /// Removes the positions of the sinks that are off, so that the log keeps no results for them. After the others have
    /// started: a start that fails before leaves every position as it is.
    fn forget_sinks_that_are_off(&self, settings: &EngineSettings) -> anyhow::Result<()> {
        let sinks = [
            (FileSink::NAME, settings.result_file.is_some()),
            (InfluxSink::NAME, settings.influxdb.is_some()),
            (RedisSink::NAME, settings.redis.is_some()),
            (remote_write::NAME, settings.remote_write.is_some()),
            (results_webhook::NAME, settings.results_webhook.is_some()),
            (AlarmSink::ALERTMANAGER, settings.alertmanager.is_some()),
            (AlarmSink::WEBHOOK, settings.webhook.is_some()),
        ];
        let mut off = sinks.into_iter().filter(|(_, is_on)| !is_on);
        off.try_for_each(|(name, _)| self.log.remove_sink(name).with_context(|| format!("forget the sink {name}")))
    }

    fn start_influxdb(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(own) = &settings.influxdb else { return Ok(()) };
        let (clock, stop, lines) = self.parts_of_sink(settings);
        let sink = InfluxSink::new(own.clone(), lines, clock, self.telemetry.influxdb.clone(), stop);
        self.add_built_in_sink(sink, |_| ())
    }

    fn start_redis(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some((own, brokers)) = &settings.redis else { return Ok(()) };
        let publish = brokers.as_ref().map(publisher_of_messages).transpose()?;
        let (clock, stop, lines) = self.parts_of_sink(settings);
        let sink = RedisSink::new(own, lines, publish, clock, self.telemetry.redis.clone(), stop);
        self.add_built_in_sink(sink, |_| ())
    }

    fn start_remote_write(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(own) = &settings.remote_write else { return Ok(()) };
        let (clock, stop, lines) = self.parts_of_sink(settings);
        let sink = remote_write::sink(own.clone(), lines, clock, self.telemetry.remote_write.clone(), stop);
        self.add_built_in_sink(sink, |_| ())
    }

    fn start_otlp(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(own) = &settings.otlp else {
            return self.log.remove_sink(otlp::NAME).context("forget the OTLP sink");
        };
        let (clock, stop, lines) = self.parts_of_sink(settings);
        let sink = otlp::sink(own.clone(), lines, clock, self.telemetry.otlp.clone(), stop);
        self.add_built_in_sink(sink, |_| ())
    }

    fn start_results_webhook(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(own) = &settings.results_webhook else { return Ok(()) };
        let (clock, stop, _) = self.parts_of_sink(settings);
        let sink = results_webhook::sink(own.clone(), clock, self.telemetry.results_webhook.clone(), stop);
        self.add_built_in_sink(sink, |_| ())
    }

    fn start_alertmanager(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(own) = &settings.alertmanager else { return Ok(()) };
        let (clock, stop, _) = self.parts_of_sink(settings);
        let sink = AlarmSink::alertmanager(own.clone(), clock, self.telemetry.alarms.clone(), stop);
        let streams = settings.plans.iter().map(|plan| plan.stream().to_string());
        self.add_built_in_sink(sink.with_streams(streams), |_| ())
    }

    fn start_webhook(&mut self, settings: &EngineSettings) -> anyhow::Result<()> {
        let Some(own) = &settings.webhook else { return Ok(()) };
        let (clock, stop, _) = self.parts_of_sink(settings);
        let sink = AlarmSink::webhook(own.clone(), clock, self.telemetry.alarms.clone(), stop);
        let streams = settings.plans.iter().map(|plan| plan.stream().to_string());
        self.add_built_in_sink(sink.with_streams(streams), |_| ())
    }

    /// What every sink of a server needs.
    fn parts_of_sink(&self, settings: &EngineSettings) -> (Arc<dyn Clock>, Stop, LineReader) {
        (Arc::clone(&self.clock), self.stop_sinks.clone(), LineReader::new(&settings.plans))
    }

    /// Runs a sink of an embedding program until the daemon stops.
    pub(crate) fn add_sink(&mut self, sink: impl Sink + 'static) -> anyhow::Result<()> {
        let (name, body) = self.sink_body(sink, self.base.stop_helpers.clone(), Arc::default(), |_| ())?;
        self.base.has_own_parts = true;
        self.base.helpers.spawn_for(Lifetime::UntilStop, name, body)
    }

    /// Runs a sink for as long as its settings are in force. `progress` is called after each step with whether
    /// everything is delivered.
    fn add_built_in_sink(
        &mut self,
        sink: impl Sink + 'static,
        progress: impl Fn(bool) + Send + 'static,
    ) -> anyhow::Result<()> {
        let (name, body) = self.sink_body(sink, self.stop_sinks.clone(), Arc::clone(&self.cut_sinks), progress)?;
        self.built_in_sinks.push(name.clone());
        self.sinks.spawn_for(Lifetime::UntilStop, name, body)
    }

    /// The name of a sink, and what its thread does. After `stop` it leaves its backlog once `cut` is true.
    fn sink_body(
        &self,
        sink: impl Sink + 'static,
        stop: Stop,
        cut: Arc<AtomicBool>,
        progress: impl Fn(bool) + Send + 'static,
    ) -> anyhow::Result<(String, impl FnOnce() -> anyhow::Result<()> + Send + 'static)> {
        let (log, telemetry) = (Arc::clone(&self.log), Arc::clone(&self.telemetry));
        let name = sink.name().to_owned();
        anyhow::ensure!(!telemetry.sinks.all().contains_key(&name), "two sinks have the name {name}; rename one");
        telemetry.sinks.expect(&name, sink.is_durable());
        let body = move || {
            let is_cut = || cut.load(Ordering::Acquire);
            let progress = |name: &str, next, at_end| {
                telemetry.sinks.set(name, next, at_end);
                progress(at_end);
            };
            let problem = |name: &str, reason| telemetry.sinks.set_problem(name, reason);
            daemon_sinks::run_until(sink, &log, &stop, is_cut, progress, problem)
        };
        Ok((name, body))
    }
}

/// What publishes the messages of the Redis sink for alarm-gen.
fn publisher_of_messages(brokers: &KafkaConfig) -> anyhow::Result<Publish> {
    let publisher = TopicPublisher::new(brokers, "derived-statsd/uve-topics")?;
    Ok(Arc::new(move |messages: &[UveMessage]| {
        publisher.publish(messages.iter().map(|it| (&*it.topic, &*it.key, &*it.payload)))
    }))
}
