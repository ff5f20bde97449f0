//! The scrape store on a real log.

use daemon_log::{EmbeddedLog, Log as _, LogConfig};
use derived_stats::ValueType;
use netplugin_adapter::{Limits, ScrapeRecord, decode};
use proxy_uve::StreamName;
use tempfile::TempDir;

use super::*;
use crate::intake::PayloadForm;
use crate::intake::tests::intake_of;

const SECOND: u64 = 1_000_000;
/// The time from which the tests count, in seconds.
const START: u64 = 1_488_000_000;
const SERVICE: PartitionId = PartitionId::new(0, 0);

fn log(directory: &TempDir) -> Arc<EmbeddedLog> {
    let log = EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap();
    assert_eq!(log.stream_id("ContivService-BytesIn").unwrap(), SERVICE.stream);
    Arc::new(log)
}

fn store(log: &Arc<EmbeddedLog>, now: u64) -> ScrapeStore {
    let stream = StreamName::new("ContivService", "BytesIn").unwrap();
    let intake = intake_of(&[(stream, SERVICE.stream)], ValueType::U64, PayloadForm::Stored);
    ScrapeStore::open(Arc::clone(log) as Arc<dyn PartitionLog>, intake, now).unwrap()
}

/// Seconds after the start, in microseconds.
fn now(seconds: u64) -> u64 {
    (START + seconds) * SECOND
}

/// A scrape of a node whose two endpoints have so many bytes from one service.
fn scrape(node: &str, at: u64, bytes: [u64; 2]) -> Scrape {
    let [one, two] = bytes;
    let endpoint = |ip: &str, bytes: u64| {
        format!(r#""{ip}":{{"SvcStats":{{"9.9.9.9":{{"ProvStats":{{"7.7.7.7":{{"BytesIn":{bytes}}}}}}}}}}}"#)
    };
    let body = format!("{{{},{}}}", endpoint("1.1.1.1", one), endpoint("1.1.1.2", two));
    let stats = decode(body.as_bytes(), &Limits::default()).unwrap();
    Scrape { node: node.into(), at: (START + at) * SECOND, stats: Arc::new(stats) }
}

/// The samples in the log, by time and value.
fn samples(log: &EmbeddedLog) -> Vec<(u64, Number)> {
    let batch = log.read(SERVICE, 0, usize::MAX).unwrap();
    let sample = |payload: &[u8]| {
        let sample = proxy_uve::wire::decode(payload).unwrap();
        (sample.timestamp / SECOND - START, sample.value)
    };
    batch.records().map(|record| sample(record.payload)).collect()
}

/// The points in the results: node, time and number of each record.
fn records(log: &EmbeddedLog) -> Vec<(String, u64, usize)> {
    let batch = log.read_results(0, usize::MAX).unwrap();
    let record = |payload: &[u8]| {
        let record = ScrapeRecord::parse(payload).unwrap();
        (record.node.to_string(), record.at / SECOND - START, record.points.len())
    };
    batch.records().map(|it| record(it.payload)).collect()
}

#[test]
fn a_scrape_becomes_points_and_the_increase_of_each_service() {
    let directory = tempfile::tempdir().unwrap();
    let log = log(&directory);
    let mut store = store(&log, now(0));
    let first = store.write_scrapes(&[scrape("a", 10, [100, 200]), scrape("b", 10, [5, 5])], now(10)).unwrap();
    assert_eq!(first, Written { points: 4, ..Written::default() }, "nobody knows when the first counters began");
    let second = store.write_scrapes(&[scrape("a", 20, [110, 230])], now(20)).unwrap();
    assert_eq!(second, Written { points: 2, samples: 1, since: Some(now(10)), ..Written::default() });
    assert_eq!(samples(&log), [(20, Number::U64(40))]);
    let expected = [("a", 10, 2), ("b", 10, 2), ("a", 20, 2)].map(|(node, at, points)| (node.to_owned(), at, points));
    assert_eq!(records(&log), expected);
}

#[test]
fn after_a_restart_the_increases_go_on_where_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let log = log(&directory);
    let mut before = store(&log, now(0));
    before.write_scrapes(&[scrape("a", 10, [100, 200]), scrape("b", 10, [1, 1])], now(10)).unwrap();
    before.write_scrapes(&[scrape("a", 20, [101, 200])], now(20)).unwrap();
    let mut after = store(&log, now(21));
    after.write_scrapes(&[scrape("a", 30, [111, 200]), scrape("b", 30, [2, 1])], now(30)).unwrap();
    assert_eq!(samples(&log), [(20, Number::U64(1)), (30, Number::U64(10)), (30, Number::U64(1))]);
}

#[test]
fn the_counters_of_a_node_expire_after_a_day() {
    let directory = tempfile::tempdir().unwrap();
    let log = log(&directory);
    store(&log, now(0)).write_scrapes(&[scrape("old", 10, [100, 200])], now(10)).unwrap();
    store(&log, EXPIRE_AFTER + now(9)).write_scrapes(&[scrape("new", 20, [1, 1])], now(20)).unwrap();
    let now = EXPIRE_AFTER + now(11);
    let mut store = store(&log, now);
    assert_eq!(store.nodes.keys().map(|node| &**node).collect::<Vec<_>>(), ["new"]);
    assert_eq!(store.write_scrapes(&[scrape("old", now / SECOND - START, [101, 200])], now).unwrap().samples, 0);
}

#[test]
fn a_log_that_refuses_loses_no_traffic() {
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig { max_backlog_bytes: 1, ..LogConfig::default() };
    let log = Arc::new(EmbeddedLog::open(directory.path(), config).unwrap());
    assert_eq!(log.stream_id("ContivService-BytesIn").unwrap(), SERVICE.stream);
    let mut store = store(&log, now(0));
    store.write_scrapes(&[scrape("a", 10, [0, 0])], now(10)).unwrap();
    store.write_scrapes(&[scrape("a", 20, [1, 0])], now(20)).unwrap();
    let refused = store.write_scrapes(&[scrape("a", 30, [11, 0])], now(30));
    assert!(matches!(refused, Err(LogError::Full { .. })), "one sample waits already");
    log.restore(SERVICE).unwrap();
    let results = RecordBuffer::default();
    log.commit(vec![PartitionCommit { partition: SERVICE, cursor: 1, meta: vec![], chunks: vec![], results }], 4)
        .unwrap();
    store.write_scrapes(&[scrape("a", 40, [111, 0])], now(50)).unwrap();
    assert_eq!(samples(&log), [(20, Number::U64(1)), (40, Number::U64(110))]);
    assert_eq!(records(&log).len(), 3, "the refused scrape left nothing");
}
