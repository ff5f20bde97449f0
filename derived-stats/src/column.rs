//! Many objects under one spec, side by side.
//!
//! An engine that keeps windows open in event time holds three kinds of column for a periodic spec, each indexed by a
//! dense object number (a *slot*): one [`RunningColumn`] for each window that is open, one [`DetectorColumn`] if the
//! spec has a detector, and one [`CounterColumn`] if the metric is a cumulative counter. Closing a window is then one
//! pass over arrays, and an object costs its states: 16 bytes for a sum in a window, 40 for a detector.
//!
//! Specs whose windows accumulate the same ([`Spec::shares_running`]) can share a running column: the sum of a
//! period is made once, however many results are derived from it.
//!
//! Slots beyond the end of a column are empty; a column grows to the slot that is written.

use crate::accumulator::{Accumulated, Accumulator};
use crate::algorithm::{Algorithm, Anomaly, AnomalyState, Sample, Tally, UpdateError};
use crate::number::{Number, Numeric};
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};
use crate::spec::{Shape, Silence, Spec, Typed, close_detector, difference};

/// Runs the same code for whichever element type a column has.
macro_rules! each {
    ($typed:expr, |$column:ident| $call:expr) => {
        match $typed {
            Typed::F64($column) => $call,
            Typed::I64($column) => $call,
            Typed::U64($column) => $call,
        }
    };
}

/// Makes the column that a spec's element type asks for, if its shape has one.
macro_rules! column_of {
    ($spec:expr, $make:path) => {
        match $spec.shape() {
            Typed::F64(shape) => $make(shape).map(Typed::F64),
            Typed::I64(shape) => $make(shape).map(Typed::I64),
            Typed::U64(shape) => $make(shape).map(Typed::U64),
        }
    };
}

/// What each object has accumulated in one open window.
#[derive(Clone, Debug)]
pub struct RunningColumn(Typed<Running<f64>, Running<i64>, Running<u64>>);

#[derive(Clone, Debug)]
struct Running<T: Numeric> {
    accumulator: Accumulator<T>,
    cells: Cells<T>,
}

#[derive(Clone, Debug)]
enum Cells<T: Numeric> {
    /// For the algorithms whose state is a tally, nearly all: no tag, no option.
    Tallies(Vec<Tally<T>>),
    Others(Vec<Option<Accumulated<T>>>),
}

impl RunningColumn {
    /// An empty column for the windows of `spec`; `None` for an inline spec, which has no windows.
    pub fn new(spec: &Spec) -> Option<Self> {
        column_of!(spec, Running::of).map(Self)
    }

    /// Adds a sample of time `at` to the object's window. Constant time; allocates only to grow.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] as [`Spec::update`]; the window is then unchanged.
    #[inline]
    pub fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        each!(&mut self.0, |column| column.update(slot, at, value))
    }

    /// Whether the object had no sample in this window.
    #[inline]
    pub fn is_empty(&self, slot: usize) -> bool {
        each!(&self.0, |column| column.is_empty(slot))
    }

    /// The result of the window at its end `now`; `None` without a sample. A closed window is always worth sending, so
    /// a repeated value or a zero is a value here, as in the original.
    pub fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        let report = each!(&self.0, |column| column.report(slot, now))?;
        Some(match report {
            Report::Unchanged(output) => Report::Value(output),
            report => report,
        })
    }

    /// Empties the object's window.
    pub fn clear(&mut self, slot: usize) {
        each!(&mut self.0, |column| column.clear(slot));
    }

    /// Empties every window and keeps the memory, for the next window.
    pub fn reset(&mut self) {
        each!(&mut self.0, |column| column.reset());
    }

    /// Gives back memory beyond `slots`. Later slots become empty.
    pub fn shrink(&mut self, slots: usize) {
        each!(&mut self.0, |column| column.shrink(slots));
    }

    /// Appends the words of the object's window, which must not be empty.
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

impl<T: Numeric> Running<T> {
    fn of(shape: &Shape<T>) -> Option<Self> {
        let accumulator = match shape {
            Shape::Inline(_) => return None,
            Shape::Periodic(accumulator) | Shape::Detector { pre: accumulator, .. } => accumulator.clone(),
        };
        let cells = match accumulator {
            Accumulator::Custom(_) | Accumulator::RangeAverage(_) | Accumulator::RangeSum(_) => {
                Cells::Others(Vec::new())
            }
            _ => Cells::Tallies(Vec::new()),
        };
        Some(Self { accumulator, cells })
    }

