//! The states of keys under a periodic spec.

use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::column::{CounterColumn, DownstreamColumn, WORD, WindowColumn, bits};
use crate::number::Number;
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::spec::{MetricKind, Silence, Spec};

/// The open windows of keys, and the source of their results.
#[derive(Clone, Debug)]
pub(super) struct Periodic {
    counters: Option<CounterColumn>,
    window: WindowColumn,
    results: Results,
}

/// The source of the results of closed windows.
#[derive(Clone, Debug)]
enum Results {
    /// The closed windows, which stay until the next close.
    Closed {
        windows: WindowColumn,
        /// The end of each closed window, in microseconds; 0 if there is none.
        at: Vec<u64>,
    },
    /// The links after the window.
    Downstream {
        column: DownstreamColumn,
        /// A bit for each slot: whether the value of its newest close reached the last link.
        fed: Vec<u64>,
    },
}

impl Periodic {
    pub(super) fn new(spec: &Spec, window: WindowColumn) -> Self {
        let counters = (spec.metric() == MetricKind::Agg).then(|| CounterColumn::new(spec));
        let results = match DownstreamColumn::new(spec) {
            Some(column) => Results::Downstream { column, fed: Vec::new() },
            None => Results::Closed { windows: window.empty_clone(), at: Vec::new() },
        };
        Self { counters, window, results }
    }

    pub(super) fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        let Self { counters, window, .. } = self;
        match counters {
            None => window.update(slot, at, value),
            Some(counters) => counters.update(slot, value, |difference| window.update(slot, at, difference)),
        }
    }

    pub(super) fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match &self.results {
            Results::Closed { windows, at } => windows.report(slot, at.get(slot).copied().unwrap_or_default()),
            Results::Downstream { column, .. } => column.report_at(slot, now),
        }
    }

    pub(super) fn running(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self.results {
            Results::Closed { .. } => self.window.running(slot, now),
            Results::Downstream { .. } => None,
        }
    }

    pub(super) fn is_active(&self, slot: usize) -> bool {
        let had_samples = match &self.results {
            Results::Closed { windows, .. } => !windows.is_empty(slot),
            Results::Downstream { column, .. } => is_set(column.sampled_before(slot / WORD), slot),
        };
        had_samples || !self.window.is_empty(slot)
    }

    pub(super) fn is_idle(&self, slot: usize) -> bool {
        let has_reading = || self.counters.as_ref().is_some_and(|counters| counters.has_reading(slot));
        matches!(self.results, Results::Closed { .. }) && !self.is_active(slot) && !has_reading()
    }

    pub(super) fn close(&mut self, word: usize, slots: u64, now: u64, silence: Silence) {
        match &mut self.results {
            Results::Closed { windows, at } => {
                windows.take(word, slots, &mut self.window);
                let closed = windows.occupied(word, slots);
                bits(slots).for_each(|bit| set(at, word * WORD + bit, if is_set(closed, bit) { now } else { 0 }));
            }
            Results::Downstream { column, fed } => {
                let reached = column.close_many(word, slots, Some(&self.window), now, silence);
                set(fed, word, fed.get(word).copied().unwrap_or_default() & !slots | reached);
                self.window.end_period(word, slots);
            }
        }
    }

    pub(super) fn flushed(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        let is_flushed = match &self.results {
            Results::Closed { .. } => true,
            Results::Downstream { fed, .. } => is_set(fed.get(slot / WORD).copied().unwrap_or_default(), slot),
        };
        if is_flushed { self.report(slot, now) } else { None }
    }

    pub(super) fn drop_unready(&mut self, slot: usize) {
        match &mut self.results {
            Results::Closed { windows, at } => {
                windows.clear(slot);
                if let Some(at) = at.get_mut(slot) {
                    *at = 0;
                }
            }
            // A detector that is not ready keeps its state.
            Results::Downstream { .. } => {}
        }
    }

    pub(super) fn forget(&mut self, slot: usize) -> bool {
        self.counters.iter_mut().for_each(|counters| counters.clear(slot));
        self.window.clear(slot);
        matches!(&self.results, Results::Closed { windows, .. } if !windows.is_empty(slot))
    }

    pub(super) fn forget_samples(&mut self, slot: usize) {
        self.window.clear(slot);
        if let Results::Downstream { column, .. } = &mut self.results {
            column.clear(slot);
        }
    }

    pub(super) fn clear(&mut self, slot: usize) {
        self.counters.iter_mut().for_each(|counters| counters.clear(slot));
        self.forget_samples(slot);
        self.drop_unready(slot);
    }

    pub(super) fn reserve(&mut self, slots: usize) {
        self.counters.iter_mut().for_each(|counters| counters.reserve(slots));
        self.window.reserve(slots);
        match &mut self.results {
            Results::Closed { windows, at } => {
                windows.reserve(slots);
                at.reserve_exact(slots.saturating_sub(at.len()));
            }
            Results::Downstream { column, fed } => {
                column.reserve(slots);
                fed.reserve_exact(slots.div_ceil(WORD).saturating_sub(fed.len()));
            }
        }
    }

    pub(super) fn shrink(&mut self, slots: usize) {
        self.counters.iter_mut().for_each(|counters| counters.shrink(slots));
        self.window.shrink(slots);
        match &mut self.results {
            Results::Closed { windows, at } => {
                windows.shrink(slots);
                at.truncate(slots);
                at.shrink_to_fit();
            }
            Results::Downstream { column, fed } => {
                column.shrink(slots);
                fed.truncate(slots.div_ceil(WORD));
                fed.shrink_to_fit();
            }
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let (results, words) = match &self.results {
            Results::Closed { windows, at } => (windows.bytes(), at.capacity()),
            Results::Downstream { column, fed } => (column.bytes(), fed.capacity()),
        };
        let counters = self.counters.as_ref().map_or(0, CounterColumn::bytes);
        counters + self.window.bytes() + results + words * size_of::<u64>()
    }

    pub(super) fn save(&self, slot: usize, words: &mut Vec<u64>) {
        self.counters.iter().for_each(|counters| counters.save(slot, words));
        self.window.save(slot, words);
        match &self.results {
            Results::Closed { windows, at } => {
                words.push(at.get(slot).copied().unwrap_or_default());
                windows.save(slot, words);
            }
            Results::Downstream { column, .. } => column.save(slot, words),
        }
    }

    pub(super) fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        let (first, later) = versions.split_at(versions.len().min(1));
        self.counters.iter_mut().try_for_each(|counters| counters.restore(slot, words))?;
        self.window.restore(slot, first, words)?;
        match &mut self.results {
            Results::Closed { windows, at } => {
                const END: &str = "end of the closed period";
                let end = words.next(END)?;
                windows.restore(slot, first, words)?;
                if end != 0 && windows.is_empty(slot) {
                    return Err(RestoreError::invalid(END, end));
                }
                set(at, slot, end);
                Ok(())
            }
            Results::Downstream { column, .. } => column.restore(slot, later, words),
        }
    }
}

/// The bit of a slot in its word.
fn is_set(word: u64, slot: usize) -> bool {
    word >> (slot % WORD) & 1 == 1
}

/// Writes a word at an index; grows the vector to it.
fn set(words: &mut Vec<u64>, index: usize, word: u64) {
    if index >= words.len() {
        words.resize(index + 1, 0);
    }
    words[index] = word;
}
