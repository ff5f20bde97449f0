//! Which of the replicas of a sender counts, where each sends the same.
//!
//! Senders of a pair have the same label `cluster` and different labels `__replica__`, as Prometheus in high availability.
//! The first one that sends is elected for its cluster; the samples of the others are left out until the elected one has
//! sent nothing for a while: by default [`TIMEOUT`]. Counters need it too: the time of a scrape is its start, so the
//! reading of a slow replica, or of one whose clock is ahead, is lower than one that seems to be older, as after a reset.
//!
//! Where several daemons share a Kafka cluster, they agree on the elected replicas: see [`GroupElections`]. A request may find
//! that they must do so first; then it is mapped once more afterwards.
//!
//! Where the log is on this machine, the file `ELECTIONS` in its directory has a line for each cluster: a list of JSON with
//! the cluster and its replica. It is on disk before the first sample of a new replica is. So after a kill, a restart or a
//! reload the same replica goes on, and no window has samples of both.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_base::fnv;
use daemon_base::setting::file;
use daemon_log::{Candidate, ElectionCounts, GroupElections, LogError, MAX_CLUSTERS, Standing};
use tracing::{info, warn};

use super::takeover::Takeovers;

/// How long an elected replica may send nothing, in microseconds by the clock of this machine. After a start the time
/// begins anew.
const TIMEOUT: u64 = 90_000_000;

/// The longest name that is kept as it is, in bytes of the file: it has at most 0.6 MB, less than may be read.
const MAX_NAME_BYTES: usize = 256;

/// The name of the file.
const FILE: &str = "ELECTIONS";

/// The elected replica of each cluster. Without a file and without a group it is in memory only.
#[derive(Debug, Default)]
pub struct Elections {
    state: Mutex<State>,
    file: Option<PathBuf>,
    /// The daemons that agree on them.
    group: Option<Arc<dyn GroupElections>>,
    takeovers: Takeovers,
}

/// The candidates on which the group has to agree before the samples of a request are stored.
pub type Open = BTreeSet<Candidate>;

#[derive(Debug, Default)]
struct State {
    elected_by_cluster: HashMap<String, Elected>,
    is_full_logged: bool,
    /// Until when no cluster can be silent, if there are as many as may be.
    full_until: u64,
    /// Whether the file has something else.
    is_changed: bool,
    /// In microseconds, in place of [`TIMEOUT`].
    timeout: Option<u64>,
    takeovers: u64,
}

#[derive(Debug)]
struct Elected {
    replica: String,
    /// When it sent the last time, in microseconds.
    last: u64,
}

impl Elections {
    /// Reads the elections in the directory of a log, and keeps them there. Each elected replica has the whole timeout
    /// from `now` (µs) on to send something. A file that cannot be used is a warning: the next replica that sends is elected.
    pub fn read(directory: &Path, now: u64) -> Self {
        let path = directory.join(FILE);
        let read = match file::read_regular(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(HashMap::new()),
            Err(error) => Err(error.to_string()),
            Ok(text) => parse(&String::from_utf8_lossy(&text), now),
        };
        let elected_by_cluster = read.unwrap_or_else(|error| {
            warn!(
                path = %path.display(), %error,
                "The elected replicas cannot be read; the next one that sends is elected for each cluster, and a window may \
                 have samples of two."
            );
            HashMap::new()
        });
        let takeovers = Takeovers::default();
        elected_by_cluster
            .iter()
            .for_each(|(cluster, elected)| takeovers.add_elected(cluster, &elected.replica, now / 1_000));
        Self {
            state: Mutex::new(State { elected_by_cluster, ..State::default() }),
            file: Some(path),
            group: None,
            takeovers,
        }
    }

    /// The elections on which the daemons of a group agree.
    pub fn of_group(group: Arc<dyn GroupElections>) -> Self {
        Self { group: Some(group), ..Self::default() }
    }

