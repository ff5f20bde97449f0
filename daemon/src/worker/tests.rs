//! Workers on a real log.

use proxy_uve::schema::Schema;
use proxy_uve::{Plan, StreamName, TableSettings};

use super::*;
use crate::clock::SystemClock;
use crate::log::{AppendBatch, EmbeddedLog, Log as _, LogConfig};
use crate::result_record::RecordReader;

const PARTITIONS: u16 = 2;

fn worker(log: &Arc<EmbeddedLog>, control: &Arc<Control>) -> Worker {
    let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    let schema = Schema::builtin();
    let types = [Arc::clone(schema.get("AggProxySum").unwrap())];
    let plan = StreamPlan { name: stream.to_string(), plan: Arc::new(Plan::new(stream, &types)) };
    let plan = Arc::new(plan);
    let settings = WorkerSettings {
        table: TableSettings::default(),
        idle_timeout: Duration::from_secs(3600),
        commit_interval: Duration::from_secs(3600),
    };
    let partitions = (0..PARTITIONS).map(|partition| (PartitionId::new(0, partition), Arc::clone(&plan))).collect();
    let log: Arc<dyn PartitionLog> = Arc::clone(log) as Arc<dyn PartitionLog>;
    Worker::new(log, Arc::new(SystemClock::new()), settings, Arc::default(), partitions, Arc::clone(control)).unwrap()
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
    control.stop.store(true, Ordering::Release);
    worker(&log, &control).run();
    let results = log.read_results(0, usize::MAX).unwrap();
    let (mut reader, mut sums) = (RecordReader::default(), 0);
    for record in results.records() {
        let read = reader.each(record.offset, record.payload, |_, result| {
            let mut line = Vec::new();
            result.write_line(&mut line);
            sums += u16::from(line.ends_with(br#""value":{"value":7}}}"#));
        });
        read.unwrap();
    }
    assert_eq!(sums, PARTITIONS);
}
