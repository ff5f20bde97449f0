//! What a test does with a broker: topics, records in, records out. Everything waits until it is done.

use std::ops::Range;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use super::super::wait_until;
use super::{Broker, PATIENCE, STEP};

/// What a reader sees of transactions.
#[derive(Clone, Copy)]
pub(crate) enum Isolation {
    /// What was committed, up to the first transaction that is open.
    Committed,
    /// Everything, up to the high watermark.
    Uncommitted,
}

impl Isolation {
    /// The value of `isolation.level`.
    pub(crate) fn level(self) -> &'static str {
        match self {
            Self::Committed => "read_committed",
            Self::Uncommitted => "read_uncommitted",
        }
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn new(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(<[u8]>::to_vec),
            payload: message.payload().map(<[u8]>::to_vec),
            headers: headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec())).collect(),
        }
    }
}

impl Broker {
    /// Creates a topic with settings such as `("cleanup.policy", "compact")` and waits until clients can use it.
    pub(crate) fn create_topic(&self, name: &str, partitions: u16, config: &[(&str, &str)]) {
        let mut topic = NewTopic::new(name, partitions.into(), TopicReplication::Fixed(1));
        for (key, value) in config {
            topic = topic.set(key, value);
        }
        let created = block_on(self.admin().create_topics([&topic], &options()));
        assert_eq!(created.unwrap(), [Ok(name.to_owned())]);
        self.wait_for_partitions(name, partitions);
    }

    /// Deletes a topic, and creates it again without records.
    pub(crate) fn create_topic_again(&self, name: &str, partitions: u16) {
        self.delete_topic(name);
        self.create_topic(name, partitions, &[]);
    }

    /// Deletes a topic.
    pub(crate) fn delete_topic(&self, name: &str) {
        let deleted = block_on(self.admin().delete_topics(&[name], &options()));
        assert_eq!(deleted.unwrap(), [Ok(name.to_owned())]);
    }

    /// Gives a topic more partitions, `partitions` in all.
    pub(crate) fn grow_topic(&self, name: &str, partitions: u16) {
        let more = NewPartitions::new(name, partitions.into());
        let grown = block_on(self.admin().create_partitions([&more], &options()));
        assert_eq!(grown.unwrap(), [Ok(name.to_owned())]);
        self.wait_for_partitions(name, partitions);
    }

