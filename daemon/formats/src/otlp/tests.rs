//! What requests become, by both encodings: one request of the reference implementation, and what is wrong with others.

use proptest::prelude::*;

use super::attributes::Attributes;
use super::*;
use crate::{Integer, SeriesFault};

/// Of `testdata/otlp/make.py`.
const PROTOBUF: &[u8] = include_bytes!("../../testdata/otlp/metrics.pb");
const JSON: &str = include_str!("../../testdata/otlp/metrics.json");

/// The series of a request as text, or why they are not taken.
fn within(encoding: Encoding, body: &[u8], limits: &Limits) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let read = read(encoding, body, limits, |series| {
        found.push(match series {
            Ok(series) => {
                let labels: Vec<_> =
                    series.labels.iter().skip(1).map(|(name, value)| format!("{name}={value}")).collect();
                let samples =
                    series.samples.iter().map(|it| format!("{}@{}/{}", it.value, it.timestamp_ms, it.start_ms));
                let histograms = series
                    .histograms
                    .iter()
                    .map(|it| format!("{},{}@{}/{}", it.count, it.sum, it.timestamp_ms, it.start_ms));
                let points: Vec<_> = samples.chain(histograms).collect();
                format!("{} {:?} {} {}", series.labels.metric(), series.meaning, points.join(" "), labels.join("|"))
            }
            Err(error) => error.to_string(),
        });
    });
    read.map(|()| found).map_err(|error| error.to_string())
}

fn json(body: &str) -> Result<Vec<String>, String> {
    within(Encoding::Json, body.as_bytes(), &Limits::default())
}

#[test]
fn both_encodings_of_the_reference_implementation_give_the_same_series() {
    let target =
        "host_name=h1|instance=a:80|job=shop/cart|otel_scope_color=blue|otel_scope_name=lib|otel_scope_version=1.2";
    let zone = format!("{target}|zone=of the resource");
    let shown =
        "{host_name=\"h1\",instance=\"a:80\",job=\"shop/cart\",otel_scope_color=\"blue\",otel_scope_name=\"lib\",…}";
    let first = "a_b=2;1|bool=true|bytes=AP8=|double=1.5|host_name=h1|instance=a:80|int=-5|job=shop/cart|list=[1,\"x\"]|\
                 map={\"k\":\"v\"}|otel_scope_color=blue|otel_scope_name=lib|otel_scope_version=1.2|zone=of the point";
    let (at, from) = (1_700_000_060_123_i64, 1_700_000_000_000_i64);
    let expected = [
        format!("system_cpu_utilization_ratio Unstated 0.25@{at}/0 {first}"),
        format!("system_cpu_utilization_ratio Unstated NaN@{at}/0 {zone}"),
        format!(
            "series `system_cpu_utilization_ratio{shown}`: a point has no value; send `asDouble` or `asInt`, or the flag \
                 for no recorded value"
        ),
        format!("http_server_requests_total Counter 1027@{at}/{from} {zone}"),
        format!("connections Level -3@{at}/0 {zone}"),
        format!("errors_total Change 2@{at}/{from} {zone}"),
        format!(
            "series `unspecified{shown}`: its aggregation temporality is not stated; send cumulative (2) or delta (1) values"
        ),
        format!("http_server_request_duration_seconds Counter 4,0.5@{at}/{from} {zone}"),
        format!("http_server_request_duration_seconds Counter 2,NaN@{at}/{from} {zone}"),
        format!("sizes_bytes Change 9,90@{at}/0 {zone}"),
        format!("rpc Counter 7,70@{at}/0 {zone}"),
        format!("up Unstated 1@{at}/0 "),
    ];
    for (encoding, body) in [(Encoding::Protobuf, PROTOBUF), (Encoding::Json, JSON.as_bytes())] {
        assert_eq!(within(encoding, body, &Limits::default()).unwrap(), expected, "{encoding:?}");
    }
}

#[test]
fn a_point_without_a_recorded_value_is_the_marker_of_the_end() {
    let body = one(r#"{"timeUnixNano":"5000000","flags":1}"#);
    let mut markers = 0;
    let count = |series: Result<Series<'_>, SeriesError>| {
        let series = series.unwrap();
        markers += series.samples.iter().filter(|point| crate::is_stale_marker(point.value)).count();
    };
    read(Encoding::Json, body.as_bytes(), &Limits::default(), count).unwrap();
    assert_eq!(markers, 1);
}

/// A request with one gauge `g` of one point.
fn one(point: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"name":"g","gauge":{{"dataPoints":[{point}]}}}}]}}]}}]}}"#
    )
}

