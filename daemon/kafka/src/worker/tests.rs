//! One worker and one shard, with a scripted member.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};

use daemon_base::clock::ManualClock;
use daemon_base::observation::Observations;
use daemon_partition::{StreamPlan, Taps, Written};
use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

use super::*;
use crate::configuration::Configuration;
use crate::member::{CheckedIds, Ends, Incoming, ShardCommit};
use crate::shard_restore::{RestoreRequest, Restored, ShardBuilder};
use crate::state_records::StateRecords;
use crate::topic_id::TopicId;
use crate::topology::Shape;

const ID: PartitionId = PartitionId::new(0, 0);
/// The partition of another stream, which few tests assign.
const OTHER: PartitionId = PartitionId::new(1, 0);
const START: u64 = 1_488_000_000_000_000;

/// The start of each partition that was read.
type Starts = Vec<(PartitionId, Option<u64>)>;

#[derive(Default)]
struct Script {
    change: Cell<Option<Change>>,
    payload: RefCell<Option<Vec<u8>>>,
    read: RefCell<Starts>,
    /// The stream whose topic cannot be asked for its id.
    unknown: Cell<Option<u16>>,
    /// The shards of each transaction.
    commits: RefCell<Vec<Vec<PartitionId>>>,
    /// Whether a transaction with results is refused.
    refuses_results: Cell<bool>,
    /// The oldest offset of the partition, which is behind its cursor, and the id that the topic has by then.
    deleted: Cell<Option<(u64, TopicId)>>,
}

struct Scripted {
    script: Rc<Script>,
    topology: Arc<Topology>,
}

