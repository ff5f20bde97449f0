//! The set of values: a list of hashes, or registers.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::algorithm::Distinct;
use crate::algorithm::packed::{Packed, Unpacked};
use crate::saved::{RestoreError, WordWriter, Words};

/// The different values of an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// The hashes of a few values, ascending.
    Few(Vec<u64>),
    /// The largest rank for each index.
    Many(Box<[u8]>),
}

impl Values {
    /// Writes the number of hashes and the hashes, or 2^64-1 and the registers.
    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        match self {
            Self::Few(hashes) => {
                words.push(hashes.len() as u64);
                words.extend(hashes.iter().copied());
            }
            Self::Many(ranks) => {
                words.push(u64::MAX);
                let mut packed = Packed::default();
                ranks.iter().for_each(|rank| packed.put(u64::from(*rank)));
                packed.save(words);
            }
        }
    }
}

impl Distinct {
    /// Adds the hash of a value.
    pub(super) fn insert(self, values: &mut Values, hash: u64) {
        match values {
            Values::Many(ranks) => self.raise(ranks, hash),
            Values::Few(hashes) => {
                let Err(position) = hashes.binary_search(&hash) else {
                    return;
                };
                if hashes.len() < self.most_listed() {
                    return hashes.insert(position, hash);
                }
                let mut ranks = self.ranks(hashes);
                self.raise(&mut ranks, hash);
                *values = Values::Many(ranks);
            }
        }
    }

    /// The registers of listed values.
    fn ranks(self, hashes: &[u64]) -> Box<[u8]> {
        let mut ranks = alloc::vec![0; self.registers()].into_boxed_slice();
        hashes.iter().for_each(|hash| self.raise(&mut ranks, *hash));
        ranks
    }

    #[inline]
    fn raise(self, ranks: &mut [u8], hash: u64) {
        let index = (hash >> (64 - self.bits)) as usize;
        // The bit after the others bounds the rank.
        let rest = hash << self.bits | 1 << (self.bits - 1);
        let rank = rest.leading_zeros() as u8 + 1;
        if let Some(largest) = ranks.get_mut(index) {
            *largest = (*largest).max(rank);
        }
    }

    /// Adds the values of another set.
    pub(super) fn merge_values(self, into: &mut Values, from: &Values) {
        match (&mut *into, from) {
            (_, Values::Few(hashes)) => hashes.iter().for_each(|hash| self.insert(into, *hash)),
            (Values::Many(ranks), Values::Many(other)) => {
                ranks.iter_mut().zip(other).for_each(|(rank, other)| *rank = (*rank).max(*other));
            }
            (Values::Few(hashes), Values::Many(other)) => {
                let mut ranks = other.clone();
                hashes.iter().for_each(|hash| self.raise(&mut ranks, *hash));
                *into = Values::Many(ranks);
            }
        }
    }

    /// Reads what [`Values::save`] wrote.
    pub(super) fn restore_values(self, words: &mut Words<'_>) -> Result<Values, RestoreError> {
        const HASHES: &str = "number of values";
        const RANKS: &str = "ranks";
        let count = words.next(HASHES)?;
        if count == u64::MAX {
            let mut unpacked = Unpacked::restore(RANKS, words)?;
            let mut ranks = Vec::new();
            while !unpacked.is_empty() {
                let rank = unpacked.next()?;
                if rank > self.most_rank().into() || ranks.len() == self.registers() {
                    return Err(RestoreError::invalid(RANKS, rank));
                }
                ranks.push(rank as u8);
            }
            let is_whole = ranks.len() == self.registers() && ranks.iter().any(|rank| *rank > 0);
            let ranks = is_whole.then_some(Values::Many(ranks.into()));
            return ranks.ok_or_else(|| RestoreError::invalid(RANKS, 0));
        }
        if count == 0 || count > self.most_listed() as u64 {
            return Err(RestoreError::invalid(HASHES, count));
        }
        let mut hashes: Vec<u64> = Vec::new();
        for _ in 0..count {
            let hash = words.next("value")?;
            if hashes.last().is_some_and(|last| *last >= hash) {
                return Err(RestoreError::invalid("value", hash));
            }
            hashes.push(hash);
        }
        Ok(Values::Few(hashes))
    }
}
