//! The random numbers of a schedule, all derived from its seed.

use std::cell::Cell;

use daemon_base::splitmix::{GAMMA, mix};

/// A SplitMix64 generator: small, and every seed gives a good sequence.
pub(super) struct Random(Cell<u64>);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn next(&self) -> u64 {
        let state = self.0.get();
        self.0.set(state.wrapping_add(GAMMA));
        mix(state)
    }

    /// A number below `bound`; 0 if there is none.
    pub(super) fn below(&self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True with a probability of one in `times`.
    pub(super) fn once_in(&self, times: usize) -> bool {
        self.below(times) == 0
    }
}
