//! The trait of algorithms, and the built-in algorithms.
//!
//! A value of an algorithm type holds only *parameters* (a range, an alpha), which are checked when it is built and
//! which all objects share. The data of one object is the associated type [`State`](Algorithm::State): a million
//! objects have a million states and one algorithm value. Each algorithm is one file, with its
//! [`Entry`](crate::entry::Entry) in the menu.
//!
//! | annotation | where | type | result |
//! |---|---|---|---|
//! | `DSSum[:range]` | inline, period, pre | [`Sum`], [`RangeSum`] | sum of all samples, or of the last `range` seconds |
//! | `DSAvg[:range]` | inline, period, pre | [`Average`], [`RangeAverage`] | mean of the same samples |
//! | `DSCount[:range]` | inline, period, pre | [`Count`] | the number of samples |
//! | `DSMin[:range]` | inline, period, pre | [`Min`] | the smallest sample |
//! | `DSMax[:range]` | inline, period, pre | [`Max`] | the largest sample |
//! | `DSSpread[:range]` | inline, period, pre | [`Spread`] | the largest sample minus the smallest |
//! | `DSVariance[:range]` | inline, period, pre | [`Variance`] | the variance of the samples |
//! | `DSStddev[:range]` | inline, period, pre | [`Stddev`] | their standard deviation |
//! | `DSTimeAvg[:range]` | inline, period, pre | [`TimeAverage`] | the mean over time of a value that holds until the next |
//! | `DSIncrease[:range]` | inline, period, pre | [`Increase`] | the increase of a cumulative counter |
//! | `DSRate[:range]` | inline, period, pre | [`Rate`] | the same per second |
//! | `DSSumLast[:periods]` | period, pre | [`SumLast`] | the sum of the last values of all sources |
//! | `DSAvgLast[:periods]` | period, pre | [`AverageLast`] | the mean of the last values of all sources |
//! | `DSMaxLast[:periods]` | period, pre | [`MaxLast`] | the largest of the last values of all sources |
//! | `DSFirst[:range]` | inline, period, pre | [`First`] | the first sample |
//! | `DSNone` | inline, period, pre | [`Newest`] | the newest sample |
//! | `DSNon0` | inline, period, pre | [`NonZero`] | the newest sample, unchanged while 0 |
//! | `DSChange` | inline, period, pre | [`Change`] | the newest sample, unchanged while equal to the previous one |
//! | `DSPercentile:p[:error[:range]]` | inline, period, pre | [`Percentile`] | percentiles, from a sketch |
//! | `DSDistinct[:error[:range]]` | inline, period, pre | [`Distinct`] | the number of different values |
//! | `DSTopK:k[:counters[:range]]` | inline, period, pre | [`Top`] | the most frequent values |
//! | `DSCategory:names[:range]` | inline, period, pre | [`Category`] | the number of samples of each category |
//! | `DSHistogram:bounds[:range]` | inline, period | [`Histogram`] | the number of samples up to each bound |
//! | `DSNull` | inline | [`Null`] | newest sample and count |
//! | `DSEWM:alpha` | inline | [`Ewm`] | exponentially weighted mean and deviation |
//! | `DSAnomaly:EWM:alpha` | inline, detector | [`Anomaly`] | the same, with warm-up and a score |
//! | `DSAnomaly:CUSUM` | inline, detector | | cumulative sums, for shifts of the level |
//! | `DSAnomaly:EWMPrior` | inline, detector | | distance from the weighted mean before the value |
//! | `DSAnomaly:HoltWinters:season` | inline, detector | | distance from a forecast of level, trend and season |
//! | `DSAnomaly:MAD` | inline, detector | | distance from the median of a window |
//! | `DSAnomaly:Seasonal` | inline, detector | | score against the hours of day and week, and alarms |
//! | `DSAnomaly:SeasonalSmall` | inline, detector | | the same idea in 200 bytes |
//!
//! The column *where* lists the [roles](crate::entry::Roles); `pre` is a pre-aggregation. With a `range`, the algorithm
//! takes the samples of the last `range` seconds ([`Ranged`]).

