//! Polls the topics and admits the workers of this process to the group.

use std::collections::BTreeSet;
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
use crate::engine::Shared;
use crate::group::is_taken;
use crate::members::Members;
use crate::settings::KafkaSettings;
use crate::topics::{StreamTopics, Topics};
use crate::topology::{Shape, Topology};

/// How long to wait before a failed poll of the topics is repeated.
const RETRY: Duration = Duration::from_secs(1);

/// How often a thread that waits looks whether this process has to end.
const FAILURE_CHECK: Duration = Duration::from_millis(250);

/// Polls the topics: creates those of the daemon, claims the state topics for the group, publishes the numbers of
/// partitions to the workers, and admits the workers to the group.
pub(crate) struct TopicWatch {
    topics: Topics,
    topology: Arc<Topology>,
    own: KafkaSettings,
    admission: Arc<Admission>,
    claims: Claims,
    members: Members,
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
    /// The streams whose state topic the group has claimed.
    claimed: BTreeSet<String>,
    /// Whether the workers are admitted.
    is_admitted: bool,
    /// Since when another member has had the name of this daemon.
    twin_since: Option<Duration>,
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
        shared: &Shared,
        admission: Arc<Admission>,
    ) -> Result<Self, KafkaError> {
        Ok(Self {
            topics,
            topology,
            own: own.clone(),
            admission,
            claims: Claims::new(&own.connection, &own.names),
            members: Members::new(&own.connection, &own.names)?,
            clock: Arc::clone(&shared.clock),
            control: Arc::clone(&shared.control),
            claimed: BTreeSet::new(),
            is_admitted: false,
            twin_since: None,
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
            let pause = match self.poll(&mut complete) {
                Ok(()) => {
                    if std::mem::take(&mut failures) > 0 {
                        info!("The topics can be read again.");
                    }
                    match (complete, self.is_admitted) {
                        (true, true) => self.own.refresh_interval,
                        (true, false) => RETRY.min(self.own.refresh_interval),
                        (false, _) => Duration::ZERO,
                    }
                }
                Err(error) if is_fatal(&error) => return Err(error),
                Err(error) => {
                    let error = format!("{error:#}");
                    match failures {
                        0 => warn!(%error, "The topics cannot be read; retrying until they can."),
                        _ => debug!(%error, failures, "The topics still cannot be read."),
                    }
                    failures = failures.saturating_add(1);
                    RETRY
                }
            };
            self.rest(pause, stop)?;
        }
        Ok(())
    }

    fn poll(&mut self, complete: &mut bool) -> anyhow::Result<()> {
        let streams = if *complete { self.topics.poll() } else { self.topics.ensure_own(self.own.replication) }?;
        // The state topic of a stream is created once its input topic exists.
        *complete = streams.iter().all(|stream| stream.inputs == 0 || stream.states > 0);
        for stream in streams.iter().filter(|stream| stream.states > 0) {
            if !self.claimed.contains(&stream.stream) {
                self.claims.take(&self.own.names.state(&stream.stream))?;
                self.claimed.insert(stream.stream.clone());
            }
        }
        self.publish(&streams);
        if !self.is_admitted {
            self.is_admitted = self.admit()?;
        }
        Ok(())
    }

    /// Waits, and fails as soon as this process has to end.
    fn rest(&self, pause: Duration, stop: &Stop) -> anyhow::Result<()> {
        let mut left = pause;
        loop {
            if let Some(reason) = self.admission.failure() {
                return Err(Fatal(reason).into());
            }
            let step = left.min(FAILURE_CHECK);
            if step.is_zero() || !stop.rest(step) {
                return Ok(());
            }
            left -= step;
        }
    }

    /// Admits the workers to the group unless another process has the name of this daemon; returns whether it did. A
    /// process that was killed is a member until its session ends, so another one is waited for that long.
    fn admit(&mut self) -> anyhow::Result<bool> {
        let names = &self.own.names;
        let twin = self.members.of(&names.group)?.into_iter().find(|member| member.is_twin(names));
        let Some(twin) = twin else {
            self.admission.open(&self.control.stop);
            return Ok(true);
        };
        let now = self.clock.monotonic();
        if self.twin_since.is_none() {
            info!(
                member = %twin,
                "A member of the group has the name of this daemon; waiting until it leaves or its session ends."
            );
        }
        let since = *self.twin_since.get_or_insert(now);
        if now.saturating_sub(since) > self.own.connection.session_timeout() * 2 {
            return Err(Fatal(is_taken(names, &twin)).into());
        }
        Ok(false)
    }

    fn publish(&mut self, streams: &[StreamTopics]) {
        if self.topology.set(streams.iter().map(Shape::from).collect()) {
            for stream in streams {
                info!(stream = %stream.stream, partitions = stream.inputs, states = stream.states, "Topic found.");
            }
        }
        let problems: Vec<String> = streams.iter().filter_map(|stream| stream.problem(&self.own.names)).collect();
        for problem in problems.iter().filter(|problem| !self.shown.contains(problem)) {
            warn!("{problem}");
        }
        self.shown = problems;
    }
}

fn is_fatal(error: &anyhow::Error) -> bool {
    let is_refused = matches!(error.downcast_ref(), Some(ClaimError::Refused { .. }));
    is_refused || error.downcast_ref::<Fatal>().is_some()
}

impl From<&StreamTopics> for Shape {
    fn from(stream: &StreamTopics) -> Self {
        Self { inputs: stream.inputs, shards: stream.states }
    }
}
