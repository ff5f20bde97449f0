//! Builds the parts of the engine on Kafka, which the daemon runs on threads: workers that are members of the group,
//! and helpers that poll the topics and the lag of the sinks.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::observation::Observations;
use daemon_base::sink_offsets::SinkOffsets;
use daemon_base::stop::Stop;
use daemon_log::Log;
use daemon_partition::{Control, Heartbeat, StatusSource, StreamPlan, WorkerSettings, WorkerTelemetry};
use proxy_uve::Plan;

use crate::admission::Admission;
use crate::backpressure::{Backpressure, SinkWatch};
use crate::configuration::Configuration;
use crate::group::{Group, OwnName};
use crate::health::{Health, HealthGauges};
use crate::input_topics::InputTopics;
use crate::log::KafkaLog;
use crate::producer::Producer;
use crate::settings::KafkaSettings;
use crate::shard_restore::{Restorer, ShardBuilder};
use crate::state_reader::StateTopicReader;
use crate::status::GroupStatus;
use crate::telemetry::GroupTelemetry;
use crate::topic_watch::TopicWatch;
use crate::topics::{Needs, Topics};
use crate::topology::{Shape, Topology};
use crate::worker::{Parts, Worker};

/// What the engine shares with the rest of the daemon.
#[derive(Clone)]
pub struct Shared {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Stops the workers.
    pub control: Arc<Control>,
    /// The counters of the workers.
    pub workers: Arc<WorkerTelemetry>,
    /// The counters of the group.
    pub group: Arc<GroupTelemetry>,
    /// How far the sinks have read.
    pub sinks: Arc<SinkOffsets>,
    /// Called by each worker once its first assignment is restored.
    pub worker_is_ready: Arc<dyn Fn() + Send + Sync>,
}

/// The parts of the engine, connected and not running.
pub struct EngineParts {
    /// The log that producers and sinks use.
    pub log: Arc<dyn Log>,
    /// The status of all partitions of the group.
    pub status: Arc<dyn StatusSource>,
    /// The workers, each for a thread of its own; they end when [`Control::stop`] is set, or with an error.
    pub workers: Vec<WorkerBody>,
    /// Helpers by name, each for a thread of its own; they end when their flag is set, after the workers.
    pub helpers: Vec<(&'static str, Helper)>,
}

/// A worker's body, until the engine stops.
pub type WorkerBody = Box<dyn FnOnce() -> anyhow::Result<()> + Send>;

/// A helper's body, until the flag is set.
pub type Helper = Box<dyn FnOnce(&Stop) -> anyhow::Result<()> + Send>;

/// The streams with their topics, shared by all parts.
#[derive(Clone)]
struct Streams {
    plans: Vec<Arc<StreamPlan>>,
    configuration: Configuration,
    names: Vec<String>,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    backpressure: Arc<Backpressure>,
}

impl Streams {
    fn new(plans: &[Arc<Plan>], own: &KafkaSettings, settings: Option<&WorkerSettings>) -> Self {
        let (own_plans, rules) = (plans.iter().map(Arc::as_ref), settings.map(|all| Arc::clone(&all.alarms)));
        let rules = rules.unwrap_or_default();
        let configuration = Configuration::new(own.configuration_version, own_plans, &rules, &own.names);
        let stream = |plan: &Arc<Plan>| {
            let plan = Arc::clone(plan);
            Arc::new(match settings {
                Some(all) => StreamPlan::new(plan, &all.observations).with_taps(&all.taps).with_alarms(&all.alarms),
                None => StreamPlan::new(plan, &Observations::default()),
            })
        };
        let plans: Vec<_> = plans.iter().map(stream).collect();
        let names: Vec<String> = plans.iter().map(|stream| stream.name.clone()).collect();
        let topics = Arc::new(InputTopics::new(&own.names, &names));
        Self { plans, configuration, names, topics, topology: Arc::default(), backpressure: Arc::default() }
    }

