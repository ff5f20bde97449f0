//! The index in the state of the log: the chunks of a partition without input, as the checkpoint of the view.
//!
//! A chunk is a *piece*: the entries of about 64 MiB of results and the objects that are new in them. Only the newest
//! piece is written again; a chunk is deleted with the last results of its epoch. The log writes chunks atomically and
//! with checksums, so a kill leaves this index or an older one. Behind an older one the view adds the results again,
//! and what the view does not read any more is a gap. An index that cannot be read is left out: then all retained
//! results are a gap.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Context as _;
use daemon_log::{Bounds, LogError, PartitionCommit, PartitionId, PartitionLog, RecordBuffer};
use tracing::warn;

use super::epoch::Epoch;
use super::piece::{OpenPiece, Piece, unpack};
use super::{FIRST_NUMBER, ResultIndex};

/// The name in the log.
pub const NAME: &str = "index:results";

/// The results after which the next piece begins.
const PIECE_BYTES: u64 = 64 * 1024 * 1024;

/// The stored index of a log.
pub struct IndexStore {
    log: Arc<dyn PartitionLog>,
    /// The chunks in the log, each with the first offset of its epoch.
    chunks: VecDeque<(u32, u64)>,
    /// Chunks that are not used any more.
    unused: Vec<u32>,
    open: OpenPiece,
}

impl IndexStore {
    /// An index in the directory of `log`.
    pub fn new(log: Arc<dyn PartitionLog>) -> Self {
        Self { log, chunks: VecDeque::new(), unused: Vec::new(), open: OpenPiece::default() }
    }

    /// Reads the index; an empty one if there is none, or none that can be used.
    ///
    /// # Errors
    ///
    /// When the log cannot be used at all.
    pub fn load(&mut self, bounds: Bounds) -> Result<ResultIndex, LogError> {
        *self = Self::new(Arc::clone(&self.log));
        let chunks = match self.stored() {
            Err(error) if error.is_permanent() => return Err(error),
            Err(error) => {
                warn!(%error, "The index of the results cannot be read; histories read the results without it.");
                Vec::new()
            }
            Ok(chunks) => chunks,
        };
        let mut index = ResultIndex::default();
        for (chunk, bytes) in chunks {
            let added = Piece::decode(&bytes).and_then(|piece| self.add(&mut index, chunk, piece, bounds));
            if let Err(reason) = added {
                warn!(%reason, "The index of the results cannot be used; histories read the results without it.");
                self.unused.extend(self.chunks.drain(..).map(|(chunk, _)| chunk));
                self.unused.push(chunk);
                (index, self.open) = (ResultIndex::default(), OpenPiece::default());
            }
            self.open.chunk = chunk;
        }
        if let Some(last) = index.epochs.back_mut() {
            last.reopen();
        }
        index.retire(bounds.first);
        Ok(index)
    }

    fn stored(&self) -> Result<Vec<(u32, Vec<u8>)>, LogError> {
        let Some(stream) = self.log.find_stream(NAME)? else { return Ok(Vec::new()) };
        Ok(self.log.restore(PartitionId::new(stream, 0))?.map(|restored| restored.chunks).unwrap_or_default())
    }

    /// Adds a piece to the index of those before.
    fn add(&mut self, index: &mut ResultIndex, chunk: u32, piece: Piece, bounds: Bounds) -> Result<(), String> {
        let Piece { epoch: epoch_first, known, bytes, loose_bytes, first, end, hashes, entries } = piece;
        if end > bounds.next || first > end {
            return Err(format!("piece {chunk} has the offsets {first} to {end}, the results end at {}", bounds.next));
        }
        if known == 0 {
            if first < index.next {
                return Err(format!("piece {chunk} begins at {first}, the last epoch ends at {}", index.next));
            }
            if let Some(last) = index.epochs.back_mut() {
                last.close();
            }
            index.epochs.push_back(Epoch::new(epoch_first, FIRST_NUMBER));
        }
        let expected = format!("piece {chunk} goes on at {first} with {known} objects, unlike the pieces before it");
        let epoch = index.epochs.back_mut().filter(|epoch| epoch.first == epoch_first).ok_or(&*expected)?;
        // The first entries of a piece that is written again may be deleted with their results.
        if epoch.hashes.len() != known as usize || (known > 0 && first != epoch.end && first > bounds.first) {
            return Err(expected);
        }
        self.open = OpenPiece { chunk, first, known, bytes_before: epoch.bytes };
        let (hashes, _) = hashes.as_chunks::<4>();
        epoch.hashes.extend(hashes.iter().map(|hash| u32::from_le_bytes(*hash)));
        unpack(entries).try_for_each(|entry| {
            let is_next = entry.first >= epoch.entries.back().map_or(first, |last| last.first) && entry.first < end;
            epoch.entries.push_back(entry);
            is_next.then_some(()).ok_or_else(|| format!("piece {chunk} has entries in a wrong order"))
        })?;
        (epoch.end, epoch.bytes, epoch.loose_bytes) = (end, bytes, loose_bytes);
        index.next = end;
        self.chunks.push_back((chunk, epoch_first));
        Ok(())
    }

