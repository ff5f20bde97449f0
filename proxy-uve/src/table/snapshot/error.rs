//! Why a snapshot cannot be restored.

use std::fmt;

use derived_stats::RestoreError;

use crate::table::snapshot::{StateKind, VERSION};

/// A part of a snapshot, each of which is stored by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SnapshotPart {
    /// The chunk with this number.
    Chunk(u32),
    /// Progress, counters and the list of columns.
    Meta,
}

impl fmt::Display for SnapshotPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chunk(number) => write!(f, "chunk {number}"),
            Self::Meta => f.write_str("the meta part"),
        }
    }
}

/// The reason why a snapshot cannot be restored. No snapshot is restored in part; if the message names no remedy,
/// compute the table again from the log.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The bytes are not those that were written.
    #[error(
        "{part} of the snapshot is damaged: its checksum does not match; restore a copy of it, or discard the snapshot"
    )]
    Checksum {
        /// The damaged part.
        part: SnapshotPart,
    },
    /// A chunk whose checksum is right contradicts itself or the meta part.
    #[error("{part} of the snapshot is inconsistent: {what}")]
    Inconsistent {
        /// The part.
        part: SnapshotPart,
        /// What is wrong.
        what: &'static str,
    },
    /// Two metrics of a set give one key to different slots: their snapshots are not from one call.
    #[error(
        "{part} of the snapshot has the key `{key}` in slot {slot}, another metric of the set has it in slot \
         {other_slot}: restore snapshots that one call of `TableSet::snapshot` returned"
    )]
    KeySlots {
        /// The part.
        part: SnapshotPart,
        /// The key, escaped where it is not ASCII.
        key: String,
        /// Its slot in this part.
        slot: usize,
        /// Its slot in the snapshot of a metric that was restored before.
        other_slot: usize,
    },
    /// The meta part cannot be read.
    #[error("the meta part of the snapshot cannot be read: {reason}")]
    Meta {
        /// The decoder's message.
        reason: String,
    },
    /// Two metrics of a set give one slot to different keys: their snapshots are not from one call.
    #[error(
        "{part} of the snapshot has the key `{key}` in slot {slot}, another metric of the set has `{other_key}` there: \
         restore snapshots that one call of `TableSet::snapshot` returned"
    )]
    SlotKeys {
        /// The part.
        part: SnapshotPart,
        /// The slot.
        slot: usize,
        /// Its key in this part, escaped where it is not ASCII.
        key: String,
        /// Its key in the snapshot of a metric that was restored before, escaped where it is not ASCII.
        other_key: String,
    },
    /// The liveness of an object is impossible.
    #[error("{part} of the snapshot has an impossible {kind} state")]
    State {
        /// The part.
        part: SnapshotPart,
        /// The kind of state.
        kind: StateKind,
        /// What is wrong with it.
        #[source]
        error: RestoreError,
    },
    /// A newer version of the algorithm wrote the state of a column.
    #[error(
        "the {kind} state `{identity}` in {part} of the snapshot has version {found}, this build reads up to {readable}: \
         run the newer program, or start this aggregation anew by taking the proxy types that use it out of the \
         configuration for one start"
    )]
    StateVersion {
        /// The part.
        part: SnapshotPart,
        /// The kind of state.
        kind: StateKind,
        /// What accumulates.
        identity: String,
        /// The version found.
        found: u16,
        /// The newest version that this build reads.
        readable: u16,
    },
    /// A snapshot of another stream's table.
    #[error("the snapshot is of stream `{found}`, not of `{expected}`: give each stream's table its own snapshots")]
    Stream {
        /// The stream of the plan.
        expected: String,
        /// The stream of the snapshot.
        found: String,
    },
    /// A part is cut short, or claims to be longer than it is.
    #[error("{part} of the snapshot is cut short at `{field}`")]
    Truncated {
        /// The part.
        part: SnapshotPart,
        /// What was to be read.
        field: &'static str,
    },
    /// Written in another format.
    #[error(
        "{part} of the snapshot has format version {found}, this build reads version {}: {}",
        VERSION,
        version_remedy(*found)
    )]
    Version {
        /// The part.
        part: SnapshotPart,
        /// The version found.
        found: u8,
    },
}

impl SnapshotError {
    /// Whether a newer program wrote the snapshot. It can still read it, so do not discard the snapshot.
    pub fn is_from_newer_program(&self) -> bool {
        match self {
            Self::StateVersion { .. } => true,
            Self::Version { found, .. } => *found > VERSION,
            Self::Checksum { .. }
            | Self::Inconsistent { .. }
            | Self::KeySlots { .. }
            | Self::Meta { .. }
            | Self::SlotKeys { .. }
            | Self::State { .. }
            | Self::Stream { .. }
            | Self::Truncated { .. } => false,
        }
    }
}

fn version_remedy(found: u8) -> &'static str {
    if found > VERSION {
        "run the newer program, or discard the snapshot"
    } else {
        "no release wrote that version, discard the snapshot"
    }
}
