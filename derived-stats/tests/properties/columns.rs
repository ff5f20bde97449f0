//! The results of columns equal those of a spec with a state for each object, bit for bit.
//!
//! Objects are created, become idle, are deleted and created again; periods end for any of them; columns shrink, grow
//! and restart. After every operation the words of each object equal those of its own state: no object influences
//! another.

mod subject;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use derived_stats::column::{Reports, Update, WORD, WindowColumn};
use derived_stats::{MetricKind, Number, Record, Report, Silence, SourceId, Spec, State};
use proptest::prelude::*;

use crate::input::{Story, any_number, sample, silence, source};
use crate::shapes::{for_each, shapes};

use self::subject::{Columns, batch, window_words};

/// Slots at both ends of words, and in several words.
const SLOTS: [u32; 11] = [0, 1, 5, 62, 63, 64, 65, 127, 128, 130, 191];

const WORDS: usize = 3;

const SECOND: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Operation {
    /// Samples, taken one by one and also as two batches; the index is that of the cut.
    Samples(Vec<(u32, u64, SourceId, Number)>, prop::sample::Index),
    /// The end of a period for the objects of the set bits.
    Close([u64; WORDS]),
    Delete(u32),
    Reserve(usize),
    Restart,
    Shrink(usize),
}

type Case = Story<Operation>;

fn cases(spec: Arc<Spec>) -> impl Strategy<Value = Case> {
    let slot = || prop::sample::select(SLOTS.to_vec());
    let step = prop_oneof![4 => 0..SECOND / 4, 1 => Just(0), 1 => 0..3 * SECOND];
    let value = prop_oneof![9 => sample(spec.value_type()), 1 => any_number()];
    let samples = prop::collection::vec((slot(), step, source(), value), 1..12);
    let word = || prop_oneof![3 => Just(u64::MAX), 2 => any::<u64>(), 1 => Just(0)];
    let operation = prop_oneof![
        6 => (samples, any::<prop::sample::Index>()).prop_map(|(samples, cut)| Operation::Samples(samples, cut)),
        6 => [word(), word(), word()].prop_map(Operation::Close),
        2 => slot().prop_map(Operation::Delete),
        1 => (0..300usize).prop_map(Operation::Reserve),
        1 => Just(Operation::Restart),
        1 => (0..200usize).prop_map(Operation::Shrink),
    ];
    (silence(), prop::collection::vec(operation, 1..30)).prop_map(move |(silence, events)| Case {
        spec: spec.clone(),
        silence,
        events,
    })
}

/// The columns, and a state for each object.
struct Both {
    spec: Arc<Spec>,
    silence: Silence,
    now: u64,
    columns: Columns,
    states: BTreeMap<u32, State>,
}

