//! The real [`Member`]: a consumer of the group, and the producer of its transactions.
//!
//! # Why nothing is counted twice
//!
//! A transaction holds results, states and the input's offsets, and the offsets are sent with the group's metadata: the
//! broker refuses them from a member that is not of the group's present generation, and then all of it is aborted. So
//! an owner that was declared dead and wakes up writes nothing that counts. The offsets are sent *after* everything
//! else is on the brokers: whoever takes over and looks at the state's end sees at least that something is under way.
//!
//! An expelled member that has lost both its generation and its name would pass for a program outside the group, which
//! the broker lets in. The client then says that the assignment is lost; so it is asked after the metadata was taken.
//!
//! # Why a rebalance waits for us
//!
//! librdkafka asks for a call of `assign` or `unassign` and does not go on before it came. The callback only notes what
//! is asked; the worker finishes its transaction and then makes the call.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon_base::failpoint;
use daemon_log::PartitionId;
use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use rdkafka::topic_partition_list::{Offset, TopicPartitionListElem};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use tracing::{debug, warn};

use crate::client::{self, Connection, Isolation, Spoken, TIMEOUT};
use crate::member::{Change, Incoming, Member, MemberError, ShardCommit};
use crate::names::Names;
use crate::progress::Progress;
use crate::settings::ResultMessages;
use crate::transaction::Transactions;

/// Messages that are taken from the client's queue before they are applied: enough to apply them by the column.
const BATCH: usize = 1024;

/// A member of the group.
pub(crate) struct Group {
    consumer: BaseConsumer<GroupContext>,
    /// Asks the brokers: on a connection of its own, as they answer one request of a connection after the other, and a
    /// fetch takes its time.
    clerk: BaseConsumer<Spoken>,
    transactions: Transactions,
    topics: Arc<InputTopics>,
    /// What the consumer is told to read.
    reading: BTreeSet<PartitionId>,
    /// Where each was last told to begin: its position until its first record came.
    starts: BTreeMap<PartitionId, Option<u64>>,
    /// What the client was told to pause. It keeps that to itself even of a partition that it reads no more, and would
    /// still know when the partition comes back.
    paused: BTreeSet<PartitionId>,
    /// Whether the group has given this member a partition since it was last asked for a call.
    was_given: bool,
    /// Whether the group has given this member's partitions to others, and the member has not answered that yet.
    is_expelled: bool,
}

/// The input topics by the numbers of their streams.
#[derive(Debug, Default)]
pub(crate) struct InputTopics {
    streams: Vec<String>,
    names: Vec<String>,
    numbers: HashMap<String, u16>,
}

impl InputTopics {
    pub(crate) fn new(names: &Names, streams: &[String]) -> Self {
        let names: Vec<String> = streams.iter().map(|stream| names.input(stream)).collect();
        let numbers = names.iter().zip(0..).map(|(name, number)| (name.clone(), number)).collect();
        Self { streams: streams.to_vec(), names, numbers }
    }

    pub(crate) fn name(&self, stream: u16) -> &str {
        self.names.get(usize::from(stream)).map_or("", String::as_str)
    }

    pub(crate) fn stream(&self, stream: u16) -> &str {
        self.streams.get(usize::from(stream)).map_or("", String::as_str)
    }

    pub(crate) fn id(&self, topic: &str, partition: i32) -> Option<PartitionId> {
        Some(PartitionId::new(*self.numbers.get(topic)?, u16::try_from(partition).ok()?))
    }

    /// The client's form of a list of partitions, each with an offset.
    pub(crate) fn list(&self, partitions: impl IntoIterator<Item = (PartitionId, Offset)>) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (id, offset) in partitions {
            // Fails only for offsets that no position has.
            let _ = list.add_partition_offset(self.name(id.stream), i32::from(id.partition), offset);
        }
        list
    }

    fn ids(&self, list: &TopicPartitionList) -> Vec<PartitionId> {
        list.elements().iter().filter_map(|it| self.id(it.topic(), it.partition())).collect()
    }
}

