//! The simulated processes, each with one worker: they start, run, freeze, stop and are killed.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use daemon_base::clock::Clock as _;
use daemon_partition::{Control, Heartbeat};

use crate::backpressure::Backpressure;
use crate::shard_restore::{RestoreRequest, Restored, Restorer, ShardBuilder};
use crate::simulator::member::SimulatedMember;
use crate::topology::Topology;
use crate::worker::{Parts, Worker};

use super::restores::PendingRestore;
use super::{World, configuration};

/// The most workers at a time.
const MAX_WORKERS: usize = 4;

/// A process with one worker.
pub(super) struct Process {
    pub(super) client: usize,
    transactional_id: usize,
    /// `None` during an iteration, and after the worker has ended.
    worker: Option<Worker<SimulatedMember>>,
    pub(super) requests: Receiver<RestoreRequest>,
    pub(super) restored: Sender<Restored>,
    pub(super) pending: Vec<PendingRestore>,
    pub(super) topology: Arc<Topology>,
    /// With the configuration and the admission of this process.
    pub(super) builder: ShardBuilder,
    pub(super) backpressure: Arc<Backpressure>,
    control: Arc<Control>,
    pub(super) frozen_until: Duration,
}

impl World {
    /// The processes that run, are not frozen, and are not in the middle of an iteration.
    pub(super) fn running(&self) -> Vec<usize> {
        let (processes, now) = (self.processes.borrow(), self.clock.monotonic());
        let is_running = |process: &Process| process.worker.is_some() && process.frozen_until <= now;
        (0..processes.len()).filter(|it| is_running(&processes[*it])).collect()
    }

    pub(super) fn any_running(&self) -> Option<usize> {
        let running = self.running();
        running.get(self.random.below(running.len())).copied()
    }

    /// One iteration of a random worker.
    pub(super) fn iterate_any(&self) {
        if let Some(process) = self.any_running() {
            self.iterate(process);
        }
    }

    /// One iteration of a worker; it stops if its configuration is not that of the group any more.
    pub(super) fn iterate(&self, process: usize) {
        if self.processes.borrow()[process].builder.admission.is_closed() {
            return self.stop(process);
        }
        let (worker, client) = {
            let process = &mut self.processes.borrow_mut()[process];
            // A process that iterates sends heartbeats again.
            self.coordinator.borrow_mut().clients[process.client].is_silent = false;
            (process.worker.take(), process.client)
        };
        let Some(mut worker) = worker else { return };
        // A request that failed is repeated in the next iteration.
        let _ = worker.iterate();
        if !self.coordinator.borrow().clients[client].is_dead {
            self.processes.borrow_mut()[process].worker = Some(worker);
        }
    }

    /// Freezes a random worker between two iterations.
    pub(super) fn freeze_any(&self) {
        let Some(process) = self.any_running() else { return };
        let process = &mut self.processes.borrow_mut()[process];
        process.frozen_until = self.clock.monotonic() + self.freeze_time();
        self.coordinator.borrow_mut().clients[process.client].is_silent = self.random.once_in(2);
        self.tally.borrow_mut().freezes += 1;
    }

    /// A sink of a random process begins to lag, or has caught up.
    pub(super) fn toggle_backpressure_of_any(&self) {
        let Some(process) = self.any_running() else { return };
        let backpressure = &self.processes.borrow()[process].backpressure;
        backpressure.set(!backpressure.is_on());
        self.tally.borrow_mut().input_pauses += u64::from(backpressure.is_on());
    }

    /// A random time for which a worker is frozen.
    fn freeze_time(&self) -> Duration {
        Duration::from_millis(self.random.between(200, 90_000))
    }

    /// Freezes a worker in the middle of a commit, while the schedule continues.
    pub(in crate::simulator) fn freeze(self: &Rc<Self>, client: usize) {
        self.tally.borrow_mut().freezes_in_commits += 1;
        let until = self.clock.monotonic() + self.freeze_time();
        self.coordinator.borrow_mut().clients[client].is_silent = self.random.once_in(2);
        while self.has_faults() && self.clock.monotonic() < until && !self.coordinator.borrow().clients[client].is_dead
        {
            self.step();
        }
        let mut coordinator = self.coordinator.borrow_mut();
        coordinator.clients[client].is_silent = false;
        if self.random.once_in(2) {
            coordinator.deliver(client);
        }
    }

    /// Kills a process. A worker in the middle of an iteration does not complete it.
    pub(in crate::simulator) fn kill(&self, client: usize) {
        self.coordinator.borrow_mut().clients[client].is_dead = true;
        self.tally.borrow_mut().kills += 1;
        let worker = self.processes.borrow_mut()[client].worker.take();
        drop(worker);
    }

