//! The memory of a column of maps: slots beyond its end, reuse, and shared names.

use std::sync::Arc;

use derived_stats::column::MapColumn;
use derived_stats::{Context, Number, Silence, Spec, ValueType};

use super::saved::saved;

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

/// A column with `objects` objects, each with the same keys.
fn filled(spec: &Arc<Spec>, objects: usize, keys: &[String]) -> MapColumn {
    let mut column = MapColumn::new(spec.clone());
    for slot in 0..objects {
        column.update(slot, 0, keys.iter().map(|key| (key.as_str(), Number::U64(1))), []).unwrap();
    }
    column
}

#[test]
fn the_memory_of_objects_and_keys_is_reused_and_freed() {
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
fn a_name_is_stored_once() {
    let spec = Arc::new(Spec::parse("tsm:DSSum", Context::new(ValueType::U64)).unwrap());
    let (short, long) = (vec!["k".to_owned()], vec!["k".repeat(10_001)]);
    assert_eq!(filled(&spec, 1000, &long).bytes() - filled(&spec, 1000, &short).bytes(), 10_000);
}
