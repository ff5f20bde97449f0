//! Tests of the delivery with a scripted server and without real waits.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use daemon_base::clock::ManualClock;

use super::*;

/// A server that returns scripted answers and then accepts all lines.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    script: VecDeque<Result<Answer, NoAnswer>>,
    creations: VecDeque<Result<Answer, NoAnswer>>,
    /// A line that the server rejects with this status and text, in each request that contains it.
    bad: Option<(&'static str, u16, &'static str)>,
    requests: Vec<String>,
    taken: Vec<String>,
    waits: Vec<Duration>,
    is_stopped: bool,
}

impl Server {
    fn with<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Remote for Server {
    fn write(&mut self, lines: &[u8]) -> Result<Answer, NoAnswer> {
        let lines = String::from_utf8(lines.to_vec()).unwrap();
        self.with(|state| {
            state.requests.push(lines.clone());
            if let Some(answer) = state.script.pop_front() {
                return answer;
            }
            if let Some((bad, status, text)) = state.bad.filter(|(bad, ..)| lines.contains(bad)) {
                assert!(!bad.is_empty());
                return Ok(answered(status, text));
            }
            state.taken.extend(lines.lines().map(str::to_owned));
            Ok(answered(204, ""))
        })
    }

    fn create_database(&mut self) -> Result<Answer, NoAnswer> {
        self.with(|state| state.creations.pop_front().unwrap())
    }

    fn wait(&mut self, time: Duration) -> Result<(), Stopped> {
        self.with(|state| {
            state.waits.push(time);
            if state.is_stopped { Err(Stopped) } else { Ok(()) }
        })
    }
}

fn answered(status: u16, body: &str) -> Answer {
    Answer { status, retry_after: None, body: body.into() }
}

struct Rig {
    server: Server,
    telemetry: InfluxTelemetry,
    delivery: Delivery,
}

impl Rig {
    fn new(state: State) -> Self {
        let (server, telemetry) = (Server(Arc::new(Mutex::new(state))), InfluxTelemetry::default());
        let clock = Arc::new(ManualClock::at(1_490_306_665_000_000));
        let delivery = Delivery::new(Box::new(server.clone()), clock, telemetry.clone(), "the token", "the bucket");
        Self { server, telemetry, delivery }
    }

    fn send(&mut self, lines: &[&str]) -> Result<(), Stopped> {
        let mut batch = Batch::default();
        lines.iter().for_each(|line| batch.add(|out| out.extend_from_slice(format!("{line}\n").as_bytes())));
        self.delivery.send(&batch, Limits { lines: 100, bytes: 10_000 })
    }

    fn taken(&self) -> Vec<String> {
        self.server.with(|state| state.taken.clone())
    }
}

const LINES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

fn without(bad: &str) -> Vec<&'static str> {
    LINES.into_iter().filter(|line| *line != bad).collect()
}

#[test]
fn after_a_retryable_error_the_same_lines_are_sent_again() {
    let failures = [
        Err(NoAnswer::Timeout),
        Err(NoAnswer::Transport("connection refused".to_owned())),
        Ok(answered(401, "")),
        Ok(answered(404, "bucket not found")),
        Ok(answered(500, "")),
        Ok(answered(400, "another server's words")),
        Ok(answered(301, "")),
    ];
    let count = failures.len();
    let mut rig = Rig::new(State { script: failures.into(), ..State::default() });
    rig.send(&LINES).unwrap();
    assert_eq!(rig.taken(), LINES);
    rig.server.with(|state| {
        assert!(state.requests.iter().all(|request| request == "a\nb\nc\nd\ne\nf\ng\nh\n"), "{:?}", state.requests);
        assert_eq!((state.requests.len(), state.waits.len()), (count + 1, count));
    });
    assert_eq!(rig.telemetry.counts(DropReason::Refused), (8, 0));
}

#[test]
fn waits_double_up_to_half_a_minute_and_restart_after_an_outcome() {
    let script = std::iter::repeat_n(Err(NoAnswer::Timeout), 9);
    let mut rig = Rig::new(State { script: script.collect(), ..State::default() });
    rig.send(&["a"]).unwrap();
    let waits = rig.server.with(|state| std::mem::take(&mut state.waits));
    for (wait, longest) in waits.iter().zip([0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]) {
        assert!((longest / 2.0..=longest).contains(&wait.as_secs_f64()), "{wait:?} is not about {longest} s");
    }
    rig.server.with(|state| state.script.push_back(Err(NoAnswer::Timeout)));
    rig.send(&["b"]).unwrap();
    assert!(rig.server.with(|state| state.waits[0]) <= PAUSE.first);
}

