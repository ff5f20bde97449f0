//! Decodes answers of the analytics API into readings. [The module above](super) lists the forms.
//!
//! Objects and values are decoded one by one: a malformed one is counted and does not affect the others. An answer is
//! rejected as a whole only if it is not JSON, because it was cut for example, or has no list of objects.
//!
//! # Input safety
//!
//! Nothing panics on any input, and nothing recurses deeper than `serde_json` allows (128).

use std::sync::Arc;

use derived_stats::Number;
use proxy_uve::wire::{MAX_SOURCE_BYTES, parse_value};
use proxy_uve::{ObjectKey, StreamName};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::telemetry::Rejected;

/// The value of an attribute as one source had it, or as the API added it up.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reading {
    /// `table:name`.
    pub key: Arc<str>,
    /// The index of the stream in the configured ones.
    pub stream: usize,
    /// The source, where the answer names it.
    pub source: Option<Arc<str>>,
    pub value: Number,
}

/// The request that an answer belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'r> {
    pub table: &'r str,
    pub streams: &'r [StreamName],
    /// The generator, if the request was for one only.
    pub source: Option<&'r Arc<str>>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    value: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Uve {
    name: String,
    value: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Decodes the answer `body` and gives every reading, or the reason of its rejection, to `take`.
///
/// # Errors
///
/// When it is not an answer to a request for objects; `take` is not called then.
pub(super) fn decode(
    body: &[u8],
    request: Request<'_>,
    mut take: impl FnMut(Result<Reading, Rejected>),
) -> Result<(), serde_json::Error> {
    let page: Page<'_> = serde_json::from_slice(body)?;
    for object in page.value {
        let Ok(uve) = serde_json::from_str::<Uve>(object.get()) else {
            take(Err(Rejected::Object));
            continue;
        };
        let key = format!("{}:{}", request.table, uve.name);
        if ObjectKey::parse(key.as_bytes()).is_err() {
            take(Err(Rejected::Object));
            continue;
        }
        let key = Arc::from(key);
        for (stream, name) in request.streams.iter().enumerate() {
            let Some(structure) = uve.value.get(name.struct_name()) else { continue };
            let Some(structure) = structure.as_object() else {
                take(Err(Rejected::Form));
                continue;
            };
            if let Some(attribute) = structure.get(name.attribute()) {
                values(attribute, request.source, |value| {
                    take(value.map(|(source, value)| Reading { key: Arc::clone(&key), stream, source, value }));
                });
            }
        }
    }
    Ok(())
}

/// Returns the names in a list of links, such as the answer to `/analytics/uves/generators`.
///
/// # Errors
///
/// When it is not a list.
pub(super) fn names(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    let links: Vec<&RawValue> = serde_json::from_slice(body)?;
    let links = links.into_iter().filter_map(|link| serde_json::from_str::<Named>(link.get()).ok());
    Ok(links.map(|link| link.name).collect())
}

type Sourced = (Option<Arc<str>>, Number);

/// The values of one attribute: a scalar, or a list of `[value, source, source…]`.
fn values(attribute: &Value, requested: Option<&Arc<str>>, mut take: impl FnMut(Result<Sourced, Rejected>)) {
    let Value::Array(alternatives) = attribute else {
        return take(scalar(attribute).map(|value| (requested.cloned(), value)));
    };
    for alternative in alternatives {
        let Some((value, sources)) = alternative.as_array().and_then(|parts| parts.split_first()) else {
            // A list of something else: an attribute that is not a number.
            return take(Err(Rejected::Form));
        };
        match scalar(value) {
            Err(reason) => take(Err(reason)),
            Ok(_) if sources.is_empty() => take(Err(Rejected::Source)),
            Ok(value) => sources.iter().for_each(|name| take(source(name).map(|source| (Some(source), value)))),
        }
    }
}

