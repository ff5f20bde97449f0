//! Tests of the sink with a real log, and a server that takes, refuses and fails by script.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use daemon_base::clock::ManualClock;
use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};

use super::*;
use crate::exchange::{Answer, NoAnswer};

/// A server that returns scripted answers and then takes everything but one item.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    script: VecDeque<Result<Answer, NoAnswer>>,
    /// Items that are refused, with each request that has one.
    bad: Vec<u64>,
    requests: Vec<Vec<u64>>,
    waits: Vec<Duration>,
    clock: Option<Arc<ManualClock>>,
}

impl Server {
    fn with<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn requests(&self) -> Vec<Vec<u64>> {
        self.with(|state| std::mem::take(&mut state.requests))
    }
}

impl Remote for Server {
    fn post(&mut self, url: &str, request: Request) -> Result<Answer, NoAnswer> {
        assert_eq!(url, "http://a");
        let items: Vec<u64> = request.body.chunks(8).map(|it| u64::from_le_bytes(it.try_into().unwrap())).collect();
        self.with(|state| {
            state.requests.push(items.clone());
            state.script.pop_front().unwrap_or_else(|| {
                let status = if items.iter().any(|item| state.bad.contains(item)) { 400 } else { 204 };
                Ok(Answer { status, ..Answer::default() })
            })
        })
    }

    fn wait(&mut self, time: Duration) -> bool {
        self.with(|state| {
            state.waits.push(time);
            if let Some(clock) = &state.clock {
                clock.advance(time);
            }
        });
        true
    }
}

/// Numbers, of which those of one last digit must not be in one request.
#[derive(Default)]
struct Numbers(Vec<u64>);

impl Payload for Numbers {
    fn add(&mut self, result: &Stored<'_>) -> Result<Added, String> {
        let Stored::Line(line) = result else { return Err("not a line".to_owned()) };
        let number: u64 = std::str::from_utf8(line).unwrap().parse().map_err(|_| "not a number".to_owned())?;
        if self.0.iter().any(|other| other % 10 == number % 10) {
            return Ok(Added::Later);
        }
        self.0.push(number);
        Ok(Added::Taken { left_out: 0 })
    }

    fn items(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        8 * self.0.len()
    }

    fn clear(&mut self) {
        self.0.clear();
    }

    fn request(&self, items: Range<usize>, _: u64) -> Request {
        Request { headers: Vec::new(), body: self.0[items].iter().flat_map(|it| it.to_le_bytes()).collect() }
    }

    fn left_out(&self, answer: &[u8]) -> Option<LeftOut> {
        let items = std::str::from_utf8(answer).ok()?.strip_prefix("without ")?.parse().ok()?;
        Some(LeftOut { items, text: "too many".to_owned() })
    }

    fn is_rejection(&self, text: &str) -> bool {
        text == "status 500: bad number"
    }
}

struct Rig {
    log: EmbeddedLog,
    server: Server,
    clock: Arc<ManualClock>,
    telemetry: PostTelemetry,
    sink: PostSink<Numbers>,
    next: u64,
    _folder: tempfile::TempDir,
}

const PARTITION: PartitionId = PartitionId::new(0, 0);

fn settings() -> PostSettings {
    PostSettings {
        name: "numbers",
        settings: "the url",
        ca_file: "the ca_file",
        url: "http://a".to_owned(),
        timeout: Duration::from_secs(1),
        tls: TlsConfig::default(),
        max_items: 100,
        max_bytes: 10_000,
        flush_interval: Duration::ZERO,
        refusal_timeout: Duration::from_secs(60),
        ends_server_errors: false,
    }
}

impl Rig {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap();
        log.restore(PARTITION).unwrap();
        let (server, clock, telemetry) =
            (Server::default(), Arc::new(ManualClock::at(7_000_000)), PostTelemetry::default());
        server.with(|state| state.clock = Some(Arc::clone(&clock)));
        let sink = sink(&server, &clock, &telemetry);
        let mut rig = Self { log, server, clock, telemetry, sink, next: 0, _folder: folder };
        rig.restart();
        rig
    }

    /// Replaces the sink by a new one, as after a kill.
    fn restart(&mut self) {
        self.sink = sink(&self.server, &self.clock, &self.telemetry);
        self.next = self.sink.start(&self.log).unwrap();
    }

    /// Appends one record with these results.
    fn append(&self, results: impl IntoIterator<Item = u64>) {
        let mut buffer = RecordBuffer::default();
        let lines: Vec<_> = results.into_iter().map(|number| number.to_string()).collect();
        buffer.push(b"k", lines.join("\n").as_bytes()).unwrap();
        let commit = PartitionCommit { partition: PARTITION, cursor: 0, meta: vec![], chunks: vec![], results: buffer };
        self.log.commit(vec![commit], 1).unwrap();
    }

    /// Does what [`run`](crate::run) does until it reaches the end of the log.
    fn run_to_end(&mut self) -> anyhow::Result<()> {
        let batch = self.log.read_results(self.next, 1024)?;
        if batch.is_empty() {
            return self.sink.idle(&self.log, false);
        }
        self.sink.deliver(&self.log, &batch)?;
        self.next = batch.next_offset();
        self.run_to_end()
    }
}

