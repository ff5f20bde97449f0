use std::sync::mpsc;
use std::thread;

use daemon_log::RecordBuffer;
use rdkafka::mocking::{MockCluster, MockCoordinator};

use super::*;
use crate::ResultsFormat;
use crate::client::Isolation;
use crate::config::KafkaConfig;
use crate::member::OffsetMetadata;

/// How long the test waits for a commit: many times the limit of a step.
const PATIENCE: Duration = Duration::from_secs(60);

fn state(value: u8) -> ShardCommit {
    ShardCommit {
        shard: PartitionId::new(0, 0),
        input_id: None,
        state: vec![(b"h".to_vec(), Some(vec![value]))],
        results: RecordBuffer::default(),
        dead_letters: Vec::new(),
        offsets: vec![(PartitionId::new(0, 0), u64::from(value))],
        metadata: OffsetMetadata::default(),
    }
}

/// Commits in a thread of its own, so that a commit that never ends fails the test.
fn commits(kafka: &KafkaConfig, received: mpsc::Receiver<u8>, done: &mpsc::Sender<Result<(), MemberError>>) {
    let connection = Connection::new(kafka).unwrap();
    let names = Names::new(kafka, "", || "i".to_owned());
    let topics = InputTopics::new(&names, &["S-a".to_owned()]);
    let results = ResultMessages { format: ResultsFormat::Binary, bytes: 1024 };
    let mut transactions = Transactions::new(&connection, "worker", &names, results, Arc::default());
    let config = connection.reader(&names.group, Isolation::Committed);
    let consumer = BaseConsumer::from_config_and_context(&config, LogContext).unwrap();
    for value in received {
        done.send(transactions.commit(&consumer, &topics, &[state(value)])).unwrap();
    }
}

#[test]
fn a_coordinator_that_does_not_answer_fails_a_commit_and_the_next_one_asks_for_it_again() {
    let cluster = MockCluster::new(2).unwrap();
    let kafka = KafkaConfig {
        brokers: cluster.bootstrap_servers(),
        transaction_timeout: Duration::from_secs(2),
        ..KafkaConfig::default()
    };
    let names = Names::new(&kafka, "", || "i".to_owned());
    [names.input("S-a"), names.state("S-a")].iter().for_each(|topic| cluster.create_topic(topic, 1, 1).unwrap());
    let coordinate = |broker| {
        cluster.coordinator(MockCoordinator::Group(names.group.clone()), broker).unwrap();
    };
    let leads = |topic: &str| cluster.partition_leader(topic, 0, Some(1)).unwrap();
    [names.input("S-a"), names.state("S-a")].iter().for_each(|topic| leads(topic));
    cluster.coordinator(MockCoordinator::Transaction("worker".to_owned()), 1).unwrap();
    coordinate(2);
    let ((values, received), (done, outcomes)) = (mpsc::channel(), mpsc::channel());
    let worker = thread::spawn(move || commits(&kafka, received, &done));
    let commit = |value| {
        values.send(value).unwrap();
        outcomes.recv_timeout(PATIENCE).expect("a commit ends")
    };
    commit(1).unwrap();
    cluster.broker_down(2).unwrap();
    let error = commit(2).unwrap_err().to_string();
    assert!(error.contains("the brokers have not answered in time"), "{error}");
    coordinate(1);
    commit(3).unwrap();
    commit(4).unwrap();
    drop(values);
    worker.join().unwrap();
}
