//! Writes the records of a transaction: states, results in the configured format, dead letters.

use std::time::Duration;

use daemon_results::block::declared_rows;
use daemon_results::record::RecordReader;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use crate::ResultsFormat;
use crate::batching::LineBatches;
use crate::input_topics::InputTopics;
use crate::member::{DeadLetter, ShardCommit};
use crate::names::Names;
use crate::settings::ResultMessages;

use super::Deliveries;

/// How long one poll of the producer waits for acknowledgements.
const POLL: Duration = Duration::from_millis(5);

/// Writes records into the open transaction.
pub(super) struct Writer<'w> {
    pub producer: &'w BaseProducer<Deliveries>,
    pub names: &'w Names,
    pub topics: &'w InputTopics,
    pub results: ResultMessages,
}

impl Writer<'_> {
    /// Writes the changed state records of a shard.
    pub(super) fn write_state(&self, commit: &ShardCommit) -> Result<(), KafkaError> {
        let state = self.names.state(self.topics.stream(commit.shard.stream));
        for (key, value) in &commit.state {
            let record = BaseRecord::to(&state).key(key.as_slice()).partition(i32::from(commit.shard.partition));
            self.send(match value {
                Some(value) => record.payload(value.as_slice()),
                None => record,
            })?;
        }
        Ok(())
    }

    /// Writes the results and the dead letters of a shard.
    pub(super) fn write_results(&self, commit: &ShardCommit) -> Result<(), KafkaError> {
        match self.results.format {
            ResultsFormat::Binary => self.write_blocks(commit)?,
            ResultsFormat::Json => self.write_lines(commit)?,
        }
        commit.dead_letters.iter().try_for_each(|letter| self.write_dead_letter(letter))
    }

    /// Writes results as blocks. A block of one result has the key of its object.
    fn write_blocks(&self, commit: &ShardCommit) -> Result<(), KafkaError> {
        let topic = self.names.results();
        let mut reader = RecordReader::default();
        commit.results.records().try_for_each(|(_, block)| {
            let record = BaseRecord::to(&topic).payload(block).partition(0);
            if declared_rows(block) != 1 {
                return self.send(record);
            }
            let mut key = Vec::new();
            let read = reader.each(0, block, |_, result| key.extend_from_slice(result.key().as_bytes()));
            read.map_err(|_| KafkaError::Canceled)?;
            self.send(record.key(&key))
        })
    }

    /// Writes results as lines of JSON.
    fn write_lines(&self, commit: &ShardCommit) -> Result<(), KafkaError> {
        let topic = self.names.results();
        let mut messages = LineBatches::new(self.results.bytes, |key: Option<&[u8]>, lines: &[u8]| {
            let record = BaseRecord::to(&topic).payload(lines).partition(0);
            self.send(match key {
                Some(key) => record.key(key),
                None => record,
            })
        });
        let mut reader = RecordReader::default();
        for (_, block) in commit.results.records() {
            let mut sent = Ok(());
            let read = reader.each(0, block, |_, result| {
                if sent.is_ok() {
                    sent = messages.add(result.key().as_bytes(), |out| result.write_line(out));
                }
            });
            // This build wrote the block, so it can read its version.
            read.map_err(|_| KafkaError::Canceled)?;
            sent?;
        }
        messages.finish()
    }

    fn write_dead_letter(&self, letter: &DeadLetter) -> Result<(), KafkaError> {
        let topic = self.names.dead_letters();
        let (partition, offset) = (letter.source.partition.to_string(), letter.offset.to_string());
        let facts = [
            ("reason", letter.reason.as_str()),
            ("topic", self.topics.name(letter.source.stream)),
            ("partition", &partition),
            ("offset", &offset),
        ];
        let headers = facts.iter().fold(OwnedHeaders::new_with_capacity(facts.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let record = BaseRecord::to(&topic).key(letter.key.as_slice()).payload(letter.payload.as_slice());
        self.send(record.partition(0).headers(headers))
    }

    /// Queues a record; while the queue is full, waits for acknowledgements.
    fn send(&self, record: BaseRecord<'_, [u8], [u8]>) -> Result<(), KafkaError> {
        let mut record = record;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.producer.poll(POLL);
                    record = back;
                }
                Err((error, record)) => {
                    self.producer.context().failed.keep(record.topic, &error);
                    return Err(error);
                }
            }
        }
    }

    /// Waits until the brokers have acknowledged all records. librdkafka's flush would take steps of 100 ms.
    pub(super) fn wait(&self) -> Result<(), KafkaError> {
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(POLL);
        }
        self.producer.context().failed.error().map_or(Ok(()), Err)
    }
}
