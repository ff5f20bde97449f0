//! The state of a partition: commits, resets, restores, and the space of replaced chunks.
//!
//! A commit appends the changed chunks to the open file of state. The journal names the place and the checksum of each
//! chunk, so a restore reads exactly the chunks of the last commit. When more than half of the files is replaced, a
//! commit also copies chunks of the oldest one that are in use; a file of which nothing is in use goes.

use daemon_base::failpoint;

use crate::embedded::change::{Change, ChunkAt};
use crate::embedded::segment::Family;
use crate::embedded::stage::Stage;
use crate::embedded::tables::Head;
use crate::embedded::writer::Locked;
use crate::error::LogError;
use crate::{PartitionCommit, PartitionId, Restored};

impl Stage<'_> {
    /// Stages the commits of one call; an error stages none of them.
    pub(super) fn commit(&mut self, commits: Vec<PartitionCommit>, at: u64) -> Result<(), LogError> {
        for (index, commit) in commits.iter().enumerate() {
            if commits[..index].iter().any(|earlier| earlier.partition == commit.partition) {
                let reason = format!("one call commits partition {} twice", commit.partition);
                return Err(LogError::invalid(reason));
            }
            self.check_commit(commit)?;
        }
        let committed_at = self.tables.clamp_time(at);
        commits.into_iter().for_each(|commit| self.commit_partition(commit, committed_at));
        self.touched.states = true;
        Ok(())
    }

    fn check_commit(&self, commit: &PartitionCommit) -> Result<(), LogError> {
        let PartitionCommit { partition, cursor, .. } = *commit;
        if !self.tables.restored.contains(&partition) {
            return Err(LogError::NotRestored { partition });
        }
        let known = self.tables.partitions.get(&partition);
        let (low, high) = known.map_or((0, 0), |known| (known.applied(), known.ends.bounds.next));
        if !(low..=high).contains(&cursor) {
            return Err(LogError::CursorOutOfRange { partition, cursor, low, high });
        }
        Ok(())
    }

    fn commit_partition(&mut self, commit: PartitionCommit, at: u64) {
        let PartitionCommit { partition: id, cursor, meta, chunks, results } = commit;
        for (chunk, bytes) in chunks {
            let at = bytes.map(|bytes| {
                let crc = crc32fast::hash(&bytes);
                ChunkAt { place: self.add(Family::State, bytes), crc }
            });
            self.change(Change::Chunk { partition: id, chunk, at });
        }
        self.change(Change::Head { partition: id, head: Some(Head { cursor, sequence: self.sequence, meta }) });
        if let Some(partition) = self.tables.partitions.get_mut(&id) {
            partition.cursor_bytes = self.catalog.bytes_before(id, &partition.ends, cursor);
        }
        self.touched.results |= !results.is_empty();
        results.into_frames().into_iter().for_each(|frame| self.add_frame(PartitionId::RESULTS, frame, at));
    }

    /// Stages the deletion of a partition's state and cursor.
    pub(super) fn reset_state(&mut self, id: PartitionId) -> Result<(), LogError> {
        self.tables.restored.insert(id);
        if self.tables.partitions.contains_key(&id) {
            self.change(Change::Head { partition: id, head: None });
        }
        Ok(())
    }
}

impl Locked<'_> {
    /// Reads and verifies the whole state of a partition, which may commit afterwards.
    pub(super) fn restore(&mut self, partition: PartitionId) -> Result<Option<Restored>, LogError> {
        self.tables().restored.remove(&partition);
        failpoint::point("restore.mid");
        let known = self.tables().partitions.get(&partition);
        let head = known.and_then(|known| known.head.clone());
        let places: Vec<_> = known.map(|it| it.chunks.iter().map(|(id, at)| (*id, *at)).collect()).unwrap_or_default();
        let mut chunks = Vec::with_capacity(places.len());
        for (chunk, at) in places {
            let bytes = self.read_chunk(at)?;
            let corrupt = |reason| LogError::CorruptState { partition, chunk: Some(chunk), reason };
            chunks.push((chunk, bytes.map_err(corrupt)?));
        }
        self.tables().restored.insert(partition);
        Ok(head.map(|Head { cursor, sequence, meta }| Restored { cursor, meta, chunks, sequence }))
    }

    /// Reads a chunk; the inner error is the damage, with its file and position.
    fn read_chunk(&self, ChunkAt { place, crc }: ChunkAt) -> Result<Result<Vec<u8>, String>, LogError> {
        if place.len == 0 {
            return Ok(Ok(Vec::new()));
        }
        let Some(file) = self.catalog().file(Family::State, place.segment) else {
            return Ok(Err(format!("the file state-{:010} is missing", place.segment)));
        };
        let Some(bytes) = file.read(u64::from(place.at), place.len as usize)? else {
            return Ok(Err(format!("{} ends before byte {}", file.path.display(), place.end())));
        };
        let computed = crc32fast::hash(&bytes);
        let at = format!("{} at byte {}", file.path.display(), place.at);
        Ok(if computed == crc { Ok(bytes) } else { Err(format!("checksum of {at} is {computed:08x}, not {crc:08x}")) })
    }
}
