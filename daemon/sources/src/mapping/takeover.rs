//! Which readings of counters are left out after another replica was elected.
//!
//! The readings of all replicas are of one counter, but their times are not exact: the time of a scrape is its start, by the
//! clock of the replica. So a reading of the new replica that seems hardly newer than the last one of the former may be lower,
//! which would count in full, as after a reset. It is left out; the increase is in the next reading.
//!
//! After a start the newest reading of an elected replica is not known, but it was not later than the start: a replica that
//! takes its place counts with readings that are clearly newer than that. On Kafka other daemons may have taken them: the
//! records of the elections have when the former replica counted at the latest.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use daemon_formats::Series;
use daemon_log::MAX_CLUSTERS;
use derived_stats::MetricKind;

use super::CLUSTER;
use super::election::{Elections, bounded};
use super::rule::{REPLICA, Rule};

/// How far apart the times of two replicas may be for the same reading: the difference of their clocks and the duration of a
/// scrape. Less than a silence after which another replica is elected, so that its current readings count at once.
const MAX_APART_MS: i64 = 10_000;

/// The newest readings of the elected replica and of the one before it, for each cluster, in memory only.
#[derive(Debug, Default)]
pub(super) struct Takeovers(Mutex<HashMap<String, Sent>>);

#[derive(Debug)]
struct Sent {
    replica: String,
    newest_ms: i64,
    /// The newest reading of the replica before it.
    former_ms: Option<i64>,
}

impl Takeovers {
    /// Adds a replica that was elected before the start, at `start_ms`: no reading of it that is stored is later.
    pub(super) fn add_elected(&self, cluster: &str, replica: &str, start_ms: u64) {
        self.has_sent(cluster, replica, start_ms.cast_signed());
    }

    /// Whether a reading of time `timestamp_ms` may be older than those of the former replica.
    pub(super) fn leaves_out(&self, cluster: &str, replica: &str, timestamp_ms: i64) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sent) = all.get(cluster) else { return false };
        let former = if sent.replica == replica { sent.former_ms } else { Some(sent.newest_ms) };
        former.is_some_and(|former| timestamp_ms <= former.saturating_add(MAX_APART_MS))
    }

    /// Takes note of the newest of the readings that were stored.
    pub(super) fn has_sent(&self, cluster: &str, replica: &str, newest_ms: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sent) = all.get_mut(cluster) else {
            if all.len() >= MAX_CLUSTERS {
                // The one that has been silent for the longest time.
                let silent = all.iter().min_by_key(|(_, sent)| sent.newest_ms).map(|(cluster, _)| cluster.clone());
                silent.map(|cluster| all.remove(&cluster));
            }
            all.insert(cluster.to_owned(), Sent { replica: replica.to_owned(), newest_ms, former_ms: None });
            return;
        };
        if sent.replica == replica {
            sent.newest_ms = sent.newest_ms.max(newest_ms);
        } else {
            *sent = Sent { replica: replica.to_owned(), newest_ms, former_ms: Some(sent.newest_ms) };
        }
    }
}

/// The replica that a series of counters is from, and what it sends; of other series nothing is left out.
pub(super) struct Replica<'m> {
    of: Option<(&'m Takeovers, Cow<'m, str>, Cow<'m, str>)>,
    /// Until when the group has taken readings of the replica before it.
    former_until_ms: Option<i64>,
    newest_ms: Option<i64>,
}

impl<'m> Replica<'m> {
    pub(super) fn of(elections: &'m Elections, rule: &Rule, series: &'m Series<'_>) -> Self {
        let replica = series.labels.value(REPLICA);
        let is_counter = !replica.is_empty() && rule.metric_kind() == MetricKind::Agg;
        let names = is_counter.then(|| (bounded(series.labels.value(CLUSTER)), bounded(replica)));
        let former_until_ms = names.as_ref().and_then(|(cluster, replica)| elections.former_until_ms(cluster, replica));
        let of = names.map(|(cluster, replica)| (elections.takeovers(), cluster, replica));
        Self { of, former_until_ms, newest_ms: None }
    }

    /// Whether a reading is left out; see [`Takeovers::leaves_out`].
    pub(super) fn leaves_out(&self, timestamp_ms: i64) -> bool {
        let is_before = |former: i64| timestamp_ms <= former.saturating_add(MAX_APART_MS);
        let of = self.of.as_ref();
        self.former_until_ms.is_some_and(is_before)
            || of.is_some_and(|(takeovers, cluster, replica)| takeovers.leaves_out(cluster, replica, timestamp_ms))
    }

    /// Takes note of a reading that is stored.
    pub(super) fn has_sent(&mut self, timestamp_ms: i64) {
        self.newest_ms = self.newest_ms.max(Some(timestamp_ms));
    }

    /// Ends the readings of a series.
    pub(super) fn finish(&mut self) {
        if let (Some((takeovers, cluster, replica)), Some(newest_ms)) = (&self.of, self.newest_ms) {
            takeovers.has_sent(cluster, replica, newest_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_of_a_new_replica_count_once_they_are_clearly_newer() {
        let takeovers = Takeovers::default();
        let leaves_out = |replica, at| takeovers.leaves_out("eu", replica, at);
        assert!(!leaves_out("a", 0));
        takeovers.has_sent("eu", "a", 100_000);
        takeovers.has_sent("eu", "a", 90_000);
        assert!(!leaves_out("a", 95_000), "the elected one may send older readings");
        assert!(leaves_out("b", 100_000 + MAX_APART_MS) && !leaves_out("b", 100_001 + MAX_APART_MS));
        takeovers.has_sent("eu", "b", 130_000);
        assert!(leaves_out("b", 100_000 + MAX_APART_MS), "another series of it");
        assert!(!leaves_out("b", 100_001 + MAX_APART_MS));
        assert!(leaves_out("a", 130_000 + MAX_APART_MS), "back again, it is the other one");
        assert!(!takeovers.leaves_out("us", "b", 0), "each cluster has its own");
    }

    #[test]
    fn the_number_of_clusters_is_limited() {
        let takeovers = Takeovers::default();
        let clusters = 2 * MAX_CLUSTERS;
        (0..clusters).for_each(|cluster| takeovers.has_sent(&cluster.to_string(), "a", cluster as i64));
        assert_eq!(takeovers.0.lock().unwrap().len(), MAX_CLUSTERS);
        let newest = (clusters - 1).to_string();
        assert!(
            takeovers.leaves_out(&newest, "b", 0) && !takeovers.leaves_out("0", "b", 0),
            "the newest ones are kept"
        );
    }
}
