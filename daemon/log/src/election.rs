//! Which of the replicas of a sender counts, where several processes share one log and must agree on it.

use std::fmt;

use crate::LogError;

/// The most clusters in which a replica is elected; of those beyond it all replicas count.
pub const MAX_CLUSTERS: usize = 1_000;

/// A cluster of replicas, and one of its replicas.
pub type Candidate = (String, String);

/// Whether the samples of a replica count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// They do: it is elected, or there are more clusters than can be elected in.
    Counts,
    /// They do not: another replica is elected.
    LeftOut,
    /// It is not known before [`GroupElections::settle`].
    Open,
}

/// What there is to know of elections.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ElectionCounts {
    /// The clusters that have an elected replica, silent ones included.
    pub clusters: usize,
    /// How often another replica took the place of a silent one, since the start of this process.
    pub takeovers: u64,
}

/// The elected replicas of all processes that share a log. All methods are safe to call from several threads.
pub trait GroupElections: fmt::Debug + Send + Sync {
    /// Returns whether the samples of a replica count now. The call does not wait.
    fn standing(&self, cluster: &str, replica: &str) -> Standing;

    /// Notes that a sample of a replica that counts was taken, so that it stays elected. The call does not wait.
    fn took(&self, cluster: &str, replica: &str);

    /// Returns until when samples of the replica before may have been taken, in milliseconds since 1970; `None` where
    /// `replica` is not elected, or is not known to have taken the place of another one. The call does not wait.
    fn former_until_ms(&self, cluster: &str, replica: &str) -> Option<i64>;

    /// Returns the counts, of the takeovers that this process has seen. The call does not wait.
    fn counts(&self) -> ElectionCounts;

    /// Agrees with the other processes on candidates that are [open](Standing::Open): each is elected, or shown to still
    /// send, unless another process was first. The call blocks, for seconds at most.
    ///
    /// # Errors
    ///
    /// [`LogError::Cluster`] if the processes cannot agree now: then no sample of the candidates may be stored.
    fn settle(&self, open: &[Candidate]) -> Result<(), LogError>;
}
