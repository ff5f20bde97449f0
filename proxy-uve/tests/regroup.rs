//! The objects of a stream in other partitions: parts of tables, joined to other tables.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::Number;
use proxy_uve::schema::Schema;
use proxy_uve::{
    CHUNK_SLOTS, DecodedRecord, JoinError, Plan, Position, Snapshot, StreamName, Table, TablePart, TableSettings,
    partition,
};

const MINUTE: u64 = 60_000_000;
const OBJECTS: u64 = 2 * CHUNK_SLOTS as u64 + 88;

/// Windows, detectors, inline states, last values and counters of sources, in two window groups.
const TYPES: &str = r#"
    struct Sums {
        1: string name (key="") 2: string proxy 3: optional bool deleted
        4: optional u64 raw (hidden="yes")
        5: optional u64 sum (stats="1-raw:DSSum")
        6: optional derived_stats_results.AnomalyResult score (stats="1.DSSum-raw:DSAnomaly:EWM:0.5")
        7: optional u64 now (stats="0-raw:DSSum")
        8: optional u64 levels (stats="1-raw:DSSumLast:3")
    } (period="60", timeout="2")
    struct Increases {
        1: string name (key="") 2: string proxy 3: optional bool deleted
        4: optional u64 raw (hidden="yes", metric="agg")
        5: optional u64 increase (stats="1-raw:DSSum")
    } (period="120", timeout="0")
"#;

fn plan() -> Arc<Plan> {
    let schema = Schema::parse("test.sandesh", TYPES).unwrap();
    let types: Vec<_> = schema.types().cloned().collect();
    Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types))
}

fn settings() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::ZERO)
}

fn restored(plan: &Arc<Plan>, snapshot: &Snapshot) -> Table {
    let chunks = snapshot.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    let (table, report) = Table::restore(Arc::clone(plan), settings(), &snapshot.meta, chunks).unwrap();
    assert!(report.is_unchanged(), "{report}");
    table
}

/// The tables of all partitions.
struct Stream {
    tables: Vec<Table>,
    position: u64,
}

impl Stream {
    fn new(plan: &Arc<Plan>, partitions: usize) -> Self {
        let table = || Table::new(Arc::clone(plan), settings());
        Self { tables: (0..partitions).map(|_| table()).collect(), position: 0 }
    }

    fn sample(&mut self, object: u64, source: &str, at: u64, value: u64) {
        self.position += 1;
        let key = format!("T:vn{object}");
        let table = partition(key.as_bytes(), self.tables.len() as u32) as usize;
        let (position, value, key) = (Position::new(self.position), Number::U64(value), key.as_bytes());
        self.tables[table].ingest_batch(&[DecodedRecord { position, arrived: at, key, at, value, source }]);
    }

    /// Samples of a minute; some objects and sources are silent in it.
    fn minute(&mut self, minute: u64) {
        for object in 0..OBJECTS {
            for source in 0..3 {
                if (object + minute).is_multiple_of(4) || (object + source + minute).is_multiple_of(3) {
                    continue;
                }
                let value = minute * 100 + object * (minute % 5) + source;
                self.sample(object, &format!("s{source}"), minute * MINUTE + object + source, value);
            }
        }
    }

    fn advance(&mut self, minute: u64) {
        self.tables.iter_mut().for_each(|table| table.advance(minute * MINUTE));
    }

    /// Moves all tables to the event time of the one that is ahead.
    fn settle(&mut self) {
        let latest = self.tables.iter().map(Table::watermark).max().unwrap();
        self.tables.iter_mut().for_each(|table| table.advance(latest));
    }

    fn regrouped(mut self, plan: &Arc<Plan>, partitions: u32) -> Self {
        let objects: usize = self.tables.iter().map(Table::objects).sum();
        let table = |number| {
            let parts = self.tables.iter_mut().map(|table| table.part(|key| partition(key, partitions) == number));
            restored(plan, &TablePart::join(parts).unwrap().unwrap())
        };
        let tables: Vec<Table> = (0..partitions).map(table).collect();
        assert_eq!(tables.iter().map(Table::objects).sum::<usize>(), objects);
        Self { tables, position: 0 }
    }

    /// The results since the last call, in one order.
    fn taken(&mut self) -> Vec<String> {
        let mut taken = Vec::new();
        for table in &mut self.tables {
            let row = |row: proxy_uve::ResultRow<'_>| {
                let (key, json) = (String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json));
                format!("{} {key} {} {json}", row.end, row.uve_name)
            };
            taken.extend(table.drain().map(row));
            table.clear_results();
        }
        taken.sort();
        taken
    }
}

