//! The status of all partitions of the group, from any of its daemons.
//!
//! The offsets are the group's, as committed in the transactions. The metadata of each offset contains its owner, the
//! watermark and the number of objects. So one request to the brokers returns the status of all partitions, and tools
//! such as `kafka-consumer-groups` show the same lag.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use daemon_log::PartitionId;
use daemon_partition::{PartitionStatus, StatusSource, TableStatus, WorkerTelemetry};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde::Deserialize;

use crate::client::{self, Isolation, LogContext, TIMEOUT};
use crate::input_topics::InputTopics;
use crate::settings::KafkaSettings;
use crate::topology::Topology;

/// The status of all partitions of the group, from the offsets that their owners committed.
pub(crate) struct GroupStatus {
    // The lock limits the requests to one at a time, however many HTTP requests arrive.
    client: Mutex<BaseConsumer<LogContext>>,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    telemetry: Arc<WorkerTelemetry>,
}

/// The metadata that the owner of a shard commits with its offsets.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OffsetMetadata {
    owner: String,
    watermark: u64,
    objects: u64,
}

impl GroupStatus {
    pub(crate) fn new(
        own: &KafkaSettings,
        topics: Arc<InputTopics>,
        topology: Arc<Topology>,
        telemetry: &Arc<WorkerTelemetry>,
    ) -> Result<Self, KafkaError> {
        let config = own.connection.reader(&own.names.group, Isolation::Committed);
        let client = Mutex::new(BaseConsumer::from_config_and_context(&config, LogContext)?);
        Ok(Self { client, topics, topology, telemetry: Arc::clone(telemetry) })
    }

    /// All input partitions of all streams.
    fn partition_ids(&self) -> Vec<PartitionId> {
        let shapes = self.topology.shapes().into_iter().zip(0..);
        shapes.flat_map(|(shape, stream)| (0..shape.inputs).map(move |it| PartitionId::new(stream, it))).collect()
    }

    /// Requests the committed offsets and the end offsets of the partitions.
    fn request_offsets(&self, ids: &[PartitionId]) -> Result<(TopicPartitionList, TopicPartitionList), KafkaError> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client::discard_events(&client);
        let list = |offset| self.topics.list(ids.iter().map(|id| (*id, offset)));
        let committed = client.committed_offsets(list(Offset::Invalid), TIMEOUT)?;
        Ok((committed, client::end_offsets(&client, || list(Offset::End))?))
    }

    fn partition(
        &self,
        id: PartitionId,
        (committed, ends): &(TopicPartitionList, TopicPartitionList),
        own: &BTreeMap<PartitionId, TableStatus>,
    ) -> PartitionStatus {
        let (topic, partition) = (self.topics.name(id.stream), i32::from(id.partition));
        let offset = |list: &TopicPartitionList| match list.find_partition(topic, partition).map(|it| it.offset()) {
            Some(Offset::Offset(offset)) => Some(offset.unsigned_abs()),
            _ => None,
        };
        let metadata =
            committed.find_partition(topic, partition).map(|it| it.metadata().to_owned()).unwrap_or_default();
        let metadata: OffsetMetadata = serde_json::from_str(&metadata).unwrap_or_default();
        let status = self.topology.shard_of(id).and_then(|shard| own.get(&shard));
        let cursor = status.and_then(|status| status.cursors.get(&id.partition).copied()).or_else(|| offset(committed));
        PartitionStatus {
            stream: self.topics.stream(id.stream).to_owned(),
            partition: id.partition,
            owner: (!metadata.owner.is_empty()).then_some(metadata.owner),
            cursor: cursor.unwrap_or(0),
            lag: offset(ends).unwrap_or(0).saturating_sub(cursor.unwrap_or(0)),
            watermark: status.map_or(metadata.watermark, |status| status.watermark),
            objects: status.map_or(metadata.objects, |status| status.objects as u64),
            table: status.cloned(),
        }
    }
}

impl StatusSource for GroupStatus {
    fn partitions(&self) -> anyhow::Result<Vec<PartitionStatus>> {
        let ids = self.partition_ids();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let offsets = self.request_offsets(&ids)?;
        let own = self.telemetry.tables();
        Ok(ids.into_iter().map(|id| self.partition(id, &offsets, &own)).collect())
    }
}
