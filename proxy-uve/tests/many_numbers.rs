//! Results of more numbers than a record holds inline, from samples to JSON, over a snapshot.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;

use proxy_uve::schema::Schema;
use proxy_uve::{Plan, Position, Record, StreamName, Table, TableSettings};
use serde_json::{Value, json};

const MINUTE: u64 = 60_000_000;

const SAMPLES: u64 = 3_000;

/// The numbers from `first` on, with commas.
fn list(first: u64, count: u64) -> String {
    (first..first + count).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

/// Windows and inline results, of 30 bounds, 50 categories and 20 values.
fn plan() -> Arc<Plan> {
    let (bounds, names) = (list(10, 30), list(0, 50));
    let text = format!(
        "struct Many {{
           1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden=\"yes\")
           5: optional derived_stats_results.HistogramResult bounds (stats=\"1-raw:DSHistogram:{bounds}\")
           6: optional derived_stats_results.CategoryResult names (stats=\"1-raw:DSCategory:{names}\")
           7: optional derived_stats_results.TopResult top (stats=\"1-raw:DSTopK:20\")
         }} (period=\"60\")
         struct Now {{
           1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden=\"yes\")
           5: optional derived_stats_results.HistogramResult now (stats=\"raw:DSHistogram:{bounds}\")
         }}"
    );
    let types: Vec<_> = Schema::parse("test.sandesh", &text).unwrap().types().cloned().collect();
    Arc::new(Plan::new(StreamName::new("S", "a").unwrap(), &types))
}

/// Values below 60, the larger ones more often.
fn value(n: u64) -> u64 {
    (n * 7919 % 60).max(n % 60)
}

fn feed(table: &mut Table, range: std::ops::Range<u64>) {
    for n in range {
        let at = 20 * MINUTE + n;
        let payload = format!("{{\"ts\":{at},\"value\":{}}}", value(n));
        let (position, payload) = (Position::new(n), payload.as_bytes());
        table.ingest(&Record { position, arrived: at, key: b"k:1", payload });
    }
}

/// The newest structures of the object.
fn taken(table: &mut Table) -> Vec<Value> {
    let rows = table.drain().map(|row| serde_json::from_slice(row.json).unwrap()).collect();
    table.clear_results();
    rows
}

fn expected() -> [Value; 3] {
    let values: Vec<u64> = (0..SAMPLES).map(value).collect();
    let count = |is: &dyn Fn(u64) -> bool| values.iter().filter(|value| is(**value)).count() as u64;
    let up_to = |bound| (format!("le_{bound}"), json!(count(&|value| value <= bound)));
    let bounds = json!({ "samples": SAMPLES, "counts": (10..40).map(up_to).collect::<serde_json::Map<_, _>>() });
    let mut names: serde_json::Map<_, _> =
        (0..50).map(|name| (name.to_string(), json!(count(&|value| value == name)))).collect();
    names.insert("other".to_owned(), json!(count(&|value| value >= 50)));
    let mut sorted: Vec<(u64, u64)> = (0..60).map(|value| (count(&|other| other == value), value)).collect();
    sorted.sort_unstable_by_key(|(count, value)| (std::cmp::Reverse(*count), *value));
    let ranked = (1..).zip(sorted).take(20).flat_map(|(rank, (count, value))| {
        let fields = [("value", value), ("count", count), ("error", 0)];
        fields.map(|(name, number)| (format!("{name}_{rank}"), json!(number)))
    });
    [bounds, json!({ "counters": names }), Value::Object(ranked.collect())]
}

#[test]
fn thirty_bounds_fifty_categories_and_twenty_values_survive_a_snapshot() {
    for cut in [SAMPLES / 2, SAMPLES] {
        let (plan, mut table) = (plan(), Table::new(plan(), TableSettings::default()));
        feed(&mut table, 0..cut);
        let mut inline = taken(&mut table);
        let snapshot = table.snapshot();
        let chunks: Vec<_> =
            snapshot.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.clone()?))).collect();
        let chunks = chunks.iter().map(|(chunk, bytes)| (*chunk, bytes.as_slice()));
        let (mut table, _) = Table::restore(plan, TableSettings::default(), &snapshot.meta, chunks).unwrap();
        feed(&mut table, cut..SAMPLES);
        inline.extend(taken(&mut table));
        table.advance(22 * MINUTE);
        let rows = taken(&mut table);
        let [bounds, names, top] = expected();
        let row = &rows[0];
        assert_eq!((&row["bounds"], &row["names"], &row["top"]), (&bounds, &names, &top), "cut at {cut}");
        assert_eq!((inline.len() as u64, &inline.last().unwrap()["now"]), (SAMPLES, &bounds), "cut at {cut}");
    }
}
