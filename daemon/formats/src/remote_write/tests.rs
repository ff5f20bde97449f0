//! What a request decodes to, and the limits that hold for any bytes.

use proptest::prelude::*;
use prost::Message as _;

use super::encode::{Written, compress, request_1, request_2};
use super::message::{Sample, TimeSeries1, TimeSeries2};
use super::*;
use crate::{HistogramPoint, METRIC_NAME, Point};

const NOW: i64 = 1_700_000_000_000;

fn point(timestamp_ms: i64, value: f64) -> Point {
    Point { timestamp_ms, start_ms: 0, value, integer: None }
}

fn written<'t>(labels: &[(&'t str, &'t str)], samples: &[Point]) -> Written<'t> {
    Written { labels: labels.to_vec(), samples: samples.to_vec(), histograms: Vec::new() }
}

/// The series of a request as text, or why they are not taken.
fn read(version: Version, body: &[u8], limits: Limits) -> Result<Vec<String>, RequestError> {
    let mut found = Vec::new();
    decode(version, body, limits)?.series(|series| {
        found.push(match series {
            Ok(series) => {
                let labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let samples: Vec<_> = series
                    .samples
                    .iter()
                    .map(|it| format!("{}@{}/{}", it.value, it.timestamp_ms, it.start_ms))
                    .collect();
                let histograms =
                    series.histograms.iter().map(|it| format!("{},{}@{}", it.count, it.sum, it.timestamp_ms));
                format!("{} {}", labels.join(","), samples.into_iter().chain(histograms).collect::<Vec<_>>().join(" "))
            }
            Err(error) => error.to_string(),
        });
    })?;
    Ok(found)
}

