//! Many objects under one spec, side by side.
//!
//! An engine that keeps windows open in event time holds, for each periodic spec, columns that are indexed by a dense
//! object number (a *slot*): one [`WindowColumn`] for each window that is open, one [`DownstreamColumn`] if something
//! follows the window (a chain, a detector), and one [`CounterColumn`] if the metric is a cumulative counter. An inline
//! spec has one [`InlineColumn`]. Closing a window is one pass over arrays, 64 slots at a time, and an object costs its
//! states: 16 bytes for a sum in a window, 32 for the detector `EWM`.
//!
//! Built-in and registered algorithms lie in the same kind of column: plain arrays of their states. The algorithm is
//! looked up once for a batch of samples and once for 64 slots at a close.
//!
//! Specs whose windows accumulate the same ([`Spec::shares_window`](crate::Spec::shares_window)) can share a window
//! column: the sum of a period is made once, however many results are derived from it.
//!
//! A metric that is a map, with a value for each key, has one [`MapColumn`]: it puts those columns together for the
//! keys of each object.
//!
//! Slots beyond the end of a column are empty; a column grows to the slot that is written.
//!
//! ```
//! use derived_stats::column::{DownstreamColumn, Update, WindowColumn};
//! use derived_stats::{Context, Number, Silence, Spec, ValueType};
//!
//! let spec = Spec::parse("1.DSSum-raw:DSAnomaly:EWM:0.5", Context::new(ValueType::U64))?;
//! let mut window = WindowColumn::new(&spec).expect("a periodic spec");
//! let mut detectors = DownstreamColumn::new(&spec).expect("a spec with a detector");
//! for period in 0..2 {
//!     // Two samples of the object in slot 7, one of the object in slot 9.
//!     let sample = |slot, value| Update { slot, at: period, value: Number::U64(value) };
//!     window.update_all(&[sample(7, 20), sample(7, 16), sample(9, 1)])?;
//!     // All objects of slots 0 to 63 that are alive.
//!     let alive = 1 << 7 | 1 << 9;
//!     let fed = detectors.close_many(0, alive, Some(&window), period, Silence::Once);
//!     assert_eq!(fed, alive);
//!     window.reset();
//! }
//! let result = detectors.report(7).and_then(|report| report.forced()).expect("EWM:0.5 is ready after two periods");
//! assert_eq!((result.number("metric"), result.number("mean")), (Some(Number::U64(36)), Some(Number::F64(27.0))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod counter;
mod downstream;
mod inline;
mod map;
mod typed;
mod values;
mod window;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::hint::black_box;

use crate::algorithm::{MergeError, UpdateError};
use crate::number::Number;
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, Words};

pub use self::counter::CounterColumn;
pub(crate) use self::counter::restore_reading;
pub use self::downstream::DownstreamColumn;
pub use self::inline::InlineColumn;
pub use self::map::MapColumn;
pub(crate) use self::typed::TypedColumn;
pub use self::values::Reports;
pub(crate) use self::values::Values;
pub use self::window::WindowColumn;

/// Slots that are closed together.
pub const WORD: usize = 64;

/// A sample on its way to the slot of its object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The object.
    pub slot: u32,
    /// The time of the sample in microseconds.
    pub at: u64,
    /// The sample.
    pub value: Number,
}

/// Why a batch of samples was taken in part only.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("sample {index} of the batch was refused: {error}")]
pub struct Refused {
    /// The sample that was refused, by its index in the batch: those before it were taken, those after it were not.
    pub index: usize,
    /// What is wrong with it.
    #[source]
    pub error: UpdateError,
}

/// A column of states, whatever the algorithm.
pub(crate) trait Column: Any + fmt::Debug + Send + Sync {
    /// A column with the same states.
    fn boxed_clone(&self) -> Box<dyn Column>;

    /// An empty column of the same algorithm.
    fn empty_clone(&self) -> Box<dyn Column>;

    /// Takes a sample.
    fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError>;

    /// Takes samples in order, up to the first that is refused.
    fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused>;

    /// Takes the values of the slots whose bit is set, which are of the column's type. The set bits of the answer are
    /// those that were taken.
    fn feed(&mut self, word: usize, slots: u64, at: u64, values: &Values) -> u64;

    /// A period passed for these slots without a value.
    fn pass_silence(&mut self, word: usize, slots: u64);

    /// The numbers that stand for the results of the slots whose bit is set.
    fn values(&self, word: usize, slots: u64, now: u64, values: &mut Values);

    /// Which of the slots have taken a sample.
    fn occupied(&self, word: usize, slots: u64) -> u64;

    /// Whether the slot has taken no sample.
    fn is_empty(&self, slot: usize) -> bool;

    /// The result of a slot.
    fn report(&self, slot: usize, now: u64) -> Report<Record>;

    /// The results of the slots whose bit is set.
    fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports);

    /// Adds what slot `other` of a column of the same algorithm accumulated to a slot.
    fn merge(&mut self, slot: usize, from: &dyn Column, other: usize) -> Result<(), MergeError>;

    /// Empties `count` slots from `first` on.
    fn clear_many(&mut self, first: usize, count: usize);

    /// Makes room for so many slots in all.
    fn reserve(&mut self, slots: usize);

    /// Moves the states of these slots here from a column of the same algorithm, where they start anew.
    fn take(&mut self, word: usize, slots: u64, from: &mut dyn Column);

    /// The bytes that the states take: those of the array, and those that states which took samples may allocate.
    fn bytes(&self) -> usize;

    /// Forgets the slots from `slots` on and gives their memory back.
    fn shrink(&mut self, slots: usize);

    /// Appends the words of a slot's state.
    fn save(&self, slot: usize, words: &mut Vec<u64>);

    /// Reads back what a `version` of the algorithm saved.
    fn restore(&mut self, slot: usize, version: u16, words: &mut Words<'_>) -> Result<(), RestoreError>;
}

/// Loads the states of a batch into the cache: `test` reads a part of the state of a slot, and its answers are not used.
/// The loop is so short that the processor runs far ahead and waits for many cache misses at once.
#[inline]
pub(crate) fn prefetch(updates: &[Update], test: impl Fn(usize) -> bool) {
    black_box(updates.iter().filter(|update| test(update.slot as usize)).count());
}

/// Indexes of the set bits, from the lowest.
#[inline]
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (bit < WORD).then_some(bit)
    })
}
