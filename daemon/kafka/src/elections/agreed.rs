//! What the records of the topic mean: a fold over them in the order of the log, the same for all readers.
//!
//! A record elects a replica, or shows that the elected one still sends. It is valid or void; a void one changes nothing.
//!
//! * An election is valid if the cluster has none; if its writer had seen the newest valid record of the cluster, so that no
//!   other was first; or if that record is older than [`EXPIRY`] by the time of the log.
//! * A heartbeat is valid if it names the present election.
//!
//! The topic is compacted, so a reader that starts has of each cluster the last record only, besides those that are younger
//! than the lag of compaction, [`COMPACTION_LAG`]. The last one may be void. Therefore:
//!
//! * A reader that knows nothing of a cluster takes what it finds. A heartbeat of a later election, or one whose writer
//!   had read beyond the present one, replaces it: its writer knew better.
//! * What differs then is older than the lag. It is older than [`EXPIRY`], too, so that every reader takes the next election.

use std::collections::HashMap;
use std::time::Duration;

use daemon_log::{ElectionCounts, MAX_CLUSTERS, Standing};
use tracing::{info, warn};

use super::record::Entry;

/// After this time in the log any election replaces the present one. It is longer than any timeout.
pub(super) const EXPIRY: Duration = Duration::from_secs(600);

/// The least lag of compaction of the topic: a reader gets all records that are younger.
pub(crate) const COMPACTION_LAG: Duration = Duration::from_secs(900);

/// After this time without a record a cluster is deleted from the topic.
const GONE: Duration = Duration::from_secs(24 * 3600);

/// The elected replicas, as far as the topic was read.
#[derive(Debug)]
pub(super) struct Agreed {
    clusters: HashMap<String, Elected>,
    /// How long an elected replica may be silent.
    timeout: Duration,
    /// Until when no cluster can be expired, if there are as many as may be.
    full_until: Duration,
    is_full_logged: bool,
    /// How often another replica took over, of the records that came after this daemon began to read.
    takeovers: u64,
}

#[derive(Debug)]
struct Elected {
    replica: String,
    /// The offset of the record that elected it.
    election: u64,
    /// The offset of the newest valid record.
    last: u64,
    /// The time of that record in the log, in milliseconds.
    last_at: i64,
    /// When the last lease of the replica before it was over, in milliseconds; `None` if none is known.
    former_until: Option<i64>,
    /// When it was read, by the monotonic clock.
    read_at: Duration,
    /// Whether it was there before this daemon began to read.
    is_of_before: bool,
    /// Until when this daemon may take samples of it.
    lease_until: Duration,
    /// Whether this daemon has taken samples since it sent the last heartbeat.
    is_active: bool,
    /// When it sent that.
    renewed_at: Duration,
}

/// Where and when a record was read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Read {
    pub offset: u64,
    /// The time in the log, in milliseconds.
    pub at: i64,
    /// Now, by the monotonic clock.
    pub now: Duration,
    /// Whether it was there before this daemon began to read.
    pub is_of_before: bool,
    /// When this daemon sent it, if it did.
    pub sent: Option<Duration>,
}

impl Agreed {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { clusters: HashMap::new(), timeout, full_until: Duration::ZERO, is_full_logged: false, takeovers: 0 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.clusters.clear();
    }

    /// Applies a record that was read: a valid one that this daemon has sent is a lease.
    pub(super) fn apply(&mut self, cluster: &str, entry: &Entry, read: Read) {
        let is_valid = match self.clusters.get(cluster) {
            Some(elected) => elected.is_followed_by(entry, read.at),
            None => self.has_room(read.at),
        };
        if !is_valid {
            return;
        }
        let election = entry.election.unwrap_or(read.offset);
        let mut new = Elected {
            replica: entry.replica.clone(),
            election,
            last: read.offset,
            last_at: read.at,
            former_until: None,
            read_at: read.now,
            is_of_before: read.is_of_before,
            lease_until: read.sent.map(|sent| sent + self.lease()).unwrap_or_default(),
            is_active: false,
            renewed_at: read.sent.unwrap_or_default(),
        };
        if let Some(before) = self.clusters.get(cluster) {
            if before.election == election {
                new.lease_until = new.lease_until.max(before.lease_until);
                new.renewed_at = new.renewed_at.max(before.renewed_at);
                new.is_active = before.is_active;
            }
            new.former_until = before.former_until;
            if before.replica != new.replica {
                let lease = i64::try_from(self.lease().as_millis()).unwrap_or(i64::MAX);
                new.former_until = Some(before.last_at.saturating_add(lease));
                self.takeovers += u64::from(!read.is_of_before);
                let (before, replica) = (&before.replica, &new.replica);
                info!(cluster, before, replica, "The elected replica is silent; another one counts.");
            }
        }
        self.clusters.insert(cluster.to_owned(), new);
    }

    /// How long a daemon may take samples of a replica after it has sent a record of it.
    fn lease(&self) -> Duration {
        self.timeout / 3 * 2
    }

