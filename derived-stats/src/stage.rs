//! Any algorithm of the menu, as an inline pipeline runs it.

use crate::accumulator::{Accumulated, Accumulator};
use crate::algorithm::{Algorithm, Anomaly, AnomalyState, Ewm, EwmState, Null, NullState, Sample, UpdateError};
use crate::number::Numeric;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};

/// An algorithm with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage<T: Numeric> {
    Accumulator(Accumulator<T>),
    Anomaly(Anomaly),
    Ewm(Ewm),
    Null(Null),
}

/// What it has of one object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StageState<T: Numeric> {
    Accumulator(Accumulated<T>),
    Anomaly(AnomalyState<T>),
    Ewm(EwmState),
    Null(NullState<T>),
}

impl<T: Numeric> Stage<T> {
    pub(crate) fn start(&self) -> StageState<T> {
        match self {
            Self::Accumulator(algorithm) => StageState::Accumulator(algorithm.start()),
            Self::Anomaly(algorithm) => StageState::Anomaly(algorithm.start()),
            Self::Ewm(algorithm) => StageState::Ewm(Algorithm::<T>::start(algorithm)),
            Self::Null(algorithm) => StageState::Null(algorithm.start()),
        }
    }

    pub(crate) fn update(&self, state: &mut StageState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        match (self, state) {
            (Self::Accumulator(algorithm), StageState::Accumulator(state)) => algorithm.update(state, sample),
            (Self::Anomaly(algorithm), StageState::Anomaly(state)) => algorithm.update(state, sample),
            (Self::Ewm(algorithm), StageState::Ewm(state)) => algorithm.update(state, sample),
            (Self::Null(algorithm), StageState::Null(state)) => algorithm.update(state, sample),
            _ => Err(UpdateError::ForeignState),
        }
    }

    pub(crate) fn report(&self, state: &StageState<T>, now: u64) -> Report<Output<'_>> {
        match (self, state) {
            (Self::Accumulator(algorithm), StageState::Accumulator(state)) => algorithm.report(state, now),
            (Self::Anomaly(algorithm), StageState::Anomaly(state)) => algorithm.report(state, now),
            (Self::Ewm(algorithm), StageState::Ewm(state)) => Algorithm::<T>::report(algorithm, state, now),
            (Self::Null(algorithm), StageState::Null(state)) => algorithm.report(state, now),
            _ => Report::NotReady(None),
        }
    }

    pub(crate) fn save(&self, state: &StageState<T>, words: &mut Vec<u64>) {
        match (self, state) {
            (Self::Accumulator(algorithm), StageState::Accumulator(state)) => algorithm.save(state, words),
            (Self::Anomaly(algorithm), StageState::Anomaly(state)) => algorithm.save(state, words),
            (Self::Ewm(algorithm), StageState::Ewm(state)) => Algorithm::<T>::save(algorithm, state, words),
            (Self::Null(algorithm), StageState::Null(state)) => algorithm.save(state, words),
            _ => {}
        }
    }

    pub(crate) fn restore(&self, words: &mut Words<'_>) -> Result<StageState<T>, RestoreError> {
        Ok(match self {
            Self::Accumulator(algorithm) => StageState::Accumulator(algorithm.restore(words)?),
            Self::Anomaly(algorithm) => StageState::Anomaly(algorithm.restore(words)?),
            Self::Ewm(algorithm) => StageState::Ewm(Algorithm::<T>::restore(algorithm, words)?),
            Self::Null(algorithm) => StageState::Null(algorithm.restore(words)?),
        })
    }
}
