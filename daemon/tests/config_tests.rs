//! `derived-statsd test`: the examples of the book, and what it says of tests that fail or are wrong.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

const LIST: &str = "aggregation.uve_proxy_list=A-b:AggProxySum:AggProxySumAnomalyEWM01";

/// Exit code, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    // The outcome must not depend on the environment.
    let command = command.arg("test").args(arguments).current_dir(folder).env("DERIVED_STATSD_AGGREGATION_PERIOD", "7");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The same of a file with this text.
fn run_text(text: &str) -> (i32, String, String) {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("t.toml"), text).unwrap();
    run(folder.path(), &["t.toml"])
}

/// A file with one test of one series, which has `rest`.
fn file(values: &str, rest: &str) -> String {
    format!(
        "set = [\"{LIST}\"]\n[[tests]]\nname = \"one\"\n{rest}\n[[tests.series]]\nkey = \"T:a\"\nvalues = \"{values}\"\n"
    )
}

fn result(text: &str) -> String {
    format!("results = [{{key = \"T:a\", type = \"AggProxySum\", {text}}}]")
}

#[test]
fn the_examples_of_the_book_pass_from_any_folder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/tests");
    let (code, stdout, stderr) = run(&folder, &["sums.toml", "anomaly.toml", "counters.toml", "alarms.toml"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.ends_with("6 passed, 0 failed\n"), "{stdout}");
    let elsewhere = folder.join("counters.toml");
    let (code, stdout, _) = run(Path::new("/"), &["--coverage", elsewhere.to_str().unwrap()]);
    assert!(code == 0 && stdout.contains(": 1 of 1\n"), "{stdout}");
}

#[test]
fn a_failure_shows_what_was_expected_and_what_was_found() {
    let cases = [
        (file("1 2 3", &result("at = \"1m\", data = {value.value = 5}")), "value.value: expected 5, found 2"),
        (file("1 2 3", &result("at = \"1m\", data = {value.sum = 5}")), "value.sum: expected 5, found none"),
        (file("1 2 3", &result("at = \"1m\", data = {value.sum = 5}")), "value has the fields value\n"),
        (file("1 2 3", &result("at = \"1m\", data = {valu = 5}")), "the result has the fields "),
        (file("1 2 3", &result("at = \"1m\", data = {value.value = \"> 2\"}")), "expected \"> 2\", found 2"),
        (file("1 2 3", &result("at = \"1m\", data = {value = [2]}")), "value: expected [2], found {\"value\":2}"),
        (file("1 2 3", &result("at = \"7m\"")), "no such result; its windows with results: 0s, 1m, 2m"),
        (file("1 2 3", &result("at = \"1m\", none = true")), "expected no result, found {"),
        (file("_ _ _", &result("at = \"1m\"")), "has none of this type"),
        (file("1 2 -3", &result("at = \"1m\"")), "drops.rejected: expected 0, found 1"),
        (file("1 2 3", "drops = {late = 2}"), "drops.late: expected 2, found 0"),
    ];
    for (text, expected) in cases {
        let (code, stdout, stderr) = run_text(&text);
        assert_eq!((code, stderr.as_str()), (1, ""), "{text}\n{stdout}");
        assert!(stdout.starts_with("FAIL  t.toml: one\n") && stdout.contains(expected), "{expected}\n{stdout}");
        assert!(stdout.ends_with("0 passed, 1 failed\n"), "{stdout}");
    }
}

