//! Reads state topics: the real [`StateStore`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tracing::info;

use crate::client::{self, Connection, Isolation, Spoken, TIMEOUT};
use crate::names::Names;
use crate::restore::StateStore;
use crate::state::StateRecords;
use crate::telemetry::RestoreProgress;

/// How often is looked whether open transactions have ended.
const LOOK: Duration = Duration::from_millis(50);

/// How often a reader that waits says so.
const SAY: Duration = Duration::from_secs(5);

/// Records after which progress is told.
const STEP: u64 = 1024;

/// Reads the state topics of one cluster.
pub(crate) struct StateTopics {
    committed: BaseConsumer<Spoken>,
    uncommitted: BaseConsumer<Spoken>,
    /// State topics by the numbers of their streams.
    topics: Vec<String>,
    clock: Arc<dyn Clock>,
}

impl StateTopics {
    pub(crate) fn new(
        connection: &Connection,
        names: &Names,
        streams: &[String],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KafkaError> {
        // It commits nothing; the client wants a name all the same.
        let group = format!("{}-restore", names.group);
        let reader = |isolation| BaseConsumer::from_config_and_context(&connection.reader(&group, isolation), Spoken);
        Ok(Self {
            committed: reader(Isolation::Committed)?,
            uncommitted: reader(Isolation::Uncommitted)?,
            topics: streams.iter().map(|stream| names.state(stream)).collect(),
            clock,
        })
    }

    /// Reads the partitions whose open transactions have ended since `ends` was asked; the others are left in `ends`.
    fn read_settled(
        &self,
        topic: &str,
        ends: &mut BTreeMap<u16, u64>,
        progress: &RestoreProgress,
        states: &mut BTreeMap<u16, StateRecords>,
    ) -> Result<(), KafkaError> {
        let stable = self::ends(&self.committed, topic, ends.keys().copied())?;
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
        self.committed.assign(&list)?;
        let read = self.read_to_ends(settled, progress, states);
        self.committed.unassign()?;
        read
    }

    fn read_to_ends(
        &self,
        mut missing: BTreeSet<u16>,
        progress: &RestoreProgress,
        states: &mut BTreeMap<u16, StateRecords>,
    ) -> Result<(), KafkaError> {
        let mut count = 0;
        let mut last = self.clock.monotonic();
        while !missing.is_empty() {
            match self.committed.poll(LOOK) {
                Some(Ok(message)) => {
                    last = self.clock.monotonic();
                    let records = states.entry(message.partition() as u16).or_default();
                    let key = message.key().unwrap_or_default();
                    match message.payload() {
                        Some(value) => drop(records.insert(key.to_vec(), value.to_vec())),
                        None => drop(records.remove(key)),
                    }
                    count += 1;
                    if count % STEP == 0 {
                        progress.read(count);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(missing.remove(&(partition as u16))),
                // Of connections; the client makes them anew, and what is really amiss shows in nothing coming.
                Some(Err(error)) if is_about_connections(&error) => {}
                Some(Err(error)) => return Err(error),
                None if self.clock.monotonic().saturating_sub(last) > TIMEOUT => return Err(KafkaError::Canceled),
                None => {}
            }
        }
        Ok(())
    }
}

impl StateStore for StateTopics {
    fn read(
        &mut self,
        stream: u16,
        partitions: &[u16],
        progress: &RestoreProgress,
    ) -> Result<BTreeMap<u16, StateRecords>, String> {
        let topic = self.topics.get(usize::from(stream)).ok_or("there is no such stream")?;
        // What they said while nothing was read, such as for all the time that the brokers were away.
        client::drain(&self.uncommitted);
        client::drain(&self.committed);
        let said = |error: KafkaError| format!("{topic}: {error}");
        let mut ends = ends(&self.uncommitted, topic, partitions.iter().copied()).map_err(said)?;
        progress.expect(ends.values().sum());
        let mut states = BTreeMap::new();
        let mut spoke = self.clock.monotonic();
        loop {
            self.read_settled(topic, &mut ends, progress, &mut states).map_err(said)?;
            if ends.is_empty() {
                return Ok(states);
            }
            if self.clock.monotonic().saturating_sub(spoke) > SAY {
                spoke = self.clock.monotonic();
                info!(%topic, partitions = ends.len(), "Waiting for a transaction that an earlier owner left open.");
            }
            std::thread::sleep(LOOK);
        }
    }
}

fn is_about_connections(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure | OperationTimedOut | Resolve))
}

/// The ends of partitions, as `client` sees them.
///
/// The client remembers for minutes which partitions a topic has. What it got from a broker that was stopping, or
/// before the topic grew, lacks some: the list is fetched again, so that the next try does not fail for the same
/// reason.
pub(crate) fn ends<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partitions: impl Iterator<Item = u16>,
) -> Result<BTreeMap<u16, u64>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, i32::from(partition), Offset::End)?;
    }
    let ends = client.offsets_for_times(list, TIMEOUT).and_then(|ends| offsets(&ends));
    if let Err(error) = &ends
        && error.rdkafka_error_code() == Some(RDKafkaErrorCode::UnknownPartition)
    {
        client.fetch_metadata(Some(topic), TIMEOUT)?;
    }
    ends
}

fn offsets(ends: &TopicPartitionList) -> Result<BTreeMap<u16, u64>, KafkaError> {
    let end = |it: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| match (it.error(), it.offset()) {
        (Ok(()), Offset::Offset(end)) => Ok((it.partition() as u16, end.unsigned_abs())),
        (Err(error), _) => Err(error),
        _ => Err(KafkaError::Canceled),
    };
    ends.elements().iter().map(end).collect()
}
