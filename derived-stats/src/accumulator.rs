//! What can run inside one period: the algorithms of the menu whose result is one value of the metric's type.
//!
//! The grammar closes the menu, so one enum wraps one struct per file and only forwards; a registered algorithm comes
//! in through [`custom`](crate::custom). The detectors, which live longer than a period, are in
//! [`stage`](crate::stage).

use crate::algorithm::{
    Algorithm, Average, Change, Newest, NonZero, Range, RangeAverage, RangeState, RangeSum, Sample, Sum, Tally,
    UpdateError,
};
use crate::custom::{CustomAlgorithm, CustomState};
use crate::number::Numeric;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};

/// An algorithm that sums up one period, with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Accumulator<T: Numeric> {
    Average(Average),
    Change(Change),
    Custom(CustomAlgorithm<T>),
    Newest(Newest),
    NonZero(NonZero),
    RangeAverage(RangeAverage),
    RangeSum(RangeSum),
    Sum(Sum),
}

/// What it has of one object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Accumulated<T: Numeric> {
    Custom(CustomState),
    Range(Box<RangeState<T>>),
    Tally(Tally<T>),
}

impl<T: Numeric> Accumulator<T> {
    pub(crate) fn start(&self) -> Accumulated<T> {
        match self {
            Self::Average(algorithm) => Accumulated::Tally(algorithm.start()),
            Self::Change(algorithm) => Accumulated::Tally(algorithm.start()),
            Self::Custom(algorithm) => Accumulated::Custom(algorithm.start()),
            Self::Newest(algorithm) => Accumulated::Tally(algorithm.start()),
            Self::NonZero(algorithm) => Accumulated::Tally(algorithm.start()),
            Self::RangeAverage(algorithm) => Accumulated::Range(algorithm.start()),
            Self::RangeSum(algorithm) => Accumulated::Range(algorithm.start()),
            Self::Sum(algorithm) => Accumulated::Tally(algorithm.start()),
        }
    }

    pub(crate) fn update(&self, state: &mut Accumulated<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        match (self, state) {
            (Self::Average(algorithm), Accumulated::Tally(state)) => algorithm.update(state, sample),
            (Self::Change(algorithm), Accumulated::Tally(state)) => algorithm.update(state, sample),
            (Self::Custom(algorithm), Accumulated::Custom(state)) => algorithm.update(state, sample),
            (Self::Newest(algorithm), Accumulated::Tally(state)) => algorithm.update(state, sample),
            (Self::NonZero(algorithm), Accumulated::Tally(state)) => algorithm.update(state, sample),
            (Self::RangeAverage(algorithm), Accumulated::Range(state)) => algorithm.update(state, sample),
            (Self::RangeSum(algorithm), Accumulated::Range(state)) => algorithm.update(state, sample),
            (Self::Sum(algorithm), Accumulated::Tally(state)) => algorithm.update(state, sample),
            _ => Err(UpdateError::ForeignState),
        }
    }

    pub(crate) fn report(&self, state: &Accumulated<T>, now: u64) -> Report<Output<'_>> {
        match (self, state) {
            (Self::Average(algorithm), Accumulated::Tally(state)) => algorithm.report(state, now),
            (Self::Change(algorithm), Accumulated::Tally(state)) => algorithm.report(state, now),
            (Self::Custom(algorithm), Accumulated::Custom(state)) => algorithm.report(state, now),
            (Self::Newest(algorithm), Accumulated::Tally(state)) => algorithm.report(state, now),
            (Self::NonZero(algorithm), Accumulated::Tally(state)) => algorithm.report(state, now),
            (Self::RangeAverage(algorithm), Accumulated::Range(state)) => algorithm.report(state, now),
            (Self::RangeSum(algorithm), Accumulated::Range(state)) => algorithm.report(state, now),
            (Self::Sum(algorithm), Accumulated::Tally(state)) => algorithm.report(state, now),
            _ => Report::NotReady(None),
        }
    }

    /// The value of the period in the metric's type, and whether it is the bound of an overflow; `None` if there is
    /// none.
    pub(crate) fn value(&self, state: &Accumulated<T>, now: u64) -> Option<(T, bool)> {
        match self.report(state, now).forced()? {
            Output::Number(result) => Some((T::from_number(result.value).ok()?, result.overflowed)),
            _ => None,
        }
    }

    /// The window, for the ranged algorithms.
    pub(crate) fn range(&self) -> Option<Range> {
        match self {
            Self::RangeAverage(algorithm) => Some(algorithm.range()),
            Self::RangeSum(algorithm) => Some(algorithm.range()),
            _ => None,
        }
    }

    pub(crate) fn save(&self, state: &Accumulated<T>, words: &mut Vec<u64>) {
        match state {
            Accumulated::Custom(state) => {
                if let Self::Custom(algorithm) = self {
                    algorithm.save(state, words);
                }
            }
            Accumulated::Range(state) => state.save(words),
            Accumulated::Tally(state) => state.save(words),
        }
    }

    pub(crate) fn restore(&self, words: &mut Words<'_>) -> Result<Accumulated<T>, RestoreError> {
        Ok(match self {
            Self::Average(algorithm) => Accumulated::Tally(algorithm.restore(words)?),
            Self::Change(algorithm) => Accumulated::Tally(algorithm.restore(words)?),
            Self::Custom(algorithm) => Accumulated::Custom(algorithm.restore(words)?),
            Self::Newest(algorithm) => Accumulated::Tally(algorithm.restore(words)?),
            Self::NonZero(algorithm) => Accumulated::Tally(algorithm.restore(words)?),
            Self::RangeAverage(algorithm) => Accumulated::Range(algorithm.restore(words)?),
            Self::RangeSum(algorithm) => Accumulated::Range(algorithm.restore(words)?),
            Self::Sum(algorithm) => Accumulated::Tally(algorithm.restore(words)?),
        })
    }
}
