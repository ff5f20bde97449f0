//! A digest over the chunks of a state, which shows at a restore whether they are complete and of one commit.
//!
//! Each commit writes the digest into the head of the state. A chunk that is missing, obsolete or older than its head
//! changes the digest.

use std::collections::BTreeMap;

use daemon_base::splitmix::mix;

/// The ids and stored checksums of a partition's chunks, with a digest over all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Digests {
    chunks: BTreeMap<u32, u32>,
    sum: u64,
}

impl Digests {
    /// Sets the checksum of a chunk; `None` removes the chunk.
    pub(crate) fn set(&mut self, chunk: u32, checksum: Option<u32>) {
        let old = match checksum {
            Some(checksum) => self.chunks.insert(chunk, checksum),
            None => self.chunks.remove(&chunk),
        };
        // A sum, so that the change of one chunk does not read the others.
        self.sum = self.sum.wrapping_sub(old.map_or(0, |old| spread(chunk, old)));
        self.sum = self.sum.wrapping_add(checksum.map_or(0, |new| spread(chunk, new)));
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