    /// Agrees with the group on the candidates that a request has left [`Open`]. The request is to be mapped again then.
    ///
    /// # Errors
    ///
    /// When the group cannot agree now.
    pub fn settle(&self, open: Open) -> Result<(), LogError> {
        let open: Vec<_> = open.into_iter().collect();
        self.group.as_ref().map_or(Ok(()), |group| group.settle(&open))
    }

    /// The newest readings of the elected replicas.
    pub(super) fn takeovers(&self) -> &Takeovers {
        &self.takeovers
    }

    /// Until when the group has taken samples of the replica before this one, in milliseconds; `None` if that is not known.
    pub(super) fn former_until_ms(&self, cluster: &str, replica: &str) -> Option<i64> {
        self.group.as_ref()?.former_until_ms(cluster, replica)
    }

    /// Sets how long an elected replica may send nothing, by default 90 s.
    pub fn set_timeout(&self, timeout: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.timeout = Some(micros(timeout));
    }

    /// How many clusters there are, and how often another replica took over.
    pub fn counts(&self) -> ElectionCounts {
        if let Some(group) = &self.group {
            return group.counts();
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        ElectionCounts { clusters: state.elected_by_cluster.len(), takeovers: state.takeovers }
    }

    /// Calls `add` if the samples count that a replica sends at `now` (µs), and returns whether they do. `add` returns
    /// whether a sample was taken: only that elects a replica, or shows that it still sends. One whose samples are all
    /// rejected would keep out the others. Where the group has to agree on the replica first, it is added to `open`, and
    /// the samples must not be stored.
    pub(super) fn take(
        &self,
        (cluster, replica): (&str, &str),
        now: u64,
        open: &mut Open,
        add: impl FnOnce() -> bool,
    ) -> bool {
        let (cluster, replica) = (bounded(cluster), bounded(replica));
        if let Some(group) = &self.group {
            return take_in(&**group, &cluster, &replica, open, add);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.may_take(&cluster, &replica, now) {
            return false;
        }
        if add() {
            state.take(&cluster, &replica, now);
        }
        true
    }

    /// Stores what has changed since the last call, before samples of a new replica are stored. A failure is a warning, and
    /// the next call tries again.
    pub(super) fn store(&self) {
        let Some(path) = &self.file else { return };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_changed {
            return;
        }
        match file::replace(path, &state.text()) {
            Ok(()) => state.is_changed = false,
            Err(error) => warn!(
                path = %path.display(), %error,
                "The elected replicas cannot be stored: after a restart a window may have samples of two."
            ),
        }
    }
}

/// [`Elections::take`] where a group agrees.
fn take_in(
    group: &dyn GroupElections,
    cluster: &str,
    replica: &str,
    open: &mut Open,
    add: impl FnOnce() -> bool,
) -> bool {
    let standing = group.standing(cluster, replica);
    if standing == Standing::LeftOut {
        return false;
    }
    if !add() {
        return true;
    }
    if standing == Standing::Counts {
        group.took(cluster, replica);
    } else if open.len() < MAX_CLUSTERS {
        // Those beyond are open at the next attempt, or there are too many clusters then.
        open.insert((cluster.to_owned(), replica.to_owned()));
    }
    true
}

impl State {
    fn timeout(&self) -> u64 {
        self.timeout.unwrap_or(TIMEOUT)
    }

    fn may_take(&self, cluster: &str, replica: &str, now: u64) -> bool {
        let elected = self.elected_by_cluster.get(cluster);
        elected.is_none_or(|elected| elected.replica == replica || now.saturating_sub(elected.last) >= self.timeout())
    }

    /// Elects a replica that [may](Self::may_take) send samples, or notes that it has sent some.
    fn take(&mut self, cluster: &str, replica: &str, now: u64) {
        let Some(elected) = self.elected_by_cluster.get_mut(cluster) else { return self.elect(cluster, replica, now) };
        if elected.replica != replica {
            info!(cluster, before = elected.replica, replica, "The elected replica is silent; another one counts.");
            replica.clone_into(&mut elected.replica);
            self.is_changed = true;
            self.takeovers += 1;
        }
        elected.last = elected.last.max(now);
    }

    fn elect(&mut self, cluster: &str, replica: &str, now: u64) {
        let (timeout, all) = (self.timeout(), &mut self.elected_by_cluster);
        if all.len() >= MAX_CLUSTERS && now >= self.full_until {
            all.retain(|_, elected| now.saturating_sub(elected.last) < timeout);
            let earliest = all.values().map(|elected| elected.last).min().unwrap_or(now);
            self.full_until = earliest.saturating_add(timeout);
        }
        if all.len() < MAX_CLUSTERS {
            all.insert(cluster.to_owned(), Elected { replica: replica.to_owned(), last: now });
            self.is_changed = true;
        } else if !std::mem::replace(&mut self.is_full_logged, true) {
            warn!(
                cluster = %format_args!("{cluster:.100}"), most = MAX_CLUSTERS,
                "More clusters of replicas send than can be elected in; all replicas of the others count."
            );
        }
    }

    /// The content of the file.
    fn text(&self) -> String {
        let mut lines: Vec<_> =
            self.elected_by_cluster.iter().map(|(cluster, elected)| (cluster, &elected.replica)).collect();
        lines.sort_unstable();
        let mut text = String::new();
        for (cluster, replica) in lines {
            // A String takes every text.
            let _ = writeln!(text, "{}", serde_json::json!([cluster, replica]));
        }
        text
    }
}

fn parse(text: &str, now: u64) -> Result<HashMap<String, Elected>, String> {
    let lines = text.lines().enumerate().take(MAX_CLUSTERS);
    let elected = lines.map(|(index, line)| {
        let (cluster, replica) = serde_json::from_str(line)
            .map_err(|_| format!("line {}: expected [\"CLUSTER\",\"REPLICA\"], found `{line:.100}`", index + 1))?;
        Ok((cluster, Elected { replica, last: now }))
    });
    elected.collect()
}

/// A name of at most [`MAX_NAME_BYTES`] in the file: of a longer one the start, with a digest of all.
pub(super) fn bounded(name: &str) -> Cow<'_, str> {
    // JSON has up to six bytes for a byte that it escapes.
    let in_file = |c: char| if c < ' ' || matches!(c, '"' | '\\') { 6 } else { c.len_utf8() };
    if name.chars().map(in_file).sum::<usize>() <= MAX_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    let mut left = MAX_NAME_BYTES / 2;
    let start = name.chars().map_while(|c| {
        left = left.checked_sub(in_file(c))?;
        Some(c)
    });
    let start: String = start.collect();
    Cow::Owned(format!("{start}#{:032x}", fnv::digest(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Elections {
        fn takes(&self, cluster: &str, replica: &str, now: u64) -> bool {
            self.take((cluster, replica), now, &mut Open::new(), || true)
        }
    }

    fn clusters(elections: &Elections) -> usize {
        elections.state.lock().unwrap().elected_by_cluster.len()
    }

    #[test]
    fn one_replica_counts_until_it_is_silent() {
        let elections = Elections::default();
        assert!(elections.takes("eu", "a", 0));
        assert!(!elections.takes("eu", "b", 1));
        assert!(elections.takes("us", "b", 1), "each cluster has its own");
        assert!(elections.takes("eu", "a", 20_000_000));
        assert!(!elections.takes("eu", "b", 20_000_000 + TIMEOUT - 1));
        assert!(elections.takes("eu", "b", 20_000_000 + TIMEOUT));
        assert!(!elections.takes("eu", "a", 20_000_000 + TIMEOUT), "back again, it is the other one");
        assert_eq!(elections.counts(), ElectionCounts { clusters: 2, takeovers: 1 });
        // A clock that steps back makes nobody silent.
        assert!(elections.takes("eu", "b", 5));
        assert!(!elections.takes("eu", "a", 20_000_000 + TIMEOUT + 1));
    }

    #[test]
    fn a_silence_shorter_than_the_timeout_that_is_set_changes_nothing() {
        let elections = Elections::default();
        elections.set_timeout(Duration::from_secs(400));
        let minute = 60_000_000;
        for minutes in 0..5 {
            assert!(elections.takes("eu", "a", minutes * 5 * minute), "every five minutes");
            assert!(!elections.takes("eu", "b", minutes * 5 * minute + 4 * minute));
        }
        assert!(elections.takes("eu", "b", 30 * minute));
    }

    #[test]
    fn a_replica_whose_samples_are_all_rejected_is_not_elected() {
        let elections = Elections::default();
        let is_rejected = |replica, now| elections.take(("eu", replica), now, &mut Open::new(), || false);
        assert!(is_rejected("b", 0) && elections.takes("eu", "a", 1), "b is not elected");
        assert!(!is_rejected("b", 2));
        // Neither does it stay elected by them.
        assert!(is_rejected("a", TIMEOUT) && elections.takes("eu", "b", TIMEOUT + 1));
    }

    #[test]
    fn the_number_of_clusters_is_limited_and_silent_ones_make_room() {
        let elections = Elections::default();
        for cluster in 0..MAX_CLUSTERS {
            assert!(elections.takes(&cluster.to_string(), "a", 0));
        }
        assert!(elections.takes("more", "a", 1) && elections.takes("more", "b", 1), "all count");
        assert_eq!(clusters(&elections), MAX_CLUSTERS);
        assert!(elections.takes("more", "a", TIMEOUT) && !elections.takes("more", "b", TIMEOUT));
        assert_eq!(clusters(&elections), 1);
    }

    #[test]
    fn the_largest_file_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let elections = Elections::read(directory.path(), 0);
        for cluster in 0..MAX_CLUSTERS {
            let [cluster, replica] = ["\u{1}", "\""].map(|odd| odd.repeat(5000) + &cluster.to_string());
            assert!(elections.takes(&cluster, &replica, 0));
        }
        elections.store();
        assert_eq!(clusters(&Elections::read(directory.path(), 0)), MAX_CLUSTERS);
    }

    #[test]
    fn an_elected_replica_is_the_same_after_a_restart_and_has_the_time_to_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let start = |now| Elections::read(directory.path(), now);
        let elections = start(0);
        let long = "ä".repeat(MAX_NAME_BYTES);
        for cluster in ["", "a \"line\"\nand another", &long, &format!("{long}b")] {
            assert!(elections.takes(cluster, &long, 0) && !elections.takes(cluster, "b", 0), "{cluster}");
        }
        elections.store();
        let elections = start(100_000_000);
        assert_eq!(clusters(&elections), 4);
        for cluster in ["", "a \"line\"\nand another", &long, &format!("{long}b")] {
            assert!(!elections.takes(cluster, "b", 100_000_000 + TIMEOUT - 1), "{cluster}");
        }
        assert!(elections.takes("", "b", 100_000_000 + TIMEOUT));
        elections.store();
        let elections = start(200_000_000);
        assert!(!elections.takes("", &long, 200_000_000) && elections.takes("", "b", 200_000_000));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_replaced_at_the_next_election() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        std::fs::write(&path, "[\"eu\",\"a\"]\n[\"us\"]\n").unwrap();
        assert_eq!(
            parse(&std::fs::read_to_string(&path).unwrap(), 0).map(drop).unwrap_err(),
            "line 2: expected [\"CLUSTER\",\"REPLICA\"], found `[\"us\"]`"
        );
        let elections = Elections::read(directory.path(), 0);
        assert!(elections.takes("eu", "b", 0));
        elections.store();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[\"eu\",\"b\"]\n");
    }
}
