//! Whether the cluster serves this daemon, in words, for `GET /readyz`: since when no poll of the topics has succeeded,
//! which input topics are missing, which partitions fail, and whether another process has the name of this daemon.
//!
//! The clients connect again by themselves, and a broker may answer without a topic that it has. So a daemon that works
//! is unready only once such a state has lasted for `kafka.session_timeout`: from then on the group would also give the
//! partitions of a silent member away. What a start waits for is shown at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_partition::MemberStatus;
use prometheus_client::metrics::gauge::Gauge;
use tracing::warn;

use crate::partition_failures::PartitionFailures;
use crate::settings::KafkaSettings;
use crate::topics::Unreachable;

/// Why nothing of an input topic can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lack {
    /// It has fewer partitions than there are states.
    Partitions,
    /// It does not exist.
    Topic,
}

/// A poll of the topics that takes longer than this has not failed, but a start that waits for it is reported.
const SLOW: Duration = Duration::from_secs(1);

/// How many missing topics a reason names.
const MAX_NAMED: usize = 3;

/// The state of the cluster, as the thread that polls the topics has found it.
pub(crate) struct Health {
    clock: Arc<dyn Clock>,
    brokers: String,
    /// How long a state must last until a daemon that works is unready.
    patience: Duration,
    gauges: HealthGauges,
    /// Those of each worker.
    failures: Mutex<Vec<Arc<PartitionFailures>>>,
    state: Mutex<State>,
}

/// What the metrics show of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthGauges {
    /// Whether a process has the name of this daemon.
    pub waits_for_name: Gauge,
    /// The number of input topics that existed before and do not exist.
    pub missing_inputs: Gauge,
}

#[derive(Debug, Default)]
struct State {
    /// When the first poll began since which none has succeeded; it may be under way.
    failing_since: Option<Duration>,
    error: Option<PollError>,
    unread: BTreeMap<String, Unread>,
    /// Whether there is an input topic.
    has_input: bool,
    /// The process that has the name of this daemon.
    namesake: Option<String>,
    /// The daemons of the group.
    members: Vec<MemberStatus>,
}

/// Why the last poll failed.
#[derive(Debug)]
enum PollError {
    Other(String),
    Unreachable(String),
}

/// An input topic of which nothing can be read.
#[derive(Debug)]
struct Unread {
    since: Duration,
    lack: Lack,
    /// Whether it existed before.
    was_there: bool,
}

