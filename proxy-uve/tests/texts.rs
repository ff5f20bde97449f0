//! Samples that are texts, from a payload to a result.

#![expect(clippy::unwrap_used, reason = "helpers of tests, where a panic is the report")]

use std::sync::Arc;
use std::time::Duration;

use derived_stats::{MAX_TEXT_SAMPLE, MetricKind, ValueType, text_sample};
use proptest::prelude::*;
use proxy_uve::proxy_list::ProxyList;
use proxy_uve::schema::{ProxyType, Schema};
use proxy_uve::wire::line::{LineForm, decode_as, decode_texts_as};
use proxy_uve::wire::{MAX_PAYLOAD_LENGTH, WireError, WireSample, decode, decode_texts, encode_stored};
use proxy_uve::{Fate, Plan, Position, Record, RecordFault, StreamName, Table, TableSettings};

const MINUTE: u64 = 60_000_000;

const STATUSES: &str = r#"
    struct Statuses {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional string raw (hidden="yes")
        5: optional derived_stats_results.CategoryResult statuses (stats="1-raw:DSCategory:ok,error,404")
        6: optional u64 different (stats="1-raw:DSDistinct")
        7: optional u64 count (stats="1-raw:DSCount")
    } (period="60")
    struct Errors {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional string raw (hidden="yes")
        5: optional derived_stats_results.AnomalyResult errors (stats="1.DSCategory(error)-raw:DSAnomaly:EWM:0.1")
    } (period="60")
    struct Sums {
        1: string name (key="")
        2: string proxy
        3: optional bool deleted
        4: optional u64 raw (hidden="yes")
        5: optional u64 sum (stats="1-raw:DSSum")
    } (period="60")
"#;

fn plan(types: &[&str]) -> Arc<Plan> {
    let schema = Schema::parse("test.sandesh", STATUSES).unwrap();
    let types: Vec<_> = types.iter().map(|name| Arc::clone(schema.get(name).unwrap())).collect();
    Arc::new(Plan::new(StreamName::new("Agent", "status").unwrap(), &types))
}

fn table(types: &[&str]) -> Table {
    Table::new(plan(types), TableSettings::default().with_allowed_lateness(Duration::ZERO))
}

/// The fates of payloads of an object.
fn ingest(table: &mut Table, from: u64, payloads: &[&str]) -> Vec<Fate> {
    let mut fates = vec![Fate::Aggregated; payloads.len()];
    let records = (from..).zip(payloads).map(|(position, payload)| Record {
        position: Position::new(position),
        arrived: MINUTE,
        key: b"T:a",
        payload: payload.as_bytes(),
    });
    table.ingest_payloads_with(records, |index, fate| fates[index] = fate);
    fates
}

fn results(table: &mut Table) -> Vec<String> {
    table.advance(2 * MINUTE);
    table.drain().map(|row| String::from_utf8(row.json.to_vec()).unwrap()).collect()
}

const PAYLOADS: [&str; 6] = [
    r#"{"ts":60000000,"value":"ok"}"#,
    r#"{"ts":60000001,"value":"\u006fk","source":"compute-1"}"#,
    r#"<status type="string" timestamp="60000002"> ok </status>"#,
    r#"<status type="string" timestamp="60000003">a &lt; b</status>"#,
    // The text of its digits.
    r#"{"ts":60000004,"value":404}"#,
    r#"<status type="string" timestamp="60000005">404</status>"#,
];

const EXPECTED: &str = concat!(
    r#"{"deleted":false,"proxy":"Agent-status","#,
    r#""statuses":{"counters":{"ok":3,"error":0,"404":2,"other":1}},"#,
    r#""different":{"value":3},"count":{"value":6}}"#
);

#[test]
fn texts_are_counted_by_their_category() {
    for restart in 0..=PAYLOADS.len() {
        let mut table = table(&["Statuses"]);
        assert_eq!(ingest(&mut table, 0, &PAYLOADS[..restart]), vec![Fate::Aggregated; restart]);
        let snapshot = table.snapshot();
        let chunks = snapshot.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        let (mut table, _) = Table::restore(plan(&["Statuses"]), *table.settings(), &snapshot.meta, chunks).unwrap();
        ingest(&mut table, restart as u64, &PAYLOADS[restart..]);
        assert_eq!(results(&mut table), [EXPECTED], "a restart after {restart}");
    }
}

#[test]
fn one_record_at_a_time_counts_as_many() {
    let mut table = table(&["Statuses"]);
    for (position, payload) in (0..).zip(PAYLOADS) {
        let (position, payload) = (Position::new(position), payload.as_bytes());
        let fate = table.ingest(&Record { position, arrived: MINUTE, key: b"T:a", payload });
        assert_eq!(fate, Fate::Aggregated);
    }
    assert_eq!(results(&mut table), [EXPECTED]);
}