impl Group {
    /// Joins the group as its worker number `worker`.
    ///
    /// # Errors
    ///
    /// When the configuration is refused by the client.
    pub(crate) fn join(
        connection: &Connection,
        names: &Names,
        topics: Arc<InputTopics>,
        worker: usize,
        results: ResultMessages,
    ) -> KafkaResult<Self> {
        let config = connection.member(&names.group, &format!("{}/{worker}", names.instance));
        let context = GroupContext { topics: Arc::clone(&topics), ..GroupContext::default() };
        let consumer = BaseConsumer::from_config_and_context(&config, context)?;
        consumer.subscribe(&topics.names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let clerk = connection.reader(&names.group, Isolation::Committed);
        let clerk = BaseConsumer::from_config_and_context(&clerk, Spoken)?;
        let config = connection.transactional(&names.transactional_id(worker));
        let transactions = Transactions::new(config, names, results);
        Ok(Self {
            consumer,
            clerk,
            transactions,
            topics,
            reading: BTreeSet::new(),
            starts: BTreeMap::new(),
            paused: BTreeSet::new(),
            was_given: false,
            is_expelled: false,
        })
    }

    /// Whether the group has expelled this member. The client forgets it with the next call that changes what is read,
    /// so it is asked before each.
    fn is_expelled(&mut self) -> bool {
        self.is_expelled |= self.consumer.assignment_lost();
        self.is_expelled
    }

    fn is_cooperative(&self) -> bool {
        matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
    }

    /// Messages that are there now, at least one if one comes within `timeout`.
    fn collect(&self, timeout: Duration) -> Vec<BorrowedMessage<'_>> {
        let mut messages = Vec::with_capacity(BATCH);
        let mut wait = timeout;
        while messages.len() < BATCH {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => messages.push(message),
                Some(Err(error)) => note(&error),
                None => break,
            }
            wait = Duration::ZERO;
        }
        messages
    }

    fn next_change(&self) -> Option<Change> {
        self.consumer.context().changes.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Tells an eager group's consumer all that it reads; it has no other call.
    fn reassign(&mut self, starts: &[(PartitionId, Option<u64>)]) -> KafkaResult<()> {
        let positions = self.consumer.position()?;
        let start_of = |id: &PartitionId| {
            let asked = starts.iter().find(|(asked, _)| asked == id);
            let (topic, number) = (self.topics.name(id.stream), i32::from(id.partition));
            let position = || match positions.find_partition(topic, number).map(|it| it.offset()) {
                Some(reached @ Offset::Offset(_)) => reached,
                _ => start(self.starts.get(id).copied().flatten()),
            };
            asked.map_or_else(position, |(_, offset)| start(*offset))
        };
        let list = self.topics.list(self.reading.iter().map(|id| (*id, start_of(id))));
        self.consumer.assign(&list)
    }
}

