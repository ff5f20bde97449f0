//! What becomes of series, and what is wrong with a stream.

use std::collections::BTreeMap;

use daemon_formats::json_fields::{FieldsConfig, OneOrMore};
use daemon_formats::{HistogramPoint, Integer, Labels, Limits, METRIC_NAME, Meaning, Point, STALE_MARKER};
use daemon_log::AppendBatch;
use derived_stats::ValueType;

use super::*;
use crate::intake::PayloadForm;
use crate::intake::tests::intake_of;

const NOW_MS: i64 = 1_700_000_000_000;

fn config(metric: &str, object: &[&str], kind: Kind) -> StreamConfig {
    StreamConfig {
        name: "http-requests".to_owned(),
        metric: metric.to_owned(),
        object: object.iter().map(|label| (*label).to_owned()).collect(),
        kind,
        aggregations: vec!["AggProxySum".to_owned()],
        ..StreamConfig::default()
    }
}

fn labels<'t>(pairs: &[(&'t str, &'t str)]) -> Labels<'t> {
    Labels::new(pairs.to_vec(), &Limits::default()).unwrap()
}

fn key_and_source(rule: &Rule, labels: &Labels<'_>) -> (Option<String>, Option<String>) {
    let series = Series { labels, meaning: Meaning::Unstated, samples: &[], histograms: &[] };
    let mapped = Mapping::explain(std::slice::from_ref(rule), &series).remove(0);
    (mapped.key, mapped.source)
}

/// What a series with these points adds: the tally, and the number of records.
fn pushed(
    config: &StreamConfig,
    value_type: ValueType,
    samples: &[Point],
    histograms: &[HistogramPoint],
) -> (Tally, u64) {
    pushed_as(Meaning::Unstated, config, value_type, samples, histograms)
}

/// The same for a series whose sender states what its values are.
fn pushed_as(
    meaning: Meaning,
    config: &StreamConfig,
    value_type: ValueType,
    samples: &[Point],
    histograms: &[HistogramPoint],
) -> (Tally, u64) {
    let rule = Rule::compile(config).unwrap();
    let intake = intake_of(&[(rule.stream().clone(), 3)], value_type, PayloadForm::Stored);
    let mapping = Mapping::new(&[rule], &intake, Duration::from_secs(30), Arc::default(), Arc::default());
    let mut batch = AppendBatch::new(NOW_MS as u64 * 1000);
    let mut writer = Writer::new(&mapping, &intake, &mut batch);
    let labels = labels(&[(METRIC_NAME, "m"), ("job", "a"), ("code", "200")]);
    writer.push(&Series { labels: &labels, meaning, samples, histograms });
    let tally = writer.tally;
    (tally, batch.len())
}

fn point(value: f64) -> Point {
    Point { timestamp_ms: NOW_MS, start_ms: 0, value, integer: None }
}

#[test]
fn values_that_the_kind_of_the_stream_would_count_wrongly_are_rejected() {
    let points = [point(1.0), point(2.0)];
    let cases = [
        (Kind::Counter, Meaning::Counter, None),
        (Kind::Counter, Meaning::Unstated, None),
        (Kind::Counter, Meaning::Change, Some("its values are deltas, and the stream has kind = \"counter\"")),
        (Kind::Counter, Meaning::Level, Some("its sum is not monotonic, and the stream has kind = \"counter\"")),
        (Kind::Delta, Meaning::Change, None),
        (Kind::Delta, Meaning::Unstated, None),
        (Kind::Delta, Meaning::Counter, Some("its values are cumulative, and the stream has kind = \"delta\"")),
        (Kind::Delta, Meaning::Level, Some("its sum is not monotonic, and the stream has kind = \"delta\"")),
        (Kind::Gauge, Meaning::Counter, None),
        (Kind::Gauge, Meaning::Change, None),
        (Kind::Gauge, Meaning::Level, None),
    ];
    for (kind, meaning, expected) in cases {
        let config = config("m", &["job"], kind);
        let (tally, records) = pushed_as(meaning, &config, ValueType::F64, &points, &[]);
        let case = format!("{kind:?}, {meaning:?}: {tally:?}");
        let rejected = if expected.is_some() { 2 } else { 0 };
        assert_eq!((tally.rejected, tally.rejected_samples, records), (rejected, rejected, 2 - rejected), "{case}");
        let reason = tally.reasons.first().map(String::as_str).unwrap_or_default();
        assert_eq!(reason.is_empty(), expected.is_none(), "{case}");
        assert!(reason.contains(expected.unwrap_or_default()), "{case}");
    }
}