#[test]
fn tables_in_other_partitions_go_on_as_one_table_does() {
    let plan = plan();
    let (mut one, mut several) = (Stream::new(&plan, 1), Stream::new(&plan, 3));
    for (minute, partitions) in (100..).zip([3, 3, 5, 2, 2, 2, 6, 1, 4, 4]) {
        if several.tables.len() != partitions {
            // In the middle of the window of two minutes, with open samples.
            several.settle();
            let results = several.taken();
            several = several.regrouped(&plan, partitions as u32);
            assert_eq!(results, one.taken(), "before minute {minute}");
        }
        for stream in [&mut one, &mut several] {
            stream.minute(minute);
            stream.advance(minute + u64::from(minute % 2 == 0));
        }
    }
    one.advance(116);
    several.advance(116);
    let (expected, found) = (one.taken(), several.taken());
    assert!(expected.len() > 1_000 && expected.iter().any(|row| row.contains("deleted\":true")), "{}", expected.len());
    let differs = found.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(found == expected, "{} and {}: {differs:?}", found.len(), expected.len());
}

#[test]
fn a_joined_table_has_no_free_slots_and_the_counts_of_its_parts() {
    let plan = plan();
    let mut stream = Stream::new(&plan, 2);
    stream.minute(100);
    let records: u64 = stream.tables.iter().map(|table| table.fates().total()).sum();
    stream.settle();
    let [first, second] = &mut stream.tables[..] else { panic!("there are two") };
    let part = |table: &mut Table| table.part(|key| key.ends_with(b"7"));
    let joined = TablePart::join([part(first), part(second)]).unwrap().unwrap();
    let chunks: Vec<usize> = joined.chunks.iter().map(|(_, bytes)| bytes.as_ref().unwrap().len()).collect();
    let table = restored(&plan, &joined);
    assert!(table.objects() > 30 && chunks.len() == 2, "{} objects in {chunks:?}", table.objects());
    assert_eq!((table.fates().total(), table.position()), (records, None));
    let joined = TablePart::join([part(first), part(second).without_counts()]).unwrap().unwrap();
    assert_eq!(restored(&plan, &joined).fates(), first.fates());
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let plan = plan();
    let mut stream = Stream::new(&plan, 2);
    stream.minute(100);
    let [first, second] = &mut stream.tables[..] else { panic!("there are two") };
    first.advance(101 * MINUTE);
    second.advance(102 * MINUTE);
    let error = TablePart::join([first.part(|_| true), second.part(|_| true)]).unwrap_err();
    assert_eq!(error, JoinError::EventTime { first: 101 * MINUTE, other: 102 * MINUTE });
    first.advance(102 * MINUTE);
    assert!(TablePart::join([first.part(|_| true), second.part(|_| true)]).is_ok());

    let sums = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    let mut other = Table::new(Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &sums)), settings());
    let error = TablePart::join([first.part(|_| true), other.part(|_| true)]).unwrap_err();
    assert_eq!(error, JoinError::Plan);

    // The same object twice.
    let twice = TablePart::join([first.part(|_| true), first.part(|_| true)]).unwrap().unwrap();
    let chunks = twice.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    let error = Table::restore(Arc::clone(&plan), settings(), &twice.meta, chunks).unwrap_err();
    assert!(error.to_string().contains("a key appears twice"), "{error}");
    assert!(TablePart::join([]).unwrap().is_none());
}

#[test]
fn what_is_unknown_in_one_table_is_unknown_in_the_joined_one() {
    let plan = plan();
    let mut stream = Stream::new(&plan, 2);
    stream.minute(100);
    stream.tables[1].mark_unknown(104 * MINUTE + 5, 104 * MINUTE + 7);
    stream.tables[0].mark_lost_from(106 * MINUTE + 1);
    let empty = Table::new(Arc::clone(&plan), settings()).part(|_| true);
    stream.advance(101);
    stream.taken();
    let [first, second] = &mut stream.tables[..] else { panic!("there are two") };
    let joined = TablePart::join([empty, first.part(|_| true), second.part(|_| true)]).unwrap().unwrap();
    let joined = || Stream { tables: vec![restored(&plan, &joined)], position: 0 };
    // The lost time ends before it begins: with the first sample.
    let mut stream = joined();
    (101..108).for_each(|minute| stream.minute(minute));
    stream.advance(108);
    let rows = stream.taken();
    let is_partial = |minute: u64| {
        let end = format!("{} ", (minute + 1) * MINUTE);
        let of_window: Vec<_> = rows.iter().filter(|row| row.starts_with(&end) && row.contains("Sums-")).collect();
        assert!(!of_window.is_empty(), "minute {minute}");
        let partial = of_window.iter().filter(|row| row.contains("\"partial\":true")).count();
        assert!(partial == 0 || partial == of_window.len(), "minute {minute}");
        partial > 0
    };
    assert_eq!([103, 104, 105, 106].map(is_partial), [false, true, false, false]);

    // Nobody could send for ten minutes: no object ages.
    for (lost_from, deletes) in [(101 * MINUTE, false), (112 * MINUTE, true)] {
        let mut stream = joined();
        stream.tables[0].mark_lost_from(lost_from);
        stream.sample(1, "s0", 111 * MINUTE, 7);
        stream.advance(112);
        assert_eq!(stream.taken().iter().any(|row| row.contains("\"deleted\":true")), deletes, "{lost_from}");
    }
}
