//! What the programs around `kafka_rate` share: its samples, how they are published and read, and the clocks.
//!
//! A sample is one of `egress_flow_count` of a Virtual Network, as a collector publishes it, in the partition that
//! [`partition`] names. Times begin at [`START`]: event time is the sample's own, so it may lie in the past.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use proxy_uve::key::partition;
use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::Offset;
use rdkafka::types::RDKafkaErrorCode;
use rustix::time::{ClockId, clock_gettime};

use crate::START;

/// How long an answer of the broker may take.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Publishes samples; keeps its buffers.
pub struct Publisher {
    producer: BaseProducer,
    topic: String,
    partitions: u32,
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl Publisher {
    /// Asks the broker how many partitions there are.
    ///
    /// # Errors
    /// When the broker does not answer or the topic does not exist.
    pub fn new(brokers: &str, topic: &str) -> Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("compression.type", "lz4").set("linger.ms", "5");
        config.set("enable.idempotence", "true").set("queue.buffering.max.messages", "1000000");
        let producer: BaseProducer = config.create().context("start a producer")?;
        let partitions = partitions(producer.client().fetch_metadata(Some(topic), TIMEOUT), topic)?;
        Ok(Self { producer, topic: topic.to_owned(), partitions, key: Vec::new(), payload: Vec::new() })
    }

    /// The partitions of the topic.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// The partition of Virtual Network `number`.
    pub fn partition_of(&mut self, number: u64) -> u32 {
        self.key.clear();
        // Writing to memory has no way to fail.
        let _ = write!(self.key, "ObjectVNTable:default-domain:demo:vn{number}");
        partition(&self.key, self.partitions)
    }

    /// Queues one sample of Virtual Network `number`, `at` microseconds after the start; waits while the queue is full.
    ///
    /// # Errors
    /// When the producer refuses it.
    pub fn publish(&mut self, number: u64, at: u64, value: u64) -> Result<()> {
        let to = self.partition_of(number);
        self.payload.clear();
        let (timestamp, payload) = (START + at, &mut self.payload);
        let _ = write!(
            payload,
            "<egress_flow_count type=\"u32\" identifier=\"24\" aggtype=\"sum\" timestamp=\"{timestamp}\">{value}\
             </egress_flow_count>"
        );
        let mut record = BaseRecord::to(&self.topic).partition(to.cast_signed()).key(&self.key).payload(&self.payload);
        while let Err((error, back)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error).context("publish a sample");
            }
            self.producer.poll(Duration::from_millis(10));
            record = back;
        }
        Ok(())
    }

    /// Waits until the broker has everything.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn flush(&self) -> Result<()> {
        self.producer.flush(TIMEOUT).context("wait for the broker")
    }
}

/// A consumer of a whole topic that belongs to no group, with where it begins and ends now.
pub struct Reader {
    /// Reads from `low` of each partition.
    pub consumer: BaseConsumer,
    /// First and end offset of each partition.
    pub bounds: Vec<(i64, i64)>,
}

/// Reads all partitions of a topic from the beginning, or from the end; only what is committed.
///
/// # Errors
/// When the broker does not answer or the topic does not exist.
pub fn read(brokers: &str, topic: &str, from: Offset) -> Result<Reader> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "kafka_rate-reader").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("enable.partition.eof", "true");
    config.set("queued.max.messages.kbytes", "65536").set("fetch.wait.max.ms", "10");
    let consumer: BaseConsumer = config.create().context("start a consumer")?;
    let count = partitions(consumer.fetch_metadata(Some(topic), TIMEOUT), topic)?;
    let mut bounds = Vec::new();
    let mut list = TopicPartitionList::new();
    for partition in 0..count.cast_signed() {
        let (low, high) = consumer.fetch_watermarks(topic, partition, TIMEOUT).context("ask for the bounds")?;
        bounds.push((low, high));
        // The end is named by its number: asked for later, it would lie behind what comes in between.
        let start = if from == Offset::End { high } else { low };
        list.add_partition_offset(topic, partition, Offset::Offset(start))?;
    }
    consumer.assign(&list).context("read the topic")?;
    Ok(Reader { consumer, bounds })
}

fn partitions(answer: Result<rdkafka::metadata::Metadata, KafkaError>, topic: &str) -> Result<u32> {
    let metadata = answer.context("ask the broker")?;
    match metadata.topics().iter().find(|it| it.name() == topic).map(|it| it.partitions().len()) {
        Some(count) if count > 0 => Ok(u32::try_from(count)?),
        _ => bail!("there is no topic {topic}"),
    }
}

/// Seconds of the monotonic clock.
pub fn seconds() -> f64 {
    clock(ClockId::Monotonic)
}

/// CPU seconds of this process, librdkafka's threads included.
pub fn cpu_seconds() -> f64 {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> f64 {
    let now = clock_gettime(id);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// A whole number among the arguments.
///
/// # Errors
/// When it is none.
pub fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("`{text}` is not a whole number"))
}
