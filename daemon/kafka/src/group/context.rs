//! The client context of a group member: it keeps the changes of the assignment, the read progress and the errors that
//! librdkafka reports in callbacks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::ClientContext;
use rdkafka::Statistics;
use rdkafka::TopicPartitionList;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use tracing::debug;

use crate::client;
use crate::input_topics::InputTopics;
use crate::member::Change;
use crate::progress::Progress;
use crate::topology::Topology;

/// The client context of a group member's consumer.
#[derive(Debug, Default)]
pub(super) struct GroupContext {
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    changes: Mutex<VecDeque<Change>>,
    pub(super) progress: Progress,
    flags: Mutex<Flags>,
    /// Events that polls have handled: log lines, errors, reports, rebalances.
    events: AtomicU64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    is_closing: bool,
    is_out_of_range: bool,
}

impl GroupContext {
    pub(super) fn new(topics: Arc<InputTopics>, topology: Arc<Topology>) -> Self {
        Self { topics, topology, ..Self::default() }
    }

    /// The number of events that polls have handled.
    pub(super) fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    fn count_event(&self) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes the oldest change of the assignment that was not taken yet.
    pub(super) fn next_change(&self) -> Option<Change> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Makes the callback complete all further rebalances by itself.
    pub(super) fn close(&self) {
        self.flags().is_closing = true;
    }

    /// Whether librdkafka has reported an offset that is out of range since the last
    /// [`clear_out_of_range`](Self::clear_out_of_range).
    pub(super) fn is_out_of_range(&self) -> bool {
        self.flags().is_out_of_range
    }

    pub(super) fn clear_out_of_range(&self) {
        self.flags().is_out_of_range = false;
    }

    /// Requests a poll of the topics if no broker was reached. A member without partitions requests nothing: it learns
    /// of that from an event only.
    pub(super) fn doubt_if_unreachable(&self, error: &KafkaError) {
        if client::is_unreachable(error) {
            self.topology.doubt();
        }
    }

    fn flags(&self) -> MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.count_event();
        client::log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.count_event();
        self.progress.report(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.count_event();
        // librdkafka reports an offset out of range here and nowhere else.
        if client::is_out_of_range(&error) {
            self.flags().is_out_of_range = true;
        }
        self.doubt_if_unreachable(&error);
        debug!(%error, reason, "Kafka's client.");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, cause: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.count_event();
        if self.flags().is_closing {
            // The member leaves the group: an error changes nothing.
            let _ = match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
                _ => consumer.unassign(),
            };
            return;
        }
        let ids = self.topics.all_ids(list);
        let change = match cause {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(ids),
            _ if consumer.assignment_lost() => Change::Lost(ids),
            _ => Change::Revoked(ids),
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}