#[test]
fn the_server_can_request_a_wait() {
    let busy = |status, wait: &str| Ok(Answer { status, retry_after: Some(wait.to_owned()), body: Vec::new() });
    let script = [busy(429, "7"), busy(503, "Thu, 23 Mar 2017 22:04:28 GMT"), busy(503, "999999")];
    let mut rig = Rig::new(State { script: script.into(), ..State::default() });
    rig.send(&["a"]).unwrap();
    assert_eq!(rig.server.with(|state| state.waits.clone()), [7, 3, 300].map(Duration::from_secs));
}

#[test]
fn a_stop_ends_the_delivery_at_once_and_no_line_counts_as_delivered() {
    let mut rig = Rig::new(State { script: [Err(NoAnswer::Timeout)].into(), is_stopped: true, ..State::default() });
    assert_eq!(rig.send(&LINES), Err(Stopped));
    assert_eq!(rig.server.with(|state| state.requests.len()), 1);
    let mut rig = Rig::new(State { script: [Err(NoAnswer::Stopped)].into(), ..State::default() });
    assert_eq!(rig.send(&LINES), Err(Stopped));
    assert_eq!(rig.telemetry.counts(DropReason::Refused), (0, 0));
}

#[test]
fn halving_finds_invalid_lines_and_all_other_lines_are_accepted_in_order() {
    for bad in LINES {
        let refusal = (bad, 400, r#"{"error":"unable to parse 'x': missing fields"}"#);
        let mut rig = Rig::new(State { bad: Some(refusal), ..State::default() });
        rig.send(&LINES).unwrap();
        assert_eq!(rig.taken(), without(bad), "{bad}");
        assert_eq!(rig.telemetry.counts(DropReason::Parse), (7, 1), "{bad}");
        // Requests of 8, 4, 2 and 1 lines, and the other half of each of the last three.
        assert_eq!(rig.server.with(|state| state.requests.len()), 7, "{bad}");
    }
}

#[test]
fn a_request_that_is_too_large_is_halved_and_a_single_line_that_is_too_large_is_dropped() {
    let mut rig = Rig::new(State { script: [Ok(answered(413, "")), Ok(answered(413, ""))].into(), ..State::default() });
    rig.send(&LINES).unwrap();
    assert_eq!(rig.taken(), LINES);
    let mut rig = Rig::new(State { bad: Some(("h", 413, "too large")), ..State::default() });
    rig.send(&LINES).unwrap();
    assert_eq!(
        (rig.taken(), rig.telemetry.counts(DropReason::TooLarge)),
        (without("h").iter().map(|it| (*it).to_owned()).collect(), (7, 1))
    );
}

#[test]
fn after_a_partial_write_no_line_is_sent_again() {
    let partial = r#"{"error":"partial write: field type conflict: input field \"x\" is type float dropped=3"}"#;
    let mut rig = Rig::new(State { script: [Ok(answered(400, partial))].into(), ..State::default() });
    rig.send(&LINES).unwrap();
    assert_eq!(rig.telemetry.counts(DropReason::Conflict), (5, 3));
    assert_eq!(rig.server.with(|state| state.requests.len()), 1);
}

#[test]
fn a_text_without_reference_to_lines_rejects_a_line_only_after_the_server_accepted_others() {
    let refusal = ("b", 400, "no reason");
    let mut rig = Rig::new(State { bad: Some(refusal), ..State::default() });
    rig.send(&["a"]).unwrap();
    rig.send(&LINES).unwrap();
    assert_eq!(rig.telemetry.counts(DropReason::Refused), (8, 1));
    let mut rig = Rig::new(State { bad: Some(refusal), is_stopped: true, ..State::default() });
    assert_eq!(rig.send(&LINES), Err(Stopped), "the delivery waits instead");
    assert_eq!(rig.telemetry.counts(DropReason::Refused), (0, 0));
}

#[test]
fn a_missing_database_is_created_and_the_lines_are_sent_again() {
    let missing = || Ok(answered(404, r#"{"error":"database not found: \"telegraf\""}"#));
    let state = State {
        script: [missing(), missing(), missing(), missing()].into(),
        creations: [
            Ok(answered(403, "not allowed")),
            Ok(answered(200, r#"{"results":[{"statement_id":0,"error":"no disk"}]}"#)),
            Ok(answered(200, r#"{"results":[{"statement_id":0}]}"#)),
        ]
        .into(),
        ..State::default()
    };
    let mut rig = Rig::new(state);
    rig.send(&LINES).unwrap();
    assert_eq!(rig.taken(), LINES);
    rig.server.with(|state| assert_eq!((state.creations.len(), state.waits.len()), (0, 3)));
}