impl Member for Scripted {
    fn poll(
        &mut self,
        _: Duration,
        apply: &mut dyn FnMut(PartitionId, &[Incoming<'_>]),
    ) -> Result<Option<Change>, MemberError> {
        if let Some(payload) = self.script.payload.take() {
            let incoming = Incoming { offset: 0, at: Some(START), key: b"ObjectVNTable:a", payload: &payload };
            [ID, OTHER].into_iter().for_each(|id| apply(id, &[incoming]));
        }
        Ok(self.script.change.take())
    }

    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        self.script.read.borrow_mut().extend(starts);
        Ok(())
    }

    fn stop_reading(&mut self, _: &[PartitionId]) -> Result<(), MemberError> {
        Ok(())
    }

    fn pause(&mut self, _: PartitionId, _: bool) -> Result<(), MemberError> {
        Ok(())
    }

    fn accept(&mut self) -> Result<(), MemberError> {
        Ok(())
    }

    fn give_up(&mut self, _: &[PartitionId]) -> Result<(), MemberError> {
        Ok(())
    }

    fn check_ids(&mut self, applied: &BTreeMap<u16, TopicId>) -> CheckedIds {
        let unknown: BTreeSet<_> =
            self.script.unknown.get().into_iter().filter(|it| applied.contains_key(it)).collect();
        let reason = "nobody".to_owned();
        let error = (!unknown.is_empty()).then_some(MemberError::Unreachable { operation: "asking", reason });
        CheckedIds { unknown, error, ..CheckedIds::default() }
    }

    fn commit(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        if self.script.refuses_results.get() && commits.iter().any(|it| !it.results.is_empty()) {
            return Err(MemberError::Aborted { reason: "no right".to_owned() });
        }
        self.script.commits.borrow_mut().push(commits.iter().map(|it| it.shard).collect());
        Ok(())
    }

    fn ends(&mut self, partitions: &[PartitionId]) -> Result<Ends, MemberError> {
        let offsets = partitions.iter().map(|id| (*id, 1)).collect();
        Ok(Ends { offsets, reached: partitions.iter().copied().collect(), in_transaction: BTreeSet::new() })
    }

    fn first_offsets(&mut self, _: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        Ok(Vec::new())
    }

    fn out_of_range(&mut self, _: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        let Some((first, id)) = self.script.deleted.take() else { return Ok(Vec::new()) };
        self.topology.set_input_id(0, id);
        Ok(vec![(ID, first)])
    }
}

fn sample() -> Vec<u8> {
    format!(r#"{{"ts":{START},"value":1}}"#).into_bytes()
}

struct Rig {
    clock: Arc<ManualClock>,
    topology: Arc<Topology>,
    script: Rc<Script>,
    worker: Worker<Scripted>,
    requests: Receiver<RestoreRequest>,
    restored: Sender<Restored>,
    builder: ShardBuilder,
}

fn id(text: &str) -> TopicId {
    TopicId::new(text.as_bytes()).unwrap()
}

fn old_topic() -> TopicId {
    id("eyQ4aBcDeF-_0123456789")
}

fn settings(table: TableSettings) -> WorkerSettings {
    WorkerSettings {
        table,
        idle_timeout: Duration::from_secs(3),
        commit_interval: Duration::from_secs(2),
        alarms: Arc::default(),
        observations: Observations::default(),
        start_over: std::path::PathBuf::new(),
        partitions: 1,
        may_start_over: false,
        taps: Taps::default(),
    }
}

impl Rig {
    /// A worker that reads the one partition.
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(START));
        let name = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
        let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
        let plan = StreamPlan::new(Arc::new(Plan::new(name, &types)), &Observations::default());
        let table = TableSettings::default();
        let builder = ShardBuilder {
            streams: vec![Arc::new(plan)],
            table,
            block_bytes: 64 * 1024,
            telemetry: Arc::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            configuration: Configuration::default(),
            admission: Arc::default(),
            foreign: Vec::new(),
        };
        let (script, topology) = (Rc::new(Script::default()), Arc::<Topology>::default());
        let (restorer, requests, restored) = Restorer::without_thread();
        let worker = Worker::new(Parts {
            topics: Arc::default(),
            member: Scripted { script: Rc::clone(&script), topology: Arc::clone(&topology) },
            restorer,
            topology: Arc::clone(&topology),
            backpressure: Arc::default(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            settings: settings(table),
            telemetry: Arc::default(),
            group: Arc::default(),
            control: Arc::default(),
            admission: Arc::default(),
            failures: Arc::default(),
            heartbeat: Heartbeat::default(),
            owner: "a/0".to_owned(),
            ready: Box::new(|| {}),
        });
        Self { clock, topology, script, worker, requests, restored, builder }
    }

    fn poll_topics(&self) {
        let shape = Shape { inputs: 1, shards: 1, input_id: Some(old_topic()) };
        self.topology.set(vec![shape; 2], self.clock.monotonic());
    }

    /// Assigns the partition, and restores the shard without a state.
    fn begin(&mut self) {
        self.begin_with(&[ID]);
    }

    fn begin_with(&mut self, ids: &[PartitionId]) {
        self.poll_topics();
        self.script.change.set(Some(Change::Assigned(ids.to_vec())));
        self.worker.iterate().unwrap();
        let requested = self.requests.recv().unwrap();
        self.restore(requested);
        self.worker.iterate().unwrap();
    }

    /// Restores shards without a state.
    fn restore(&self, requested: RestoreRequest) {
        for (id, ticket) in requested {
            let input_id = self.topology.input_id(id.stream);
            let shard = self.builder.build(
                id,
                &self.builder.streams[0],
                &StateRecords::default(),
                input_id,
                &mut Written::default,
            );
            let shard = Box::new(shard.unwrap_or_else(|error| panic!("{error}")));
            self.restored.send(Restored { id, ticket, shard }).unwrap();
        }
    }

    /// The number of restores that the worker requests within a time, each of which is made at once, with the sample in
    /// the input again.
    fn restores_within(&mut self, time: Duration) -> usize {
        let mut count = 0;
        for _ in 0..time.as_millis() / 500 {
            self.pass(Duration::from_millis(500), true);
            for requested in self.requests.try_iter().collect::<Vec<_>>() {
                count += requested.len();
                self.restore(requested);
                self.worker.iterate().unwrap();
                *self.script.payload.borrow_mut() = Some(sample());
            }
        }
        count
    }

    /// Iterates for a time, half a second a time; with `polls` the topics are polled meanwhile.
    fn pass(&mut self, time: Duration, polls: bool) {
        for _ in 0..time.as_millis() / 500 {
            self.clock.advance(Duration::from_millis(500));
            if polls {
                self.poll_topics();
            }
            self.worker.iterate().unwrap();
        }
    }

    fn watermark(&self) -> u64 {
        self.worker.telemetry.tables().get(&ID).map_or(0, |table| table.watermark)
    }
}

#[test]
fn a_shard_of_a_topic_that_was_created_again_skips_no_offsets_of_the_new_one() {
    let mut rig = Rig::new();
    rig.begin();
    assert_eq!(*rig.script.read.borrow(), [(ID, None)]);
    rig.script.deleted.set(Some((5, id("zzQ4aBcDeF-_0123456789"))));
    rig.pass(Duration::from_secs(1), false);
    assert_eq!(*rig.script.read.borrow(), [(ID, None)], "the offset is of the new topic");
    assert_eq!(rig.requests.try_iter().count(), 1, "the shard is restored for the new topic");
}

#[test]
fn windows_are_not_closed_by_the_clock_for_time_in_which_the_topics_were_not_polled() {
    let mut rig = Rig::new();
    rig.begin();
    *rig.script.payload.borrow_mut() = Some(format!(r#"{{"ts":{START},"value":1}}"#).into_bytes());
    rig.pass(Duration::from_secs(1), true);
    rig.pass(Duration::from_secs(600), false);
    assert!(rig.watermark() <= START, "a partition that was added since may have samples: {}", rig.watermark());
    assert!(rig.topology.take_request(), "the worker requests a poll");
    rig.pass(Duration::from_secs(600), true);
    assert!(rig.watermark() > START + 300_000_000, "{}", rig.watermark());
}

#[test]
fn windows_are_closed_by_the_clock_although_each_poll_of_the_topics_takes_seconds() {
    let mut rig = Rig::new();
    rig.begin();
    *rig.script.payload.borrow_mut() = Some(format!(r#"{{"ts":{START},"value":1}}"#).into_bytes());
    rig.pass(Duration::from_secs(1), true);
    for _ in 0..100 {
        rig.poll_topics();
        rig.pass(Duration::from_secs(6), false);
    }
    assert!(rig.watermark() > START + 300_000_000, "{}", rig.watermark());
}

#[test]
fn a_topic_that_cannot_be_asked_for_its_id_holds_up_the_commits_of_its_stream_only() {
    let mut rig = Rig::new();
    rig.begin_with(&[ID, OTHER]);
    *rig.script.payload.borrow_mut() = Some(format!(r#"{{"ts":{START},"value":1}}"#).into_bytes());
    rig.script.unknown.set(Some(1));
    rig.pass(Duration::from_secs(5), true);
    let committed = |rig: &Rig| rig.script.commits.take().into_iter().flatten().collect::<BTreeSet<_>>();
    assert_eq!(committed(&rig), BTreeSet::from([ID]));
    assert!(rig.topology.take_doubt(), "the worker requests a poll");
    rig.script.unknown.set(None);
    rig.pass(Duration::from_secs(5), true);
    assert!(committed(&rig).contains(&OTHER));
    assert_eq!(rig.requests.try_iter().count(), 0, "nothing is restored");
}

/// The commits of states between, which succeed, end neither the pause nor what `/readyz` shows.
#[test]
fn results_that_cannot_be_written_are_tried_more_and_more_rarely_until_they_can() {
    let mut rig = Rig::new();
    rig.begin_with(&[ID, OTHER]);
    *rig.script.payload.borrow_mut() = Some(sample());
    rig.script.refuses_results.set(true);
    let failures = Arc::clone(&rig.worker.failures);
    let restores = rig.restores_within(Duration::from_secs(1200));
    // Two shards; with a pause of 15 s and the wait for the end of the window, which is 93 s, at most.
    assert!((4..=30).contains(&restores), "{restores}");
    assert!(rig.script.commits.take().iter().flatten().any(|id| *id == ID), "states are committed meanwhile");
    let (_, reason, count) = failures.longest().expect("both fail");
    assert!(count == 2 && reason.contains("no right"), "{count}: {reason}");
    rig.script.refuses_results.set(false);
    rig.restores_within(Duration::from_secs(300));
    assert_eq!((failures.longest(), rig.worker.failing.len()), (None, 0));
}