#[test]
fn the_labels_of_the_object_make_the_key_and_the_others_the_source_of_a_counter() {
    let labels = labels(&[
        (METRIC_NAME, "http_requests_total"),
        ("job", "a,b"),
        ("instance", "h:80"),
        ("code", "200"),
        ("path", "/\"x\""),
        ("__replica__", "r1"),
    ]);
    let rule = |metric: &str, object: &[&str], kind| Rule::compile(&config(metric, object, kind)).unwrap();
    let source = r#"code="200",path="/\"x\"""#;
    let one = rule("http_requests_total", &["job"], Kind::Counter);
    let with_instance = r#"code="200",instance="h:80",path="/\"x\"""#.to_owned();
    assert_eq!(key_and_source(&one, &labels), (Some("Service:a,b".to_owned()), Some(with_instance)));
    let two = rule("http_requests_total", &["job", "instance"], Kind::Counter);
    assert_eq!(key_and_source(&two, &labels), (Some(r"Service:a\,b,h:80".to_owned()), Some(source.to_owned())));
    let glob = rule("http_*", &["job", "instance"], Kind::Counter);
    let with_metric = format!("http_requests_total,{source}");
    assert_eq!(key_and_source(&glob, &labels), (Some(r"Service:a\,b,h:80".to_owned()), Some(with_metric)));
    let by_metric = rule("http_*", &[METRIC_NAME], Kind::Gauge);
    assert_eq!(key_and_source(&by_metric, &labels), (Some("Service:http_requests_total".to_owned()), None));
    let absent = rule("http_*", &["zone", "rack"], Kind::Gauge);
    assert_eq!(key_and_source(&absent, &labels), (None, None));
}

#[test]
fn a_source_is_bounded_and_different_series_keep_different_ones() {
    let rule = Rule::compile(&config("m", &["job"], Kind::Counter)).unwrap();
    let of = |end: &str| {
        let long = format!("{}{end}", "é".repeat(1000));
        key_and_source(&rule, &labels(&[(METRIC_NAME, "m"), ("job", "a"), ("path", &long)])).1.unwrap()
    };
    let (one, other) = (of("a"), of("b"));
    assert!(one != other && one == of("a"));
    for source in [&one, &other] {
        assert!(source.len() <= proxy_uve::wire::MAX_SOURCE_BYTES && source.len() > 900, "{}", source.len());
    }
    assert!(of("").contains('#'));
}

#[test]
fn a_stream_takes_its_metric_where_all_conditions_are_met() {
    let mut config = config("http_*_total", &["job"], Kind::Counter);
    config.conditions = BTreeMap::from([("code", "5.."), ("env", "prod"), ("zone", "")])
        .into_iter()
        .map(|(label, text)| (label.to_owned(), text.to_owned()))
        .collect();
    let rule = Rule::compile(&config).unwrap();
    let takes = |metric: &str, code: &str, env: &str, zone: &str| {
        let pairs = [(METRIC_NAME, metric), ("job", "a"), ("code", code), ("env", env), ("zone", zone)];
        rule.takes(metric, &labels(&pairs))
    };
    assert!(takes("http_x_total", "503", "prod", ""));
    let others = [
        ("http_x_sum", "503", "prod", ""),
        ("xhttp_x_total", "503", "prod", ""),
        ("http_x_total", "5031", "prod", ""),
        ("http_x_total", "503", "production", ""),
        ("http_x_total", "503", "prod", "z"),
    ];
    for (metric, code, env, zone) in others {
        assert!(!takes(metric, code, env, zone), "{metric} {code} {env} {zone}");
    }
}

