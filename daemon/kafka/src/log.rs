//! The [`Log`] of a group of daemons, on the topics of a Kafka cluster.

use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_log::{AppendBatch, Appended, Bounds, Log, LogError, Outage, RecordBatch, SinkPosition};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::admission::Admission;
use crate::client::{Connection, Isolation, LogContext, TIMEOUT};
use crate::health::Health;
use crate::names::Names;
use crate::producer::Producer;
use crate::results_reader::ResultsReader;
use crate::topology::Topology;

/// The [`Log`] on the topics of a Kafka cluster.
pub(crate) struct KafkaLog {
    connection: Connection,
    names: Names,
    producer: Producer,
    results: ResultsReader,
    admission: Arc<Admission>,
    health: Arc<Health>,
    topology: Arc<Topology>,
}

impl KafkaLog {
    pub(crate) fn new(
        connection: Connection,
        names: Names,
        producer: Producer,
        clock: Arc<dyn Clock>,
        (admission, health, topology): (Arc<Admission>, Arc<Health>, Arc<Topology>),
    ) -> Self {
        let results = ResultsReader::new(&connection, &names, clock);
        Self { connection, names, producer, results, admission, health, topology }
    }

    /// A client of the sink's own consumer group, in which the sink's offset is committed.
    fn sink_client(&self, sink: &str) -> Result<BaseConsumer<LogContext>, KafkaError> {
        let config = self.connection.reader(&self.names.sink_group(sink), Isolation::Committed);
        BaseConsumer::from_config_and_context(&config, LogContext)
    }

    fn store(&self, sink: &str, position: &SinkPosition) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        let topic = self.names.results();
        let mut entry = list.add_partition(&topic, 0);
        entry.set_offset(Offset::Offset(position.next.cast_signed()))?;
        entry.set_metadata(to_hex(&position.detail));
        self.sink_client(sink)?.commit(&list, CommitMode::Sync)
    }

    fn load(&self, sink: &str) -> Result<Option<SinkPosition>, KafkaError> {
        let mut list = TopicPartitionList::new();
        let topic = self.names.results();
        list.add_partition(&topic, 0);
        let committed = self.sink_client(sink)?.committed_offsets(list, TIMEOUT)?;
        let position = committed.find_partition(&topic, 0).and_then(|entry| match entry.offset() {
            Offset::Offset(next) => {
                Some(SinkPosition { next: next.unsigned_abs(), detail: from_hex(entry.metadata()) })
            }
            _ => None,
        });
        Ok(position)
    }
}

impl Log for KafkaLog {
    fn append(&self, batch: AppendBatch) -> Result<Appended, LogError> {
        self.producer.append(&batch)
    }

    /// Message timestamps are in milliseconds. The worker that reads the sample judges it again by its own clock, or by the
    /// broker's.
    fn arrival(&self, at: u64) -> u64 {
        at - at % 1000
    }

    fn read_results(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let read = self.results.read(from, max_bytes);
        if matches!(read, Err(LogError::Cluster { .. })) {
            self.topology.doubt();
        }
        read
    }

    fn results_bounds(&self) -> Result<Bounds, LogError> {
        self.results.bounds()
    }

    fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError> {
        self.load(sink).map_err(|error| failed(sink, &error))
    }

    fn set_sink_position(&self, sink: &str, position: SinkPosition) -> Result<(), LogError> {
        self.store(sink, &position).map_err(|error| match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::OffsetMetadataTooLarge) => LogError::invalid(format!(
                "the position of the sink {sink} has {} bytes, twice as many in the metadata of its offset, and the \
                 brokers take fewer; raise their offset.metadata.max.bytes",
                position.detail.len()
            )),
            _ => failed(sink, &error),
        })
    }

    /// Does nothing: retention of the results topic does not depend on sinks, and the broker expires committed offsets.
    fn remove_sink(&self, _sink: &str) -> Result<(), LogError> {
        Ok(())
    }

    /// Returns at once: [`read_results`](Log::read_results) at the end waits for further results.
    fn wait_for_results(&self, seen: u64, _timeout: Duration) -> u64 {
        seen
    }

    /// A daemon whose configuration is not that of its group takes part in nothing.
    fn outage(&self) -> Option<Outage> {
        let reason = self.admission.waiting().or_else(|| self.health.outage());
        reason.map(|reason| Outage { reason, needs_restart: false })
    }

    fn waits_for(&self) -> Option<String> {
        self.health.waits_for()
    }

    fn wake_all(&self) {}
}

fn failed(sink: &str, error: &KafkaError) -> LogError {
    LogError::Cluster { operation: format!("read or commit the offset of the sink {sink}"), reason: error.to_string() }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes [`to_hex`]; empty for other text.
fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(byte).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_decodes_to_the_encoded_bytes() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), bytes);
        assert_eq!((from_hex(""), from_hex("zz")), (vec![], vec![]));
    }
}
