//! Converts the numbers of a result into the fields of a point.
//!
//! The name of a field consists of attribute, group and field: `value`, `state` and `mean` give `value_state_mean`. A
//! number that is a plain number in JSON has the attribute's name; a number that is `{"value": …}` in JSON has the
//! suffix `_value`. Texts have no field. The boolean `deleted` is always present, and `partial` is present if the
//! samples do not cover the window from its start.
//!
//! A field must have the same type in all points, or InfluxDB rejects the later points. The type is the one of the
//! field in the proxy type: an integer is an integer, a double is a float for any value, and a number that Contrail
//! prints as a text of six digits (`state`) is a float with all its digits.

use daemon_results::block::Row;
use derived_stats::entry::Form;
use derived_stats::{FieldValue, Number, ValueType};

use super::line::{Line, Value};

/// Adds the fields of a result to a line; `path` is a buffer.
pub(super) fn add(row: &Row<'_>, line: &mut Line<'_>, path: &mut String) {
    line.field("deleted", Value::Boolean(row.deleted));
    if row.partial {
        line.field("partial", Value::Boolean(true));
    }
    for (attribute, record) in row.attributes() {
        path.clear();
        path.push_str(&attribute.name);
        if let Some(number) = attribute.bare_number(&record) {
            if !attribute.inline {
                path.push_str("_value");
            }
            line.field(path, value(number, Form::Plain));
            continue;
        }
        let length = path.len();
        for (field, content) in attribute.present(&record) {
            let FieldValue::Number(number) = content else { continue };
            for part in [field.group.as_deref(), Some(&*field.name)].into_iter().flatten() {
                path.push('_');
                path.push_str(part);
            }
            line.field(path, value(number, field.form));
            path.truncate(length);
        }
    }
}

