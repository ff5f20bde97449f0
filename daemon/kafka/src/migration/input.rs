//! The input topics of a group without members: where they begin and end, and whether they have records.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use anyhow::{Context as _, bail};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{Connection, Isolation, LogContext, TIMEOUT};
use crate::end_offsets;
use crate::names::Names;
use crate::read_to_ends::read_to_ends;

/// Where a group whose states come from another log begins with the records that its input topics have already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputStart {
    /// With the oldest of them: they are not in the states.
    Start,
    /// Behind all of them: they are in the states.
    End,
}

/// The retained offsets of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retained {
    pub first: u64,
    pub end: u64,
}

/// Reads topics from given offsets on.
pub(super) struct Inputs {
    committed: BaseConsumer<LogContext>,
    uncommitted: BaseConsumer<LogContext>,
}

impl Inputs {
    pub(super) fn new(connection: &Connection, names: &Names) -> anyhow::Result<Self> {
        // They commit nothing, but librdkafka requires a group id.
        let group = names.migration_id();
        let client =
            |isolation| BaseConsumer::from_config_and_context(&connection.reader(&group, isolation), LogContext);
        let clients =
            client(Isolation::Committed).and_then(|committed| Ok((committed, client(Isolation::Uncommitted)?)));
        let (committed, uncommitted) = clients.context("start a client; check the [kafka] settings")?;
        Ok(Self { committed, uncommitted })
    }

    /// The retained offsets of each partition of a topic.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer, or a transaction is open whose records may still come.
    pub(super) fn retained(&self, topic: &str, partitions: u16) -> anyhow::Result<BTreeMap<u16, Retained>> {
        let mut retained = BTreeMap::new();
        for partition in 0..partitions {
            let request = |client| end_offsets::watermarks(client, topic, partition);
            let answers = request(&self.uncommitted).and_then(|all| Ok((all, request(&self.committed)?)));
            let ((first, end), (_, stable)) =
                answers.with_context(|| format!("request the offsets of partition {partition} of topic {topic}"))?;
            if stable < end {
                bail!(
                    "partition {partition} of topic {topic} has records of a transaction that is open; wait until its \
                     producer or the broker ends it, and try again"
                );
            }
            retained.insert(partition, Retained { first, end });
        }
        Ok(retained)
    }

    /// Finds a partition with a record at its offset of `starts` or after it. An offset before the end of a partition
    /// does not show that: there may be markers of transactions only.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer.
    pub(super) fn with_records(&self, topic: &str, starts: &BTreeMap<u16, u64>) -> anyhow::Result<Option<u16>> {
        Ok(self.first(topic, starts)?.map(|(partition, _)| partition))
    }

    /// The same, with the payload of the record.
    pub(super) fn first(&self, topic: &str, starts: &BTreeMap<u16, u64>) -> anyhow::Result<Option<(u16, Vec<u8>)>> {
        let read = || {
            // With the metadata in its cache a consumer begins to read at once; without, it takes a second.
            self.committed.fetch_metadata(Some(topic), TIMEOUT)?;
            let mut list = TopicPartitionList::new();
            for (partition, next) in starts {
                let offset = Offset::Offset(next.cast_signed());
                list.add_partition_offset(topic, i32::from(*partition), offset)?;
            }
            self.committed.assign(&list)?;
            let found = self.first_record(starts.keys().copied());
            self.committed.unassign()?;
            found
        };
        read().with_context(|| format!("read topic {topic}"))
    }

    fn first_record(&self, partitions: impl Iterator<Item = u16>) -> Result<Option<(u16, Vec<u8>)>, KafkaError> {
        let mut found = None;
        let is_known = read_to_ends(&self.committed, partitions.map(i32::from), |message| {
            found = Some((message.partition() as u16, message.payload().unwrap_or_default().to_vec()));
            ControlFlow::Break(())
        });
        if is_known { Ok(found) } else { Err(KafkaError::Canceled) }
    }

    /// The offset that a consumer group has committed in partition 0 of a topic.
    pub(super) fn committed_offset(
        connection: &Connection,
        group: &str,
        topic: &str,
    ) -> Result<Option<u64>, KafkaError> {
        let config = connection.reader(group, Isolation::Committed);
        let client: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
        let mut list = TopicPartitionList::new();
        list.add_partition(topic, 0);
        let committed = client.committed_offsets(list, TIMEOUT)?;
        Ok(committed.find_partition(topic, 0).and_then(|entry| match entry.offset() {
            Offset::Offset(next) => Some(next.unsigned_abs()),
            _ => None,
        }))
    }

    /// The names of the consumer groups that begin with `prefix`.
    pub(super) fn groups(&self, prefix: &str) -> Result<Vec<String>, KafkaError> {
        let list = self.uncommitted.fetch_group_list(None, TIMEOUT)?;
        let names = list.groups().iter().map(|group| group.name().to_owned());
        let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
        names.sort_unstable();
        Ok(names)
    }
}