    /// Stores what is new, and forgets what the log has deleted.
    ///
    /// # Errors
    ///
    /// When the log cannot be written. The next call stores all again that this one did not.
    pub fn store(&mut self, pieces: Unsaved) -> anyhow::Result<()> {
        let oldest = pieces.oldest;
        let old = self.chunks.iter().filter(|(_, epoch)| *epoch < oldest).map(|(chunk, _)| chunk);
        let mut chunks: Vec<_> = old.chain(&self.unused).map(|chunk| (*chunk, None)).collect();
        for (chunk, piece) in &pieces.pieces {
            chunks.push((*chunk, Some(piece.encode().context("encode the index of the results")?)));
        }
        self.commit(chunks)?;
        self.chunks.retain(|(_, epoch)| *epoch >= oldest);
        self.unused.clear();
        for (chunk, piece) in pieces.pieces {
            self.chunks.retain(|(known, _)| *known != chunk);
            self.chunks.push_back((chunk, piece.epoch));
        }
        self.open = pieces.open;
        Ok(())
    }

    /// The pieces of an index that are not stored as they are.
    pub fn unsaved(&self, index: &mut ResultIndex) -> Unsaved {
        index.flush();
        let (mut open, mut pieces) = (self.open, Vec::new());
        let oldest = index.epochs.front().map_or(0, |epoch| epoch.first);
        let is_first = self.chunks.is_empty();
        if is_first || open.first < oldest {
            open = OpenPiece { chunk: open.chunk.wrapping_add(1), first: oldest, known: 0, bytes_before: 0 };
        }
        let from = open.first;
        for epoch in index.epochs.iter().filter(|epoch| epoch.end > epoch.first.max(from)) {
            if epoch.first > open.first || (epoch.first == open.first && open.known > 0) {
                open = OpenPiece { chunk: open.chunk.wrapping_add(1), first: epoch.first, known: 0, bytes_before: 0 };
            }
            pieces.push((open.chunk, Piece::of(epoch, open)));
            if epoch.bytes - open.bytes_before >= PIECE_BYTES {
                let known = epoch.hashes.len() as u32;
                let chunk = open.chunk.wrapping_add(1);
                open = OpenPiece { chunk, first: epoch.end, known, bytes_before: epoch.bytes };
            }
        }
        Unsaved { pieces, open, oldest }
    }

    fn commit(&self, chunks: Vec<(u32, Option<Vec<u8>>)>) -> anyhow::Result<()> {
        let partition = PartitionId::new(self.log.stream_id(NAME)?, 0);
        let commit = || {
            let (meta, results) = (Vec::new(), RecordBuffer::default());
            let commit = PartitionCommit { partition, cursor: 0, meta, chunks: chunks.clone(), results };
            // Without a time of its own: the log raises it to its latest one.
            self.log.commit(vec![commit], 0)
        };
        match commit() {
            Err(LogError::NotRestored { .. }) => {}
            committed => return Ok(committed?),
        }
        match self.log.restore(partition) {
            Err(LogError::CorruptState { .. }) => self.log.reset_state(partition)?,
            restored => drop(restored?),
        }
        Ok(commit()?)
    }
}

/// Pieces to store.
pub struct Unsaved {
    pieces: Vec<(u32, Piece)>,
    open: OpenPiece,
    /// The first offset of the oldest epoch.
    oldest: u64,
}
