//! The topics of a group of daemons: which exist, which are missing, and how they are created.
//!
//! The daemon creates its own topics (states, results, dead letters, elections) and never an input topic: its producers choose the
//! number of its partitions, and the state topic gets the same number. `derived-statsd topics --create` creates all of
//! them.

mod cluster;
mod error;
mod keys;
pub(crate) mod plan;

use anyhow::Context as _;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cluster::Cluster;
use plan::{Existing, Found, plan};

use daemon_alarms::Rules;
use proxy_uve::Plan;

use super::claim::Claims;
use super::client::Connection;
use super::configuration::Configuration;
use super::members::Members;
use super::names::Names;
use super::topic_id::TopicId;
use super::topology::usable;

pub(crate) use self::error::Unreachable;
pub use self::plan::{Needs, Note, Purpose, Step, Verdict};

/// The time between two polls for a new topic.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How many state topics are searched for a configuration.
const MAX_STATES: usize = 32;

/// The most polls for a new topic.
const MAX_POLLS: u32 = 200;

/// The numbers of partitions of one stream's topics.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamTopics {
    /// The stream, `Struct-attribute`.
    pub stream: String,
    /// Partitions of the input topic; 0 while it does not exist.
    pub inputs: u16,
    /// Partitions of the state topic; 0 while it does not exist.
    pub states: u16,
    /// The id of the input topic, if it is known.
    pub(crate) input_id: Option<TopicId>,
    /// The same of the state topic.
    pub(crate) state_id: Option<TopicId>,
}

impl StreamTopics {
    /// Whether a part of the input topic is read: it exists, and has at least as many partitions as the state topic.
    pub(crate) fn is_read(&self) -> bool {
        usable(self.inputs, self.states) > 0
    }

    /// Describes the problem and its fix if the number of input partitions is not a multiple of that of the state
    /// topic.
    pub fn problem(&self, names: &Names) -> Option<String> {
        let is_even = self.states == 0 || self.inputs.is_multiple_of(self.states);
        (!is_even).then(|| format!("topic {}: {}", names.input(&self.stream), plan::uneven(self.inputs, self.states)))
    }
}

/// Reads and creates the topics of a group. It keeps one connection, and all its methods block.
pub struct Topics {
    cluster: Cluster,
    connection: Connection,
    names: Names,
    streams: Vec<String>,
    needs: Needs,
    /// The configuration that is compared with that of the group.
    configuration: Option<Configuration>,
}

impl Topics {
    /// Makes the client, which connects with the first request.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a property.
    pub fn new(connection: &Connection, names: &Names, streams: &[String]) -> anyhow::Result<Self> {
        let (connection, names) = (connection.clone(), names.clone());
        Ok(Self {
            cluster: Cluster::new(&connection)?,
            connection,
            names,
            streams: streams.to_vec(),
            needs: Needs::default(),
            configuration: None,
        })
    }

    /// Sets what the daemon needs of the input topics, with which their settings are compared.
    #[must_use]
    pub fn with_needs(self, needs: Needs) -> Self {
        Self { needs, ..self }
    }