#[test]
fn what_is_no_reading_adds_nothing_and_what_no_stream_takes_is_left_out() {
    let counter = config("m", &["job"], Kind::Counter);
    let points = [1.0, f64::NAN, f64::INFINITY, f64::from_bits(STALE_MARKER)].map(point);
    let (tally, records) = pushed(&counter, ValueType::F64, &points, &[]);
    let expected = Tally { samples: 4, stored: 1, not_finite: 2, stale: 1, ..Tally::default() };
    assert_eq!((tally, records), (expected, 1));
    let (tally, records) = pushed(&config("other", &["job"], Kind::Counter), ValueType::F64, &points, &[]);
    assert_eq!((tally, records), (Tally { samples: 4, unmatched: 4, ..Tally::default() }, 0));
    let (tally, records) = pushed(&config("m", &["zone"], Kind::Counter), ValueType::F64, &points, &[]);
    assert_eq!((tally, records), (Tally { samples: 4, unmatched: 4, ..Tally::default() }, 0));
}

#[test]
fn a_recent_start_of_a_counter_is_a_reading_of_zero() {
    let started = |before: i64| Point { start_ms: NOW_MS - before, ..point(5.0) };
    let records = |kind, point| pushed(&config("m", &["job"], kind), ValueType::F64, &[point], &[]).1;
    assert_eq!(records(Kind::Counter, started(0)), 1, "a true reset point has the total of an unknown start");
    assert_eq!(records(Kind::Counter, started(1)), 2);
    assert_eq!(records(Kind::Counter, started(300_000)), 2);
    assert_eq!(records(Kind::Counter, started(300_001)), 1, "its growth is of no window");
    assert_eq!(records(Kind::Counter, started(-1)), 1, "a start after the sample is none");
    assert_eq!(records(Kind::Counter, point(5.0)), 1);
    assert_eq!(records(Kind::Gauge, started(0)), 1);
}

#[test]
fn a_histogram_is_its_count_and_its_sum() {
    let histogram = |count, sum| HistogramPoint { timestamp_ms: NOW_MS, start_ms: 0, count, sum };
    let both = config("m_*", &["job"], Kind::Counter);
    let (tally, records) = pushed(&both, ValueType::F64, &[], &[histogram(3.0, 1.5)]);
    assert_eq!((tally, records), (Tally { histograms: 1, stored: 2, ..Tally::default() }, 2));
    let (tally, records) =
        pushed(&config("m_count", &["job"], Kind::Counter), ValueType::F64, &[], &[histogram(3.0, 1.5)]);
    assert_eq!((tally, records), (Tally { histograms: 1, stored: 1, ..Tally::default() }, 1));
    let (tally, records) = pushed(&config("m", &["job"], Kind::Counter), ValueType::F64, &[], &[histogram(3.0, 1.5)]);
    assert_eq!((tally, records), (Tally { histograms: 1, unmatched: 1, ..Tally::default() }, 0));
    let (tally, records) = pushed(&both, ValueType::F64, &[], &[histogram(0.0, f64::from_bits(STALE_MARKER))]);
    assert_eq!((tally, records), (Tally { histograms: 1, stale: 2, ..Tally::default() }, 0));
}

#[test]
fn a_sample_that_can_never_be_taken_is_rejected_with_series_and_reason() {
    let late = Point { timestamp_ms: NOW_MS + 3_600_000, ..point(1.0) };
    let old = Point { timestamp_ms: -1, ..point(1.0) };
    let (tally, records) = pushed(&config("m", &["job"], Kind::Gauge), ValueType::F64, &[late, point(1.0), old], &[]);
    assert_eq!((tally.rejected, tally.rejected_samples, tally.stored, records), (2, 2, 1, 1));
    assert!(tally.reasons[0].starts_with("series `m{"), "{:?}", tally.reasons);
    assert!(tally.reasons[0].contains("job=\"a\""), "{:?}", tally.reasons);
    assert!(tally.reasons[0].contains("}` of Service:a in stream http_requests-m: "), "{:?}", tally.reasons);
    assert!(tally.reasons[1].contains("the timestamp -1 ms is before 2001-01-01"), "{:?}", tally.reasons);
    let (tally, _) = pushed(&config("m", &["job"], Kind::Gauge), ValueType::U64, &[point(0.5)], &[]);
    assert!(tally.reasons[0].contains("0.5") && tally.reasons[0].contains("u64"), "{:?}", tally.reasons);
}

