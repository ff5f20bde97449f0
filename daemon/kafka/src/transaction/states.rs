//! A transaction with the states of a whole group, which has no members: they are all there or none is.

use std::sync::Arc;
use std::time::Duration;

use daemon_base::failpoint;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::deadline::retried;
use super::{Deliveries, Transactions, abort};
use crate::client::Connection;
use crate::input_topics::InputTopics;
use crate::member::{MemberError, ShardCommit};
use crate::names::Names;
use crate::settings::ResultMessages;

/// How long the transaction may be open. It is as long as the states take to be written; the brokers allow a quarter of
/// an hour by default.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A producer of one transaction, which is aborted when it is dropped before its commit.
pub(crate) struct StatesTransaction {
    transactions: Transactions,
    producer: Arc<BaseProducer<Deliveries>>,
    topics: InputTopics,
    is_open: bool,
}

impl StatesTransaction {
    /// Starts the producer, which aborts the transaction that a run before has left open.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer, or the user lacks a right.
    pub(crate) fn start(
        connection: &Connection,
        names: &Names,
        results: ResultMessages,
        topics: InputTopics,
    ) -> Result<Self, MemberError> {
        let connection = connection.with_transactions_of(TIMEOUT);
        let transactions = Transactions::new(&connection, &names.migration_id(), names, results, Arc::default());
        let producer = transactions.start().map_err(|error| transactions.aborted(&error, None))?;
        Ok(Self { transactions, producer, topics, is_open: false })
    }

    /// Opens the transaction.
    ///
    /// # Errors
    ///
    /// When the client cannot.
    pub(crate) fn begin(&mut self) -> Result<(), MemberError> {
        self.producer.begin_transaction().map_err(|error| self.failed(&error))?;
        self.is_open = true;
        Ok(())
    }

    /// Writes the state and the results of a shard, and returns when the brokers have them.
    ///
    /// # Errors
    ///
    /// When a record is refused, or the brokers do not answer.
    pub(crate) fn write(&self, commit: &ShardCommit) -> Result<(), MemberError> {
        let writer = self.transactions.writer(&self.producer, &self.topics);
        let written = writer.write_state(commit).and_then(|()| writer.write_results(commit));
        written.and_then(|()| writer.wait()).map_err(|error| self.failed(&error))
    }

    /// Makes all of it visible at once.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer; the next run finds out what they have.
    pub(crate) fn commit(mut self) -> Result<(), MemberError> {
        failpoint::point("migrate.mid");
        let limit = self.transactions.limit;
        retried(limit, |left| self.producer.commit_transaction(left)).map_err(|error| self.failed(&error))?;
        self.is_open = false;
        Ok(())
    }

    fn failed(&self, error: &KafkaError) -> MemberError {
        self.transactions.aborted(error, self.producer.context().failed.take().as_ref())
    }
}

impl Drop for StatesTransaction {
    fn drop(&mut self) {
        if self.is_open {
            abort(&self.producer, self.transactions.limit);
        }
    }
}
