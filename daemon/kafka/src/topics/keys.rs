//! Checks the keys of the newest records of an input topic.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{Connection, Isolation, LogContext, TIMEOUT};
use crate::names::Names;

/// The most records that are read of one partition, and of all together.
const MAX_OF_PARTITION: i64 = 100;
const MAX_RECORDS: i64 = 10_000;

/// How long one poll waits for records.
const POLL: Duration = Duration::from_millis(100);

/// Reads the newest records of each partition, and describes the problem if keys are in other shards than their own.
///
/// # Errors
///
/// When the records cannot be read.
pub(super) fn problem(
    connection: &Connection,
    names: &Names,
    topic: &str,
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
    let (mut open, mut silent, mut records, mut elsewhere, mut example) = (inputs, Duration::ZERO, 0, 0, None);
    while open > 0 && silent < TIMEOUT && records < MAX_RECORDS {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                silent = Duration::ZERO;
                records += 1;
                let (key, partition) = (message.key().unwrap_or_default(), message.partition().unsigned_abs());
                let expected = proxy_uve::partition(key, u32::from(inputs));
                if !key.is_empty() && expected % u32::from(shards) != partition % u32::from(shards) {
                    elsewhere += 1;
                    example.get_or_insert_with(|| (String::from_utf8_lossy(key).into_owned(), partition, expected));
                }
            }
            Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
            Some(Err(_)) | None => silent += POLL,
        }
    }
    Ok(example.map(|(key, partition, expected)| {
        format!(
            "{elsewhere} of the newest {records} records are in other partitions than Contrail's partitioning gives \
             their keys, such as `{key}` in {partition} instead of {expected}: an object with samples in several of \
             them has its results once for each; set the partitioner of the producers"
        )
    }))
}
