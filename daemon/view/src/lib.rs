//! The current proxy UVEs in memory, which the read endpoints serve.
//!
//! The view reads the results log like any other sink. For each object and UVE name it keeps the newest result of each
//! attribute, because a result contains only the attributes that changed. A start rebuilds it from the results, the
//! embedded log from those on that the view still needed.

#![deny(missing_docs)]

mod alarms;
pub mod checkpoint;
mod configured;
mod events;
mod generations;
pub mod history;
mod loudest;
mod names;
mod object;
mod objects;
mod rows;
mod sink;
mod types;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use daemon_alarms::row::UVE;
use daemon_results::block::{Row, UveShape};
use serde_json::value::RawValue;

use self::alarms::ObjectAlarms;
use self::generations::Generations;
use self::object::{Object, Scratch};
use self::objects::{LOOK_AHEAD, NO_PLACES, Objects};
use self::types::Types;
use crate::history::{RecordIndex, ResultIndex};

pub use self::alarms::{AlarmQuery, ShownAlarm};
pub use self::events::{Event, EventHub, EventId, Lagged, Subscription};
pub use self::loudest::{Loud, Loudest};
pub use self::names::Names;
pub use self::rows::{RowPage, RowQuery, SortBy, TableRow};
pub use self::sink::ViewSink;
pub use self::walk::{Newest, Walk};

/// The number of names that are sorted under one lock, so that results wait for about a millisecond.
const SORTED_AT_ONCE: usize = 1024;

/// The attributes of one structure, by name.
type Structure = BTreeMap<Box<str>, Box<RawValue>>;

/// The proxy UVEs of all tables.
///
/// Writes are far more frequent than reads, so the view stores encoded numbers and makes JSON on read.
#[derive(Debug, Default)]
pub struct UveView {
    tables: RwLock<Tables>,
    loudest: Mutex<Loudest>,
    alarms: Mutex<ObjectAlarms>,
    index: Mutex<ResultIndex>,
}

#[derive(Debug, Default)]
struct Tables {
    by_name: BTreeMap<Box<str>, Objects>,
    /// How often a table lost its last object, and with it the [epoch](Objects::epoch) of its indices.
    removed: u32,
    types: Types,
    /// The shapes of the encoded results: so few that a linear search is fast.
    shapes: Vec<Arc<UveShape>>,
    scratch: Scratch,
    generations: Generations,
}

/// The right to change the view. Results are applied record by record, so that a lock is taken once for many.
#[derive(Debug)]
pub struct Writer<'v>(RwLockWriteGuard<'v, Tables>);

/// A filter of structures and attributes: Contrail's `cfilt`. It has the attributes of each structure, `None` for all;
/// without a structure it selects everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter(BTreeMap<String, Option<BTreeSet<String>>>);

impl Filter {
    /// Parses `Structure[:attribute]` terms separated by commas; an empty text selects all.
    pub fn parse(text: &str) -> Self {
        let mut structures: BTreeMap<_, Option<BTreeSet<_>>> = BTreeMap::new();
        for term in text.split(',').map(str::trim).filter(|term| !term.is_empty()) {
            let Some((uve, attribute)) = term.split_once(':') else {
                structures.insert(term.to_owned(), None);
                continue;
            };
            if let Some(attributes) = structures.entry(uve.to_owned()).or_insert_with(|| Some(BTreeSet::new())) {
                attributes.insert(attribute.to_owned());
            }
        }
        Self(structures)
    }

    fn wants(&self, uve: &str) -> bool {
        self.0.is_empty() || self.0.contains_key(uve)
    }

    fn wants_attribute(&self, uve: &str, attribute: &str) -> bool {
        let wants = |wanted: &Option<BTreeSet<String>>| wanted.as_ref().is_none_or(|wanted| wanted.contains(attribute));
        self.0.is_empty() || self.0.get(uve).is_some_and(wants)
    }
}

/// The structures of an object, ready for serialization.
pub type UveDocument = BTreeMap<Box<str>, Structure>;

