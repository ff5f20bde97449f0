//! `[[streams]]`: problems with their places, and streams in words.

mod binary;

use binary::{Run, command, finish};
use tempfile::TempDir;

const VALID: &str = r#"[aggregation]
uve_proxy_list = ""

[[streams]]
name = "http-errors"
metric = "http_requests_total"
object = ["job"]
where = { env = "prod", code = "5.." }
kind = "agg"
aggregations = ["AggProxySum", "Spikes = 1.DSSum-raw:DSAnomaly:EWM:0.1"]

[[streams]]
name = "heat"
metric = "temp_*"
object = ["room", "floor"]
type = "f64"
aggregations = ["1-raw:DSPercentile:50,90"]
period = 10
"#;

const FAULTY: &str = r#"
[[streams]]
nam = "a"
metric = "m"
object = "job"
kind = "count"
aggregations = ["AggProxySums"]

[[streams]]
name = "b"
metric = "m"
object = ["job"]
where = { code = "5(" }
aggregations = ["1-raw:DSSumm"]
period = 0

[[streams]]
name = "c"
metric = "m"
object = ["job"]
aggregations = ["AggProxySum", "AggProxySum", "1-bytes:DSSum"]

[[streams]]
name = "c"
metric = "m"
object = ["job"]
aggregations = ["AggProxySum"]
"#;

/// Runs a command with the text as its configuration, whose path is left out of the output.
fn run(arguments: &[&str], text: &str) -> Run {
    let folder = TempDir::new().expect("a directory for tests");
    let path = folder.path().join("a.toml");
    std::fs::write(&path, text).expect("a file for tests");
    let file = path.to_str().expect("UTF-8");
    let arguments: Vec<_> =
        arguments.iter().map(|argument| if *argument == "FILE" { file } else { argument }).collect();
    let mut command = command(&arguments);
    command.env("DERIVED_STATSD_LOG__DATA_DIR", folder.path().join("log"));
    let mut run = finish(command, "");
    let prefix = format!("{}/", folder.path().display());
    (run.stdout, run.stderr) = (run.stdout.replace(&prefix, ""), run.stderr.replace(&prefix, ""));
    run
}

fn explain(arguments: &[&str]) -> Run {
    run(&[&["explain", "--config", "FILE", "--stream"], arguments].concat(), VALID)
}

#[test]
fn validate_explains_each_stream_in_words() {
    let run = run(&["validate", "FILE"], VALID);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r"
    a.toml: ok: 2 streams with 3 proxy types (AggProxySum, Agg_1_raw_DSPercentile_50_90, Spikes), period 10 s, 60 s
    stream http_errors-http_requests_total: takes `http_requests_total` where code is 5.. and env is prod; an object of the table Service for each value of job; the samples are readings of counters, of which the increase of each series counts (f64)
    stream heat-temp__: takes `temp_*`; an object of the table Service for each value of room and floor; the samples are plain values (f64)
    ");
}

#[test]
fn labels_of_an_object_may_be_one_text_as_in_the_environment() {
    for labels in ["\"room, floor\"", "\"room floor\""] {
        let run = run(&["validate", "FILE"], &VALID.replace("[\"room\", \"floor\"]", labels));
        assert!(run.stdout.contains("for each value of room and floor;"), "{labels}: {} {}", run.stdout, run.stderr);
    }
}

#[test]
fn a_type_that_keeps_sources_gives_gauges_a_source() {
    let config = |aggregation: &str| {
        format!(
            "[aggregation]\nuve_proxy_list = \"\"\n[[streams]]\nname = \"queue\"\nmetric = \"queue_length\"\n\
             object = [\"job\"]\nwhere = {{ env = \"\" }}\naggregations = [\"{aggregation}\"]\n"
        )
    };
    let of = |aggregation: &str| {
        let arguments = ["explain", "--config", "FILE", "--stream", "queue", "--sample"];
        let sample = r#"queue_length{job="a",instance="b:80"} 7"#;
        (
            run(&["validate", "FILE"], &config(aggregation)).stdout,
            run(&[&arguments[..], &[sample]].concat(), &config(aggregation)).stdout,
        )
    };
    let (validated, explained) = of("AggProxySumLast");
    let words = "takes `queue_length` where env is missing or empty; an object of the table Service for each value of job; \
                 the samples are plain values (f64), of a source for each set of the other labels";
    assert!(validated.contains(words), "{validated}");
    assert!(explained.contains("source      instance=\"b:80\"\n"), "{explained}");
    for aggregation in ["1-raw:DSIncrease", "R = 1-raw:DSRate"] {
        assert!(of(aggregation).1.contains("instance=\"b:80\"\n"), "{aggregation}");
    }
    let (validated, explained) = of("AggProxySum");
    assert!(validated.contains("the samples are plain values (f64)\n"), "{validated}");
    assert!(!explained.contains("source "), "{explained}");
}

