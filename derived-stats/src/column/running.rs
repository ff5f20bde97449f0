//! The open windows of many objects.

use std::hint::black_box;

use super::{column_of, cut, each, empty, grown};
use crate::accumulator::{Accumulated, Accumulator};
use crate::algorithm::{Sample, Tally, UpdateError};
use crate::number::{Number, Numeric};
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};
use crate::spec::{Shape, Spec, Typed};

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
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refused {
    /// The sample that was refused, by its place in the batch: those before it were taken, those after it were not.
    pub index: usize,
    /// What is wrong with it.
    pub error: UpdateError,
}

/// What each object has accumulated in one open window.
#[derive(Clone, Debug)]
pub struct RunningColumn(pub(super) Typed<Running<f64>, Running<i64>, Running<u64>>);

#[derive(Clone, Debug)]
pub(super) struct Running<T: Numeric> {
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

    /// Adds many samples, in order: as [`update`](Self::update) for each, in one pass without looking at the algorithm
    /// again. The cells of different objects are fetched from memory side by side, so a batch of a few dozen costs a
    /// fraction of as many single updates when the column is larger than the caches.
    ///
    /// # Errors
    ///
    /// [`Refused`] at the first sample that cannot be taken.
    #[inline]
    pub fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused> {
        each!(&mut self.0, |column| column.update_all(updates))
    }

    /// Whether every value of the spec's type is taken, so that a checked value cannot be [`Refused`]. Ranged windows
    /// and registered algorithms may refuse a sample for its time or for reasons of their own.
    pub fn takes_every_value(&self) -> bool {
        each!(&self.0, |column| matches!(column.cells, Cells::Tallies(_)))
    }

    /// The window's value at its end `now`, in the metric's type; `None` without samples, or if they give no value.
    #[inline]
    pub fn value(&self, slot: usize, now: u64) -> Option<Number> {
        each!(&self.0, |column| column.value(slot, now)?.map(|(value, _)| value.into_number()))
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
        self.clear_many(0, usize::MAX);
    }

    /// Empties the windows of `count` objects from slot `first` on, and keeps their memory.
    pub fn clear_many(&mut self, first: usize, count: usize) {
        each!(&mut self.0, |column| column.clear_many(first, count));
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

    fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused> {
        let Cells::Tallies(tallies) = &mut self.cells else {
            return updates.iter().enumerate().try_for_each(|(index, &Update { slot, at, value })| {
                self.update(slot as usize, at, value).map_err(|error| Refused { index, error })
            });
        };
        if let Some(last) = updates.iter().map(|update| update.slot as usize).max() {
            grown(tallies, last);
        }
        touch(tallies, updates);
        match self.accumulator {
            Accumulator::Average(_) | Accumulator::Sum(_) => tally_all(tallies, updates, Tally::add),
            _ => tally_all(tallies, updates, Tally::replace),
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
    pub(super) fn value(&self, slot: usize, now: u64) -> Option<Option<(T, bool)>> {
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

    fn clear_many(&mut self, first: usize, count: usize) {
        fn part<C>(cells: &mut [C], first: usize, count: usize) -> &mut [C] {
            let first = first.min(cells.len());
            let end = first.saturating_add(count).min(cells.len());
            &mut cells[first..end]
        }
        match &mut self.cells {
            Cells::Tallies(tallies) => part(tallies, first, count).fill(Tally::default()),
            Cells::Others(cells) => part(cells, first, count).fill(None),
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

/// Reads the cells for nothing but to have them in the cache: the loop is so short that the processor runs far ahead and
/// waits for many of them at once.
fn touch<T: Numeric>(tallies: &[Tally<T>], updates: &[Update]) {
    black_box(updates.iter().filter(|update| tallies[update.slot as usize].is_empty()).count());
}

#[inline]
fn tally_all<T: Numeric>(
    tallies: &mut [Tally<T>],
    updates: &[Update],
    take: impl Fn(&mut Tally<T>, T),
) -> Result<(), Refused> {
    for (index, update) in updates.iter().enumerate() {
        let value = T::from_number(update.value).map_err(|error| Refused { index, error: error.into() })?;
        take(&mut tallies[update.slot as usize], value);
    }
    Ok(())
}