fn both(series: &[Written<'_>]) -> [Vec<String>; 2] {
    let one = read(Version::V1, &request_1(series), Limits::default()).unwrap();
    let two = read(Version::V2, &request_2(series), Limits::default()).unwrap();
    [one, two]
}

#[test]
fn both_versions_give_the_same_series() {
    let histogram = HistogramPoint { timestamp_ms: NOW, start_ms: 0, count: 3.0, sum: 1.5 };
    let series = [
        written(&[(METRIC_NAME, "up"), ("job", "a")], &[point(NOW, 1.0), point(NOW + 1, 0.5)]),
        written(&[("job", "b"), (METRIC_NAME, "up")], &[point(-5, -1.0)]),
        Written { histograms: vec![histogram], ..written(&[(METRIC_NAME, "h")], &[]) },
        written(&[("job", "b")], &[point(NOW, 1.0)]),
    ];
    let expected = [
        "__name__=up,job=a 1@1700000000000/0 0.5@1700000000001/0",
        "__name__=up,job=b -1@-5/0",
        "__name__=h 3,1.5@1700000000000",
        "series `{job=\"b\"}`: the label `__name__` is missing or empty; name the metric",
    ];
    for found in both(&series) {
        assert_eq!(found, expected);
    }
}

#[test]
fn the_start_of_a_counter_is_that_of_the_sample_or_of_the_series() {
    let sample = |start_timestamp| Sample { value: 1.0, timestamp: NOW, start_timestamp };
    let series = TimeSeries2 {
        label_references: vec![1, 2],
        samples: vec![sample(0), sample(7)],
        histograms: Vec::new(),
        created_timestamp: 5,
    };
    let mut body = Vec::new();
    for symbol in ["", METRIC_NAME, "up"] {
        prost::encoding::string::encode(4, &symbol.to_owned(), &mut body);
    }
    prost::encoding::message::encode(5, &series, &mut body);
    let found = read(Version::V2, &body, Limits::default()).unwrap();
    assert_eq!(found, ["__name__=up 1@1700000000000/5 1@1700000000000/7"]);
}

#[test]
fn faults_of_references_and_texts_are_those_of_one_series() {
    let series = |references: &[u32]| TimeSeries2 {
        label_references: references.to_vec(),
        samples: Vec::new(),
        histograms: Vec::new(),
        created_timestamp: 0,
    };
    let mut body = Vec::new();
    for symbol in [&b""[..], b"__name__", b"up", b"\xff"] {
        prost::encoding::bytes::encode(4, &symbol.to_vec(), &mut body);
    }
    for references in [&[1, 2][..], &[1], &[1, 9], &[1, 3], &[1, 2, 2, 3], &[3, 2, 1, 2], &[1, 2, 2]] {
        prost::encoding::message::encode(5, &series(references), &mut body);
    }
    let found = read(Version::V2, &body, Limits::default()).unwrap();
    let expected = [
        "__name__=up ",
        "a series without a name: it has 1 references to names and values of labels; send an even number",
        "a series without a name: it refers to symbol 9, but the request has 4; send all symbols",
        "a series without a name: a label is not UTF-8; send names and values in UTF-8",
        "series `up`: a label is not UTF-8; send names and values in UTF-8",
        "series `up`: a label is not UTF-8; send names and values in UTF-8",
        "series `up`: it has 3 references to names and values of labels; send an even number",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_label_of_version_1_that_is_not_utf_8_is_the_fault_of_a_series_that_is_named() {
    let label = |name: &[u8], value: &[u8]| {
        let mut label = Vec::new();
        prost::encoding::bytes::encode(1, &name.to_vec(), &mut label);
        prost::encoding::bytes::encode(2, &value.to_vec(), &mut label);
        label
    };
    let mut series = Vec::new();
    for label in [label(b"__name__", b"c_total"), label(b"job", b"\xff")] {
        prost::encoding::bytes::encode(1, &label, &mut series);
    }
    let mut body = Vec::new();
    prost::encoding::bytes::encode(1, &series, &mut body);
    let found = read(Version::V1, &body, Limits::default()).unwrap();
    assert_eq!(found, ["series `c_total`: a label is not UTF-8; send names and values in UTF-8"]);
}

#[test]
fn the_wrong_content_type_and_other_bytes_are_errors_of_the_request() {
    let series = [written(&[(METRIC_NAME, "up")], &[point(NOW, 1.0)])];
    let refused = |version, body: &[u8]| read(version, body, Limits::default()).unwrap_err().to_string();
    assert_eq!(
        refused(Version::V1, &request_2(&series)),
        "the Content-Type names prometheus.WriteRequest, but the body is io.prometheus.write.v2.Request; send the \
         Content-Type of the message"
    );
    assert!(refused(Version::V2, &request_1(&series)).contains("but the body is prometheus.WriteRequest"));
    for version in [Version::V1, Version::V2] {
        let error = refused(version, b"\x0a\xff\xff\x03x");
        assert!(error.contains("at byte 0: field 1 claims 65535 bytes, 1 are left"), "{error}");
    }
    let error = refused(Version::V1, b"\x0a\x02\x0a\x07");
    assert!(error.contains("series 1: "), "{error}");
    // Metadata alone is a request without series.
    assert_eq!(read(Version::V1, b"\x1a\x02\x08\x01", Limits::default()).unwrap(), [""; 0]);
    assert_eq!(read(Version::V1, b"", Limits::default()).unwrap(), [""; 0]);
}

#[test]
fn every_limit_is_held_at_its_bound_and_beyond() {
    let series = [written(&[(METRIC_NAME, "a")], &[point(1, 1.0), point(2, 1.0)]), written(&[(METRIC_NAME, "b")], &[])];
    let (one, two) = (request_1(&series), request_2(&series));
    let wide = Limits::default();
    type Set = fn(&mut Limits, usize);
    let cases: [(&str, Set, usize, Version, &[u8]); 3] = [
        ("more than 1 series", |limits, to| limits.series = to, 2, Version::V1, &one),
        ("more than 1 samples", |limits, to| limits.samples = to, 2, Version::V1, &one),
        ("more than 3 symbols", |limits, to| limits.symbols = to, 4, Version::V2, &two),
    ];
    for (expected, set, enough, version, body) in cases {
        let mut limits = wide;
        set(&mut limits, enough);
        assert!(read(version, body, limits).is_ok(), "{expected}");
        set(&mut limits, enough - 1);
        let error = read(version, body, limits).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_series_with_too_many_bytes_is_rejected_and_the_others_are_taken() {
    let long = "x".repeat(300);
    let series = [
        written(&[(METRIC_NAME, "a"), ("long", &long)], &[point(1, 1.0)]),
        written(&[(METRIC_NAME, "b")], &[point(1, 1.0)]),
        written(&[(METRIC_NAME, "c")], &vec![point(1, 1.0); 40]),
    ];
    let limits = Limits { series_bytes: 300, ..Limits::default() };
    let is_too_large = |text: &str, name: &str| text.starts_with(&format!("series `{name}`: it has "));
    let found = read(Version::V1, &request_1(&series), limits).unwrap();
    assert!(is_too_large(&found[0], "a") && is_too_large(&found[2], "c") && found.len() == 3, "{found:?}");
    // The label is in the symbols.
    let found = read(Version::V2, &request_2(&series), limits).unwrap();
    assert!(found[0].contains("long=xxx") && is_too_large(&found[2], "c") && found.len() == 3, "{found:?}");
}

#[test]
fn a_body_is_decompressed_within_the_limit_only() {
    let text = vec![b'x'; 100_000];
    let body = compress(&text);
    let limits = |body_bytes| Limits { body_bytes, ..Limits::default() };
    assert!(decompress(&body, &limits(100_000)).unwrap() == text);
    assert_eq!(decompress(&body, &limits(99_999)), Err(RequestError::TooLarge { found: 100_000, limit: 99_999 }));
    for other in [&b""[..], b"\x05abc", &body[..body.len() - 1]] {
        assert!(matches!(decompress(other, &limits(1 << 20)), Err(RequestError::NotSnappy { .. })), "{other:?}");
    }
    // A body that claims more than there can be takes no memory.
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
    assert!(matches!(decompress(&claim, &limits(1 << 20)), Err(RequestError::TooLarge { .. })));
}

#[test]
fn content_types_name_the_version() {
    let cases = [
        ("", Some(Version::V1)),
        ("application/x-protobuf", Some(Version::V1)),
        ("Application/X-Protobuf; proto=prometheus.WriteRequest", Some(Version::V1)),
        ("application/x-protobuf; charset=utf-8; proto=\"io.prometheus.write.v2.Request\"", Some(Version::V2)),
        ("application/x-protobuf;proto=io.prometheus.write.v3.Request", None),
        ("text/plain", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Version::of_content_type(text), expected, "{text}");
    }
}

proptest! {
    #[test]
    fn property_any_labels_come_back_sorted_in_both_versions(
        labels in prop::collection::btree_map("[a-z]{1,4}", ".{1,6}", 0..6),
        values in prop::collection::vec(any::<f64>().prop_filter("comparable", |value| !value.is_nan()), 0..4),
    ) {
        let mut pairs: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).rev().collect();
        pairs.push((METRIC_NAME, "m"));
        let points: Vec<_> = (0..).zip(&values).map(|(at, value)| point(at, *value)).collect();
        let series = [written(&pairs, &points)];
        let [one, two] = both(&series);
        pairs.sort_unstable();
        let expected: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        prop_assert!(one[0].starts_with(&format!("{} ", expected.join(","))), "{:?}", one);
        prop_assert_eq!(one, two);
    }
}

/// A field of a message with a length, of less than 128 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
}

#[test]
fn exemplars_and_metadata_are_left_out() {
    let sample = Sample { value: 1.0, timestamp: NOW, start_timestamp: 0 };
    // 2.5 in the field 2, a time in 3.
    let value = [&[0x11][..], &2.5_f64.to_le_bytes(), &[0x18, 7]].concat();
    let label = |name: &str, value: &str| [field(1, name.as_bytes()), field(2, value.as_bytes())].concat();
    let of_1 = TimeSeries1 { labels: Vec::new(), samples: vec![sample], histograms: Vec::new() }.encode_to_vec();
    let exemplar = [field(1, &label("trace_id", "abc")), value.clone()].concat();
    let of_1 = [field(1, &label(METRIC_NAME, "up")), field(3, &exemplar), of_1].concat();
    let metadata = [&[0x08, 1][..], &field(2, b"up"), &field(4, b"help")].concat();
    let one = [field(3, &metadata), field(1, &of_1)].concat();
    let of_2 = TimeSeries2 { label_references: vec![1, 2], samples: vec![sample], ..TimeSeries2::default() };
    let exemplar = [field(1, &[3, 4]), value].concat();
    let of_2 = [field(4, &exemplar), field(5, &[0x08, 1, 0x18, 5]), of_2.encode_to_vec()].concat();
    let symbols = ["", METRIC_NAME, "up", "trace_id", "abc", "help"].map(|symbol| field(4, symbol.as_bytes()));
    let two = [symbols.concat(), field(5, &of_2)].concat();
    for (version, body) in [(Version::V1, one), (Version::V2, two)] {
        assert_eq!(read(version, &body, Limits::default()).unwrap(), ["__name__=up 1@1700000000000/0"], "{version:?}");
    }
}
