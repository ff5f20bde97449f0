//! `derived-statsd explain`.

mod binary;

use derived_stats::{DETECTOR_CALL, menu};
use serde_json::{Value, json};

fn explain(arguments: &[&str]) -> String {
    let arguments: Vec<_> = [&["explain"], arguments].concat();
    let run = binary::run(&arguments, "");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    run.stdout
}

fn facts(arguments: &[&str]) -> Value {
    serde_json::from_str(&explain(&[&["--json"], arguments].concat())).expect("JSON")
}

#[test]
fn a_detector_over_sums_in_words() {
    insta::assert_snapshot!(explain(&["1.DSSum-raw:DSAnomaly:EWM:0.1"]), @r#"
    annotation  1.DSSum-raw:DSAnomaly:EWM:0.1
    input       u64 values of `raw`, aggregated as they are
    reports     at the end of every period of the struct, which is 60 s for the built-in types
    aggregate   DSSum takes the samples of a period: the sum of all samples
    computes    DSAnomaly takes each period's DSSum: how many deviations (sigma) the newest value is away from an exponentially weighted mean; unchanged while this and the previous |sigma| are below 0.5
    alpha       0.1: the weight of the newest value
    warm-up     not ready before 10 values (1/alpha), 600 s with the built-in types
    bound       |sigma| stays at or below 3.0000 (sqrt((1-alpha)/alpha)), since the newest value is part of the mean; on a perfectly flat series rounding may let it settle at 1.0541
    silence     the first period without samples counts as 0, later ones are ignored (a struct can change this with silence="zero" or "skip")
    state       at most 64 bytes for each object
    "#);
}

#[test]
fn a_built_in_type_in_words() {
    let found = explain(&["AggProxyPercentiles"]);
    assert!(found.starts_with("The values below which 50, 90 and 99 of 100 samples of each minute are"), "{found}");
    assert!(found.contains("\nannotation  1-raw:DSPercentile:50,90,99\n"), "{found}");
    for wrong in ["aggproxysum", "AggProxySums"] {
        let run = binary::run(&["explain", wrong], "");
        assert!(run.code == Some(2) && run.stderr.contains("did you mean `AggProxySum`?"), "{run:?}");
    }
    assert_eq!(facts(&["AggProxySeasonal"]), facts(&["1.DSSum-raw:DSAnomaly:Seasonal"]));
}

#[test]
fn a_type_of_a_schema_file_needs_its_configuration() {
    let folder = tempfile::tempdir().expect("a directory for tests");
    let (schema, file) = (folder.path().join("own.sandesh"), folder.path().join("d.toml"));
    let text = "struct Loads { 1: string name (key=\"\") 2: string proxy 3: optional bool deleted
        4: optional u64 raw (hidden=\"yes\") 5: optional u64 top (stats=\"1-raw:DSMax\") } (period=\"30\", timeout=\"4\")";
    std::fs::write(&schema, text).expect("a file for tests");
    std::fs::write(&file, format!("[aggregation]\nschema_files = [{:?}]\n", schema)).expect("a file for tests");
    let config = file.to_str().expect("UTF-8");
    let found = explain(&["Loads", "--config", config]);
    assert!(found.starts_with("A type of a schema file: results every 30 s; an object without"), "{found}");
    assert!(found.contains("expires after 4 periods.\n\nannotation  1-raw:DSMax\n"), "{found}");
    for (arguments, expected) in [
        (&["explain", "Load", "--config", config][..], "did you mean `Loads`?"),
        (&["explain", "Loads"], "name the configuration of one of your own with --config FILE"),
    ] {
        let run = binary::run(arguments, "");
        assert!(run.code == Some(2) && run.stderr.contains(expected), "{run:?}");
    }
}

/// The lines about the links of a chain.
fn links(annotation: &str) -> String {
    let is_link = |line: &&str| line.starts_with("aggregate") || line.starts_with("computes");
    let (text, mut links) = (explain(&[annotation]), String::new());
    text.lines().filter(is_link).for_each(|line| links += &format!("{line}\n"));
    links
}

#[test]
fn each_link_of_a_chain_in_words() {
    insta::assert_snapshot!(links("1.DSSum.DSChange-raw:DSAnomaly:EWM:0.1"), @r"
    aggregate   DSSum takes the samples of a period: the sum of all samples
    aggregate   DSChange takes each period's DSSum: the newest sample, unchanged while it equals the one before
    computes    DSAnomaly takes each period's DSChange: how many deviations (sigma) the newest value is away from an exponentially weighted mean; unchanged while this and the previous |sigma| are below 0.5
    ");
    insta::assert_snapshot!(links("1.DSNon0.DSAvg.DSSum(600)-raw:DSAnomaly:EWM:0.1"), @r"
    aggregate   DSNon0 takes the samples of a period: the newest sample, unchanged while it is 0
    aggregate   DSAvg takes each period's DSNon0: the mean of all samples, cut to a whole number for integers
    aggregate   DSSum takes each period's DSAvg: the sum of the last 600 s
    computes    DSAnomaly takes each period's DSSum: how many deviations (sigma) the newest value is away from an exponentially weighted mean; unchanged while this and the previous |sigma| are below 0.5
    ");
}

#[test]
fn a_window_over_a_counter_in_words() {
    insta::assert_snapshot!(explain(&["--metric", "agg", "--mstats", "tsm.count:DSAvg:3600"]), @r"
    annotation  tsm.count:DSAvg:3600
    input       u64 values of `tsm.count`, readings of a counter, aggregated by their increases; a lower reading is a reset and counts in full. The daemon compares those of each source, and the first of a source adds nothing; `eval` takes all for one source, whose first reading counts in full
    keys        each key of the map has its own pipeline; a delete mark drops its key, an empty map drops all keys
    reports     after every sample (inline; in a struct with a period, a missing period means `1-`)
    computes    DSAvg: the mean of the last 3600 s, cut to a whole number for integers
    window      slides in buckets of 16777216 us; not ready before 3600 s have passed since the first sample, and samples must come in order of buckets
    silence     no sample, no report
    state       at most 7104 bytes for each key
    ");
}

#[test]
fn the_facts_as_json() {
    let facts = facts(&["--type", "i64", "2.DSAvg-raw:DSAnomaly:EWM:0.2"]);
    assert_eq!(facts["period"], json!({"every": 2, "struct_seconds": 60, "aggregate": "DSAvg"}));
    assert_eq!(facts["moments"]["warm_up"], 5);
    assert_eq!(facts["moments"]["sigma_bound"], 2.0);
    assert_eq!((&facts["type"], &facts["metric"]), (&json!("i64"), &json!("plain")));
    assert!(facts["state_bytes"].as_u64().is_some_and(|bytes| bytes <= 64), "{facts}");
}

#[test]
fn the_meaning_of_silence_depends_on_the_shape() {
    for (annotation, silence) in [
        ("raw:DSSum", "no_report"),
        ("0-raw:DSAnomaly:EWM:0.1", "no_report"),
        ("1-raw:DSSum", "no_result"),
        ("1.DSSum-raw:DSAnomaly:EWM:0.1", "zero_once"),
    ] {
        assert_eq!(facts(&[annotation])["silence"], silence, "{annotation}");
    }
}

#[test]
fn a_window_has_at_most_256_buckets() {
    for range in ["1", "60", "3600", "86400", "4294967295"] {
        let facts = facts(&[&format!("raw:DSSum:{range}")]);
        let (seconds, bucket) = (&facts["window"]["seconds"], &facts["window"]["bucket_micros"]);
        let buckets = seconds.as_u64().unwrap() * 1_000_000 / bucket.as_u64().unwrap();
        assert!((128..=256).contains(&buckets), "{range}: {buckets} buckets");
    }
    assert_eq!(facts(&["raw:DSSum:0"]).get("window"), None, "0 is not a range");
}

#[test]
fn every_algorithm_has_an_explanation() {
    for entry in menu().iter().filter(|entry| entry.roles().inline) {
        let detector = if entry.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() };
        let annotation = format!("raw:{detector}{}:{}", entry.name(), entry.example());
        let annotation = annotation.trim_end_matches(':');
        let text = explain(&[annotation]);
        assert!(text.starts_with(&format!("annotation  {annotation}\n")), "{text}");
        assert!(!text.contains("registered"), "{text}");
    }
}

#[test]
fn a_bad_annotation_is_shown_with_its_caret_and_exits_2() {
    let run = binary::run(&["explain", "1-raw:DSAnomaly:EWM:0.1"], "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    insta::assert_snapshot!(run.stderr, @r"
    annotation error:
        1-raw:DSAnomaly:EWM:0.1
              ^^^^^^^^^
    DSAnomaly scores one value per period and needs a pre-aggregation to make it; write `1.DSSum-` before the attribute
    ");
}
