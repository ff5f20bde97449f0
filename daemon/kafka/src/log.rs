//! The [`Log`] of a group of daemons: topics of a Kafka cluster.

use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_log::{AppendBatch, Appended, Bounds, Log, LogError, RecordBatch, SinkPosition};
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::client::{Connection, Isolation, Spoken, TIMEOUT};
use crate::names::Names;
use crate::producer::Producer;
use crate::results::Results;

/// The [`Log`] on the topics of a Kafka cluster.
pub(crate) struct KafkaLog {
    connection: Connection,
    names: Names,
    producer: Producer,
    results: Results,
}

impl KafkaLog {
    pub(crate) fn new(connection: Connection, names: Names, producer: Producer, clock: Arc<dyn Clock>) -> Self {
        let results = Results::new(&connection, &names, clock);
        Self { connection, names, producer, results }
    }

    /// A client that keeps the position of a sink: that of a group to which nobody else belongs.
    fn sink_client(&self, sink: &str) -> Result<BaseConsumer<Spoken>, KafkaError> {
        let config = self.connection.reader(&self.names.sink_group(sink), Isolation::Committed);
        BaseConsumer::from_config_and_context(&config, Spoken)
    }

    fn store(&self, sink: &str, position: &SinkPosition) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        let topic = self.names.results();
        let mut place = list.add_partition(&topic, 0);
        place.set_offset(Offset::Offset(position.next.cast_signed()))?;
        place.set_metadata(to_hex(&position.detail));
        self.sink_client(sink)?.commit(&list, CommitMode::Sync)
    }

    fn load(&self, sink: &str) -> Result<Option<SinkPosition>, KafkaError> {
        let mut list = TopicPartitionList::new();
        let topic = self.names.results();
        list.add_partition(&topic, 0);
        let committed = self.sink_client(sink)?.committed_offsets(list, TIMEOUT)?;
        let position = committed.find_partition(&topic, 0).and_then(|place| match place.offset() {
            Offset::Offset(next) => {
                Some(SinkPosition { next: next.unsigned_abs(), detail: from_hex(place.metadata()) })
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

    fn read_results(&self, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        self.results.read(from, max_bytes)
    }

    fn results_bounds(&self) -> Result<Bounds, LogError> {
        self.results.bounds()
    }

    fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError> {
        self.load(sink).map_err(|error| failed(sink, &error))
    }

    fn set_sink_position(&self, sink: &str, position: SinkPosition) -> Result<(), LogError> {
        self.store(sink, &position).map_err(|error| failed(sink, &error))
    }

    /// Nothing to do: the cluster keeps results for a time, whoever reads them, and forgets positions by itself.
    fn remove_sink(&self, _sink: &str) -> Result<(), LogError> {
        Ok(())
    }

    /// Returns at once: a read at the end waits for what comes.
    fn wait_for_results(&self, seen: u64, _timeout: Duration) -> u64 {
        seen
    }

    fn wake_all(&self) {}
}

fn failed(sink: &str, error: &KafkaError) -> LogError {
    LogError::Cluster { operation: format!("keep the position of the sink {sink}"), reason: error.to_string() }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads [`to_hex`]; what is not of its form is nothing.
fn from_hex(text: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks(2).map(byte).collect::<Option<_>>().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sinks_own_data_survives_as_text() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&bytes)), bytes);
        assert_eq!((from_hex(""), from_hex("zz")), (vec![], vec![]));
    }
}
