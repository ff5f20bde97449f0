//! Polls the topics and admits the workers of this process to the group.

mod agreement;
mod deleted;
mod notes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::failpoint;
use daemon_base::stop::Stop;
use daemon_partition::Control;
use rdkafka::error::KafkaError;
use tracing::{debug, info, warn};

use crate::admission::Admission;
use crate::claim::{ClaimError, Claims};
use crate::configuration::Configuration;
use crate::engine::Shared;
use crate::health::{Health, Lack};
use crate::members::{Members, Waiting};
use crate::settings::KafkaSettings;
use crate::topic_id::TopicId;
use crate::topics::{StreamTopics, Topics};
use crate::topology::{Shape, Topology};

/// How long to wait before a failed poll of the topics is repeated.
const RETRY: Duration = Duration::from_secs(1);

/// The shortest time between two polls of the topics, however often workers request one.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// How often a thread that waits looks whether this process has to end.
const FAILURE_CHECK: Duration = Duration::from_millis(250);

/// Polls the topics: creates those of the daemon, claims the state topics for the group, publishes the numbers of
/// partitions to the workers, and admits the workers to the group.
pub(crate) struct TopicWatch {
    topics: Topics,
    topology: Arc<Topology>,
    own: KafkaSettings,
    admission: Arc<Admission>,
    health: Arc<Health>,
    configuration: Configuration,
    claims: Claims,
    members: Members,
    waiting: Waiting,
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
    /// The streams whose state topic the group has claimed, for the configuration of this daemon, with the id that the
    /// topic had then.
    settled: BTreeMap<String, Option<TopicId>>,
    /// Whether the workers are admitted.
    is_admitted: bool,
    /// Since when another member has had the name of this daemon.
    duplicate_since: Option<Duration>,
    /// When the members of the group were listed last.
    members_seen: Duration,
    /// The remarks on input topics that are logged already.
    noted: BTreeSet<String>,
    /// State topics of other streams that cannot be read.
    unreadable: BTreeSet<String>,
    /// The configuration of the last member that this daemon gave way to.
    seen_other: Option<Configuration>,
    /// The daemons that waited at the last poll, which are logged already.
    seen_waiting: Vec<String>,
    /// When the log had a warning that a poll takes long.
    slow_warned: Option<Duration>,
    /// The shared topics that were missing at the last poll, which are logged already.
    deleted: Vec<String>,
    /// The problems of the last poll, which are logged already.
    shown: Vec<String>,
}

/// An error after which no retry can succeed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Fatal(String);

