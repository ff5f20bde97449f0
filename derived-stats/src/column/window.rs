//! The open windows of many objects.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::{MergeError, UpdateError};
use crate::column::{Column, Refused, Reports, Update, Values};
use crate::number::Number;
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::spec::{Spec, SpecLink};

/// What each object has accumulated in one open window.
#[derive(Debug)]
pub struct WindowColumn {
    link: Arc<SpecLink>,
    cells: Box<dyn Column>,
}

impl Clone for WindowColumn {
    fn clone(&self) -> Self {
        Self { link: Arc::clone(&self.link), cells: self.cells.boxed_clone() }
    }
}

impl WindowColumn {
    /// An empty column for the windows of `spec`; `None` for an inline spec, which has no windows.
    pub fn new(spec: &Spec) -> Option<Self> {
        let link = spec.window_link()?;
        Some(Self { cells: link.column(), link: Arc::clone(link) })
    }

    /// An empty column of the same windows, for another window.
    #[must_use]
    pub fn empty_clone(&self) -> Self {
        Self { link: Arc::clone(&self.link), cells: self.cells.empty_clone() }
    }

    /// Makes room for so many slots in all, so that growing to them does not reallocate.
    pub fn reserve(&mut self, slots: usize) {
        self.cells.reserve(slots);
    }

    /// Adds a sample of time `at` to the object's window. Constant time; allocates only to grow.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] as [`Spec::update`]; the window is then unchanged.
    #[inline]
    pub fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        self.cells.update(slot, at, value)
    }

    /// Adds many samples, in order: as [`update`](Self::update) for each, in one pass that looks the algorithm up once.
    /// The cells of different objects are fetched from memory side by side, so a batch of a few dozen costs a fraction
    /// of as many single updates when the column is larger than the caches.
    ///
    /// # Errors
    ///
    /// [`Refused`] at the first sample that cannot be taken.
    #[inline]
    pub fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused> {
        self.cells.update_all(updates)
    }

    /// Whether every value of the spec's type is taken, so that a checked value cannot be [`Refused`]. Ranged windows,
    /// for one, refuse a sample for its time.
    pub fn takes_every_value(&self) -> bool {
        self.link.takes_every_sample()
    }

    /// The window's value at its end `now`; `None` without samples, or if they give no value.
    pub fn value(&self, slot: usize, now: u64) -> Option<Number> {
        if self.is_empty(slot) {
            return None;
        }
        let description = self.link.description();
        let number = self.cells.report(slot, now).forced()?.get(description.value_index()?)?;
        number.to_type(description.value_type()?)
    }

    /// Whether the object had no sample in this window.
    #[inline]
    pub fn is_empty(&self, slot: usize) -> bool {
        self.cells.is_empty(slot)
    }

    /// Which of 64 slots, from slot `64 * word` on, had samples in this window.
    pub fn occupied(&self, word: usize, slots: u64) -> u64 {
        self.cells.occupied(word, slots)
    }

    /// The result of the window at its end `now`; `None` without a sample. A closed window is always worth sending, so
    /// a repeated value or a zero is a value here, as in the original.
    pub fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        Some(self.running(slot, now)?.of_closed_period())
    }

    /// The results of up to 64 slots from slot `64 * word` on, as [`report`](Self::report) gives them one by one. Slots
    /// without samples have none.
    pub fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports) {
        reports.clear();
        self.cells.reports(word, self.cells.occupied(word, slots), now, reports);
        reports.of_closed_period();
    }

    /// The result of the open window so far, which can be a repetition; `None` without a sample.
    pub(super) fn running(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        if self.is_empty(slot) {
            return None;
        }
        Some(self.cells.report(slot, now).map(|record| Output::new(self.link.description(), record)))
    }

    /// Moves the windows of these slots here from a column of the same windows, where they are empty afterwards.
    pub(super) fn take(&mut self, word: usize, slots: u64, from: &mut Self) {
        self.cells.take(word, slots, &mut *from.cells);
    }

    pub(super) fn values(&self, word: usize, slots: u64, now: u64, values: &mut Values) {
        self.cells.values(word, slots, now, values);
    }

    /// Adds what object `other` accumulated in another column to the object's window, as if its samples had come here:
    /// for samples that were aggregated in several places. Exact for integers; sums of doubles may round otherwise than
    /// in one pass.
    ///
    /// ```
    /// use derived_stats::column::WindowColumn;
    /// use derived_stats::{Context, Number, Spec, ValueType};
    ///
    /// let spec = Spec::parse("1-raw:DSAvg", Context::new(ValueType::U64))?;
    /// let mut here = WindowColumn::new(&spec).expect("a periodic spec");
    /// let mut there = here.empty_clone();
    /// here.update(0, 0, Number::U64(2))?;
    /// there.update(0, 0, Number::U64(8))?;
    /// here.merge(0, &there, 0)?;
    /// assert_eq!(here.value(0, 0), Some(Number::U64(5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`MergeError`] if the windows accumulate different things, or the entry of their algorithm does not claim to
    /// [merge](crate::entry::Claims::merges); the window is then unchanged.
    pub fn merge(&mut self, slot: usize, from: &Self, other: usize) -> Result<(), MergeError> {
        if self.link != from.link {
            return Err(MergeError::Foreign);
        }
        self.cells.merge(slot, &*from.cells, other)
    }

    /// Empties the object's window.
    pub fn clear(&mut self, slot: usize) {
        self.cells.clear_many(slot, 1);
    }

    /// Empties every window and keeps the memory, for the next window.
    pub fn reset(&mut self) {
        self.clear_many(0, usize::MAX);
    }

    /// Empties the windows of `count` objects from slot `first` on, and keeps their memory.
    pub fn clear_many(&mut self, first: usize, count: usize) {
        self.cells.clear_many(first, count);
    }

    /// Gives back memory beyond `slots`. Later slots become empty.
    pub fn shrink(&mut self, slots: usize) {
        self.cells.shrink(slots);
    }

    /// The bytes that it has allocated; for states that allocate themselves, the most that they can.
    pub fn bytes(&self) -> usize {
        self.cells.bytes()
    }

    /// The versions of the words that [`save`](Self::save) writes; keep them with the words.
    pub fn versions(&self) -> Vec<u16> {
        alloc::vec![self.link.state_version()]
    }

    /// Appends the words of the object's window.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        self.cells.save(slot, words);
    }

    /// Reads back what [`save`](Self::save) wrote in `versions`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the slot is then unchanged.
    pub fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        let &[version] = versions else {
            return Err(RestoreError::invalid("number of versions", versions.len() as u64));
        };
        self.cells.restore(slot, version, words)
    }
}