    /// See [`GroupElections`](daemon_log::GroupElections::former_until_ms).
    pub(super) fn former_until_ms(&self, cluster: &str, replica: &str) -> Option<i64> {
        self.clusters.get(cluster).filter(|elected| elected.replica == replica)?.former_until
    }

    pub(super) fn counts(&self) -> ElectionCounts {
        ElectionCounts { clusters: self.clusters.len(), takeovers: self.takeovers }
    }

    /// Applies a record that deletes a cluster, with its time in the log. It is void if the cluster has sent shortly before.
    pub(super) fn forget(&mut self, cluster: &str, at: i64) {
        if self.clusters.get(cluster).is_some_and(|elected| elected.is_expired(at)) {
            self.clusters.remove(cluster);
        }
    }

    /// Whether there is room for one more cluster, once those are dropped that are expired at a time in the log.
    fn has_room(&mut self, at: i64) -> bool {
        if self.clusters.len() >= MAX_CLUSTERS {
            self.clusters.retain(|_, elected| !elected.is_expired(at));
        }
        self.clusters.len() < MAX_CLUSTERS
    }

    /// Whether the samples of a replica count at `now`.
    pub(super) fn standing(&mut self, cluster: &str, replica: &str, now: Duration) -> Standing {
        let Some(elected) = self.clusters.get(cluster) else {
            return if self.is_full(now) { self.beyond_limit(cluster) } else { Standing::Open };
        };
        match elected.replica == replica {
            true if now < elected.lease_until => Standing::Counts,
            true => Standing::Open,
            false if now.saturating_sub(elected.read_at) >= self.timeout => Standing::Open,
            false => Standing::LeftOut,
        }
    }

    /// All replicas count of a cluster beyond the limit.
    fn beyond_limit(&mut self, cluster: &str) -> Standing {
        if !std::mem::replace(&mut self.is_full_logged, true) {
            warn!(
                cluster = %format_args!("{cluster:.100}"), most = MAX_CLUSTERS,
                "More clusters of replicas send than can be elected in; all replicas of the others count."
            );
        }
        Standing::Counts
    }

    /// The record that makes an [open](Standing::Open) candidate the elected one; `None` for one that is not open any more.
    pub(super) fn proposal(&mut self, cluster: &str, replica: &str, now: Duration) -> Option<Entry> {
        if self.standing(cluster, replica, now) != Standing::Open {
            return None;
        }
        let elected = self.clusters.get(cluster);
        // Of an old record readers may know different things, which an election ends.
        let is_old = |it: &Elected| it.is_of_before || now.saturating_sub(it.read_at) >= EXPIRY / 2;
        let present = elected.filter(|it| it.replica == replica && !is_old(it));
        let (election, seen) = (present.map(|it| it.election), elected.map(|it| it.last));
        Some(Entry { replica: replica.to_owned(), election, seen, ..Entry::default() })
    }

    /// Notes that samples of a replica were taken.
    pub(super) fn took(&mut self, cluster: &str, replica: &str) {
        if let Some(elected) = self.clusters.get_mut(cluster).filter(|elected| elected.replica == replica) {
            elected.is_active = true;
        }
    }

    /// The heartbeats that are due at `now`; they count as sent.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(String, Entry)> {
        let interval = self.timeout / 6;
        let is_due = |elected: &Elected| elected.is_active && now.saturating_sub(elected.renewed_at) >= interval;
        let due = self.clusters.iter_mut().filter(|(_, elected)| is_due(elected));
        due.map(|(cluster, elected)| {
            (elected.is_active, elected.renewed_at) = (false, now);
            let (election, seen) = (Some(elected.election), Some(elected.last));
            (cluster.clone(), Entry { replica: elected.replica.clone(), election, seen, ..Entry::default() })
        })
        .collect()
    }

    /// The clusters without a record for long; each is returned once.
    pub(super) fn gone(&mut self, now: Duration) -> Vec<String> {
        let gone = self.clusters.extract_if(|_, elected| now.saturating_sub(elected.read_at) >= GONE);
        gone.map(|(cluster, _)| cluster).collect()
    }

    fn is_full(&mut self, now: Duration) -> bool {
        if self.clusters.len() < MAX_CLUSTERS {
            return false;
        }
        if now >= self.full_until {
            let earliest = self.clusters.values().map(|elected| elected.read_at).min().unwrap_or_default();
            self.full_until = earliest.saturating_add(EXPIRY);
        }
        now < self.full_until
    }
}

impl Elected {
    /// Whether a record at a time in the log is valid after this one.
    fn is_followed_by(&self, entry: &Entry, at: i64) -> bool {
        match entry.election {
            None => entry.seen == Some(self.last) || self.is_expired(at),
            Some(election) if election == self.election => entry.replica == self.replica,
            Some(election) => election > self.election || entry.seen.is_some_and(|seen| seen > self.election),
        }
    }

    fn is_expired(&self, at: i64) -> bool {
        u128::from(at.saturating_sub(self.last_at).max(0).unsigned_abs()) >= EXPIRY.as_millis()
    }
}

#[cfg(test)]
mod tests;