#[test]
fn a_stream_of_numbers_refuses_texts_as_before() {
    let mut table = table(&["Sums"]);
    let fates = ingest(&mut table, 0, &PAYLOADS);
    assert_eq!(fates[..4], [Fate::MalformedPayload; 4]);
    assert_eq!((&fates[4..], results(&mut table).len()), (&[Fate::Aggregated; 2][..], 1));
    for (payload, text) in [(PAYLOADS[0], "\"ok\""), (PAYLOADS[2], "ok")] {
        let expected = WireError::NotANumber { text: text.to_owned() };
        assert_eq!(decode(payload.as_bytes()), Err(expected.clone()));
        assert_eq!(table.fault(b"T:a", payload.as_bytes()), Some(RecordFault::Payload(expected)));
    }
    let lines = [
        (LineForm::Json, r#"{"ts":60000000,"key":"T:a","attr":"status","value":"ok"}"#, "\"ok\""),
        (LineForm::Tabbed, "T:a\t<status timestamp=\"7\">ok</status>", "ok"),
    ];
    for (form, line, text) in lines {
        let refused = decode_as(form, line.as_bytes()).unwrap_err();
        assert_eq!(refused, WireError::NotANumber { text: text.to_owned() }.into());
        let line = decode_texts_as(form, line.as_bytes()).unwrap();
        assert_eq!((line.text.as_deref(), line.value), (Some("ok"), text_sample("ok").unwrap()));
        assert_eq!(line.check_number(form), Err(refused));
    }
}

#[test]
fn a_text_beyond_the_limit_is_refused_with_its_length() {
    let payload = |length: usize| format!(r#"{{"ts":60000000,"value":"{}"}}"#, "x".repeat(length));
    let mut table = table(&["Statuses"]);
    let (longest, longer) = (payload(MAX_TEXT_SAMPLE), payload(MAX_TEXT_SAMPLE + 1));
    assert_eq!(ingest(&mut table, 0, &[&longest, &longer]), [Fate::Aggregated, Fate::MalformedPayload]);
    let error = WireError::TextTooLong { length: MAX_TEXT_SAMPLE + 1 };
    assert_eq!(error.to_string(), "the text has 257 bytes where at most 256 are allowed; send a shorter one");
    assert_eq!(table.fault(b"T:a", longer.as_bytes()), Some(RecordFault::Payload(error)));
    assert_eq!(table.fault(b"T:a", longest.as_bytes()), None);
}

#[test]
fn types_of_texts_take_algorithms_of_texts_alone() {
    let refused = |stats: &str, annotation: &str| {
        let text = STATUSES.replace("1-raw:DSCount", stats).replace("raw (hidden=\"yes\")", annotation);
        Schema::parse("test.sandesh", &text).unwrap_err().to_string()
    };
    let error = refused("1-raw:DSSum", "raw (hidden=\"yes\")");
    assert!(error.contains("the result `count` computes DSSum of texts, which takes numbers"), "{error}");
    let error = refused("1-raw:DSCount", "raw (hidden=\"yes\", metric=\"agg\")");
    assert!(error.contains("the samples of `raw` are texts, which have no `metric`"), "{error}");
    let types = ProxyType::builder("T", ValueType::F64).texts().period(Duration::from_secs(60));
    assert!(types.clone().result("top", "1-raw:DSTopK:3").build().is_err(), "its values are hashes");
    assert!(types.clone().metric(MetricKind::Diff).result("count", "1-raw:DSCount").build().is_err());
    let built = types.result("count", "1-raw:DSCount").build().unwrap();
    assert!(built.raw().texts && built.raw().value == ValueType::U64);
}

#[test]
fn a_stream_has_types_of_texts_or_of_numbers() {
    let schema = Schema::parse("test.sandesh", STATUSES).unwrap();
    assert!(ProxyList::parse("Agent-status:Statuses:Errors Agent-flows:Sums", &schema).is_ok());
    for list in ["Agent-status:Statuses:Sums", "Agent-status:Sums:Statuses"] {
        let error = ProxyList::parse(list, &schema).unwrap_err().to_string();
        assert!(error.contains("the samples of `Statuses` are texts, those of `Sums` numbers"), "{error}");
    }
}

proptest! {
    #[test]
    fn property_a_stored_text_comes_back(text in ".{0,64}", source in prop::option::of(".{0,16}"), timestamp: u64) {
        let value = text_sample(&text).unwrap();
        let (text, source) = (Some(text.as_str().into()), source.as_deref().map(Into::into));
        let sample = WireSample { timestamp, value, text, source, element: None };
        let mut stored = Vec::new();
        encode_stored(&sample, &mut stored);
        prop_assert_eq!(decode_texts(&stored, MAX_PAYLOAD_LENGTH), Ok(sample));
    }
}
