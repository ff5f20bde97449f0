//! The contract of an aggregation algorithm, and the fixed menu that implements it.
//!
//! An algorithm value holds *parameters* only (a range, an alpha), checked when it is built and shared by every
//! object; what one object accumulates is the associated [`State`](Algorithm::State). A million objects are a million
//! small states beside one algorithm.
//!
//! | annotation | type | result |
//! |---|---|---|
//! | `DSSum[:range]` | [`Sum`], [`RangeSum`] | sum of all samples, or of the last `range` seconds |
//! | `DSAvg[:range]` | [`Average`], [`RangeAverage`] | mean of the same |
//! | `DSNone` | [`Newest`] | the newest sample |
//! | `DSNon0` | [`NonZero`] | the newest sample, unchanged while 0 |
//! | `DSChange` | [`Change`] | the newest sample, unchanged while equal to the one before |
//! | `DSNull` | [`Null`] | newest sample and count |
//! | `DSEWM:alpha` | [`Ewm`] | exponentially weighted mean and deviation |
//! | `DSAnomaly:EWM:alpha` | [`Anomaly`] | the same, with warm-up and a score |

mod anomaly;
mod average;
mod change;
mod ewm;
mod newest;
mod non_zero;
mod null;
mod range;
mod sum;
mod tally;

use std::fmt;

use crate::number::{Number, Numeric, ValueError};
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};

pub use self::anomaly::{Anomaly, AnomalyState};
pub use self::average::{Average, RangeAverage};
pub use self::change::Change;
pub use self::ewm::{Alpha, AlphaError, Ewm, EwmState};
pub use self::newest::Newest;
pub use self::non_zero::NonZero;
pub use self::null::{Null, NullState};
pub use self::range::{Range, RangeError, RangeState, RangeSum};
pub use self::sum::Sum;
pub use self::tally::Tally;

/// One value at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<T> {
    /// Microseconds since the Unix epoch, or since any fixed instant: only differences matter.
    pub at: u64,
    /// The value, finite.
    pub value: T,
}

/// Why a sample was not taken. The state is as if it had never come, unless a variant says otherwise.
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

/// An aggregation over samples of type `T`.
///
/// The built-in algorithms implement this trait, and so can an embedding program: implement it for all three types
/// (`impl<T: Numeric> Algorithm<T> for Mine`) and give it a name with
/// [`Registry::register`](crate::Registry::register).
///
/// Reads never change state, and time only comes in as an argument.
pub trait Algorithm<T: Numeric>: fmt::Debug + Send + Sync + 'static {
    /// What one object accumulates.
    type State: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The state before the first sample.
    fn start(&self) -> Self::State;

    /// Takes a sample.
    ///
    /// # Errors
    ///
    /// When the sample cannot be taken; the state is then unchanged.
    fn update(&self, state: &mut Self::State, sample: Sample<T>) -> Result<(), UpdateError>;

    /// The result at time `now`, in microseconds, at or after the newest sample.
    fn report(&self, state: &Self::State, now: u64) -> Report<Output<'_>>;

    /// Appends the exact state to `words`.
    fn save(&self, state: &Self::State, words: &mut Vec<u64>);

    /// Reads back what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// When the words end early or hold a value that no sequence of samples leads to.
    fn restore(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError>;
}
