//! Writes the states of a group that has none.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use daemon_base::one_line::one_line;
use daemon_log::PartitionId;
use daemon_partition::TableCommit;
use daemon_results::block::is_block;
use daemon_results::line::is_scrape;

use super::input::{InputStart, Inputs};
use super::{GroupStates, GroupTopics, Purpose};
use crate::digests::Digests;
use crate::input_topics::InputTopics;
use crate::member::{OffsetMetadata, ShardCommit};
use crate::shard_restore::StateStore as _;
use crate::state_records::{self, CONFIGURATION, Head, INPUT_ID, StateRecords};
use crate::telemetry::GroupTelemetry;
use crate::topics::StreamTopics;
use crate::topology::usable;
use crate::transaction::StatesTransaction;

/// The first sequence of a state.
const FIRST: u64 = 1;

/// By stream: the next offset to apply of each input partition.
type Starts = Vec<BTreeMap<u16, u64>>;

/// Writes the states of a group, all of them or none.
pub struct StateWriter<'g> {
    group: &'g GroupStates,
    transaction: StatesTransaction,
    topics: GroupTopics,
    starts: Starts,
    inputs_with_records: Vec<String>,
}

impl GroupStates {
    /// Begins to write the states of the group. `input` is needed only if an input topic has records already.
    ///
    /// # Errors
    ///
    /// When a topic is missing or has a problem, when the group has members, another configuration, or states
    /// already, when a topic of states or results has records of another program, and when an input topic has records and
    /// `input` is `None`. Nothing is written then.
    pub fn begin_write(&self, input: Option<InputStart>) -> anyhow::Result<StateWriter<'_>> {
        let topics = self.check(&[Purpose::DeadLetters, Purpose::Input, Purpose::Results, Purpose::State])?;
        let (connection, names) = (&self.own.connection, &self.own.names);
        let input_topics = InputTopics::new(names, &self.streams);
        let mut transaction = StatesTransaction::start(connection, names, self.own.results, input_topics)?;
        self.check_no_states(&topics)?;
        self.check_results()?;
        let (starts, inputs_with_records) = self.starts(&topics, input)?;
        transaction.begin()?;
        Ok(StateWriter { group: self, transaction, topics, starts, inputs_with_records })
    }

    /// Fails if a state topic has a state. That of a shard that never had a record counts as none.
    fn check_no_states(&self, topics: &GroupTopics) -> anyhow::Result<()> {
        let mut reader = self.reader()?;
        let telemetry = GroupTelemetry::default();
        for (number, StreamTopics { stream, states, .. }) in (0..).zip(&topics.0) {
            let partitions: Vec<u16> = (0..*states).collect();
            let progress = telemetry.restoring(partitions.len());
            let found = reader.read(number, &partitions, &progress).map_err(anyhow::Error::msg)?;
            let foreign = |records: &StateRecords| {
                records.iter().find(|(key, value)| !state_records::is_own(key, value)).map(|(key, _)| key.clone())
            };
            if let Some((partition, key)) = found.iter().find_map(|(at, records)| Some((at, foreign(records)?))) {
                let topic = self.own.names.state(stream);
                bail!("partition {partition} of topic {topic} has {}", of_another_program("the key", &key));
            }
            if let Some((partition, _)) = found.iter().find(|(_, records)| !is_empty(records)) {
                bail!(
                    "partition {partition} of topic {} has a state: the group `{}` has run; to replace it, delete the \
                     state topics of the group and create them again with `derived-statsd topics --create`, or choose \
                     another kafka.topic_prefix and kafka.group_id",
                    self.own.names.state(stream),
                    self.group()
                );
            }
        }
        Ok(())
    }

    /// Fails if the oldest record of the results topic is not a result: each daemon would read what another program writes.
    fn check_results(&self) -> anyhow::Result<()> {
        let (inputs, topic) = (Inputs::new(&self.own.connection, &self.own.names)?, self.results());
        let starts = inputs.retained(&topic, 1)?.into_iter().map(|(partition, it)| (partition, it.first)).collect();
        let is_foreign = |(_, record): &(u16, Vec<u8>)| !is_result(record);
        if let Some((_, record)) = inputs.first(&topic, &starts)?.filter(is_foreign) {
            bail!("topic {topic} has {}", of_another_program("the text", &record));
        }
        Ok(())
    }

    /// Where the input of each stream begins, and the topics that have records already.
    fn starts(&self, topics: &GroupTopics, input: Option<InputStart>) -> anyhow::Result<(Starts, Vec<String>)> {
        let inputs = Inputs::new(&self.own.connection, &self.own.names)?;
        let (mut starts, mut with_records) = (Vec::new(), Vec::new());
        for StreamTopics { stream, inputs: partitions, .. } in &topics.0 {
            let topic = self.own.names.input(stream);
            let retained = inputs.retained(&topic, *partitions)?;
            let first = retained.iter().map(|(partition, it)| (*partition, it.first)).collect();
            let found = inputs.with_records(&topic, &first)?;
            let start = match (found, input) {
                (None, _) | (Some(_), Some(InputStart::End)) => {
                    retained.iter().map(|(partition, it)| (*partition, it.end)).collect()
                }
                (Some(_), Some(InputStart::Start)) => first,
                (Some(partition), None) => bail!(
                    "partition {partition} of topic {topic} has records already; add --input start if the daemon of \
                     the directory has not taken these samples, so that the group applies them, or --input end if it \
                     has, so that they do not count twice"
                ),
            };
            with_records.extend(found.map(|_| topic));
            starts.push(start);
        }
        Ok((starts, with_records))
    }
}