    #[inline]
    fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        let value = T::from_number(value)?;
        match &mut self.cells {
            Cells::Tallies(tallies) => {
                let tally = grown(tallies, slot);
                match self.accumulator {
                    Accumulator::Average(_) | Accumulator::Sum(_) => tally.add(value),
                    _ => tally.replace(value),
                }
                Ok(())
            }
            Cells::Others(cells) => {
                let cell = grown(cells, slot);
                let state = cell.get_or_insert_with(|| self.accumulator.start());
                self.accumulator.update(state, Sample { at, value })
            }
        }
    }

    #[inline]
    fn is_empty(&self, slot: usize) -> bool {
        match &self.cells {
            Cells::Tallies(tallies) => tallies.get(slot).is_none_or(Tally::is_empty),
            Cells::Others(cells) => cells.get(slot).is_none_or(Option::is_none),
        }
    }

    fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match &self.cells {
            Cells::Tallies(tallies) => {
                let tally = tallies.get(slot).filter(|tally| !tally.is_empty())?;
                Some(self.accumulator.report(&Accumulated::Tally(*tally), now))
            }
            Cells::Others(cells) => Some(self.accumulator.report(cells.get(slot)?.as_ref()?, now)),
        }
    }

    /// What a detector sees of the window: `None` without samples, `Some(None)` if they give no value.
    #[inline]
    fn value(&self, slot: usize, now: u64) -> Option<Option<(T, bool)>> {
        match (&self.cells, &self.accumulator) {
            (Cells::Tallies(tallies), Accumulator::Sum(_)) => {
                let tally = tallies.get(slot).filter(|tally| !tally.is_empty())?;
                Some(Some((tally.value(), tally.is_marked())))
            }
            (Cells::Tallies(tallies), accumulator) => {
                let tally = tallies.get(slot).filter(|tally| !tally.is_empty())?;
                Some(accumulator.value(&Accumulated::Tally(*tally), now))
            }
            (Cells::Others(cells), accumulator) => Some(accumulator.value(cells.get(slot)?.as_ref()?, now)),
        }
    }

    fn clear(&mut self, slot: usize) {
        match &mut self.cells {
            Cells::Tallies(tallies) => empty(tallies, slot),
            Cells::Others(cells) => empty(cells, slot),
        }
    }

    fn reset(&mut self) {
        match &mut self.cells {
            Cells::Tallies(tallies) => tallies.fill(Tally::default()),
            Cells::Others(cells) => cells.fill(None),
        }
    }

    fn shrink(&mut self, slots: usize) {
        match &mut self.cells {
            Cells::Tallies(tallies) => cut(tallies, slots),
            Cells::Others(cells) => cut(cells, slots),
        }
    }

    fn save(&self, slot: usize, words: &mut Vec<u64>) {
        match &self.cells {
            Cells::Tallies(tallies) => tallies.get(slot).copied().unwrap_or_default().save(words),
            Cells::Others(cells) => {
                if let Some(Some(state)) = cells.get(slot) {
                    self.accumulator.save(state, words);
                }
            }
        }
    }

    fn restore(&mut self, slot: usize, words: &mut Words<'_>) -> Result<(), RestoreError> {
        match &mut self.cells {
            Cells::Tallies(tallies) => *grown(tallies, slot) = Tally::restore(words)?,
            Cells::Others(cells) => *grown(cells, slot) = Some(self.accumulator.restore(words)?),
        }
        Ok(())
    }
}

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

    /// Ends a window in which no object had samples; see [`close`](Self::close).
    pub fn close_silent(&mut self, slot: usize, silence: Silence) -> Option<Report<Output<'_>>> {
        each!(&mut self.0, |column| column.close(slot, None, silence))
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

/// The last reading of each object's cumulative counter.
#[derive(Clone, Debug)]
pub struct CounterColumn(Typed<Readings<f64>, Readings<i64>, Readings<u64>>);

type Readings<T> = Vec<Option<T>>;

