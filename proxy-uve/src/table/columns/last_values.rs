//! The last values of each source of each object, for algorithms that count each source once.
//!
//! The value of a window of `DSSumLast` is the sum of the last values of the object's sources: of each source the newest
//! sample before the end of the window. So a window adds nothing up while samples come. At its end the values of the
//! sources that count go to the window's algorithm, [`Algorithm::update_from`], and from there on it is a window as any
//! other.
//!
//! * *A source counts* in the window of its newest sample and in the next ones, N in total: the argument of the
//!   algorithm ([`Spec::last_values`]). After N windows without samples it is dropped.
//! * *A sample that is older* than the newest one of its source in the same window changes nothing, and of two at the
//!   same time the larger one counts: the order of samples within a window makes no difference.
//! * *Open windows.* Samples of the next window come while a window is still open for late ones. So a source has a value
//!   for each open window, and the newest one before them for as long as a window without a sample may need it.
//! * *Unknown time is not silence:* a window with unknown time ages no source. It has a result, marked as partial, if
//!   the object has samples in it.
//! * Samples without a source are of one unnamed source.
//!
//! Sources are dropped at the end of a window, which is a function of the log alone: results do not depend on when a
//! snapshot was taken.
//!
//! [`Algorithm::update_from`]: derived_stats::Algorithm::update_from
//! [`Spec::last_values`]: derived_stats::Spec::last_values

mod source_values;

use derived_stats::column::WindowColumn;
use derived_stats::{Number, RestoreError, ValueType, Words};

use self::source_values::{SourceValues, Value};
use crate::table::by_source::{BySource, SourceNames};
use crate::table::columns::counters::{
    Accepted, NotAccepted, Outcome, SourceRules, SourceSample, restore_text, save_text,
};
use crate::table::window::window_start;

/// The last values of each source of each object.
#[derive(Debug)]
pub(in crate::table) struct LastValues {
    value_type: ValueType,
    windows: Windows,
    sources: BySource<SourceValues>,
    /// A buffer for the values of one object.
    counting: Vec<(derived_stats::SourceId, Value)>,
}

/// The windows of a column of last values.
#[derive(Clone, Copy, Debug)]
pub(in crate::table) struct Windows {
    /// Length of a window in microseconds.
    pub(in crate::table) length: u64,
    /// The number of windows in which a source counts.
    pub(in crate::table) periods: u32,
    /// The most windows that are open at a time.
    pub(in crate::table) open: u64,
}

/// The end of a window of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// In microseconds.
    pub(super) at: u64,
    /// A part of the window is [unknown](crate::table::unknown).
    pub(super) is_unknown: bool,
}

impl LastValues {
    /// The version of the words that [`save`](Self::save) writes.
    pub(in crate::table) const VERSION: u16 = 1;

    pub(in crate::table) fn new(value_type: ValueType, windows: Windows) -> Self {
        let sources = BySource::with_state_bytes(SourceValues::saved_bytes(windows.open));
        Self { value_type, windows, sources, counting: Vec::new() }
    }

    /// Takes a sample.
    pub(in crate::table) fn update(
        &mut self,
        names: &mut SourceNames,
        rules: &SourceRules<'_>,
        sample: &SourceSample,
    ) -> Outcome {
        let &SourceSample { slot, source, at, value } = sample;
        let number = value.to_type(self.value_type).ok_or(NotAccepted::Refused)?;
        let value = Value { at, bits: number.bits() };
        match self.sources.get_mut(slot, source) {
            None => self.sources.add(names, rules.limits, slot, source, SourceValues::new(value))?,
            Some(values) => {
                let value_type = self.value_type;
                let is_larger = |new: Value, old: Value| is_larger(value_type, new.bits, old.bits);
                values.add(value, self.windows.length, rules.watermark, is_larger);
            }
        }
        Ok(Accepted::Added)
    }

