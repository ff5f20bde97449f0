//! A column of maps gives what a map pipeline for each object gives, bit for bit.
//!
//! Objects get maps, lose keys, fall silent, are closed one by one, 64 at a time or all at once, are cleared and come
//! again; the column shrinks, grows and restarts. After every operation each object's results, open periods, keys and
//! saved words equal those of its own map pipeline: no object and no key influences another.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use derived_stats::column::{DownstreamColumn, InlineColumn, MapColumn, WORD, WindowColumn};
use derived_stats::{
    Context, MapPipeline, MetricKind, Number, Output, Report, RestoreError, Silence, Spec, ValueType, Words,
};
use proptest::prelude::*;

use crate::input::{Story, any_number, any_spec, sample, silence};
use crate::registered::REGISTRY;
use crate::shapes::for_each_metric;

/// In two words of objects; their keys fill more than one word of inner slots.
const SLOTS: [usize; 12] = [0, 1, 2, 3, 30, 31, 62, 63, 64, 65, 66, 127];

/// The first twelve bytes of the last two are the same.
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

fn saved(column: &MapColumn, slot: usize) -> Vec<u64> {
    let mut words = Vec::new();
    column.save(slot, &mut words);
    words
}

fn texts<'a>(reports: impl Iterator<Item = (&'a str, Report<Output<'a>>)>) -> Vec<(String, String)> {
    reports.map(|(key, report)| (key.to_owned(), show(report))).collect()
}

fn show(seen: impl fmt::Debug) -> String {
    format!("{seen:?}")
}

/// The saved words of an object as those of a [`SavedMap`](derived_stats::SavedMap).
fn states(spec: &Arc<Spec>, words: &[u64]) -> (bool, BTreeMap<String, Vec<u64>>) {
    let (mut words, mut keys) = (Words::new(words), BTreeMap::new());
    let (seen, count) = (words.flag("seen").unwrap(), words.next("count").unwrap());
    for _ in 0..count {
        let len = words.next("length").unwrap() as usize;
        let bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| words.next("text").unwrap().to_le_bytes()).collect();
        keys.insert(String::from_utf8(bytes[..len].to_vec()).unwrap(), state(spec, &mut words));
    }
    words.finish().unwrap();
    (seen, keys)
}

/// The words of a key in the order of [`Spec::save_words`].
fn state(spec: &Arc<Spec>, words: &mut Words<'_>) -> Vec<u64> {
    let reading = if spec.metric() == MetricKind::Agg { 2 } else { 0 };
    let mut state: Vec<u64> = (0..reading).map(|_| words.next("reading").unwrap()).collect();
    let versions = spec.versions();
    let Some(mut window) = WindowColumn::new(spec) else {
        // The reading was read: the rest is what the same pipeline of a plain metric has.
        let context = Context::new(spec.value_type()).with_registry(&REGISTRY);
        let mut plain = InlineColumn::new(&Spec::compile(spec.annotation(), context).unwrap()).unwrap();
        state.push(0);
        state.extend(read(words, |words| plain.restore(0, &versions, words)));
        return state;
    };
    let mut cell = |words: &mut Words<'_>| read(words, |words| window.restore(0, &versions[..1], words));
    let open = cell(words);
    if spec.restarts_with_period() {
        state.push(0);
        state.push(words.next("closed at").unwrap());
        state.extend(open);
        state.extend(cell(words));
    } else {
        let mut downstream = DownstreamColumn::new(spec).unwrap();
        let downstream = read(words, |words| downstream.restore(0, &versions[1..], words));
        state.push(downstream[0]);
        state.extend(open);
        state.extend(&downstream[1..]);
    }
    state
}

