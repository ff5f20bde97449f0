//! Tells whether the chunks of a state are all there, and of one time.
//!
//! Their digest stands in the head that is written with them, so that a chunk that is missing, left over, or older than
//! its head is noticed when the state is read back.

use std::collections::BTreeMap;

use daemon_base::splitmix::mix;

/// The chunks of a restored partition by id, with the checksum each was stored with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Digests {
    chunks: BTreeMap<u32, u32>,
    sum: u64,
}

impl Digests {
    pub fn set(&mut self, chunk: u32, checksum: Option<u32>) {
        let old = match checksum {
            Some(checksum) => self.chunks.insert(chunk, checksum),
            None => self.chunks.remove(&chunk),
        };
        // A sum, so that one chunk can be exchanged without looking at the others.
        self.sum = self.sum.wrapping_sub(old.map_or(0, |old| spread(chunk, old)));
        self.sum = self.sum.wrapping_add(checksum.map_or(0, |new| spread(chunk, new)));
    }

    pub fn sum(&self) -> u64 {
        self.sum
    }

    pub fn count(&self) -> u32 {
        self.chunks.len() as u32
    }

    pub fn ids(&self) -> impl Iterator<Item = u32> {
        self.chunks.keys().copied()
    }
}

/// Spreads (chunk, checksum) over 64 bits, so that sums of different sets differ.
fn spread(chunk: u32, checksum: u32) -> u64 {
    mix(u64::from(chunk) << 32 | u64::from(checksum))
}
