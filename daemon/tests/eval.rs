//! `derived-statsd eval`, driven through pipes as other programs do.

mod binary;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use binary::{command, run};

/// The answer lines of a successful run.
fn answers(arguments: &str, events: &[&str]) -> Vec<String> {
    let arguments: Vec<_> = std::iter::once("eval").chain(arguments.split(' ')).collect();
    let run = run(&arguments, events.join("\n"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    run.stdout.lines().map(str::to_owned).collect()
}

fn error(arguments: &str, event: &str) -> String {
    let answers = answers(arguments, &[event]);
    let answer: serde_json::Value = serde_json::from_str(&answers[0]).expect("an answer is JSON");
    answer["error"].as_str().unwrap_or_else(|| panic!("{event} was taken: {answer}")).to_owned()
}

#[test]
fn an_inline_pipeline_answers_samples_and_not_periods() {
    let events = [r#"{"at":1,"value":20}"#, r#"{"period":true}"#, r#"{"at":2,"value":16}"#];
    let expected = [r#"{"report":"ok","result":20}"#, r#"{"report":"none"}"#, r#"{"report":"ok","result":36}"#];
    assert_eq!(answers("raw:DSSum", &events), expected);
    assert_eq!(answers("0-raw:DSSum", &events), expected);
}

#[test]
fn a_periodic_pipeline_answers_periods_and_not_samples() {
    let events = [
        r#"{"at":1,"value":20}"#,
        r#"{"at":2,"value":16}"#,
        r#"{"period":true}"#,
        r#"{"period":true}"#,
        r#"{"at":3,"value":1}"#,
        r#"{"period":true}"#,
    ];
    let none = r#"{"report":"none"}"#;
    let [first, second] = [r#"{"report":"ok","result":36}"#, r#"{"report":"ok","result":1}"#];
    assert_eq!(answers("1-raw:DSSum", &events), [none, none, first, none, none, second]);
}

#[test]
fn a_detector_with_alpha_0_1_is_ready_after_ten_periods() {
    let mut events = Vec::new();
    for at in 0..10 {
        events.extend([format!(r#"{{"at":{at},"value":20}}"#), format!(r#"{{"at":{at},"value":16}}"#)]);
        events.push(r#"{"period":true}"#.to_owned());
    }
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    let answers = answers("1.DSSum-raw:DSAnomaly:EWM:0.1", &events);
    assert!(answers[26].starts_with(r#"{"report":"not_ready","result":{"samples":9,"#), "{}", answers[26]);
    let expected = r#"{"report":"ok","result":{"samples":10,"algo":"EWM","config":"0.1","state":{"mean":"23.4476","stddev":"17.1559"},"sigma":0.7316692782860497,"metric":36}}"#;
    assert_eq!(answers[29], expected);
}

/// A result has exactly the fields of Contrail's, even where `metric` cannot hold the value; only results of a table
/// have `value`, too.
#[test]
fn a_detector_result_has_the_fields_of_contrails_result() {
    let shown = run(&["eval", "--type", "f64", "raw:DSAnomaly:EWM:1"], "{\"at\":1,\"value\":0.9}\n");
    assert!(shown.stdout.ends_with("\"metric\":0}}\n"), "{}", shown.stdout);
}

#[test]
fn an_nth_period_pipeline_answers_every_nth_period_line() {
    let period = r#"{"period":true}"#;
    let answers = answers("2-raw:DSSum", &[r#"{"at":1,"value":5}"#, period, period, period, period]);
    let (none, five) = (r#"{"report":"none"}"#, r#"{"report":"ok","result":5}"#);
    assert_eq!(answers, [none, none, five, none, none]);
}

#[test]
fn only_the_first_of_several_silent_periods_counts_as_zero_for_a_detector() {
    let period = r#"{"period":true}"#;
    let answers = answers("1.DSSum-raw:DSAnomaly:EWM:1", &[r#"{"at":1,"value":5}"#, period, period, period]);
    assert!(answers[1].contains(r#""metric":5"#) && answers[2].contains(r#""metric":0"#), "{answers:?}");
    assert_eq!(answers[3], r#"{"report":"none"}"#);
}

#[test]
fn a_map_answers_by_key() {
    let events = [
        r#"{"at":1,"values":{"b":2,"a":1}}"#,
        r#"{"at":2,"values":{"a":5,"c":0},"deleted":["b"]}"#,
        r#"{"at":3,"deleted":["a"]}"#,
        r#"{"at":4,"values":{}}"#,
        r#"{"period":true}"#,
    ];
    let expected = [
        r#"{"results":{"a":{"report":"ok","result":1},"b":{"report":"ok","result":2}}}"#,
        r#"{"results":{"a":{"report":"ok","result":6},"c":{"report":"ok","result":0}}}"#,
        r#"{"results":{"c":{"report":"ok","result":0}}}"#,
        r#"{"report":"none","results":{}}"#,
        r#"{"report":"none","results":{}}"#,
    ];
    assert_eq!(answers("--mstats tsm:DSSum", &events), expected);
}

#[test]
fn a_periodic_map_answers_at_the_period() {
    let events = [
        r#"{"at":1,"values":{"a":1,"b":2}}"#,
        r#"{"at":2,"values":{"b":2}}"#,
        r#"{"period":true}"#,
        r#"{"period":true}"#,
    ];
    let none = r#"{"report":"none","results":{}}"#;
    let sums = r#"{"results":{"a":{"report":"ok","result":1},"b":{"report":"ok","result":4}}}"#;
    assert_eq!(answers("--mstats 1-tsm:DSSum", &events), [none, none, sums, none]);
}

#[test]
fn the_valid_keys_of_a_map_count_and_the_error_names_the_others() {
    let event = r#"{"at":1,"values":{"a":1,"b":"2","c":-3}}"#;
    let expected = r#"{"results":{"a":{"report":"ok","result":1}},"error":"the value of key `b` is a string; expected a number of type u64; the value of key `c` is -3, which does not fit the type u64; send 0 to 18446744073709551615, or choose --type i64"}"#;
    assert_eq!(answers("--mstats tsm:DSSum", &[event]), [expected]);
    assert!(error("--mstats tsm:DSSum", r#"{"at":1,"values":{"b":null}}"#).contains("key `b` is null"));
    let window = ["--mstats tsm:DSSum:1", r#"{"at":9000000,"values":{"a":1}}"#, r#"{"at":1,"values":{"a":1,"b":1}}"#];
    let late = &answers(window[0], &window[1..])[1];
    assert!(late.contains(r#""b":{"report""#) && late.contains("key `a`: the sample at 1 us is older"), "{late}");
}

#[test]
fn integers_are_exact_and_an_overflow_is_named() {
    let max = r#"{"at":1,"value":18446744073709551615}"#;
    let answers_u64 = answers("raw:DSSum", &[max, r#"{"at":2,"value":1}"#]);
    assert_eq!(answers_u64[0], r#"{"report":"ok","result":18446744073709551615}"#);
    let overflow = r#"{"report":"ok","result":18446744073709551615,"error":"overflow: the sum left the range of its type, the value is the bound"}"#;
    assert_eq!(answers_u64[1], overflow);
    let least = [r#"{"at":1,"value":-9223372036854775808}"#];
    assert_eq!(answers("--type i64 raw:DSNone", &least), [r#"{"report":"ok","result":-9223372036854775808}"#]);
    let third = [r#"{"at":1,"value":3.6000000000000001}"#, r#"{"at":1,"value":9007199254740993}"#];
    let doubles = [r#"{"report":"ok","result":3.6}"#, r#"{"report":"ok","result":9007199254740992.0}"#];
    assert_eq!(answers("--type f64 raw:DSNone", &third), doubles);
}

#[test]
fn a_counter_is_aggregated_by_its_differences() {
    let events = [r#"{"at":1,"value":100}"#, r#"{"at":2,"value":130}"#, r#"{"at":3,"value":10}"#];
    let results: Vec<_> = [100, 30, 10].map(|result| format!(r#"{{"report":"ok","result":{result}}}"#)).into();
    assert_eq!(answers("--metric agg raw:DSNone", &events), results);
    let same: Vec<_> = [100, 130, 10].map(|result| format!(r#"{{"report":"ok","result":{result}}}"#)).into();
    assert_eq!(answers("--metric diff raw:DSNone", &events), same);
}

#[test]
fn a_bad_event_gets_an_error_line_and_changes_no_state() {
    let events = [
        r#"{"at":1,"value":1}"#,
        r#"{"at":2,"value":"2"}"#,
        "",
        "   ",
        "nonsense",
        r#"{"at":3,"value":1,"more":0}"#,
        r#"{"at":4,"value":1}"#,
    ];
    let answers = answers("raw:DSSum", &events);
    assert_eq!(answers.len(), 5, "a blank line has no answer: {answers:?}");
    assert!(answers[1..4].iter().all(|answer| answer.starts_with(r#"{"error":""#)), "{answers:?}");
    assert_eq!(answers[4], r#"{"report":"ok","result":2}"#);
}

/// Rows of arguments, a bad event, and its error.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "raw:DSSum",
        r#"{"at":1,"value":5.0}"#,
        "`value` is 5.0, which is not written as an integer, and the type is u64; write digits only, or choose --type f64",
    ),
    (
        "--type i64 raw:DSSum",
        r#"{"at":1,"value":1e3}"#,
        "`value` is 1e3, which is not written as an integer, and the type is i64; write digits only, or choose --type f64",
    ),
    (
        "raw:DSSum",
        r#"{"at":1,"value":-1}"#,
        "`value` is -1, which does not fit the type u64; send 0 to 18446744073709551615, or choose --type i64",
    ),
    (
        "--type f64 raw:DSSum",
        r#"{"at":1,"value":1e400}"#,
        "`value` is 1e400, too large for an f64; expected a finite number",
    ),
    (
        "raw:DSSum",
        r#"{"at":1,"values":{"a":1}}"#,
        "the pipeline takes one `value`; start with --mstats for maps of `values`",
    ),
    (
        "--mstats raw:DSSum",
        r#"{"at":1,"value":1}"#,
        "the pipeline takes a map of `values`; start without --mstats for one `value`",
    ),
    (
        "raw:DSSum",
        r#"{"at":1,"vlaue":1}"#,
        "unknown field `vlaue`, expected one of `at`, `value`, `values`, `deleted`, `period` at column 15; expected {\"at\":USEC,\"value\":N}, {\"at\":USEC,\"values\":{\"KEY\":N},\"deleted\":[\"KEY\"]} or {\"period\":true}",
    ),
    (
        "--type f64 raw:DSSum",
        r#"{"at":1,"value":NaN}"#,
        "expected value at column 17; expected {\"at\":USEC,\"value\":N}, {\"at\":USEC,\"values\":{\"KEY\":N},\"deleted\":[\"KEY\"]} or {\"period\":true}",
    ),
];

#[test]
fn an_error_states_the_cause_and_the_expected_form() {
    for (arguments, event, expected) in REFUSED {
        assert_eq!(error(arguments, event), *expected, "{arguments}: {event}");
    }
    let back = answers("raw:DSSum:1", &[r#"{"at":9000000,"value":1}"#, r#"{"at":1,"value":1}"#]);
    assert!(back[1].contains("the sample at 1 us is older than the newest"), "{back:?}");
}

#[test]
fn a_line_over_the_limit_is_an_error_and_the_next_one_is_read() {
    let long = format!(r#"{{"at":1,"value":{}}}"#, "1".repeat(2 << 20));
    let answers = answers("raw:DSSum", &[&long, r#"{"at":1,"value":7}"#]);
    assert_eq!(
        answers,
        [
            r#"{"error":"the line has more than 1048576 bytes; send the map in several events"}"#,
            r#"{"report":"ok","result":7}"#
        ]
    );
}

#[test]
fn a_window_is_ready_once_full_and_drops_samples_that_left_it() {
    // A window of 2 s that begins at 0 is full at 2 s, when its first bucket leaves it.
    let events = [0, 1, 2, 5].map(|second| format!(r#"{{"at":{},"value":1}}"#, second * 1_000_000));
    let events: Vec<_> = events.iter().map(String::as_str).collect();
    let answers = answers("raw:DSSum:2", &events);
    assert_eq!(answers[1], r#"{"report":"not_ready"}"#);
    assert_eq!(answers[2], r#"{"report":"ok","result":2}"#);
    assert_eq!(answers[3], r#"{"report":"ok","result":1}"#);
}

#[test]
fn the_newest_time_of_any_key_advances_the_windows_of_all_keys() {
    let events = [
        r#"{"at":0,"values":{"a":1}}"#,
        r#"{"at":3000000,"values":{"a":1}}"#,
        r#"{"at":9000000,"values":{"b":1}}"#,
        r#"{"period":true}"#,
    ];
    let inline = answers("--mstats tsm:DSSum:2", &events);
    assert_eq!(inline[1], r#"{"results":{"a":{"report":"ok","result":1}}}"#);
    let aged = r#"{"results":{"a":{"report":"ok","result":0},"b":{"report":"not_ready"}}}"#;
    assert_eq!(inline[2], aged);
    assert_eq!(answers("--mstats 1-tsm:DSSum:2", &events)[3], aged);
}

#[test]
fn a_bad_annotation_is_shown_with_its_caret_and_exits_2() {
    let run = run(&["eval", "raw:DSSumm"], "");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    let expected =
        "annotation error:\n    raw:DSSumm\n        ^^^^^^\nunknown algorithm `DSSumm`; did you mean `DSSum`?\n";
    assert_eq!(run.stderr, expected);
    for annotation in ["raw:DSAnomaly:EWM:2", "1-raw:DSAnomaly:EWM:0.1", "", "1-raw:DSSum:61"] {
        let run = binary::run(&["eval", annotation], "");
        assert_eq!(run.code, Some(2), "{annotation}");
        assert!(run.stderr.contains('^'), "{annotation}: {}", run.stderr);
    }
}

#[test]
fn wrong_arguments_exit_2() {
    for arguments in [&["eval"][..], &["eval", "--type", "u32", "raw:DSSum"], &["evla"], &[]] {
        assert_eq!(run(arguments, "").code, Some(2), "{arguments:?}");
    }
}

#[test]
fn every_answer_is_flushed_before_the_next_event() {
    let mut child = command(&["eval", "raw:DSSum"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut events = child.stdin.take().expect("standard input is a pipe");
    let mut answers = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    for sum in 1..=3 {
        writeln!(events, r#"{{"at":{sum},"value":1}}"#).expect("the binary reads");
        let mut answer = String::new();
        answers.read_line(&mut answer).expect("the binary answers");
        assert_eq!(answer, format!("{{\"report\":\"ok\",\"result\":{sum}}}\n"));
    }
    drop(events);
    assert!(child.wait().expect("the binary ends").success());
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let mut child = command(&["eval", "raw:DSSum"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let mut events = child.stdin.take().expect("standard input is a pipe");
    // The binary may have exited before the second write.
    let _ = events.write_all(b"{\"at\":1,\"value\":1}\n{\"at\":1,\"value\":1}\n");
    drop(events);
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}
