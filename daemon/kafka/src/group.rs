//! The [`Member`] on a real cluster: a consumer of the group, and the producer of its transactions.
//!
//! # Exactly-once
//!
//! A transaction holds results, states and the input's offsets. The offsets are sent with the group's metadata: the
//! broker refuses them from a member that is not of the current generation, and the whole transaction is aborted. So an
//! owner that the group has expelled, and that resumes later, commits nothing. The offsets are sent *after* everything
//! else is on the brokers: a new owner that reads the high watermark of the state topic sees at least that a
//! transaction is open.
//!
//! An expelled member that has lost both its generation and its member id looks like a client outside the group, whose
//! offsets the broker accepts. librdkafka then reports that the assignment is lost, so the member checks that after it
//! has taken the metadata.
//!
//! # Rebalances
//!
//! librdkafka waits in a rebalance until the member calls `assign` or `unassign`. The callback only queues the change;
//! the worker commits its transaction first, and then makes the call.

mod context;
mod inputs;
mod messages;
mod name;
mod placement;
mod readings;
mod reassign;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::failpoint;
use daemon_log::PartitionId;
use daemon_partition::Heartbeat;
use rdkafka::TopicPartitionList;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::Offset;

use self::context::GroupContext;
use self::inputs::unreachable;
pub(crate) use self::name::{OwnName, is_taken};
use self::placement::Placement;
use self::readings::{Pause, Readings};
use crate::client::{Connection, Isolation, LogContext, TIMEOUT};
use crate::input_topics::InputTopics;
use crate::member::{Change, CheckedIds, Ends, Incoming, Member, MemberError, ShardCommit};
use crate::names::Names;
use crate::settings::ResultMessages;
use crate::telemetry::GroupTelemetry;
use crate::topic_id::{IdContext, TopicId};
use crate::topology::Topology;
use crate::transaction::Transactions;

/// A member of the consumer group on a real cluster.
pub(crate) struct Group {
    consumer: BaseConsumer<GroupContext>,
    /// Requests offsets on a connection of its own: a broker answers the requests of one connection in order, and a
    /// fetch request may take as long as its wait time.
    metadata_client: BaseConsumer<IdContext>,
    /// Requests the ends of partitions with the records of open transactions.
    high_client: BaseConsumer<LogContext>,
    transactions: Transactions,
    heartbeat: Heartbeat,
    name: OwnName,
    placement: Placement,
    topics: Arc<InputTopics>,
    topology: Arc<Topology>,
    /// The ids of the input topics, by stream, when their partitions were assigned.
    assigned_ids: BTreeMap<u16, Option<TopicId>>,
    /// The streams whose input topic was asked for its id since the last poll for records or commit.
    checked_ids: BTreeSet<u16>,
    /// The input partitions that the consumer reads, and how far their streams are.
    readings: Readings,
    /// Whether the group has assigned a partition to this member since the last [`accept`](Member::accept).
    was_assigned: bool,
    /// Whether the group has expelled this member, and the member has not acknowledged the loss yet.
    is_expelled: bool,
}

impl Group {
    /// Makes the clients of a worker; it is not a member before [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// When librdkafka rejects the configuration.
    pub(crate) fn new(
        connection: &Connection,
        names: &Names,
        name: OwnName,
        (topics, topology, telemetry, heartbeat): (Arc<InputTopics>, Arc<Topology>, &Arc<GroupTelemetry>, &Heartbeat),
        client_id: &str,
        transactional_id: &str,
        results: ResultMessages,
    ) -> KafkaResult<Self> {
        let config = connection.member(&names.group, client_id);
        let context = GroupContext::new(Arc::clone(&topics), Arc::clone(&topology));
        let consumer = BaseConsumer::from_config_and_context(&config, context)?;
        let metadata_client = connection.reader(&names.group, Isolation::Committed);
        let metadata_client =
            BaseConsumer::from_config_and_context(&IdContext::configure(metadata_client), IdContext::default())?;
        let high_client = connection.reader(&names.group, Isolation::Uncommitted);
        let high_client = BaseConsumer::from_config_and_context(&high_client, LogContext)?;
        let transactions = Transactions::new(connection, transactional_id, names, results, Arc::clone(&topology))
            .with_heartbeat(heartbeat.clone());
        Ok(Self {
            consumer,
            metadata_client,
            high_client,
            transactions,
            heartbeat: heartbeat.clone(),
            name,
            placement: Placement::new(telemetry),
            topics,
            topology,
            assigned_ids: BTreeMap::new(),
            checked_ids: BTreeSet::new(),
            readings: Readings::default(),
            was_assigned: false,
            is_expelled: false,
        })
    }

    /// Joins the group.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a name of a topic.
    pub(crate) fn join(&self) -> KafkaResult<()> {
        self.consumer.subscribe(&self.topics.names())
    }
}

