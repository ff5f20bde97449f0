//! Tests of the sink with a real log and a scripted server.

use std::sync::{Mutex, PoisonError};

use daemon_base::clock::ManualClock;
use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};

use super::delivery::Stopped;
use super::*;
use crate::exchange::{Answer, NoAnswer};

/// A server that records requests and can be unreachable.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    requests: Vec<String>,
    is_unreachable: bool,
}

impl Server {
    fn with<T>(&self, access: impl FnOnce(&mut State) -> T) -> T {
        access(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn requests(&self) -> Vec<String> {
        self.with(|state| std::mem::take(&mut state.requests))
    }
}

impl Remote for Server {
    fn write(&mut self, lines: &[u8]) -> Result<Answer, NoAnswer> {
        self.with(|state| {
            if state.is_unreachable {
                return Err(NoAnswer::Stopped);
            }
            state.requests.push(String::from_utf8(lines.to_vec()).unwrap());
            Ok(Answer { status: 204, ..Answer::default() })
        })
    }

    fn create_database(&mut self) -> Result<Answer, NoAnswer> {
        Err(NoAnswer::Stopped)
    }

    fn wait(&mut self, _time: Duration) -> Result<(), Stopped> {
        Err(Stopped)
    }
}

struct Rig {
    log: EmbeddedLog,
    server: Server,
    clock: Arc<ManualClock>,
    telemetry: InfluxTelemetry,
    sink: InfluxSink,
    next: u64,
    _folder: tempfile::TempDir,
}

const PARTITION: PartitionId = PartitionId::new(0, 0);

impl Rig {
    fn new(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap();
        log.restore(PARTITION).unwrap();
        let (server, clock, telemetry) =
            (Server::default(), Arc::new(ManualClock::at(7_000_000)), InfluxTelemetry::default());
        let section = toml::from_str(&format!("url = \"http://a\"\n{settings}")).unwrap();
        let settings = InfluxSettings::new(&section).unwrap().unwrap();
        let remote = Box::new(server.clone());
        let sink = InfluxSink::with_remote(
            settings,
            LineReader::default(),
            remote,
            Arc::clone(&clock) as Arc<dyn Clock>,
            telemetry.clone(),
        );
        Self { log, server, clock, telemetry, sink, next: 0, _folder: folder }
    }

    /// Replaces the sink by a new one, as after a kill.
    fn restart(&mut self) {
        let (settings, clock) = (self.sink.settings.clone(), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let (lines, remote) = (LineReader::default(), Box::new(self.server.clone()));
        self.sink = InfluxSink::with_remote(settings, lines, remote, clock, self.telemetry.clone());
        self.next = self.sink.start(&self.log).unwrap();
    }

    fn append(&self, results: &[String]) {
        let mut buffer = RecordBuffer::default();
        results.iter().for_each(|result| buffer.push(b"k", result.as_bytes()).unwrap());
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

    fn stored(&self) -> Option<u64> {
        self.log.sink_position(InfluxSink::NAME).unwrap().map(|position| position.next)
    }
}

fn result(value: u64) -> String {
    format!(r#"{{"key":"T:n","uve":"S-A-b","start":{value},"end":9,"data":{{"value":{value}}}}}"#)
}

fn results(values: std::ops::Range<u64>) -> Vec<String> {
    values.map(result).collect()
}

fn lines(values: std::ops::Range<u64>) -> String {
    values.map(|value| format!("S,name=n,proxy=A-b,table=T deleted=false,value={value}i {value}\n")).collect()
}

#[test]
fn a_full_batch_is_sent_at_once_and_a_partial_one_after_the_flush_interval() {
    let mut rig = Rig::new("batch_lines = 4");
    rig.restart();
    assert_eq!(rig.stored(), Some(0), "the sink is registered");
    rig.append(&results(0..10));
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [lines(0..4), lines(4..8)]);
    assert_eq!((rig.stored(), rig.sink.delivered(10)), (Some(8), 8));
    rig.clock.advance(Duration::from_millis(999));
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [""; 0]);
    rig.clock.advance(Duration::from_millis(1));
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [lines(8..10)]);
    assert_eq!((rig.stored(), rig.sink.delivered(10)), (Some(10), 10));
}

#[test]
fn a_batch_is_also_full_by_bytes_and_large_results_are_cut_into_requests() {
    let mut rig = Rig::new("batch_lines = 2\nserver = \"\"\nhost = \"\"");
    rig.restart();
    let point = |endpoint: &str| format!(r#"["{endpoint}","s","p",1,2,3,4]"#);
    let points: Vec<_> = ["a", "b", "c", "d", "e"].map(point).to_vec();
    rig.append(&[format!(r#"{{"scrape":"svcstats","node":"n","at":5,"points":[{}]}}"#, points.join(","))]);
    rig.run_to_end().unwrap();
    let requests = rig.server.requests();
    assert_eq!(requests.iter().map(|request| request.lines().count()).collect::<Vec<_>>(), [2, 2, 1]);
    assert!(
        requests[2].starts_with("httpjson_svcstats,EndpointIP=e,ProviderIP=p,ServiceIP=s BytesIn=1i"),
        "{requests:?}"
    );
    assert_eq!(rig.stored(), Some(1));

    let mut rig = Rig::new("batch_bytes = 1024");
    rig.restart();
    rig.append(&results(0..100));
    rig.run_to_end().unwrap();
    let requests = rig.server.requests();
    assert!(requests.len() > 2 && requests.iter().all(|request| request.len() <= 1024), "{requests:?}");
}

#[test]
fn buffered_lines_are_sent_at_the_stop() {
    let mut rig = Rig::new("");
    rig.restart();
    rig.append(&results(0..3));
    rig.run_to_end().unwrap();
    assert_eq!(rig.server.requests(), [""; 0]);
    rig.sink.idle(&rig.log, true).unwrap();
    assert_eq!((rig.server.requests(), rig.stored()), (vec![lines(0..3)], Some(3)));
    rig.sink.idle(&rig.log, true).unwrap();
    assert_eq!(rig.server.requests(), [""; 0]);
}

#[test]
fn after_an_error_no_line_is_buffered_twice_and_a_kill_loses_no_line() {
    let mut rig = Rig::new("batch_lines = 4");
    rig.restart();
    rig.append(&results(0..10));
    rig.server.with(|state| state.is_unreachable = true);
    let text = format!("{:#}", rig.run_to_end().unwrap_err());
    assert!(text.contains("next start"), "{text}");
    assert_eq!(rig.stored(), Some(0));
    rig.server.with(|state| state.is_unreachable = false);
    rig.run_to_end().unwrap();
    // The four lines that were not sent, with the line after them.
    assert_eq!(rig.server.requests().concat(), lines(0..9));
    rig.append(&results(10..11));
    rig.run_to_end().unwrap();
    // Two lines are buffered and not delivered.
    rig.restart();
    assert_eq!(rig.next, 9);
    rig.run_to_end().unwrap();
    rig.sink.idle(&rig.log, true).unwrap();
    assert_eq!(rig.server.requests().concat(), lines(9..11));
}

#[test]
fn a_result_that_cannot_be_read_is_counted_and_skipped() {
    let mut rig = Rig::new("");
    rig.restart();
    rig.append(&["not a result".to_owned(), result(1), result(u64::MAX / 2 + 1)]);
    rig.run_to_end().unwrap();
    rig.sink.idle(&rig.log, true).unwrap();
    let capped = format!("S,name=n,proxy=A-b,table=T deleted=false,value={0}i {0}\n", i64::MAX);
    assert_eq!(rig.server.requests(), [lines(1..2) + &capped]);
    assert_eq!((rig.telemetry.results(), rig.stored()), ((1, 1), Some(3)));
    // A batch without any readable result moves the position as well.
    rig.append(&["{}".to_owned()]);
    rig.run_to_end().unwrap();
    rig.sink.idle(&rig.log, true).unwrap();
    assert_eq!((rig.server.requests(), rig.stored()), (vec![], Some(4)));
}