#[test]
fn every_problem_has_its_place_and_remedy() {
    let run = run(&["validate", "FILE"], FAULTY);
    assert_eq!((run.code, run.stdout.as_str()), (Some(64), ""));
    insta::assert_snapshot!(run.stderr, @r#"
    a.toml:2:1: `streams.name`: the stream has no name; name it, such as "http-requests"
    a.toml:3:1: unknown key `streams.nam`; did you mean `name`?
    a.toml:6:1: `streams.kind`: unknown variant `count`, expected one of `agg`, `counter`, `delta`, `gauge`
    a.toml:7:1: `streams.aggregations`: `AggProxySums` is neither a proxy type nor an annotation, such as `1-raw:DSSum`; did you mean `AggProxySum`?
    a.toml:13:1: `streams.where`: the condition on `code`: "5(" is not a regular expression: unclosed group; correct it, or escape with `\\`
    a.toml:14:1: `streams.aggregations`: proxy type `Agg_1_raw_DSSumm`: the annotation of the result `value` is wrong: annotation error:
        1-raw:DSSumm
              ^^^^^^
    unknown algorithm `DSSumm`; did you mean `DSSum`?
    a.toml:15:1: `streams.period`: 0 is out of range; set 1 to 86400
    a.toml:21:1: `streams.aggregations`: the type `AggProxySum` is there twice; keep one
    a.toml:21:1: `streams.aggregations`: proxy type `Agg_1_bytes_DSSum`: the result `value` reads `bytes`, but samples fill `raw`; write `raw` in its annotation
    a.toml:24:1: `streams.name`: the stream c-m is there already; choose another name
    a.toml: 10 problems
    "#);
}

/// Two streams of one topic, and one whose paths lead nowhere.
const TOPICS: &str = r#"
[[streams]]
name = "a"
metric = "load"
topic = "collectd"
fields = { key = ["host", 'k8s\.pod'], time = "ts", value = "load.0" }
aggregations = ["AggProxySum"]

[[streams]]
name = "b"
metric = "load"
topic = "collectd"
fields = { key = "host", time = "ts", time_unit = "s", value = "load" }
where = { "host.env" = "prod|test", type = "" }
aggregations = ["AggProxySum"]

[[streams]]
name = "c"
metric = "load"
topic = "other"
fields = { key = "host", time = "t..s" }
where = { "a..b" = "x", type = "5(" }
aggregations = ["AggProxySum"]
"#;

#[test]
fn topics_are_of_kafka_and_several_streams_select_their_messages() {
    let found = run(&["validate", "FILE"], TOPICS);
    assert_eq!(found.code, Some(64));
    for expected in [
        "`streams.topic`: topics are read with log.kind = \"kafka\" only; set it, or remove the topic",
        "`streams.where`: the condition on `a..b`: \"a..b\" has an empty name",
        "`streams.where`: the condition on `type`: \"5(\" is not a regular expression: unclosed group",
        "`streams.fields`: `time`: \"t..s\" has an empty name",
        "`streams.fields`: `value`: no path is named; write where the field is, such as \"value\"",
    ] {
        assert!(found.stderr.contains(expected), "{expected}: {}", found.stderr);
    }
    let two = TOPICS.split("[[streams]]").take(3).collect::<Vec<_>>().join("[[streams]]");
    let kafka = "log.kind = \"kafka\"\nkafka.brokers = \"127.0.0.1:9092\"\naggregation.uve_proxy_list = \"\"\n";
    let found = run(&["validate", "FILE"], &format!("{kafka}{two}"));
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let words = "stream b-load: takes the messages of the topic collectd on Kafka where host.env is prod|test and type is \
                 missing or empty; an object of the table Service for each value of host; ";
    assert!(found.stdout.contains(words), "{}", found.stdout);
    let many = |count: usize| {
        let stream = |index| {
            format!(
                "[[streams]]\nname = \"s{index}\"\nmetric = \"m\"\ntopic = \"t\"\naggregations = [\"AggProxySum\"]\n\
                 fields = {{ key = \"k\", time = \"t\", value = \"v\" }}\n"
            )
        };
        run(&["validate", "FILE"], &(kafka.to_owned() + &(0..count).map(stream).collect::<String>()))
    };
    assert_eq!(many(32).code, Some(0));
    assert!(many(33).stderr.contains("`streams.topic`: 32 streams read t already, the most of one topic"));
    assert!(found.stdout.contains("takes the messages of the topic collectd on Kafka"), "{}", found.stdout);
    assert!(found.stdout.contains(r"for each value of host and k8s\.pod"), "{}", found.stdout);
}

#[test]
fn a_stream_that_hardly_means_what_it_has_is_a_note() {
    let notes = |lines: &str| {
        let text = format!("[[streams]]\nname = \"a\"\naggregations = [\"AggProxySum\"]\n{lines}");
        let found = run(&["validate", "FILE"], &text);
        assert_eq!(found.code, Some(0), "{}", found.stderr);
        found.stderr
    };
    for suffix in ["_total", "_count", "_sum", "_bucket"] {
        let metric = format!("object = [\"job\"]\nmetric = \"http{suffix}\"\n");
        let found = notes(&metric);
        let expected = format!(
            "note: streams.kind: the stream a takes `http{suffix}` as plain values, and the name of a counter \
                                ends in {suffix}: "
        );
        assert!(found.starts_with(&expected) && found.ends_with("set kind = \"counter\" if it is one\n"), "{found}");
        for kind in ["counter", "agg", "delta"] {
            assert_eq!(notes(&format!("{metric}kind = \"{kind}\"\n")), "", "{kind}");
        }
    }
    assert_eq!(notes("object = [\"job\"]\nmetric = \"http_total_seconds\"\n"), "");
    let found = notes("object = [\"job,instance\", \"a\"]\nmetric = \"m\"\n");
    let expected = "note: streams.object: the stream a names the label \"job,instance\", with a comma in its name, which no label \
                    of Prometheus has; write object = [\"job\", \"instance\"] for several labels\n";
    assert_eq!(found, expected);
    assert_eq!(notes("object = \"job,instance\"\nmetric = \"m\"\n"), "", "a text is a list");
}

#[test]
fn a_list_is_one_setting_on_the_command_line() {
    let set = r#"streams=[{name = "a", metric = "m", object = ["job"], aggregations = ["AggProxySum"]}]"#;
    let run = run(&["validate", "FILE", "--set", set], "[[streams]]\nname = \"\"\n");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("stream a-m: takes `m`;"), "{}", run.stdout);
}