impl Both {
    fn new(spec: &Arc<Spec>, silence: Silence) -> Self {
        let states = SLOTS.map(|slot| (slot, spec.start())).into();
        Self { spec: spec.clone(), silence, now: 0, columns: Columns::new(spec), states }
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Close(slots) => return self.close(*slots),
            Operation::Delete(slot) => {
                self.columns.delete(*slot as usize);
                self.states.insert(*slot, self.spec.start());
            }
            Operation::Reserve(slots) => self.columns.reserve(*slots),
            Operation::Restart => self.columns = self.columns.restarted(&self.spec),
            Operation::Samples(samples, cut) => return self.samples(samples, *cut),
            Operation::Shrink(slots) => {
                self.columns.shrink(*slots);
                for (_, state) in self.states.range_mut(u32::try_from(*slots).unwrap()..) {
                    *state = self.spec.start();
                }
            }
        }
        Ok(())
    }

    fn samples(
        &mut self,
        samples: &[(u32, u64, SourceId, Number)],
        cut: prop::sample::Index,
    ) -> Result<(), TestCaseError> {
        // The samples of a batch have no source.
        let has_batches = self.columns.counters.is_none() && self.spec.last_values().is_none();
        let mut batched = self.columns.window.clone().filter(|_| has_batches);
        let (mut updates, mut errors) = (Vec::new(), Vec::new());
        for &(slot, step, source, value) in samples {
            self.now += step;
            let taken = self.columns.update(slot as usize, source, self.now, value);
            let state = self.states.get_mut(&slot).unwrap();
            // A NaN in an error is not equal to itself.
            prop_assert_eq!(show(taken), show(self.spec.update_from(state, source, self.now, value)));
            let takes_all = self.columns.window.as_ref().is_some_and(WindowColumn::takes_every_value);
            let is_difference = self.columns.counters.is_some();
            prop_assert!(
                taken.is_ok() || !takes_all || is_difference || !self.spec.accepts(value),
                "{value} is refused"
            );
            updates.push(Update { slot, at: self.now, value });
            errors.push(taken.err());
        }
        if let (Some(batched), Some(window)) = (&mut batched, &self.columns.window) {
            let (left, right) = updates.split_at(cut.index(updates.len() + 1));
            batch(batched, left, &errors)?;
            batch(batched, right, &errors[left.len()..])?;
            for slot in SLOTS {
                prop_assert_eq!(window_words(batched, slot), window_words(window, slot), "slot {} of a batch", slot);
            }
        }
        Ok(())
    }

    fn close(&mut self, slots: [u64; WORDS]) -> Result<(), TestCaseError> {
        self.now += SECOND / 8;
        let before = self.columns.clone();
        for (word, slots) in slots.into_iter().enumerate() {
            let fed = match (&mut self.columns.downstream, &self.columns.window) {
                (Some(downstream), window) => {
                    // Without samples the window is optional.
                    let window = window.as_ref().filter(|window| window.occupied(word, slots) != 0);
                    downstream.close_many(word, slots, window, self.now, self.silence)
                }
                (None, _) => 0,
            };
            prop_assert_eq!(fed & !slots, 0, "an object was fed whose period did not end");
            self.compare_closed(&before, word, slots, fed)?;
            self.columns.window.iter_mut().for_each(|window| window.end_period(word, slots));
        }
        if self.spec.last_values().is_none_or(|periods| periods == 1)
            && let (Some(window), [u64::MAX, u64::MAX, u64::MAX]) = (&mut self.columns.window, slots)
        {
            // Emptying all windows at once equals ending them word by word, if nothing is carried into the next ones.
            window.clone_from(before.window.as_ref().unwrap());
            window.reset();
        }
        self.compare_single_closes(&before, slots)
    }

    /// Compares the results of the columns for the closed periods with those of each state.
    fn compare_closed(&mut self, before: &Columns, word: usize, slots: u64, fed: u64) -> Result<(), TestCaseError> {
        let mut reports = Reports::new();
        match (&self.columns.downstream, &before.window) {
            (Some(downstream), _) => downstream.reports(word, slots, self.now, &mut reports),
            (None, Some(window)) => window.reports(word, slots, self.now, &mut reports),
            (None, None) => {}
        }
        for slot in closed(word, slots) {
            let (bit, state) = (slot as usize % WORD, self.states.get_mut(&slot).unwrap());
            let expected = self.spec.close(state, self.now, self.silence).map(record);
            let (found, single) = match (&self.columns.downstream, &before.window) {
                (Some(downstream), _) => {
                    let is_fed = fed >> bit & 1 == 1;
                    let report = downstream.report(slot as usize);
                    prop_assert_eq!(show(report.map(record)), show(owned(reports.get(bit))), "slot {}", slot);
                    let found = if is_fed { owned(reports.get(bit)) } else { None };
                    (found.clone(), found)
                }
                (None, Some(window)) => (owned(reports.get(bit)), window.report(slot as usize, self.now).map(record)),
                (None, None) => (None, None),
            };
            prop_assert_eq!(show(found), show(&expected), "slot {} in a pass", slot);
            prop_assert_eq!(show(single), show(expected), "slot {} alone", slot);
        }
        Ok(())
    }

    /// Compares closing objects one by one with closing them together.
    fn compare_single_closes(&self, before: &Columns, slots: [u64; WORDS]) -> Result<(), TestCaseError> {
        let (Some(mut single), Some(window)) = (before.downstream.clone(), &before.window) else {
            return Ok(());
        };
        for (word, slots) in slots.into_iter().enumerate() {
            for slot in closed(word, slots) {
                let report = single.close(slot as usize, window, self.now, self.silence).map(record);
                let expected = self.columns.downstream.as_ref().and_then(|column| column.report(slot as usize));
                prop_assert!(report.is_none() || show(report) == show(expected.map(record)), "slot {slot}");
            }
        }
        for slot in SLOTS {
            let (mut one, mut many) = (Vec::new(), Vec::new());
            single.save(slot as usize, &mut one);
            self.columns.downstream.iter().for_each(|column| column.save(slot as usize, &mut many));
            prop_assert_eq!(one, many, "slot {} closed alone", slot);
        }
        Ok(())
    }

    /// Compares the words and the results of every object.
    fn compare(&self) -> Result<(), TestCaseError> {
        for (&slot, state) in &self.states {
            let mut expected = Vec::new();
            self.spec.save_words(state, &mut expected);
            let words = self.columns.words(&self.spec, slot as usize);
            if self.spec.restarts_with_period() {
                // Without its closed period, which no column holds.
                let reading = if self.spec.metric() == MetricKind::Agg { 2 } else { 0 };
                let window = &expected[reading + 2..];
                prop_assert_eq!(&words[..reading], &expected[..reading], "the counter of slot {}", slot);
                prop_assert!(window.starts_with(&words[reading..]), "slot {slot} has {words:?}, not {window:?}");
            } else {
                prop_assert_eq!(words, expected, "slot {}", slot);
            }
            self.compare_reports(slot, state)?;
        }
        Ok(())
    }

    fn compare_reports(&self, slot: u32, state: &State) -> Result<(), TestCaseError> {
        let slot = slot as usize;
        if let Some(inline) = &self.columns.inline {
            prop_assert_eq!(inline.is_empty(slot), !self.spec.is_active(state));
            for now in [self.now, self.now + SECOND] {
                let report = inline.report(slot, now).map(record);
                let mut record_of_caller = Record::new([]);
                let lent = inline.report_into(slot, now, &mut record_of_caller).map(record);
                prop_assert_eq!(show(&lent), show(&report), "slot {} in a record of the caller", slot);
                if !inline.is_empty(slot) {
                    prop_assert_eq!(show(report), show(Some(record(self.spec.report(state, now)))), "slot {}", slot);
                }
            }
        }
        if let Some(window) = &self.columns.window {
            let is_occupied = window.occupied(slot / WORD, u64::MAX) >> (slot % WORD) & 1 == 1;
            prop_assert_eq!(is_occupied, !window.is_empty(slot));
            let value = window.report(slot, self.now).and_then(|report| report.forced()?.value());
            prop_assert_eq!(window.value(slot, self.now), value, "slot {}", slot);
            if self.spec.restarts_with_period() {
                let running = self.spec.running(state, self.now).map(|report| record(report).any());
                let report = window.report(slot, self.now).map(|report| record(report).any());
                prop_assert_eq!(show(report), show(running), "slot {}", slot);
            }
        }
        Ok(())
    }
}

/// The slots of the suite whose bit is set.
fn closed(word: usize, slots: u64) -> impl Iterator<Item = u32> {
    SLOTS.into_iter().filter(move |slot| *slot as usize / WORD == word && slots >> (*slot as usize % WORD) & 1 == 1)
}

fn record(report: Report<derived_stats::Output<'_>>) -> Report<Record> {
    report.map(|output| output.record().clone())
}

fn owned(report: Option<Report<&Record>>) -> Option<Report<Record>> {
    report.map(|report| report.map(Record::clone))
}

/// A text that differs if a bit does: `Debug` prints the sign of a zero, which `==` ignores.
fn show(report: impl fmt::Debug) -> String {
    format!("{report:?}")
}

#[test]
fn property_columns_are_one_state_for_each_object() {
    for_each(
        shapes(),
        |shape| shape.specs().prop_flat_map(cases),
        |case| {
            let mut both = Both::new(&case.spec, case.silence);
            for operation in &case.events {
                both.apply(operation)?;
                both.compare()?;
            }
            Ok(())
        },
    );
}
