//! A schedule: workers, brokers and coordinator take their steps in an order that the seed decides.
//!
//! A worker that freezes in the middle of a commit stays on the stack, and the others take their turns on top of it
//! until it thaws. So everything runs on one thread, and one seed is one schedule.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use daemon_base::clock::{Clock, ManualClock};
use daemon_log::PartitionId;
use daemon_partition::{Control, StreamPlan, WorkerSettings};
use daemon_results::block::MAX_BLOCK_BYTES;
use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

use crate::backpressure::Backpressure;
use crate::restore::{Asked, Materials, Restored, Restorer};
use crate::simulator::brokers::{Brokers, Input, SHARDS, Sent};
use crate::simulator::coordinator::Coordinator;
use crate::simulator::member::FakeMember;
use crate::simulator::random::Random;
use crate::simulator::{Mutation, Tally};
use crate::state::StateRecords;
use crate::telemetry::GroupTelemetry;
use crate::topology::{Shape, Topology};
use crate::worker::{Parts, Worker};

/// Steps of a schedule before everything is mended.
const STEPS: u32 = 600;

/// Workers at most.
const WORKERS: usize = 4;

/// How much older than its arrival a sample may be: less than the allowed lateness, so that none is late.
const JITTER: u64 = 5_000_000;

/// After this long everybody knows that a topic was grown.
const REFRESH: Duration = Duration::from_secs(5);

const START: u64 = 1_488_000_000_000_000;

/// What the schedule of a seed has besides freezes and rebalances.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    pub grows: bool,
    /// Retention deletes input, applied or not.
    pub cuts: bool,
    pub is_eager: bool,
    close_per_record: usize,
}

/// How far a shard is with being restored: what the thread of a real restorer does in one go.
enum Stage {
    Asked,
    /// The high watermark was seen, and has to become the stable end.
    Waiting(usize),
    Read(StateRecords),
}

struct Pending {
    id: PartitionId,
    ticket: u64,
    stage: Stage,
}

/// A process with one worker.
struct Actor {
    client: usize,
    name: usize,
    /// Not there while it takes its turn, and when it is no more.
    worker: Option<Worker<FakeMember>>,
    asked: Receiver<Asked>,
    done: Sender<Restored>,
    pending: Vec<Pending>,
    topology: Arc<Topology>,
    backpressure: Arc<Backpressure>,
    control: Arc<Control>,
    frozen_until: Duration,
}

pub(super) struct World {
    pub random: Random,
    pub mutation: Mutation,
    pub kinds: Kinds,
    pub clock: Arc<ManualClock>,
    pub brokers: RefCell<Brokers>,
    pub coordinator: RefCell<Coordinator>,
    pub tally: RefCell<Tally>,
    pub materials: Materials,
    /// Records that were deleted and that nobody may have applied, by partition and offset.
    pub uncertain: RefCell<BTreeSet<(u16, u64)>>,
    /// Shards of which offsets were deleted that were not committed: a worker cannot know that they held no record.
    pub gaps: RefCell<BTreeSet<u16>>,
    actors: RefCell<Vec<Actor>>,
    settings: WorkerSettings,
    steps: Cell<u32>,
    /// How many partitions each producer knows of.
    producers: RefCell<[u16; 2]>,
    grown: Cell<Option<Duration>>,
}

fn stream() -> Arc<StreamPlan> {
    let name = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    let schema = Schema::builtin();
    let types = ["AggProxySum", "AggProxySumAnomalyEWM01"].map(|it| Arc::clone(schema.get(it).unwrap()));
    Arc::new(StreamPlan { name: name.to_string(), plan: Arc::new(Plan::new(name, &types)) })
}

impl World {
    /// The world in which the schedule of `seed` happens.
    pub(super) fn new(seed: u64, mutation: Mutation) -> Rc<Self> {
        let random = Random::new(seed);
        let kinds = Kinds {
            grows: random.once_in(3),
            cuts: random.once_in(4),
            is_eager: random.once_in(4),
            close_per_record: if random.once_in(2) { 1 } else { usize::MAX },
        };
        Self::build(random, mutation, kinds, START, STEPS)
    }