#[cfg(all(test, feature = "parser"))]
mod tests {
    use super::*;
    use crate::column::DownstreamColumn;
    use crate::{Context, Silence, ValueType};

    #[test]
    fn words_beyond_the_end_are_empty() {
        let spec = Spec::parse("1.DSSum-raw:DSAnomaly:EWM:1", Context::new(ValueType::U64)).expect("a good annotation");
        let mut window = WindowColumn::new(&spec).expect("a periodic spec");
        let mut detectors = DownstreamColumn::new(&spec).expect("a spec with a detector");
        window.update(0, 0, Number::U64(1)).expect("a good sample");
        detectors.close(0, &window, 0, Silence::Once);
        for word in [1, (1 << 58) - 1, 1 << 58, usize::MAX] {
            assert_eq!(window.occupied(word, u64::MAX), 0, "{word}");
            let mut reports = Reports::new();
            window.reports(word, u64::MAX, 0, &mut reports);
            assert!((0..64).all(|bit| reports.get(bit).is_none()), "{word}");
            detectors.reports(word, u64::MAX, 0, &mut reports);
            assert!((0..64).all(|bit| reports.get(bit).is_none()), "{word}");
        }
        for slot in [64, 1 << 58, usize::MAX] {
            assert!(window.is_empty(slot) && window.value(slot, 0).is_none() && window.report(slot, 0).is_none());
            assert!(detectors.report(slot).is_none() && detectors.report_at(slot, 0).is_none());
            window.clear_many(slot, slot);
            detectors.clear(slot);
        }
        assert_eq!((window.occupied(0, u64::MAX), detectors.report(0).is_some()), (1, true));
    }

    #[test]
    fn only_windows_that_refuse_no_time_take_every_value() {
        for (annotation, takes) in [("1-raw:DSSum", true), ("1-raw:DSSum:1", false)] {
            let spec = Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation");
            let mut window = WindowColumn::new(&spec).expect("a periodic spec");
            window.update(0, 1_000_000, Number::U64(1)).expect("the first sample");
            assert_eq!(window.update(0, 0, Number::U64(1)).is_ok(), takes, "{annotation}");
            assert_eq!(window.takes_every_value(), takes, "{annotation}");
        }
    }
}
