//! The highest rate of a node's entries, and the largest total that it allows to a new entry.
//!
//! A single rise gives no rate: it may be the reading of another counter. Two rises of a counter confirm each other, if
//! one is at most twice the other; else the lower one is certain. So is any rise of at most twice the highest rate. The
//! rate is kept when its entry is dropped.

use std::fmt;

use super::NodeCounters;
use super::baseline::{PLAUSIBLE_FACTOR, SECOND};
use super::new_entries::MAX_FORGOTTEN;

/// What a new entry may add in a second, in bytes and packets together, while no rate of the node is known: 1 Gbit/s,
/// the slowest link that hosts of containers have. The first provider on an idle node then counts in full.
const RATE_OF_UNKNOWN: u128 = 125_000_000;

/// For how long at most that rate is taken, in microseconds: the default scrape interval. Of a longer one it would be
/// more than the counters of many containers that are old.
const LONGEST_OF_UNKNOWN: u64 = 10_000_000;

/// The largest plausible total of a new entry of a node.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    /// Twice a rate, for a time: the node's highest, or that of a single rise while no other is known.
    OfRate { rate: u64, elapsed: u64 },
    /// That of a link, for a time: no rate is known.
    OfLink { elapsed: u64 },
    /// No rate is known, and there may be more forgotten entries than are remembered.
    Nothing,
}

impl Limit {
    /// Returns the limit after `elapsed` microseconds since the last scrape of a node.
    pub(super) fn new(known: &NodeCounters, elapsed: u64) -> Self {
        if known.highest > 0 {
            return Self::OfRate { rate: known.highest, elapsed };
        }
        if known.forgotten.len() >= MAX_FORGOTTEN {
            return Self::Nothing;
        }
        let rate = known.entries.rows().map(|row| row.value.last.rise).max().unwrap_or(0);
        let (of_rate, of_link) = (Self::OfRate { rate, elapsed }, Self::OfLink { elapsed });
        if rate > 0 && of_rate.most() < of_link.most() { of_rate } else { of_link }
    }

    /// Returns the largest total in millionths.
    pub(super) fn most(self) -> u128 {
        match self {
            Self::OfRate { rate, elapsed } => (u128::from(rate) * PLAUSIBLE_FACTOR).saturating_mul(elapsed.into()),
            Self::OfLink { elapsed } => RATE_OF_UNKNOWN * u128::from(elapsed.min(LONGEST_OF_UNKNOWN)),
            Self::Nothing => 0,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (most, seconds) = (self.most() / SECOND, |elapsed: u64| elapsed as f64 / SECOND as f64);
        match *self {
            Self::OfRate { rate, elapsed } => {
                let seconds = seconds(elapsed);
                write!(f, "at most {most} of a new one: twice the node's highest rate of {rate}/s, for {seconds} s")
            }
            Self::OfLink { elapsed } => {
                let seconds = seconds(elapsed.min(LONGEST_OF_UNKNOWN));
                write!(f, "at most {most} of a new one: 1 Gbit/s for {seconds} s, as no rate of the node is known")
            }
            Self::Nothing => f.write_str(
                "no traffic of a new one: no rate of the node is known, and more entries were dropped than are \
                 remembered",
            ),
        }
    }
}

/// Returns the rate that is certain after a rise, if `highest` is a node's so far: `rates` are those of the counter's
/// last two rises, 0 for none.
pub(super) fn confirmed(rates: [u64; 2], highest: u64) -> u64 {
    let is_near = |high: u64, low: u64| u128::from(high) <= u128::from(low) * PLAUSIBLE_FACTOR;
    let [before, now] = rates;
    let (low, high) = (before.min(now), before.max(now));
    let of_both = if is_near(high, low) { high } else { low };
    if is_near(now, highest) { of_both.max(now) } else { of_both }
}