fn sink(server: &Server, clock: &Arc<ManualClock>, telemetry: &PostTelemetry) -> PostSink<Numbers> {
    let (remote, clock) = (Box::new(server.clone()), Arc::clone(clock) as Arc<dyn Clock>);
    PostSink::with_remote(settings(), Numbers::default(), remote, clock, telemetry.clone())
}

#[test]
fn a_request_ends_before_a_result_that_must_not_be_in_it() {
    let mut rig = Rig::new();
    rig.append([1, 2, 11, 3, 12, 4]);
    rig.append([5, 14]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![1, 2], vec![11, 3, 12, 4, 5], vec![14]]);
    assert_eq!(rig.telemetry.counts("rejected"), (8, 0));
}

#[test]
fn after_a_kill_only_the_request_under_way_is_sent_again_also_within_a_record() {
    let mut rig = Rig::new();
    rig.append([1, 2, 11, 3, 12, 4, 13, 23]);
    // The second request is taken, but its answer is lost with the process.
    rig.server.with(|state| {
        state.script.extend([Ok(Answer { status: 200, ..Answer::default() }), Err(NoAnswer::Stopped)]);
    });
    rig.run_to_end().unwrap_err();
    assert_eq!(rig.server.requests(), [vec![1, 2], vec![11, 3, 12, 4]]);
    rig.restart();
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![11, 3, 12, 4], vec![13], vec![23]]);
    rig.restart();
    rig.append([5]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![5]], "a whole record is done");
}

#[test]
fn a_request_that_is_full_with_the_last_result_of_a_record_ends_the_record() {
    let mut rig = Rig::new();
    rig.sink.settings.max_items = 2;
    rig.sink.settings.flush_interval = Duration::from_secs(1);
    rig.append([1, 2]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![1, 2]]);
    assert_eq!((rig.sink.delivered(1), rig.log.sink_position("numbers").unwrap().unwrap().next), (1, 1));
    rig.append([3]);
    rig.run_to_end().unwrap();
    assert_eq!((rig.server.requests(), rig.sink.delivered(2)), (vec![], 1), "it waits for its flush interval");
}

#[test]
fn results_that_begin_anew_before_the_position_are_sent() {
    let mut rig = Rig::new();
    rig.log.set_sink_position("numbers", SinkPosition { next: 100, detail: Vec::new() }).unwrap();
    rig.restart();
    assert_eq!(rig.next, 100);
    rig.append([1, 2]);
    // What `run` does if the position is behind the end of the log.
    rig.next = 0;
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![1, 2]]);
    assert_eq!(rig.log.sink_position("numbers").unwrap().unwrap().next, 1);
}

#[test]
fn a_bad_item_is_found_and_dropped_and_all_others_are_taken_in_order() {
    let mut rig = Rig::new();
    rig.server.with(|state| state.bad = vec![3]);
    rig.append(0..8);
    rig.run_to_end().unwrap();
    let requests = rig.server.requests();
    let taken: Vec<u64> = requests.iter().filter(|request| !request.contains(&3)).flatten().copied().collect();
    assert_eq!(taken, [0, 1, 2, 4, 5, 6, 7]);
    assert_eq!((requests.len(), rig.telemetry.counts("rejected")), (7, (7, 1)));
}

#[test]
fn a_server_error_that_blames_the_items_is_a_rejection() {
    let mut rig = Rig::new();
    let answer = |body: &str| Ok(Answer { status: 500, body: body.into(), ..Answer::default() });
    rig.server.with(|state| {
        state.script.extend([answer("other"), answer("bad number\n"), answer("bad number")]);
    });
    rig.append([1, 2]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![1, 2], vec![1, 2], vec![1], vec![2]]);
    assert_eq!(rig.telemetry.counts("rejected"), (1, 1));
}