impl Member for Group {
    fn poll(
        &mut self,
        timeout: Duration,
        apply: &mut dyn FnMut(PartitionId, &[Incoming<'_>]),
    ) -> Result<Option<Change>, MemberError> {
        self.checked_ids.clear();
        let Self { consumer, topics, topology, placement, readings, .. } = self;
        let (messages, is_drained) = messages::poll_batch(consumer, timeout);
        let incoming: Vec<Incoming<'_>> = messages.iter().map(messages::incoming).collect();
        let mut first = 0;
        for run in messages.chunk_by(messages::is_same_partition) {
            let end = first + run.len();
            let records = &incoming[first..end];
            for id in topics.ids(run[0].topic(), run[0].partition()) {
                let Some(records) = readings.deliver(id, records) else { continue };
                if !topics.is_foreign(id.stream) {
                    placement.check(run[0].topic(), id, topology.shape(id.stream), records);
                }
                apply(id, records);
            }
            if let Some(id) = topics.ids(run[0].topic(), run[0].partition()).next() {
                readings.polled(id, records);
            }
            first = end;
        }
        if is_drained {
            consumer.context().progress.drained();
        }
        let change = self.consumer.context().next_change();
        if let Some(Change::Assigned(partitions)) = &change {
            self.was_assigned |= !partitions.is_empty();
            self.transactions.forget(partitions);
            self.assigned_ids.extend(partitions.iter().map(|id| (id.stream, self.topology.input_id(id.stream))));
        }
        Ok(change)
    }

    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        self.is_expelled();
        self.readings.begin(starts);
        self.read_again(&starts.iter().map(|(id, _)| self.topics.first(*id)).collect())
    }

    fn stop_reading(&mut self, partitions: &[PartitionId]) -> Result<(), MemberError> {
        self.is_expelled();
        let unread = self.readings.end(&self.topics, partitions);
        self.unassign(unread)
    }

    fn pause(&mut self, partition: PartitionId, pause: bool) -> Result<(), MemberError> {
        let first = self.topics.first(partition);
        match self.readings.pause(&self.topics, partition, pause) {
            Pause::All => self.halt(first, true),
            Pause::Resume => self.halt(first, false),
            Pause::ReadAgain => self.read_again(&BTreeSet::from([first])),
            Pause::Nothing => Ok(()),
        }
    }

    fn were_deleted(&self, lost: &[PartitionId]) -> bool {
        self.are_of_other_topics(lost)
    }

    fn accept(&mut self) -> Result<(), MemberError> {
        self.is_expelled = false;
        // An empty list: a partition is read once its state is restored. The call only completes the rebalance.
        let done = match self.is_cooperative() {
            true => self.consumer.incremental_assign(&TopicPartitionList::new()),
            false => self.consumer.assign(&TopicPartitionList::new()),
        };
        done.map_err(|error| unreachable("accepting an assignment", &error))?;
        if std::mem::take(&mut self.was_assigned) && !self.name.is_taken() {
            self.transactions.prepare();
        }
        Ok(())
    }

    fn give_up(&mut self, read: &[PartitionId]) -> Result<(), MemberError> {
        self.is_expelled = false;
        let unread = self.readings.end(&self.topics, read);
        let done = if self.is_cooperative() {
            self.consumer.incremental_unassign(&self.topics.list(unread.into_iter().map(|id| (id, Offset::Invalid))))
        } else {
            self.readings.end_all();
            self.consumer.unassign()
        };
        done.map_err(|error| unreachable("giving up partitions", &error))
    }

    fn check_ids(&mut self, applied: &BTreeMap<u16, TopicId>) -> CheckedIds {
        self.request_ids(applied)
    }

    fn commit(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        if self.is_expelled() && !failpoint::is_without("fencing") {
            let reason = "the group has assigned the partitions to other members".to_owned();
            return Err(MemberError::Aborted { reason });
        }
        if self.name.is_taken() {
            return Err(MemberError::Aborted { reason: "this process ends, as it may not work".to_owned() });
        }
        self.check_input_ids(commits)?;
        let done = self.transactions.commit(&self.consumer, &self.topics, commits);
        if self.transactions.take_fenced() {
            self.heartbeat.wait_at_most(TIMEOUT);
            self.name.check(&self.metadata_client);
        }
        done
    }

    fn first_offsets(&mut self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        self.request_first_offsets(partitions)
    }

    fn ends(&mut self, partitions: &[PartitionId]) -> Result<Ends, MemberError> {
        self.request_ends(partitions)
    }

    fn out_of_range(&mut self, cursors: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        if !self.consumer.context().is_out_of_range() {
            return Ok(Vec::new());
        }
        let mut deleted = self.outside(cursors)?;
        self.retain_deleted(&mut deleted)?;
        self.consumer.context().clear_out_of_range();
        Ok(deleted)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // No worker acknowledges changes from now on, and closing the consumer would wait for that.
        self.consumer.context().close();
    }
}
