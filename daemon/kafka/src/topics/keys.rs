//! Checks the keys of the newest records of an input topic.

use std::collections::HashMap;
use std::ops::ControlFlow;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{Connection, Isolation, LogContext, TIMEOUT};
use crate::foreign::ForeignTopic;
use crate::names::Names;
use crate::read_to_ends::read_to_ends;

/// The most records that are read of one partition, and of all together.
const MAX_OF_PARTITION: i64 = 100;
const MAX_RECORDS: i64 = 10_000;

/// Reads the newest records of each partition, and describes the problem if keys are in other shards than their own.
///
/// # Errors
///
/// When the records cannot be read.
pub(super) fn problem(
    connection: &Connection,
    names: &Names,
    (topic, foreign): (&str, Option<&ForeignTopic>),
    inputs: u16,
    shards: u16,
) -> Result<Option<String>, KafkaError> {
    if shards <= 1 {
        return Ok(None);
    }
    let mut config = connection.reader(&format!("{}-topics", names.group), Isolation::Committed);
    config.set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
    consumer.fetch_metadata(Some(topic), TIMEOUT)?;
    let newest = (MAX_RECORDS / i64::from(inputs.max(1))).clamp(1, MAX_OF_PARTITION);
    let mut list = TopicPartitionList::new();
    for partition in 0..inputs {
        list.add_partition_offset(topic, i32::from(partition), Offset::OffsetTail(newest))?;
    }
    consumer.assign(&list)?;
    let mut records = 0;
    let mut misplaced = Misplaced { foreign, inputs, shards, count: 0, example: None, shard_by_object: HashMap::new() };
    // What does not come in time is not looked at.
    let _ = read_to_ends(&consumer, 0..i32::from(inputs), |message| {
        records += 1;
        let (key, payload) = (message.key().unwrap_or_default(), message.payload().unwrap_or_default());
        misplaced.add(key, payload, message.partition().unsigned_abs());
        if records < MAX_RECORDS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    Ok(misplaced.problem(records))
}

/// The records that are in another shard than others of their object, or may be.
struct Misplaced<'t> {
    /// Of whose messages the partitioner is not known: objects in several shards are found.
    foreign: Option<&'t ForeignTopic>,
    inputs: u16,
    shards: u16,
    count: i64,
    /// Key, partition, and another partition.
    example: Option<(String, u32, u32)>,
    /// A partition of each object, with `foreign`.
    shard_by_object: HashMap<String, u32>,
}

impl Misplaced<'_> {
    fn add(&mut self, key: &[u8], payload: &[u8], partition: u32) {
        let (object, expected) = match self.foreign {
            None if key.is_empty() => return,
            None => (String::from_utf8_lossy(key).into_owned(), proxy_uve::partition(key, u32::from(self.inputs))),
            Some(foreign) => {
                let Some(object) = foreign.object_of(payload) else { return };
                let expected = *self.shard_by_object.entry(object.clone()).or_insert(partition);
                (object, expected)
            }
        };
        if expected % u32::from(self.shards) != partition % u32::from(self.shards) {
            self.count += 1;
            self.example.get_or_insert((object, partition, expected));
        }
    }

    fn problem(self, records: i64) -> Option<String> {
        let Self { count, foreign, .. } = self;
        let (key, partition, expected) = self.example?;
        Some(if foreign.is_some() {
            format!(
                "{count} of the newest {records} messages are in other partitions than others of their object, such as \
                 `{key}` in {partition} and in {expected}: such an object has its results once for each; let the producer \
                 write as key of the message what makes the object"
            )
        } else {
            format!(
                "{count} of the newest {records} records are in other partitions than Contrail's partitioning gives \
                 their keys, such as `{key}` in {partition} instead of {expected}: an object with samples in several of \
                 them has its results once for each; set the partitioner of the producers"
            )
        })
    }
}