    /// Deletes the records of a partition before an offset, as retention does.
    pub(crate) fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let deleted = block_on(self.admin().delete_records(&list, &options())).unwrap();
        deleted.elements().iter().for_each(|it| it.error().unwrap());
    }

    /// Appends records of partition, key and payload, each once and in this order within its partition. Returns when
    /// the broker has them all.
    pub(crate) fn produce<K: AsRef<[u8]>, P: AsRef<[u8]>>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (i32, K, P)>,
    ) {
        self.produce_by_clock(
            topic,
            records.into_iter().map(|(partition, key, payload)| (partition, key, payload, None)),
        );
    }

    /// The same, by producers whose clock shows the given milliseconds since the epoch.
    pub(crate) fn produce_by_clock<K: AsRef<[u8]>, P: AsRef<[u8]>>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item = (i32, K, P, Option<u64>)>,
    ) {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("compression.type", "lz4").set("linger.ms", "5");
        let producer: BaseProducer<Acks> = config.create_with_context(Acks::default()).unwrap();
        for (partition, key, payload, clock) in records {
            let mut record = BaseRecord::to(topic).partition(partition).key(key.as_ref()).payload(payload.as_ref());
            record.timestamp = clock.map(|ms| ms as i64);
            while let Err((error, back)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
                producer.poll(STEP);
                record = back;
            }
            // Frees the room of what was acknowledged.
            producer.poll(Duration::ZERO);
        }
        producer.flush(PATIENCE).unwrap();
        assert_eq!(producer.context().failure.get(), None);
    }

    /// Every record from the beginning of each partition to its end as it is now, by partition and offset.
    pub(crate) fn read_all(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        let consumer = self.reader(isolation);
        // Asked by this consumer, so that it knows the leaders: with none known it sleeps for a second first.
        let ends = ends(&consumer, topic);
        let partitions = 0..i32::try_from(ends.len()).unwrap();
        consumer.assign(&at(topic, partitions, Offset::Beginning)).unwrap();
        let mut open = ends.len();
        let mut records = Vec::new();
        while open > 0 {
            match consumer.poll(PATIENCE).expect("the broker gives records or an end") {
                Ok(message) => records.push(Record::new(&message)),
                // The last offsets may be marks of transactions, which no reader sees: only this says that nothing is
                // left. Should something be appended meanwhile, it comes again; so the partition is left at once.
                Err(KafkaError::PartitionEOF(partition)) => {
                    consumer.incremental_unassign(&at(topic, partition..partition + 1, Offset::Invalid)).unwrap();
                    open -= 1;
                }
                Err(error) => panic!("reading {topic}: {error}"),
            }
        }
        records.retain(|record| record.offset < ends[usize::try_from(record.partition).unwrap()]);
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// Where each partition ends for a reader, in order of partitions. One request for all of them.
    pub(crate) fn end_offsets(&self, topic: &str, isolation: Isolation) -> Vec<i64> {
        ends(&self.reader(isolation), topic)
    }

    /// A consumer that belongs to no group.
    pub(crate) fn reader(&self, isolation: Isolation) -> BaseConsumer {
        let mut config = self.client();
        // A group id must be set; nothing is committed and nothing subscribed. The short wait brings ends soon.
        config.set("group.id", "reader").set("enable.auto.commit", "false").set("enable.partition.eof", "true");
        config.set("isolation.level", isolation.level()).set("fetch.wait.max.ms", "10");
        config.create().unwrap()
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    fn wait_for_partitions(&self, topic: &str, partitions: u16) {
        let client: BaseConsumer = self.client().create().unwrap();
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if partition_count(&client, topic) == i32::from(partitions) {
                return;
            }
            thread::sleep(STEP);
        }
        panic!("waited in vain for {partitions} partitions of {topic}");
    }
}

/// How many partitions a topic has, all with a leader; -1 if one has none.
fn partition_count(client: &BaseConsumer, topic: &str) -> i32 {
    let metadata = client.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let partitions = metadata.topics()[0].partitions();
    if partitions.iter().all(|partition| partition.leader() >= 0) {
        i32::try_from(partitions.len()).unwrap()
    } else {
        -1
    }
}

fn ends(consumer: &BaseConsumer, topic: &str) -> Vec<i64> {
    let partitions = partition_count(consumer, topic);
    let request = || consumer.offsets_for_times(at(topic, 0..partitions, Offset::End), PATIENCE);
    // A broker that was restarted has an older epoch for a moment than the client has heard of.
    let is_newer = |error: &KafkaError| error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownLeaderEpoch);
    let settled = wait_until("the broker knows the epochs of its partitions", || match request() {
        Err(error) if is_newer(&error) => None,
        Ok(ends) if ends.elements().iter().any(|end| end.error().is_err_and(|error| is_newer(&error))) => None,
        answer => Some(answer),
    });
    let ends = settled.unwrap();
    let end = |partition| {
        let found = ends.find_partition(topic, partition).unwrap();
        found.error().unwrap();
        found.offset().to_raw().unwrap()
    };
    (0..partitions).map(end).collect()
}

/// These partitions of a topic, all at `offset`.
fn at(topic: &str, partitions: Range<i32>, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition, offset).unwrap();
    }
    list
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Keeps the first failure of a delivery.
#[derive(Default)]
struct Acks {
    failure: OnceLock<KafkaError>,
}

impl ClientContext for Acks {}

impl ProducerContext for Acks {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            // Only the first counts.
            let _ = self.failure.set(error.clone());
        }
    }
}