#[test]
fn integers_are_exact_in_both_encodings() {
    let points = |encoding, body: &[u8]| {
        let mut found = Vec::new();
        let take = |series: Result<Series<'_>, SeriesError>| {
            found.extend(series.unwrap().samples.iter().map(|it| (it.value, it.integer)));
        };
        read(encoding, body, &Limits::default(), take).unwrap();
        found
    };
    let field = |number: u8, content: &[u8]| [&[number << 3 | 2, content.len() as u8], content].concat();
    for (integer, is_rounded) in [(i64::MAX, true), (-(1 << 53) - 1, true), ((1 << 53) - 1, false)] {
        let expected = [(integer as f64, is_rounded.then_some(Integer::Signed(integer)))];
        let text = one(&format!(r#"{{"asInt":"{integer}"}}"#));
        assert_eq!(points(Encoding::Json, text.as_bytes()), expected, "{integer}");
        // `as_int` of the point of a gauge `g`.
        let point = [&[6 << 3 | 1][..], &integer.to_le_bytes()].concat();
        let metric = [field(1, b"g"), field(5, &field(1, &point))].concat();
        let body = field(1, &field(2, &field(2, &metric)));
        assert_eq!(points(Encoding::Protobuf, &body), expected, "{integer}");
    }
}

#[test]
fn a_start_in_the_millisecond_of_its_point_is_before_it() {
    let read = |start: u64| {
        json(&one(&format!(r#"{{"startTimeUnixNano":{start},"timeUnixNano":5000999,"asInt":7}}"#))).unwrap().concat()
    };
    assert_eq!(read(5_000_998), "g Unstated 7@5/4 ");
    assert_eq!(read(5_000_999), "g Unstated 7@5/5 ", "the true start is not known");
    assert_eq!(read(5_001_000), "g Unstated 7@5/5 ", "a start after the point is none");
    assert_eq!(read(4_999_999), "g Unstated 7@5/4 ");
    assert_eq!(read(0), "g Unstated 7@5/0 ");
}

#[test]
fn json_is_read_as_its_mapping_prescribes() {
    let cases = [
        ("{}", &[][..]),
        (r#"{"resourceMetrics":null,"unknown":[1]}"#, &[]),
        (r#"{"resourceMetrics":[{}]}"#, &[]),
        (&one(r#"{"timeUnixNano":5000000,"asInt":7}"#), &["g Unstated 7@5/0 "]),
        (&one(r#"{"timeUnixNano":"5000000","asInt":"7"}"#), &["g Unstated 7@5/0 "]),
        (&one(r#"{"timeUnixNano":"5000000","asDouble":"-Infinity"}"#), &["g Unstated -inf@5/0 "]),
        (&one(r#"{"asDouble":1,"attributes":null,"unknown":{"a":[]}}"#), &["g Unstated 1@0/0 "]),
        (
            &one(r#"{"asDouble":1,"attributes":[{"key":"a\tb","value":{"stringValue":"x\ny"}}]}"#),
            &["g Unstated 1@0/0 a_b=x\ny"],
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(json(body).unwrap(), expected, "{body}");
    }
}

#[test]
fn what_is_not_a_request_is_refused_with_its_place() {
    let cases = [
        ("", "expected an object, found ``"),
        (" []", "expected an object, found `[]`"),
        (r#"{"resourceMetrics":[[]]}"#, "expected an object, found `[]`"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        (r#"{"resourceMetrics":{}}"#, "expected a list"),
        (&one(r#"{"timeUnixNano":true}"#), "true is not a number"),
        (&one(r#"{"asInt":1.5}"#), "`1.5` is not a number of its field"),
        (&one("7"), "expected an object, found `7`"),
    ];
    for (body, expected) in cases {
        let error = json(body).unwrap_err();
        assert!(error.starts_with("the body is not an ExportMetricsServiceRequest in JSON: "), "{body}: {error}");
        assert!(error.contains(expected), "{body}: {error}");
    }
    for body in [&b"\x0a\x05abc"[..], b"{}", b"\x08\x01\x0a\x02\x12\x01"] {
        let error = within(Encoding::Protobuf, body, &Limits::default()).unwrap_err();
        assert!(error.starts_with("the body is not an ExportMetricsServiceRequest in protobuf: at byte "), "{error}");
    }
    // A field of another number is left out, whatever it has.
    assert_eq!(within(Encoding::Protobuf, b"\x10\x01", &Limits::default()), Ok(vec![]));
}

/// A value in so many lists.
fn nested(depth: usize) -> String {
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(depth), "]}}".repeat(depth));
    one(&format!(r#"{{"asInt":1,"attributes":[{{"key":"deep","value":{open}{{"intValue":1}}{close}}}]}}"#))
}

#[test]
fn every_limit_is_held_at_its_bound_and_beyond() {
    let attributes = |count: usize| {
        let list: Vec<_> = (0..count).map(|it| format!(r#"{{"key":"k{it}","value":{{"intValue":1}}}}"#)).collect();
        one(&format!(r#"{{"asInt":1,"attributes":[{}]}}"#, list.join(",")))
    };
    let points = |count: usize| one(&[r#"{"asInt":1}"#].repeat(count).join(","));
    let limits = Limits { labels: 4, samples: 3, series: 2, nesting: 2, series_bytes: 400, ..Limits::default() };
    let read = |body: &str| within(Encoding::Json, body.as_bytes(), &limits);
    assert!(read(&attributes(3)).unwrap()[0].ends_with("k0=1|k1=1|k2=1"));
    assert_eq!(read(&attributes(9)).unwrap(), ["series `g`: it has 9 labels, at most 4 are taken; drop some"]);
    assert_eq!(read(&points(3)).unwrap().len(), 3);
    let error = "the request has more than 3 points; lower the batch size of the exporter";
    assert_eq!(read(&points(4)).unwrap_err(), error);
    assert!(read(&nested(2)).unwrap()[0].ends_with("deep=[[1]]"));
    let error = "series `g`: the value of the attribute `deep` is nested more than 2 times; send plain values";
    assert_eq!(read(&nested(3)).unwrap(), [error]);
    let large = one(&format!(r#"{{"asInt":1,"unknown":"{}"}}"#, "x".repeat(400)));
    assert!(read(&large).unwrap()[0].starts_with("series `g`: it has 424 bytes, at most 400 are taken; "));
    let metrics = r#"{"name":"g","gauge":{}},"#.repeat(3);
    let metrics =
        format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{}]}}]}}]}}"#, metrics.trim_end_matches(','));
    assert_eq!(
        read(&metrics).unwrap_err(),
        "the request has more than 2 metrics; lower the batch size of the exporter"
    );
}

/// A field of protobuf with bytes.
fn field(number: u32, content: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::bytes::encode(number, &content, &mut out);
    out
}

#[test]
fn a_text_of_an_attribute_that_is_not_utf_8_is_the_fault_of_its_points() {
    let attribute = |name: &[u8], text: &[u8]| [field(1, name.to_vec()), field(2, field(1, text.to_vec()))].concat();
    let point = |attribute: Vec<u8>| field(1, [field(7, attribute), b"\x21\0\0\0\0\0\0\xf0\x3f".to_vec()].concat());
    let gauge = |points: Vec<Vec<u8>>| field(2, [field(1, b"g".to_vec()), field(5, points.concat())].concat());
    let resource = |of: Vec<u8>, metrics: Vec<u8>| field(1, [field(1, field(1, of)), field(2, metrics)].concat());
    let (good, bad) = (attribute(b"a", b"b"), b"series `g`: a label is not UTF-8; send names and values in UTF-8");
    let nested = [field(1, b"n".to_vec()), field(2, field(5, field(1, field(1, b"\xff".to_vec()))))].concat();
    let long = attribute(b"\xff", "x".repeat(40_000).as_bytes());
    let points = [&good, &attribute(b"a", b"\xff"), &attribute(b"\xff", b"b"), &nested, &long, &good];
    let body = [
        resource(attribute(b"host", b"h\xff"), gauge(vec![point(good.clone())])),
        resource(good.clone(), gauge(points.into_iter().cloned().map(point).collect())),
    ];
    let found = within(Encoding::Protobuf, &body.concat(), &Limits::default()).unwrap();
    let are_bad: Vec<_> = found.iter().map(|it| it.as_bytes() == bad).collect();
    assert_eq!(are_bad, [true, false, true, true, true, true, false], "{found:?}");
    // What is broken beside the text is the fault of the request.
    let cut = field(1, field(1, field(1, vec![0x0a, 0xff])));
    assert!(within(Encoding::Protobuf, &cut, &Limits::default()).is_err());
}

#[test]
fn deep_nesting_in_protobuf_ends_at_the_limit() {
    // AnyValue in ArrayValue in AnyValue …, the innermost first.
    let request = |depth: usize| {
        let value = (0..depth).fold(vec![0x18, 1], |value, _| field(5, field(1, value)));
        let attribute = field(7, [field(1, b"deep".to_vec()), field(2, value)].concat());
        let point = [attribute, b"\x21\0\0\0\0\0\0\xf0\x3f".to_vec()].concat();
        let metric = [field(1, b"g".to_vec()), field(5, field(1, point))].concat();
        field(1, field(2, field(2, metric)))
    };
    let read = |depth| within(Encoding::Protobuf, &request(depth), &Limits::default()).unwrap();
    assert!(read(8)[0].ends_with("deep=[[[[[[[[1]]]]]]]]"), "{:?}", read(8));
    assert!(read(9)[0].contains("nested more than 8 times"), "{:?}", read(9));
    assert!(read(4000)[0].contains("nested more than 8 times"));
    assert!(read(6000)[0].contains("the value of the label `deep` has "), "too long to be decoded");
}

#[test]
fn a_long_name_of_a_metric_is_refused_and_not_copied_for_each_point() {
    let points = vec![r#"{"asInt":1}"#; 1000].join(",");
    let body = one(&points).replace(r#""name":"g""#, &format!(r#""name":"{}""#, "a.".repeat(1 << 19)));
    let (mut refused, mut copied) = (0, 0);
    let count = |series: Result<Series<'_>, SeriesError>| {
        let error = series.unwrap_err();
        assert!(matches!(error.fault, SeriesFault::LongLabelValue { length: 0x10_0000, .. }), "{:?}", error.fault);
        refused += 1;
        copied += error.series.len();
    };
    read(Encoding::Json, body.as_bytes(), &Limits::default(), count).unwrap();
    assert_eq!(refused, 1000);
    assert!(copied < 100_000, "{copied} bytes of names were copied");
}

#[test]
fn long_labels_of_a_resource_or_a_scope_are_refused_once_and_not_kept() {
    let limits = Limits::default();
    let mut take = |_: Result<Series<'_>, SeriesError>| {};
    let attributes = |name: &str, length: usize| {
        let pairs = vec![(name.to_owned(), "x".repeat(length))];
        Attributes { pairs, count: 1, fault: None }
    };
    let mut points = Points::new(&limits, &mut take);
    points.resource(attributes("zone", limits.label_value_bytes));
    assert!(points.refused().is_none());
    for name in ["zone", "service.name", "service.instance.id"] {
        points.resource(attributes(name, limits.label_value_bytes + 1));
        assert!(matches!(points.refused(), Some(SeriesFault::LongLabelValue { .. })), "{name}");
    }
    points.resource(attributes(&"n".repeat(limits.label_name_bytes + 1), 1));
    assert!(matches!(points.refused(), Some(SeriesFault::LongLabelName { .. })));
    points.resource(Attributes::default());
    assert!(points.refused().is_none());
    points.scope(&"s".repeat(limits.label_value_bytes + 1), "", Attributes::default());
    assert!(matches!(points.refused(), Some(SeriesFault::LongLabelValue { .. })));
}

#[test]
fn an_attribute_that_is_encoded_in_very_many_bytes_is_not_decoded() {
    let attribute = |elements: usize| {
        let values = vec!["{}"; elements].join(",");
        one(&format!(
            r#"{{"asInt":1,"attributes":[{{"key":"list","value":{{"arrayValue":{{"values":[{values}]}}}}}}]}}"#
        ))
    };
    assert!(json(&attribute(10)).unwrap()[0].contains("list=[null"));
    // Were it decoded, the fault would have the length of the text.
    let found = json(&attribute(11_000)).unwrap();
    assert!(found[0].contains("the value of the label `list` has 330"), "{found:?}");
}

#[test]
fn content_types_name_the_encoding() {
    let cases = [
        ("application/x-protobuf", Some(Encoding::Protobuf)),
        ("Application/JSON; charset=utf-8", Some(Encoding::Json)),
        ("application/grpc", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Encoding::of_content_type(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn property_a_cut_or_damaged_request_is_an_error_or_has_no_more_series(
        at in 0..PROTOBUF.len(),
        byte: u8,
        cut in 0..PROTOBUF.len(),
    ) {
        let read = |body: &[u8]| within(Encoding::Protobuf, body, &Limits::default());
        let whole = read(PROTOBUF).unwrap();
        if let Ok(found) = read(&PROTOBUF[..cut]) {
            prop_assert!(whole.starts_with(&found), "{found:?}");
        }
        let mut body = PROTOBUF.to_vec();
        body[at] = byte;
        if let Ok(found) = read(&body) {
            prop_assert!(found.len() <= whole.len(), "{found:?}");
        }
    }
}
