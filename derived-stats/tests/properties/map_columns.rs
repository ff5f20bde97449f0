//! The results of a column of maps equal those of a map pipeline for each object, bit for bit.
//!
//! Objects take maps, lose keys, become idle, are closed one by one, 64 at a time or all at once, are cleared and
//! created again; the column shrinks, grows and restarts. After every operation the results, open periods, keys and
//! saved words of each object equal those of its own map pipeline: no object and no key influences another.

mod memory;
mod saved;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use derived_stats::column::{MapColumn, WORD};
use derived_stats::{MapPipeline, Number, Output, Report, Silence, Spec, Words};
use proptest::prelude::*;

use crate::input::{Story, any_number, any_spec, sample, silence};
use crate::shapes::for_each_metric;

use self::saved::{saved, states};

/// Slots in two words of objects; their keys fill more than one word of inner slots.
const SLOTS: [usize; 12] = [0, 1, 2, 3, 30, 31, 62, 63, 64, 65, 66, 127];

/// The last two keys have the same first twelve bytes.
const KEYS: [&str; 8] = ["", "a", "blue", "blues", "grün", "red", "tenant-12345", "tenant-123456789"];

const WORDS: usize = 2;

const SECOND: u64 = 1_000_000;

type Map = BTreeMap<&'static str, Number>;

#[derive(Clone, Debug)]
enum Operation {
    Clear(usize),
    CloseAll,
    CloseMany([u64; WORDS]),
    CloseOne(usize),
    /// Maps, which may be empty, with the keys that carry the delete mark.
    Maps(Vec<(usize, u64, Map, Vec<&'static str>)>),
    Reserve(usize, usize),
    Restart,
    Shrink(usize),
}

type Case = Story<Operation>;

fn cases(spec: Arc<Spec>) -> impl Strategy<Value = Case> {
    let slot = || prop::sample::select(SLOTS.to_vec());
    let key = || prop::sample::select(KEYS.to_vec());
    let step = prop_oneof![4 => 0..SECOND / 4, 1 => Just(0), 1 => 0..3 * SECOND];
    let value = prop_oneof![12 => sample(spec.value_type()), 1 => any_number()];
    let values = prop::collection::btree_map(key(), value, 0..KEYS.len());
    let deleted = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(key(), 1..3)];
    let maps = prop::collection::vec((slot(), step, values, deleted), 1..16);
    let word = || prop_oneof![3 => Just(u64::MAX), 2 => any::<u64>(), 1 => Just(0)];
    let operation = prop_oneof![
        8 => maps.prop_map(Operation::Maps),
        2 => Just(Operation::CloseAll),
        3 => [word(), word()].prop_map(Operation::CloseMany),
        2 => slot().prop_map(Operation::CloseOne),
        1 => slot().prop_map(Operation::Clear),
        1 => (0..200usize, 0..300usize).prop_map(|(slots, keys)| Operation::Reserve(slots, keys)),
        1 => Just(Operation::Restart),
        1 => (0..140usize).prop_map(Operation::Shrink),
    ];
    (silence(), prop::collection::vec(operation, 1..20)).prop_map(move |(silence, events)| Case {
        spec: spec.clone(),
        silence,
        events,
    })
}

/// The results of a close, as text: `Debug` shows every bit of a double.
type Flushed = Vec<(usize, String, String)>;

struct Both {
    spec: Arc<Spec>,
    silence: Silence,
    now: u64,
    column: MapColumn,
    maps: BTreeMap<usize, MapPipeline>,
}

impl Both {
    fn new(case: &Case) -> Self {
        let Case { spec, silence, .. } = case;
        let maps = SLOTS.map(|slot| (slot, MapPipeline::new(spec.clone()).with_silence(*silence))).into();
        Self { spec: spec.clone(), silence: *silence, now: 0, column: MapColumn::new(spec.clone()), maps }
    }

    fn new_map(&self) -> MapPipeline {
        MapPipeline::new(self.spec.clone()).with_silence(self.silence)
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Clear(slot) => {
                self.column.clear(*slot);
                self.maps.insert(*slot, self.new_map());
            }
            Operation::CloseAll => {
                return self.close(&SLOTS, |column, now, silence, flushed| {
                    column.close_all(now, silence, flushed);
                });
            }
            Operation::CloseMany(words) => {
                let is_closed = |slot: &usize| words[slot / WORD] >> (slot % WORD) & 1 == 1;
                let slots: Vec<_> = SLOTS.into_iter().filter(is_closed).collect();
                return self.close(&slots, |column, now, silence, flushed| {
                    for (word, slots) in words.iter().enumerate() {
                        column.close_many(word, *slots, now, silence, &mut *flushed);
                    }
                });
            }
            Operation::CloseOne(slot) => {
                return self.close(&[*slot], |column, now, silence, flushed| {
                    column.close(*slot, now, silence, flushed);
                });
            }
            Operation::Maps(maps) => {
                return maps.iter().try_for_each(|(slot, step, values, deleted)| {
                    self.now += step;
                    self.update(*slot, values, deleted)
                });
            }
            Operation::Reserve(slots, keys) => self.column.reserve(*slots, *keys),
            Operation::Restart => self.restart(),
            Operation::Shrink(slots) => {
                self.column.shrink(*slots);
                for slot in SLOTS.into_iter().filter(|slot| slot >= slots) {
                    self.maps.insert(slot, self.new_map());
                }
            }
        }
        Ok(())
    }

