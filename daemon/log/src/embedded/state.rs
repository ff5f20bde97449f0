//! The state of a partition: commits, resets and restores.
//!
//! The state consists of a head and chunks. Each is sealed separately, so that a commit writes only the changed ones.
//! The head holds the number and the digest of all chunks. A restore therefore detects a chunk that is missing,
//! obsolete or older than the head, and then it loads no part of the state.

use daemon_base::failpoint;

use crate::codec::{self, Fields};
use crate::digests::Digests;
use crate::embedded::load::bytes_before;
use crate::embedded::stage::Stage;
use crate::embedded::store::{Space, Store};
use crate::embedded::writer::Locked;
use crate::error::LogError;
use crate::keys;
use crate::{PartitionCommit, PartitionId, Restored};

/// The cursor and `meta` of a partition, with the number and the digest of its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub cursor: u64,
    /// The number of the write that committed the state.
    sequence: u64,
    chunks: u32,
    digest: u64,
    meta: Vec<u8>,
}

impl Head {
    /// Loads and verifies the head of a partition.
    pub(super) fn load(store: &Store, partition: PartitionId) -> Result<Option<Self>, LogError> {
        let key = keys::head(partition);
        let Some(sealed) = store.get(Space::State, &key)? else { return Ok(None) };
        let head = codec::open(&key, &sealed).and_then(Self::parse);
        head.map(Some).map_err(|reason| corrupt(partition, None, reason))
    }

    fn parse(payload: &[u8]) -> Result<Self, String> {
        let mut fields = Fields(payload);
        Ok(Self {
            cursor: fields.u64()?,
            sequence: fields.u64()?,
            chunks: fields.u32()?,
            digest: fields.u64()?,
            meta: fields.rest().to_vec(),
        })
    }

    fn seal(&self, key: &[u8]) -> Vec<u8> {
        let (cursor, sequence) = (self.cursor.to_le_bytes(), self.sequence.to_le_bytes());
        let (chunks, digest) = (self.chunks.to_le_bytes(), self.digest.to_le_bytes());
        codec::seal(key, &[&cursor, &sequence, &chunks, &digest, &self.meta])
    }
}