impl UveView {
    /// The right to change the view; reads wait until it is dropped.
    pub fn writer(&self) -> Writer<'_> {
        Writer(self.tables.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sorts names of new objects of a table under one short lock; returns whether all are sorted then.
    fn sort_names(&self, table: &str) -> bool {
        if self.read().by_name.get(table).is_none_or(Objects::is_sorted) {
            return true;
        }
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let Some(objects) = tables.by_name.get_mut(table) else { return true };
        objects.sort(SORTED_AT_ONCE);
        objects.is_sorted()
    }

    /// The structures of one object that pass the filter; `None` if the object does not exist or no structure passes.
    pub fn object(&self, table: &str, name: &str, filter: &Filter) -> Option<UveDocument> {
        let alarms = filter.wants(UVE).then(|| self.alarms().document(&format!("{table}:{name}"))).flatten();
        let tables = self.read();
        let object = tables.by_name.get(table).and_then(|objects| objects.get(name));
        let mut document = object.map(|object| tables.filtered(object, filter)).unwrap_or_default();
        document.extend(alarms.map(|alarms| (UVE.into(), alarms)));
        (!document.is_empty()).then_some(document)
    }

    /// The type under which a table is listed.
    pub fn type_of(&self, table: &str) -> String {
        self.read().type_of(table).into_owned()
    }

    /// The loudest objects, for a short look.
    pub fn loudest(&self) -> MutexGuard<'_, Loudest> {
        self.loudest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The alarms of all objects, for a short look.
    pub fn alarms(&self) -> MutexGuard<'_, ObjectAlarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The index of the results that the view has read; empty for a log that others share. The view waits for it with each
    /// batch of results.
    pub fn index(&self) -> MutexGuard<'_, ResultIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The offset of the oldest result that the view shows.
    pub fn oldest_needed(&self) -> u64 {
        let of_values = self.read().generations.oldest_needed();
        self.alarms().oldest().map_or(of_values, |oldest| oldest.min(of_values))
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer<'_> {
    /// Makes the results that come next those of the record at `offset`, which has `bytes`.
    pub fn begin_record(&mut self, offset: u64, bytes: usize) {
        self.0.generations.begin_record(offset, bytes as u64);
    }

    /// Applies results in order, and adds them to the `index` if there is one; `select` decides what of each is applied.
    pub fn apply_all(
        &mut self,
        rows: &[Row<'_>],
        mut index: Option<RecordIndex<'_>>,
        mut select: impl FnMut(&Row<'_>, &mut dyn FnMut(&Row<'_>)),
    ) {
        for rows in rows.chunks(LOOK_AHEAD) {
            let mut keys = [("", ""); LOOK_AHEAD];
            let mut before = ("", ("", ""));
            for (key, row) in keys.iter_mut().zip(rows) {
                // The results of one object come one after the other, with one key in memory.
                if !std::ptr::eq(before.0, row.key) {
                    before = (row.key, split_key(row.key));
                }
                *key = before.1;
            }
            let mut from = 0;
            for keys in keys[..rows.len()].chunk_by(|(table, _), (next, _)| table == next) {
                let to = from + keys.len();
                self.0.apply_to_table(keys, &rows[from..to], index.as_mut(), &mut select);
                from = to;
            }
        }
    }

    /// Applies one result.
    pub fn apply(&mut self, row: &Row<'_>) {
        self.apply_all(&[*row], None, |row, apply| apply(row));
    }
}

impl Tables {
    /// Applies results of one table; `keys` has the table and the name of each.
    fn apply_to_table(
        &mut self,
        keys: &[(&str, &str)],
        rows: &[Row<'_>],
        index: Option<&mut RecordIndex<'_>>,
        select: &mut impl FnMut(&Row<'_>, &mut dyn FnMut(&Row<'_>)),
    ) {
        let Some((table, _)) = keys.first() else { return };
        let Self { by_name, removed, types, shapes, scratch, generations } = self;
        let objects = match by_name.get_mut(*table) {
            Some(objects) => objects,
            None => {
                types.add(table);
                by_name.entry((*table).into()).or_default()
            }
        };
        let places = objects.look_ahead(keys.iter().map(|(_, name)| *name));
        if let Some(index) = index {
            // Keys without `:` are of one object with others (see `split_key`), and the index has them apart.
            let has_odd_key = keys.iter().any(|(table, name)| std::ptr::eq(*table, *name));
            objects.add_to_index(index, rows, if has_odd_key { &NO_PLACES } else { &places });
        }
        for ((row, (_, name)), place) in rows.iter().zip(keys).zip(places) {
            select(row, &mut |row| {
                if row.deleted {
                    return objects
                        .get_mut(place, name, |object| object.remove(shapes, &row.shape.uve, scratch, generations));
                }
                let shape = shape_number(shapes, row.shape);
                objects.get_or_add(place, name, |object| object.apply(shapes, shape, row, scratch, generations));
            });
        }
        objects.drop_empty_if_many();
        if objects.is_empty() {
            by_name.remove(*table);
            *removed = removed.wrapping_add(1);
            types.remove(table);
        }
    }

    fn filtered(&self, object: &Object, filter: &Filter) -> UveDocument {
        let mut document = UveDocument::new();
        object.uves(&self.shapes).filter(|uve| filter.wants(&uve.shape.uve)).for_each(|uve| {
            let mut structure = Structure::new();
            let mut text = Vec::new();
            uve.members(&self.shapes, |name, write| {
                if filter.wants_attribute(&uve.shape.uve, name) {
                    text.clear();
                    write(&mut text);
                    let text = String::from_utf8_lossy(&text).into_owned();
                    structure.extend(RawValue::from_string(text).ok().map(|value| (name.into(), value)));
                }
            });
            if !structure.is_empty() {
                document.insert(uve.shape.uve.clone(), structure);
            }
        });
        document
    }
}

/// The index of a shape; adds the shape if it is new. A reader that decodes it again gives an equal one of its own, which
/// then takes the place of the first, so that the next look needs no comparison.
fn shape_number(shapes: &mut Vec<Arc<UveShape>>, shape: &Arc<UveShape>) -> usize {
    if let Some(same) = shapes.iter().position(|known| Arc::ptr_eq(known, shape)) {
        return same;
    }
    match shapes.iter_mut().enumerate().find(|(_, known)| *known == shape) {
        Some((index, known)) => {
            *known = Arc::clone(shape);
            index
        }
        None => {
            shapes.push(Arc::clone(shape));
            shapes.len() - 1
        }
    }
}

/// Splits a key into table and name. A key without `:` is both: old logs may hold results with such keys.
pub fn split_key(key: &str) -> (&str, &str) {
    // Once for each result: a search for a character costs more than it saves here.
    let colon = key.bytes().position(|byte| byte == b':');
    colon.and_then(|at| Some((key.get(..at)?, key.get(at + 1..)?))).unwrap_or((key, key))
}

#[cfg(test)]
mod tests {
    use daemon_results::block::{BlockReader, BlockSink, MAX_BLOCK_BYTES, sample};
    use daemon_results::line::LineReader;
    use derived_stats::{Number, Record};

    use super::*;

    fn apply(view: &UveView, name: &str, data: &str) {
        let line = format!(r#"{{"key":"T:{name}","uve":"P-S-a","start":0,"end":60,"data":{data}}}"#);
        view.writer().apply(&LineReader::default().row(line.as_bytes()).expect("a good line"));
    }

    fn json(view: &UveView, name: &str, filter: &str) -> String {
        serde_json::to_string(&view.object("T", name, &Filter::parse(filter))).expect("plain data")
    }

    fn objects(view: &UveView, table: &str) -> u64 {
        let mut walk = Walk::new(table.to_owned(), Names::with_prefix(""), None, None);
        let mut objects = 0;
        while !walk.is_done() {
            view.slice(&mut walk, |_, _| {
                objects += 1;
                true
            });
        }
        objects
    }

    #[test]
    fn a_result_changes_only_the_attributes_it_contains() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"value":{"value":1},"sum":{"value":2}}"#);
        apply(&view, "a", r#"{"deleted":false,"sum":{"value":3}}"#);
        assert_eq!(json(&view, "a", ""), r#"{"P-S-a":{"deleted":false,"sum":{"value":3},"value":{"value":1}}}"#);
    }

    #[test]
    fn a_deletion_removes_the_object() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"value":1}"#);
        apply(&view, "a", r#"{"deleted":true}"#);
        assert_eq!(json(&view, "a", ""), "null");
        assert_eq!(objects(&view, "T"), 0);
        assert!(view.tables().is_empty());
        assert_eq!(view.tables_of("t"), ["T"], "its history is there");
    }

    #[test]
    fn the_filter_selects_structures_and_attributes() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"value":1,"sum":2}"#);
        assert_eq!(json(&view, "a", "P-S-a:sum"), r#"{"P-S-a":{"sum":2}}"#);
        assert_eq!(json(&view, "a", "Other"), "null");
        assert_eq!(json(&view, "a", "P-S-a:deleted,P-S-a:sum"), r#"{"P-S-a":{"deleted":false,"sum":2}}"#);
        for all in ["P-S-a,P-S-a:sum", "P-S-a:sum,P-S-a"] {
            assert_eq!(json(&view, "a", all), r#"{"P-S-a":{"deleted":false,"sum":2,"value":1}}"#);
        }
        assert_eq!(json(&view, "a", "Other,P-S-a"), r#"{"P-S-a":{"deleted":false,"sum":2,"value":1}}"#);
    }

    #[test]
    fn attributes_of_alternating_results_are_all_kept() {
        let view = UveView::default();
        for (row, shown) in [
            (r#"{"deleted":false,"a":1}"#, r#"{"P-S-a":{"a":1,"deleted":false}}"#),
            (r#"{"deleted":false,"b":2}"#, r#"{"P-S-a":{"a":1,"b":2,"deleted":false}}"#),
            (r#"{"deleted":false,"b":3}"#, r#"{"P-S-a":{"a":1,"b":3,"deleted":false}}"#),
            (r#"{"deleted":false,"a":4,"b":4}"#, r#"{"P-S-a":{"a":4,"b":4,"deleted":false}}"#),
            (r#"{"deleted":false,"a":5}"#, r#"{"P-S-a":{"a":5,"b":4,"deleted":false}}"#),
        ] {
            apply(&view, "x", row);
            assert_eq!(json(&view, "x", ""), shown, "after {row}");
        }
    }

    #[test]
    fn small_results_of_many_types_are_all_shown() {
        let view = UveView::default();
        for number in 0..300 {
            let line = format!(
                r#"{{"key":"T:{}","uve":"P-S-{number}","start":0,"end":60,"data":{{"deleted":false,"a":1}}}}"#,
                number % 100
            );
            view.writer().apply(&LineReader::default().row(line.as_bytes()).expect("a good line"));
        }
        for name in 0..100 {
            let shown = view.object("T", &name.to_string(), &Filter::default()).expect("it has results");
            let expected = [name, name + 100, name + 200].map(|number| format!("P-S-{number}").into_boxed_str());
            assert_eq!(shown.into_keys().collect::<BTreeSet<_>>(), BTreeSet::from(expected));
        }
    }

    #[test]
    fn attributes_in_rotation_need_only_their_last_results() {
        let view = UveView::default();
        for offset in 0..100 {
            let name = ["a", "b", "c", "d"][offset % 4];
            let line = format!(
                r#"{{"key":"T:x","uve":"P-S-a","start":0,"end":60,"data":{{"deleted":false,"{name}":{offset}}}}}"#
            );
            let mut writer = view.writer();
            writer.begin_record(offset as u64, 2 * 1024 * 1024);
            writer.apply(&LineReader::default().row(line.as_bytes()).expect("a good line"));
            drop(writer);
            assert_eq!(view.oldest_needed(), offset.saturating_sub(3) as u64);
        }
    }

    #[test]
    fn the_results_from_the_needed_one_on_give_the_same_view() {
        let (view, mut random, mut lines) = (UveView::default(), 1_u64, Vec::new());
        let documents = |view: &UveView| (0..20).map(|name| json(view, &name.to_string(), "")).collect::<Vec<_>>();
        let apply = |view: &UveView, offset: usize, line: &String| {
            let mut writer = view.writer();
            writer.begin_record(offset as u64, 1024 * 1024);
            writer.apply(&LineReader::default().row(line.as_bytes()).expect("a good line"));
        };
        let mut skipped = 0;
        for offset in 0..2_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let bits = random >> 33;
            let attributes = ["a", "b", "c"].iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
            let values: String = attributes.map(|(_, name)| format!(r#","{name}":{offset}"#)).collect();
            let data = if bits >> 3 & 15 == 0 {
                r#""deleted":true"#.to_owned()
            } else {
                format!(r#""deleted":false{values}"#)
            };
            // The later names are rare.
            let name = (bits >> 7 & 15) % (1 + (bits >> 11 & 31)).min(20);
            let uve = ["P-S-a", "Q-S-a"][(bits >> 16 & 1) as usize];
            lines.push(format!(r#"{{"key":"T:{name}","uve":"{uve}","start":0,"end":60,"data":{{{data}}}}}"#));
            apply(&view, offset, &lines[offset]);
            let needed = view.oldest_needed() as usize;
            skipped += needed;
            if offset % 50 == 0 {
                let again = UveView::default();
                (needed..=offset).for_each(|offset| apply(&again, offset, &lines[offset]));
                assert_eq!(documents(&again), documents(&view), "from {needed} to {offset}");
            }
        }
        assert!(skipped > 2_000 * 500, "{skipped}: most results are not needed");
    }

    #[test]
    fn partial_holds_for_one_window() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"partial":true,"value":1}"#);
        apply(&view, "a", r#"{"deleted":false,"value":2}"#);
        assert_eq!(json(&view, "a", ""), r#"{"P-S-a":{"deleted":false,"value":2}}"#);
    }

    /// Both built-in results of objects with keys of 50 bytes.
    fn blocks(objects: u64, round: u64) -> Vec<Vec<u8>> {
        let plan = sample::plan();
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        for object in 0..objects {
            let key = format!("ObjectVNTable:default-domain:demo-project:vn{object:06}");
            assert_eq!(key.len(), 50);
            let sum = 1000 * round + object;
            let numbers = [
                Number::U64(40 + round),
                Number::F64(sum as f64 / 3.0),
                Number::F64(0.1 * sum as f64),
                Number::F64(1.7),
                Number::U64(sum),
            ];
            sample::send(&plan, &mut sink, 0, &key, Some(Record::new([Number::U64(sum)])));
            sample::send(&plan, &mut sink, 1, &key, Some(Record::new(numbers)));
        }
        sink.take().unwrap().records().map(|(_, block)| block.to_vec()).collect()
    }

    fn apply_blocks(view: &UveView, reader: &mut BlockReader, blocks: &[Vec<u8>]) {
        for block in blocks {
            let mut rows = reader.rows(block).unwrap();
            while let batch = rows.batch().unwrap()
                && !batch.is_empty()
            {
                view.writer().apply_all(&batch, None, |row, apply| apply(row));
            }
        }
    }

    #[test]
    fn batches_give_the_view_of_single_results() {
        let plan = sample::plan();
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        for object in (0..500).filter(|object| object % 8 != 0) {
            let key = format!("ObjectVNTable:default-domain:demo-project:vn{object:06}");
            [0, 1].iter().for_each(|uve| sample::send(&plan, &mut sink, *uve, &key, None));
        }
        let deletions = sink.take().unwrap().records().map(|(_, block)| block.to_vec()).collect();
        let (batches, single) = (UveView::default(), UveView::default());
        let (mut reader, mut lines) = (BlockReader::default(), BlockReader::default());
        for blocks in [blocks(500, 0), blocks(500, 1), deletions, blocks(100, 2), blocks(500, 3)] {
            apply_blocks(&batches, &mut reader, &blocks);
            for block in &blocks {
                let mut rows = lines.rows(block).unwrap();
                while let Some(row) = rows.next().unwrap() {
                    single.writer().apply(&row);
                }
            }
            let document = |view: &UveView, object: u64| {
                let name = format!("default-domain:demo-project:vn{object:06}");
                serde_json::to_string(&view.object("ObjectVNTable", &name, &Filter::default())).expect("plain data")
            };
            (0..500).for_each(|object| assert_eq!(document(&batches, object), document(&single, object)));
            assert_eq!(objects(&batches, "ObjectVNTable"), objects(&single, "ObjectVNTable"));
        }
        assert_eq!(objects(&batches, "ObjectVNTable"), 500);
    }

    #[test]
    fn an_object_takes_at_most_300_bytes() {
        const OBJECTS: u64 = 20_000;
        let rounds = [blocks(OBJECTS, 0), blocks(OBJECTS, 1), blocks(OBJECTS, 2)];
        let (view, mut reader) = (UveView::default(), BlockReader::default());
        let first = allocation_counter::measure(|| apply_blocks(&view, &mut reader, &rounds[0]));
        let later = allocation_counter::measure(|| {
            rounds[1..].iter().for_each(|blocks| apply_blocks(&view, &mut reader, blocks));
        });
        let sorted = allocation_counter::measure(|| assert_eq!(objects(&view, "ObjectVNTable"), OBJECTS));
        let bytes = (first.bytes_current + later.bytes_current + sorted.bytes_current) / OBJECTS as i64;
        println!("{bytes} bytes an object");
        assert!(bytes > 100 && bytes <= 300, "{bytes} bytes an object");
    }

    #[test]
    fn a_structure_equals_the_data_of_the_result_line() {
        let (view, mut reader) = (UveView::default(), BlockReader::default());
        apply_blocks(&view, &mut reader, &blocks(1, 3));
        let name = "default-domain:demo-project:vn000000";
        let document = view.object("ObjectVNTable", name, &Filter::default()).expect("the object exists");
        let document = serde_json::to_string(&document).expect("plain data");
        insta::assert_snapshot!(document, @r##"{"AggProxySum-A-b":{"deleted":false,"proxy":"A-b","value":{"value":3000}},"AggProxySumAnomalyEWM01-A-b":{"deleted":false,"proxy":"A-b","value":{"samples":43,"algo":"EWM","config":"0.1","state":{"mean":"1000","stddev":"300"},"sigma":1.7,"metric":3000}}}"##);
    }
}