fn source(name: &Value) -> Result<Arc<str>, Rejected> {
    let name = name.as_str().filter(|name| name.len() <= MAX_SOURCE_BYTES).ok_or(Rejected::Source)?;
    // Old releases put a lone `:` before the name.
    if name.bytes().all(|byte| byte == b':') { Err(Rejected::Source) } else { Ok(Arc::from(name)) }
}

/// A number, its text, or an element that holds its text.
fn scalar(value: &Value) -> Result<Number, Rejected> {
    match value {
        Value::Object(element) => match element.get("#text") {
            Some(Value::String(text)) => from_text(text),
            Some(Value::Null) => Err(Rejected::Empty),
            Some(_) => Err(Rejected::Form),
            None if element.contains_key("@type") => Err(Rejected::Empty),
            None => Err(Rejected::Form),
        },
        Value::String(text) => from_text(text),
        Value::Number(number) => {
            let whole = number.as_u64().map(Number::U64).or_else(|| number.as_i64().map(Number::I64));
            whole.or_else(|| number.as_f64().map(Number::F64)).ok_or(Rejected::Number)
        }
        Value::Null => Err(Rejected::Empty),
        Value::Bool(_) | Value::Array(_) => Err(Rejected::Form),
    }
}

/// Parses a text as payloads of XML are parsed: the blanks around the number belong to the element.
fn from_text(text: &str) -> Result<Number, Rejected> {
    parse_value(text.trim_matches([' ', '\t', '\r', '\n'])).map_err(|_| Rejected::Number)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const VROUTER: &str = "cmp1:Compute:contrail-vrouter-agent:0";

    fn streams() -> Vec<StreamName> {
        let names = ["egress_flow_count", "ingress_flow_count"];
        names.map(|name| StreamName::new("UveVirtualNetworkAgent", name).unwrap()).to_vec()
    }

    /// What comes of `body`: `stream source value` of each reading, or the reason against it.
    fn read_from(body: &str, source: Option<&Arc<str>>) -> Vec<String> {
        let mut found = Vec::new();
        let request = Request { table: "ObjectVNTable", streams: &streams(), source };
        decode(body.as_bytes(), request, |reading| {
            found.push(match reading {
                Ok(Reading { key, stream, source, value }) => {
                    format!("{key} {stream} {} {value:?}", source.as_deref().unwrap_or("-"))
                }
                Err(reason) => reason.label().to_owned(),
            });
        })
        .unwrap();
        found
    }

    fn read(body: &str) -> Vec<String> {
        read_from(body, None)
    }

    /// A whole answer with one object that has `value` as its number of ingress flows.
    fn page(value: &Value) -> String {
        let value = json!({"UveVirtualNetworkAgent": {"ingress_flow_count": value}});
        json!({"value": [{"name": "default-domain:demo:vn1", "value": value}]}).to_string()
    }

    fn value(value: Value) -> Vec<String> {
        let found = read(&page(&value)).into_iter();
        found.map(|line| line.replace("ObjectVNTable:default-domain:demo:vn1 1 ", "")).collect()
    }

    /// As `dyn_http_get` writes it: objects with a comma and a blank between them.
    #[test]
    fn a_flat_answer_has_the_sum_of_all_sources_of_each_object() {
        let body = r#"{"value": [{"name": "default-domain:demo:vn1", "value": {"UveVirtualNetworkAgent": {"ingress_flow_count": 31, "egress_flow_count": 58}}}, {"name": "default-domain:admin:vn 2", "value": {"UveVirtualNetworkAgent": {"ingress_flow_count": 0}}}]}"#;
        assert_eq!(
            read(body),
            [
                "ObjectVNTable:default-domain:demo:vn1 0 - U64(58)",
                "ObjectVNTable:default-domain:demo:vn1 1 - U64(31)",
                "ObjectVNTable:default-domain:admin:vn 2 1 - U64(0)",
            ]
        );
    }

    #[test]
    fn an_answer_about_one_generator_names_it() {
        let body = page(&json!(31));
        let found = read_from(&body, Some(&Arc::from(VROUTER)));
        assert_eq!(found, [format!("ObjectVNTable:default-domain:demo:vn1 1 {VROUTER} U64(31)")]);
    }

    #[test]
    fn values_that_differ_come_with_their_sources_and_equal_ones_with_several() {
        let flat = json!([[31, "a:Compute:m:0"], [7, "b:Compute:m:0", "c:Compute:m:0"]]);
        let expected = ["a:Compute:m:0 U64(31)", "b:Compute:m:0 U64(7)", "c:Compute:m:0 U64(7)"];
        assert_eq!(value(flat), expected);
        let element = |text: &str| json!({"@type": "u32", "#text": text});
        let full = json!([[element("31"), "a:Compute:m:0"], [element("7"), "b:Compute:m:0", "c:Compute:m:0"]]);
        assert_eq!(value(full), expected);
    }

    #[test]
    fn one_source_alone_is_a_list_too_and_a_sum_is_an_element() {
        assert_eq!(value(json!([[{"@type": "i32", "#text": "3"}, VROUTER]])), [format!("{VROUTER} U64(3)")]);
        assert_eq!(value(json!({"@type": "u32", "@aggtype": "sum", "#text": "31"})), ["- U64(31)"]);
    }

    #[test]
    fn numbers_are_exact_in_every_form() {
        let cases = [
            (json!("31"), "- U64(31)"),
            (json!(" 31\n"), "- U64(31)"),
            (json!("18446744073709551615"), "- U64(18446744073709551615)"),
            (json!(18_446_744_073_709_551_615_u64), "- U64(18446744073709551615)"),
            (json!(-5), "- I64(-5)"),
            (json!("-5"), "- I64(-5)"),
            (json!("-0"), "- U64(0)"),
            (json!(2.5), "- F64(2.5)"),
            (json!("2.5"), "- F64(2.5)"),
            (json!({"@type": "double", "#text": "-1e3"}), "- F64(-1000.0)"),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text.clone()), [expected], "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_has_a_reason() {
        let cases = [
            (json!(null), "empty"),
            (json!({"@type": "u32"}), "empty"),
            (json!({"@type": "u32", "#text": null}), "empty"),
            (json!(""), "number"),
            (json!("many"), "number"),
            (json!("NaN"), "number"),
            (json!("inf"), "number"),
            (json!("1e999"), "number"),
            (json!("18446744073709551616"), "number"),
            (json!(true), "form"),
            (json!({}), "form"),
            (json!({"#text": {"#text": "1"}}), "form"),
            (json!({"list": {"element": ["1"]}}), "form"),
            (json!(["1", "2"]), "form"),
            (json!([[]]), "form"),
            (json!([[[31, "a"], "b"]]), "form"),
            (json!([[31]]), "source"),
            (json!([[31, 7]]), "source"),
            (json!([[31, ""]]), "source"),
            (json!([[31, "x".repeat(1025)]]), "source"),
        ];
        for (text, expected) in cases {
            assert_eq!(value(text.clone()), [expected], "{text}");
        }
    }

    /// A text must be the same sample whether it is polled or comes in a line.
    #[test]
    fn a_polled_text_is_the_number_that_the_intake_takes_from_a_line() {
        let cases = [
            ("+1", None),
            ("-0", Some("0 as U64")),
            (".5", None),
            ("0x10", None),
            ("1_000", None),
            ("1e3", Some("1000.0 as F64")),
            ("1e999", None),
            (" 7", Some("7 as U64")),
            ("007", Some("7 as U64")),
            ("18446744073709551615", Some("18446744073709551615 as U64")),
            ("18446744073709551616", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let shown = |number: Number| format!("{number} as {:?}", number.value_type());
            let polled = from_text(text).ok().map(shown);
            let line = format!("T:a\t<flows timestamp=\"1\">{text}</flows>");
            let line = proxy_uve::wire::line::decode(line.as_bytes()).ok().map(|line| shown(line.value));
            assert_eq!((polled.as_deref(), line.as_deref()), (expected, expected), "{text:?}");
        }
    }

    #[test]
    fn a_bad_value_or_object_does_not_affect_others() {
        assert_eq!(value(json!([[31, "a"], ["x", "b"], [3, "c"]])), ["a U64(31)", "number", "c U64(3)"]);
        assert_eq!(value(json!([[{"#text": "3"}, ":", "a:Schema"]])), ["source", "a:Schema U64(3)"]);
        let good = r#"{"name":"a:b:c","value":{"UveVirtualNetworkAgent":{"egress_flow_count":1}}}"#;
        let deep = "[".repeat(300) + &"]".repeat(300);
        let bad = [
            r#"7"#.to_owned(),
            "null".to_owned(),
            r#"{"value":{}}"#.to_owned(),
            r#"{"name":7,"value":{}}"#.to_owned(),
            r#"{"name":"x","value":[]}"#.to_owned(),
            format!(r#"{{"name":"x","value":{{"UveVirtualNetworkAgent":{deep}}}}}"#),
            format!(r#"{{"name":"{}","value":{{}}}}"#, "x".repeat(100_000)),
        ];
        for bad in bad {
            let body = format!("{{\"value\":[{good},{bad},{good}]}}");
            let one = "ObjectVNTable:a:b:c 0 - U64(1)";
            assert_eq!(read(&body), [one, "object", one], "{}", &bad[..bad.len().min(80)]);
        }
        assert_eq!(read(r#"{"value":[{"name":"x","value":{"UveVirtualNetworkAgent":[1]}}]}"#), ["form", "form"]);
    }

    #[test]
    fn objects_without_the_attribute_give_nothing() {
        let body = r#"{"value":[{"name":"a","value":{}},{"name":"b","value":{"UveVirtualNetworkConfig":{"x":1}}}]}"#;
        assert_eq!(read(body), [""; 0]);
    }

    #[test]
    fn what_is_not_an_answer_is_rejected_as_a_whole() {
        let whole = page(&json!(31));
        let request = Request { table: "ObjectVNTable", streams: &streams(), source: None };
        for body in
            ["", "[]", "{}", "null", r#"{"value":null}"#, "<html>", &whole[..whole.len() - 1], "{\"value\":[\u{0}"]
        {
            assert!(decode(body.as_bytes(), request, |_| panic!("{body} gave something")).is_err(), "{body}");
        }
    }

    #[test]
    fn links_give_their_names() {
        let body = format!(r#"[{{"href":"http://x","name":"{VROUTER}"}}, 7, {{"name":"b"}}]"#);
        assert_eq!(names(body.as_bytes()).unwrap(), [VROUTER, "b"]);
        assert!(names(b"{}").is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[0-9.e:-]{0,8}".prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let names = prop_oneof![
                Just("#text".to_owned()),
                Just("@type".to_owned()),
                Just("name".to_owned()),
                Just("value".to_owned())
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(names, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn property_any_json_as_a_value_gives_readings_or_reasons(json in any_json()) {
            for reading in value(json) {
                prop_assert!(!reading.is_empty());
            }
        }

        #[test]
        fn property_any_json_as_an_answer_never_panics(json in any_json()) {
            let request = Request { table: "ObjectVNTable", streams: &streams(), source: None };
            let _ = decode(json.to_string().as_bytes(), request, |_| ());
            let _ = names(json.to_string().as_bytes());
        }

        #[test]
        fn property_any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let request = Request { table: "ObjectVNTable", streams: &streams(), source: None };
            let _ = decode(&bytes, request, |_| ());
        }

        #[test]
        fn property_a_number_in_text_is_the_number(number in any::<i64>()) {
            prop_assert_eq!(value(json!(number.to_string())), value(json!(number)));
        }
    }
}
