//! Reads the states of a group that has ended.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};

use super::input::Inputs;
use super::{GroupStates, GroupTopics, Purpose};
use crate::configuration::Configuration;
use crate::shard_restore::StateStore as _;
use crate::state_reader::StateTopicReader;
use crate::state_records::{self, CONFIGURATION, INPUT_ID, StateRecords};
use crate::telemetry::GroupTelemetry;
use crate::topic_id::TopicId;
use crate::topics::StreamTopics;

/// How many sinks are looked for.
const MAX_SINKS: usize = 64;

/// The state of one partition of a group.
#[derive(Debug)]
pub struct GroupState {
    /// The partition of the state topic.
    pub partition: u16,
    /// The table's own record.
    pub meta: Vec<u8>,
    /// All chunks.
    pub chunks: Vec<(u32, Vec<u8>)>,
    /// The newest time at which records were read (µs since the epoch); 0 if it is not known.
    pub read_at: u64,
}

/// Results that a sink of a daemon of the group has not delivered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UndeliveredResults {
    /// The consumer group of the sink, which has the names of sink and daemon.
    pub group: String,
    /// The offset in the results topic from which on they are not delivered.
    pub from: u64,
}

/// Reads the states of a group without members.
pub struct StateReader<'g> {
    group: &'g GroupStates,
    reader: StateTopicReader,
    inputs: Inputs,
    topics: GroupTopics,
}

impl GroupStates {
    /// Begins to read the states of the group.
    ///
    /// # Errors
    ///
    /// When a topic is missing or has a problem, when the group has members or another configuration.
    pub fn begin_read(&self) -> anyhow::Result<StateReader<'_>> {
        let topics = self.check(&[Purpose::Input, Purpose::State])?;
        let inputs = Inputs::new(&self.own.connection, &self.own.names)?;
        Ok(StateReader { group: self, reader: self.reader()?, inputs, topics })
    }
}

impl StateReader<'_> {
    /// The topics of the group.
    pub fn topics(&self) -> &GroupTopics {
        &self.topics
    }

    /// The states of a stream.
    ///
    /// # Errors
    ///
    /// When a state is damaged or of another configuration, and when input is not applied.
    pub fn states(&mut self, stream: &str) -> anyhow::Result<Vec<GroupState>> {
        let (number, topics) = self.topics.of(stream)?;
        let topics = topics.clone();
        let partitions: Vec<u16> = (0..topics.states).collect();
        let progress = GroupTelemetry::default().restoring(partitions.len());
        let records = self.reader.read(number, &partitions, &progress).map_err(anyhow::Error::msg)?;
        let (mut states, mut cursors) = (Vec::new(), BTreeMap::new());
        for (partition, records) in records {
            let named = || format!("partition {partition} of topic {}", self.group.own.names.state(stream));
            self.check_origin(&topics, &records).with_context(named)?;
            let saved = state_records::decode(&records).map_err(anyhow::Error::msg);
            let Some(saved) = saved.with_context(|| format!("the state of {} cannot be used", named()))? else {
                continue;
            };
            cursors.extend(saved.head.cursors);
            states.push(GroupState {
                partition,
                meta: saved.head.meta,
                chunks: saved.chunks,
                read_at: saved.head.read_at,
            });
        }
        self.check_applied(&topics, &cursors)?;
        Ok(states)
    }

    /// Checks that a state is of the configuration of this command, and its cursors of the input topic that exists.
    fn check_origin(&self, topics: &StreamTopics, records: &StateRecords) -> anyhow::Result<()> {
        let own = &self.group.configuration;
        let saved = records.get(CONFIGURATION).and_then(|bytes| Configuration::from_bytes(bytes));
        if let Some(saved) = saved.filter(|saved| !own.is_same(saved)) {
            bail!(
                "the state is of the configuration {saved}, and that of this command is {own}: {}; give this command \
                 the configuration of the group, or start the daemons with it, stop them, and try again",
                own.difference(&saved)
            );
        }
        let saved = records.get(INPUT_ID).and_then(|bytes| TopicId::new(bytes));
        let is_other = saved.zip(topics.input_id).is_some_and(|(saved, current)| saved != current);
        ensure!(
            !is_other,
            "the input topic was created again since the state was saved; start the daemons, wait until `lag` is 0 in \
             all rows of `derived-statsd top`, stop them, and try again"
        );
        Ok(())
    }

    /// Fails if an input partition has records at its cursor or after it.
    fn check_applied(&self, topics: &StreamTopics, cursors: &BTreeMap<u16, u64>) -> anyhow::Result<()> {
        let topic = self.group.own.names.input(&topics.stream);
        let retained = self.inputs.retained(&topic, topics.inputs)?;
        let remedy = "start the daemons, without senders, wait until `lag` is 0 in all rows of `derived-statsd top`, \
                      stop them, and try again";
        let mut starts = BTreeMap::new();
        for (partition, it) in retained {
            let cursor = cursors.get(&partition).copied();
            ensure!(
                cursor.is_none_or(|cursor| cursor >= it.first),
                "records of partition {partition} of topic {topic} were deleted before they were applied; {remedy}"
            );
            starts.insert(partition, cursor.unwrap_or(it.first).min(it.end));
        }
        if let Some(partition) = self.inputs.with_records(&topic, &starts)? {
            bail!("partition {partition} of topic {topic} has records that are not applied; {remedy}");
        }
        Ok(())
    }

    /// The sinks of daemons of the group that have not delivered all results. At most 64 sinks are looked at.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer, or the user may not see the groups.
    pub fn undelivered(&self) -> anyhow::Result<Vec<UndeliveredResults>> {
        let names = &self.group.own.names;
        let (prefix, topic) = (names.sink_groups(), names.results());
        let mut undelivered = Vec::new();
        for group in self.inputs.groups(&prefix).context("list the consumer groups")?.into_iter().take(MAX_SINKS) {
            let committed = Inputs::committed_offset(&self.group.own.connection, &group, &topic);
            let committed = committed.with_context(|| format!("request the offset of the consumer group {group}"))?;
            let Some(from) = committed else { continue };
            let first = self.inputs.retained(&topic, 1)?.get(&0).map_or(0, |it| it.first);
            if self.inputs.with_records(&topic, &[(0, from.max(first))].into())?.is_some() {
                undelivered.push(UndeliveredResults { group, from });
            }
        }
        Ok(undelivered)
    }
}
