//! Where the view begins to read at the next start: kept in the log, as the state of a partition without input.
//!
//! The view is in memory, and a start builds it from the results. It needs those from its oldest value on
//! ([`ages`](super::ages)): with a result of each object in each window, the last windows, whatever the log retains. The
//! place is stored when it has moved on far enough to save time, and at the stop. It moves forward only, so an older
//! one, from before a kill, is as right and takes longer.

use std::sync::Arc;

use anyhow::Context as _;
use daemon_log::{Bounds, LogError, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::view::ages::Place;
use crate::view::loudest::Loud;

/// The name in the log.
const NAME: &str = "sink:view";

/// The format of what is stored.
const VERSION: u8 = 1;

/// The chunk of the state.
const CHUNK: u32 = 0;

/// How many bytes of results a start must be spared, that the place is stored.
const SPARED_BYTES: u64 = 32 * 1024 * 1024;

/// The place of one view in its log.
pub(crate) struct ViewStart {
    /// `None` for a log that other processes share: the results there are not this process's.
    log: Option<Arc<dyn PartitionLog>>,
    /// What the view selects of the results: with another configuration it may need older ones.
    selection: u128,
    /// The place that is stored, by the bytes that this process has read.
    stored: Place,
}

/// What is stored.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Stored {
    selection: u128,
    /// The oldest result that the view needs.
    pub needed: u64,
    /// The results before it are in `loudest`.
    pub next: u64,
    pub loudest: Vec<Loud>,
}

impl ViewStart {
    pub(crate) fn new(log: Option<Arc<dyn PartitionLog>>, selection: u128) -> Self {
        Self { log, selection, stored: Place::default() }
    }

    /// The stored place, if it is of this configuration and of these results.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub(super) fn load(&mut self, bounds: Bounds) -> Result<Option<Stored>, LogError> {
        let Some(log) = self.log.as_deref() else { return Ok(None) };
        let Some(stream) = log.find_stream(NAME)? else { return Ok(None) };
        let partition = PartitionId::new(stream, 0);
        let restored = match log.restore(partition) {
            Err(LogError::CorruptState { reason, .. }) => {
                warn!(%reason, "The place at which the view starts is damaged; the view reads all results that the log has.");
                log.reset_state(partition)?;
                None
            }
            restored => restored?,
        };
        let chunks = restored.map(|restored| restored.chunks).unwrap_or_default();
        let stored = chunks.first().and_then(|(_, chunk)| decode(chunk));
        let is_right = |stored: &Stored| stored.selection == self.selection && stored.next <= bounds.next;
        let stored = stored.filter(is_right);
        self.stored = Place { offset: stored.as_ref().map_or(0, |stored| stored.needed), bytes_before: 0 };
        Ok(stored)
    }

    /// Whether a place is worth to be stored.
    pub(super) fn is_due(&self, needed: Place, stopping: bool) -> bool {
        let spared = needed.bytes_before.saturating_sub(self.stored.bytes_before);
        self.log.is_some() && (spared >= SPARED_BYTES || stopping && needed.offset > self.stored.offset)
    }

    /// Stores a place; `next` is the offset after the last result that the view has.
    ///
    /// # Errors
    ///
    /// When the log cannot be written. It is due again when that much more could be spared, and at the stop.
    pub(super) fn store(&mut self, needed: Place, next: u64, loudest: Vec<Loud>) -> anyhow::Result<()> {
        let Some(log) = self.log.as_deref() else { return Ok(()) };
        self.stored.bytes_before = needed.bytes_before;
        let stored = Stored { selection: self.selection, needed: needed.offset, next, loudest };
        let chunk = postcard::to_extend(&stored, vec![VERSION]).context("encode the place")?;
        let partition = PartitionId::new(log.stream_id(NAME)?, 0);
        // After a failed write the log takes a commit only from a partition that was restored.
        log.restore(partition)?;
        let (meta, results) = (Vec::new(), RecordBuffer::default());
        let commit = PartitionCommit { partition, cursor: 0, meta, chunks: vec![(CHUNK, Some(chunk))], results };
        // Not a time of this process: the log raises it to its latest one.
        log.commit(vec![commit], 0)?;
        self.stored = needed;
        Ok(())
    }
}

/// What a chunk holds; `None` for one of another version, or of a newer program's.
fn decode(chunk: &[u8]) -> Option<Stored> {
    let (version, stored) = chunk.split_first()?;
    (*version == VERSION).then(|| postcard::from_bytes(stored).ok()).flatten()
}