#[test]
fn an_integer_of_64_bits_is_stored_exactly_where_the_type_has_it() {
    let [unsigned, signed] = [Integer::Unsigned(u64::MAX), Integer::Signed(-(1 << 53) - 1)];
    let of = |integer, value| Point { integer: Some(integer), ..point(value) };
    let points = [of(unsigned, u64::MAX as f64), of(signed, -9_007_199_254_740_992.0)];
    for (value_type, stored) in [(ValueType::U64, 1), (ValueType::I64, 1), (ValueType::F64, 2)] {
        let (tally, _) = pushed(&config("m", &["job"], Kind::Gauge), value_type, &points, &[]);
        assert_eq!((tally.stored, tally.rejected_samples), (stored, 2 - stored), "{value_type}: {:?}", tally.reasons);
    }
    let (tally, _) = pushed(&config("m", &["job"], Kind::Gauge), ValueType::U64, &[point(1e19)], &[]);
    assert!(tally.reasons[0].contains("from 2^53 on"), "{:?}", tally.reasons);
}

#[test]
fn a_value_that_does_not_fit_has_the_remedy_of_a_stream() {
    let integer = |integer, value| Point { integer: Some(integer), ..point(value) };
    let cases = [
        (TypeName::U64, point(-1.0), "write type = \"i64\" in the stream"),
        (TypeName::U64, point(0.5), "write type = \"f64\" in the stream"),
        (
            TypeName::U64,
            point(1e19),
            "from 2^53 on is not an exact integer: write type = \"f64\" in the stream, or send",
        ),
        (TypeName::I64, integer(Integer::Unsigned(u64::MAX), u64::MAX as f64), "write type = \"u64\" in the stream"),
    ];
    for (value_type, point, remedy) in cases {
        let config = StreamConfig { value_type, ..config("m", &["job"], Kind::Gauge) };
        let (tally, _) = pushed(&config, value_type.value_type(), &[point], &[]);
        let [reason] = tally.reasons.as_slice() else { panic!("{tally:?}") };
        assert!(reason.ends_with(remedy) || reason.contains(&format!("{remedy} ")), "{reason}");
        assert!(!reason.contains("raw field"), "{reason}");
    }
}

