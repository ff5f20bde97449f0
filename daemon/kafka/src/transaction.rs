//! The transactions of a worker: results, states, dead letters and offsets are committed together or not at all.

mod deadline;
mod deliveries;
mod failure;
mod offsets;
mod states;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use daemon_base::failpoint;
use daemon_log::PartitionId;
use daemon_partition::Heartbeat;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, warn};

use crate::client::{Connection, LogContext};
use crate::input_topics::InputTopics;
use crate::member::{MemberError, ShardCommit};
use crate::names::Names;
use crate::settings::ResultMessages;
use crate::topology::Topology;

use self::deadline::{GivenUp, has_timed_out, retried};
pub(crate) use self::deliveries::Deliveries;
use self::failure::{code, reason};
use self::offsets::GroupOffsets;
pub(crate) use self::states::StatesTransaction;
use self::writer::Writer;

/// The least and the most time for a step, such as the start of a client. Between them it is the timeout of a transaction,
/// after which the broker aborts it.
const MIN_STEP: Duration = Duration::from_secs(10);
const MAX_STEP: Duration = Duration::from_secs(60);

/// The transactional producer of one worker.
pub(crate) struct Transactions {
    config: ClientConfig,
    names: Names,
    results: ResultMessages,
    topology: Arc<Topology>,
    /// How long a step of a transaction may take.
    limit: Duration,
    /// How long the records of a transaction may take to be written. Each is given up after the timeout of a transaction,
    /// and so is the transaction by the broker.
    write_limit: Duration,
    heartbeat: Heartbeat,
    given_up: GivenUp,
    offsets: GroupOffsets,
    /// `None` until partitions are assigned, and after a fatal error.
    producer: Option<Arc<BaseProducer<Deliveries>>>,
    /// Whether the broker has fenced a producer since the last [`take_fenced`](Self::take_fenced).
    was_fenced: bool,
}

impl Transactions {
    /// Transactions with this id.
    pub(crate) fn new(
        connection: &Connection,
        transactional_id: &str,
        names: &Names,
        results: ResultMessages,
        topology: Arc<Topology>,
    ) -> Self {
        Self {
            config: connection.transactional(transactional_id),
            names: names.clone(),
            results,
            topology,
            limit: connection.transaction_timeout().clamp(MIN_STEP, MAX_STEP),
            write_limit: 2 * connection.transaction_timeout(),
            heartbeat: Heartbeat::default(),
            given_up: GivenUp::default(),
            offsets: GroupOffsets::default(),
            producer: None,
            was_fenced: false,
        }
    }

    /// With the heartbeat of the worker's thread, so that the waits for brokers count as such.
    pub(crate) fn with_heartbeat(self, heartbeat: Heartbeat) -> Self {
        Self { heartbeat, ..self }
    }

    /// Initializes the producer before the first commit: that takes up to some seconds, in which results would wait.
    /// The broker aborts the open transaction of an earlier producer with the same transactional id, and fences it.
    ///
    /// Call it when partitions were assigned, not before: until then a process with the same transactional id that is
    /// being replaced may still commit them. An error is only logged, as the first commit tries again.
    pub(crate) fn prepare(&mut self) {
        if self.producer.is_some() {
            return;
        }
        match self.start() {
            Ok(producer) => self.producer = Some(producer),
            Err(error) => debug!(%error, "The producer could not be initialized; the first commit retries."),
        }
    }

    /// Whether a later producer with the same transactional id, or the timeout of a transaction, has fenced the
    /// producer since the last call.
    pub(crate) fn take_fenced(&mut self) -> bool {
        std::mem::take(&mut self.was_fenced)
    }

    /// Forgets what was committed in these partitions: they were assigned anew.
    pub(crate) fn forget(&mut self, partitions: &[PartitionId]) {
        self.offsets.forget(partitions);
    }