fn value(number: Number, form: Form) -> Value {
    match (number.value_type(), form) {
        (_, Form::SixDigits) | (ValueType::F64, _) => Value::Float(number.as_f64()),
        (ValueType::I64, _) => Value::Integer(number.bits().cast_signed()),
        (ValueType::U64, _) => Value::Unsigned(number.bits()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use daemon_log::RecordBuffer;
    use daemon_results::block::{BlockReader, BlockSink, MAX_BLOCK_BYTES, sample};
    use daemon_results::line::LineReader;
    use derived_stats::Record as Numbers;
    use proxy_uve::schema::Schema;
    use proxy_uve::{Fate, Plan, Position, Record, StreamName, Table, TableSettings};

    use super::*;
    use crate::influxdb::Precision;

    fn of_row(row: &Row<'_>) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, "m");
        add(row, &mut line, &mut "old content".to_owned());
        line.end(0, Precision::Us);
        let text = String::from_utf8(out).unwrap();
        text.trim_end_matches(" 0\n").trim_start_matches("m ").to_owned()
    }

    /// The fields of all results, separated by commas.
    fn fields(blocks: &RecordBuffer) -> String {
        let (mut reader, mut found) = (BlockReader::default(), Vec::new());
        for (_, block) in blocks.records() {
            let mut rows = reader.rows(block).unwrap();
            while let Some(row) = rows.next().unwrap() {
                found.push(of_row(&row));
            }
        }
        found.join(",")
    }

    #[test]
    fn a_number_is_a_field_named_by_attribute_group_and_field_and_a_text_is_none() {
        let plan = sample::plan();
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let [mean, stddev, sigma] = [1234.5678, 1e-5, 2.0].map(Number::F64);
        let numbers = [Number::U64(7), mean, stddev, sigma, Number::U64(u64::MAX)];
        sample::send(&plan, &mut sink, 1, "T:a", Some(Numbers::new(numbers)));
        assert_eq!(
            fields(&sink.take().unwrap()),
            "deleted=false,value_samples=7i,value_state_mean=1234.5678,value_state_stddev=1e-5,value_sigma=2.0,\
             value_metric=9223372036854775807i"
        );
        sample::send(&plan, &mut sink, 0, "T:a", Some(Numbers::new([Number::U64(36)])));
        assert_eq!(fields(&sink.take().unwrap()), "deleted=false,value_value=36i");
        sample::send(&plan, &mut sink, 0, "T:a", None);
        assert_eq!(fields(&sink.take().unwrap()), "deleted=true");
    }

    #[test]
    fn a_result_of_many_numbers_has_a_field_for_each() {
        let bounds: Vec<_> = (1..=63).map(|bound| bound.to_string()).collect();
        let text = format!(
            "struct Many {{
               1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden=\"yes\")
               5: optional derived_stats_results.HistogramResult all (stats=\"1-raw:DSHistogram:{}\")
             }} (period=\"1\")",
            bounds.join(",")
        );
        let types: Vec<_> = Schema::parse("test.sandesh", &text).unwrap().types().cloned().collect();
        let plan = Plan::new(StreamName::new("A", "b").unwrap(), &types);
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let numbers = Numbers::from_numbers((100..164).map(|number| Some(Number::U64(number)))).unwrap();
        sample::send(&plan, &mut sink, 0, "T:a", Some(numbers));
        let counts = bounds.iter().zip(101..).map(|(bound, number)| format!("all_counts_le_{bound}={number}i"));
        let expected = ["deleted=false".to_owned(), "all_samples=100i".to_owned()].into_iter().chain(counts);
        assert_eq!(fields(&sink.take().unwrap()), expected.collect::<Vec<_>>().join(","));
    }

    #[test]
    fn a_result_in_json_has_the_same_fields_with_the_printed_digits() {
        let of_line = |data: &str| {
            let line = format!(r#"{{"key":"T:a","uve":"P-S-a","start":0,"end":60,"data":{data}}}"#);
            of_row(&LineReader::default().row(line.as_bytes()).unwrap())
        };
        for (data, expected) in [
            (r#"{"deleted":false,"proxy":"A-b","value":{"value":36}}"#, "deleted=false,value_value=36i"),
            (r#"{"deleted":true,"proxy":"A-b"}"#, "deleted=true"),
            (
                r#"{"partial":true,"inline":-7,"a":{"b":{"c":1.0}},"d":1e21}"#,
                "deleted=false,partial=true,inline=-7i,a_b_c=1.0,d=1e21",
            ),
            (
                r#"{"value":{"config":"0.1","state":{"mean":"1234.57","stddev":"1e-05"},"sigma":2.0,"metric":1}}"#,
                "deleted=false,value_state_mean=1234.57,value_state_stddev=1e-5,value_sigma=2.0,value_metric=1i",
            ),
        ] {
            assert_eq!(of_line(data), expected, "{data}");
        }
    }

    /// A proxy type for an element type, with every algorithm and every form of result.
    fn schema(element: &str, metric: &str) -> Schema {
        let head = format!(
            "1: string name (key=\"\")\n2: string proxy\n3: optional bool deleted\n\
             4: optional {element} raw (hidden=\"yes\" {metric})"
        );
        let text = format!(
            "struct Element {{ 1: optional {element} staging 2: optional {element} value }}
             struct Periodic {{
               {head}
               5: optional Element sum (stats=\"1-raw:DSSum\")
               6: optional Element average (stats=\"1-raw:DSAvg\")
               7: optional Element newest (stats=\"3-raw:DSNone\")
               8: optional derived_stats_results.AnomalyResult odd (stats=\"1.DSSum-raw:DSAnomaly:EWM:0.1\")
             }} (period=\"1\", timeout=\"2\")
             struct Inline {{
               {head}
               5: optional {element} inline (stats=\"raw:DSSum\")
               6: optional derived_stats_results.EWMResult ewm (stats=\"raw:DSEWM:0.1\")
               7: optional derived_stats_results.NullResult null (stats=\"raw:DSNull\")
             }}"
        );
        Schema::parse("test.sandesh", &text).unwrap()
    }

    /// The types of each field over two hundred windows, with gaps and deletions.
    fn types(schema: &Schema, samples: &[&str]) -> BTreeMap<String, BTreeSet<char>> {
        let types: Vec<_> = schema.types().cloned().collect();
        let plan = Arc::new(Plan::new(StreamName::new("A", "b").unwrap(), &types));
        let sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let settings = TableSettings::default().with_allowed_lateness(std::time::Duration::ZERO);
        let mut table = Table::with_sink(plan, settings, sink);
        let mut found = BTreeMap::<_, BTreeSet<_>>::new();
        for (position, sample) in (1..).zip(samples.iter().cycle().take(200)) {
            // A gap before every tenth sample causes a deletion.
            let at = 1_000_000 * (position + position / 10 * 5) + 5;
            let payload = format!("{{\"ts\":{at},\"value\":{sample}}}");
            let (position, payload) = (Position::new(position), payload.as_bytes());
            let record = Record { position, arrived: at, key: b"T:a", payload };
            assert_eq!(table.ingest(&record), Fate::Aggregated, "{sample}");
            table.advance(at);
            for field in fields(&table.sink_mut().take().unwrap()).split(',').filter(|field| !field.is_empty()) {
                let (name, value) = field.split_once('=').unwrap();
                let kind = match value {
                    "true" | "false" => 'b',
                    value if value.ends_with('i') => 'i',
                    _ => 'f',
                };
                found.entry(name.to_owned()).or_default().insert(kind);
            }
        }
        found
    }

    #[test]
    fn a_field_has_the_same_type_for_any_value() {
        let cases: [(&str, &str, &[&str], char); 4] = [
            ("u64", "", &["0", "1", "36", "4294967296", "9007199254740993"], 'i'),
            ("i64", "", &["0", "-5", "36", "-9007199254740993"], 'i'),
            ("double", "", &["0", "0.5", "36.0", "1e21", "-7", "1e-9", "36"], 'f'),
            ("u64", "metric=\"diff\"", &["0", "1", "36"], 'i'),
        ];
        for (element, metric, samples, own) in cases {
            let found = types(&schema(element, metric), samples);
            assert!(found.values().all(|types| types.len() == 1), "{element} {metric}: {found:?}");
            let of = |name: &str| found.get(name).and_then(BTreeSet::first).copied();
            for name in ["sum_value", "average_value", "newest_value", "inline", "null_value"] {
                assert_eq!(of(name), Some(own), "{element} {metric} {name}: {found:?}");
            }
            for name in ["odd_sigma", "odd_state_mean", "odd_state_stddev", "ewm_mean", "ewm_stddev", "ewm_sigma"] {
                assert_eq!(of(name), Some('f'), "{element} {metric} {name}");
            }
            for name in ["odd_samples", "odd_metric", "ewm_samples", "null_samples"] {
                assert_eq!(of(name), Some('i'), "{element} {metric} {name}");
            }
            assert_eq!(of("deleted"), Some('b'));
        }
    }

    #[test]
    fn the_built_in_types_have_fields_of_one_type_each() {
        let found = types(&Schema::builtin().with_period(1).unwrap(), &["20", "16", "0", "36"]);
        let found: Vec<_> = found.iter().map(|(name, types)| format!("{name} {types:?}")).collect();
        let expected = [
            "deleted {'b'}",
            "partial {'b'}",
            "value_metric {'i'}",
            "value_samples {'i'}",
            "value_sigma {'f'}",
            "value_state_mean {'f'}",
            "value_state_stddev {'f'}",
            "value_value {'i'}",
        ];
        assert_eq!(found, expected);
    }
}
