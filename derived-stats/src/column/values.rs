//! The values and the reports that columns exchange, for 64 slots at a time.

use alloc::boxed::Box;

use crate::column::WORD;
use crate::record::Record;
use crate::report::Report;

/// The values of up to 64 slots, as bits of the type of the link's value.
#[derive(Debug)]
pub(crate) struct Values {
    /// The bits of the slots with a value.
    pub(crate) valued: u64,
    /// The bits of the values that are the bound of their type.
    pub(crate) overflowed: u64,
    pub(crate) bits: [u64; WORD],
}

impl Values {
    pub(crate) fn new() -> Self {
        Self { valued: 0, overflowed: 0, bits: [0; WORD] }
    }

    /// Sets the values of `slots` to 0, which has the same bits in every type.
    pub(crate) fn set_zero(&mut self, slots: u64) {
        super::bits(slots).for_each(|bit| self.bits[bit] = 0);
        self.valued |= slots;
        self.overflowed &= !slots;
    }
}

/// The reports of up to 64 slots: a reusable buffer.
#[derive(Clone, Debug)]
pub struct Reports {
    ready: u64,
    unchanged: u64,
    shown: u64,
    records: Box<[Record; WORD]>,
}

impl Default for Reports {
    fn default() -> Self {
        let records = Box::new(core::array::from_fn(|_| Record::new([])));
        Self { ready: 0, unchanged: 0, shown: 0, records }
    }
}

impl Reports {
    /// An empty buffer.
    pub fn new() -> Self {
        Self::default()
    }

    /// The report of the slot with this index within its 64; `None` if there is none.
    #[inline]
    pub fn get(&self, bit: usize) -> Option<Report<&Record>> {
        let is_in = |set: u64| set >> bit & 1 == 1;
        let record = self.records.get(bit)?;
        match (is_in(self.shown), is_in(self.ready), is_in(self.unchanged)) {
            (false, _, _) => None,
            (true, false, _) if record.is_empty() => Some(Report::NotReady(None)),
            (true, false, _) => Some(Report::NotReady(Some(record))),
            (true, true, true) => Some(Report::Unchanged(record)),
            (true, true, false) => Some(Report::Value(record)),
        }
    }

    /// Removes all reports.
    pub fn clear(&mut self) {
        (self.ready, self.unchanged, self.shown) = (0, 0, 0);
    }

    /// Makes unchanged results values: the result of a closed period is never unchanged.
    pub(crate) fn of_closed_period(&mut self) {
        self.unchanged = 0;
    }

    /// Sets a report with `write`, which puts the result into the record of the slot and returns the report without it.
    #[inline]
    pub(crate) fn set_with(&mut self, bit: usize, write: impl FnOnce(&mut Record) -> Report<()>) {
        let mask = 1 << bit;
        self.shown |= mask;
        match write(&mut self.records[bit]) {
            Report::NotReady(_) => self.ready &= !mask,
            Report::Unchanged(()) => {
                self.ready |= mask;
                self.unchanged |= mask;
            }
            Report::Value(()) => {
                self.ready |= mask;
                self.unchanged &= !mask;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    #[test]
    fn a_buffer_returns_each_report_until_it_is_cleared() {
        let record = Record::new([Number::U64(1)]);
        let kinds = [
            Report::NotReady(None),
            Report::NotReady(Some(&record)),
            Report::Unchanged(&record),
            Report::Value(&record),
        ];
        let mut reports = Reports::new();
        let set = |reports: &mut Reports, bit, report: Report<&Record>| {
            reports.set_with(bit, |written| written.put(report.map(Record::clone)));
        };
        // Overwrites each kind with each, so that no bit of an older report can stay.
        for first in kinds {
            for second in kinds {
                for bit in [0, 63] {
                    set(&mut reports, bit, first);
                    set(&mut reports, bit, second);
                    assert_eq!(reports.get(bit), Some(second), "after {first:?}");
                }
            }
        }
        assert_eq!((reports.get(1), reports.get(64)), (None, None));
        set(&mut reports, 5, Report::Unchanged(&record));
        reports.of_closed_period();
        assert_eq!(reports.get(5), Some(Report::Value(&record)));
        reports.clear();
        assert_eq!([0, 5, 63].map(|bit| reports.get(bit)), [None; 3]);
    }

    #[test]
    fn zeros_replace_values_and_their_flags() {
        let mut values = Values::new();
        for bit in [0, 3, 63] {
            values.bits[bit] = 7;
            values.valued |= 1 << bit;
            values.overflowed |= 1 << bit;
        }
        values.set_zero(1 << 3 | 1 << 5);
        assert_eq!((values.valued, values.overflowed), (1 | 1 << 3 | 1 << 5 | 1 << 63, 1 | 1 << 63));
        assert_eq!([0, 3, 5, 63].map(|bit| values.bits[bit]), [7, 0, 0, 7]);
    }
}