#[test]
fn a_sample_is_explained_by_its_stream() {
    let sample = r#"http_requests_total{job="shop",code="503",env="prod",path="/"} 3"#;
    let run = explain(&["http-errors", "--sample", sample]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    insta::assert_snapshot!(run.stdout, @r#"
    stream      http_errors-http_requests_total: takes `http_requests_total` where code is 5.. and env is prod; an object of the table Service for each value of job; the samples are readings of counters, of which the increase of each series counts (f64)
    computes    AggProxySum, Spikes
    sample      http_requests_total{job="shop",code="503",env="prod",path="/"} 3
    object      Service:shop
    source      code="503",env="prod",path="/"
    value       3, a reading of a counter: the increase since the last reading of this object and source counts, and a lower reading counts in full
    "#);
}

#[test]
fn a_sample_that_is_not_taken_has_the_reason() {
    let long = format!("temp_c{{room=\"{}\"}} 1", "x".repeat(2000));
    let cases = [
        ("http-errors", "up 1", "taken       no: the metric `up` is not `http_requests_total`\n"),
        ("http-errors", "http_requests_total{code=\"200\"} 1", "taken       no: `code` is \"200\", not `5..`\n"),
        ("heat", "temp_c{site=\"x\"} 1", "taken       no: it has no label room or floor, which makes the object\n"),
        ("heat-temp__", "temp_c{room=\"x\"} NaN", "value       NaN, which is left out: it is not a finite number\n"),
        ("heat", "temp_c{room=\"x,y\"}", "object      Service:x\\,y,\n"),
        (
            "heat",
            "temp_c{room=\"x\"} 1 99999999999999",
            "value       1, rejected: series `temp_c{room=\"x\"}` of Service:x, in stream heat-temp__: ",
        ),
        ("heat", &long, "value       1, rejected: series `temp_c{room=\"xxx"),
    ];
    for (stream, sample, expected) in cases {
        let run = explain(&[stream, "--sample", sample]);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert!(run.stdout.contains(expected), "{sample}: {}", run.stdout);
    }
}

#[test]
fn quoted_names_and_a_time_are_taken() {
    let quoted = r#"{"http_requests_total",code="503",env="prod",job="shop","http.method"="GET"} 3 1488000000500"#;
    let run_quoted = explain(&["http-errors", "--sample", quoted]);
    assert_eq!(run_quoted.code, Some(0), "{}", run_quoted.stderr);
    for expected in [
        "object      Service:shop\n",
        "source      code=\"503\",env=\"prod\",http.method=\"GET\"\n",
        "time        2017-02-25T05:20:00.5Z\n",
        "value       3, a reading of a counter",
    ] {
        assert!(run_quoted.stdout.contains(expected), "{expected}: {}", run_quoted.stdout);
    }
    let early = explain(&["heat", "--sample", "temp_c{room=\"x\"} 1 1488000000"]).stdout;
    assert!(
        early.contains("time        1488000000, which is rejected: the timestamp 1488000000 ms is before"),
        "{early}"
    );
}

#[test]
fn the_message_of_a_topic_is_explained_for_each_stream_of_it() {
    let two = TOPICS.split("[[streams]]").take(3).collect::<Vec<_>>().join("[[streams]]");
    let text =
        format!("log.kind = \"kafka\"\nkafka.brokers = \"127.0.0.1:9092\"\naggregation.uve_proxy_list = \"\"\n{two}");
    let of_topic = |sample: &str| run(&["explain", "--config", "FILE", "--stream", "a", "--sample", sample], &text);
    let found = of_topic(r#"{"host":"h,1","k8s.pod":"p","ts":1488000000,"load":[9007199254740993]}"#);
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    for expected in [
        "object      Service:h\\,1,p\n",
        "time        1970-01-18T05:20:00Z, which is rejected: it is not from 2001 to 2100; see `fields.time_unit`\n",
        "value       9007199254740993, rejected: its time is not that of a sample of now; see `fields.time_unit`\n",
    ] {
        assert!(found.stdout.contains(expected), "{expected}: {}", found.stdout);
    }
    let escaped = of_topic(r#"{"host":"a\u001b[2J\u202e\nb","k8s.pod":"p","ts":1488000000,"load":[1]}"#);
    assert!(escaped.stdout.contains("object      Service:a\\u{1b}[2J\\u{202e}\\nb,p\n"), "{}", escaped.stdout);
    assert!(
        escaped.stdout.ends_with("others      b-load: not taken: `host.env` is \"\", not `prod|test`\n"),
        "{}",
        escaped.stdout
    );
    let of_b = |sample: &str| run(&["explain", "--config", "FILE", "--stream", "b", "--sample", sample], &text).stdout;
    let found = of_b(r#"{"host":"h","k8s.pod":"p","type":"x","ts":1488000000,"load":[1]}"#);
    assert!(found.contains("taken       no: `host.env` is \"\", not `prod|test`\n"), "{found}");
    assert!(found.contains("others      a-load: taken, of the object Service:h,p\n"), "{found}");
    let cases = [
        ("load 3", "the message is not JSON: expected value at line 1 column 1; the stream reads the topic collectd"),
        (r#"{"host":"h"}"#, r"the field `k8s\.pod` is missing; correct the path in `fields`, or the producer"),
    ];
    for (sample, expected) in cases {
        let found = of_topic(sample);
        assert_eq!((found.code, found.stdout.as_str()), (Some(2), ""));
        assert!(found.stderr.contains(&format!("error: --sample: {expected}")), "{}", found.stderr);
    }
}

#[test]
fn an_unknown_stream_and_a_bad_sample_are_errors_with_a_remedy() {
    let cases = [
        (&["http-error"][..], "error: no stream `http-error` is configured; did you mean `http-errors`?\n"),
        (&["zzz"], "error: no stream `zzz` is configured; the streams are http-errors, heat\n"),
        (
            &["heat", "--sample", "temp_c{room=x}"],
            "error: --sample: column 13: expected `\"`, found `x}`; write it as `http_requests_total{job=\"a\"} 3`\n",
        ),
        (
            &["heat", "--sample", "temp_c{room=\"x\",room=\"y\"}"],
            "error: --sample: series `temp_c{room=\"x\",room=\"y\"}`: the label `room` is there twice; send each label once\n",
        ),
    ];
    for (arguments, expected) in cases {
        let run = explain(arguments);
        assert_eq!((run.code, run.stderr.as_str()), (Some(2), expected));
    }
    let without = run(&["explain", "--sample", "up"], VALID);
    assert_eq!(without.code, Some(2), "{}", without.stderr);
}