pub(crate) mod anomaly;
pub(crate) mod average;
pub(crate) mod average_last;
pub(crate) mod category;
pub(crate) mod change;
pub(crate) mod count;
mod counts;
pub(crate) mod cusum;
pub(crate) mod distinct;
pub(crate) mod ewm;
pub(crate) mod ewm_prior;
pub(crate) mod first;
mod fixed;
pub(crate) mod histogram;
pub(crate) mod holt_winters;
pub(crate) mod increase;
mod large;
mod last;
pub(crate) mod mad;
pub(crate) mod max;
pub(crate) mod max_last;
pub(crate) mod min;
pub(crate) mod newest;
pub(crate) mod non_zero;
pub(crate) mod null;
mod packed;
pub(crate) mod percentile;
mod range;
pub(crate) mod rate;
mod readings;
pub(crate) mod scored;
pub(crate) mod seasonal;
pub(crate) mod seasonal_small;
pub(crate) mod spread;
mod squares;
pub(crate) mod stddev;
pub(crate) mod sum;
pub(crate) mod sum_last;
mod tally;
pub(crate) mod time_average;
pub(crate) mod top;
pub(crate) mod variance;
mod wide_sum;

#[cfg(test)]
use alloc::vec::Vec;
use core::fmt;

use crate::number::{Number, Numeric, ValueError};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::{RestoreError, WordWriter, Words};
use crate::source_id::SourceId;

pub use self::anomaly::{Anomaly, AnomalyState};
pub use self::average::{Average, RangeAverage};
pub use self::average_last::AverageLast;
pub use self::category::{Category, CategoryError};
pub use self::change::Change;
pub use self::count::{Count, CountState};
pub use self::counts::Counts;
pub use self::distinct::{Distinct, DistinctError, DistinctState};
pub use self::ewm::{Alpha, AlphaError, Ewm, EwmState};
pub use self::first::First;
pub use self::histogram::{Histogram, HistogramError};
pub use self::increase::Increase;
pub use self::last::{Last, LastValues};
pub use self::max::Max;
pub use self::max_last::MaxLast;
pub use self::min::Min;
pub use self::newest::Newest;
pub use self::non_zero::NonZero;
pub use self::null::{Null, NullState};
pub use self::percentile::{Percentile, PercentileError, PercentileState};
pub use self::range::{Range, RangeError, RangeState, Ranged, Windowed};
pub use self::rate::Rate;
pub use self::readings::Readings;
pub use self::spread::{Spread, SpreadState};
pub use self::squares::Squares;
pub use self::stddev::Stddev;
pub use self::sum::{RangeSum, Sum};
pub use self::sum_last::SumLast;
pub use self::tally::Tally;
pub use self::time_average::{TimeAverage, TimeAverageState};
pub use self::top::{Top, TopError, TopState};
pub use self::variance::Variance;
pub use self::wide_sum::{WideSum, WideTally};

/// A value with its time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample<T> {
    /// Microseconds since the Unix epoch, or since any fixed instant: only differences matter.
    pub at: u64,
    /// The value, finite.
    pub value: T,
    /// Whether the value is the bound of its type because the true value did not fit. This can hold for the sum of a
    /// period, not for a raw sample.
    pub overflowed: bool,
}

impl<T> Sample<T> {
    /// A raw sample, which has not overflowed.
    #[inline]
    pub fn new(at: u64, value: T) -> Self {
        Self { at, value, overflowed: false }
    }
}

