//! The states of a group as a whole: written for a group that has none, and read of a group that has ended.
//!
//! Nobody else may change the states meanwhile, so the group must have no members. States are written in one
//! transaction over all state topics: either all of them are there or none is. A daemon that starts in the meantime
//! waits with its restore until that transaction ends (`shard_restore`), and sees what it has written. One that
//! restored before its first record is a member when the members are listed again, after the last record.

mod input;
mod read;
mod write;

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use daemon_alarms::Rules;
use daemon_base::clock::SystemClock;
use proxy_uve::Plan;

use crate::claim::Claims;
use crate::configuration::Configuration;
use crate::members::Members;
use crate::settings::KafkaSettings;
use crate::state_reader::StateTopicReader;
use crate::topics::{Purpose, Step, StreamTopics, Topics, Verdict};

pub use self::input::InputStart;
pub use self::read::{GroupState, StateReader, UndeliveredResults};
pub use self::write::StateWriter;

/// The topics of the streams of a group, by the number of the stream.
pub struct GroupTopics(Vec<StreamTopics>);

impl GroupTopics {
    /// The names of the streams.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|topics| topics.stream.as_str())
    }

    /// The partitions of the state topic of a stream; 0 for a stream that the group does not have.
    pub fn partitions(&self, stream: &str) -> u16 {
        self.of(stream).map_or(0, |(_, topics)| topics.states)
    }

    /// The number of a stream, and its topics.
    fn of(&self, stream: &str) -> anyhow::Result<(u16, &StreamTopics)> {
        let found = (0..).zip(&self.0).find(|(_, topics)| topics.stream == stream);
        found.with_context(|| format!("the group does not have the stream {stream}"))
    }
}

/// A group without members, whose states are written or read.
pub struct GroupStates {
    own: KafkaSettings,
    streams: Vec<String>,
    configuration: Configuration,
    topics: Topics,
    members: Members,
    claims: Claims,
}

impl GroupStates {
    /// The group of these settings, for daemons that compute `plans` and evaluate `rules`.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects the settings.
    pub fn new(own: &KafkaSettings, plans: &[Arc<Plan>], rules: &Rules) -> anyhow::Result<Self> {
        let streams: Vec<_> = plans.iter().map(|plan| plan.stream().to_string()).collect();
        let (connection, names) = (&own.connection, &own.names);
        let plans = || plans.iter().map(Arc::as_ref);
        let topics = Topics::new(connection, names, &streams)?;
        let topics = topics.with_configuration(own.configuration_version, plans(), rules);
        Ok(Self {
            configuration: Configuration::new(own.configuration_version, plans(), rules, names),
            members: Members::new(connection, names).context("start a client; check the [kafka] settings")?,
            claims: Claims::new(connection, names),
            own: own.clone(),
            streams,
            topics,
        })
    }

    /// The name of the group.
    pub fn group(&self) -> &str {
        &self.own.names.group
    }

    /// The topic of the results of the group.
    pub fn results(&self) -> String {
        self.own.names.results()
    }

    /// Checks that these topics are there and in order, and that the group has no members.
    fn check(&self, wanted: &[Purpose]) -> anyhow::Result<GroupTopics> {
        // The first request: its error has the reason why no broker answers.
        let steps = self.topics.plan(1)?;
        let missing = |step: &&Step| step.verdict == Verdict::Missing && wanted.contains(&step.purpose);
        let missing: Vec<_> = steps.iter().filter(missing).map(|step| step.topic.as_str()).collect();
        ensure!(
            missing.is_empty(),
            "topics are missing: {}; run `derived-statsd topics --create`, which makes them",
            missing.join(", ")
        );
        for step in steps.iter().filter(|step| wanted.contains(&step.purpose)) {
            if let Verdict::Problem(problem) = &step.verdict {
                bail!("topic {}: {problem}", step.topic);
            }
        }
        self.check_members()?;
        self.topics.poll().map(GroupTopics)
    }

    fn check_members(&self) -> anyhow::Result<()> {
        let (group, members) = (self.group(), self.members.all_of(self.group())?);
        let names: Vec<_> = members.iter().map(ToString::to_string).collect();
        ensure!(
            members.is_empty(),
            "the consumer group `{group}` has {} members ({}); stop its daemons first, and one that was killed leaves \
             after kafka.session_timeout",
            members.len(),
            names.join(", ")
        );
        Ok(())
    }

    fn reader(&self) -> anyhow::Result<StateTopicReader> {
        let clock = Arc::new(SystemClock::new());
        let reader = StateTopicReader::new(&self.own.connection, &self.own.names, &self.streams, clock);
        reader.context("start a client; check the [kafka] settings")
    }
}