#[test]
fn a_request_is_repeated_while_the_server_fails_and_never_for_ever_where_it_refuses() {
    let mut rig = Rig::new();
    let answer = |status| Ok(Answer { status, ..Answer::default() });
    let wait = Ok(Answer { status: 429, retry_after: Some("7".to_owned()), body: Vec::new() });
    rig.server.with(|state| {
        state.script.extend([answer(500), wait, Err(NoAnswer::Timeout), answer(401), answer(404)]);
    });
    rig.append([1]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), vec![vec![1]; 6]);
    assert!(rig.server.with(|state| state.waits.contains(&Duration::from_secs(7))));
    assert_eq!(rig.telemetry.counts("refused"), (1, 0));
    // A minute of refusals is the limit; what follows is dropped at once.
    rig.server.with(|state| state.script.extend(vec![answer(401); 1_000]));
    rig.append([2]);
    rig.append([12]);
    rig.run_to_end().unwrap();
    let requests = rig.server.requests();
    assert!((4..20).contains(&requests.len()) && requests.last() == Some(&vec![12]), "{requests:?}");
    assert_eq!(requests.iter().filter(|request| **request == [12]).count(), 1);
    assert_eq!(rig.telemetry.counts("refused"), (1, 2));
    let problem = rig.telemetry.problem().unwrap();
    assert!(problem.starts_with("refused: ") && problem.contains("; check "), "{problem}");
    rig.server.with(|state| state.script.clear());
    rig.append([3]);
    rig.run_to_end().unwrap();
    assert_eq!((rig.telemetry.counts("refused"), rig.telemetry.problem()), ((2, 2), None));
}

#[test]
fn what_a_success_leaves_out_is_counted_and_not_sent_again() {
    let mut rig = Rig::new();
    let answer = |body: &str| Ok(Answer { status: 200, body: body.into(), ..Answer::default() });
    rig.server.with(|state| state.script.extend([answer("without 2"), answer("without 0"), answer("without 9")]));
    for results in [vec![1, 2, 3], vec![4], vec![5, 6]] {
        rig.append(results);
        rig.run_to_end().unwrap();
    }
    assert_eq!(rig.server.requests(), [vec![1, 2, 3], vec![4], vec![5, 6]]);
    assert_eq!(rig.telemetry.counts("rejected"), (2, 4), "never more than were sent");
}

#[test]
fn a_server_error_that_may_blame_the_request_ends_after_a_while_where_the_payload_has_it_so() {
    let mut rig = Rig::new();
    rig.sink.delivery.limit_server_errors();
    let answer = |status| Ok(Answer { status, ..Answer::default() });
    rig.server.with(|state| state.script.extend(vec![answer(503); 20]));
    rig.server.with(|state| state.script.extend(vec![answer(502); 20]));
    rig.append([1]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests().len(), 41, "these end by themselves");
    rig.server.with(|state| state.script.extend(vec![answer(500); 1_000]));
    rig.append([2]);
    rig.run_to_end().unwrap();
    let requests = rig.server.requests();
    assert!((4..20).contains(&requests.len()), "{requests:?}");
    assert_eq!(rig.telemetry.counts("refused"), (1, 1));
}

#[test]
fn a_request_that_is_rejected_before_any_was_taken_is_repeated_where_a_success_names_bad_items() {
    let mut rig = Rig::new();
    rig.sink.delivery.limit_server_errors();
    let answer = |status| Ok(Answer { status, ..Answer::default() });
    // A wrong path, which is then put right.
    rig.server.with(|state| state.script.extend(vec![answer(400); 3]));
    rig.append([1, 2]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), vec![vec![1, 2]; 4]);
    assert_eq!(rig.telemetry.counts("rejected"), (2, 0));
    rig.server.with(|state| state.script.extend(vec![answer(400); 3]));
    rig.append([3, 4]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![3, 4], vec![3], vec![4]]);
    assert_eq!(rig.telemetry.counts("rejected"), (2, 2));
}

#[test]
fn what_is_too_large_is_halved() {
    let mut rig = Rig::new();
    let answer = || Ok(Answer { status: 413, ..Answer::default() });
    rig.server.with(|state| state.script.extend([answer(), answer(), answer()]));
    rig.append([1, 2, 3, 4]);
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [vec![1, 2, 3, 4], vec![1, 2], vec![1], vec![2], vec![3, 4]]);
    assert_eq!(rig.telemetry.counts("too_large"), (3, 1));
}