/// The words that a column reads.
fn read(words: &mut Words<'_>, restore: impl FnOnce(&mut Words<'_>) -> Result<(), RestoreError>) -> Vec<u64> {
    let before = words.rest();
    restore(words).unwrap();
    before[..before.len() - words.rest().len()].to_vec()
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
    fn property_arbitrary_words_give_an_error_that_leaves_nothing_or_an_object_that_works(
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

/// A column with one object in slot 3, and its words.
fn sums(keys: &[&str]) -> (MapColumn, Vec<u64>) {
    let mut column = MapColumn::new(Arc::new(Spec::parse("tsm:DSSum", Context::new(ValueType::U64)).unwrap()));
    column.update(3, 0, keys.iter().map(|key| (*key, Number::U64(7))), []).unwrap();
    let words = saved(&column, 3);
    (column, words)
}

#[test]
fn saved_keys_are_in_order_and_their_text_is_checked() {
    let (mut column, words) = sums(&["ab", "b"]);
    let text = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    assert_eq!((words[..4].to_vec(), words.len()), (vec![1, 2, 2, text(b"ab")], 10));
    let invalid = |len| RestoreError::invalid("name of a key", len);
    let cases = [
        ("not in order", 3, text(b"cc"), invalid(1)),
        ("a key twice", 3, text(b"b"), invalid(1)),
        ("not filled up with zeros", 3, text(b"abc"), invalid(2)),
        ("no text", 3, text(b"a\xff"), invalid(2)),
        ("longer than all words", 2, u64::MAX, RestoreError::TooShort { field: "name of a key" }),
        ("more keys than words", 1, u64::MAX, RestoreError::TooShort { field: "name of a key" }),
        ("no truth value", 0, 2, RestoreError::invalid("map in the open period", 2)),
    ];
    for (name, index, word, error) in cases {
        let mut words = words.clone();
        words[index] = word;
        if name == "a key twice" {
            words[2] = 1;
        }
        assert_eq!(column.restore(3, &[1], &mut Words::new(&words)), Err(error), "{name}");
        assert_eq!(saved(&column, 3), [0, 0], "{name}");
    }
    assert_eq!(column.restore(3, &[1], &mut Words::new(&words)), Ok(()));
    assert_eq!(saved(&column, 3), words);
}

#[test]
fn an_error_in_saved_words_names_the_key() {
    let (mut column, words) = sums(&["blue"]);
    let error = column.restore(3, &[1], &mut Words::new(&words[..5])).unwrap_err();
    assert!(matches!(&error, RestoreError::InKey { key, .. } if key == "blue"), "{error}");
    let error = column.restore(3, &[2], &mut Words::new(&words)).unwrap_err();
    assert!(
        matches!(&error, RestoreError::InKey { error, .. }
        if matches!(**error, RestoreError::AlgorithmVersion { found: 2, .. })),
        "{error}"
    );
    let error = column.restore(3, &[], &mut Words::new(&words)).unwrap_err();
    assert_eq!(error, RestoreError::invalid("number of versions", 0));
    assert_eq!(saved(&column, 3), [0, 0]);
}

#[test]
fn slots_beyond_the_end_are_empty() {
    let spec = Spec::parse("1-raw:DSSum", Context::new(ValueType::U64)).unwrap();
    let mut column = filled(&Arc::new(spec), 4, &["blue".to_owned()]);
    for slot in [4, 1 << 58, usize::MAX] {
        assert_eq!(column.keys(slot).len(), 0);
        assert!(!column.is_active(slot));
        assert!(column.report(slot, "blue", 0).is_none());
        assert_eq!(column.reports(slot, 0).count() + column.running(slot, 0).count(), 0);
        assert_eq!(saved(&column, slot), [0, 0]);
        column.clear(slot);
        column.shrink(slot);
        column.close(slot, 1, Silence::Zero, |slot, key, _| panic!("slot {slot} has the key {key}"));
        column.close_many(slot, u64::MAX, 1, Silence::Zero, |slot, key, _| panic!("slot {slot} has the key {key}"));
    }
    assert_eq!(column.running(3, 0).map(|(key, _)| key).collect::<Vec<_>>(), ["blue"]);
}

/// The bytes of a column with so many objects, each with the same keys.
fn filled(spec: &Arc<Spec>, objects: usize, keys: &[String]) -> MapColumn {
    let mut column = MapColumn::new(spec.clone());
    for slot in 0..objects {
        column.update(slot, 0, keys.iter().map(|key| (key.as_str(), Number::U64(1))), []).unwrap();
    }
    column
}

#[test]
fn what_objects_and_keys_had_is_used_again_and_given_back() {
    let spec = Arc::new(Spec::parse("1.DSSum-raw:DSAnomaly:EWM:0.1", Context::new(ValueType::U64)).unwrap());
    let keys: Vec<String> = (0..50).map(|key| format!("tenant {key}")).collect();
    let mut column = filled(&spec, 20, &keys);
    column.close_all(1, Silence::Once, |_, _, _| {});
    column.shrink(20);
    let bytes = column.bytes();
    assert!(bytes / 1000 < 24 + 16 + 32 + 10, "{} bytes a key", bytes / 1000);
    for slot in 5..15 {
        column.clear(slot);
    }
    for slot in 5..15 {
        column.update(slot, 2, keys.iter().map(|key| (key.as_str(), Number::U64(1))), []).unwrap();
        column.close(slot, 3, Silence::Once, |_, _, _| {});
    }
    column.shrink(20);
    assert_eq!(column.bytes(), bytes, "the inner slots were not used again");
    for objects in [10, 0] {
        column.shrink(objects);
        let mut fresh = filled(&spec, objects, &keys);
        fresh.close_all(1, Silence::Once, |_, _, _| {});
        fresh.shrink(objects);
        assert_eq!(column.bytes(), fresh.bytes(), "{objects} objects");
    }
}

#[test]
fn a_name_is_held_once() {
    let spec = Arc::new(Spec::parse("tsm:DSSum", Context::new(ValueType::U64)).unwrap());
    let (short, long) = (vec!["k".to_owned()], vec!["k".repeat(10_001)]);
    assert_eq!(filled(&spec, 1000, &long).bytes() - filled(&spec, 1000, &short).bytes(), 10_000);
}