impl Member for Group {
    fn poll(
        &mut self,
        timeout: Duration,
        apply: &mut dyn FnMut(PartitionId, &[Incoming<'_>]),
    ) -> Result<Option<Change>, MemberError> {
        let messages = self.collect(timeout);
        let incoming: Vec<Incoming<'_>> = messages.iter().map(incoming).collect();
        let same = |a: &BorrowedMessage<'_>, b: &BorrowedMessage<'_>| {
            a.partition() == b.partition() && a.topic().as_ptr() == b.topic().as_ptr()
        };
        let mut first = 0;
        for run in messages.chunk_by(same) {
            let end = first + run.len();
            if let Some(id) = self.topics.id(run[0].topic(), run[0].partition()) {
                apply(id, &incoming[first..end]);
            }
            first = end;
        }
        let change = self.next_change();
        self.was_given |= matches!(&change, Some(Change::Assigned(given)) if !given.is_empty());
        Ok(change)
    }

    fn read_from(&mut self, starts: &[(PartitionId, Option<u64>)]) -> Result<(), MemberError> {
        self.is_expelled();
        self.consumer.context().progress.forget();
        let anew: Vec<_> = starts.iter().map(|(id, _)| *id).filter(|id| self.reading.contains(id)).collect();
        if self.is_cooperative() {
            self.stop_reading(&anew)?;
        }
        for (id, _) in starts.iter().filter(|(id, _)| self.paused.contains(id)).copied().collect::<Vec<_>>() {
            self.pause(id, false)?;
        }
        self.starts.extend(starts.iter().copied());
        self.reading.extend(starts.iter().map(|(id, _)| *id));
        let done = if self.is_cooperative() {
            let list = self.topics.list(starts.iter().map(|(id, offset)| (*id, start(*offset))));
            self.consumer.incremental_assign(&list)
        } else {
            self.reassign(starts)
        };
        done.map_err(|error| unreachable("reading partitions", &error))
    }

    fn stop_reading(&mut self, partitions: &[PartitionId]) -> Result<(), MemberError> {
        self.is_expelled();
        let read: Vec<_> = partitions.iter().copied().filter(|id| self.reading.remove(id)).collect();
        if read.is_empty() {
            return Ok(());
        }
        let done = if self.is_cooperative() {
            self.consumer.incremental_unassign(&self.topics.list(read.iter().map(|id| (*id, Offset::Invalid))))
        } else {
            self.reassign(&[])
        };
        done.map_err(|error| unreachable("leaving partitions", &error))
    }

    fn pause(&mut self, partition: PartitionId, pause: bool) -> Result<(), MemberError> {
        let list = self.topics.list([(partition, Offset::Invalid)]);
        let done = if pause { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        done.map_err(|error| unreachable("pausing a partition", &error))?;
        // What was fetched ahead is dropped, and fetched again after the pause: what was reported is out of date.
        self.consumer.context().progress.forget();
        if pause {
            self.paused.insert(partition);
        } else {
            self.paused.remove(&partition);
        }
        Ok(())
    }

    fn accept(&mut self) -> Result<(), MemberError> {
        self.is_expelled = false;
        // Nothing yet: a partition is read once its state is restored. The group only wants the call.
        let done = match self.is_cooperative() {
            true => self.consumer.incremental_assign(&TopicPartitionList::new()),
            false => self.consumer.assign(&TopicPartitionList::new()),
        };
        done.map_err(|error| unreachable("taking partitions", &error))?;
        if std::mem::take(&mut self.was_given) {
            self.transactions.prepare();
        }
        Ok(())
    }

    fn give_up(&mut self, read: &[PartitionId]) -> Result<(), MemberError> {
        self.is_expelled = false;
        let read: Vec<_> = read.iter().copied().filter(|id| self.reading.remove(id)).collect();
        let done = if self.is_cooperative() {
            self.consumer.incremental_unassign(&self.topics.list(read.iter().map(|id| (*id, Offset::Invalid))))
        } else {
            self.reading.clear();
            self.consumer.unassign()
        };
        done.map_err(|error| unreachable("giving up partitions", &error))
    }

    fn commit(&mut self, commits: &[ShardCommit]) -> Result<(), MemberError> {
        if self.is_expelled() && !failpoint::is_without("fencing") {
            return Err(MemberError::Aborted { reason: "the group has given the partitions to others".to_owned() });
        }
        self.transactions.commit(&self.consumer, &self.topics, commits)
    }

    fn at_end(&mut self, partitions: &[PartitionId]) -> Result<BTreeSet<PartitionId>, MemberError> {
        if partitions.is_empty() {
            return Ok(BTreeSet::new());
        }
        client::drain(&self.clerk);
        let list = self.topics.list(partitions.iter().map(|id| (*id, Offset::End)));
        let ends =
            self.clerk.offsets_for_times(list, TIMEOUT).map_err(|error| unreachable("asking for ends", &error))?;
        let progress = &self.consumer.context().progress;
        let is_read = |it: &TopicPartitionListElem<'_>| match it.offset() {
            Offset::Offset(end) => progress.has_read_to(it.topic(), it.partition(), end.unsigned_abs()),
            _ => false,
        };
        let ends = ends.elements();
        let read = ends.iter().filter(|it| is_read(it));
        Ok(read.filter_map(|it| self.topics.id(it.topic(), it.partition())).collect())
    }

    fn out_of_range(&mut self, cursors: &[(PartitionId, u64)]) -> Result<Vec<(PartitionId, u64)>, MemberError> {
        if !self.consumer.context().out_of_range() {
            return Ok(Vec::new());
        }
        let mut gone = Vec::new();
        for (id, cursor) in cursors {
            let bounds = self.clerk.fetch_watermarks(self.topics.name(id.stream), i32::from(id.partition), TIMEOUT);
            let (low, high) = bounds.map_err(|error| unreachable("asking for bounds", &error))?;
            let (low, high) = (low.unsigned_abs(), high.unsigned_abs());
            if !(low..=high).contains(cursor) {
                gone.push((*id, low));
            }
        }
        self.consumer.context().set_out_of_range(false);
        Ok(gone)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // From now on nobody answers changes, and closing would wait for it.
        self.consumer.context().close();
    }
}

/// What the client tells us from its callbacks.
#[derive(Debug, Default)]
pub(crate) struct GroupContext {
    topics: Arc<InputTopics>,
    changes: Mutex<VecDeque<Change>>,
    progress: Progress,
    flags: Mutex<Flags>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flags {
    closing: bool,
    out_of_range: bool,
}

impl GroupContext {
    fn flags(&self) -> std::sync::MutexGuard<'_, Flags> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.flags().closing = true;
    }

    fn out_of_range(&self) -> bool {
        self.flags().out_of_range
    }

    fn set_out_of_range(&self, is: bool) {
        self.flags().out_of_range = is;
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client::log(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.progress.report(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The only way in which the client says that an offset is gone.
        if client::is_out_of_range(&error) {
            self.set_out_of_range(true);
        }
        debug!(%error, reason, "Kafka's client.");
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, cause: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if self.flags().closing {
            // Errors have nobody left to hear them.
            let _ = match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
                _ => consumer.unassign(),
            };
            return;
        }
        let ids = self.topics.ids(list);
        let change = match cause {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Change::Assigned(ids),
            _ if consumer.assignment_lost() => Change::Lost(ids),
            _ => Change::Revoked(ids),
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }
}

fn incoming<'m>(message: &'m BorrowedMessage<'_>) -> Incoming<'m> {
    let at = match message.timestamp() {
        Timestamp::CreateTime(ms) | Timestamp::LogAppendTime(ms) if ms >= 0 => ms.unsigned_abs().saturating_mul(1000),
        _ => u64::MAX,
    };
    Incoming {
        offset: message.offset().unsigned_abs(),
        at,
        key: message.key().unwrap_or_default(),
        payload: message.payload().unwrap_or_default(),
    }
}

fn start(offset: Option<u64>) -> Offset {
    offset.and_then(|offset| i64::try_from(offset).ok()).map_or(Offset::Beginning, Offset::Offset)
}

/// The client repeats by itself whatever can be repeated.
fn note(error: &KafkaError) {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            debug!(%error, "A topic is not there yet.");
        }
        _ => warn!(%error, "Reading from Kafka failed; it is tried again."),
    }
}

fn unreachable(operation: &'static str, error: &KafkaError) -> MemberError {
    MemberError::Unreachable { operation, reason: error.to_string() }
}
