//! Where the view begins to read at the next start: kept in the log, as the state of a partition without input.
//!
//! The view is in memory, and a start builds it from the results, from the oldest one on that it needs
//! ([`generations`](super::generations)). That offset, and the list of the loudest objects, whose history is in older
//! results, are stored from time to time and at the stop. The offset only grows, so an older checkpoint, from before a
//! kill, is as right and takes longer. Without a checkpoint the view reads all results that the log has.
//!
//! What is damaged after the checkpoint is missing in the view until the next result of its object: older results, which
//! a whole read would show in its place, are not read.

use std::sync::Arc;

use anyhow::Context as _;
use daemon_log::{Bounds, LogError, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::loudest::SavedLoudest;

/// The name in the log.
pub const NAME: &str = "sink:view";

/// The format of a checkpoint. Another number makes the next start read all results: raise it also when the view keeps
/// something that it did not keep before.
const VERSION: u8 = 1;

/// The chunk of the state.
const CHUNK: u32 = 0;

/// How many bytes of results come between two checkpoints: at most so much more is read after a kill.
const INTERVAL_BYTES: u64 = 64 * 1024 * 1024;

/// What a start needs of the last run.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Checkpoint {
    /// What the view selects of the results: with another configuration it may need older ones.
    pub selection: u128,
    /// The offset of the oldest result that the view needs.
    pub oldest_needed: u64,
    /// The results before it are in `loudest`.
    pub next: u64,
    pub loudest: SavedLoudest,
}

/// The checkpoints of the view.
pub struct Checkpoints {
    /// `None` for a log that other processes share: the results there are not this process's.
    log: Option<Arc<dyn PartitionLog>>,
    selection: u128,
    /// The size of the results since the last checkpoint.
    bytes_since: u64,
}

impl Checkpoints {
    /// Checkpoints in the directory of `log`, or none without one, for a view of this selection of results.
    pub fn new(log: Option<Arc<dyn PartitionLog>>, selection: u128) -> Self {
        Self { log, selection, bytes_since: 0 }
    }

    /// The last checkpoint, if it is of this configuration and of these results. A checkpoint that cannot be read costs
    /// time only.
    ///
    /// # Errors
    ///
    /// When the log cannot be used at all.
    pub(super) fn load(&self, bounds: Bounds) -> Result<Option<Checkpoint>, LogError> {
        let Some(log) = self.log.as_deref() else { return Ok(None) };
        let chunk = match stored(log) {
            Err(error) if error.is_permanent() => return Err(error),
            Err(error) => {
                warn!(%error, "The view's checkpoint cannot be read; the view reads all results that the log has.");
                return Ok(None);
            }
            Ok(chunk) => chunk,
        };
        let is_usable = |it: &Checkpoint| it.selection == self.selection && it.next <= bounds.next;
        Ok(chunk.and_then(|chunk| decode(&chunk)).filter(is_usable))
    }

    /// Counts results that the view has read.
    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes_since += bytes as u64;
    }

    /// Whether new results make a checkpoint worth its write, as they do at the stop; then the next one is due after as
    /// many results as usual.
    pub(super) fn take_due(&mut self, stopping: bool) -> bool {
        let is_due = self.bytes_since >= INTERVAL_BYTES || stopping;
        self.bytes_since = if is_due { 0 } else { self.bytes_since };
        is_due
    }

    /// Stores a checkpoint.
    ///
    /// # Errors
    ///
    /// When the log cannot be written.
    pub(super) fn store(&self, oldest_needed: u64, next: u64, loudest: SavedLoudest) -> anyhow::Result<()> {
        let Some(log) = self.log.as_deref() else { return Ok(()) };
        let checkpoint = Checkpoint { selection: self.selection, oldest_needed, next, loudest };
        let chunk = postcard::to_extend(&checkpoint, vec![VERSION]).context("encode the checkpoint")?;
        let partition = PartitionId::new(log.stream_id(NAME)?, 0);
        match commit(log, partition, chunk.clone()) {
            Err(LogError::NotRestored { .. }) => {}
            committed => return Ok(committed?),
        }
        match log.restore(partition) {
            Err(LogError::CorruptState { .. }) => log.reset_state(partition)?,
            restored => drop(restored?),
        }
        Ok(commit(log, partition, chunk)?)
    }
}

/// The bytes of the last checkpoint.
fn stored(log: &dyn PartitionLog) -> Result<Option<Vec<u8>>, LogError> {
    let Some(stream) = log.find_stream(NAME)? else { return Ok(None) };
    let restored = log.restore(PartitionId::new(stream, 0))?;
    Ok(restored.and_then(|restored| Some(restored.chunks.into_iter().next()?.1)))
}

fn commit(log: &dyn PartitionLog, partition: PartitionId, chunk: Vec<u8>) -> Result<(), LogError> {
    let (meta, results) = (Vec::new(), RecordBuffer::default());
    let commit = PartitionCommit { partition, cursor: 0, meta, chunks: vec![(CHUNK, Some(chunk))], results };
    // Without a time of its own: the log raises it to its latest one.
    log.commit(vec![commit], 0)
}

/// The checkpoint in a chunk; `None` for one of another format.
fn decode(chunk: &[u8]) -> Option<Checkpoint> {
    let (version, checkpoint) = chunk.split_first()?;
    (*version == VERSION).then(|| postcard::from_bytes(checkpoint).ok()).flatten()
}
