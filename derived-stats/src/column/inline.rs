//! The inline pipelines of many objects: a result after every sample.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::column::{Column, CounterColumn};
use crate::number::Number;
use crate::output::Output;
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::spec::{MetricKind, Spec, SpecLink};

/// The inline pipeline of each object. If the metric is a cumulative counter, it takes the differences.
#[derive(Debug)]
pub struct InlineColumn {
    link: Arc<SpecLink>,
    counters: Option<CounterColumn>,
    cells: Box<dyn Column>,
}

impl Clone for InlineColumn {
    fn clone(&self) -> Self {
        let (link, counters) = (Arc::clone(&self.link), self.counters.clone());
        Self { link, counters, cells: self.cells.boxed_clone() }
    }
}

impl InlineColumn {
    /// An empty column for `spec`; `None` for a periodic spec.
    pub fn new(spec: &Spec) -> Option<Self> {
        spec.inline_link().map(|link| Self::of_link(spec, link))
    }

    /// An empty column for one link of `spec`.
    pub(super) fn of_link(spec: &Spec, link: &Arc<SpecLink>) -> Self {
        let counters = (spec.metric() == MetricKind::Agg).then(|| CounterColumn::new(spec));
        Self { cells: link.column(), link: Arc::clone(link), counters }
    }

    /// Reserves capacity for `slots` slots in total.
    pub fn reserve(&mut self, slots: usize) {
        self.cells.reserve(slots);
        if let Some(counters) = &mut self.counters {
            counters.reserve(slots);
        }
    }

    /// Takes a sample of time `at`. Constant time; allocates only to grow.
    ///
    /// # Errors
    ///
    /// [`UpdateError`] as [`Spec::update`]; the object is then unchanged.
    pub fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        let Self { counters, cells, .. } = self;
        match counters {
            None => cells.update(slot, at, value),
            Some(counters) => counters.update(slot, value, |difference| cells.update(slot, at, difference)),
        }
    }

    /// Takes the increase of a counter from its reading of time `since` to that of time `at`, for callers that keep the
    /// readings; [`update`](Self::update) keeps them here.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update).
    pub fn update_increase(&mut self, slot: usize, since: u64, at: u64, increase: Number) -> Result<(), UpdateError> {
        self.cells.update_increase(slot, since, at, increase)
    }

    /// Takes the last reading of the object's counter out: the caller keeps it from now on.
    pub fn take_reading(&mut self, slot: usize) -> Option<Number> {
        self.counters.as_mut().and_then(|counters| counters.take(slot))
    }

    /// Whether the object has taken no sample.
    pub fn is_empty(&self, slot: usize) -> bool {
        self.cells.is_empty(slot)
    }

    /// The result of the samples so far, at time `now`; `None` without samples.
    pub fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        if self.is_empty(slot) {
            return None;
        }
        Some(self.cells.report(slot, now).map(|record| Output::new(self.link.description(), record)))
    }

    /// As [`report`](Self::report), with the numbers in a record of the caller: the results of many samples then need
    /// one record, also those with [many numbers](Record::INLINE_NUMBERS).
    pub fn report_into<'r>(&'r self, slot: usize, now: u64, record: &'r mut Record) -> Option<Report<Output<'r>>> {
        if self.is_empty(slot) {
            return None;
        }
        let report = self.cells.report_into(slot, now, record);
        Some(report.map(|()| Output::borrowed(self.link.description(), record)))
    }

    /// Resets the object, except for the last reading of a counter.
    pub(super) fn clear_samples(&mut self, slot: usize) {
        self.cells.clear_many(slot, 1);
    }

    /// Resets the object.
    pub fn clear(&mut self, slot: usize) {
        self.cells.clear_many(slot, 1);
        if let Some(counters) = &mut self.counters {
            counters.clear(slot);
        }
    }

    /// Drops the slots from `slots` on and frees their memory.
    pub fn shrink(&mut self, slots: usize) {
        self.cells.shrink(slots);
        if let Some(counters) = &mut self.counters {
            counters.shrink(slots);
        }
    }

    /// The allocated bytes, those of states included.
    pub fn bytes(&self) -> usize {
        self.cells.bytes() + self.counters.as_ref().map_or(0, CounterColumn::bytes)
    }

    /// The versions of the words that [`save`](Self::save) writes; store them with the words.
    pub fn versions(&self) -> Vec<u16> {
        alloc::vec![self.link.state_version()]
    }

    /// Appends the words of the object.
    pub fn save(&self, slot: usize, words: &mut Vec<u64>) {
        if let Some(counters) = &self.counters {
            counters.save(slot, words);
        }
        self.cells.save(slot, words);
    }

    /// Restores the words that [`save`](Self::save) wrote in `versions`.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the object is then reset.
    pub fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        let &[version] = versions else {
            return Err(RestoreError::invalid("number of versions", versions.len() as u64));
        };
        let counters = self.counters.as_mut().map_or(Ok(()), |counters| counters.restore(slot, words));
        let restored = counters.and_then(|()| self.cells.restore(slot, version, words));
        if restored.is_err() {
            self.clear(slot);
        }
        restored
    }
}