impl StateWriter<'_> {
    /// The topics of the group.
    pub fn topics(&self) -> &GroupTopics {
        &self.topics
    }

    /// The input topics that had records before.
    pub fn inputs_with_records(&self) -> &[String] {
        &self.inputs_with_records
    }

    /// Writes the state and the results of a partition, which nobody sees before [`finish`](Self::finish).
    ///
    /// # Errors
    ///
    /// When the group does not have the stream, or the brokers refuse a record.
    pub fn write(&self, stream: &str, partition: u16, commit: TableCommit) -> anyhow::Result<()> {
        let (number, &StreamTopics { inputs, states, input_id, .. }) = self.topics.of(stream)?;
        let names = &self.group.own.names;
        ensure!(
            commit.chunks.is_empty() || states <= 1 || names.foreign(stream).is_none(),
            "its input is the topic {} of another program, which alone decides about the partition of an object, so \
             states of another log cannot be placed; give its state topic one partition",
            names.input(stream)
        );
        let sources = (partition..usable(inputs, states)).step_by(usize::from(states.max(1)));
        let start = |source| Some((source, *self.starts[usize::from(number)].get(&source)?));
        let head = Head {
            sequence: FIRST,
            cursors: sources.filter_map(start).collect(),
            meta: commit.meta,
            ..Head::default()
        };
        let mut state = vec![(CONFIGURATION.to_vec(), Some(self.group.configuration.to_bytes()))];
        state.extend(input_id.map(|id| (INPUT_ID.to_vec(), Some(id.as_bytes().to_vec()))));
        state.extend(state_records::encode(&head, commit.chunks, &mut Digests::default()));
        Ok(self.transaction.write(&ShardCommit {
            shard: PartitionId::new(number, partition),
            input_id,
            state,
            results: commit.results,
            dead_letters: Vec::new(),
            offsets: Vec::new(),
            metadata: OffsetMetadata::default(),
        })?)
    }

    /// Makes all states the ones of the group.
    ///
    /// # Errors
    ///
    /// When a daemon has joined the group meanwhile, or the brokers do not answer. The group has no states then, or all
    /// of them if only the last answer of the brokers is missing: the next run says which.
    pub fn finish(self) -> anyhow::Result<()> {
        self.group.check_members().context("nothing was written")?;
        // Not before the states are known to be right: a configuration that is registered is the one of the group.
        let GroupStates { own, claims, configuration, .. } = self.group;
        for topic in self.topics.streams().map(|stream| own.names.state(stream)) {
            if let Some(other) = claims.settle(&topic, configuration, false)? {
                bail!("nothing was written: topic {topic}: {}", configuration.waits_for(&other));
            }
        }
        Ok(self.transaction.commit()?)
    }
}

/// The characters of a foreign record that are shown.
const EXCERPT: usize = 40;

/// What a topic has that is not for this group, and the remedy. `what` is the part of the record that is shown.
fn of_another_program(what: &str, bytes: &[u8]) -> String {
    let start = match bytes {
        [] => format!("without {what}"),
        bytes => format!("with {what} `{}`", one_line(&String::from_utf8_lossy(bytes), EXCERPT)),
    };
    format!(
        "a record of another program, {start}; choose a kafka.topic_prefix whose topics nobody else has, or \
         delete this topic if it is not needed, and run `derived-statsd topics --create`"
    )
}

/// Whether a record of the results topic is one of a daemon, in any of its forms.
fn is_result(record: &[u8]) -> bool {
    is_block(record) || is_scrape(record) || serde_json::from_slice::<ResultLine>(record).is_ok()
}

/// What every result as a line of JSON has.
#[derive(serde::Deserialize)]
struct ResultLine {
    #[serde(rename = "key")]
    _key: String,
    #[serde(rename = "uve")]
    _uve: String,
}

/// Whether the records have no state, or one of a shard that never had a record.
fn is_empty(records: &StateRecords) -> bool {
    match state_records::decode(records) {
        Ok(None) => true,
        Ok(Some(saved)) => saved.chunks.is_empty() && saved.head.cursors.is_empty(),
        Err(_) => false,
    }
}
