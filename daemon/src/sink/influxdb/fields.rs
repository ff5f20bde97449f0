//! The numbers of a result as the fields of a point.
//!
//! Numbers and booleans are fields, named by the way to them: `{"value":{"samples":7}}` is `value_samples=7i`. Texts and
//! lists are left out, except in the object `state`, in which Contrail prints numbers as texts: these are floats.
//!
//! A field must be of one type in all points, or InfluxDB refuses the later ones. The type comes from how the number is
//! printed, which is the type that the proxy type computes with: integers never have a fraction or an exponent, floats
//! always have one (36.0, 1e21), whatever their value. A result is never a map of values (the schema refuses those);
//! should there be one it would be a field for each key, as any object.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::line::{Line, Value};

/// Adds the fields of one object to a line.
pub(super) struct Fields<'f, 'b> {
    line: &'f mut Line<'b>,
    /// The way to the value that is read.
    path: &'f mut String,
    /// Whether texts are numbers here.
    in_state: bool,
}

impl<'f, 'b> Fields<'f, 'b> {
    /// Reads the object `json` into `line`; `path` is a buffer to use.
    pub(super) fn read(json: &str, line: &'f mut Line<'b>, path: &'f mut String) -> serde_json::Result<()> {
        path.clear();
        let mut deserializer = serde_json::Deserializer::from_str(json);
        Self { line, path, in_state: false }.deserialize(&mut deserializer)?;
        deserializer.end()
    }

    fn add<E>(self, value: Value) -> Result<(), E> {
        self.line.field(self.path, value);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a result")
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.add(Value::Boolean(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.add(Value::Float(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.add(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.add(Value::Unsigned(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        match text.parse() {
            Ok(value) if self.in_state => self.add(Value::Float(value)),
            _ => Ok(()),
        }
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let Self { line, path, in_state } = self;
        let length = path.len();
        while let Some(is_state) = object.next_key_seed(Step(path))? {
            object.next_value_seed(Fields { line, path, in_state: in_state || is_state })?;
            path.truncate(length);
        }
        Ok(())
    }
}

/// Reads a name and appends it to the way; whether it is `state`.
struct Step<'p>(&'p mut String);

impl<'de> DeserializeSeed<'de> for Step<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Step<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        if !self.0.is_empty() {
            self.0.push('_');
        }
        self.0.push_str(name);
        Ok(name == "state")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use proxy_uve::schema::Schema;
    use proxy_uve::{Fate, Plan, Record, StreamName, Table, TableSettings};

    use super::*;
    use crate::config::Precision;

    fn fields(json: &str) -> String {
        let mut out = Vec::new();
        let mut line = Line::begin(&mut out, "m");
        Fields::read(json, &mut line, &mut "left over".to_owned()).unwrap();
        line.end(0, Precision::Us);
        let text = String::from_utf8(out).unwrap();
        text.trim_end_matches(" 0\n").trim_start_matches("m ").to_owned()
    }

    #[test]
    fn numbers_and_booleans_are_fields_by_the_way_to_them() {
        let cases = [
            (r#"{"deleted":false,"proxy":"A-b","value":{"value":36}}"#, "deleted=false,value_value=36i"),
            (r#"{"deleted":true,"proxy":"A-b"}"#, "deleted=true"),
            (
                r#"{"partial":true,"inline":-7,"a":{"b":{"c":1.0}},"d":1e21}"#,
                "partial=true,inline=-7i,a_b_c=1.0,d=1e21",
            ),
            (r#"{"text":"5","none":null,"list":[1,{"x":2}],"last":-0.0}"#, "last=-0.0"),
            (
                r#"{"value":{"config":"0.1","state":{"mean":"36","stddev":"1e-05"},"sigma":2.0,"metric":18446744073709551615}}"#,
                "value_state_mean=36.0,value_state_stddev=1e-5,value_sigma=2.0,value_metric=9223372036854775807i",
            ),
            (r#"{"value":{"state":{"mean":"nan","stddev":"?"},"samples":1}}"#, "value_samples=1i"),
            (r#"{"a\"b":{"c d":true}}"#, r#"a"b_c\ d=true"#),
        ];
        for (json, expected) in cases {
            assert_eq!(fields(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        let mut out = Vec::new();
        for json in ["{\"a\":1", "{\"a\":1} x", "{a}"] {
            let mut line = Line::begin(&mut out, "m");
            assert!(Fields::read(json, &mut line, &mut String::new()).is_err(), "{json}");
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

    /// The types of each field over two hundred windows of samples, gaps and the deletion among them.
    fn types(schema: &Schema, samples: &[&str]) -> BTreeMap<String, BTreeSet<char>> {
        let types: Vec<_> = schema.types().cloned().collect();
        let plan = Arc::new(Plan::new(StreamName::new("A", "b").unwrap(), &types));
        let mut table = Table::new(plan, TableSettings::default().with_allowed_lateness(std::time::Duration::ZERO));
        let mut found = BTreeMap::<_, BTreeSet<_>>::new();
        for (position, sample) in (1..).zip(samples.iter().cycle().take(200)) {
            // Every tenth comes late enough for a deletion.
            let at = 1_000_000 * (position + position / 10 * 5) + 5;
            let payload = format!("{{\"ts\":{at},\"value\":{sample}}}");
            let record = Record { position, arrived: at, key: b"T:a", payload: payload.as_bytes() };
            assert_eq!(table.ingest(&record), Fate::Aggregated, "{sample}");
            table.advance(at);
            for row in table.drain() {
                for field in fields(std::str::from_utf8(row.json).unwrap()).split(',') {
                    let (name, value) = field.split_once('=').unwrap();
                    let kind = match value {
                        "true" | "false" => 'b',
                        value if value.ends_with('i') => 'i',
                        _ => 'f',
                    };
                    found.entry(name.to_owned()).or_default().insert(kind);
                }
            }
            table.clear_results();
        }
        found
    }

    #[test]
    fn a_field_has_one_type_whatever_its_value() {
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

    #[test]
    fn a_map_would_be_a_field_for_each_key_but_proxy_types_have_none() {
        assert_eq!(fields(r#"{"value":{"a":{"value":1},"b":{"value":2}}}"#), "value_a_value=1i,value_b_value=2i");
        let text = "struct T { 1: string name (key=\"\") 2: string proxy 3: optional bool deleted \
                    4: optional map<string,u64> raw (hidden=\"yes\") 5: optional map<string,u64> value (mstats=\"1-raw:DSSum\") } \
                    (period=\"1\")";
        let refused = Schema::parse("test.sandesh", text).unwrap_err().to_string();
        assert!(refused.contains("not a map"), "{refused}");
    }
}
