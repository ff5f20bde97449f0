//! Columns: the states of many objects under one spec.
//!
//! Columns are indexed by a dense object number, the *slot*. An engine with windows in event time has for each periodic
//! spec one [`WindowColumn`] for each open window, one [`DownstreamColumn`] if a chain or a detector follows the
//! window, and one [`CounterColumn`] if the metric is a cumulative counter. An inline spec has one [`InlineColumn`].
//! Closing a window is one pass over arrays, 64 slots at a time. An object takes the memory of its states: 16 bytes for
//! a sum in a window, 32 for the detector `EWM`.
//!
//! Built-in and registered algorithms use the same type of column: an array of states. There is one dynamic dispatch
//! for a batch of samples, and one for 64 slots at a close.
//!
//! Specs with equal windows ([`Spec::shares_window`](crate::Spec::shares_window)) can share a window column: the sum of
//! a period is computed once for all results that are derived from it.
//!
//! A metric that is a map, with a value for each key, has one [`MapColumn`], which combines those columns for the keys
//! of each object.
//!
//! Slots beyond the end of a column are empty; a write to such a slot grows the column.
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
//!     // The objects of slots 0 to 63, a bit for each.
//!     let objects = 1 << 7 | 1 << 9;
//!     let fed = detectors.close_many(0, objects, Some(&window), period, Silence::Once);
//!     assert_eq!(fed, objects);
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
use crate::source_id::SourceId;

pub use self::counter::CounterColumn;
pub(crate) use self::counter::restore_reading;
pub use self::downstream::DownstreamColumn;
pub use self::inline::InlineColumn;
pub use self::map::MapColumn;
pub(crate) use self::typed::TypedColumn;
pub use self::values::Reports;
pub(crate) use self::values::Values;
pub use self::window::WindowColumn;

/// The number of slots that are closed in one pass: one bit of a word for each.
pub const WORD: usize = 64;

/// A sample of the object in a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The slot of the object.
    pub slot: u32,
    /// The time of the sample in microseconds.
    pub at: u64,
    /// The sample.
    pub value: Number,
}

/// The reason why only a part of a batch of samples was taken.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("sample {index} of the batch was refused: {error}")]
pub struct Refused {
    /// The index of the refused sample in the batch. The samples before it were taken, the samples after it were not.
    pub index: usize,
    /// The reason why the sample was refused.
    #[source]
    pub error: UpdateError,
}

/// A column of states of any algorithm.
pub(crate) trait Column: Any + fmt::Debug + Send + Sync {
    /// A column with the same states.
    fn boxed_clone(&self) -> Box<dyn Column>;

    /// An empty column of the same algorithm.
    fn empty_clone(&self) -> Box<dyn Column>;

    /// Takes a sample.
    fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError>;

    /// Takes a sample of a source.
    fn update_from(&mut self, slot: usize, source: SourceId, at: u64, value: Number) -> Result<(), UpdateError>;

    /// Takes an increase of a counter since its reading of time `since`.
    fn update_increase(&mut self, slot: usize, since: u64, at: u64, value: Number) -> Result<(), UpdateError>;

    /// Takes samples in order, up to the first that is refused.
    fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused>;

    /// Takes the values, of the column's type, of the slots whose bit is set. Returns the bits of the values that were
    /// taken.
    fn feed(&mut self, word: usize, slots: u64, at: u64, values: &Values) -> u64;

    /// Ends a period without a value for these slots.
    fn pass_silence(&mut self, word: usize, slots: u64);

    /// Writes the values of the results of the slots whose bit is set.
    fn values(&self, word: usize, slots: u64, now: u64, values: &mut Values);

    /// The bits of the slots that have taken a sample.
    fn occupied(&self, word: usize, slots: u64) -> u64;

    /// Whether the slot has taken no sample.
    fn is_empty(&self, slot: usize) -> bool;

    /// The result of a slot.
    fn report(&self, slot: usize, now: u64) -> Report<Record>;

    /// Puts the result of a slot into a record, and returns its report without it.
    fn report_into(&self, slot: usize, now: u64, record: &mut Record) -> Report<()>;

    /// Writes the results of the slots whose bit is set.
    fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports);

    /// Merges the state of slot `other` of a column of the same algorithm into a slot.
    fn merge(&mut self, slot: usize, from: &dyn Column, other: usize) -> Result<(), MergeError>;

    /// Empties `count` slots from `first` on.
    fn clear_many(&mut self, first: usize, count: usize);

    /// Begins the next period of these slots.
    fn end_period(&mut self, word: usize, slots: u64);

    /// Reserves capacity for `slots` slots in total.
    fn reserve(&mut self, slots: usize);

    /// Moves the states of these slots from a column of the same algorithm to this one, and begins the next period
    /// there.
    fn take(&mut self, word: usize, slots: u64, from: &mut dyn Column);

    /// The bytes of the array, and the bytes that its states allocate.
    fn bytes(&self) -> usize;

    /// Drops the slots from `slots` on and frees their memory.
    fn shrink(&mut self, slots: usize);

    /// Appends the words of a slot's state.
    fn save(&self, slot: usize, words: &mut Vec<u64>);

    /// Restores a state that `version` of the algorithm saved.
    fn restore(&mut self, slot: usize, version: u16, words: &mut Words<'_>) -> Result<(), RestoreError>;
}

/// Loads the states of a batch into the cache: `test` reads a part of the state of a slot, and its answers are not
/// used. The loop is so short that the processor runs far ahead and waits for many cache misses at once.
#[inline]
pub(crate) fn prefetch(updates: &[Update], test: impl Fn(usize) -> bool) {
    black_box(updates.iter().filter(|update| test(update.slot as usize)).count());
}

/// The indexes of the set bits, from the lowest.
#[inline]
pub(crate) fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = set.trailing_zeros() as usize;
        set &= set.wrapping_sub(1);
        (bit < WORD).then_some(bit)
    })
}
