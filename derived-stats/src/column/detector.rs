//! The detectors of many objects.

use super::running::RunningColumn;
use super::{column_of, cut, each, grown_with};
use crate::algorithm::{Algorithm, Anomaly, AnomalyState};
use crate::number::Numeric;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};
use crate::spec::{Shape, Silence, Spec, Typed, close_detector};

/// The detector of each object.
#[derive(Clone, Debug)]
pub struct DetectorColumn(Typed<Detectors<f64>, Detectors<i64>, Detectors<u64>>);

#[derive(Clone, Debug)]
struct Detectors<T> {
    detector: Anomaly,
    states: Vec<AnomalyState<T>>,
}

impl DetectorColumn {
    /// An empty column; `None` for a spec without a detector behind its periods.
    pub fn new(spec: &Spec) -> Option<Self> {
        column_of!(spec, Detectors::of).map(Self)
    }

    /// Feeds the object's detector with its window in `running`, which ends at `now`; without samples, as `silence`
    /// says. Gives the detector's report, or `None` if it was not fed.
    ///
    /// `running` is a column that the detector's spec [shares](Spec::shares_running); another one counts as silence.
    #[inline]
    pub fn close(
        &mut self,
        slot: usize,
        running: &RunningColumn,
        now: u64,
        silence: Silence,
    ) -> Option<Report<Output<'_>>> {
        match (&mut self.0, &running.0) {
            (Typed::F64(detectors), Typed::F64(running)) => detectors.close(slot, running.value(slot, now), silence),
            (Typed::I64(detectors), Typed::I64(running)) => detectors.close(slot, running.value(slot, now), silence),
            (Typed::U64(detectors), Typed::U64(running)) => detectors.close(slot, running.value(slot, now), silence),
            (detectors, _) => each!(detectors, |column| column.close(slot, None, silence)),
        }
    }

    /// Closes the windows of up to 64 objects at once, as [`close`](Self::close) does one by one: bit `i` of `slots`
    /// stands for slot `first + i`, a slot whose bit is clear is not touched. The set bits of the answer are those whose
    /// detector was fed; [`judge`](Self::judge) has their reports. `running` is `None` if no object had samples.
    pub fn close_many(
        &mut self,
        first: usize,
        slots: u64,
        running: Option<&RunningColumn>,
        now: u64,
        silence: Silence,
    ) -> u64 {
        match (&mut self.0, running.map(|running| &running.0)) {
            (Typed::F64(detectors), Some(Typed::F64(running))) => {
                detectors.close_many(first, slots, silence, |slot| running.value(slot, now))
            }
            (Typed::I64(detectors), Some(Typed::I64(running))) => {
                detectors.close_many(first, slots, silence, |slot| running.value(slot, now))
            }
            (Typed::U64(detectors), Some(Typed::U64(running))) => {
                detectors.close_many(first, slots, silence, |slot| running.value(slot, now))
            }
            (detectors, _) => each!(detectors, |column| column.close_many(first, slots, silence, |_| None)),
        }
    }

    /// The report of the object's detector as it stands; `None` if it was never fed.
    pub fn judge(&self, slot: usize) -> Option<Report<Output<'_>>> {
        each!(&self.0, |column| {
            let state = column.states.get(slot).filter(|state| state.is_started())?;
            Some(column.detector.judge(state))
        })
    }

    /// The object starts anew.
    pub fn clear(&mut self, slot: usize) {
        each!(&mut self.0, |column| column.clear(slot));
    }

    /// Gives back memory beyond `slots`. Later slots start anew.
    pub fn shrink(&mut self, slots: usize) {
        each!(&mut self.0, |column| cut(&mut column.states, slots));
    }

    /// Appends the words of the object's detector.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        each!(&self.0, |column| column.save(slot, words));
    }

    /// Reads back what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the slot is then unchanged.
    pub fn restore(&mut self, slot: usize, words: &mut Words<'_>) -> Result<(), RestoreError> {
        each!(&mut self.0, |column| column.restore(slot, words))
    }
}

impl<T: Numeric> Detectors<T> {
    fn of(shape: &Shape<T>) -> Option<Self> {
        match shape {
            Shape::Detector { detector, .. } => Some(Self { detector: detector.clone(), states: Vec::new() }),
            Shape::Inline(_) | Shape::Periodic(_) => None,
        }
    }

    #[inline]
    fn close(&mut self, slot: usize, value: Option<Option<(T, bool)>>, silence: Silence) -> Option<Report<Output<'_>>> {
        let state = grown_with(&mut self.states, slot, AnomalyState::start);
        close_detector(&self.detector, state, value, silence).then(|| self.detector.judge(state))
    }

    #[inline]
    fn close_many(
        &mut self,
        first: usize,
        slots: u64,
        silence: Silence,
        value: impl Fn(usize) -> Option<Option<(T, bool)>>,
    ) -> u64 {
        if slots == 0 {
            return 0;
        }
        let end = first + 64 - slots.leading_zeros() as usize;
        grown_with(&mut self.states, end - 1, AnomalyState::start);
        let mut fed = 0;
        for (bit, state) in self.states[first..end].iter_mut().enumerate() {
            if slots >> bit & 1 == 1 && close_detector(&self.detector, state, value(first + bit), silence) {
                fed |= 1 << bit;
            }
        }
        fed
    }

    fn clear(&mut self, slot: usize) {
        if let Some(state) = self.states.get_mut(slot) {
            *state = AnomalyState::start();
        }
    }

    fn save(&self, slot: usize, words: &mut Vec<u64>) {
        let state = self.states.get(slot).copied().unwrap_or_else(AnomalyState::start);
        self.detector.save(&state, words);
    }

    fn restore(&mut self, slot: usize, words: &mut Words<'_>) -> Result<(), RestoreError> {
        let state = Algorithm::restore(&self.detector, words)?;
        *grown_with(&mut self.states, slot, AnomalyState::start) = state;
        Ok(())
    }
}
