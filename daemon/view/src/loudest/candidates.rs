//! Results of the newest windows that are below the list of the loudest objects.
//!
//! While the windows of a period close, the list still has results of the period before. A new result below all of them
//! is kept here, at most [`CAPACITY`] of those with the highest ranks, and comes into the list when an entry becomes
//! quieter or is removed. The first result of a newer window replaces all candidates of that length of windows.

use std::collections::{BTreeSet, HashMap};

use foldhash::fast::RandomState;

use crate::loudest::CAPACITY;
use crate::loudest::entry::{Loud, Rank};

/// The most lengths of windows whose newest window is known; beyond, the one that is behind most is forgotten with its
/// candidates.
const LENGTHS: usize = 8;

/// The newest window of one length, in microseconds.
#[derive(Debug)]
struct Newest {
    length: u64,
    end: u64,
}

/// The results of the newest windows that may come into the list.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    by_hash: HashMap<u64, Loud, RandomState>,
    /// The rank of each candidate with its hash, the lowest first.
    by_rank: BTreeSet<(Rank, u64)>,
    newest: Vec<Newest>,
}

impl Candidates {
    /// Whether a window is the newest one of its length; if it is newer than the last one, the candidates of that are
    /// dropped. The result of a single sample has no window.
    pub(super) fn begin_window(&mut self, start: u64, end: u64) -> bool {
        let length = end.saturating_sub(start);
        match self.newest.iter_mut().find(|it| it.length == length) {
            _ if length == 0 => false,
            Some(newest) if newest.end >= end => newest.end == end,
            Some(newest) => {
                newest.end = end;
                self.retain(|it| it.length() != length);
                true
            }
            None => {
                self.add_length(Newest { length, end });
                true
            }
        }
    }

    fn add_length(&mut self, newest: Newest) {
        let behind_most = self.newest.iter().enumerate().min_by_key(|(_, it)| it.end).map(|(index, _)| index);
        if self.newest.len() >= LENGTHS
            && let Some(index) = behind_most
        {
            let removed = self.newest.swap_remove(index);
            self.retain(|it| it.length() != removed.length);
        }
        self.newest.push(newest);
    }

    fn is_of_newest(&self, entry: &Loud) -> bool {
        self.newest.iter().any(|it| it.length == entry.length() && it.end == entry.end)
    }

    /// Whether a result of a newest window with this rank is kept.
    pub(super) fn has_room_for(&self, rank: Rank) -> bool {
        self.by_rank.len() < CAPACITY || self.by_rank.first().is_some_and(|(lowest, _)| *lowest < rank)
    }

    /// Keeps an entry that is of a newest window, if it has room.
    pub(super) fn insert(&mut self, entry: Loud) {
        let rank = entry.rank();
        if !self.is_of_newest(&entry) || !self.has_room_for(rank) {
            return;
        }
        if self.by_rank.len() >= CAPACITY
            && let Some((_, lowest)) = self.by_rank.pop_first()
        {
            self.by_hash.remove(&lowest);
        }
        self.by_rank.insert((rank, entry.hash));
        self.by_hash.insert(entry.hash, entry);
    }

    pub(super) fn remove(&mut self, hash: u64) {
        if let Some(removed) = self.by_hash.remove(&hash) {
            self.by_rank.remove(&(removed.rank(), hash));
        }
    }

    /// The highest rank.
    pub(super) fn highest(&self) -> Option<Rank> {
        self.by_rank.last().map(|(rank, _)| *rank)
    }

    /// Removes the candidate with the highest rank.
    pub(super) fn pop(&mut self) -> Option<Loud> {
        let (_, hash) = self.by_rank.pop_last()?;
        self.by_hash.remove(&hash)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Loud> {
        self.by_hash.values()
    }

    /// Removes the candidates for which `is_kept` is false.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Loud) -> bool) {
        let by_rank = &mut self.by_rank;
        self.by_hash.retain(|hash, entry| {
            let keeps = is_kept(entry);
            if !keeps {
                by_rank.remove(&(entry.rank(), *hash));
            }
            keeps
        });
    }
}

#[cfg(test)]
mod tests {
    use daemon_results::reading::Reading;

    use super::*;

    fn result(hash: u64, (start, end): (u64, u64), score: f64) -> Loud {
        let reading = Reading { score: Some(score), ..Reading::default() };
        let names = || Box::from("");
        let (key, uve, proxy, attribute) = (names(), names(), names(), names());
        let (since, values) = (None, [].into());
        Loud { key, uve, proxy, attribute, reading, start, end, partial: false, since, values, hash }
    }

    fn hashes(candidates: &Candidates) -> Vec<u64> {
        assert_eq!(candidates.by_hash.len(), candidates.by_rank.len());
        candidates.by_rank.iter().map(|(_, hash)| *hash).collect()
    }

    #[test]
    fn a_newer_window_replaces_the_candidates_of_its_length_alone() {
        let mut candidates = Candidates::default();
        for (hash, window) in [(1, (60, 120)), (2, (0, 120)), (3, (60, 120))] {
            assert!(candidates.begin_window(window.0, window.1));
            candidates.insert(result(hash, window, hash as f64));
        }
        assert!(!candidates.begin_window(0, 60) && !candidates.begin_window(120, 120));
        candidates.insert(result(4, (0, 60), 4.0));
        assert_eq!(hashes(&candidates), [1, 2, 3], "a result of an older window is not a candidate");
        assert!(candidates.begin_window(120, 180));
        assert_eq!(hashes(&candidates), [2]);
    }

    #[test]
    fn results_and_lengths_are_bounded() {
        let mut candidates = Candidates::default();
        candidates.begin_window(0, 60);
        for hash in 0..2 * CAPACITY as u64 {
            candidates.insert(result(hash, (0, 60), hash as f64));
        }
        let expected: Vec<u64> = (CAPACITY as u64..2 * CAPACITY as u64).collect();
        assert_eq!(hashes(&candidates), expected, "those with the highest ranks");
        assert!(!candidates.has_room_for(result(0, (0, 60), 7.0).rank()));
        (1..=LENGTHS as u64).for_each(|length| assert!(candidates.begin_window(100 - length, 100)));
        assert_eq!((candidates.newest.len(), hashes(&candidates).len()), (LENGTHS, 0));
    }
}