    /// Sets what the daemon computes and the version of its configuration, which are compared with those of the group.
    #[must_use]
    pub fn with_configuration<'p>(self, version: u64, plans: impl Iterator<Item = &'p Plan>, alarms: &Rules) -> Self {
        let configuration = Some(Configuration::new(version, plans, alarms, &self.names));
        Self { configuration, ..self }
    }

    /// Requests the number of partitions of each stream's topics: one small request per topic.
    ///
    /// # Errors
    ///
    /// When no broker responds, or the user lacks a right.
    pub fn poll(&self) -> anyhow::Result<Vec<StreamTopics>> {
        let topics = self.streams.iter().map(|stream| {
            let input = self.names.input(stream);
            let inputs = self.cluster.partitions(&input)?.unwrap_or(0);
            let input_id = self.cluster.id(&input).filter(|_| inputs > 0);
            let state = self.names.state(stream);
            let states = self.cluster.partitions(&state)?.unwrap_or(0);
            let state_id = self.cluster.id(&state).filter(|_| states > 0);
            Ok(StreamTopics { stream: stream.clone(), inputs, states, input_id, state_id })
        });
        topics.collect()
    }

    /// Requests which of the topics that all streams share, such as results and dead letters, do not exist.
    ///
    /// # Errors
    ///
    /// When no broker responds, or the user lacks a right.
    pub(crate) fn missing_shared(&self) -> anyhow::Result<Vec<String>> {
        let missing = self.shared().filter_map(|topic| match self.cluster.partitions(&topic) {
            Ok(found) => found.is_none().then_some(Ok(topic)),
            Err(error) => Some(Err(error)),
        });
        missing.collect()
    }

    /// The topics that all streams share.
    fn shared(&self) -> impl Iterator<Item = String> {
        let elections = self.needs.has_elections.then(|| self.names.elections());
        [self.names.results(), self.names.dead_letters()].into_iter().chain(elections)
    }

    /// Requests the names of state topics that exist, also of streams that this daemon does not have; those of its own
    /// first, and not more than [`MAX_STATES`].
    ///
    /// # Errors
    ///
    /// When no broker responds.
    pub(crate) fn existing_states(&self) -> anyhow::Result<Vec<String>> {
        let (prefix, own) = (self.names.state(""), self.streams.iter().map(|stream| self.names.state(stream)));
        let own: Vec<_> = own.collect();
        let mut found = self.cluster.names()?;
        found.retain(|topic| topic.starts_with(&prefix));
        found.sort_by_key(|topic| !own.contains(topic));
        found.truncate(MAX_STATES);
        Ok(found)
    }

    /// Creates the missing topics of the daemon: the state topics of streams whose input topic exists, results, dead
    /// letters. Other daemons may create them at the same time. Returns the numbers of partitions, and the comparison
    /// of the input topics. An input topic with a wrong number of partitions is not an error here, as it stops one
    /// stream only; [`StreamTopics::problem`] describes it.
    ///
    /// # Errors
    ///
    /// When no broker responds, when the user lacks a right, and when a topic of the daemon would lose records.
    pub(crate) fn ensure_own(&self, replication: u16) -> anyhow::Result<(Vec<StreamTopics>, Vec<Step>)> {
        let found = self.found()?;
        // The state topic gets the number of partitions of the input topic, which must exist for that.
        let streams: Vec<_> =
            self.streams.iter().filter(|stream| found.contains_key(&self.names.input(stream))).cloned().collect();
        let all = plan(&self.names, &streams, &self.needs, 0, &found);
        let (inputs, ours): (Vec<_>, Vec<_>) = all.into_iter().partition(|step| step.purpose == Purpose::Input);
        for step in &ours {
            if let Verdict::Problem(problem) = &step.verdict {
                anyhow::bail!("topic {}: {problem}", step.topic);
            }
        }
        for topic in self.create(&ours, replication)? {
            tracing::info!(topic, "Created a topic.");
        }
        Ok((self.poll()?, inputs))
    }

    /// Compares all topics with those that the group needs; `partitions` is the number for missing input topics.
    ///
    /// # Errors
    ///
    /// When no broker responds, or the user lacks a right.
    pub fn plan(&self, partitions: u16) -> anyhow::Result<Vec<Step>> {
        let mut steps = plan(&self.names, &self.streams, &self.needs, partitions, &self.found()?);
        let claims = Claims::new(&self.connection, &self.names);
        let states = steps.iter_mut().filter(|step| step.purpose == Purpose::State && step.found.is_some());
        for step in states.filter(|step| matches!(step.verdict, Verdict::Right(_))) {
            let registered = claims.registered(&step.topic)?;
            if let Some(problem) = registered.problem(&self.names.group) {
                step.verdict = Verdict::Problem(problem);
            } else if let Some((own, current)) = self.configuration.as_ref().zip(registered.configuration()) {
                compare(step, own, current);
            }
        }
        self.check_keys(&mut steps)?;
        Ok(merged(steps))
    }

    /// Checks the keys of the newest records of the input topics.
    fn check_keys(&self, steps: &mut [Step]) -> anyhow::Result<()> {
        for index in 0..steps.len() {
            let state = steps.get(index + 1).and_then(|state| state.found);
            let state_topic = steps.get(index + 1).map(|state| state.topic.clone());
            let step = &mut steps[index];
            let Some(inputs) = step.found.filter(|_| step.purpose == Purpose::Input) else { continue };
            // Several streams may read the topic, each with objects of its own.
            let is_of = |stream: &String| state_topic.as_ref() == Some(&self.names.state(stream));
            let foreign = self.names.all_foreign().iter().find(|(stream, _)| is_of(stream));
            let foreign = foreign.map(|(_, foreign)| Arc::clone(foreign));
            let shards = state.unwrap_or(inputs);
            let problem =
                keys::problem(&self.connection, &self.names, (&step.topic, foreign.as_deref()), inputs, shards);
            let problem = problem.with_context(|| format!("read the newest records of topic {}", step.topic))?;
            if let (Some(problem), Verdict::Right(_)) = (problem, &step.verdict) {
                step.verdict = Verdict::Problem(problem);
            }
        }
        Ok(())
    }

    /// Moves the state topics that other groups have to this group; returns each with the groups that had it.
    ///
    /// # Errors
    ///
    /// When such a group has members, when no broker responds, or the user lacks a right.
    pub fn take_over(&self) -> anyhow::Result<Vec<(String, Vec<String>)>> {
        let claims = Claims::new(&self.connection, &self.names);
        let members = Members::new(&self.connection, &self.names)?;
        let mut taken = Vec::new();
        for topic in self.streams.iter().map(|stream| self.names.state(stream)) {
            if self.cluster.partitions(&topic)?.is_some() {
                let others = claims.take_over(&topic, &members)?;
                if !others.is_empty() {
                    taken.push((topic, others));
                }
            }
        }
        Ok(taken)
    }

    fn found(&self) -> anyhow::Result<Found> {
        let inputs = self.streams.iter().map(|stream| (self.names.input(stream), false));
        let states = self.streams.iter().map(|stream| (self.names.state(stream), true));
        let others = self.shared().map(|topic| (topic, true));
        let mut found = Found::new();
        let admin = self.cluster.admin()?;
        for (topic, is_ours) in inputs.chain(states).chain(others) {
            if let Some(partitions) = self.cluster.partitions(&topic)? {
                // Only what the daemon owns must be right; a user may lack the right to read the others' settings.
                let settings = admin.settings(&topic);
                let settings = if is_ours { Some(settings?) } else { settings.ok() };
                found.insert(topic, Existing { partitions, settings });
            }
        }
        Ok(found)
    }

    /// Creates the missing topics of `steps`; returns those that this call has created, not those of another daemon.
    ///
    /// # Errors
    ///
    /// When no broker responds, or when a broker refuses to create a topic.
    pub fn create(&self, steps: &[Step], replication: u16) -> anyhow::Result<Vec<String>> {
        let admin = self.cluster.admin()?;
        let mut created = Vec::new();
        for Step { topic, purpose, wanted, .. } in steps.iter().filter(|step| step.verdict == Verdict::Missing) {
            if admin.create(topic, *purpose, wanted.unwrap_or(1), replication)? {
                created.push(topic.clone());
            }
            self.wait_for(topic)?;
        }
        Ok(created)
    }

    /// Waits until the brokers' metadata contains a new topic: other brokers learn of it later than the controller.
    fn wait_for(&self, topic: &str) -> anyhow::Result<()> {
        for _ in 0..MAX_POLLS {
            if self.cluster.partitions(topic)?.is_some() {
                return Ok(());
            }
            thread::sleep(POLL_INTERVAL);
        }
        anyhow::bail!(
            "topic {topic} was created, but the metadata of the brokers does not contain it; check that all brokers run"
        );
    }
}

/// The steps with each topic once, with all that was found about it: a topic may be the input of several streams.
fn merged(steps: Vec<Step>) -> Vec<Step> {
    let mut merged = Vec::<Step>::with_capacity(steps.len());
    for step in steps {
        let Some(known) = merged.iter_mut().find(|known| known.topic == step.topic) else {
            merged.push(step);
            continue;
        };
        if matches!(known.verdict, Verdict::Right(_)) {
            (known.wanted, known.verdict) = (step.wanted, step.verdict);
        }
        for note in step.notes {
            if !known.notes.contains(&note) {
                known.notes.push(note);
            }
        }
    }
    merged
}

/// Compares the configuration of this daemon with that of the group in a state topic.
fn compare(step: &mut Step, own: &Configuration, current: &Configuration) {
    if !own.may_continue(current) {
        step.verdict = Verdict::Problem(format!("a daemon with this configuration waits: {}", own.waits_for(current)));
    } else if !own.is_same(current) {
        let difference = own.difference(current);
        let text = format!("this configuration, {own}, will replace that of the group, {current}: {difference}");
        step.notes.push(Note { text, is_warning: false });
    }
}
