//! One transaction: results, states, dead letters and offsets, all or nothing.

mod writer;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daemon_base::failpoint;
use daemon_log::PartitionId;
use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::Offset;
use rdkafka::util::Timeout;
use tracing::{debug, warn};

use crate::client::{self, Spoken};
use crate::group::InputTopics;
use crate::member::{MemberError, ShardCommit};
use crate::names::Names;
use crate::settings::ResultMessages;

use self::writer::Writer;

/// How long the client may take for one step; the transaction's own timeout is the broker's.
const STEP: Timeout = Timeout::After(Duration::from_secs(60));

/// The producer of one worker.
pub(crate) struct Transactions {
    config: ClientConfig,
    names: Names,
    results: ResultMessages,
    /// None before partitions are given, and after a failure that leaves it unusable.
    producer: Option<BaseProducer<Deliveries>>,
}

impl Transactions {
    pub(crate) fn new(config: ClientConfig, names: &Names, results: ResultMessages) -> Self {
        Self { config, names: names.clone(), results, producer: None }
    }

    /// Gets ready for the first commit: that takes up to some seconds, which results would wait for. Whatever the
    /// producer of the same name before this one left open is aborted now, and it is fenced.
    ///
    /// To be called when the member was given partitions, not before: until then a process of the same name that is
    /// being replaced may be committing what it had of them. A failure is no matter, as the commit tries again.
    pub(crate) fn prepare(&mut self) {
        if self.producer.is_some() {
            return;
        }
        match self.start() {
            Ok(producer) => self.producer = Some(producer),
            Err(error) => debug!(%error, "The producer is not ready yet; the first commit tries again."),
        }
    }

    /// Commits; on any failure nothing took effect.
    pub(crate) fn commit<C: ConsumerContext>(
        &mut self,
        consumer: &BaseConsumer<C>,
        topics: &InputTopics,
        commits: &[ShardCommit],
    ) -> Result<(), MemberError> {
        failpoint::point("transaction.before");
        if commits.iter().any(|commit| !commit.results.is_empty()) {
            failpoint::point("transaction.results");
        }
        let producer = match self.producer.take() {
            Some(producer) => producer,
            None => self.start().map_err(|error| aborted(&error))?,
        };
        match self.attempt(&producer, consumer, topics, commits) {
            Ok(()) => {
                self.producer = Some(producer);
                failpoint::point("transaction.after");
                Ok(())
            }
            Err(error) => {
                if give_back(&producer) {
                    self.producer = Some(producer);
                }
                Err(aborted(&error))
            }
        }
    }

    /// A producer that ended what its predecessor of the same name left open.
    fn start(&self) -> Result<BaseProducer<Deliveries>, KafkaError> {
        let mut config = self.config.clone();
        if failpoint::is_without("transactions") {
            config.remove("transactional.id");
            return BaseProducer::from_config_and_context(&config, Deliveries::default());
        }
        let producer = BaseProducer::from_config_and_context(&config, Deliveries::default())?;
        producer.init_transactions(STEP)?;
        Ok(producer)
    }

    fn writer<'w>(&'w self, producer: &'w BaseProducer<Deliveries>, topics: &'w InputTopics) -> Writer<'w> {
        Writer { producer, names: &self.names, topics, results: self.results }
    }

    fn attempt<C: ConsumerContext>(
        &self,
        producer: &BaseProducer<Deliveries>,
        consumer: &BaseConsumer<C>,
        topics: &InputTopics,
        commits: &[ShardCommit],
    ) -> Result<(), KafkaError> {
        if failpoint::is_without("transactions") {
            return self.attempt_without(producer, consumer, topics, commits);
        }
        producer.begin_transaction()?;
        let writer = self.writer(producer, topics);
        for commit in commits {
            writer.write_state(commit)?;
            writer.write_results(commit)?;
        }
        writer.wait()?;
        failpoint::point("transaction.mid");
        let Some(group) = self.group_metadata(consumer)? else {
            return Err(KafkaError::Canceled);
        };
        if consumer.assignment_lost() && !failpoint::is_without("fencing") {
            return Err(KafkaError::Canceled);
        }
        // After all the rest is on the brokers: see `group`.
        retried(|| producer.send_offsets_to_transaction(&offsets(topics, commits)?, &group, STEP))?;
        failpoint::point("transaction.late");
        retried(|| producer.commit_transaction(STEP))
    }
}

/// The ways without a safeguard, which only a test takes: see [`fault`].
impl Transactions {
    /// What the broker knows this worker by. One that does not say so is let in whatever its generation.
    fn group_metadata<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
    ) -> Result<Option<ConsumerGroupMetadata>, KafkaError> {
        if !failpoint::is_without("fencing") {
            return Ok(consumer.group_metadata());
        }
        let mut config = self.config.clone();
        config.remove("transactional.id");
        config.set("group.id", &self.names.group);
        let outsider: BaseConsumer<Spoken> = BaseConsumer::from_config_and_context(&config, Spoken)?;
        Ok(outsider.group_metadata())
    }

    fn attempt_without<C: ConsumerContext>(
        &self,
        producer: &BaseProducer<Deliveries>,
        consumer: &BaseConsumer<C>,
        topics: &InputTopics,
        commits: &[ShardCommit],
    ) -> Result<(), KafkaError> {
        let writer = self.writer(producer, topics);
        commits.iter().try_for_each(|commit| writer.write_results(commit))?;
        writer.wait()?;
        if commits.iter().any(|commit| !commit.results.is_empty()) {
            failpoint::point("transaction.mid");
        }
        commits.iter().try_for_each(|commit| writer.write_state(commit))?;
        writer.wait()?;
        consumer.commit(&offsets(topics, commits)?, CommitMode::Sync)
    }
}

/// The next offset of each input partition, with the note of its shard.
fn offsets(topics: &InputTopics, commits: &[ShardCommit]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for commit in commits {
        for (source, next) in &commit.offsets {
            let PartitionId { stream, partition } = *source;
            let mut place = list.add_partition(topics.name(stream), i32::from(partition));
            place.set_offset(Offset::Offset(next.cast_signed()))?;
            place.set_metadata(&commit.note);
        }
    }
    Ok(list)
}

/// Repeats a step as long as the client says that it may be repeated.
fn retried(mut step: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    loop {
        match step() {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !error.txn_requires_abort() => {
                debug!(%error, "A step of a transaction is tried again.");
            }
            done => return done,
        }
    }
}

/// Aborts what is open; whether the producer can go on.
fn give_back(producer: &BaseProducer<Deliveries>) -> bool {
    let done = retried(|| producer.abort_transaction(STEP));
    producer.context().failed.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Err(error) = &done {
        warn!(%error, "A transaction could not be aborted; the broker does it after kafka.transaction_timeout.");
    }
    done.is_ok() && producer.client().fatal_error().is_none()
}

fn aborted(error: &KafkaError) -> MemberError {
    MemberError::Aborted { reason: error.to_string() }
}

/// Keeps the first failure of a delivery.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka's client.");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}
