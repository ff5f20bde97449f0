//! A schedule: workers, brokers and coordinator take steps in an order that the seed decides.
//!
//! A worker that freezes in the middle of a commit stays on the stack, and the others run on top of it until it
//! continues. So everything runs on one thread, and one seed is one schedule.

mod input;
mod processes;
mod restores;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use daemon_alarms::{Rules, text};
use daemon_base::clock::{Clock, ManualClock};
use daemon_base::observation::Observations;
use daemon_partition::{StreamPlan, Taps, WorkerSettings};
use daemon_results::block::MAX_BLOCK_BYTES;
use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

use crate::configuration::Configuration;
use crate::shard_restore::ShardBuilder;
use crate::simulator::brokers::{Brokers, SHARDS};
use crate::simulator::coordinator::Coordinator;
use crate::simulator::random::Random;
use crate::simulator::{Mutation, Tally};
use crate::topic_id::TopicId;
use crate::topology::{Shape, Topology};

use self::processes::Process;

/// Steps of a schedule with faults.
const STEPS: u32 = 600;

/// After this long every process has found the new partitions of a topic. It is below the longest time between two
/// confirmations that a partition is at its end.
const REFRESH: Duration = Duration::from_secs(4);

/// The id of the input topic. A poll of the topics may not have it yet.
const INPUT_ID: &[u8] = b"eyQ4aBcDeF-_0123456789";

/// The wall clock at the start of a schedule, in microseconds since the epoch.
const START: u64 = 1_488_000_000_000_000;

/// The properties of a seed's schedule besides freezes and rebalances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    /// The input topic gets more partitions.
    pub grows: bool,
    /// Retention deletes input, applied or not.
    pub deletes_input: bool,
    /// The group rebalances eagerly, not cooperatively.
    pub is_eager: bool,
    /// The records have the brokers' time, not only their producers'.
    pub has_broker_time: bool,
    close_per_record: usize,
}

/// The simulated cluster with its processes.
pub(super) struct World {
    pub random: Random,
    pub mutation: Mutation,
    pub kinds: Kinds,
    pub clock: Arc<ManualClock>,
    pub brokers: RefCell<Brokers>,
    pub coordinator: RefCell<Coordinator>,
    pub tally: RefCell<Tally>,
    pub builder: ShardBuilder,
    /// Records that retention deleted before their offset was committed, by partition and offset. A worker may have
    /// applied them or not.
    pub deleted_unread: RefCell<BTreeSet<(u16, u64)>>,
    /// Shards with deleted offsets that were not committed: a worker cannot find out that they held no record.
    pub gaps: RefCell<BTreeSet<u16>>,
    processes: RefCell<Vec<Process>>,
    settings: WorkerSettings,
    /// Steps with faults that are left.
    steps: Cell<u32>,
    /// The number of partitions by which each producer partitions.
    producers: RefCell<[u16; 2]>,
    /// When the input topic got more partitions.
    grown: Cell<Option<Duration>>,
    /// The version of the configuration of processes that start.
    version: Cell<u64>,
}

/// The configuration of this version; each has other types, as far as a process can see.
fn configuration(version: u64) -> Configuration {
    Configuration { version, fingerprint: version.to_string(), ..Configuration::default() }
}

/// A rule whose alarms often fire and often end: sums of a few samples below 1000, and silence, are on either side.
const RULE: &str = "alarm \"high\" when AggProxySum.value > 1200 for 2 periods, clear below 900";

/// The stream with its rules, or without them.
pub(super) fn stream(has_rules: bool) -> Arc<StreamPlan> {
    let name = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    let schema = Schema::builtin();
    let types = ["AggProxySum", "AggProxySumAnomalyEWM01"].map(|it| Arc::clone(schema.get(it).unwrap()));
    let rules = has_rules.then(|| text::rule(RULE).unwrap_or_else(|error| panic!("{error}")));
    let rules = Arc::new(Rules::new(rules.into_iter().collect()));
    Arc::new(StreamPlan::new(Arc::new(Plan::new(name, &types)), &Observations::default()).with_alarms(&rules))
}

impl World {
    /// The world of the schedule of `seed`.
    pub(super) fn new(seed: u64, mutation: Mutation) -> Rc<Self> {
        let random = Random::new(seed);
        let kinds = Kinds {
            grows: random.once_in(3),
            deletes_input: random.once_in(4),
            is_eager: random.once_in(4),
            has_broker_time: random.once_in(2),
            close_per_record: if random.once_in(2) { 1 } else { usize::MAX },
        };
        Self::build(random, mutation, kinds, START, STEPS)
    }

    /// A world without faults, in which one worker reads the input that `other` has at its end.
    pub(super) fn undisturbed(other: &Self) -> Rc<Self> {
        let world = Self::build(Random::new(0), Mutation::None, other.kinds, other.clock.now_micros(), 0);
        let mut inputs = other.brokers.borrow().inputs.clone();
        inputs.iter_mut().for_each(|input| input.first = 0);
        world.brokers.borrow_mut().inputs = inputs;
        world
    }

