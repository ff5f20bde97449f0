//! Reads the state topics of a real cluster: the [`StateStore`] of the restore thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_partition::Heartbeat;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tracing::info;

use crate::claim::Claims;
use crate::client::{self, Connection, Isolation, LogContext, TIMEOUT};
use crate::end_offsets;
use crate::names::Names;
use crate::shard_restore::StateStore;
use crate::state_records::StateRecords;
use crate::telemetry::RestoreProgress;

/// How often the last stable offsets are polled while transactions are open.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How often a reader that waits for a transaction logs that.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Records between two updates of the progress.
const PROGRESS_STEP: u64 = 1024;

/// Reads the state topics of one cluster.
pub(crate) struct StateTopicReader {
    committed: BaseConsumer<LogContext>,
    uncommitted: BaseConsumer<LogContext>,
    /// The state topics, by stream number.
    topics: Vec<String>,
    /// The topic of results.
    results: String,
    claims: Claims,
    clock: Arc<dyn Clock>,
    heartbeat: Heartbeat,
}

impl StateTopicReader {
    pub(crate) fn new(
        connection: &Connection,
        names: &Names,
        streams: &[String],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        // The readers commit nothing, but librdkafka requires a group id.
        let group = format!("{}-restore", names.group);
        let reader =
            |isolation| BaseConsumer::from_config_and_context(&connection.reader(&group, isolation), LogContext);
        Ok(Self {
            committed: reader(Isolation::Committed)?,
            uncommitted: reader(Isolation::Uncommitted)?,
            topics: streams.iter().map(|stream| names.state(stream)).collect(),
            results: names.results(),
            claims: Claims::new(connection, names),
            clock,
            heartbeat: Heartbeat::default(),
        })
    }

    /// With the heartbeat of the thread that reads.
    pub(crate) fn with_heartbeat(self, heartbeat: &Heartbeat) -> Self {
        let claims = self.claims.with_heartbeat(heartbeat.clone());
        Self { claims, heartbeat: heartbeat.clone(), ..self }
    }

