//! The end offsets of partitions, whichever partitions librdkafka believes a topic to have.
//!
//! librdkafka keeps a copy of the metadata of a topic that it does not read for a quarter of an hour. A copy from before
//! the topic grew, or from a broker that was stopping, lacks partitions. A request for these then fails, or contains no
//! offset for them and no error of the whole. So the copy is replaced and the request repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::TIMEOUT;

/// How long a request may take: it is repeated once, after one for the metadata of a topic.
pub(crate) const LIMIT: Duration = TIMEOUT.saturating_mul(3);

/// Requests the offset of each partition at the time in `list`, which is [`Offset::End`](rdkafka::Offset::End) for the
/// end offset at the isolation level of `client`. A partition that has none carries an error.
///
/// # Errors
///
/// When the brokers do not answer.
pub(crate) fn request<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    list: &TopicPartitionList,
) -> KafkaResult<TopicPartitionList> {
    let answer = client.offsets_for_times(list.clone(), TIMEOUT);
    let incomplete = topics_without_a_partition(list, &answer);
    if incomplete.is_empty() {
        return answer;
    }
    for topic in &incomplete {
        client.fetch_metadata(Some(topic), TIMEOUT)?;
    }
    client.offsets_for_times(list.clone(), TIMEOUT)
}

/// Requests the first and the end offset of a partition.
///
/// # Errors
///
/// When the brokers do not answer, or the partition does not exist.
pub(crate) fn watermarks<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: u16,
) -> KafkaResult<(u64, u64)> {
    let request = || client.fetch_watermarks(topic, i32::from(partition), TIMEOUT);
    let answer = match request() {
        Err(error) if is_unknown(&error) => {
            client.fetch_metadata(Some(topic), TIMEOUT)?;
            request()
        }
        answer => answer,
    };
    answer.map(|(low, high)| (low.unsigned_abs(), high.unsigned_abs()))
}

/// The topics of partitions that the client does not know.
fn topics_without_a_partition(
    requested: &TopicPartitionList,
    answer: &KafkaResult<TopicPartitionList>,
) -> BTreeSet<String> {
    match answer {
        Ok(answer) => {
            let elements = answer.elements();
            let unknown = elements.iter().filter(|it| it.error().is_err_and(|error| is_unknown(&error)));
            unknown.map(|it| it.topic().to_owned()).collect()
        }
        Err(error) if is_unknown(error) => requested.elements().iter().map(|it| it.topic().to_owned()).collect(),
        Err(_) => BTreeSet::new(),
    }
}

/// Whether the error means that the client's copy of the metadata lacks a partition: `NoEnt` if it lacks all that were
/// requested.
fn is_unknown(error: &KafkaError) -> bool {
    matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::NoEnt))
}