impl Health {
    pub(crate) fn new(own: &KafkaSettings, clock: &Arc<dyn Clock>, gauges: HealthGauges) -> Self {
        let (brokers, patience) = (own.connection.brokers(), own.connection.session_timeout());
        Self {
            clock: Arc::clone(clock),
            brokers,
            patience,
            gauges,
            failures: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Where a further worker reports partitions that fail.
    pub(crate) fn failures(&self) -> Arc<PartitionFailures> {
        let failures = Arc::default();
        self.of_workers().push(Arc::clone(&failures));
        failures
    }

    fn of_workers(&self) -> MutexGuard<'_, Vec<Arc<PartitionFailures>>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the partition that fails for the longest does so, why, and how many there are.
    fn longest_failure(&self) -> Option<(Duration, String, usize)> {
        let failures: Vec<_> = self.of_workers().iter().filter_map(|it| it.longest()).collect();
        let count = failures.iter().map(|(.., count)| count).sum();
        let (since, reason, _) = failures.into_iter().min_by_key(|(since, ..)| *since)?;
        Some((since, reason, count))
    }

    /// Sets the daemons of the group.
    pub(crate) fn set_members(&self, members: Vec<MemberStatus>) {
        self.state().members = members;
    }

    /// The daemons of the group, as they were found last.
    pub(crate) fn members(&self) -> Vec<MemberStatus> {
        self.state().members.clone()
    }

    /// A poll of the topics begins.
    pub(crate) fn poll_began(&self) {
        let now = self.clock.monotonic();
        self.state().failing_since.get_or_insert(now);
    }

    /// A poll of the topics has succeeded.
    pub(crate) fn poll_succeeded(&self) {
        let mut state = self.state();
        (state.failing_since, state.error) = (None, None);
    }

    /// A poll of the topics has failed.
    pub(crate) fn poll_failed(&self, error: &anyhow::Error) {
        self.state().error = Some(match error.downcast_ref::<Unreachable>() {
            Some(unreachable) => PollError::Unreachable(unreachable.reason.clone()),
            None => PollError::Other(format!("{error:#}")),
        });
    }

    /// Sets the input topics of which nothing can be read, each with whether it was read before, and whether others are
    /// read.
    pub(crate) fn set_unread(&self, topics: impl Iterator<Item = (String, bool, Lack)>, has_input: bool) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let unread = topics.map(|(topic, was_there, lack)| {
            let since = state.unread.get(&topic).map_or(now, |unread| unread.since);
            (topic, Unread { since, was_there, lack })
        });
        let unread: BTreeMap<_, _> = unread.collect();
        self.gauges.missing_inputs.set(unread.values().filter(|it| it.was_there).count().cast_signed() as i64);
        let is_new = |(topic, it): &(&String, &Unread)| it.was_there && !state.unread.contains_key(*topic);
        // What lacks partitions is logged with each change of their number.
        for topic in unread.iter().filter(is_new).filter(|(_, it)| it.lack == Lack::Topic) {
            warn!(topic = topic.0, "An input topic does not exist any more; its stream stops.");
        }
        state.unread = unread;
        state.has_input = has_input;
    }

    /// Sets the process that has the name of this daemon, which it waits for.
    pub(crate) fn set_namesake(&self, namesake: Option<String>) {
        self.gauges.waits_for_name.set(i64::from(namesake.is_some()));
        self.state().namesake = namesake;
    }

    /// Why a daemon that works is unready. Where other input topics are left it serves these: all daemons of the group
    /// miss the same topic, so if they were unready for it no load balancer would have any.
    pub(crate) fn outage(&self) -> Option<String> {
        let (now, state) = (self.clock.monotonic(), self.state());
        let lasts = |since: Duration| now.saturating_sub(since) >= self.patience;
        if let Some(since) = state.failing_since.filter(|since| lasts(*since)) {
            return Some(self.failing(now.saturating_sub(since), state.error.as_ref()));
        }
        if let Some((since, reason, count)) = self.longest_failure().filter(|(since, ..)| lasts(*since)) {
            let seconds = now.saturating_sub(since).as_secs();
            let plural = if count == 1 { "" } else { "s" };
            return Some(format!("kafka: no progress in {count} partition{plural} for {seconds} s: {reason}"));
        }
        let unread = state.unread.iter().filter(|(_, it)| !state.has_input && it.was_there && lasts(it.since));
        let (first, longest) = unread.clone().max_by_key(|(_, it)| now.saturating_sub(it.since))?;
        Some(format!(
            "kafka: the input topic {first} has been {} for {} s{}; create it again with the number of partitions of its \
             state topic, or take its stream out of aggregation.uve_proxy_list",
            match longest.lack {
                Lack::Partitions => "without the partitions that its states need",
                Lack::Topic => "missing",
            },
            now.saturating_sub(longest.since).as_secs(),
            others(unread.map(|(topic, _)| topic).filter(|topic| *topic != first)),
        ))
    }

    /// What a start waits for, as far as it is known.
    pub(crate) fn waits_for(&self) -> Option<String> {
        let (now, state) = (self.clock.monotonic(), self.state());
        if let Some(since) = state.failing_since {
            let lasts = now.saturating_sub(since);
            if lasts >= SLOW || state.error.is_some() {
                return Some(self.failing(lasts, state.error.as_ref()));
            }
        }
        if let Some(namesake) = &state.namesake {
            return Some(format!(
                "kafka: {namesake} is a member of the group with the name of this daemon; it starts once that member has \
                 left or its session has ended. Give each daemon a kafka.instance of its own"
            ));
        }
        // A topic that has never been there is none that a start with others waits for.
        let missing =
            state.unread.iter().filter(|(_, it)| it.lack == Lack::Topic && (it.was_there || !state.has_input));
        let mut missing = missing.map(|(topic, _)| topic);
        let first = missing.next()?;
        Some(format!(
            "kafka: the input topic {first} does not exist{}; create it, or run `derived-statsd topics --create`",
            others(missing)
        ))
    }

    fn failing(&self, lasts: Duration, error: Option<&PollError>) -> String {
        let (brokers, seconds) = (&self.brokers, lasts.as_secs());
        match error {
            None => format!("kafka: no broker reached since {seconds} s ({brokers}): it has not answered yet"),
            Some(PollError::Unreachable(reason)) => {
                format!("kafka: no broker reached since {seconds} s ({brokers}): {reason}")
            }
            Some(PollError::Other(reason)) => format!("kafka: the topics cannot be read since {seconds} s: {reason}"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names of further topics, in brackets.
fn others<'t>(topics: impl Iterator<Item = &'t String> + Clone) -> String {
    let count = topics.clone().count();
    let mut named: Vec<_> = topics.take(MAX_NAMED - 1).cloned().collect();
    if count > named.len() {
        named.push(format!("{} more", count - named.len()));
    }
    if named.is_empty() { String::new() } else { format!(" (also {})", named.join(", ")) }
}

#[cfg(test)]
mod tests {
    use daemon_base::clock::ManualClock;
    use daemon_log::PartitionId;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn health() -> (Arc<ManualClock>, Health) {
        let clock = Arc::new(ManualClock::at(0));
        let (brokers, patience) = ("a:1,b:2".to_owned(), 10 * SECOND);
        let (gauges, failures, state) = (HealthGauges::default(), Mutex::default(), Mutex::default());
        let of_health = Arc::clone(&clock) as Arc<dyn Clock>;
        (clock, Health { clock: of_health, brokers, patience, gauges, failures, state })
    }

    fn missing(health: &Health, topics: &[(&str, bool)]) {
        missing_beside(health, topics, false);
    }

    fn missing_beside(health: &Health, topics: &[(&str, bool)], has_input: bool) {
        let topics = topics.iter().map(|(topic, was_there)| ((*topic).to_owned(), *was_there, Lack::Topic));
        health.set_unread(topics, has_input);
    }

    #[test]
    fn polls_that_fail_for_a_while_are_an_outage_until_one_succeeds() {
        let (clock, health) = health();
        for round in 0..3 {
            health.poll_began();
            clock.advance(9 * SECOND);
            health.poll_failed(&Unreachable::new("cannot describe topic t", "nobody").into());
            assert_eq!(health.outage(), None, "{round}: one lost connection");
            health.poll_began();
            health.poll_succeeded();
        }
        health.poll_began();
        clock.advance(10 * SECOND);
        let frozen = "kafka: no broker reached since 10 s (a:1,b:2): it has not answered yet";
        assert_eq!(health.outage().as_deref(), Some(frozen));
        health.poll_failed(&Unreachable::new("cannot describe topic t", "nobody").into());
        health.poll_began();
        clock.advance(32 * SECOND);
        assert_eq!(health.outage().as_deref(), Some("kafka: no broker reached since 42 s (a:1,b:2): nobody"));
        health.poll_failed(&anyhow::anyhow!("no right"));
        assert_eq!(health.outage().as_deref(), Some("kafka: the topics cannot be read since 42 s: no right"));
        health.poll_succeeded();
        assert_eq!((health.outage(), health.waits_for()), (None, None));
    }

    #[test]
    fn a_partition_that_fails_for_a_while_is_an_outage() {
        let (clock, health) = health();
        let id = PartitionId::new(0, 0);
        let (failures, _others) = (health.failures(), health.failures());
        failures.failed(id, clock.monotonic(), "no right");
        clock.advance(9 * SECOND);
        failures.failed(id, clock.monotonic(), "grant Write");
        assert_eq!(health.outage(), None, "a transaction that fails is tried again");
        clock.advance(SECOND);
        assert_eq!(health.outage().as_deref(), Some("kafka: no progress in 1 partition for 10 s: grant Write"));
        failures.ended(id);
        assert_eq!(health.outage(), None);
    }

    #[test]
    fn an_input_topic_that_was_deleted_is_an_outage_and_one_that_never_was_is_none() {
        let (clock, health) = health();
        missing(&health, &[("never", false), ("x", true)]);
        clock.advance(5 * SECOND);
        missing(&health, &[("a", true), ("b", true), ("c", true), ("never", false), ("x", true)]);
        assert_eq!(health.outage(), None);
        clock.advance(5 * SECOND);
        let reason = health.outage().unwrap();
        assert!(reason.starts_with("kafka: the input topic x has been missing for 10 s; create it again"), "{reason}");
        clock.advance(5 * SECOND);
        let reason = health.outage().unwrap();
        assert!(reason.contains("topic x has been missing for 15 s (also a, b, 1 more);"), "{reason}");
        missing_beside(&health, &[("never", false), ("x", true)], true);
        assert_eq!((health.outage(), health.gauges.missing_inputs.get()), (None, 1), "others are left");
        missing(&health, &[("never", false)]);
        assert_eq!(health.outage(), None);
        let waits = health.waits_for().unwrap();
        assert!(waits.starts_with("kafka: the input topic never does not exist; create it"), "{waits}");
    }

    #[test]
    fn an_input_topic_with_fewer_partitions_than_states_is_an_outage_if_no_other_is_read() {
        let (clock, health) = health();
        let unread = || [("t".to_owned(), true, Lack::Partitions)].into_iter();
        health.set_unread(unread(), false);
        clock.advance(10 * SECOND);
        health.set_unread(unread(), false);
        let reason = health.outage().unwrap();
        assert!(reason.contains("topic t has been without the partitions that its states need for 10 s;"), "{reason}");
        assert_eq!((health.waits_for(), health.gauges.missing_inputs.get()), (None, 1), "it exists");
        health.set_unread(unread(), true);
        assert_eq!(health.outage(), None, "others are left");
    }

    #[test]
    fn a_start_says_at_once_what_it_waits_for() {
        let (clock, health) = health();
        health.poll_began();
        assert_eq!(health.waits_for(), None, "nothing is known yet");
        clock.advance(SECOND);
        assert!(health.waits_for().unwrap().contains("no broker reached since 1 s"));
        health.poll_succeeded();
        missing(&health, &[("t", false)]);
        health.set_namesake(Some("a with process id 7 at h".to_owned()));
        assert!(health.waits_for().unwrap().starts_with("kafka: a with process id 7 at h is a member"));
        assert_eq!(health.gauges.waits_for_name.get(), 1);
        health.set_namesake(None);
        assert_eq!(health.gauges.waits_for_name.get(), 0);
        assert!(health.waits_for().unwrap().contains("topic t does not exist"));
        missing_beside(&health, &[("t", false)], true);
        assert_eq!(health.waits_for(), None, "there are others, and it never was");
        missing_beside(&health, &[("t", false), ("u", true)], true);
        assert!(health.waits_for().unwrap().contains("topic u does not exist; create it"));
    }
}
