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
use crate::source_id::SourceId;
use crate::spec::{Spec, SpecLink};

/// The state of each object in one open window.
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

    /// An empty column for another window of the same spec.
    #[must_use]
    pub fn empty_clone(&self) -> Self {
        Self { link: Arc::clone(&self.link), cells: self.cells.empty_clone() }
    }

    /// Reserves capacity for `slots` slots in total, so that growing to them does not reallocate.
    pub fn reserve(&mut self, slots: usize) {
        self.cells.reserve(slots);
    }

    /// Adds a sample of time `at` to the window of the object. Constant time; allocates only to grow.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] as [`Spec::update`]; the window is then unchanged.
    #[inline]
    pub fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        self.cells.update(slot, at, value)
    }

    /// Adds a sample of a source; see [`Spec::update_from`].
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn update_from(&mut self, slot: usize, source: SourceId, at: u64, value: Number) -> Result<(), UpdateError> {
        self.cells.update_from(slot, source, at, value)
    }

    /// Adds the increase of a counter from its reading of time `since` to that of time `at`, for callers that keep the
    /// last reading of each source ([`counter_increase`](crate::counter_increase)): the metric is a counter
    /// ([`MetricKind::Agg`](crate::MetricKind::Agg)), or the algorithm [takes increases](Spec::takes_increases).
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    #[inline]
    pub fn update_increase(&mut self, slot: usize, since: u64, at: u64, increase: Number) -> Result<(), UpdateError> {
        self.cells.update_increase(slot, since, at, increase)
    }

    /// Adds many samples in order, as [`update`](Self::update) for each, with one dynamic dispatch. It loads the states
    /// of many objects from memory in parallel: if the column is larger than the caches, a batch of a few dozen samples
    /// takes a fraction of the time of single updates.
    ///
    /// # Errors
    ///
    /// [`Refused`] for the first sample that is refused.
    #[inline]
    pub fn update_all(&mut self, updates: &[Update]) -> Result<(), Refused> {
        self.cells.update_all(updates)
    }

    /// Whether every value of the spec's type is taken, so that a checked value cannot be [`Refused`]. Ranged windows,
    /// for example, refuse a sample that is too old.
    pub fn takes_every_value(&self) -> bool {
        self.link.takes_every_sample()
    }

    /// The value of the window at its end `now`; `None` without samples, or if they give no value.
    pub fn value(&self, slot: usize, now: u64) -> Option<Number> {
        if self.is_empty(slot) {
            return None;
        }
        let description = self.link.description();
        let number = self.cells.report(slot, now).forced()?.get(description.value_index()?)?;
        number.to_type(description.value_type()?)
    }

    /// Whether the object has taken no sample in this window.
    #[inline]
    pub fn is_empty(&self, slot: usize) -> bool {
        self.cells.is_empty(slot)
    }

    /// The bits of the slots, of 64 from slot `64 * word` on, that have taken samples in this window.
    pub fn occupied(&self, word: usize, slots: u64) -> u64 {
        self.cells.occupied(word, slots)
    }

    /// The result of the window at its end `now`; `None` without samples. The result of a closed window is never
    /// reported as unchanged, as in the original.
    pub fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        Some(self.running(slot, now)?.of_closed_period())
    }

    /// Writes the results of up to 64 slots from slot `64 * word` on, as [`report`](Self::report) for each. Slots
    /// without samples have none.
    pub fn reports(&self, word: usize, slots: u64, now: u64, reports: &mut Reports) {
        reports.clear();
        self.cells.reports(word, self.cells.occupied(word, slots), now, reports);
        reports.of_closed_period();
    }

    /// The result of the open window so far, which can be unchanged; `None` without samples.
    pub(super) fn running(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        if self.is_empty(slot) {
            return None;
        }
        Some(self.cells.report(slot, now).map(|record| Output::new(self.link.description(), record)))
    }

    /// Moves the windows of these slots from a column of the same spec to this one, and begins the next ones there.
    pub(super) fn take(&mut self, word: usize, slots: u64, from: &mut Self) {
        self.cells.take(word, slots, &mut *from.cells);
    }

    pub(super) fn values(&self, word: usize, slots: u64, now: u64, values: &mut Values) {
        self.cells.values(word, slots, now, values);
    }

    /// Merges the window of object `other` of another column into the window of the object, as if one column had taken
    /// all samples. Use it for samples that several columns have aggregated. Exact for integers; sums of doubles may be
    /// rounded differently than in one pass.
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
    /// [`MergeError`] if the windows have different algorithms, arguments or element types, or the entry of their
    /// algorithm does not claim to [merge](crate::entry::Claims::merges); the window is then unchanged.
    pub fn merge(&mut self, slot: usize, from: &Self, other: usize) -> Result<(), MergeError> {
        if self.link != from.link {
            return Err(MergeError::Foreign);
        }
        self.cells.merge(slot, &*from.cells, other)
    }

    /// Empties the window of the object.
    pub fn clear(&mut self, slot: usize) {
        self.cells.clear_many(slot, 1);
    }

    /// Empties every window and keeps the memory for the next window.
    pub fn reset(&mut self) {
        self.clear_many(0, usize::MAX);
    }

    /// Empties the windows of `count` objects from slot `first` on, and keeps their memory.
    pub fn clear_many(&mut self, first: usize, count: usize) {
        self.cells.clear_many(first, count);
    }

    /// Begins the next windows of the objects of the set bits: bit `i` of `slots` is the bit of slot `64 * word + i`. An
    /// algorithm that [carries](crate::Algorithm::next_period) a part of its state into the next period does so; of all
    /// others the windows are emptied, as by [`clear_many`](Self::clear_many).
    pub fn end_period(&mut self, word: usize, slots: u64) {
        self.cells.end_period(word, slots);
    }

    /// Drops the slots from `slots` on and frees their memory.
    pub fn shrink(&mut self, slots: usize) {
        self.cells.shrink(slots);
    }

    /// The allocated bytes, those of states included.
    pub fn bytes(&self) -> usize {
        self.cells.bytes()
    }

    /// The versions of the words that [`save`](Self::save) writes; store them with the words.
    pub fn versions(&self) -> Vec<u16> {
        alloc::vec![self.link.state_version()]
    }

    /// Appends the words of the window of the object.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        self.cells.save(slot, words);
    }

    /// Restores the words that [`save`](Self::save) wrote in `versions`.
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