/// The reason why a sample was refused. The state does not change, with two exceptions: [`DifferenceOverflow`] stores
/// the new reading, and [`TimeWentBack`] counts the refused sample.
///
/// [`DifferenceOverflow`]: Self::DifferenceOverflow
/// [`TimeWentBack`]: Self::TimeWentBack
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// The difference of a counter left the range of its type. The new reading is stored.
    #[error(
        "the counter moved from {from} to {to}, a difference its type cannot hold; the next difference counts from {to}"
    )]
    DifferenceOverflow {
        /// The last reading.
        from: Number,
        /// This reading.
        to: Number,
    },
    /// Another spec made the state.
    #[error("this state belongs to another pipeline; start one with `Spec::start` of the spec that updates it")]
    ForeignState,
    /// A batch for the states of many objects contains a slot without a state.
    #[error("there is no state for slot {slot}; add states with `Spec::start` before the batch")]
    NoState {
        /// The slot.
        slot: u32,
    },
    /// The sample is older than the newest bucket of a ranged window. The state counts such samples.
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

/// The reason why two states cannot be merged. Neither state changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// The states accumulate different things: another algorithm, arguments or element type.
    #[error("the states belong to different pipelines; merge windows of specs that share them (`Spec::shares_window`)")]
    Foreign,
    /// The algorithm has no exact merge.
    #[error("this algorithm cannot merge states; aggregate all samples of an object in one pipeline")]
    NotMergeable,
}

/// The value of a result, as the next link of a pipeline takes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The number.
    pub number: Number,
    /// Whether the number is the bound of its type because the true value did not fit.
    pub overflowed: bool,
}

