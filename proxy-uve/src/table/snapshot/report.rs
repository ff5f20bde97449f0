//! The report of a restore: the states that were kept, dropped or started without saved state.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of a state in a snapshot.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StateKind {
    /// The last readings of cumulative counters, which go with a window column or an inline state.
    Counter,
    /// Detectors, which remember earlier windows.
    Detector,
    /// The states of an inline attribute.
    Inline,
    /// Which objects are alive, and for how many periods each has been silent.
    Liveness,
    /// The last values of sources, which go with a window column.
    Sources,
    /// Which objects had samples in each open window.
    Touched,
    /// What the open windows have accumulated.
    Window,
}

impl StateKind {
    /// The name in reports, such as `window`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Detector => "detector",
            Self::Inline => "inline",
            Self::Liveness => "liveness",
            Self::Sources => "sources",
            Self::Touched => "touched",
            Self::Window => "window",
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of a restore for one state.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RestoreOutcome {
    /// Saved, but nothing in the configuration continues it. The next snapshot is without it.
    Dropped,
    /// Saved, and continued.
    Kept,
    /// Configured and saved, but the algorithm cannot read it: started without saved state.
    NotRestorable {
        /// The algorithm's message.
        reason: String,
    },
    /// Configured, but not saved: started without saved state.
    Started,
}

/// One state of a table, summed up over its objects and over the window groups (same period, other timeout or rule for
/// silence) that have it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RestoredState {
    /// The kind of the state.
    pub kind: StateKind,
    /// The aggregation that identifies the state, such as `60s DSSum u64`.
    pub identity: String,
    /// Whether it was kept, dropped or started without saved state.
    pub outcome: RestoreOutcome,
    /// How many objects had such a state in the snapshot.
    pub objects: usize,
    /// How many chunks of the snapshot had some of it.
    pub chunks: usize,
}

impl fmt::Display for RestoredState {
    /// Such as `window 60s DSSum u64 (12 objects)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.identity)?;
        match &self.outcome {
            RestoreOutcome::Started => Ok(()),
            RestoreOutcome::Dropped | RestoreOutcome::Kept => write!(f, " ({} objects)", self.objects),
            RestoreOutcome::NotRestorable { reason } => write!(f, " ({} objects: {reason})", self.objects),
        }
    }
}

/// The outcome of a restore for every state, in the order of kind and identity.
///
/// Its `Display` form is one line for a log: `kept 4 states of 12 objects; dropped …; started anew …`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Every state that was saved or is configured.
    pub states: Vec<RestoredState>,
}

impl RestoreReport {
    /// The states that continue.
    pub fn kept(&self) -> impl Iterator<Item = &RestoredState> {
        self.states.iter().filter(|state| state.outcome == RestoreOutcome::Kept)
    }

    /// The states that are not configured any more.
    pub fn dropped(&self) -> impl Iterator<Item = &RestoredState> {
        self.states.iter().filter(|state| state.outcome == RestoreOutcome::Dropped)
    }

    /// The states that start without saved state, because nothing was saved or because it cannot be read.
    pub fn started(&self) -> impl Iterator<Item = &RestoredState> {
        let is_new = |outcome: &RestoreOutcome| match outcome {
            RestoreOutcome::NotRestorable { .. } | RestoreOutcome::Started => true,
            RestoreOutcome::Dropped | RestoreOutcome::Kept => false,
        };
        self.states.iter().filter(move |state| is_new(&state.outcome))
    }

    /// Whether every saved state continues and every configured one was saved.
    pub fn is_unchanged(&self) -> bool {
        self.states.iter().all(|state| state.outcome == RestoreOutcome::Kept)
    }
}

impl fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = self.states.iter().map(|state| state.objects).max().unwrap_or(0);
        write!(f, "kept {} states of {objects} objects", self.kept().count())?;
        list(f, "dropped", self.dropped())?;
        list(f, "started anew", self.started())
    }
}

fn list<'r>(f: &mut fmt::Formatter<'_>, what: &str, states: impl Iterator<Item = &'r RestoredState>) -> fmt::Result {
    for (index, state) in states.enumerate() {
        match index {
            0 => write!(f, "; {what} {state}")?,
            _ => write!(f, ", {state}")?,
        }
    }
    Ok(())
}