impl CounterColumn {
    /// An empty column of the spec's element type.
    pub fn new(spec: &Spec) -> Self {
        Self(match spec.shape() {
            Typed::F64(_) => Typed::F64(Vec::new()),
            Typed::I64(_) => Typed::I64(Vec::new()),
            Typed::U64(_) => Typed::U64(Vec::new()),
        })
    }

    /// Gives `take` the difference to the object's last reading, by the rule of
    /// [`MetricKind::Agg`](crate::MetricKind::Agg). If `take` refuses it, the last reading stays, and the next
    /// difference holds this one too.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] when the value is no reading or the difference does not fit, and what `take` says.
    pub fn update(
        &mut self,
        slot: usize,
        reading: Number,
        take: impl FnOnce(Number) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        each!(&mut self.0, |column| update_reading(grown(column, slot), reading, take))
    }

    /// The object starts anew: its next reading is a whole difference.
    pub fn clear(&mut self, slot: usize) {
        each!(&mut self.0, |column| empty(column, slot));
    }

    /// Gives back memory beyond `slots`.
    pub fn shrink(&mut self, slots: usize) {
        each!(&mut self.0, |column| cut(column, slots));
    }

    /// Appends the words of the object's reading.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        each!(&self.0, |column| {
            let reading = column.get(slot).copied().flatten();
            words.extend(reading.map_or([0, 0], |reading| [1, Numeric::to_bits(reading)]));
        });
    }

    /// Reads back what [`save`](Self::save) wrote.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the slot is then unchanged.
    pub fn restore(&mut self, slot: usize, words: &mut Words<'_>) -> Result<(), RestoreError> {
        let seen = words.flag("counter reading")?;
        each!(&mut self.0, |column| {
            let reading = words.finite("counter reading")?;
            *grown(column, slot) = seen.then_some(reading);
        });
        Ok(())
    }
}

fn update_reading<T: Numeric>(
    last: &mut Option<T>,
    reading: Number,
    take: impl FnOnce(Number) -> Result<(), UpdateError>,
) -> Result<(), UpdateError> {
    let before = *last;
    let taken = take(difference(last, T::from_number(reading)?)?.into_number());
    if taken.is_err() {
        *last = before;
    }
    taken
}

#[inline]
fn grown<C: Default>(cells: &mut Vec<C>, slot: usize) -> &mut C {
    grown_with(cells, slot, C::default)
}

#[inline]
fn grown_with<C>(cells: &mut Vec<C>, slot: usize, start: impl FnMut() -> C) -> &mut C {
    if slot >= cells.len() {
        cells.resize_with(slot + 1, start);
    }
    &mut cells[slot]
}

fn empty<C: Default>(cells: &mut [C], slot: usize) {
    if let Some(cell) = cells.get_mut(slot) {
        *cell = C::default();
    }
}

fn cut<C>(cells: &mut Vec<C>, slots: usize) {
    cells.truncate(slots);
    cells.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::ValueType;
    use crate::spec::Context;

    fn spec(annotation: &str) -> Spec {
        Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation")
    }

    #[test]
    fn columns_give_what_single_states_give() {
        let spec = spec("1.DSSum-raw:DSAnomaly:EWM:0.5");
        let mut running = RunningColumn::new(&spec).expect("a periodic spec");
        let mut detectors = DetectorColumn::new(&spec).expect("a spec with a detector");
        let mut state = spec.start();
        for period in 0..20u64 {
            if period % 7 != 3 && period % 7 != 4 {
                let value = Number::U64(period * 31 % 17);
                running.update(5, period, value).expect("a u64");
                spec.update(&mut state, period, value).expect("a u64");
            }
            let alone = spec.close(&mut state, period, Silence::Once);
            assert_eq!(detectors.close(5, &running, period, Silence::Once), alone, "in period {period}");
            running.reset();
        }
    }

    #[test]
    fn specs_share_what_they_accumulate_alike() {
        let sum = spec("1-raw:DSSum");
        assert!(sum.shares_running(&spec("1.DSSum-raw:DSAnomaly:EWM:0.1")));
        assert!(!sum.shares_running(&spec("1-raw:DSAvg")));
        assert!(!sum.shares_running(&spec("2-raw:DSSum")), "another period");
        assert!(!sum.shares_running(&spec("1-other:DSSum")), "another metric");
    }
}
