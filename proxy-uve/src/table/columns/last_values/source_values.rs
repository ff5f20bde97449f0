//! The values of one source of an object.

use derived_stats::{Number, RestoreError, ValueType, Words};
use smallvec::SmallVec;

use crate::table::columns::last_values::{End, Windows};
use crate::table::window::window_start;

/// The newest value of a source in each open window, and before them: 56 bytes with its id, while it has two values.
#[derive(Clone, Debug)]
pub(super) struct SourceValues {
    /// In the order of their times, each of another window.
    values: SmallVec<[Value; 2]>,
    /// The windows in a row that closed without samples of the source.
    silent: u32,
}

/// A value in the type of its column, and the time of its sample in microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Value {
    pub(super) at: u64,
    pub(super) bits: u64,
}

impl SourceValues {
    /// The bytes of a source in a snapshot with values of so many open windows, as an upper bound.
    pub(super) fn saved_bytes(open: u64) -> usize {
        // The number of silent windows and that of values, and a value before the open windows.
        let words = open.saturating_add(1).saturating_mul(2).saturating_add(2);
        usize::try_from(words).unwrap_or(usize::MAX).saturating_mul(size_of::<u64>())
    }

    pub(super) fn new(value: Value) -> Self {
        Self { values: SmallVec::from_slice(&[value]), silent: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value> {
        self.values.iter().copied()
    }

    /// Takes a value. Windows of `length` are open if they end after `watermark`.
    pub(super) fn add(&mut self, new: Value, length: u64, watermark: u64, is_larger: impl Fn(Value, Value) -> bool) {
        let start = window_start(new.at, length);
        match self.values.iter_mut().find(|value| window_start(value.at, length) == start) {
            Some(old) if new.at > old.at || (new.at == old.at && is_larger(new, *old)) => *old = new,
            Some(_) => {}
            None => {
                let index = self.values.partition_point(|value| value.at < new.at);
                self.values.insert(index, new);
            }
        }
        self.drop_superseded(length, watermark);
    }

    /// Drops each value that no open window needs, because the next one is of the first open window or an earlier one.
    fn drop_superseded(&mut self, length: u64, watermark: u64) {
        let superseded = |pair: &&[Value]| window_start(pair[1].at, length) <= watermark;
        let count = self.values.windows(2).take_while(superseded).count();
        self.values.drain(..count);
    }

    /// The newest value before a time.
    pub(super) fn newest_before(&self, end: u64) -> Option<Value> {
        self.values.iter().copied().take_while(|value| value.at < end).last()
    }

    /// Ends the window from `start` on: the value with which the source counts in it, if it does. The source is empty
    /// afterwards if it was silent for too long.
    pub(super) fn close(&mut self, start: u64, windows: Windows, end: End) -> Option<Value> {
        let newest = self.newest_before(end.at)?;
        if newest.at >= start {
            self.silent = 0;
        } else if !end.is_unknown {
            self.silent = self.silent.saturating_add(1);
        }
        let counts = self.silent < windows.periods;
        if counts {
            self.drop_superseded(windows.length, end.at);
        } else {
            self.forget_before(end.at);
        }
        counts.then_some(newest)
    }

    /// Drops the values before a time.
    pub(super) fn forget_before(&mut self, time: u64) {
        self.values.retain(|value| value.at >= time);
        self.silent = 0;
    }

    /// The value with which the source counts in the open window from `start` on, if no further samples come. Windows
    /// from `open_from` on are open.
    pub(super) fn counts_in(&self, start: u64, open_from: u64, windows: Windows) -> Option<Value> {
        let newest = self.newest_before(start.saturating_add(windows.length))?;
        let of = window_start(newest.at, windows.length);
        let silent = match of >= open_from {
            true => (start - of) / windows.length,
            false => u64::from(self.silent) + start.saturating_sub(open_from) / windows.length + 1,
        };
        (silent < u64::from(windows.periods)).then_some(newest)
    }

    /// Appends the number of silent windows, the number of values, and the time and the bits of each.
    pub(super) fn save(&self, words: &mut Vec<u64>) {
        words.extend([u64::from(self.silent), self.values.len() as u64]);
        words.extend(self.values.iter().flat_map(|value| [value.at, value.bits]));
    }

    /// Reads back what [`save`](Self::save) wrote. No value can be newer than `newest`.
    pub(super) fn restore(
        words: &mut Words<'_>,
        value_type: ValueType,
        windows: Windows,
        newest: u64,
    ) -> Result<Self, RestoreError> {
        const SILENT: &str = "silent windows of a source";
        const COUNT: &str = "number of values of a source";
        let word = words.next(SILENT)?;
        let silent = u32::try_from(word).ok().filter(|silent| *silent < windows.periods);
        let silent = silent.ok_or_else(|| RestoreError::invalid(SILENT, word))?;
        let count = words.next(COUNT)?;
        let mut values: SmallVec<[Value; 2]> = SmallVec::new();
        for _ in 0..count {
            let value = restore_value(words, value_type, newest)?;
            let start = |value: &Value| window_start(value.at, windows.length);
            if values.last().is_some_and(|last| start(last) >= start(&value)) {
                return Err(RestoreError::invalid(TIME, value.at));
            }
            values.push(value);
        }
        if values.is_empty() {
            return Err(RestoreError::invalid(COUNT, count));
        }
        Ok(Self { values, silent })
    }
}

const TIME: &str = "time of a source's value";

fn restore_value(words: &mut Words<'_>, value_type: ValueType, newest: u64) -> Result<Value, RestoreError> {
    const VALUE: &str = "value of a source";
    let (at, bits) = (words.next(TIME)?, words.next(VALUE)?);
    if at > newest {
        return Err(RestoreError::invalid(TIME, at));
    }
    if !Number::from_bits(value_type, bits).is_finite() {
        return Err(RestoreError::invalid(VALUE, bits));
    }
    Ok(Value { at, bits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::by_source::SourceId;

    const WINDOWS: Windows = Windows { length: 60, periods: 2, open: 2 };

    fn end(at: u64) -> End {
        End { at, is_unknown: false }
    }

    fn values(times: &[u64], watermark: u64) -> SourceValues {
        let mut values = SourceValues::new(Value { at: times[0], bits: times[0] });
        let add = |at: &u64| values.add(Value { at: *at, bits: *at }, 60, watermark, |new, old| new.bits > old.bits);
        times[1..].iter().for_each(add);
        values
    }

    fn times(values: &SourceValues) -> Vec<u64> {
        values.iter().map(|value| value.at).collect()
    }

    #[test]
    fn a_source_takes_the_bytes_that_the_documentation_names() {
        assert_eq!(size_of::<(SourceId, SourceValues)>(), 56);
        let object = size_of::<SmallVec<[(SourceId, SourceValues); 1]>>();
        assert_eq!(object, 64, "with one source");
    }

    #[test]
    fn a_window_has_its_newest_value_in_any_order() {
        for order in [[65, 70, 68, 130], [130, 70, 65, 68], [70, 130, 68, 65]] {
            assert_eq!(times(&values(&order, 40)), [70, 130]);
        }
        let mut same = values(&[70], 0);
        for bits in [9, 80, 75] {
            same.add(Value { at: 70, bits }, 60, 0, |new, old| new.bits > old.bits);
        }
        assert_eq!(same.newest_before(99), Some(Value { at: 70, bits: 80 }));
    }

    #[test]
    fn a_value_is_kept_while_an_open_window_may_need_it() {
        // The window to 120 is open and has no sample: it needs the value of 10.
        assert_eq!(times(&values(&[10, 130], 100)), [10, 130]);
        assert_eq!(times(&values(&[10, 70, 130], 100)), [70, 130]);
        // It is closed.
        assert_eq!(times(&values(&[10, 130], 120)), [130]);
    }

    #[test]
    fn a_source_counts_for_its_windows_unless_time_is_unknown() {
        let mut source = values(&[10], 0);
        let unknown = End { at: 120, is_unknown: true };
        let counts = [(0, end(60)), (60, unknown), (120, end(180)), (180, end(240))]
            .map(|(start, end)| source.close(start, WINDOWS, end).is_some());
        assert_eq!((counts, source.is_empty()), ([true, true, true, false], true));
    }

    #[test]
    fn a_source_that_was_dropped_begins_anew_with_its_later_values() {
        let once = Windows { periods: 1, ..WINDOWS };
        let mut source = values(&[10, 130], 50);
        assert!(source.close(0, once, end(60)).is_some());
        assert_eq!((source.close(60, once, end(120)), times(&source)), (None, vec![130]));
        let mut words = Vec::new();
        source.save(&mut words);
        assert_eq!(words, [0, 1, 130, 130], "it has not been silent");
        assert_eq!(source.close(120, once, end(180)).map(|value| value.at), Some(130));
    }

    #[test]
    fn an_open_window_counts_sources_as_its_end_will() {
        let three = Windows { periods: 3, ..WINDOWS };
        let mut source = values(&[10], 0);
        assert!(source.close(0, three, end(60)).is_some());
        let counts = [60, 120, 180].map(|start| source.counts_in(start, 60, three).is_some());
        assert_eq!(counts, [true, true, false]);
        assert!(source.close(60, three, end(120)).is_some());
        assert_eq!([120, 180].map(|start| source.counts_in(start, 120, three).is_some()), [true, false]);
        let open = values(&[70], 0);
        let counts = [0, 60, 120, 180].map(|start| open.counts_in(start, 0, WINDOWS).is_some());
        assert_eq!(counts, [false, true, true, false]);
    }

    #[test]
    fn saved_values_come_back_and_impossible_ones_are_refused() {
        let mut words = Vec::new();
        values(&[10, 70], 0).save(&mut words);
        assert_eq!(words, [0, 2, 10, 10, 70, 70]);
        let restored = |words: &[u64]| {
            SourceValues::restore(&mut Words::new(words), ValueType::U64, WINDOWS, 90).map(|of| times(&of))
        };
        assert_eq!(restored(&words), Ok(vec![10, 70]));
        for (index, word, field) in [(0, 2, "silent windows of a source"), (4, 59, TIME), (4, 91, TIME), (2, 71, TIME)]
        {
            let mut changed = words.clone();
            changed[index] = word;
            let word = if index == 2 { 70 } else { word };
            assert_eq!(restored(&changed), Err(RestoreError::invalid(field, word)));
        }
        assert_eq!(restored(&[0, 0]), Err(RestoreError::invalid("number of values of a source", 0)));
        let nan = SourceValues::restore(&mut Words::new(&[0, 1, 5, f64::NAN.to_bits()]), ValueType::F64, WINDOWS, 90);
        assert!(nan.is_err());
    }
}
