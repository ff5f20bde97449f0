//! The topics of a group of daemons: which there are, which are missing, and how they are made.
//!
//! The daemon makes its own (states, results, dead letters) and never an input topic: that one has as many partitions
//! as its writers like, and a state topic follows it. `derived-statsd topics --create` makes them all.

mod cluster;
mod fault;
mod plan;

use std::thread;
use std::time::Duration;

use cluster::Cluster;
use plan::{Existing, Found, plan};

use super::client::Connection;
use super::names::Names;

pub use self::plan::{Purpose, Step, Verdict};

/// How often and how many times it is looked whether a new topic is known to all.
const STEP: Duration = Duration::from_millis(50);
const STEPS: u32 = 200;

/// The topics of one stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamTopics {
    pub stream: String,
    /// Partitions of the input topic; 0 if it is not there yet.
    pub inputs: u16,
    /// Partitions of the state topic; 0 if it is not there yet.
    pub states: u16,
}

impl StreamTopics {
    /// Why its samples cannot be worked on, and what to do: the input's partitions are no multiple of the states'.
    pub fn problem(&self, names: &Names) -> Option<String> {
        let is_even = self.states == 0 || self.inputs.is_multiple_of(self.states);
        (!is_even).then(|| format!("topic {}: {}", names.input(&self.stream), plan::uneven(self.inputs, self.states)))
    }
}

/// The topics, with a connection that is kept. All calls block.
pub struct Topics {
    cluster: Cluster,
    names: Names,
    streams: Vec<String>,
}

impl Topics {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When a property of librdkafka is wrong.
    pub fn new(connection: &Connection, names: &Names, streams: &[String]) -> anyhow::Result<Self> {
        Ok(Self { cluster: Cluster::new(connection)?, names: names.clone(), streams: streams.to_vec() })
    }

    /// How many partitions there are of each stream now. Cheap: one small question for each topic.
    ///
    /// # Errors
    ///
    /// When no broker answers, or the user may not know.
    pub fn look(&self) -> anyhow::Result<Vec<StreamTopics>> {
        let topics = self.streams.iter().map(|stream| {
            let inputs = self.cluster.partitions(&self.names.input(stream))?.unwrap_or(0);
            let states = self.cluster.partitions(&self.names.state(stream))?.unwrap_or(0);
            Ok(StreamTopics { stream: stream.clone(), inputs, states })
        });
        topics.collect()
    }

    /// Creates what is missing of our topics: states of the streams whose input exists, results, dead letters. Another
    /// daemon may do the same at the same time. An input whose partitions do not fit the states is no error here, as it
    /// stops one stream only; [`StreamTopics::problem`] tells.
    ///
    /// # Errors
    ///
    /// When no broker answers, when the user may not, and when one of our topics would lose what is written to it.
    pub fn ensure_own(&self, replication: u16) -> anyhow::Result<Vec<StreamTopics>> {
        let found = self.found()?;
        // Of an input that is missing there is no number yet to give to its states.
        let streams: Vec<_> =
            self.streams.iter().filter(|stream| found.contains_key(&self.names.input(stream))).cloned().collect();
        let mut ours = plan(&self.names, &streams, 0, &found);
        ours.retain(|step| step.purpose != Purpose::Input);
        for step in &ours {
            if let Verdict::Problem(problem) = &step.verdict {
                anyhow::bail!("topic {}: {problem}", step.topic);
            }
        }
        for topic in self.create(&ours, replication)? {
            tracing::info!(topic, "Created a topic.");
        }
        self.look()
    }

    /// All topics against what they should be; `partitions` is for input topics that are missing.
    pub fn plan(&self, partitions: u16) -> anyhow::Result<Vec<Step>> {
        Ok(plan(&self.names, &self.streams, partitions, &self.found()?))
    }

    fn found(&self) -> anyhow::Result<Found> {
        let inputs = self.streams.iter().map(|stream| (self.names.input(stream), false));
        let states = self.streams.iter().map(|stream| (self.names.state(stream), true));
        let others = [(self.names.results(), true), (self.names.dead_letters(), true)];
        let mut found = Found::new();
        let administrator = self.cluster.administrator()?;
        for (topic, is_ours) in inputs.chain(states).chain(others) {
            if let Some(partitions) = self.cluster.partitions(&topic)? {
                let settings = is_ours.then(|| administrator.settings(&topic)).transpose()?;
                found.insert(topic, Existing { partitions, settings });
            }
        }
        Ok(found)
    }

    /// Creates what is missing among `steps`; returns those that it was and no other.
    pub fn create(&self, steps: &[Step], replication: u16) -> anyhow::Result<Vec<String>> {
        let administrator = self.cluster.administrator()?;
        let mut created = Vec::new();
        for Step { topic, purpose, wanted, .. } in steps.iter().filter(|step| step.verdict == Verdict::Missing) {
            if administrator.create(topic, *purpose, wanted.unwrap_or(1), replication)? {
                created.push(topic.clone());
            }
            self.wait_for(topic)?;
        }
        Ok(created)
    }

    /// Waits until the brokers tell of a topic: the one that is asked need not be the one that made it.
    fn wait_for(&self, topic: &str) -> anyhow::Result<()> {
        for _ in 0..STEPS {
            if self.cluster.partitions(topic)?.is_some() {
                return Ok(());
            }
            thread::sleep(STEP);
        }
        anyhow::bail!("topic {topic} was created and yet the brokers do not show it; see whether all of them run");
    }
}