    fn log(
        &self,
        own: &KafkaSettings,
        clock: &Arc<dyn Clock>,
        (admission, health): (&Arc<Admission>, &Arc<Health>),
    ) -> anyhow::Result<Arc<dyn Log>> {
        let (topics, topology) = (Arc::clone(&self.topics), Arc::clone(&self.topology));
        let producer = Producer::new(&own.connection, &own.names, topics, Arc::clone(&topology));
        let producer = producer.context("start a producer; check the [kafka] settings")?;
        let (connection, names) = (own.connection.clone(), own.names.clone());
        let state = (Arc::clone(admission), Arc::clone(health), topology);
        Ok(Arc::new(KafkaLog::new(connection, names, producer, Arc::clone(clock), state)))
    }
}

impl EngineParts {
    /// Builds the engine with `threads` workers. The streams are numbered in the order of `plans`. A cluster that
    /// cannot be reached is not an error: the daemon waits for it.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects the settings.
    pub fn new(
        plans: &[Arc<Plan>],
        own: &KafkaSettings,
        threads: usize,
        settings: &WorkerSettings,
        shared: &Shared,
    ) -> anyhow::Result<Self> {
        let streams = Streams::new(plans, own, Some(settings));
        let retention =
            plans.iter().map(|plan| Duration::from_micros(plan.longest_window()) + settings.table.allowed_lateness);
        let needs = Needs { retention: retention.collect(), threads, has_elections: own.has_elections };
        let topics = Topics::new(&own.connection, &own.names, &streams.names)?.with_needs(needs);
        let [configuration, waits_for_name] = ["configuration", "name"].map(|reason| shared.group.waiting(reason));
        let gauges = HealthGauges { waits_for_name, missing_inputs: shared.group.missing_inputs() };
        let admission = Arc::new(Admission::new(configuration));
        let health = Arc::new(Health::new(own, &shared.clock, gauges));
        let log = streams.log(own, &shared.clock, (&admission, &health))?;
        let (input_topics, topology) = (Arc::clone(&streams.topics), Arc::clone(&streams.topology));
        let status = GroupStatus::new(own, input_topics, topology, &shared.workers, &shared.clock, &health)
            .context("start a client; check the [kafka] settings")?;
        let status = Arc::new(status);
        let workers = (0..threads).map(|number| worker(settings, own, &streams, shared, (&admission, &health), number));
        let workers = workers.collect::<anyhow::Result<_>>()?;
        let mut helpers: Vec<(_, Helper)> = Vec::new();
        if own.max_sink_lag > 0 {
            let watch = SinkWatch::new(Arc::clone(&log), shared, Arc::clone(&streams.backpressure), own.max_sink_lag);
            helpers.push(("backpressure", helper(move |stop| watch.run(stop))));
        }
        let state = (admission, health);
        let watch = TopicWatch::new(topics, streams.topology, own, streams.configuration, shared, state)
            .context("start a client; check the [kafka] settings")?;
        helpers.push(("topics", Box::new(move |stop| watch.run(stop))));
        let rounds = Arc::clone(&status);
        helpers.push(("status", helper(move |stop| rounds.run(stop))));
        Ok(Self { log, status, workers, helpers })
    }
}

/// A helper that cannot fail.
fn helper(body: impl FnOnce(&Stop) + Send + 'static) -> Helper {
    Box::new(move |stop| {
        body(stop);
        Ok(())
    })
}

/// Makes a log that only publishes samples: for `replay`, whose samples the group aggregates.
///
/// # Errors
///
/// When the cluster cannot be reached.
pub fn publisher(plans: &[Arc<Plan>], own: &KafkaSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
    let streams = Streams::new(plans, own, None);
    let shapes = Topics::new(&own.connection, &own.names, &streams.names)?.poll()?;
    streams.topology.set(shapes.iter().map(Shape::from).collect(), clock.monotonic());
    streams.log(own, clock, (&Arc::default(), &Arc::new(Health::new(own, clock, HealthGauges::default()))))
}

/// Makes a log that only reads results: for `results`.
///
/// # Errors
///
/// When librdkafka rejects the settings.
pub fn reader(own: &KafkaSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
    let health = Arc::new(Health::new(own, clock, HealthGauges::default()));
    Streams::new(&[], own, None).log(own, clock, (&Arc::default(), &health))
}

/// The clients of worker number `number`.
fn member(
    own: &KafkaSettings,
    streams: &Streams,
    telemetry: &Arc<GroupTelemetry>,
    admission: &Arc<Admission>,
    (number, heartbeat): (usize, &Heartbeat),
) -> anyhow::Result<Group> {
    let (topics, name) = (Arc::clone(&streams.topics), OwnName::new(&own.names, admission));
    let (client, transactional) =
        (own.names.client_id(number, &streams.configuration), own.names.transactional_id(number));
    Group::new(
        &own.connection,
        &own.names,
        name,
        (topics, Arc::clone(&streams.topology), telemetry, heartbeat),
        &client,
        &transactional,
        own.results,
    )
    .context("join the consumer group; check the [kafka] settings")
}

/// What makes the shards of a worker.
fn builder(
    settings: &WorkerSettings,
    own: &KafkaSettings,
    streams: &Streams,
    shared: &Shared,
    admission: &Arc<Admission>,
) -> ShardBuilder {
    ShardBuilder {
        streams: streams.plans.clone(),
        table: settings.table,
        block_bytes: own.results.block_bytes(),
        telemetry: Arc::clone(&shared.group),
        clock: Arc::clone(&shared.clock),
        configuration: streams.configuration.clone(),
        admission: Arc::clone(admission),
        foreign: streams.names.iter().map(|stream| own.names.foreign(stream).cloned()).collect(),
    }
}

fn worker(
    settings: &WorkerSettings,
    own: &KafkaSettings,
    streams: &Streams,
    shared: &Shared,
    (admission, health): (&Arc<Admission>, &Arc<Health>),
    number: usize,
) -> anyhow::Result<WorkerBody> {
    let [heartbeat, restores] = [(); 2].map(|()| shared.workers.heartbeats.join(&shared.clock));
    let member = member(own, streams, &shared.group, admission, (number, &heartbeat))?;
    let failures = health.failures();
    let store = StateTopicReader::new(&own.connection, &own.names, &streams.names, Arc::clone(&shared.clock))
        .context("start a client; check the [kafka] settings")?
        .with_heartbeat(&restores);
    let builder = builder(settings, own, streams, shared, admission);
    let is_ready = Arc::clone(&shared.worker_is_ready);
    let parts = Parts {
        member,
        topics: Arc::clone(&streams.topics),
        restorer: Restorer::start(store, builder, Arc::clone(&streams.topology), Arc::clone(&failures), restores)
            .context("start a thread that restores")?,
        topology: Arc::clone(&streams.topology),
        backpressure: Arc::clone(&streams.backpressure),
        clock: Arc::clone(&shared.clock),
        settings: settings.clone(),
        telemetry: Arc::clone(&shared.workers),
        group: Arc::clone(&shared.group),
        control: Arc::clone(&shared.control),
        admission: Arc::clone(admission),
        failures,
        heartbeat,
        owner: format!("{}/{number}", own.names.instance),
        ready: Box::new(move || is_ready()),
    };
    let (admission, control) = (Arc::clone(admission), Arc::clone(&shared.control));
    Ok(Box::new(move || {
        if admission.wait(&control.stop) {
            parts.member.join().context("join the consumer group; check kafka.topic_prefix")?;
            Worker::new(parts).run();
        }
        if admission.is_closed() {
            // The thread may not end before the stop.
            control.stop.rest(Duration::MAX);
        }
        Ok(())
    }))
}
