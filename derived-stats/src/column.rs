//! Many objects under one spec, side by side.
//!
//! An engine that keeps windows open in event time holds three kinds of column for a periodic spec, each indexed by a
//! dense object number (a *slot*): one [`RunningColumn`] for each window that is open, one [`DetectorColumn`] if the
//! spec has a detector, and one [`CounterColumn`] if the metric is a cumulative counter. Closing a window is then one
//! pass over arrays, and an object costs its states: 16 bytes for a sum in a window, 40 for a detector.
//!
//! Specs whose windows accumulate the same ([`Spec::shares_running`](crate::Spec::shares_running)) can share a running
//! column: the sum of a period is made once, however many results are derived from it.
//!
//! Slots beyond the end of a column are empty; a column grows to the slot that is written.

mod counter;
mod detector;
mod running;

pub use self::counter::CounterColumn;
pub use self::detector::DetectorColumn;
pub use self::running::{Refused, RunningColumn, Update};

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

use {column_of, each};

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
    use crate::number::{Number, ValueType};
    use crate::spec::{Context, Silence, Spec};

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
    fn many_at_once_is_the_same_as_one_by_one() {
        let annotations =
            ["1.DSSum-raw:DSAnomaly:EWM:0.5", "1.DSNone-raw:DSAnomaly:EWM:0.1", "1.DSAvg-raw:DSAnomaly:EWM:0.3"];
        for (annotation, silence) in annotations.into_iter().zip([Silence::Once, Silence::Zero, Silence::Skip]) {
            let spec = spec(annotation);
            let mut single = (RunningColumn::new(&spec).unwrap(), DetectorColumn::new(&spec).unwrap());
            let mut many = single.clone();
            for period in 0..40u64 {
                let update = |n: u64| Update { slot: (n * period % 90) as u32, at: period, value: Number::U64(n % 7) };
                let updates: Vec<_> = (0..50).map(update).collect();
                for &Update { slot, at, value } in &updates {
                    single.0.update(slot as usize, at, value).unwrap();
                }
                many.0.update_all(&updates).unwrap();
                let alive = [u64::MAX << (period % 9), u64::MAX >> (period % 50 + 14)];
                for slot in (0..114).filter(|slot| alive[slot / 64] >> (slot % 64) & 1 == 1) {
                    single.1.close(slot, &single.0, period, silence);
                }
                for (first, alive) in [0, 64].into_iter().zip(alive) {
                    many.1.close_many(first, alive, Some(&many.0), period, silence);
                }
                (0..128).for_each(|slot| {
                    assert_eq!(many.1.judge(slot), single.1.judge(slot), "{annotation}, slot {slot}, period {period}");
                });
                single.0.reset();
                many.0.reset();
            }
        }
    }

    #[test]
    fn a_batch_stops_at_the_sample_that_is_refused() {
        let mut column = RunningColumn::new(&spec("1-raw:DSSum")).unwrap();
        let update = |slot, value| Update { slot, at: 0, value };
        let updates = [update(0, Number::U64(1)), update(1, Number::F64(0.5)), update(2, Number::U64(1))];
        let refused = column.update_all(&updates).unwrap_err();
        assert_eq!(refused.index, 1);
        assert_eq!([0, 1, 2].map(|slot| column.is_empty(slot)), [false, true, true]);
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