    /// Kills a random process.
    pub(super) fn kill_any(&self) {
        let living: Vec<usize> = {
            let coordinator = self.coordinator.borrow();
            (0..coordinator.clients.len()).filter(|it| !coordinator.clients[*it].is_dead).collect()
        };
        if let Some(client) = living.get(self.random.below(living.len())) {
            self.kill(*client);
        }
    }

    /// Stops a random process.
    pub(super) fn stop_any(&self) {
        if let Some(process) = self.any_running() {
            self.stop(process);
        }
    }

    /// Stops a worker in order: it commits and leaves the group.
    pub(super) fn stop(&self, process: usize) {
        let worker = {
            let process = &mut self.processes.borrow_mut()[process];
            process.control.stop.set();
            process.worker.take()
        };
        if let Some(worker) = worker {
            worker.run();
        }
    }

    /// Starts a process, unless [`MAX_WORKERS`] are running.
    pub(super) fn start(self: &Rc<Self>) {
        let used = self.used_transactional_ids();
        if used.len() >= MAX_WORKERS {
            return;
        }
        let client = self.coordinator.borrow_mut().join(self.clock.monotonic());
        let transactional_id = self.transactional_id(&used, client);
        let (restorer, requests, restored) = Restorer::without_thread();
        let (topology, builder) = (self.polled_topology(), self.builder_of_process());
        let (backpressure, control, failures): (Arc<Backpressure>, Arc<Control>, _) = Default::default();
        let member = SimulatedMember { world: Rc::clone(self), client, transactional_id, is_ready: false };
        let worker = Worker::new(Parts {
            member,
            restorer,
            topics: Arc::default(),
            topology: Arc::clone(&topology),
            backpressure: Arc::clone(&backpressure),
            clock: Arc::clone(&self.builder.clock),
            settings: self.settings.clone(),
            telemetry: Arc::default(),
            group: Arc::clone(&self.builder.telemetry),
            control: Arc::clone(&control),
            admission: Arc::clone(&builder.admission),
            failures,
            heartbeat: Heartbeat::default(),
            owner: transactional_id.to_string(),
            ready: Box::new(|| {}),
        });
        self.processes.borrow_mut().push(Process {
            client,
            transactional_id,
            worker: Some(worker),
            requests,
            restored,
            pending: Vec::new(),
            topology,
            builder,
            backpressure,
            control,
            frozen_until: Duration::ZERO,
        });
    }

    /// The topology after a first poll of the topics.
    fn polled_topology(&self) -> Arc<Topology> {
        let topology: Arc<Topology> = Arc::default();
        topology.set(vec![self.polled(&topology)], self.clock.monotonic());
        topology
    }

    /// Either the transactional id of a process that has ended, or a new one.
    fn transactional_id(&self, used: &BTreeSet<usize>, client: usize) -> usize {
        let free = (0..MAX_WORKERS).find(|id| !used.contains(id)).filter(|_| !self.random.once_in(3));
        free.unwrap_or(MAX_WORKERS + client)
    }

    /// What a process that starts now builds shards with: its configuration is the newest.
    fn builder_of_process(&self) -> ShardBuilder {
        let configuration = configuration(self.version.get());
        ShardBuilder { configuration, admission: Arc::default(), ..self.builder.clone() }
    }

    /// Starts a process with a newer configuration, which the others find in the states. Some see it before, in the
    /// list of the members, and give way.
    pub(super) fn change_configuration(self: &Rc<Self>) {
        self.version.set(self.version.get() + 1);
        self.tally.borrow_mut().configurations += 1;
        if self.random.once_in(2) {
            self.give_way();
        }
        self.start();
    }

    /// Stops the processes with an older configuration than the newest.
    pub(super) fn give_way(&self) {
        for process in self.running() {
            if self.processes.borrow()[process].builder.configuration.version < self.version.get() {
                self.stop(process);
            }
        }
    }

    /// The transactional ids of the processes that have not ended.
    fn used_transactional_ids(&self) -> BTreeSet<usize> {
        let (processes, coordinator) = (self.processes.borrow(), self.coordinator.borrow());
        let alive = processes.iter().filter(|it| !coordinator.clients[it.client].is_dead);
        alive.map(|it| it.transactional_id).collect()
    }

    /// Expels a random frozen worker: it has exceeded its poll interval.
    pub(super) fn expel_frozen(&self) {
        let frozen: Vec<usize> = {
            let (processes, now) = (self.processes.borrow(), self.clock.monotonic());
            let is_frozen = |it: &&Process| it.worker.is_none() || it.frozen_until > now;
            processes.iter().filter(is_frozen).map(|it| it.client).collect()
        };
        let mut coordinator = self.coordinator.borrow_mut();
        if let Some(client) = frozen.get(self.random.below(frozen.len()))
            && !coordinator.clients[*client].is_dead
        {
            coordinator.expel(*client);
        }
    }
}