/// An aggregation over samples of type `T`.
///
/// The built-in algorithms implement this trait. An embedding program adds an algorithm in three steps: implement the
/// trait for all three types (`impl<T: Numeric> Algorithm<T> for Mine`), write an [`Entry`](crate::entry::Entry), and
/// pass that to [`Registry::register`](crate::Registry::register). A registered algorithm runs in the same columns and
/// at the same speed as a built-in one.
///
/// Reads never change a state, and time is always an argument.
pub trait Algorithm<T: Numeric>: fmt::Debug + Send + Sync + 'static {
    /// The data of one object. Columns store the states of many objects in one array: keep them small and flat.
    type State: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The state before the first sample.
    fn start(&self) -> Self::State;

    /// Whether the state has taken no sample since the start.
    fn is_empty(&self, state: &Self::State) -> bool;

    /// Takes a sample.
    ///
    /// # Errors
    ///
    /// If the sample is refused; the state is then unchanged.
    fn update(&self, state: &mut Self::State, sample: Sample<T>) -> Result<(), UpdateError>;

    /// Takes a sample of a source, for algorithms whose state distinguishes sources. The default ignores the source.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update), which takes a sample of [`SourceId::UNNAMED`].
    #[inline]
    fn update_from(&self, state: &mut Self::State, source: SourceId, sample: Sample<T>) -> Result<(), UpdateError> {
        let _ = source;
        self.update(state, sample)
    }

    /// Takes an increase of a counter from its reading of time `since`, in microseconds, to that of the sample. Callers
    /// with many sources keep the last reading of each, because a counter is that of one source. The default takes the
    /// increase as a sample; an algorithm that compares readings itself overrides it, and declares it with
    /// [`Built::with_increases`](crate::entry::Built::with_increases).
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    #[inline]
    fn update_increase(&self, state: &mut Self::State, since: u64, increase: Sample<T>) -> Result<(), UpdateError> {
        let _ = since;
        self.update(state, increase)
    }

    /// The state with which the next period begins after one that ended with the state `ended`. The default is
    /// [`start`](Self::start): periods are independent.
    #[inline]
    fn next_period(&self, ended: &Self::State) -> Self::State {
        let _ = ended;
        self.start()
    }

    /// The result at time `now`, in microseconds. It holds the numbers of the entry's fields, in their order.
    ///
    /// `now` can be earlier than the newest sample, and it is 0 if the caller wants the result at the time of that
    /// sample: use the later of the two times, and subtract with `saturating_sub`.
    fn report(&self, state: &Self::State, now: u64) -> Report<Record>;

    /// Puts the result into a record that the caller uses again, and returns its report without it. The default calls
    /// [`report`](Self::report). An algorithm whose results have more than
    /// [`INLINE_NUMBERS`](Record::INLINE_NUMBERS) numbers overrides it with [`Record::fill`], so that the results of a
    /// column do not allocate.
    #[inline]
    fn report_into(&self, state: &Self::State, now: u64, record: &mut Record) -> Report<()> {
        record.put(self.report(state, now))
    }

    /// The value of the result: the number at index `value` of the report. The default makes the whole report; override
    /// it to make the end of many periods cheaper.
    #[inline]
    fn value(&self, state: &Self::State, now: u64, value: usize) -> Option<Measured> {
        let record = self.report(state, now).forced()?;
        Some(Measured { number: record.get(value)?, overflowed: record.flaw() == Some(Flaw::Overflow) })
    }

    /// Whether every finite sample is taken, for all times and states. A batch then needs no rollback.
    fn takes_every_sample(&self) -> bool {
        false
    }

    /// Merges the state `from` into `into`, for algorithms whose entry claims that they merge.
    ///
    /// # Errors
    ///
    /// [`MergeError::NotMergeable`] for all other algorithms; `into` is then unchanged.
    fn merge(&self, into: &mut Self::State, from: &Self::State) -> Result<(), MergeError> {
        let _ = (into, from);
        Err(MergeError::NotMergeable)
    }

    /// The number of words of a state; `None` if states differ in length. The [`State`](crate::State) of a single
    /// object holds these words without a box: it [loads](Self::load) the algorithm's state for each sample and
    /// [stores](Self::store) it afterwards.
    fn words(&self) -> Option<usize> {
        None
    }

    /// The state that [`store`](Self::store) wrote into the words; `None` for other words, and every sample of the
    /// object is then refused.
    ///
    /// The default is [`restore`](Self::restore), with its checks. Only `store` writes these words, so an algorithm
    /// with [words](Self::words) that overrides both can omit the checks, which makes a sample a few instructions
    /// cheaper.
    #[inline]
    fn load(&self, words: &[u64]) -> Option<Self::State> {
        self.restore(&mut Words::new(words)).ok()
    }

    /// Writes the state into [`words`](Self::words) words. The default is [`save`](Self::save).
    #[inline]
    fn store(&self, state: &Self::State, words: &mut [u64]) {
        self.save(state, &mut WordWriter::at(words));
    }

    /// The upper bound of the bytes that a state allocates in addition to its own size.
    fn heap_bytes(&self) -> usize {
        0
    }

    /// The bytes that this state allocates now. The default is the [upper bound](Self::heap_bytes) for a state that has
    /// taken a sample; override it for states that grow.
    fn allocated_bytes(&self, state: &Self::State) -> usize {
        if self.is_empty(state) { 0 } else { self.heap_bytes() }
    }

    /// Whether a state allocates again as it takes samples, until it has the size that its samples need. Other states
    /// allocate at their first sample, or not at all.
    fn grows(&self) -> bool {
        false
    }

    /// Writes the exact state.
    fn save(&self, state: &Self::State, words: &mut WordWriter<'_>);

    /// Reads back what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// If the words end early, or hold a value that no sequence of samples produces.
    fn restore(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError>;

    /// Reads words that an older `version` of this algorithm's entry wrote.
    ///
    /// # Errors
    ///
    /// As [`restore`](Self::restore). The default refuses every older version.
    fn migrate(&self, version: u16, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        let _ = words;
        Err(RestoreError::UnknownAlgorithmVersion { found: version })
    }
}

/// An algorithm that scores one value for each period against a model of the earlier values.
///
/// [`update`](Algorithm::update) takes the value. The pipeline, not the detector, decides with its rule for
/// [`Silence`](crate::Silence) whether a period without samples counts as the value 0, and it stores whether the newest
/// period had samples. The score, the expected value and the band are the fields of the entry with these
/// [roles](crate::entry::Role).
pub trait Detector<T: Numeric>: Algorithm<T> {
    /// Ends a period without a value: the period had no samples, and the rule for silence does not count it as 0. The
    /// default does nothing; a seasonal detector advances in its season.
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