    fn update(&mut self, slot: usize, values: &Map, deleted: &[&'static str]) -> Result<(), TestCaseError> {
        let values = || values.iter().map(|(key, value)| (*key, *value));
        let taken = self.column.update(slot, self.now, values(), deleted.iter().copied());
        let map = self.maps.get_mut(&slot).unwrap();
        // A NaN in an error is not equal to itself.
        prop_assert_eq!(show(taken), show(map.update(self.now, values(), deleted.iter().copied())));
        Ok(())
    }

    fn close(
        &mut self,
        slots: &[usize],
        close: impl FnOnce(&mut MapColumn, u64, Silence, &mut dyn FnMut(usize, &str, Report<Output<'_>>)),
    ) -> Result<(), TestCaseError> {
        self.now += SECOND / 8;
        let mut found = Flushed::new();
        close(&mut self.column, self.now, self.silence, &mut |slot, key, report| {
            found.push((slot, key.to_owned(), show(report)));
        });
        let mut expected = Flushed::new();
        for slot in slots {
            let map = self.maps.get_mut(slot).unwrap();
            // The column is closed at every n-th period.
            for period in 1..=self.spec.every() {
                let closed = map.close_period(self.now);
                prop_assert!(closed.is_empty() || period == self.spec.every());
                expected.extend(closed.into_iter().map(|(key, report)| (*slot, key.to_owned(), show(report))));
            }
        }
        prop_assert_eq!(found, expected);
        Ok(())
    }

    /// The same objects in a new column, from the last to the first.
    fn restart(&mut self) {
        let mut restarted = MapColumn::new(self.spec.clone());
        for slot in SLOTS.into_iter().rev() {
            let words = saved(&self.column, slot);
            let mut reader = Words::new(&words);
            restarted.restore(slot, &self.column.versions(), &mut reader).unwrap();
            reader.finish().unwrap();
        }
        self.column = restarted;
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        for (&slot, map) in &self.maps {
            prop_assert_eq!(self.column.is_active(slot), map.is_active(), "slot {}", slot);
            for now in [0, self.now, self.now + SECOND] {
                prop_assert_eq!(texts(self.column.reports(slot, now)), texts(map.reports(now)), "slot {}", slot);
                prop_assert_eq!(texts(self.column.running(slot, now)), texts(map.running(now)), "slot {}", slot);
            }
            for key in KEYS {
                let (found, expected) = (self.column.report(slot, key, self.now), map.report(key, self.now));
                prop_assert_eq!(show(found), show(expected), "key {:?} of slot {}", key, slot);
            }
            let expected = map.save();
            prop_assert_eq!(self.column.versions(), expected.algorithms);
            prop_assert!(self.column.keys(slot).eq(expected.keys.keys().map(String::as_str)), "slot {slot}");
            prop_assert_eq!(self.column.keys(slot).len(), map.len());
            let (seen, keys) = states(&self.spec, &saved(&self.column, slot));
            prop_assert_eq!((seen, keys), (expected.seen, expected.keys), "slot {}", slot);
        }
        Ok(())
    }
}

fn texts<'a>(reports: impl Iterator<Item = (&'a str, Report<Output<'a>>)>) -> Vec<(String, String)> {
    reports.map(|(key, report)| (key.to_owned(), show(report))).collect()
}

fn show(seen: impl fmt::Debug) -> String {
    format!("{seen:?}")
}

#[test]
fn property_a_column_of_maps_is_a_map_pipeline_for_each_object() {
    for_each_metric(cases, |case| {
        let mut both = Both::new(&case);
        for operation in &case.events {
            both.apply(operation)?;
            both.compare()?;
        }
        Ok(())
    });
}

proptest! {
    #[test]
    fn property_arbitrary_words_give_an_error_and_an_empty_object_or_a_valid_object(
        case in any_spec().prop_flat_map(cases),
        change in any::<prop::sample::Index>(),
        word in prop_oneof![0..20u64, any::<u64>()],
    ) {
        let mut both = Both::new(&case);
        for operation in &case.events {
            both.apply(operation)?;
        }
        let column = &mut both.column;
        for slot in SLOTS {
            let (mut words, versions) = (saved(column, slot), column.versions());
            let change = change.index(words.len());
            words[change] = word;
            let restored = column.restore(200, &versions, &mut Words::new(&words));
            match restored {
                Ok(()) => prop_assert_eq!(column.keys(200).len() as u64, words[1]),
                Err(_) => prop_assert_eq!(saved(column, 200), [0, 0], "after {:?}", restored),
            }
            let _ = column.update(200, both.now, [("blue", Number::U64(1))], []);
            column.close_all(both.now, both.silence, |_, _, report| drop(show(report)));
            column.clear(200);
        }
    }
}
