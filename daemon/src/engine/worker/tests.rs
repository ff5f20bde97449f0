//! Workers on a real log.

use daemon_base::clock::SystemClock;
use daemon_base::observation::Observations;
use daemon_log::{AppendBatch, EmbeddedLog, Log as _, LogConfig, PartitionCommit, RecordBuffer};
use daemon_partition::Taps;
use daemon_results::record::RecordReader;
use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

use super::*;

const PARTITIONS: u16 = 2;

fn worker(log: &Arc<EmbeddedLog>, control: &Arc<Control>) -> Worker {
    try_worker(log, control).unwrap()
}

fn try_worker(log: &Arc<EmbeddedLog>, control: &Arc<Control>) -> anyhow::Result<Worker> {
    let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    let schema = Schema::builtin();
    let types = [Arc::clone(schema.get("AggProxySum").unwrap())];
    let plan = StreamPlan::new(Arc::new(Plan::new(stream, &types)), &Observations::default());
    let plan = Arc::new(plan);
    let settings = WorkerSettings {
        table: TableSettings::default(),
        idle_timeout: Duration::from_secs(3600),
        commit_interval: Duration::from_secs(3600),
        alarms: Arc::default(),
        observations: Observations::default(),
        start_over: std::path::PathBuf::new(),
        partitions: 1,
        may_start_over: false,
        taps: Taps::default(),
    };
    let partitions = (0..PARTITIONS).map(|partition| (PartitionId::new(0, partition), Arc::clone(&plan))).collect();
    let log: Arc<dyn PartitionLog> = Arc::clone(log) as Arc<dyn PartitionLog>;
    let written = Arc::new(AllWritten::new([(0, &plan)], 1));
    Worker::new(
        log,
        Arc::new(SystemClock::new()),
        settings,
        Arc::default(),
        partitions,
        Arc::clone(control),
        Begin { start: Start::OfProcess, written },
    )
}

#[test]
fn the_state_of_a_newer_program_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
    log.stream_id("UveVirtualNetworkAgent-egress_flow_count").unwrap();
    let partition = PartitionId::new(0, 1);
    let meta = vec![200; 20];
    log.restore(partition).unwrap();
    let (chunks, results) = (Vec::new(), RecordBuffer::default());
    log.commit(vec![PartitionCommit { partition, cursor: 0, meta: meta.clone(), chunks, results }], 0).unwrap();
    let error = format!("{:#}", try_worker(&log, &Arc::default()).map(|_| ()).unwrap_err());
    let expected = "format version 200, this build reads version 2: run the newer program, or discard the snapshot";
    assert!(error.starts_with("restore partition 0/1: ") && error.ends_with(expected), "{error}");
    assert_eq!(log.restore(partition).unwrap().map(|restored| restored.meta), Some(meta));
}

#[test]
fn a_replay_that_is_told_to_stop_at_once_closes_its_windows_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
    log.stream_id("UveVirtualNetworkAgent-egress_flow_count").unwrap();
    let mut batch = AppendBatch::new(1_488_000_000_000_000);
    for partition in 0..PARTITIONS {
        let payload = br#"{"ts":1488000000000000,"value":7}"#;
        batch.push(PartitionId::new(0, partition), b"ObjectVNTable:a", payload).unwrap();
    }
    log.append(batch).unwrap();
    let control = Arc::new(Control::default());
    control.close_windows.store(true, Ordering::Release);
    control.stop.set();
    worker(&log, &control).run().unwrap();
    let sums = lines(&log).iter().filter(|line| line.ends_with(r#""value":{"value":7}}}"#)).count();
    assert_eq!(sums, usize::from(PARTITIONS));
}

/// The states of all partitions of a worker in memory at once were a third of the daemon's memory at its peak.
#[test]
fn the_large_states_of_several_partitions_are_not_written_together() {
    for (objects, writes) in [(10, 1), (60_000, u64::from(PARTITIONS))] {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        let mut batch = AppendBatch::new(1_488_000_000_000_000);
        for (partition, object) in (0..PARTITIONS).flat_map(|partition| (0..objects).map(move |it| (partition, it))) {
            let key = format!("ObjectVNTable:default-domain:project-{partition:03}:vn-{object:06}");
            let payload = br#"{"ts":1488000000000000,"value":7}"#;
            batch.push(PartitionId::new(0, partition), key.as_bytes(), payload).unwrap();
        }
        log.append(batch).unwrap();
        let mut worker = worker(&log, &Arc::default());
        while worker.iterate().unwrap() {}
        worker.commit(true).unwrap();
        let sequences: std::collections::BTreeSet<u64> = (0..PARTITIONS)
            .map(|partition| log.restore(PartitionId::new(0, partition)).unwrap().unwrap().sequence)
            .collect();
        assert_eq!(sequences.len() as u64, writes, "{objects} objects in each of {PARTITIONS} partitions");
    }
}

/// The results as lines of JSON.
fn lines(log: &EmbeddedLog) -> Vec<String> {
    let (mut reader, mut lines) = (RecordReader::default(), Vec::new());
    for record in log.read_results(0, usize::MAX).unwrap().records() {
        let read = reader.each(record.offset, record.payload, |_, result| {
            let mut line = Vec::new();
            result.write_line(&mut line);
            lines.push(String::from_utf8(line).unwrap());
        });
        read.unwrap();
    }
    lines
}

/// A window that began with the first sample that is left looked whole.
#[test]
fn a_partition_that_starts_over_marks_the_windows_of_deleted_input_as_partial() {
    const MINUTE: u64 = 60_000_000;
    // A commit is never of an earlier time than the machine's, and so is no later arrival.
    let now = SystemClock::new().now_micros();
    let start = now - now % MINUTE;
    let directory = tempfile::tempdir().unwrap();
    let config = LogConfig { max_input_bytes: 0, ..LogConfig::default() };
    let log = Arc::new(EmbeddedLog::open(directory.path(), config).unwrap());
    let partition = PartitionId::new(0, 0);
    let append = |at: u64, value: u64| {
        let mut batch = AppendBatch::new(at);
        batch.push(partition, b"ObjectVNTable:a", format!(r#"{{"ts":{at},"value":{value}}}"#).as_bytes()).unwrap();
        log.append(batch).unwrap();
    };
    append(start, 8000);
    let mut worker = worker(&log, &Arc::default());
    while worker.iterate().unwrap() {}
    worker.commit(true).unwrap();
    drop(worker);
    log.enforce_retention(now).unwrap();
    assert!(log.bounds(partition).unwrap().first > 0, "nothing was deleted");
    // What the operator has accepted.
    log.reset_state(partition).unwrap();
    append(start, 50);
    append(start + 10 * MINUTE, 7);
    let control = Arc::new(Control::default());
    control.close_windows.store(true, Ordering::Release);
    control.stop.set();
    try_worker(&log, &control).unwrap().run().unwrap();
    let values: Vec<_> = lines(&log).into_iter().filter(|line| line.contains(r#""value":{"#)).collect();
    let [first, second] = &values[..] else { panic!("{values:?}") };
    assert!(first.contains(r#""value":50"#) && first.contains(r#""partial":true"#), "{first}");
    assert!(second.contains(r#""value":7"#) && !second.contains("partial"), "{second}");
}