    fn build(random: Random, mutation: Mutation, kinds: Kinds, wall: u64, steps: u32) -> Rc<Self> {
        let clock = Arc::new(ManualClock::at(wall));
        let table = TableSettings::default().with_close_per_record(kinds.close_per_record);
        let shared: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        Rc::new(Self {
            random,
            mutation,
            kinds,
            brokers: RefCell::new(Brokers::new(Arc::clone(&clock), mutation)),
            coordinator: RefCell::new(Coordinator::new(kinds.is_eager)),
            tally: RefCell::default(),
            builder: ShardBuilder {
                streams: vec![stream(true)],
                table,
                block_bytes: MAX_BLOCK_BYTES,
                telemetry: Arc::default(),
                clock: shared,
                configuration: Configuration::default(),
                admission: Arc::default(),
                foreign: Vec::new(),
            },
            deleted_unread: RefCell::default(),
            gaps: RefCell::default(),
            processes: RefCell::default(),
            settings: WorkerSettings {
                table,
                idle_timeout: Duration::from_secs(3),
                commit_interval: Duration::from_secs(2),
                alarms: Arc::default(),
                taps: Taps::default(),
                observations: Observations::default(),
                start_over: std::path::PathBuf::new(),
                partitions: 1,
                may_start_over: false,
            },
            steps: Cell::new(steps),
            producers: RefCell::new([SHARDS; 2]),
            grown: Cell::new(None),
            version: Cell::new(0),
            clock,
        })
    }

    /// Runs the steps with faults, then steps without faults until all input is applied.
    pub(super) fn run(self: &Rc<Self>) {
        (0..1 + self.random.below(3)).for_each(|_| self.start());
        while self.has_faults() {
            self.step();
        }
        self.settle();
    }

    /// Whether faults may still happen.
    pub(super) fn has_faults(&self) -> bool {
        self.steps.get() > 0
    }

    /// One random step.
    fn step(self: &Rc<Self>) {
        self.steps.set(self.steps.get().saturating_sub(1));
        match self.random.below(1000) {
            0..320 => self.iterate_any(),
            320..480 => self.produce(),
            480..640 => self.pass(Duration::from_millis(self.random.between(50, 600))),
            640..690 => self.pass(Duration::from_millis(self.random.between(4000, 12_000))),
            690..830 => self.restore_any(),
            830..920 => self.coordinate(),
            920..950 => self.brokers.borrow_mut().settle_all(),
            950..965 => self.freeze_any(),
            965..971 => self.kill_any(),
            971..980 => self.start(),
            980..984 => self.stop_any(),
            984..986 => self.toggle_backpressure_of_any(),
            986..988 => self.coordinator.borrow_mut().request_rebalance(1),
            988..992 => self.grow(),
            992..995 => self.delete_input(),
            995 => self.change_configuration(),
            _ => self.expel_frozen(),
        }
    }

    /// Continues without faults until every worker is idle, then stops all.
    fn settle(self: &Rc<Self>) {
        self.processes.borrow_mut().iter_mut().for_each(|process| process.frozen_until = Duration::ZERO);
        self.give_way();
        if self.running().is_empty() {
            self.start();
        }
        for round in 0..165 {
            if round == 75 {
                // So late that windows would have been closed by the clock if paused time counted as idle time.
                self.processes.borrow().iter().for_each(|process| process.backpressure.set(false));
            }
            // Faster after that, but below the longest time between two confirmations that a partition is at its end.
            let pace = if round < 60 { 500 } else { 4_500 };
            self.pass(Duration::from_millis(pace));
            self.brokers.borrow_mut().settle_all();
            for process in self.running() {
                while self.restore(process) {}
                self.iterate(process);
            }
            self.coordinate();
        }
        self.running().into_iter().for_each(|process| self.stop(process));
        self.brokers.borrow_mut().settle_all();
    }

    /// Advances the clock, with all that happens by time alone.
    fn pass(&self, span: Duration) {
        self.clock.advance(span);
        let now = self.clock.monotonic();
        self.coordinator.borrow_mut().heartbeat(now);
        self.brokers.borrow_mut().abort_timed_out();
        for process in self.processes.borrow().iter() {
            let is_silent = self.coordinator.borrow().clients[process.client].is_silent;
            if !is_silent && process.frozen_until <= now && self.polls_topics(&process.topology, now) {
                process.topology.set(vec![self.polled(&process.topology)], now);
            }
        }
    }

    /// Whether a process polls the topics in this step: in time, later, or on request.
    fn polls_topics(&self, topology: &Topology, now: Duration) -> bool {
        let is_due = topology.take_request() || now >= topology.as_of() + REFRESH;
        is_due && (!self.has_faults() || self.random.once_in(3))
    }

    /// What a poll of the topics finds.
    fn polled(&self, topology: &Topology) -> Shape {
        let is_known = topology.input_id(0).is_some() || !self.has_faults() || !self.random.once_in(3);
        Shape { input_id: Self::input_id().filter(|_| is_known), ..self.shape() }
    }

    /// The id of the input topic.
    pub(super) fn input_id() -> Option<TopicId> {
        TopicId::new(INPUT_ID)
    }

    fn shape(&self) -> Shape {
        Shape { inputs: self.brokers.borrow().inputs.len() as u16, shards: SHARDS, input_id: None }
    }

    /// A rebalance step of the coordinator, and deliveries to some of the clients.
    fn coordinate(&self) {
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator.rebalance(self.shape().inputs, &self.random);
        for client in 0..coordinator.clients.len() {
            if !self.has_faults() || self.random.once_in(2) {
                coordinator.deliver(client);
            }
        }
    }

    /// Whether the coordinator accepts offsets from this client.
    pub(super) fn may_commit(&self, client: usize) -> bool {
        let coordinator = self.coordinator.borrow();
        let client = &coordinator.clients[client];
        self.mutation == Mutation::NoFencing || client.is_member && client.generation == coordinator.generation
    }
}
