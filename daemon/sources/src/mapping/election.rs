//! Which of the replicas of a sender counts, where each sends the same.
//!
//! Senders of a pair have the same label `cluster` and different labels `__replica__`, as Prometheus in high availability.
//! The first one that sends is elected for its cluster; the samples of the others are left out until the elected one has
//! sent nothing for [`TIMEOUT`]. Counters need no election: the readings of all replicas are of one counter.
//!
//! The election is in memory. After a restart the first one that sends is elected again.

use std::collections::HashMap;

use tracing::info;

/// How long an elected replica may send nothing, in microseconds by the clock of this machine.
const TIMEOUT: u64 = 30_000_000;

/// The most clusters; of those beyond it all replicas count.
const MAX_CLUSTERS: usize = 1_000;

/// The elected replica of each cluster.
#[derive(Debug, Default)]
pub(super) struct Elections {
    elected_by_cluster: HashMap<String, Elected>,
}

#[derive(Debug)]
struct Elected {
    replica: String,
    /// When it sent the last time, in microseconds.
    last: u64,
}

impl Elections {
    /// Whether the samples count that a replica sends at `now` (µs).
    pub(super) fn takes(&mut self, cluster: &str, replica: &str, now: u64) -> bool {
        let Some(elected) = self.elected_by_cluster.get_mut(cluster) else {
            self.elect(cluster, replica, now);
            return true;
        };
        if elected.replica != replica {
            if now.saturating_sub(elected.last) < TIMEOUT {
                return false;
            }
            info!(cluster, before = elected.replica, replica, "The elected replica is silent; another one counts.");
            replica.clone_into(&mut elected.replica);
        }
        elected.last = elected.last.max(now);
        true
    }

    fn elect(&mut self, cluster: &str, replica: &str, now: u64) {
        let all = &mut self.elected_by_cluster;
        if all.len() >= MAX_CLUSTERS {
            all.retain(|_, elected| now.saturating_sub(elected.last) < TIMEOUT);
        }
        if all.len() < MAX_CLUSTERS {
            all.insert(cluster.to_owned(), Elected { replica: replica.to_owned(), last: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replica_counts_until_it_is_silent() {
        let mut elections = Elections::default();
        assert!(elections.takes("eu", "a", 0));
        assert!(!elections.takes("eu", "b", 1));
        assert!(elections.takes("us", "b", 1), "each cluster has its own");
        assert!(elections.takes("eu", "a", 20_000_000));
        assert!(!elections.takes("eu", "b", 20_000_000 + TIMEOUT - 1));
        assert!(elections.takes("eu", "b", 20_000_000 + TIMEOUT));
        assert!(!elections.takes("eu", "a", 20_000_000 + TIMEOUT), "back again, it is the other one");
        // A clock that steps back makes nobody silent.
        assert!(elections.takes("eu", "b", 5));
        assert!(!elections.takes("eu", "a", 20_000_000 + TIMEOUT + 1));
    }

    #[test]
    fn the_number_of_clusters_is_limited_and_silent_ones_make_room() {
        let mut elections = Elections::default();
        for cluster in 0..MAX_CLUSTERS {
            assert!(elections.takes(&cluster.to_string(), "a", 0));
        }
        assert!(elections.takes("more", "a", 1) && elections.takes("more", "b", 1), "all count");
        assert_eq!(elections.elected_by_cluster.len(), MAX_CLUSTERS);
        assert!(elections.takes("more", "a", TIMEOUT) && !elections.takes("more", "b", TIMEOUT));
        assert_eq!(elections.elected_by_cluster.len(), 1);
    }
}