/// A change that makes a stream wrong, and the problem that is named.
type Wrong = (fn(&mut StreamConfig), &'static str);

const WRONG: [Wrong; 12] = [
    (|it| it.name.clear(), "name: the stream has no name; name it, such as \"http-requests\""),
    (|it| it.name = "a b".to_owned(), "name: ' ' in \"a b\" is not allowed; use letters, digits, `_`, `-` and `.`"),
    (|it| it.name = "1a".to_owned(), "name: \"1a\" begins with a digit; begin with a letter"),
    (|it| it.metric.clear(), "metric: no metric is named; name one, such as \"http_requests_total\", or a glob"),
    (|it| it.metric = "1m".to_owned(), "metric: \"1m\" begins with a digit, which no metric does; correct it"),
    (
        |it| it.object.clear(),
        "object: no label is named that makes the object; write some, such as [\"job\", \"instance\"]; [\"__name__\"] \
         makes one object of all series",
    ),
    (|it| it.object.push("job".to_owned()), "object: the label `job` is there twice; keep one"),
    (|it| it.object.push(String::new()), "object: a label without a name; remove it"),
    (
        |it| it.object.push("__replica__".to_owned()),
        "object: `__replica__` tells apart the copies of one sender; remove it",
    ),
    (|it| it.table = "a:b".to_owned(), "table: \"a:b\" is not a table; name one without `:`, such as \"Service\""),
    (
        |it| it.conditions = BTreeMap::from([("code".to_owned(), "5)".to_owned())]),
        "where: the condition on `code`: \"5)\" is not a regular expression: unopened group; correct it, or escape \
         with `\\\\`",
    ),
    (
        |it| it.aggregations.clear(),
        "aggregations: nothing is computed; name a proxy type or an annotation, such as [\"AggProxySum\"] or \
         [\"1.DSSum-raw:DSAnomaly:EWM:0.1\"]",
    ),
];

/// The problems of a stream with a change.
fn problems(change: fn(&mut StreamConfig)) -> String {
    let mut config = config("m", &["job"], Kind::Gauge);
    change(&mut config);
    let problems = Rule::compile(&config).expect_err("a problem").into_iter();
    problems.map(|problem| format!("{}: {}", problem.key, problem.message)).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_problem_of_a_stream_is_named_with_its_key() {
    for (change, expected) in WRONG {
        assert_eq!(problems(change), expected);
    }
    assert_eq!(problems(|it| *it = StreamConfig::default()).lines().count(), 4, "all at once");
}

/// What replicas `a` and `b` of a pair add to a stream: for each request, as the replica, the time of its arrival, and that of
/// its sample in milliseconds after the start, whether the sample is stored.
fn stored_of_replicas(kind: Kind, requests: &[(&str, i64, i64)]) -> Vec<u64> {
    stored_with(Arc::default(), kind, requests)
}

fn stored_with(elections: Arc<Elections>, kind: Kind, requests: &[(&str, i64, i64)]) -> Vec<u64> {
    let rule = Rule::compile(&config("m", &["job"], kind)).unwrap();
    let intake = intake_of(&[(rule.stream().clone(), 3)], ValueType::F64, PayloadForm::Stored);
    let mapping = Mapping::new(&[rule], &intake, Duration::from_secs(30), elections, Arc::default());
    let send = |&(replica, arrived, taken): &(&str, i64, i64)| {
        let mut batch = AppendBatch::new((NOW_MS + arrived) as u64 * 1000);
        let mut writer = Writer::new(&mapping, &intake, &mut batch);
        let labels = labels(&[(METRIC_NAME, "m"), ("job", "a"), ("cluster", "c"), ("__replica__", replica)]);
        let samples = [Point { timestamp_ms: NOW_MS + taken, ..point(1.0) }];
        writer.push(&Series { labels: &labels, meaning: Meaning::Unstated, samples: &samples, histograms: &[] });
        let Tally { samples, stored, replicas, unmatched, rejected, .. } = writer.tally;
        assert_eq!((samples, stored + replicas, unmatched, rejected), (1, 1, 0, 0), "{kind:?} {replica}");
        batch.len()
    };
    requests.iter().map(send).collect()
}

#[test]
fn one_replica_counts_until_it_is_silent_whatever_the_kind() {
    let requests = [
        ("a", 0, 0),
        ("b", 1, 1),
        ("a", 2, 2),
        ("b", 60_000, 60_000),
        ("b", 100_000, 100_000),
        ("a", 100_001, 100_001),
    ];
    for kind in [Kind::Gauge, Kind::Delta, Kind::Counter] {
        assert_eq!(stored_of_replicas(kind, &requests), [1, 0, 1, 0, 1, 0], "{kind:?}");
    }
}

#[test]
fn a_reading_that_may_be_lower_than_the_last_one_of_the_former_replica_is_left_out() {
    // The second replica catches up: its first readings may be of the time of the last one of the first replica.
    let requests =
        [("a", 0, 0), ("b", 200_000, 500), ("b", 200_001, 9_999), ("b", 200_002, 15_000), ("b", 200_003, 600)];
    assert_eq!(stored_of_replicas(Kind::Counter, &requests), [1, 0, 0, 1, 0]);
    assert_eq!(stored_of_replicas(Kind::Gauge, &requests), [1, 1, 1, 1, 1]);
}

#[test]
fn after_a_start_a_new_replica_counts_with_readings_that_are_clearly_newer_than_it() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ELECTIONS"), "[\"c\",\"a\"]\n").unwrap();
    let start = || Arc::new(Elections::read(directory.path(), NOW_MS as u64 * 1000));
    // The former replica is silent. What the other one sends late may be older than its last reading.
    let requests = [("b", 100_000, -500), ("b", 100_001, 9_999), ("b", 100_002, 15_000), ("b", 100_003, 600)];
    let elections = start();
    assert_eq!(stored_with(Arc::clone(&elections), Kind::Counter, &requests), [0, 0, 1, 0]);
    assert_eq!((elections.counts().clusters, elections.counts().takeovers), (1, 1));
    // A change of the streams forgets nothing.
    assert_eq!(stored_with(elections, Kind::Counter, &[("b", 100_004, 601), ("b", 100_005, 15_001)]), [0, 1]);
    assert_eq!(stored_with(start(), Kind::Gauge, &requests), [1, 1, 1, 1]);
    // The elected one goes on with what it had not sent.
    assert_eq!(stored_with(start(), Kind::Counter, &[("a", 1, -500), ("a", 2, 2)]), [1, 1]);
}

#[test]
fn a_time_that_is_ahead_is_named_in_the_unit_of_the_protocol() {
    let ahead = Point { timestamp_ms: NOW_MS + 3_600_000, ..point(1.0) };
    let (tally, _) = pushed(&config("m", &["job"], Kind::Gauge), ValueType::F64, &[ahead], &[]);
    let [reason] = tally.reasons.as_slice() else { panic!("{tally:?}") };
    assert!(reason.contains("1700003600000 ms is 3600 s ahead") && reason.contains("nanoseconds in OTLP"), "{reason}");
    assert!(!reason.contains("http.time_unit"), "{reason}");
}

#[test]
fn a_stream_with_a_topic_takes_no_series_and_has_problems_of_its_own() {
    let fields = FieldsConfig {
        key: OneOrMore::One("host.name".to_owned()),
        time: "ts".to_owned(),
        value: "load".to_owned(),
        ..FieldsConfig::default()
    };
    let good = || StreamConfig {
        topic: Some("collectd".to_owned()),
        fields: Some(fields.clone()),
        ..config("load", &[], Kind::Gauge)
    };
    let rule = Rule::compile(&good()).unwrap();
    assert_eq!((rule.topic(), rule.messages().map(|(table, ..)| table)), (Some("collectd"), Some("Service")));
    let labels = labels(&[(METRIC_NAME, "load"), ("host.name", "a")]);
    assert!(!rule.takes("load", &labels));
    assert_eq!(rule.refusal("load", &labels).unwrap(), "its input is the topic collectd, and no series");
    assert_eq!(
        rule.words(),
        "http_requests-load: takes the messages of the topic collectd on Kafka; an object of the table Service for each \
         value of host.name; the samples are plain values (f64)"
    );
    let cases: [Wrong; 6] = [
        (|it| it.topic = Some("a b".to_owned()), "topic: \"a b\" is no topic"),
        (|it| it.object.push("job".to_owned()), "object: messages have no labels"),
        (
            |it| it.conditions = BTreeMap::from([("a..b".to_owned(), "c".to_owned())]),
            "where: the condition on `a..b`: ",
        ),
        (|it| it.metric = "load*".to_owned(), "metric: it names the values"),
        (|it| it.fields = None, "fields: where the parts of a sample are is not known"),
        (|it| it.fields = Some(FieldsConfig::default()), "fields: `time`: no path is named"),
    ];
    for (change, expected) in cases {
        let mut config = good();
        change(&mut config);
        let found = Rule::compile(&config).expect_err("a problem");
        let found: Vec<_> = found.iter().map(|problem| format!("{}: {}", problem.key, problem.message)).collect();
        assert!(found[0].starts_with(expected), "{expected}: {found:?}");
    }
    assert!(problems(|it| it.fields = Some(FieldsConfig::default())).starts_with("fields: there is no topic"));
}

/// The samples that a sender's points become, each in a request of its own, as milliseconds after [`NOW_MS`] and value.
/// The points are the start of the counter and the time of the reading in seconds before the arrival, and the value.
fn readings(meaning: Meaning, points: &[(i64, i64, f64)]) -> Vec<(i64, f64)> {
    let rule = Rule::compile(&config("m", &["job"], Kind::Counter)).unwrap();
    let intake = intake_of(&[(rule.stream().clone(), 3)], ValueType::F64, PayloadForm::Stored);
    let processes: Arc<Processes> = Arc::default();
    let mut readings = Vec::new();
    for (start, at, value) in points {
        // A change of the configuration before each request.
        let (rules, lateness) = ([rule.clone()], Duration::from_secs(30));
        let mapping = Mapping::new(&rules, &intake, lateness, Arc::default(), Arc::clone(&processes));
        let mut batch = AppendBatch::new(NOW_MS as u64 * 1000);
        let mut writer = Writer::new(&mapping, &intake, &mut batch);
        let labels = labels(&[(METRIC_NAME, "m"), ("job", "a")]);
        let [start_ms, timestamp_ms] = [start, at].map(|seconds| NOW_MS + seconds * 1000);
        let samples = [Point { timestamp_ms, start_ms, ..point(*value) }];
        writer.push(&Series { labels: &labels, meaning, samples: &samples, histograms: &[] });
        for (_, _, payload) in batch.records() {
            let sample = proxy_uve::wire::decode(payload).unwrap();
            readings.push((sample.timestamp as i64 / 1000 - NOW_MS, sample.value.as_f64()));
        }
    }
    readings
}

#[test]
fn a_counter_that_is_known_counts_from_its_stated_start_however_long_ago() {
    // The first reading of the new process is more than five minutes after its start.
    let points = [(-7200, -1010, 10.0), (-7200, -1000, 350.0), (-995, -600, 500.0), (-995, -200, 510.0)];
    for meaning in [Meaning::Counter, Meaning::Unstated] {
        let expected = [(-1_010_000, 10.0), (-1_000_000, 350.0), (-995_000, 0.0), (-600_000, 500.0), (-200_000, 510.0)];
        assert_eq!(readings(meaning, &points), expected, "{meaning:?}");
    }
}

#[test]
fn a_process_that_began_before_the_last_reading_of_the_former_counts_once_that_is_silent() {
    let points =
        [(-7200, -1010, 10.0), (-7200, -1000, 350.0), (-1005, -990, 100.0), (-1005, -810, 400.0), (-1005, -400, 500.0)];
    let expected = [(-1_010_000, 10.0), (-1_000_000, 350.0), (-999_999, 0.0), (-810_000, 400.0), (-400_000, 500.0)];
    assert_eq!(readings(Meaning::Counter, &points), expected);
}

#[test]
fn a_reading_from_the_future_that_is_rejected_shows_nothing_of_its_process() {
    let points = [(-7200, -30, 1000.0), (-7200, 86_400, 1001.0), (-25, -20, 5.0), (-25, -10, 7.0)];
    // The zero is repeated for a while, in case that the request before was lost; the table ignores it then.
    let expected = [(-30_000, 1000.0), (-25_000, 0.0), (-20_000, 5.0), (-25_000, 0.0), (-10_000, 7.0)];
    assert_eq!(readings(Meaning::Counter, &points), expected);
}

#[test]
fn a_change_of_the_configuration_forgets_no_process() {
    let points = [(-7200, -30, 1000.0), (-3600, -20, 500.0), (-7200, -10, 1001.0), (-3600, -5, 501.0)];
    assert_eq!(readings(Meaning::Counter, &points), [(-30_000, 1000.0), (-10_000, 1001.0)]);
}

#[test]
fn samples_that_are_far_larger_than_their_request_are_refused_before_they_take_memory() {
    let streams =
        ["one", "two"].map(|name| StreamConfig { name: name.to_owned(), ..config("m", &["job"], Kind::Counter) });
    let rules = streams.map(|config| Rule::compile(&config).unwrap());
    let names = [(rules[0].stream().clone(), 0), (rules[1].stream().clone(), 1)];
    let intake = intake_of(&names, ValueType::F64, PayloadForm::Stored);
    let long = "x".repeat(900);
    let labels = labels(&[(METRIC_NAME, "m"), ("job", "a"), ("path", &long)]);
    let points: Vec<_> = (0..100).map(|index| Point { timestamp_ms: NOW_MS - index, ..point(1.0) }).collect();
    let push = |rules: &[Rule], limit: usize| {
        let mapping = Mapping::new(rules, &intake, Duration::ZERO, Arc::default(), Arc::default());
        let mut batch = AppendBatch::new(NOW_MS as u64 * 1000);
        let mut writer = Writer::new(&mapping, &intake, &mut batch).limited(limit);
        for samples in points.chunks(10) {
            writer.push(&Series { labels: &labels, meaning: Meaning::Unstated, samples, histograms: &[] });
        }
        let is_finished = writer.finish().is_ok();
        assert!(batch.bytes() <= limit as u64, "{} bytes", batch.bytes());
        (is_finished, batch.len())
    };
    assert_eq!(push(&rules[..1], 100_000), (true, 100));
    let (is_finished, records) = push(&rules, 100_000);
    assert!(!is_finished && records < 110, "each stream that takes a sample counts: {records}");
    assert_eq!(push(&rules, 200_000), (true, 200));
}
