//! Saving and restoring a table, in pieces.
//!
//! A snapshot has a small *meta* part (progress, counters) and *chunks* of [`CHUNK_SLOTS`] slots each. Only chunks that
//! changed since the last snapshot are written, so saving costs what changed. A chunk describes itself: the keys of
//! its slots, then named sections of 64-bit words, one for each column and open window that holds something:
//!
//! ```text
//! chunk   := version:u8 keys section*
//! keys    := count:u16 (len:u32 bytes)*            one for each slot up to the last used; len 0 is a free one
//! section := kind:u8 id:u32 start:u64 words:u32 word:u64*
//! words   := (slot-in-chunk, words of the state)*
//! ```
//!
//! Numbers are little-endian. `id` names the column (a hash of what it computes) and `start` its window. A section
//! whose column the configuration no longer has is passed over, and a column that no section fills starts anew: a
//! change of configuration keeps the state of everything that it did not touch.
//!
//! Integrity (checksums, which chunks belong together) is the log's part. Structure is checked here: a restore gives
//! a whole table or an error.

mod decode;
mod encode;

use std::sync::Arc;

use derived_stats::RestoreError;
use serde::{Deserialize, Serialize};

use crate::table::group::Group;
use crate::table::{Fates, Plan, Progress, ResultBuffer, ResultSink, Table, TableSettings};

/// Slots in a chunk. A chunk is written whole when one of its objects changed: small enough for that to be cheap, large
/// enough that a million objects are a few thousand chunks.
pub const CHUNK_SLOTS: usize = 256;

const VERSION: u8 = 1;

/// What changed in a table.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Progress and counters; replaces the one before.
    pub meta: Vec<u8>,
    /// Changed chunks by number; `None` for one that is gone. Those not named are as before.
    pub chunks: Vec<(u32, Option<Vec<u8>>)>,
}

/// Why a snapshot is no table. Nothing is restored in part.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// A chunk is cut short, or says that it is longer than it is.
    #[error("chunk {chunk} of the snapshot is cut short at `{field}`")]
    Truncated {
        /// Its number.
        chunk: u32,
        /// What was to be read.
        field: &'static str,
    },
    /// A key or slot that is there twice, or a section of an unknown kind.
    #[error("chunk {chunk} of the snapshot is inconsistent: {what}")]
    Inconsistent {
        /// Its number.
        chunk: u32,
        /// What is wrong.
        what: &'static str,
    },
    /// The meta part is not one.
    #[error("the meta part of the snapshot cannot be read: {reason}")]
    Meta {
        /// What the decoder says.
        reason: String,
    },
    /// The state of a column is impossible.
    #[error("chunk {chunk} of the snapshot holds an impossible state")]
    State {
        /// Its number.
        chunk: u32,
        /// What is wrong with it.
        #[source]
        error: RestoreError,
    },
    /// Written by a newer version of this crate.
    #[error("the snapshot has version {found}, this build reads version {}", VERSION)]
    Version {
        /// The version found.
        found: u8,
    },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Meta {
    version: u8,
    position: Option<u64>,
    newest: Option<u64>,
    watermark: u64,
    covered_from: u64,
    fates: Fates,
    /// Group id and the end of its newest closed window.
    groups: Vec<(u32, Option<u64>)>,
}

/// The kinds of section.
mod kind {
    pub(super) const LIVES: u8 = 1;
    pub(super) const TOUCHED: u8 = 2;
    pub(super) const RUNNING: u8 = 3;
    pub(super) const DETECTOR: u8 = 4;
    pub(super) const INLINE: u8 = 5;
    pub(super) const COUNTER: u8 = 6;
}

impl Table {
    /// The table that a sequence of snapshots describes: the newest meta part and the newest form of each chunk.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if any part cannot be read.
    pub fn restore<'c>(
        plan: Arc<Plan>,
        settings: TableSettings,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<Self, SnapshotError> {
        Self::restore_with_sink(plan, settings, ResultBuffer::default(), meta, chunks)
    }
}

impl<S: ResultSink> Table<S> {
    /// The same as [`Table::restore`], for a table whose results go to `sink`.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] if any part cannot be read.
    pub fn restore_with_sink<'c>(
        plan: Arc<Plan>,
        settings: TableSettings,
        sink: S,
        meta: &[u8],
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
    ) -> Result<Self, SnapshotError> {
        let meta: Meta =
            serde_json::from_slice(meta).map_err(|error| SnapshotError::Meta { reason: error.to_string() })?;
        if meta.version != VERSION {
            return Err(SnapshotError::Version { found: meta.version });
        }
        let mut table = Self::with_sink(plan, settings, sink);
        for (chunk, bytes) in chunks {
            table.decode_chunk(chunk, bytes)?;
        }
        table.slots.finish_restore();
        table.take_meta(&meta)?;
        table.forget_orphans();
        Ok(table)
    }

    /// What changed since the last snapshot, all of it for a new table. The cost is that of the changed chunks.
    ///
    /// The results are not part of it: drain them first, and store both together. A window that is
    /// [closing](Self::is_closing) is closed to its end, which may take a while: wait until it is, if that matters.
    pub fn snapshot(&mut self) -> Snapshot {
        self.finish_closing();
        let dirty = std::mem::take(&mut self.dirty);
        let chunks = dirty.iter().map(|chunk| (chunk as u32, self.encode_chunk(chunk))).collect();
        Snapshot { meta: self.encode_meta(), chunks }
    }

    fn encode_meta(&self) -> Vec<u8> {
        let Progress { position, newest, watermark, covered_from, fates } = self.progress;
        let groups =
            self.groups.iter().zip(&self.plan.groups).map(|(group, plan)| (plan.id, group.closed_to)).collect();
        let meta = Meta { version: VERSION, position, newest, watermark, covered_from, fates, groups };
        // Plain data into memory: serialising has no way to fail.
        serde_json::to_vec(&meta).unwrap_or_default()
    }

    fn take_meta(&mut self, meta: &Meta) -> Result<(), SnapshotError> {
        let &Meta { position, newest, watermark, covered_from, fates, .. } = meta;
        self.progress = Progress { position, newest, watermark, covered_from, fates };
        for (group, plan) in self.groups.iter_mut().zip(&self.plan.groups) {
            let Some(&(_, closed_to)) = meta.groups.iter().find(|&&(id, _)| id == plan.id) else {
                // A group that comes back after a while: what chunks still have of it is out of date.
                *group = Group::default();
                continue;
            };
            if closed_to.is_some_and(|end| !end.is_multiple_of(plan.period) || end > watermark) {
                return Err(SnapshotError::Meta { reason: "a window closed at a time when none ends".to_owned() });
            }
            group.closed_to = closed_to;
            group.alive = group.lives.iter().filter(|life| life.is_alive()).count();
        }
        Ok(())
    }

    /// Drops the states and frees the objects that a change of configuration left without a life.
    fn forget_orphans(&mut self) {
        let plan = Arc::clone(&self.plan);
        for slot in 0..self.slots.len() {
            for group in 0..self.groups.len() {
                if self.groups[group].is_done_with(slot) {
                    self.forget(&plan, group, slot);
                }
            }
            let orphan = self.groups.iter().all(|group| group.is_done_with(slot));
            if orphan && !self.slots.key(slot).is_empty() {
                self.slots.remove(slot);
                self.dirty.insert(slot / CHUNK_SLOTS);
            }
        }
    }
}
