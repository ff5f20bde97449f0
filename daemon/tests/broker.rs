//! The guarantees of Kafka that the Kafka log relies on, on a real broker: the visibility of transactions, the fencing
//! of a replaced group member, and the durability of acknowledged records.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use support::broker::{Broker, Isolation, Record};

/// The timeout of a call to the broker.
const PATIENCE: Duration = Duration::from_secs(30);

/// The broker of all tests, locked because one of them stops it.
fn broker() -> MutexGuard<'static, Broker> {
    static BROKER: LazyLock<Mutex<Broker>> = LazyLock::new(|| Mutex::new(Broker::start()));
    BROKER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transactional producer without an open transaction.
fn transactional(broker: &Broker, id: &str) -> BaseProducer {
    let producer: BaseProducer = broker.client().set("transactional.id", id).create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

/// Appends one record to each partition and waits for the acknowledgements.
fn send(producer: &BaseProducer, topic: &str, partitions: i32, payload: &str) {
    for partition in 0..partitions {
        producer.send(BaseRecord::to(topic).partition(partition).key("key").payload(payload)).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.in_flight_count(), 0);
}

/// Waits until no partition has an open transaction. A commit returns once its outcome is certain; the markers in the
/// partitions, which make the records visible, follow some milliseconds later.
fn wait_for_marks(broker: &Broker, topic: &str) {
    for _ in 0..1000 {
        if broker.end_offsets(topic, Isolation::Committed) == broker.end_offsets(topic, Isolation::Uncommitted) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("a transaction of {topic} does not end");
}

fn payloads(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| str::from_utf8(record.payload.as_deref().unwrap()).unwrap()).collect()
}

#[test]
fn only_read_uncommitted_sees_an_aborted_transaction() {
    let broker = broker();
    broker.create_topic("aborted", 3, &[]);
    let producer = transactional(&broker, "aborter");
    producer.begin_transaction().unwrap();
    send(&producer, "aborted", 3, "aborted");
    producer.abort_transaction(PATIENCE).unwrap();
    assert_eq!(payloads(&broker.read_all("aborted", Isolation::Committed)), [""; 0]);
    producer.begin_transaction().unwrap();
    send(&producer, "aborted", 2, "committed");
    producer.commit_transaction(PATIENCE).unwrap();
    wait_for_marks(&broker, "aborted");

    assert_eq!(payloads(&broker.read_all("aborted", Isolation::Committed)), ["committed", "committed"]);
    let all = broker.read_all("aborted", Isolation::Uncommitted);
    assert_eq!(payloads(&all), ["aborted", "committed", "aborted", "committed", "aborted"]);
    // The end marker of a transaction has an offset: one after each record.
    assert_eq!(all.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 2, 0, 2, 0]);
}

#[test]
fn the_isolation_level_selects_the_last_stable_offset_or_the_high_watermark_as_end() {
    const PARTITIONS: i32 = 40;
    let broker = broker();
    broker.create_topic("ends", 40, &[]);
    broker.produce("ends", (0..PARTITIONS).map(|partition| (partition, "key", "plain")));
    let ends = || [Isolation::Committed, Isolation::Uncommitted].map(|isolation| broker.end_offsets("ends", isolation));
    assert_eq!(ends(), [[1; 40], [1; 40]]);

    let producer = transactional(&broker, "opener");
    producer.begin_transaction().unwrap();
    send(&producer, "ends", PARTITIONS - 1, "open");
    broker.produce("ends", (0..PARTITIONS).map(|partition| (partition, "key", "later")));
    let [mut stable, mut high] = [[1; 40], [3; 40]];
    (stable[39], high[39]) = (2, 2);
    assert_eq!(ends(), [stable, high]);
    // Records behind an open transaction are not read, even if they belong to none.
    let committed = broker.read_all("ends", Isolation::Committed);
    assert_eq!(committed.len(), 41);

    producer.commit_transaction(PATIENCE).unwrap();
    wait_for_marks(&broker, "ends");
    high = [4; 40];
    high[39] = 2;
    assert_eq!(ends(), [high, high]);
    assert_eq!(broker.read_all("ends", Isolation::Committed).len(), 119);
}

/// A member of the group that consumes the topic `members`.
fn member(broker: &Broker) -> BaseConsumer {
    let mut config = broker.client();
    config.set("group.id", "members").set("enable.auto.commit", "false").set("session.timeout.ms", "6000");
    config.set("heartbeat.interval.ms", "200").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().unwrap();
    consumer.subscribe(&["members"]).unwrap();
    consumer
}

/// Polls members until each has `partitions`.
fn settle(members: &[&BaseConsumer], partitions: usize) {
    for _ in 0..3000 {
        for member in members {
            assert!(member.poll(Duration::from_millis(10)).is_none_or(|polled| polled.is_ok()));
        }
        if members.iter().all(|member| member.assignment().unwrap().count() == partitions) {
            return;
        }
    }
    panic!("the group does not settle");
}

#[test]
fn a_replaced_member_cannot_commit_offsets_in_a_transaction() {
    let broker = broker();
    broker.create_topic("members", 2, &[]);
    let first = member(&broker);
    settle(&[&first], 2);
    let replaced = first.group_metadata().unwrap();
    let second = member(&broker);
    settle(&[&first, &second], 1);

    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset("members", 0, Offset::Offset(7)).unwrap();
    let producer = transactional(&broker, "committer");
    producer.begin_transaction().unwrap();
    let refused = producer.send_offsets_to_transaction(&offsets, &replaced, PATIENCE).unwrap_err();
    let KafkaError::Transaction(refused) = refused else { panic!("{refused}") };
    assert_eq!(refused.code(), RDKafkaErrorCode::IllegalGeneration);
    assert!(refused.txn_requires_abort() && !refused.is_fatal());
    producer.abort_transaction(PATIENCE).unwrap();

    // A current member succeeds with the same commit, so the broker rejected the generation.
    producer.begin_transaction().unwrap();
    producer.send_offsets_to_transaction(&offsets, &first.group_metadata().unwrap(), PATIENCE).unwrap();
    producer.commit_transaction(PATIENCE).unwrap();
    // The client itself retries while the offsets of the group are in a transaction that is about to end.
    let committed = first.committed_offsets(offsets, PATIENCE).unwrap();
    assert_eq!(committed.find_partition("members", 0).unwrap().offset(), Offset::Offset(7));
}

#[test]
fn a_restarted_broker_has_its_topics_and_records() {
    let mut broker = broker();
    broker.create_topic("kept", 1, &[]);
    broker.grow_topic("kept", 3);
    broker.produce("kept", (0..30_000).map(|at| (at % 3, at.to_string(), format!("payload {at}"))));
    let before = broker.read_all("kept", Isolation::Committed);
    assert_eq!(before.len(), 30_000);
    assert_eq!(payloads(&before[10_000..10_002]), ["payload 1", "payload 4"]);

    let (bootstrap, pid) = (broker.bootstrap().to_owned(), broker.pid());
    broker.restart();
    assert_ne!(broker.pid(), pid);
    assert!(broker.read_all("kept", Isolation::Committed) == before, "restarted: other records");
    broker.pause();
    broker.resume();
    broker.kill();
    broker.restart();
    assert_eq!(broker.bootstrap(), bootstrap);
    assert!(broker.read_all("kept", Isolation::Committed) == before, "killed and started: other records");
}