    /// Commits the shards in one transaction. After an error the transaction had no effect, unless only the answer to
    /// the commit is missing: the state of the shards shows which it is.
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
            None => self.start().map_err(|error| self.aborted(&error, None))?,
        };
        match self.attempt(&producer, consumer, topics, commits) {
            Ok(()) => {
                self.producer = Some(producer);
                self.offsets.committed(commits);
                failpoint::point("transaction.after");
                Ok(())
            }
            Err(error) => {
                self.was_fenced = is_fenced(&producer, &error);
                let failed = producer.context().failed.take();
                // The abort waits for brokers that do not answer; that must be known before.
                self.topology.doubt();
                // A client that gets no answer is given up. What is left of its transaction is aborted, by the next one
                // at its start or by the broker after the transaction's timeout.
                self.heartbeat.wait_at_most(self.limit);
                if !has_timed_out(&error) && abort(&producer, self.limit) {
                    self.producer = Some(producer);
                }
                Err(self.aborted(&error, failed.as_ref()))
            }
        }
    }

    /// The error of a failed transaction; the first record that was not written counts, if there is one.
    fn aborted(&self, error: &KafkaError, failed: Option<&(String, KafkaError)>) -> MemberError {
        let (error, topic) = failed.map_or((error, None), |(topic, error)| (error, Some(topic.as_str())));
        MemberError::Aborted { reason: reason(error, topic, &self.names) }
    }

    /// Makes a producer and initializes its transactions.
    fn start(&self) -> Result<Arc<BaseProducer<Deliveries>>, KafkaError> {
        let mut config = self.config.clone();
        if failpoint::is_without("transactions") {
            config.remove("transactional.id");
            return BaseProducer::from_config_and_context(&config, Deliveries::default()).map(Arc::new);
        }
        let producer = BaseProducer::from_config_and_context(&config, Deliveries::default())?;
        self.heartbeat.wait_at_most(self.limit);
        producer.init_transactions(self.limit)?;
        self.heartbeat.beat();
        Ok(Arc::new(producer))
    }

    fn writer<'w>(&'w self, producer: &'w BaseProducer<Deliveries>, topics: &'w InputTopics) -> Writer<'w> {
        Writer { producer, names: &self.names, topics, results: self.results }
    }

    fn attempt<C: ConsumerContext>(
        &self,
        producer: &Arc<BaseProducer<Deliveries>>,
        consumer: &BaseConsumer<C>,
        topics: &InputTopics,
        commits: &[ShardCommit],
    ) -> Result<(), KafkaError> {
        if failpoint::is_without("transactions") {
            return self.attempt_without(producer, consumer, topics, commits);
        }
        producer.begin_transaction()?;
        self.heartbeat.wait_at_most(self.write_limit);
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
        // Only after everything else is on the brokers, see `group`.
        let (offsets, sender) = (self.offsets.list(topics, commits)?, Arc::clone(producer));
        self.heartbeat.wait_at_most(self.limit);
        self.given_up.within(self.limit, move |left| sender.send_offsets_to_transaction(&offsets, &group, left))?;
        failpoint::point("transaction.late");
        self.heartbeat.wait_at_most(self.limit);
        retried(self.limit, |left| producer.commit_transaction(left))
    }
}

/// The variants without a safeguard, which only tests enable, see [`failpoint`].
impl Transactions {
    /// The metadata by which the broker checks the generation of this member. Without fencing it is that of a client
    /// outside the group, whose offsets the broker accepts.
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
        let outsider: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
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
        consumer.commit(&self.offsets.list(topics, commits)?, CommitMode::Sync)
    }
}

/// Aborts the open transaction; returns whether the producer can be used again.
fn abort(producer: &BaseProducer<Deliveries>, limit: Duration) -> bool {
    let done = retried(limit, |left| producer.abort_transaction(left));
    producer.context().take_failure();
    if let Err(error) = &done {
        warn!(%error, "A transaction could not be aborted; the broker aborts it after kafka.transaction_timeout.");
    }
    done.is_ok() && producer.client().fatal_error().is_none()
}

/// Whether the error is that of a fenced producer. A record that was not delivered has a code of its own; then the
/// cause is the producer's fatal error.
fn is_fenced(producer: &BaseProducer<Deliveries>, error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    let codes = [code(error), producer.client().fatal_error().map(|(code, _)| code)];
    codes.into_iter().flatten().any(|code| matches!(code, Fenced | InvalidProducerEpoch | ProducerFenced))
}

#[cfg(test)]
mod tests;
