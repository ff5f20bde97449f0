//! The engine on Kafka: workers that are members of a group, and one thread that watches the topics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::stop;
use daemon_log::Log;
use proxy_uve::Plan;
use tracing::{error, info, warn};

use crate::config::ResultsFormat;
use crate::engine::{Engine, EngineSettings, Readiness};
use crate::intake::{Intake, PayloadForm};
use crate::kafka::backpressure::{Backpressure, SinkWatch};
use crate::kafka::client::Connection;
use crate::kafka::front_door::FrontDoor;
use crate::kafka::group::{Group, InputTopics};
use crate::kafka::log::KafkaLog;
use crate::kafka::names::Names;
use crate::kafka::places::GroupPlaces;
use crate::kafka::restore::{Materials, Restorer};
use crate::kafka::states::StateTopics;
use crate::kafka::topics::{StreamTopics, Topics};
use crate::kafka::topology::{Shape, Topology};
use crate::kafka::worker::{Parts, Worker};
use crate::result_block::MAX_BLOCK_BYTES;
use crate::telemetry::Telemetry;
use crate::worker::StreamPlan;

/// How long to wait before the cluster is asked again after it did not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Where the cluster is, and what things are called there.
#[derive(Clone)]
pub(crate) struct KafkaSettings {
    pub connection: Connection,
    pub names: Names,
    /// How often topics are looked at.
    pub refresh_interval: Duration,
    /// Copies of the topics that the daemon makes; 0 for the broker's default.
    pub replication: u16,
    /// Messages of the results topic that a sink may lag behind before input waits for it; 0 for any number.
    pub max_sink_lag: u64,
    pub results: ResultMessages,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The connection holds secrets.
        f.debug_struct("KafkaSettings").field("names", &self.names).finish_non_exhaustive()
    }
}

/// The messages of the results topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResultMessages {
    pub format: ResultsFormat,
    /// How many bytes of results go into one.
    pub bytes: usize,
}

impl ResultMessages {
    /// The size of the blocks that a table makes: with the binary format a block is a message.
    pub(crate) fn block_bytes(self) -> usize {
        match self.format {
            ResultsFormat::Binary => self.bytes,
            ResultsFormat::Json => MAX_BLOCK_BYTES,
        }
    }
}

/// What every part needs to know of the streams.
#[derive(Clone)]
struct Streams {
    plans: Vec<Arc<StreamPlan>>,
    names: Vec<String>,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    backpressure: Arc<Backpressure>,
}

impl Streams {
    fn new(plans: &[Arc<Plan>], own: &KafkaSettings) -> Self {
        let named = |plan: &Arc<Plan>| StreamPlan { name: plan.stream().to_string(), plan: Arc::clone(plan) };
        let plans: Vec<_> = plans.iter().map(|plan| Arc::new(named(plan))).collect();
        let names: Vec<String> = plans.iter().map(|stream| stream.name.clone()).collect();
        let topics = Arc::new(InputTopics::new(&own.names, &names));
        Self { plans, names, topics, topology: Arc::default(), backpressure: Arc::default() }
    }

    fn intake(&self) -> Intake {
        let named = self.plans.iter().zip(0..).map(|(stream, number)| (stream.plan.stream(), number));
        // Which partition a sample goes to is decided when it is published: the number may change.
        Intake::new(named, 1, PayloadForm::Published)
    }

    fn log(&self, own: &KafkaSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
        let (topics, topology) = (Arc::clone(&self.topics), Arc::clone(&self.topology));
        let front_door = FrontDoor::new(&own.connection, &own.names, topics, topology);
        let front_door = front_door.context("start a producer; check the [kafka] settings")?;
        Ok(Arc::new(KafkaLog::new(own.connection.clone(), own.names.clone(), front_door, Arc::clone(clock))))
    }
}

/// Starts everything. That the cluster cannot be reached is no error: the daemon waits for it.
pub(crate) fn start(settings: &EngineSettings, own: &KafkaSettings, clock: Arc<dyn Clock>) -> anyhow::Result<Engine> {
    let streams = Streams::new(&settings.plans, own);
    let topics = Topics::new(&own.connection, &own.names, &streams.names)?;
    let log = streams.log(own, &clock)?;
    let telemetry: Arc<Telemetry> = Arc::default();
    let places = GroupPlaces::new(own, Arc::clone(&streams.topics), Arc::clone(&streams.topology), &telemetry)
        .context("start a client; check the [kafka] settings")?;
    let (readiness, ready) = Readiness::new(settings.threads + 1);
    let mut engine = Engine::new(log, Arc::new(places), telemetry, streams.intake(), ready, clock);
    for worker in 0..settings.threads {
        add_worker(&mut engine, settings, own, &streams, &readiness, worker)?;
    }
    engine.start_sinks(settings, &readiness)?;
    if own.max_sink_lag > 0 {
        let (log, telemetry) = (Arc::clone(&engine.log), Arc::clone(&engine.telemetry));
        let watch = SinkWatch::new(log, telemetry, Arc::clone(&streams.backpressure), own.max_sink_lag);
        engine.add_helper("backpressure", move |stop| watch.run(stop))?;
    }
    let watch = Watch { topics, topology: streams.topology, own: own.clone(), shown: Vec::new() };
    engine.add_helper("topics", move |stop| watch.run(stop))?;
    Ok(engine)
}

