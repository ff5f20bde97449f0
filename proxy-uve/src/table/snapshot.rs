//! Saving and restoring a table, in pieces.
//!
//! A snapshot has a small *meta* part (progress, counters, the list of columns) and *chunks* of [`CHUNK_SLOTS`] slots
//! each. Only chunks that changed since the last snapshot are written, so saving costs what changed. A chunk describes
//! itself: the keys of its slots, then named sections of 64-bit words, one for each column and open window with a
//! state:
//!
//! ```text
//! chunk   := version:u8 checksum:u32 keys section*
//! keys    := count:u16 text*                       one for each slot up to the last used; empty for a slot without object
//! section := kind:u8 versions:u8 version:u16* identity:text group:text start:u64 slots:u64*4 words:u32 word:u64*
//! text    := length:u32 byte*
//! meta    := version:u8 checksum:u32 JSON
//! ```
//!
//! Numbers are little-endian. `identity` is [what accumulates](crate::table::identity), `group` the window group,
//! `start` the start of the window; `slots` has a bit for each slot of the chunk, `words` the states of those in order.
//! A section whose column the configuration no longer has is ignored, and a column that no section fills starts anew: a
//! change of configuration keeps every state whose meaning it does not change.
//!
//! The owner stores which chunks belong to one snapshot. A restore returns a whole table or an error, and a
//! [report](RestoreReport) of the states that were kept, dropped and started without saved state.

mod columns;
mod decode;
mod encode;
mod error;
mod part;
mod report;
mod restore;
mod seal;
mod slot_set;
mod sources;

use serde::{Deserialize, Serialize};

use self::encode::ChunkEncoder;
pub use self::error::{SnapshotError, SnapshotPart};
pub use self::part::{JoinError, TablePart};
pub use self::report::{RestoreOutcome, RestoreReport, RestoredState, StateKind};
pub(in crate::table) use self::restore::Restore;
use self::slot_set::SlotSet;
use self::sources::SavedColumn;
use crate::position::Position;
use crate::table::identity::GroupKey;
use crate::table::objects::Keys;
use crate::table::plan::GroupPlan;
use crate::table::progress::SavedProgress;
use crate::table::stream_state::StreamState;
use crate::table::unknown::UnknownTime;
use crate::table::{Fates, ResultSink, Table};

/// Slots in a chunk. A chunk is written whole when one of its objects changed: small enough for that to be cheap, large
/// enough that a million objects are a few thousand chunks.
pub const CHUNK_SLOTS: usize = 256;

/// Of the format of chunks and meta part. Version 1, which was never released, had no checksum and named columns by
/// hashes.
const VERSION: u8 = 2;

/// Of a meta part with unknown time: a program that does not know it must not read on without it.
const VERSION_WITH_UNKNOWN_TIME: u8 = 3;

/// The parts of a table that changed since the snapshot before.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Progress, counters and the list of columns; replaces the one before.
    pub meta: Vec<u8>,
    /// Changed chunks by number; `None` for one without objects. The others are as before.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    stream: String,
    position: Option<Position>,
    newest: Option<u64>,
    watermark: u64,
    covered_from: u64,
    #[serde(default, skip_serializing_if = "UnknownTime::is_empty")]
    unknown: UnknownTime,
    fates: Fates,
    groups: Vec<SavedGroup>,
    columns: Vec<SavedColumn>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct SavedGroup {
    group: GroupKey,
    /// The end of its newest closed window.
    closed_to: Option<u64>,
}

/// A kind of section as it is written.
fn kind_code(kind: StateKind) -> u8 {
    match kind {
        StateKind::Liveness => 1,
        StateKind::Touched => 2,
        StateKind::Window => 3,
        StateKind::Detector => 4,
        StateKind::Inline => 5,
        StateKind::Counter => 6,
        StateKind::Sources => 7,
    }
}

fn kind_of_code(code: u8) -> Option<StateKind> {
    const KINDS: [StateKind; 7] = [
        StateKind::Liveness,
        StateKind::Touched,
        StateKind::Window,
        StateKind::Detector,
        StateKind::Inline,
        StateKind::Counter,
        StateKind::Sources,
    ];
    KINDS.into_iter().find(|kind| kind_code(*kind) == code)
}

impl<S: ResultSink> Table<S> {
    /// What changed since the last snapshot, all of it for a new table. The cost is that of the changed chunks.
    ///
    /// The results are not part of it: drain them first, and store both in one transaction. A window that is
    /// [closing](Self::is_closing) is closed to its end, which may take a while: wait until it is, if that matters.
    pub fn snapshot(&mut self) -> Snapshot {
        self.stream.snapshot(&mut self.slots)
    }
}

impl<S: ResultSink> StreamState<S> {
    pub(super) fn snapshot(&mut self, keys: &mut impl Keys) -> Snapshot {
        self.finish_closing(keys);
        let changed = self.objects.take_changed();
        let columns = columns::distinct_columns(&self.plan);
        let encoder = ChunkEncoder::new(keys.slots(), &self.objects, &self.columns, &columns);
        let mut part = Vec::new();
        let chunks = changed.iter().map(|chunk| (chunk as u32, encoder.encode(chunk, &mut part))).collect();
        Snapshot { meta: self.meta(&columns).encode(), chunks }
    }

    fn meta(&self, columns: &[columns::Column<'_>]) -> Meta {
        let SavedProgress { position, newest, watermark, covered_from, fates } = self.progress.saved();
        let groups = self.plan.groups.iter().enumerate();
        let group = |(index, plan): (usize, &GroupPlan)| SavedGroup {
            group: plan.key(),
            closed_to: self.objects.group(index).closed_to(),
        };
        let column = |column: &columns::Column<'_>| SavedColumn {
            kind: column.kind,
            identity: column.identity.to_owned(),
            group: column.group,
            covered_from: match column.kind {
                StateKind::Window => self.columns.windows(column.index).covered_from(),
                StateKind::Counter
                | StateKind::Detector
                | StateKind::Inline
                | StateKind::Liveness
                | StateKind::Sources
                | StateKind::Touched => 0,
            },
        };
        Meta {
            stream: self.plan.stream.to_string(),
            position,
            newest,
            watermark,
            covered_from,
            unknown: self.progress.unknown().clone(),
            fates,
            groups: groups.map(group).collect(),
            columns: columns.iter().map(column).collect(),
        }
    }
}

impl Meta {
    fn encode(&self) -> Vec<u8> {
        let version = if self.unknown.is_empty() { VERSION } else { VERSION_WITH_UNKNOWN_TIME };
        let mut part = Vec::new();
        seal::begin(version, &mut part);
        // Plain data into memory: serialising cannot fail.
        part.extend(serde_json::to_vec(self).unwrap_or_default());
        seal::finish(&mut part);
        part
    }
}
