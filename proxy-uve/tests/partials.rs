//! Partial states: samples that several tables aggregate in parts give the results of one table that takes them all.
//!
//! The cases are made from the entries of the menu: every algorithm whose states merge, alone, over two periods, and as
//! the head of a chain with a detector.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::entry::{Argument, Entry};
use derived_stats::{ValueType, menu};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use proxy_uve::schema::ProxyType;
use proxy_uve::wire::PartialState;
use proxy_uve::{
    AttributeResult, DecodedRecord, Fate, PartialFault, PartialRecord, Plan, Position, Record, ResultSink, StreamName,
    Subject, Table, TableSettings,
};

const PERIOD: u64 = 60_000_000;
const PERIODS: u64 = 5;
const EDGES: usize = 3;

/// The lines of the partial states that an edge makes.
#[derive(Default)]
struct Lines(Vec<Vec<u8>>);

impl ResultSink for Lines {
    fn begin(&mut self, _: &Subject<'_>) {}

    fn attribute(&mut self, _: &Subject<'_>, _: &AttributeResult<'_>) {}

    fn end(&mut self, _: &Subject<'_>) {}

    fn wants_partials(&self) -> bool {
        true
    }

    fn partial(&mut self, state: PartialState<'_>) {
        let mut line = Vec::new();
        state.encode(&mut line);
        self.0.push(line);
    }
}

/// A sample, and the edge that takes it; the last number stands for the central table.
#[derive(Clone, Copy, Debug)]
struct Sample {
    object: u64,
    at: u64,
    value: u64,
    edge: usize,
}

fn samples() -> impl Strategy<Value = Vec<Sample>> {
    // Gaps between periods, so that objects are silent in some; small values, so that some are equal.
    let sample = (0..4u64, 0..PERIODS * PERIOD, prop_oneof![0..5u64, 0..1000u64], 0..=EDGES);
    let sample = sample.prop_map(|(object, at, value, edge)| Sample { object, at, value, edge });
    prop::collection::vec(sample, 0..60).prop_map(|mut samples| {
        samples.sort_by_key(|sample| sample.at);
        samples
    })
}

fn stream() -> StreamName {
    StreamName::new("Agent", "flows").unwrap()
}

fn settings() -> TableSettings {
    TableSettings::default().with_allowed_lateness(Duration::from_secs(86_400))
}

fn key(object: u64) -> String {
    format!("VM:{object}")
}

fn ingest<S: ResultSink>(table: &mut Table<S>, sample: &Sample) {
    let position = Position::new(table.position().map_or(0, |position| position.get() + 1));
    let (key, value) = (key(sample.object), derived_stats::Number::U64(sample.value));
    let record = DecodedRecord { position, arrived: sample.at, key: key.as_bytes(), at: sample.at, value, source: "" };
    assert_eq!(table.ingest_decoded(&record), Fate::Aggregated);
}

/// The rows of a table at its end, in the order of their bytes.
fn rows(mut table: Table) -> Vec<String> {
    table.advance((PERIODS + 8) * PERIOD);
    let row = |row: proxy_uve::ResultRow<'_>| {
        format!("{} {} {}", row.uve_name, String::from_utf8_lossy(row.key), String::from_utf8_lossy(row.json))
    };
    // A table marks its first window by its first record, which is another one where states arrive in another order.
    let mut rows: Vec<String> = table.drain().map(row).map(|row| row.replace(",\"partial\":true", "")).collect();
    rows.sort();
    rows
}

/// The rows of one table that takes all samples, and of one that merges what the edges made of them. `order` is that in
/// which the states arrive.
fn both(types: &[Arc<ProxyType>], samples: &[Sample], order: impl Fn(&mut Vec<Vec<u8>>)) -> [Vec<String>; 2] {
    let new = |plan| Table::new(Arc::new(plan), settings());
    let (mut whole, mut merged) = (new(Plan::new(stream(), types)), new(Plan::new(stream(), types)));
    let plan = Arc::new(Plan::for_partials(stream(), types).unwrap());
    let mut edges: Vec<_> =
        (0..EDGES).map(|_| Table::with_sink(Arc::clone(&plan), settings(), Lines::default())).collect();
    for sample in samples {
        ingest(&mut whole, sample);
        match edges.get_mut(sample.edge) {
            Some(edge) => ingest(edge, sample),
            None => ingest(&mut merged, sample),
        }
    }
    let mut lines = Vec::new();
    for edge in &mut edges {
        edge.advance((PERIODS + 8) * PERIOD);
        lines.append(&mut edge.sink_mut().0);
    }
    order(&mut lines);
    for line in lines {
        let state = PartialState::decode(&line, 1 << 20).unwrap();
        let position = Position::new(merged.position().map_or(0, |position| position.get() + 1));
        // In half of the cases as the payload of a record.
        let fate = if position.get().is_multiple_of(2) {
            merged.ingest_partial(&PartialRecord { position, arrived: state.window, state: &state })
        } else {
            merged.ingest(&Record { position, arrived: state.window, key: state.key.as_bytes(), payload: &line })
        };
        assert_eq!(fate, Fate::Aggregated);
    }
    [rows(whole), rows(merged)]
}

/// The annotations of an entry with the examples of its arguments.
fn annotations(entry: &Entry) -> Vec<String> {
    let written = |argument: &&Argument| argument.written(argument.example());
    let required: Vec<_> = entry.argument_list().iter().filter(|it| it.is_required()).collect();
    let arguments: String = required.iter().map(|argument| format!(":{}", written(argument))).collect();
    let in_chain: Vec<_> = required.iter().map(written).collect();
    let in_chain = if in_chain.is_empty() { String::new() } else { format!("({})", in_chain.join(":")) };
    let name = entry.name();
    let mut annotations = vec![format!("1-value:{name}{arguments}"), format!("2-value:{name}{arguments}")];
    if entry.roles().pre_aggregation {
        annotations.push(format!("1.{name}{in_chain}-value:DSAnomaly:EWM:0.5"));
    }
    annotations
}

fn proxy_type(annotation: &str, timeout: u32) -> Arc<ProxyType> {
    let value_type = ValueType::U64;
    let builder = ProxyType::builder("Mine", value_type).raw("value").period(Duration::from_micros(PERIOD));
    Arc::new(builder.timeout(timeout).result("result", annotation).build().unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn property_merged_states_give_the_results_of_one_table() {
    let mut tested = 0;
    for entry in menu().iter().filter(|entry| entry.roles().period && entry.claim_list().merges) {
        for annotation in annotations(entry) {
            let types = [proxy_type(&annotation, 0)];
            if Plan::for_partials(stream(), &types).is_err_and(|error| error.to_string().contains("of each source")) {
                continue;
            }
            let config =
                Config { cases: Config::default().cases / 16 + 1, failure_persistence: None, ..Config::default() };
            let input = (samples(), 0..3u32, any::<u64>());
            let outcome = TestRunner::new(config).run(&input, |(samples, timeout, seed)| {
                let [whole, merged] = both(&[proxy_type(&annotation, timeout)], &samples, |lines| {
                    // Any order, the same for the same seed.
                    lines.sort_by_key(|line| crc32fast::hash(line) ^ seed as u32);
                });
                if entry.claim_list().order_insensitive {
                    prop_assert_eq!(&whole, &merged);
                }
                // Results that depend on the order agree within their error, which the properties of the library test.
                let names = |rows: &[String]| -> Vec<String> {
                    rows.iter().map(|row| row.split(" {").next().unwrap().to_owned()).collect()
                };
                prop_assert_eq!(names(&whole), names(&merged));
                Ok(())
            });
            outcome.unwrap_or_else(|error| panic!("{annotation}: {error}"));
            tested += 1;
        }
    }
    assert!(tested > 20, "{tested} annotations");
}

#[test]
fn types_with_equal_windows_and_another_timeout_count_once() {
    let types = [proxy_type("1-value:DSSum", 1), proxy_type("1-value:DSSum", 2)];
    let samples = [0, 1].map(|edge| Sample { object: 0, at: 1, value: 18, edge });
    let [whole, merged] = both(&types, &samples, |_| {});
    assert!(whole.iter().any(|row| row.contains(r#""value":36"#)), "{whole:?}");
    assert_eq!(whole, merged);
}

#[test]
fn types_without_partial_states_are_refused_with_their_name() {
    for (annotation, expected) in [
        ("0-value:DSSum", "the attribute `result` has results of single samples"),
        ("1-value:DSSumLast", "the attribute `result` has `DSSumLast`, which keeps the last value of each source"),
        ("1-value:DSFirst", "the attribute `result` has `DSFirst`, whose states do not merge"),
        ("1.DSNone-value:DSAnomaly:EWM:0.5", "the attribute `result` has `DSNone`, whose states do not merge"),
    ] {
        let error = Plan::for_partials(stream(), &[proxy_type(annotation, 0)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// A partial state of a sum, of the period `window`.
fn sum(window: u64) -> PartialState<'static> {
    let plan = Arc::new(Plan::for_partials(stream(), &[proxy_type("1-value:DSSum", 0)]).unwrap());
    let mut edge = Table::with_sink(plan, settings(), Lines::default());
    ingest(&mut edge, &Sample { object: 7, at: window + 1, value: 36, edge: 0 });
    edge.advance(window + PERIOD);
    PartialState::decode(&edge.sink().0[0], 1000).unwrap().into_owned()
}

#[test]
fn a_state_that_no_table_takes_is_counted_and_changes_nothing() {
    let good = sum(PERIOD);
    let cases = [
        (PartialState { key: "VM".into(), ..good.clone() }, Fate::MalformedKey),
        (PartialState { state: "DSSum f64".into(), ..good.clone() }, Fate::MalformedValue),
        (PartialState { period: 2 * PERIOD, window: 0, ..good.clone() }, Fate::MalformedValue),
        (PartialState { words: vec![u64::MAX; 2], ..good.clone() }, Fate::MalformedPayload),
        (PartialState { words: vec![1; 9], ..good.clone() }, Fate::MalformedPayload),
        (PartialState { version: 77, ..good.clone() }, Fate::MalformedPayload),
        (PartialState { window: 100 * PERIOD, ..good.clone() }, Fate::Future),
        (good.clone(), Fate::Aggregated),
    ];
    let plan = Arc::new(Plan::new(stream(), &[proxy_type("1-value:DSSum", 0)]));
    let mut table = Table::new(plan, TableSettings::default().with_allowed_lateness(Duration::ZERO));
    for (position, (state, expected)) in (0..).map(Position::new).zip(&cases) {
        let record = PartialRecord { position, arrived: 2 * PERIOD, state };
        assert_eq!(table.ingest_partial(&record), *expected, "{state:?}");
        assert_eq!(table.ingest_partial(&record), Fate::Duplicate);
    }
    assert_eq!(table.fates().total(), 2 * cases.len() as u64);
    table.advance(2 * PERIOD);
    assert_eq!(table.drain().count(), 1);
    let late = PartialRecord { position: Position::new(99), arrived: 3 * PERIOD, state: &good };
    assert_eq!(table.ingest_partial(&late), Fate::Late);
    let fault = table.plan().check_partial(&cases[1].0).unwrap_err();
    assert!(matches!(fault, PartialFault::Foreign { .. }));
    assert_eq!(
        fault.to_string(),
        "the state is `60s DSSum f64`, `Agent-flows` takes `60s DSSum u64`; aggregate with the same proxy types, or the \
         same annotation, --type and --period, as here"
    );
}

#[test]
fn a_merged_window_survives_a_restart_before_its_end() {
    let plan = Arc::new(Plan::new(stream(), &[proxy_type("2-value:DSSum", 0)]));
    let take = |table: &mut Table, position, window| {
        let state = PartialState { period: PERIOD, ..sum(window) };
        let record = PartialRecord { position: Position::new(position), arrived: window, state: &state };
        assert_eq!(table.ingest_partial(&record), Fate::Aggregated);
    };
    let mut table = Table::new(Arc::clone(&plan), settings());
    take(&mut table, 0, 2 * PERIOD);
    let saved = table.snapshot();
    let chunks = saved.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    let (mut table, _) = Table::restore(plan, settings(), &saved.meta, chunks).unwrap();
    take(&mut table, 1, 3 * PERIOD);
    table.advance(4 * PERIOD);
    let row = table.drain().next().expect("two periods are over");
    assert!(row.json.ends_with(br#""result":{"value":72}}"#), "{}", String::from_utf8_lossy(row.json));
}
