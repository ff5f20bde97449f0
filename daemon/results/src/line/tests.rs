//! Tests of lines: the printed form of rows, and the rows that are read.

use std::sync::Arc;

use derived_stats::{Number, Record};
use proptest::prelude::*;

use super::*;
use crate::block::{BlockReader, Shown, sample};

/// The lines of a block.
fn written(block: &[u8]) -> Vec<String> {
    let (mut reader, mut lines) = (BlockReader::default(), Vec::new());
    let mut rows = reader.rows(block).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let mut line = Vec::new();
        write(&row, &mut line);
        lines.push(String::from_utf8(line).unwrap());
    }
    lines
}

/// Reads a line and writes it again.
fn again(reader: &mut LineReader, line: &str) -> Result<String, LineError> {
    let mut out = Vec::new();
    write(&reader.row(line.as_bytes())?, &mut out);
    Ok(String::from_utf8(out).unwrap())
}

fn line(data: &str) -> String {
    format!(r#"{{"key":"T:a","uve":"P-S-a","start":0,"end":60,"data":{{"deleted":false,"proxy":"S-a"{data}}}}}"#)
}

#[test]
fn a_row_has_the_documented_line() {
    let plan = sample::plan();
    let mut sink = crate::block::BlockSink::new(&plan, 4096);
    sample::send(&plan, &mut sink, 0, "T:a \"quoted\"\n name", Some(Record::new([Number::U64(36)])));
    let odd = [Number::U64(7), Number::F64(1234.5678), Number::F64(0.1), Number::F64(-2.5), Number::U64(9)];
    sample::send(&plan, &mut sink, 1, "T:b", Some(Record::new(odd)));
    sample::send(&plan, &mut sink, 0, "T:b", None);
    let lines = written(&sample::first_block(&mut sink));
    insta::assert_snapshot!(lines.join("\n"), @r##"
    {"key":"T:a \"quoted\"\n name","uve":"AggProxySum-A-b","start":0,"end":60,"data":{"deleted":false,"proxy":"A-b","value":{"value":36}}}
    {"key":"T:b","uve":"AggProxySumAnomalyEWM01-A-b","start":0,"end":60,"data":{"deleted":false,"proxy":"A-b","value":{"samples":7,"algo":"EWM","config":"0.1","state":{"mean":"1234.57","stddev":"0.1"},"sigma":-2.5,"metric":9}}}
    {"key":"T:b","uve":"AggProxySum-A-b","start":0,"end":60,"data":{"deleted":true,"proxy":"A-b"}}
    "##);
    assert!(lines.iter().all(|line| !line.contains('\n')), "a line holds no line feed");
}

fn first_number(row: &Row<'_>) -> Option<Number> {
    row.attributes().next().unwrap().1.get(0)
}

#[test]
fn a_line_of_a_configured_type_has_its_types() {
    let plan = Arc::new(sample::plan());
    let mut reader = LineReader::new(&[Arc::clone(&plan)]);
    let mut read = |value: &str| {
        let data = format!(r#"{{"deleted":false,"proxy":"A-b","value":{value}}}"#);
        let line = format!(r#"{{"key":"T:a","uve":"AggProxySum-A-b","start":0,"end":60,"data":{data}}}"#);
        let row = reader.row(line.as_bytes()).unwrap();
        let attribute = &row.shape.attributes[0];
        (attribute.shown, first_number(&row), attribute.numbers())
    };
    assert_eq!(read(r#"{"value":36}"#), (Shown::Number, Some(Number::U64(36)), 1));
    // The type does not fit, so the reader infers it from the printed form.
    assert_eq!(read(r#"{"value":-36}"#), (Shown::Struct, Some(Number::I64(-36)), 1));
    assert_eq!(read(r#"{"value":1,"more":2.0}"#), (Shown::Struct, Some(Number::U64(1)), 2));
}

#[test]
fn the_doubles_of_a_configured_type_are_doubles_in_any_printed_form() {
    let schema = "struct T { 1: string name (key=\"\") 2: string proxy 3: optional bool deleted \
                  4: optional double raw (hidden=\"yes\") 5: optional double last (stats=\"raw:DSSum\") }";
    let types: Vec<_> = proxy_uve::schema::Schema::parse("t", schema).unwrap().types().cloned().collect();
    let plan = Arc::new(proxy_uve::Plan::new(proxy_uve::StreamName::new("A", "b").unwrap(), &types));
    let line = r#"{"key":"T:a","uve":"T-A-b","start":0,"end":0,"data":{"deleted":false,"proxy":"A-b","last":36}}"#;
    let first = |mut reader: LineReader| first_number(&reader.row(line.as_bytes()).unwrap());
    assert_eq!(first(LineReader::new(&[plan])), Some(Number::F64(36.0)));
    assert_eq!(first(LineReader::default()), Some(Number::U64(36)));
}

#[test]
fn an_inferred_row_is_written_as_the_same_line() {
    for data in [
        "",
        r#","partial":true,"inline":-7,"d":1e21"#,
        r#","value":{"value":18446744073709551615,"error":"overflow: the sum left the range of its type, the value is the bound"}"#,
        r#","value":{"config":"0.1","samples":7,"state":{"mean":"36","stddev":"1e-05"},"sigma":2.0,"metric":1}"#,
        r#","value":{"state":{"mean":"+36","x":"?"},"text":"a \"b\""}"#,
        r#","empty":{}"#,
    ] {
        // Canonical JSON has a plus sign in the exponent.
        let line = line(data);
        assert_eq!(again(&mut LineReader::default(), &line).unwrap().replace("1e+21", "1e21"), line);
    }
}

/// An attribute with this number of numbers.
fn of_numbers(count: u64) -> String {
    let numbers: Vec<_> = (0..count).map(|number| format!("\"n{number}\":{number}")).collect();
    format!(",\"a\":{{{}}}", numbers.join(","))
}

#[test]
fn an_inferred_row_has_up_to_64_numbers() {
    let line = line(&of_numbers(64));
    assert_eq!(again(&mut LineReader::default(), &line).unwrap(), line);
}

#[test]
fn a_line_that_is_not_a_result_is_rejected() {
    for data in [
        r#","a":[1]"#.to_owned(),
        r#","a":null"#.to_owned(),
        r#","a":"text""#.to_owned(),
        r#","a":{"b":{"c":{"d":1}}}"#.to_owned(),
        r#","a":{"b":true}"#.to_owned(),
        r#","a\"b":1"#.to_owned(),
        of_numbers(65),
    ] {
        assert!(LineReader::default().row(line(&data).as_bytes()).is_err(), "{data}");
    }
    for line in ["", "x", "{}", r#"{"key":"T:a","uve":"P","start":0,"data":7}"#] {
        assert!(LineReader::default().row(line.as_bytes()).is_err(), "{line}");
    }
}

fn double() -> impl Strategy<Value = Number> {
    any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Number::F64)
}

proptest! {
    #[test]
    fn property_a_line_reads_back_to_the_same_line(
        key in "T:.{0,12}", samples: u64, doubles in prop::collection::vec(double(), 3), metric: u64, sum: u64,
    ) {
        let plan = sample::plan();
        let mut sink = crate::block::BlockSink::new(&plan, 4096);
        let odd = Record::new([Number::U64(samples), doubles[0], doubles[1], doubles[2], Number::U64(metric)]);
        sample::send(&plan, &mut sink, 1, &key, Some(odd));
        sample::send(&plan, &mut sink, 0, &key, Some(Record::new([Number::U64(sum)])));
        sample::send(&plan, &mut sink, 0, &key, None);
        let plans = [Arc::new(sample::plan())];
        for line in written(&sample::first_block(&mut sink)) {
            for mut reader in [LineReader::new(&plans), LineReader::default()] {
                prop_assert_eq!(&again(&mut reader, &line).unwrap(), &line);
            }
        }
    }

    #[test]
    fn property_no_line_makes_a_reader_panic(text in ".{0,40}", data in "[{}\\[\\]:,\"a1.-]{0,30}") {
        let _ = LineReader::default().row(text.as_bytes());
        let _ = LineReader::default().row(line(&data).as_bytes());
    }
}