#[test]
fn windows_of_several_periods_are_compared_in_their_last_one() {
    let folder = TempDir::new().unwrap();
    let schema = "struct Sums {
        1: string name (key=\"\") 2: string proxy 3: optional bool deleted 4: optional u64 raw (hidden=\"yes\")
        5: optional u64 one (stats=\"1-raw:DSSum\")
        6: optional u64 three (stats=\"3-raw:DSSum\")
    } (period=\"60\", timeout=\"5\")";
    std::fs::write(folder.path().join("sums.sandesh"), schema).unwrap();
    let text = |results: &str| {
        let text = file("1 2 3 4 5", &format!("results = [{results}]"));
        let list = "aggregation.uve_proxy_list=A-b:Sums";
        format!("schema_files = [\"sums.sandesh\"]\n{}", text.replace(LIST, list))
    };
    let expect = |at: &str, rest: &str| format!("{{key = \"T:a\", type = \"Sums\", at = \"{at}\", {rest}}}");
    let outcome = |results: &str| {
        std::fs::write(folder.path().join("t.toml"), text(results)).unwrap();
        run(folder.path(), &["t.toml"])
    };
    let good = [
        expect("0s", "data = {one.value = 1}"),
        expect("2m", "data = {one.value = 3, three.value = 6}"),
        expect("4m", "data = {one.value = 5}"),
    ];
    let (code, stdout, stderr) = outcome(&good.join(", "));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let (code, stdout, _) = outcome(&expect("0s", "data = {three.value = 6}"));
    assert!(code == 1 && stdout.contains("three: expected { value = 6 }, found none"), "{stdout}");
    let (code, stdout, _) = outcome(&expect("9m", "data = {three.value = 6}"));
    assert!(code == 1 && stdout.contains("its windows with results: 0s, 1m, 2m, 3m, 4m"), "{stdout}");
}

#[test]
fn an_alarm_that_differs_is_shown_and_a_rule_without_a_test_is_named() {
    let rules = r#"'''alarms=[{rule = 'alarm "high" when AggProxySum.value > 1'}, {rule = 'alarm "low" when AggProxySum.value < 1'}]'''"#;
    let text = |alarm: &str| {
        file("1 2 3", &format!("alarms = [{{key = \"T:a\", at = \"1m\", {alarm}}}]"))
            .replace("set = [", &format!("set = [{rules}, "))
    };
    let (code, stdout, stderr) = run_text(&text("rule = \"high\", state = \"pending\""));
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
    assert!(
        stdout.contains("alarm \"high\" of T:a, window at 1m:\n        expected pending, found firing"),
        "{stdout}"
    );
    let (code, _, stderr) = run_text(&text("rule = \"hihg\", state = \"firing\""));
    assert!(code == 64 && stderr.contains("no rule has the name \"hihg\"; did you mean \"high\"?"), "{stderr}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("t.toml"), text("rule = \"high\", state = \"firing\"")).unwrap();
    let (code, stdout, _) = run(folder.path(), &["--coverage", "t.toml"]);
    assert!(code == 0 && stdout.contains("no test expects an alarm of \"low\""), "{stdout}");
    assert!(!stdout.contains("an alarm of \"high\""), "{stdout}");
    assert!(stdout.contains("coverage  t.toml: 0 of 2, 1 of 2 rules of alarms\n"), "{stdout}");
}

#[test]
fn a_rule_over_two_proxy_types_is_expected_and_covered_as_one_of_a_single_type() {
    let rules = r#"'''alarms=[{rule = 'alarm "both" when AggProxySum.value > 1 and AggProxySumAnomalyEWM01.value.samples >= 11'}]'''"#;
    let text = |state: &str| {
        let alarm = |(at, state)| format!("{{key = \"T:a\", rule = \"both\", at = \"{at}\", state = \"{state}\"}}");
        let alarms = [("9m", "inactive"), ("10m", "firing"), ("12m", state)].map(alarm).join(", ");
        // The detector has no result before its tenth value.
        file("2x11 1", &format!("alarms = [{alarms}]")).replace("set = [", &format!("set = [{rules}, "))
    };
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("t.toml"), text("inactive")).unwrap();
    let (code, stdout, stderr) = run(folder.path(), &["--coverage", "t.toml"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.contains("1 of 1 rules of alarms"), "{stdout}");
    let (code, stdout, _) = run_text(&text("firing"));
    assert!(code == 1 && stdout.contains("expected firing, found inactive"), "{stdout}");
}

/// A file with a rule without data, one for other objects, an object that stops and one that continues.
fn silent(alarms: &str) -> String {
    let rules = r#"'''alarms=[{rule = 'alarm "silent" when no data in AggProxySum'}, {rule = 'alarm "other" when AggProxySum.value > 9 on "T:x*"'}]'''"#;
    format!(
        "set = [{rules}, \"{LIST}\"]\n[[tests]]\nname = \"one\"\nalarms = [{alarms}]\n\
         [[tests.series]]\nkey = \"T:a\"\nvalues = \"1\"\n[[tests.series]]\nkey = \"T:b\"\nvalues = \"1x6\"\n"
    )
}

#[test]
fn an_alarm_without_data_fires_until_the_end_also_of_an_object_that_is_deleted() {
    let states = [("0s", "inactive"), ("1m", "firing"), ("2m", "firing"), ("5m", "firing")];
    let alarm = |(at, state)| format!("{{rule = \"silent\", key = \"T:a\", at = \"{at}\", state = \"{state}\"}}");
    let (code, stdout, stderr) = run_text(&silent(&states.map(alarm).join(", ")));
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
}

#[test]
fn an_expected_alarm_that_cannot_exist_is_an_error() {
    let cases = [
        ("silent", "T:a", "30s", "no window of the type begins at this `at`; the nearest ones do at 0s and 1m"),
        ("silent", "vn1", "1m", "no series has the key \"vn1\""),
        ("silent", "T:a", "9m", "the window at 9m does not close, as event time ends at 7m"),
        ("other", "T:a", "1m", "the rule \"other\" is not for T:a; its patterns are T:x*"),
    ];
    for (rule, key, at, expected) in cases {
        let alarm = format!("{{rule = \"{rule}\", key = \"{key}\", at = \"{at}\", state = \"inactive\"}}");
        let (code, stdout, stderr) = run_text(&silent(&alarm));
        assert!(code == 64 && stderr.contains("alarm 1: ") && stderr.contains(expected), "{stdout}{stderr}");
    }
}

#[test]
fn numbers_are_compared_as_they_are_written() {
    let big = "18446744073709551615";
    for (values, data) in [
        ("5", "{value.value = 5}"),
        ("5", "{value.value = 5.0}"),
        ("5", "{value = {value = \">= 5\"}}"),
        (big, "{value.value = \"18446744073709551615\"}"),
        ("5", "{deleted = false, proxy = \"A-b\"}"),
    ] {
        let (code, stdout, _) = run_text(&file(values, &result(&format!("at = \"0s\", data = {data}"))));
        assert_eq!(code, 0, "{data}\n{stdout}");
    }
    let (code, stdout, _) =
        run_text(&file(big, &result("at = \"0s\", data = {value.value = \"18446744073709551614\"}")));
    assert_eq!(code, 1, "{stdout}");
}

#[test]
fn a_wrong_file_is_named_with_its_place_and_the_others_run() {
    let good = file("1", &result("at = \"0s\""));
    let cases = [
        (good.replace("values", "value"), vec!["line 7", "unknown field `value`"]),
        (good.replace("\"1\"", "\"1 z\""), vec!["test \"one\"", "series 1 (T:a)", "`values`", "found `z`"]),
        (good.replace("at = \"0s\"", "at = 5"), vec!["line 4", "\"5s\""]),
        (good.replace("AggProxySum\",", "AggProxySums\","), vec!["`AggProxySums`", "AggProxySumAnomalyEWM01"]),
        (good.replace("A-b", "A-b:"), vec!["its configuration", "uve_proxy_list"]),
        (good.replace(&result("at = \"0s\""), ""), vec!["expects nothing", "`drops`"]),
        (file("1", "drops = {lat = 1}"), vec!["no outcome `lat`", "late"]),
        (file("1", "start = \"noon\"\ndrops = {late = 1}"), vec!["`start`", "noon", "2026-01-01T00:00:00Z"]),
        (file("1", &result("at = \"30s\"")), vec!["result 1 (AggProxySum of T:a)", "at 0s and 1m"]),
        (file("1", "results = [{key = \"T:b\", type = \"AggProxySum\", at = \"1m\"}]"), vec!["no series has this key"]),
        ("tests = []".to_owned(), vec!["no tests"]),
        (good.replace("key = \"T:a\"\nvalues", "stream = \"A-c\"\nkey = \"T:a\"\nvalues"), vec!["`A-c`", "A-b"]),
    ];
    for (text, expected) in cases {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("t.toml"), &text).unwrap();
        std::fs::write(folder.path().join("good.toml"), &good).unwrap();
        let (code, stdout, stderr) = run(folder.path(), &["t.toml", "good.toml"]);
        assert_eq!(code, 64, "{text}\n{stderr}");
        let is_named = stderr.contains("t.toml: ") && expected.iter().all(|part| stderr.contains(part));
        assert!(is_named, "{expected:?}\n{stderr}");
        assert_eq!(stdout, "pass  good.toml: one\n1 passed, 0 failed\n");
    }
}
