//! The saved words of maps: their layout, and the errors for invalid ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use derived_stats::column::{DownstreamColumn, InlineColumn, MapColumn, WindowColumn};
use derived_stats::{Context, MetricKind, Number, RestoreError, Spec, ValueType, Words};

use crate::registered::REGISTRY;

pub(super) fn saved(column: &MapColumn, slot: usize) -> Vec<u64> {
    let mut words = Vec::new();
    column.save(slot, &mut words);
    words
}

/// The saved words of an object as those of a [`SavedMap`](derived_stats::SavedMap).
pub(super) fn states(spec: &Arc<Spec>, words: &[u64]) -> (bool, BTreeMap<String, Vec<u64>>) {
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
        // The other words are those of the same pipeline of a plain metric.
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
        ("not UTF-8", 3, text(b"a\xff"), invalid(2)),
        ("longer than all words", 2, u64::MAX, RestoreError::TooShort { field: "name of a key" }),
        ("more keys than words", 1, u64::MAX, RestoreError::TooShort { field: "name of a key" }),
        ("not a flag", 0, 2, RestoreError::invalid("map in the open period", 2)),
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