    /// The world in which nothing happens but that one worker reads this input, after `seed`'s was over.
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
        let telemetry: Arc<GroupTelemetry> = Arc::default();
        let own: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        Rc::new(Self {
            random,
            mutation,
            kinds,
            brokers: RefCell::new(Brokers::new(Arc::clone(&clock), mutation)),
            coordinator: RefCell::new(Coordinator::new(kinds.is_eager)),
            tally: RefCell::default(),
            materials: Materials {
                streams: vec![stream()],
                table,
                block_bytes: MAX_BLOCK_BYTES,
                telemetry,
                clock: own,
            },
            uncertain: RefCell::default(),
            gaps: RefCell::default(),
            actors: RefCell::default(),
            settings: WorkerSettings {
                table,
                idle_timeout: Duration::from_secs(3),
                commit_interval: Duration::from_secs(2),
            },
            steps: Cell::new(steps),
            producers: RefCell::new([SHARDS; 2]),
            grown: Cell::new(None),
            clock,
        })
    }

    /// Lets everything happen, then mends everything and lets it come to rest.
    pub(super) fn run(self: &Rc<Self>) {
        (0..1 + self.random.below(3)).for_each(|_| self.start());
        while self.is_wild() {
            self.step();
        }
        self.come_to_rest();
    }

    /// Whether faults may still happen.
    pub(super) fn is_wild(&self) -> bool {
        self.steps.get() > 0
    }

    fn step(self: &Rc<Self>) {
        self.steps.set(self.steps.get().saturating_sub(1));
        match self.random.below(1000) {
            0..320 => self.turn_of_any(),
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
            984..986 => self.hold_any(),
            986..988 => self.coordinator.borrow_mut().ask_for_rebalance(1),
            988..992 => self.grow(),
            992..996 => self.cut(),
            _ => self.expel_frozen(),
        }
    }

    fn come_to_rest(self: &Rc<Self>) {
        if self.live().is_empty() {
            self.start();
        }
        self.actors.borrow_mut().iter_mut().for_each(|actor| actor.frozen_until = Duration::ZERO);
        for round in 0..165 {
            if round == 75 {
                // Later than if the time before were taken for quiet.
                self.actors.borrow().iter().for_each(|actor| actor.backpressure.set(false));
            }
            // Then faster, but so that a quiet partition is confirmed to be so often enough.
            let pace = if round < 60 { 500 } else { 4_500 };
            self.pass(Duration::from_millis(pace));
            self.brokers.borrow_mut().settle_all();
            for actor in self.live() {
                while self.restore(actor) {}
                self.turn(actor);
            }
            self.coordinate();
        }
        self.live().into_iter().for_each(|actor| self.stop(actor));
        self.brokers.borrow_mut().settle_all();
    }

    /// Actors that are alive and not in the middle of a turn.
    fn live(&self) -> Vec<usize> {
        let (actors, now) = (self.actors.borrow(), self.clock.monotonic());
        let is_live = |actor: &Actor| actor.worker.is_some() && actor.frozen_until <= now;
        (0..actors.len()).filter(|it| is_live(&actors[*it])).collect()
    }

    fn any_live(&self) -> Option<usize> {
        let live = self.live();
        live.get(self.random.below(live.len())).copied()
    }

    fn turn_of_any(&self) {
        if let Some(actor) = self.any_live() {
            self.turn(actor);
        }
    }

    fn turn(&self, actor: usize) {
        let (worker, client) = {
            let actor = &mut self.actors.borrow_mut()[actor];
            // The process ran to get here.
            self.coordinator.borrow_mut().clients[actor.client].is_silent = false;
            (actor.worker.take(), actor.client)
        };
        let Some(mut worker) = worker else { return };
        // What the cluster did not answer is asked again in the next turn.
        let _ = worker.turn();
        if !self.coordinator.borrow().clients[client].is_dead {
            self.actors.borrow_mut()[actor].worker = Some(worker);
        }
    }

    fn produce(&self) {
        for _ in 0..1 + self.random.below(6) {
            let producer = self.random.below(2);
            if self.grown.get().is_some() && self.random.once_in(30) {
                self.producers.borrow_mut()[producer] = self.brokers.borrow().inputs.len() as u16;
            }
            let partitions = self.producers.borrow()[producer];
            let key = format!("ObjectVNTable:vn{}", self.random.below(12)).into_bytes();
            let partition = proxy_uve::partition(&key, u32::from(partitions)) as usize;
            let at = self.clock.now_micros() - self.random.between(0, JITTER);
            let value = self.random.below(1000);
            let (key, payload) = match self.random.below(40) {
                0 => (key, b"no sample".to_vec()),
                1 => (Vec::new(), format!("{{\"ts\":{at},\"value\":{value}}}").into_bytes()),
                2 => (key, format!("{{\"ts\":{at},\"value\":-1}}").into_bytes()),
                _ => (key, format!("{{\"ts\":{at},\"value\":{value}}}").into_bytes()),
            };
            let gap = u64::from(self.random.once_in(10));
            self.brokers.borrow_mut().append(partition, gap, key, payload);
        }
    }

    fn pass(&self, span: Duration) {
        self.clock.advance(span);
        let now = self.clock.monotonic();
        self.coordinator.borrow_mut().beat(now);
        self.brokers.borrow_mut().abort_what_timed_out();
        let Some(grown) = self.grown.get() else { return };
        for actor in self.actors.borrow().iter() {
            let is_silent = self.coordinator.borrow().clients[actor.client].is_silent;
            if !is_silent && (now >= grown + REFRESH || self.random.once_in(5)) {
                actor.topology.set(vec![self.shape()]);
            }
        }
    }

    fn shape(&self) -> Shape {
        Shape { inputs: self.brokers.borrow().inputs.len() as u16, shards: SHARDS }
    }

    fn restore_any(&self) {
        if let Some(actor) = self.any_live() {
            self.restore(actor);
        }
    }

    /// One step of what the restoring thread does; whether there was one to take.
    fn restore(&self, actor: usize) -> bool {
        let mut actors = self.actors.borrow_mut();
        let Actor { pending, asked, done, .. } = &mut actors[actor];
        for (id, ticket) in asked.try_iter().flatten() {
            pending.push(Pending { id, ticket, stage: Stage::Asked });
        }
        if pending.is_empty() {
            return false;
        }
        let chosen = self.random.below(pending.len());
        let brokers = self.brokers.borrow();
        let Pending { id, ticket, stage } = &mut pending[chosen];
        match stage {
            Stage::Asked => *stage = Stage::Waiting(brokers.high_watermark(id.partition)),
            Stage::Waiting(end) => {
                if brokers.stable_end(id.partition) < *end && self.mutation != Mutation::RestoresAtOnce {
                    self.tally.borrow_mut().waits += 1;
                    return false;
                }
                *stage = Stage::Read(brokers.state(id.partition));
            }
            Stage::Read(records) => {
                let built = self.materials.build(*id, &self.materials.streams[0], records);
                let shard = Box::new(built.expect("there is one program"));
                let _ = done.send(Restored { id: *id, ticket: *ticket, shard });
                pending.swap_remove(chosen);
            }
        }
        true
    }

    fn coordinate(&self) {
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator.rebalance(self.shape().inputs, &self.random);
        for client in 0..coordinator.clients.len() {
            if !self.is_wild() || self.random.once_in(2) {
                coordinator.hear(client);
            }
        }
    }

    /// The worker stands still between two turns.
    fn freeze_any(&self) {
        let Some(actor) = self.any_live() else { return };
        let actor = &mut self.actors.borrow_mut()[actor];
        actor.frozen_until = self.clock.monotonic() + self.some_time();
        self.coordinator.borrow_mut().clients[actor.client].is_silent = self.random.once_in(2);
        self.tally.borrow_mut().freezes += 1;
    }

    /// A sink of the process lags, or has caught up.
    fn hold_any(&self) {
        let Some(actor) = self.any_live() else { return };
        let backpressure = &self.actors.borrow()[actor].backpressure;
        backpressure.set(!backpressure.is_on());
        self.tally.borrow_mut().holds += u64::from(backpressure.is_on());
    }

    fn some_time(&self) -> Duration {
        Duration::from_millis(self.random.between(200, 90_000))
    }

    /// The worker stands still where it is, in the middle of a commit; the world goes on.
    pub(super) fn freeze(self: &Rc<Self>, client: usize) {
        self.tally.borrow_mut().freezes_in_commits += 1;
        let until = self.clock.monotonic() + self.some_time();
        self.coordinator.borrow_mut().clients[client].is_silent = self.random.once_in(2);
        while self.is_wild() && self.clock.monotonic() < until && !self.coordinator.borrow().clients[client].is_dead {
            self.step();
        }
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator.clients[client].is_silent = false;
        if self.random.once_in(2) {
            coordinator.hear(client);
        }
    }

    /// Ends a process at once. A worker that is in the middle of its turn never comes to the end of it.
    pub(super) fn kill(&self, client: usize) {
        self.coordinator.borrow_mut().clients[client].is_dead = true;
        self.tally.borrow_mut().kills += 1;
        let worker = self.actors.borrow_mut()[client].worker.take();
        drop(worker);
    }

    fn kill_any(&self) {
        let living: Vec<usize> = {
            let coordinator = self.coordinator.borrow();
            (0..coordinator.clients.len()).filter(|it| !coordinator.clients[*it].is_dead).collect()
        };
        if let Some(client) = living.get(self.random.below(living.len())) {
            self.kill(*client);
        }
    }

    fn stop_any(&self) {
        if let Some(actor) = self.any_live() {
            self.stop(actor);
        }
    }

    /// Ends a worker as a restart does: it commits and leaves.
    fn stop(&self, actor: usize) {
        let worker = {
            let actor = &mut self.actors.borrow_mut()[actor];
            actor.control.stop.store(true, Ordering::Release);
            actor.worker.take()
        };
        if let Some(worker) = worker {
            worker.run();
        }
    }

    fn start(self: &Rc<Self>) {
        let names: BTreeSet<usize> = {
            let (actors, coordinator) = (self.actors.borrow(), self.coordinator.borrow());
            actors.iter().filter(|it| !coordinator.clients[it.client].is_dead).map(|it| it.name).collect()
        };
        if names.len() >= WORKERS {
            return;
        }
        let client = self.coordinator.borrow_mut().join(self.clock.monotonic());
        // Under a name of its own, or under that of one that is no more.
        let free = (0..WORKERS).find(|name| !names.contains(name)).filter(|_| !self.random.once_in(3));
        let name = free.unwrap_or(WORKERS + client);
        let (restorer, asked, done) = Restorer::by_hand();
        let topology: Arc<Topology> = Arc::default();
        topology.set(vec![self.shape()]);
        let (backpressure, control): (Arc<Backpressure>, Arc<Control>) = Default::default();
        let member = FakeMember { world: Rc::clone(self), client, name, is_ready: false };
        let worker = Worker::new(Parts {
            member,
            restorer,
            topology: Arc::clone(&topology),
            backpressure: Arc::clone(&backpressure),
            clock: Arc::clone(&self.materials.clock),
            settings: self.settings.clone(),
            telemetry: Arc::default(),
            group: Arc::clone(&self.materials.telemetry),
            control: Arc::clone(&control),
            owner: name.to_string(),
            ready: Box::new(|| {}),
        });
        self.actors.borrow_mut().push(Actor {
            client,
            name,
            worker: Some(worker),
            asked,
            done,
            pending: Vec::new(),
            topology,
            backpressure,
            control,
            frozen_until: Duration::ZERO,
        });
    }

    fn grow(&self) {
        if self.kinds.grows && self.grown.get().is_none() {
            self.grown.set(Some(self.clock.monotonic()));
            let mut brokers = self.brokers.borrow_mut();
            let inputs = brokers.inputs.len() * 2;
            brokers.inputs.resize_with(inputs, Input::default);
            self.coordinator.borrow_mut().ask_for_rebalance(0);
            self.tally.borrow_mut().growths += 1;
        }
    }

    /// Retention deletes the oldest records of a partition, whether they were read or not.
    fn cut(&self) {
        if !self.kinds.cuts {
            return;
        }
        let mut brokers = self.brokers.borrow_mut();
        brokers.settle_all();
        let partition = self.random.below(brokers.inputs.len());
        let committed = brokers.offsets.get(&(partition as u16)).copied().unwrap_or(0);
        let input = &mut brokers.inputs[partition];
        let first = self.random.between(input.first, input.next);
        let unread =
            input.sent.iter().map(|it| it.offset).filter(|it| (input.first.max(committed)..first).contains(it));
        let unread: Vec<u64> = unread.collect();
        if first > committed {
            self.gaps.borrow_mut().insert(partition as u16 % SHARDS);
        }
        input.first = first;
        self.tally.borrow_mut().cuts += u64::from(!unread.is_empty());
        self.uncertain.borrow_mut().extend(unread.into_iter().map(|offset| (partition as u16, offset)));
    }

    /// A client that stands still takes longer than its poll interval.
    fn expel_frozen(&self) {
        let frozen: Vec<usize> = {
            let (actors, now) = (self.actors.borrow(), self.clock.monotonic());
            let stands = |it: &&Actor| it.worker.is_none() || it.frozen_until > now;
            actors.iter().filter(stands).map(|it| it.client).collect()
        };
        let mut coordinator = self.coordinator.borrow_mut();
        if let Some(client) = frozen.get(self.random.below(frozen.len()))
            && !coordinator.clients[*client].is_dead
        {
            coordinator.expel(*client);
        }
    }

    /// Whether the group takes offsets from this client.
    pub(super) fn may_commit(&self, client: usize) -> bool {
        let coordinator = self.coordinator.borrow();
        let client = &coordinator.clients[client];
        self.mutation == Mutation::NoFencing || client.is_member && client.generation == coordinator.generation
    }

    /// What a poll of this client gets.
    pub(super) fn fetch(&self, client: usize) -> Vec<(u16, Vec<Sent>)> {
        let brokers = self.brokers.borrow();
        let client = &mut self.coordinator.borrow_mut().clients[client];
        let mut fetched = Vec::new();
        for (partition, position) in &mut client.reading {
            let input = &brokers.inputs[usize::from(*partition)];
            if *position < input.first {
                client.out_of_range = true;
                continue;
            }
            if client.paused.contains(partition) || self.is_wild() && self.random.once_in(3) {
                continue;
            }
            let most = if self.is_wild() { 1 + self.random.below(12) } else { 1000 };
            let from = input.sent.partition_point(|it| it.offset < *position);
            let run = &input.sent[from..input.sent.len().min(from + most)];
            *position = if from + run.len() == input.sent.len() {
                input.next
            } else {
                run.last().map_or(*position, |last| last.offset + 1)
            };
            if !run.is_empty() {
                fetched.push((*partition, run.to_vec()));
            }
        }
        fetched
    }
}