    /// Gives the values of an object's sources that count to the window that ends, and drops the sources that were
    /// silent for too long.
    pub(super) fn close(&mut self, names: &mut SourceNames, slot: usize, end: End, window: &mut WindowColumn) {
        let start = end.at.saturating_sub(self.windows.length);
        let is_heard = |values: &SourceValues| values.newest_before(end.at).is_some_and(|value| value.at >= start);
        if end.is_unknown && !self.sources.iter(slot).any(|(_, values)| is_heard(values)) {
            return;
        }
        let Self { sources, counting, windows, value_type } = self;
        counting.clear();
        let numbers: Vec<_> = sources.iter(slot).map(|(source, _)| names.number(source)).collect();
        let mut numbers = numbers.into_iter();
        sources.retain(names, slot, |values| {
            let counts = values.close(start, *windows, end);
            counting.extend(numbers.next().zip(counts));
            !values.is_empty()
        });
        // In an order that does not depend on when a source got its id, since sums of doubles depend on it.
        counting.sort_unstable_by_key(|(source, _)| *source);
        for &(source, Value { at, bits }) in &*counting {
            // The value has the type of the column, and such an algorithm takes every value of it.
            let _ = window.update_from(slot, source, at, Number::from_bits(*value_type, bits));
        }
    }

    /// Drops what an object has of windows that ended at or before `end`.
    pub(super) fn forget_ended(&mut self, names: &mut SourceNames, slot: usize, end: u64) {
        let open_from = window_start(end, self.windows.length);
        self.sources.retain(names, slot, |values| {
            values.forget_before(open_from);
            !values.is_empty()
        });
    }

    /// The starts of the windows that are open after `watermark` and in which an object has samples, in order.
    pub(in crate::table) fn open_windows(&self, slot: usize, watermark: u64) -> Vec<u64> {
        let length = self.windows.length;
        let values = self.sources.iter(slot).flat_map(|(_, values)| values.iter());
        let starts = values.map(|value| window_start(value.at, length));
        let mut starts: Vec<u64> = starts.filter(|start| start.saturating_add(length) > watermark).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    }

    /// Gives the values of an object's sources that count so far in the open window from `start` on to slot 0 of
    /// `window`.
    pub(in crate::table) fn preview(
        &self,
        names: &SourceNames,
        slot: usize,
        start: u64,
        watermark: u64,
        window: &mut WindowColumn,
    ) {
        let open_from = window_start(watermark, self.windows.length);
        for (source, values) in self.sources.iter(slot) {
            if let Some(Value { at, bits }) = values.counts_in(start, open_from, self.windows) {
                let number = Number::from_bits(self.value_type, bits);
                // As in `close`.
                let _ = window.update_from(0, names.number(source), at, number);
            }
        }
    }

    /// Whether no object has a source.
    pub(in crate::table) fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }

    /// Drops the sources of an object.
    pub(in crate::table) fn clear(&mut self, names: &mut SourceNames, slot: usize) {
        self.sources.clear(names, slot);
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(in crate::table) fn shrink(&mut self, names: &mut SourceNames, slots: usize) {
        self.sources.shrink(names, slots);
    }

    /// Appends the words of an object's sources: their number, then for each its name, the number of silent windows, the
    /// number of values, and for each value its time and its bits. None for an object without sources.
    pub(in crate::table) fn save(&self, names: &SourceNames, slot: usize, words: &mut Vec<u64>) -> Option<()> {
        let mut sources: Vec<_> =
            self.sources.iter(slot).map(|(source, values)| (names.name(source), values)).collect();
        // By name: ids depend on the order of the first samples since the start.
        sources.sort_unstable_by_key(|(name, _)| *name);
        words.push(sources.len() as u64);
        for (name, values) in &sources {
            save_text(name, words);
            values.save(words);
        }
        (!sources.is_empty()).then_some(())
    }

    /// Restores the words that [`save`](Self::save) wrote. No value can be newer than `newest`.
    pub(in crate::table) fn restore(
        &mut self,
        names: &mut SourceNames,
        slot: usize,
        words: &mut Words<'_>,
        newest: u64,
    ) -> Result<(), RestoreError> {
        let mut sources = Vec::new();
        for _ in 0..words.next("number of sources")? {
            let name = restore_text(words)?;
            let values = SourceValues::restore(words, self.value_type, self.windows, newest)?;
            sources.push((names.intern(&name), values));
        }
        self.sources.restore(names, slot, sources);
        Ok(())
    }
}

/// Whether a number of this type is larger than another.
fn is_larger(value_type: ValueType, number: u64, other: u64) -> bool {
    match value_type {
        ValueType::F64 => f64::from_bits(number) > f64::from_bits(other),
        ValueType::I64 => number.cast_signed() > other.cast_signed(),
        ValueType::U64 => number > other,
    }
}