impl TopicWatch {
    /// Makes the watch of `topics`.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a property.
    pub(crate) fn new(
        topics: Topics,
        topology: Arc<Topology>,
        own: &KafkaSettings,
        configuration: Configuration,
        shared: &Shared,
        (admission, health): (Arc<Admission>, Arc<Health>),
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            topics,
            topology,
            own: own.clone(),
            admission,
            health,
            claims: Claims::new(&own.connection, &own.names),
            members: Members::new(&own.connection, &own.names)?,
            waiting: Waiting::new(&own.connection, &own.names, &configuration),
            configuration,
            clock: Arc::clone(&shared.clock),
            control: Arc::clone(&shared.control),
            settled: BTreeMap::new(),
            is_admitted: false,
            duplicate_since: None,
            members_seen: Duration::ZERO,
            noted: BTreeSet::new(),
            unreadable: BTreeSet::new(),
            seen_other: None,
            seen_waiting: Vec::new(),
            slow_warned: None,
            deleted: Vec::new(),
            shown: Vec::new(),
        })
    }

    /// Runs until `stop` is set.
    ///
    /// # Errors
    ///
    /// When this process may not work, because another group has a state topic or another process has its name.
    pub(crate) fn run(mut self, stop: &Stop) -> anyhow::Result<()> {
        let (mut complete, mut failures) = (false, 0_u32);
        while !stop.is_set() {
            failpoint::point("topics.run");
            self.health.poll_began();
            let polled = self.poll(&mut complete);
            let on_request = polled.is_ok();
            let pause = match polled {
                Ok(()) => {
                    self.health.poll_succeeded();
                    if std::mem::take(&mut failures) > 0 {
                        info!("The topics can be read again.");
                    }
                    match (complete, self.is_admitted) {
                        (true, true) => self.own.refresh_interval,
                        (true, false) if self.admission.waiting().is_some() => RETRY.max(self.own.refresh_interval),
                        (true, false) => RETRY,
                        (false, _) => Duration::ZERO,
                    }
                }
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    self.health.poll_failed(&error);
                    let error = format!("{error:#}");
                    match failures {
                        0 => warn!(%error, "The topics cannot be read; retrying until they can."),
                        _ => debug!(%error, failures, "The topics still cannot be read."),
                    }
                    failures = failures.saturating_add(1);
                    RETRY
                }
            };
            self.rest(pause, on_request, stop)?;
        }
        Ok(())
    }

    fn poll(&mut self, complete: &mut bool) -> anyhow::Result<()> {
        let (began, was_admitted) = (self.clock.monotonic(), self.is_admitted);
        let was_complete = *complete;
        let streams = if was_complete {
            self.topics.poll()?
        } else {
            let (streams, inputs) = self.topics.ensure_own(self.own.replication)?;
            self.show_notes(&inputs);
            streams
        };
        // The state topic of a stream is created once its input topic exists.
        *complete = streams.iter().all(|stream| stream.inputs == 0 || stream.states > 0);
        self.forget_deleted(&streams);
        let is_agreed = (self.is_admitted || self.agrees_with_members()?) && self.settle(&streams)?;
        self.publish(&streams, began);
        if self.is_admitted {
            if began.saturating_sub(self.members_seen) >= self.own.refresh_interval {
                self.members_seen = began;
                self.watch_members()?;
            }
        } else if is_agreed {
            self.is_admitted = self.admit()?;
        }
        if self.admission.waiting().is_some() {
            self.waiting.join()?;
        }
        if was_complete {
            self.make_shared_again()?;
        }
        if was_admitted {
            self.warn_if_slow(began);
        }
        Ok(())
    }

    /// Waits, with `on_request` only until a worker requests a poll, or until a request of any client failed, and fails
    /// as soon as this process has to end.
    fn rest(&self, pause: Duration, on_request: bool, stop: &Stop) -> anyhow::Result<()> {
        let mut left = pause;
        if on_request {
            stop.rest(left.min(MIN_PAUSE));
            left = left.saturating_sub(MIN_PAUSE);
        }
        let (mut is_requested, mut rested) = (false, Duration::ZERO);
        loop {
            if let Some(reason) = self.admission.failure() {
                return Err(Fatal(reason).into());
            }
            if left.is_zero() || is_requested || stop.is_set() {
                return Ok(());
            }
            if rested >= RETRY && self.topology.take_doubt() {
                return Ok(());
            }
            let step = left.min(FAILURE_CHECK);
            rested += step;
            if on_request {
                is_requested = self.topology.wait_for_request(step, stop);
            } else {
                stop.rest(step);
            }
            left -= step;
        }
    }

    fn publish(&mut self, streams: &[StreamTopics], began: Duration) {
        if self.topology.set(streams.iter().map(Shape::from).collect(), began) {
            for stream in streams {
                info!(stream = %stream.stream, partitions = stream.inputs, states = stream.states, "Topic found.");
            }
        }
        let problems: Vec<String> = streams.iter().filter_map(|stream| stream.problem(&self.own.names)).collect();
        for problem in problems.iter().filter(|problem| !self.shown.contains(problem)) {
            warn!("{problem}");
        }
        self.shown = problems;
        // The topology keeps the shape of a stream without a state topic, and so whether its input existed before.
        let shapes = self.topology.shapes().into_iter().zip(streams).filter(|(_, it)| !it.is_read());
        let unread = shapes.map(|(shape, it)| {
            let lack = if it.inputs == 0 { Lack::Topic } else { Lack::Partitions };
            (self.own.names.input(&it.stream), shape.shards > 0, lack)
        });
        self.health.set_unread(unread, streams.iter().any(StreamTopics::is_read));
    }
}

fn is_fatal(error: &anyhow::Error) -> bool {
    let is_refused = matches!(error.downcast_ref(), Some(ClaimError::Refused { .. }));
    is_refused || error.downcast_ref::<Fatal>().is_some()
}

impl From<&StreamTopics> for Shape {
    fn from(stream: &StreamTopics) -> Self {
        Self { inputs: stream.inputs, shards: stream.states, input_id: stream.input_id }
    }
}
