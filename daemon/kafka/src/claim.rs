//! The claims of state topics: the one consumer group whose states a topic holds.
//!
//! Two groups on one state topic would give every window twice and overwrite each other's states. So a daemon reads no
//! input before its group has the claim of each state topic: a record in partition 0 with the key `g` and the name of
//! the group. The claim that comes first in the log counts. A daemon that finds none writes that of its group and reads
//! the partition again. When two groups start for the first time at once, the log puts their claims in one order, and
//! each has written its own before it reads: both find the same one first.
//!
//! A claim is written once, so that compaction leaves it at its offset. A group whose claim is not the first deletes
//! it.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::info;

use crate::client::{Connection, Isolation, LogContext, TIMEOUT};
use crate::members::Members;
use crate::names::Names;
use crate::state_records::CLAIM;
use crate::transaction::Deliveries;

/// How long one poll waits for records.
const POLL: Duration = Duration::from_millis(100);

/// Polls without a record after which a read fails.
const MAX_SILENT_POLLS: u128 = TIMEOUT.as_millis() / POLL.as_millis();

/// Why a state topic is not claimed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// Another group has it, so no retry can succeed.
    #[error(
        "topic {topic} holds the states of the consumer group `{group}`, and this daemon is of the group `{own}`: two \
         groups on one state topic would give each window twice. Set kafka.group_id = \"{group}\" to share the work of \
         that group, or another kafka.topic_prefix for results of its own; or stop all daemons of `{group}` and run \
         `derived-statsd topics --take-over` to move its states to `{own}`"
    )]
    Refused { topic: String, group: String, own: String },
    /// A request failed.
    #[error("cannot read or write the claim of topic {topic}: {source}")]
    Failed { topic: String, source: KafkaError },
}

/// Reads and writes the claims of one group.
pub(crate) struct Claims {
    connection: Connection,
    names: Names,
}

impl Claims {
    pub(crate) fn new(connection: &Connection, names: &Names) -> Self {
        Self { connection: connection.clone(), names: names.clone() }
    }

    /// Makes sure that the group has the claim of a state topic.
    ///
    /// # Errors
    ///
    /// When another group has it, or a request failed.
    pub(crate) fn take(&self, topic: &str) -> Result<(), ClaimError> {
        let failed = |source| ClaimError::Failed { topic: topic.to_owned(), source };
        let own = &self.names.group;
        let mut groups = self.read(topic).map_err(failed)?;
        if groups.is_empty() {
            self.write(topic, &[(own, true)]).map_err(failed)?;
            info!(topic, group = %own, "The state topic was claimed for this group.");
            groups = self.read(topic).map_err(failed)?;
        }
        match groups.first() {
            Some(first) if first == own => Ok(()),
            Some(first) => {
                if groups.contains(own) {
                    self.write(topic, &[(own, false)]).map_err(failed)?;
                }
                Err(ClaimError::Refused { topic: topic.to_owned(), group: first.clone(), own: own.clone() })
            }
            None => Err(failed(KafkaError::Canceled)),
        }
    }

    /// The problem, with its fix, if another group has a state topic.
    ///
    /// # Errors
    ///
    /// When a request failed.
    pub(crate) fn problem(&self, topic: &str) -> Result<Option<String>, ClaimError> {
        let failed = |source| ClaimError::Failed { topic: topic.to_owned(), source };
        let first = self.read(topic).map_err(failed)?.into_iter().next();
        Ok(first.filter(|group| *group != self.names.group).map(|group| {
            format!(
                "it holds the states of the consumer group `{group}`: set kafka.group_id to it, or stop its daemons and \
                 run `derived-statsd topics --take-over`"
            )
        }))
    }

    /// Deletes the claims of other groups on a state topic and claims it; returns the groups that had claims. They must
    /// have no members.
    ///
    /// # Errors
    ///
    /// When such a group has members, or a request failed.
    pub(crate) fn take_over(&self, topic: &str, members: &Members) -> anyhow::Result<Vec<String>> {
        let own = &self.names.group;
        let mut others = self.read(topic)?;
        others.retain(|group| group != own);
        for group in &others {
            let running = members.of(group)?;
            anyhow::ensure!(
                running.is_empty(),
                "topic {topic} holds the states of the consumer group `{group}`, which has {} members ({}); stop its \
                 daemons first",
                running.len(),
                running.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            );
        }
        let deleted = others.iter().map(|group| (group, false));
        self.write(topic, &deleted.collect::<Vec<_>>())?;
        self.take(topic)?;
        Ok(others)
    }

    /// The groups with a claim, in the order of the log. Records of open transactions are read, too: a claim is not in
    /// a transaction, and must not wait for those that are before it.
    fn read(&self, topic: &str) -> Result<Vec<String>, KafkaError> {
        let config = self.connection.reader(&format!("{}-claims", self.names.group), Isolation::Uncommitted);
        let consumer: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
        // With the metadata in its cache a consumer begins to read at once; without, it takes a second.
        consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&list)?;
        let (mut groups, mut silent) = (Vec::new(), 0);
        while silent < MAX_SILENT_POLLS {
            match consumer.poll(POLL) {
                Some(Ok(message)) => {
                    silent = 0;
                    apply(&mut groups, message.key().unwrap_or_default(), message.payload().is_some());
                }
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(groups),
                // librdkafka retries by itself; the records come, or the polls stay silent.
                Some(Err(_)) | None => silent += 1,
            }
        }
        Err(KafkaError::Canceled)
    }

    /// Writes claims, or deletes those with `false`.
    fn write(&self, topic: &str, claims: &[(&String, bool)]) -> Result<(), KafkaError> {
        let config = self.connection.producer(&self.names.client_id(0));
        let producer: BaseProducer<Deliveries> = BaseProducer::from_config_and_context(&config, Deliveries::default())?;
        for (group, exists) in claims {
            let key = [&[CLAIM], group.as_bytes()].concat();
            let value = serde_json::json!({ "group": group, "instance": self.names.instance }).to_string();
            let record = BaseRecord::<[u8], str>::to(topic).partition(0).key(&*key);
            let record = if *exists { record.payload(&value) } else { record };
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(TIMEOUT)?;
        producer.context().take_failure().map_or(Ok(()), Err)
    }
}

/// Applies a record of the state topic to the groups with a claim.
fn apply(groups: &mut Vec<String>, key: &[u8], exists: bool) {
    let Some(group) = key.strip_prefix(&[CLAIM]).map(|group| String::from_utf8_lossy(group).into_owned()) else {
        return;
    };
    if !exists {
        groups.retain(|it| *it != group);
    } else if !groups.contains(&group) {
        groups.push(group);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_claim_counts_until_it_is_deleted() {
        let mut groups = Vec::new();
        for (key, exists, first) in [
            ("h", true, None),
            ("ga", true, Some("a")),
            ("gb", true, Some("a")),
            ("ga", true, Some("a")),
            ("ga", false, Some("b")),
            ("ga", true, Some("b")),
            ("c123", true, Some("b")),
        ] {
            apply(&mut groups, key.as_bytes(), exists);
            assert_eq!(groups.first().map(String::as_str), first, "{key} {exists}: {groups:?}");
        }
    }
}