    /// The end offsets of partitions at the isolation level of `client`, as of now.
    fn ends<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        topic: &str,
        partitions: impl Iterator<Item = u16>,
    ) -> Result<BTreeMap<u16, u64>, KafkaError> {
        self.heartbeat.wait_at_most(end_offsets::LIMIT);
        ends(client, topic, partitions)
    }

    /// Reads the partitions whose last stable offset has reached the high watermark in `ends`, and removes them from
    /// `ends`.
    fn read_settled(
        &self,
        topic: &str,
        ends: &mut BTreeMap<u16, u64>,
        progress: &RestoreProgress,
        states: &mut BTreeMap<u16, StateRecords>,
    ) -> Result<(), KafkaError> {
        let stable = self.ends(&self.committed, topic, ends.keys().copied())?;
        let is_settled = |partition: &u16, end: &u64| stable.get(partition).is_some_and(|stable| stable >= end);
        let settled: BTreeSet<u16> = ends.iter().filter(|(at, end)| is_settled(at, end)).map(|(at, _)| *at).collect();
        if settled.is_empty() {
            return Ok(());
        }
        ends.retain(|partition, _| !settled.contains(partition));
        let mut list = TopicPartitionList::new();
        for partition in &settled {
            list.add_partition_offset(topic, i32::from(*partition), Offset::Beginning)?;
        }
        let mut count = 0;
        self.read_to_ends(&list, settled, &mut |message| {
            let records = states.entry(message.partition() as u16).or_default();
            let key = message.key().unwrap_or_default();
            // The last value of each key stays.
            match message.payload() {
                Some(value) => drop(records.insert(key.to_vec(), value.to_vec())),
                None => drop(records.remove(key)),
            }
            count += 1;
            if count % PROGRESS_STEP == 0 {
                progress.read(count);
            }
        })
    }

    /// Waits before the last stable offsets are polled again.
    fn wait(&self, topic: &str, partitions: usize, logged_at: &mut Duration) {
        if self.clock.monotonic().saturating_sub(*logged_at) > LOG_INTERVAL {
            *logged_at = self.clock.monotonic();
            info!(%topic, partitions, "Waiting for a transaction that an earlier owner left open.");
        }
        std::thread::sleep(POLL_INTERVAL);
    }

    /// Passes on the committed records of partitions of one topic, from the offsets in `list` to their ends.
    fn read_to_ends(
        &self,
        list: &TopicPartitionList,
        missing: BTreeSet<u16>,
        take: &mut dyn FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), KafkaError> {
        self.committed.assign(list)?;
        let read = self.poll_to_ends(missing, take);
        self.committed.unassign()?;
        read
    }

    fn poll_to_ends(
        &self,
        mut missing: BTreeSet<u16>,
        take: &mut dyn FnMut(&BorrowedMessage<'_>),
    ) -> Result<(), KafkaError> {
        let mut last = self.clock.monotonic();
        self.heartbeat.wait_at_most(TIMEOUT);
        while !missing.is_empty() {
            match self.committed.poll(POLL_INTERVAL) {
                Some(Ok(message)) => {
                    last = self.clock.monotonic();
                    self.heartbeat.wait_at_most(TIMEOUT);
                    take(&message);
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(missing.remove(&(partition as u16))),
                // librdkafka reconnects by itself; if it cannot, no message arrives until the timeout.
                Some(Err(error)) if client::is_unreachable(&error) => {}
                Some(Err(error)) => return Err(error),
                None if self.clock.monotonic().saturating_sub(last) > TIMEOUT => return Err(KafkaError::Canceled),
                None => {}
            }
        }
        Ok(())
    }
}

impl StateStore for StateTopicReader {
    fn read(
        &mut self,
        stream: u16,
        partitions: &[u16],
        progress: &RestoreProgress,
    ) -> Result<BTreeMap<u16, StateRecords>, String> {
        let topic = self.topics.get(usize::from(stream)).ok_or("the stream is unknown")?;
        // The events that arrived since the last restore, such as the errors of an outage.
        client::discard_events(&self.uncommitted);
        client::discard_events(&self.committed);
        let describe = |error: KafkaError| format!("{topic}: {error}");
        let mut ends = self.ends(&self.uncommitted, topic, partitions.iter().copied()).map_err(describe)?;
        progress.expect(ends.values().sum());
        let mut states = BTreeMap::new();
        let mut logged_at = self.clock.monotonic();
        loop {
            self.read_settled(topic, &mut ends, progress, &mut states).map_err(describe)?;
            if ends.is_empty() {
                return Ok(states);
            }
            self.wait(topic, ends.len(), &mut logged_at);
        }
    }

    fn results(&mut self, take: &mut dyn FnMut(u64, &[u8])) -> Result<(), String> {
        let topic = &self.results;
        client::discard_events(&self.committed);
        let describe = |error: KafkaError| format!("{topic}: {error}");
        // The transaction of the previous owner has ended, as its states show; its end may not be in this topic yet.
        let end = self.ends(&self.uncommitted, topic, [0].into_iter()).map_err(describe)?;
        let mut logged_at = self.clock.monotonic();
        while self.ends(&self.committed, topic, [0].into_iter()).map_err(describe)? < end {
            self.wait(topic, end.len(), &mut logged_at);
        }
        let list = client::partition_0(topic, Offset::Beginning).map_err(describe)?;
        let mut pass = |message: &BorrowedMessage<'_>| {
            take(message.offset().unsigned_abs(), message.payload().unwrap_or_default());
        };
        self.read_to_ends(&list, [0].into(), &mut pass).map_err(describe)
    }

    fn claim_problem(&mut self, stream: u16) -> Result<Option<String>, String> {
        let topic = self.topics.get(usize::from(stream)).ok_or("the stream is unknown")?;
        self.claims.problem(topic).map_err(|error| error.to_string())
    }
}

/// The end offsets of partitions at the isolation level of `client`.
fn ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: impl Iterator<Item = u16>,
) -> Result<BTreeMap<u16, u64>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, i32::from(partition), Offset::End)?;
    }
    end_offsets::request(client, &list).and_then(|ends| offsets(&ends))
}

fn offsets(ends: &TopicPartitionList) -> Result<BTreeMap<u16, u64>, KafkaError> {
    let end = |it: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match (it.error(), it.offset()) {
        (Ok(()), Offset::Offset(end)) => Ok((it.partition() as u16, end.unsigned_abs())),
        (Err(error), _) => Err(error),
        _ => Err(KafkaError::Canceled),
    };
    ends.elements().iter().map(end).collect()
}
