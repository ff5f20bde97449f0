//! The contract of an algorithm, and the algorithms of the menu.
//!
//! An algorithm value holds *parameters* only (a range, an alpha), checked when it is built and shared by every
//! object; what one object accumulates is the associated [`State`](Algorithm::State). A million objects are a million
//! small states beside one algorithm. Each algorithm is one file, with its menu [`Entry`](crate::entry::Entry).
//!
//! | annotation | where | type | result |
//! |---|---|---|---|
//! | `DSSum[:range]` | inline, period, pre | [`Sum`], [`RangeSum`] | sum of all samples, or of the last `range` seconds |
//! | `DSAvg[:range]` | inline, period, pre | [`Average`], [`RangeAverage`] | mean of the same |
//! | `DSNone` | inline, period, pre | [`Newest`] | the newest sample |
//! | `DSNon0` | inline, period, pre | [`NonZero`] | the newest sample, unchanged while 0 |
//! | `DSChange` | inline, period, pre | [`Change`] | the newest sample, unchanged while equal to the one before |
//! | `DSNull` | inline | [`Null`] | newest sample and count |
//! | `DSEWM:alpha` | inline | [`Ewm`] | exponentially weighted mean and deviation |
//! | `DSAnomaly:EWM:alpha` | inline, detector | [`Anomaly`] | the same, with warm-up and a score |
//!
//! *Where* names the [roles](crate::entry::Roles); `pre` is a pre-aggregation.

pub(crate) mod anomaly;
pub(crate) mod average;
pub(crate) mod change;
pub(crate) mod ewm;
pub(crate) mod newest;
pub(crate) mod non_zero;
pub(crate) mod null;
mod range;
pub(crate) mod sum;
mod tally;

#[cfg(test)]
use alloc::vec::Vec;
use core::fmt;

use crate::number::{Number, Numeric, ValueError};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};

pub use self::anomaly::{Anomaly, AnomalyState};
pub use self::average::{Average, RangeAverage};
pub use self::change::Change;
pub use self::ewm::{Alpha, AlphaError, Ewm, EwmState};
pub use self::newest::Newest;
pub use self::non_zero::NonZero;
pub use self::null::{Null, NullState};
pub use self::range::{Range, RangeError, RangeState};
pub use self::sum::{RangeSum, Sum};
pub use self::tally::Tally;

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<T> {
    /// Microseconds since the Unix epoch, or since any fixed instant: only differences matter.
    pub at: u64,
    /// The value, finite.
    pub value: T,
    /// Whether the value is the bound of its type because the true one did not fit: the sum of a period can be, a
    /// sample as it came cannot.
    pub overflowed: bool,
}

impl<T> Sample<T> {
    /// A value as it came.
    #[inline]
    pub fn new(at: u64, value: T) -> Self {
        Self { at, value, overflowed: false }
    }
}

/// Why a sample was refused. The state is as if it had never come, with two exceptions: [`DifferenceOverflow`] keeps
/// the new reading, and [`TimeWentBack`] counts the refused sample.
///
/// [`DifferenceOverflow`]: Self::DifferenceOverflow
/// [`TimeWentBack`]: Self::TimeWentBack
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The difference of a counter left the range of its type. The new reading is remembered.
    #[error(
        "the counter moved from {from} to {to}, a difference its type cannot hold; the next difference counts from {to}"
    )]
    DifferenceOverflow {
        /// The last reading.
        from: Number,
        /// This reading.
        to: Number,
    },
    /// The state was made by another spec.
    #[error("this state belongs to another pipeline; start one with `Spec::start` of the spec that updates it")]
    ForeignState,
    /// A batch for the states of many objects names a slot without a state.
    #[error("there is no state for slot {slot}; add states with `Spec::start` before the batch")]
    NoState {
        /// The slot.
        slot: u32,
    },
    /// A ranged window takes samples in order of their bucket. The state counts how many were refused.
    #[error(
        "the sample at {at} us is older than the newest at {newest} us; send samples of a ranged sum in order of time"
    )]
    TimeWentBack {
        /// The time of the refused sample.
        at: u64,
        /// The start of the newest bucket.
        newest: u64,
    },
    /// The value cannot be a sample of this pipeline.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Why two states cannot be merged. Both are as before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The states accumulate different things: another algorithm, arguments or element type.
    #[error("the states belong to different pipelines; merge windows of specs that share them (`Spec::shares_window`)")]
    Foreign,
    /// The algorithm has no exact merge.
    #[error("this algorithm cannot merge states; aggregate all samples in one place")]
    NotMergeable,
}

/// The number that stands for a result, for what follows in a pipeline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The number.
    pub number: Number,
    /// Whether it is the bound of its type because the true one did not fit.
    pub overflowed: bool,
}