impl Stage<'_> {
    /// Stages the commits of one call; an error stages none of them.
    pub(super) fn commit(&mut self, commits: Vec<PartitionCommit>, at: u64) -> Result<(), LogError> {
        let mut cursor_bytes = Vec::with_capacity(commits.len());
        for (index, commit) in commits.iter().enumerate() {
            if commits[..index].iter().any(|earlier| earlier.partition == commit.partition) {
                let reason = format!("one call commits partition {} twice", commit.partition);
                return Err(LogError::invalid(reason));
            }
            cursor_bytes.push(self.check_commit(commit)?);
        }
        let committed_at = self.tables.clamp_time(at);
        for (commit, bytes) in commits.into_iter().zip(cursor_bytes) {
            self.commit_partition(commit, bytes, committed_at);
        }
        self.touched.states = true;
        Ok(())
    }

    /// Verifies a commit and returns the input bytes before its cursor.
    fn check_commit(&self, commit: &PartitionCommit) -> Result<u64, LogError> {
        let PartitionCommit { partition, cursor, .. } = *commit;
        if !self.tables.restored.contains_key(&partition) {
            return Err(LogError::NotRestored { partition });
        }
        let mut known = self.tables.partitions.get(&partition).copied().unwrap_or_default();
        let (low, high) = (known.cursor.unwrap_or(known.ends.bounds.first), known.ends.bounds.next);
        if !(low..=high).contains(&cursor) {
            return Err(LogError::CursorOutOfRange { partition, cursor, low, high });
        }
        known.cursor = Some(cursor);
        bytes_before(self.store, partition, &known)
    }

    fn commit_partition(&mut self, commit: PartitionCommit, cursor_bytes: u64, at: u64) {
        let PartitionCommit { partition: id, cursor, meta, chunks, results } = commit;
        let digests = self.tables.restored.entry(id).or_default();
        for (chunk, bytes) in chunks {
            let key = keys::chunk(id, chunk);
            let sealed = bytes.map(|bytes| codec::seal(&key, &[&self.sequence.to_le_bytes(), &bytes]));
            digests.set(chunk, sealed.as_deref().map(codec::stored_checksum));
            match sealed {
                Some(sealed) => self.batch.insert(Space::State, &key, sealed),
                None => self.batch.remove(Space::State, &key),
            }
        }
        let (chunks, digest) = (digests.count(), digests.sum());
        let head = Head { cursor, sequence: self.sequence, chunks, digest, meta };
        let key = keys::head(id);
        self.batch.insert(Space::State, &key, head.seal(&key));
        let partition = self.tables.partitions.entry(id).or_default();
        (partition.cursor, partition.cursor_bytes) = (Some(cursor), cursor_bytes);
        self.touched.results |= !results.is_empty();
        for frame in results.into_frames() {
            let (base, bytes) = self.tables.results.append(PartitionId::RESULTS, frame, at);
            self.batch.insert(Space::Results, &keys::frame(PartitionId::RESULTS, base), bytes);
        }
    }

    /// Stages the deletion of a partition's state and cursor.
    pub(super) fn reset_state(&mut self, id: PartitionId) -> Result<(), LogError> {
        let stored: Result<Vec<_>, _> = self.store.scan(Space::State, state_range(id)).collect();
        stored?.iter().for_each(|(key, _)| self.batch.remove(Space::State, key));
        // The scan does not return chunks that an earlier request of this write staged.
        for chunk in self.tables.restored.remove(&id).unwrap_or_default().ids() {
            self.batch.remove(Space::State, &keys::chunk(id, chunk));
        }
        self.tables.restored.insert(id, Digests::default());
        if let Some(partition) = self.tables.partitions.get_mut(&id) {
            (partition.cursor, partition.cursor_bytes) = (None, partition.ends.bytes_first);
            self.batch.remove(Space::State, &keys::head(id));
        }
        Ok(())
    }
}

impl Locked<'_> {
    /// Reads and verifies the whole state of a partition, which may commit afterwards.
    pub(super) fn restore(&mut self, partition: PartitionId) -> Result<Option<Restored>, LogError> {
        self.tables().restored.remove(&partition);
        let head = Head::load(self.store()?, partition)?;
        failpoint::point("restore.mid");
        let (chunks, digests) = load_chunks(self.store()?, partition)?;
        let (count, sum) = head.as_ref().map_or((0, 0), |head| (head.chunks, head.digest));
        if (count, sum) != (digests.count(), digests.sum()) {
            let found = digests.count();
            let reason = format!("the {found} stored chunks do not match the digest over {count} chunks in its head");
            return Err(corrupt(partition, None, reason));
        }
        self.tables().restored.insert(partition, digests);
        Ok(head.map(|Head { cursor, meta, sequence, .. }| Restored { cursor, meta, chunks, sequence }))
    }
}

type Chunks = Vec<(u32, Vec<u8>)>;

fn load_chunks(store: &Store, partition: PartitionId) -> Result<(Chunks, Digests), LogError> {
    let (mut chunks, mut digests) = (Vec::new(), Digests::default());
    for pair in store.scan(Space::State, state_range(partition)) {
        let (key, sealed) = pair?;
        let Some(id) = keys::parse_chunk(&key) else { continue };
        let payload = codec::open(&key, &sealed).and_then(|payload| {
            let mut fields = Fields(payload);
            fields.u64()?;
            Ok(fields.rest().to_vec())
        });
        let payload = payload.map_err(|reason| corrupt(partition, Some(id), reason))?;
        digests.set(id, Some(codec::stored_checksum(&sealed)));
        chunks.push((id, payload));
    }
    Ok((chunks, digests))
}

fn state_range(id: PartitionId) -> std::ops::RangeInclusive<Vec<u8>> {
    keys::head(id).to_vec()..=keys::chunk(id, u32::MAX).to_vec()
}

fn corrupt(partition: PartitionId, chunk: Option<u32>, reason: String) -> LogError {
    LogError::CorruptState { partition, chunk, reason }
}
