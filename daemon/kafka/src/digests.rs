//! A digest over the chunks of a state, which shows at a restore whether they are complete and of one commit.
//!
//! Each commit writes the digest into the head of the state. A chunk that is missing, obsolete or older than its head
//! changes the digest. The sizes of the chunks are added up beside it, for the metrics.

use std::collections::BTreeMap;

use daemon_base::splitmix::mix;

use crate::codec;

/// The ids and stored checksums of a partition's chunks, with a digest and the size of all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    chunks: BTreeMap<u32, Chunk>,
    sum: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chunk {
    checksum: u32,
    bytes: u32,
}

impl Digests {
    /// Sets the checksum and the size of a chunk to those of the sealed one; `None` removes the chunk.
    pub(crate) fn set(&mut self, chunk: u32, sealed: Option<&[u8]>) {
        let new = sealed.map(|it| Chunk { checksum: codec::stored_checksum(it), bytes: it.len() as u32 });
        let old = match new {
            Some(new) => self.chunks.insert(chunk, new),
            None => self.chunks.remove(&chunk),
        };
        // A sum, so that the change of one chunk does not read the others.
        self.sum = self.sum.wrapping_sub(old.map_or(0, |old| spread(chunk, old.checksum)));
        self.sum = self.sum.wrapping_add(new.map_or(0, |new| spread(chunk, new.checksum)));
        let size = |chunk: Option<Chunk>| chunk.map_or(0, |chunk| u64::from(chunk.bytes));
        self.bytes = self.bytes.saturating_sub(size(old)) + size(new);
    }

    /// The size of all chunks.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest over all chunks.
    pub(crate) fn sum(&self) -> u64 {
        self.sum
    }

    /// The number of chunks.
    pub(crate) fn count(&self) -> u32 {
        self.chunks.len() as u32
    }
}

/// Mixes (chunk, checksum) into 64 bits, so that the sums of different sets differ.
fn spread(chunk: u32, checksum: u32) -> u64 {
    mix(u64::from(chunk) << 32 | u64::from(checksum))
}