/// An aggregation over samples of type `T`.
///
/// The built-in algorithms implement this trait, and so can an embedding program: implement it for all three types
/// (`impl<T: Numeric> Algorithm<T> for Mine`), write an [`Entry`](crate::entry::Entry), and pass that to
/// [`Registry::register`](crate::Registry::register). It then runs like a built-in one, in the same columns and at the
/// same speed.
///
/// Reads never change state, and time only comes in as an argument.
pub trait Algorithm<T: Numeric>: fmt::Debug + Send + Sync + 'static {
    /// What one object accumulates. It lies in a column beside those of other objects: keep it small and flat.
    type State: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The state before the first sample.
    fn start(&self) -> Self::State;

    /// Whether no sample was taken since the start.
    fn is_empty(&self, state: &Self::State) -> bool;

    /// Takes a sample.
    ///
    /// # Errors
    ///
    /// When the sample is refused; the state is then unchanged.
    fn update(&self, state: &mut Self::State, sample: Sample<T>) -> Result<(), UpdateError>;

    /// The result at time `now`, in microseconds. Its numbers are those of the entry's fields, in their order.
    ///
    /// `now` can be before the newest sample, and is 0 where the caller wants the result as of that sample: take the
    /// later of the two, and subtract with `saturating_sub`.
    fn report(&self, state: &Self::State, now: u64) -> Report<Record>;

    /// The number that stands for the result: the one at index `value` of the report. The default makes the whole
    /// report; an algorithm that ends a million periods at once gives it directly.
    #[inline]
    fn value(&self, state: &Self::State, now: u64, value: usize) -> Option<Measured> {
        let record = self.report(state, now).forced()?;
        Some(Measured { number: record.get(value)?, overflowed: record.flaw() == Some(Flaw::Overflow) })
    }

    /// Whether every finite sample is taken, whatever its time and the state. Batches then need no way back.
    fn takes_every_sample(&self) -> bool {
        false
    }

    /// Adds what `from` accumulated to `into`, for algorithms whose entry claims that they merge.
    ///
    /// # Errors
    ///
    /// [`MergeError::NotMergeable`] for all others; `into` is then unchanged.
    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), MergeError> {
        let _ = (into, from);
        Err(MergeError::NotMergeable)
    }

    /// How many words hold a state; `None` if states differ in length. A single object's [`State`](crate::State) holds
    /// the words in place, without a box: it [loads](Self::load) the state for each sample and [stores](Self::store)
    /// it afterwards.
    fn words(&self) -> Option<usize> {
        None
    }

    /// The state that [`store`](Self::store) wrote into the words; `None` if these are not such words, and every sample
    /// of the object is then refused.
    ///
    /// The default is [`restore`](Self::restore), with its checks. Only `store` writes there, so an algorithm with
    /// [words](Self::words) that overrides both may leave the checks out, and costs a few instructions a sample.
    #[inline]
    fn load(&self, words: &[u64]) -> Option<Self::State> {
        self.restore(&mut Words::new(words)).ok()
    }

    /// Writes the state into as many words as [`words`](Self::words) says. The default is [`save`](Self::save).
    #[inline]
    fn store(&self, state: &Self::State, words: &mut [u64]) {
        self.save(state, &mut WordWriter::at(words));
    }

    /// The most bytes that a state allocates beyond its own size.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// Writes the exact state.
    fn save(&self, state: &Self::State, words: &mut WordWriter<'_>);

    /// Reads back what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// When the words end early, or hold a value that neither the start nor a sequence of samples leads to.
    fn restore(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError>;

    /// Reads words that an older `version` of this algorithm's entry wrote.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore). The default knows no older version.
    fn migrate(&self, version: u16, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        let _ = words;
        Err(RestoreError::UnknownAlgorithmVersion { found: version })
    }
}

/// An algorithm that scores one value a period against what it has learnt.
///
/// The value comes through [`update`](Algorithm::update). Whether a period without samples counts as the value 0 is not
/// the detector's affair: the pipeline around it decides by its rule for [`Silence`](crate::Silence), and keeps whether
/// the newest period had samples. The score, the expected value and the band are the fields of its entry that have
/// these [roles](crate::entry::Role).
pub trait Detector<T: Numeric>: Algorithm<T> {
    /// A period passed that gave no value: it had no samples, and the rule for silence makes no 0 of it. The default
    /// does nothing; a detector with a season moves on in it.
    fn pass_silence(&self, state: &mut Self::State) {
        let _ = state;
    }
}

/// The words of a state, for tests.
#[cfg(test)]
pub(crate) fn saved<T: Numeric, A: Algorithm<T>>(algorithm: &A, state: &A::State) -> Vec<u64> {
    let mut words = Vec::new();
    algorithm.save(state, &mut WordWriter::new(&mut words));
    words
}