/// Only what publishes samples: for `replay`, which leaves the work to the group.
pub(crate) fn publisher(
    plans: &[Arc<Plan>],
    own: &KafkaSettings,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(Arc<dyn Log>, Intake)> {
    let streams = Streams::new(plans, own);
    let shapes = Topics::new(&own.connection, &own.names, &streams.names)?.look()?;
    streams.topology.set(shapes.iter().map(Shape::from).collect());
    Ok((streams.log(own, clock)?, streams.intake()))
}

/// Only what reads results: for `results`.
pub(crate) fn reader(own: &KafkaSettings, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn Log>> {
    Streams::new(&[], own).log(own, clock)
}

fn add_worker(
    engine: &mut Engine,
    settings: &EngineSettings,
    own: &KafkaSettings,
    streams: &Streams,
    readiness: &Arc<Readiness>,
    number: usize,
) -> anyhow::Result<()> {
    let topics = Arc::clone(&streams.topics);
    let member = Group::join(&own.connection, &own.names, topics, number, own.results)
        .context("join the consumer group; check the [kafka] settings")?;
    let store = StateTopics::new(&own.connection, &own.names, &streams.names, Arc::clone(&engine.clock))
        .context("start a client; check the [kafka] settings")?;
    let materials = Materials {
        streams: streams.plans.clone(),
        table: settings.worker.table,
        block_bytes: own.results.block_bytes(),
        telemetry: Arc::clone(&engine.telemetry),
        clock: Arc::clone(&engine.clock),
    };
    let readiness = Arc::clone(readiness);
    let parts = Parts {
        member,
        restorer: Restorer::start(store, materials).context("start a thread that restores")?,
        topology: Arc::clone(&streams.topology),
        backpressure: Arc::clone(&streams.backpressure),
        clock: Arc::clone(&engine.clock),
        settings: settings.worker.clone(),
        telemetry: Arc::clone(&engine.telemetry),
        control: Arc::clone(&engine.control),
        owner: format!("{}/{number}", own.names.instance),
        ready: Box::new(move || readiness.one_more()),
    };
    engine.add_worker(format!("worker-{number}"), move || Worker::new(parts).run())
}

/// Looks at the topics: makes ours, and tells the workers how many partitions there are.
struct Watch {
    topics: Topics,
    topology: Arc<Topology>,
    own: KafkaSettings,
    /// The problems that were said already.
    shown: Vec<String>,
}

impl Watch {
    fn run(mut self, stop: &AtomicBool) {
        let mut complete = false;
        while !stop.load(Ordering::Acquire) {
            let looked = if complete { self.topics.look() } else { self.topics.ensure_own(self.own.replication) };
            let pause = match looked {
                Ok(streams) => {
                    // The state topic of an input that appears later is made when it does.
                    complete = streams.iter().all(|stream| stream.inputs == 0 || stream.states > 0);
                    self.tell(&streams);
                    if complete { self.own.refresh_interval } else { Duration::ZERO }
                }
                Err(error) => {
                    error!(error = %format!("{error:#}"), "The topics cannot be looked at; trying again.");
                    RETRY
                }
            };
            stop::rest(pause, stop);
        }
    }

    fn tell(&mut self, streams: &[StreamTopics]) {
        if self.topology.set(streams.iter().map(Shape::from).collect()) {
            for stream in streams {
                info!(stream = %stream.stream, partitions = stream.inputs, states = stream.states, "Topic looked at.");
            }
        }
        let problems: Vec<String> = streams.iter().filter_map(|stream| stream.problem(&self.own.names)).collect();
        for problem in problems.iter().filter(|problem| !self.shown.contains(problem)) {
            warn!("{problem}");
        }
        self.shown = problems;
    }
}

impl From<&StreamTopics> for Shape {
    fn from(stream: &StreamTopics) -> Self {
        Self { inputs: stream.inputs, shards: stream.states }
    }
}
