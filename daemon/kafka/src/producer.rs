//! Publishes samples to the input topics. Key, payload and partitioning are those of Contrail's collectors, so any
//! daemon of the group can take samples for the whole group.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use daemon_log::{AppendBatch, Appended, LogError, PartitionId, Written};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, ToBytes};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{self, Connection, TIMEOUT};
use crate::input_topics::InputTopics;
use crate::names::Names;
use crate::topics::plan;
use crate::topology::{self, Shape, Topology};

/// How long to wait before a record is sent again when the producer's queue is full.
const QUEUE_WAIT: Duration = Duration::from_millis(5);

/// The producer of samples for the input topics.
pub(crate) struct Producer {
    producer: ThreadedProducer<Acknowledgements>,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    /// The number of partitions that the client knows, by stream.
    known: Mutex<HashMap<u16, u16>>,
}

impl Producer {
    pub(crate) fn new(
        connection: &Connection,
        names: &Names,
        topics: Arc<InputTopics>,
        topology: Arc<Topology>,
    ) -> Result<Self, KafkaError> {
        let config = connection.producer(&format!("{}/producer", names.instance));
        let producer = ThreadedProducer::from_config_and_context(&config, Acknowledgements)?;
        Ok(Self { producer, topics, topology, known: Mutex::default() })
    }

    /// Publishes all records; returns when the brokers have acknowledged them.
    ///
    /// # Errors
    ///
    /// When a record could not be published; some of the others may have been published.
    pub(crate) fn append(&self, batch: &AppendBatch) -> Result<Appended, LogError> {
        if batch.idempotency().is_some() {
            return Err(LogError::invalid(
                "with log.kind = \"kafka\" a request cannot carry an Idempotency-Key; leave it out",
            ));
        }
        let pending = Arc::new(Pending::default());
        let at = batch.appended_at();
        let sent = batch.records().try_for_each(|(id, key, payload)| self.send(id, at, key, payload, &pending));
        // After an error too, the records in the queue hold a reference to `pending`: wait for their outcome.
        let outcome = pending.wait();
        sent?;
        match outcome {
            Some(error) => {
                self.topology.doubt();
                Err(failed(&error))
            }
            None => Ok(Appended::Written(Written { offsets: Vec::new(), appended_at: batch.appended_at() })),
        }
    }

    /// The number of partitions over which the records of a stream are spread: those that are read.
    fn partitions(&self, stream: u16, topic: &str) -> Result<u16, LogError> {
        let refused = |reason: String| LogError::Cluster { operation: format!("write to {topic}"), reason };
        if !self.topology.is_known() {
            return Err(refused("the topics are not known yet, as this daemon starts; send it again".to_owned()));
        }
        let Shape { inputs, shards, .. } = self.topology.shape(stream);
        if inputs == 0 {
            return Err(refused(
                "the topic does not exist; create it with `derived-statsd topics --create`".to_owned(),
            ));
        }
        let usable = topology::usable(inputs, shards);
        if usable == 0 {
            return Err(refused(format!("it is not read: {}", plan::uneven(inputs, shards))));
        }
        self.learn(stream, topic, inputs)?;
        Ok(usable)
    }

    /// Makes the client know as many partitions of a topic as there are: it polls for them every few minutes only.
    fn learn(&self, stream: u16, topic: &str, inputs: u16) -> Result<(), LogError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(stream).or_default();
        if *known != inputs {
            self.producer.client().fetch_metadata(Some(topic), TIMEOUT).map_err(|error| failed(&error))?;
            *known = inputs;
        }
        Ok(())
    }

    /// Publishes a record that arrived at `at` (µs UTC): its timestamps were classified by that time.
    fn send(
        &self,
        id: PartitionId,
        at: u64,
        key: &[u8],
        payload: &[u8],
        pending: &Arc<Pending>,
    ) -> Result<(), LogError> {
        let topic = self.topics.name(id.stream);
        let inputs = self.partitions(id.stream, topic)?;
        // Not the partition of the batch: the topic may have more partitions since the batch was made.
        let partition = proxy_uve::partition(key, u32::from(inputs));
        let record = BaseRecord::with_opaque_to(topic, Arc::clone(pending))
            .key(key)
            .payload(payload)
            .partition(partition as i32)
            .timestamp((at / 1000).cast_signed());
        send(&self.producer, record, pending).map_err(|error| failed(&error))
    }
}

/// Puts a record into the queue of a producer; while that is full it waits.
pub(crate) fn send(
    producer: &ThreadedProducer<Acknowledgements>,
    mut record: BaseRecord<'_, impl ToBytes + ?Sized, impl ToBytes + ?Sized, Arc<Pending>>,
    pending: &Pending,
) -> Result<(), KafkaError> {
    pending.one_more();
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                std::thread::sleep(QUEUE_WAIT);
                record = back;
            }
            Err((error, _)) => {
                pending.one_done(None);
                return Err(error);
            }
        }
    }
}

fn failed(error: &KafkaError) -> LogError {
    LogError::Cluster { operation: "publish samples".to_owned(), reason: error.to_string() }
}

/// The number of records of a batch that the brokers have not acknowledged, and the first error.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    state: Mutex<(usize, Option<KafkaError>)>,
    done: Condvar,
}

impl Pending {
    fn one_more(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 += 1;
    }

    fn one_done(&self, error: Option<KafkaError>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 -= 1;
        state.1 = state.1.take().or(error);
        if state.0 == 0 {
            self.done.notify_all();
        }
    }

    /// Waits until all records are acknowledged or have failed; returns the first error.
    pub(crate) fn wait(&self) -> Option<KafkaError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.done.wait_while(state, |state| state.0 > 0).unwrap_or_else(PoisonError::into_inner);
        state.1.clone()
    }
}

/// The client context that counts acknowledgements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledgements;

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Arc<Pending>;

    fn delivery(&self, result: &DeliveryResult<'_>, pending: Arc<Pending>) {
        pending.one_done(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}
