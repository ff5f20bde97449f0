//! Commands that only read make nothing: no data directory under a name with a typing error.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;

use binary::Run;
use tempfile::TempDir;

const TYPO: &str = "log.data_dir=./typo";
const SAMPLE: &str = "{\"key\":\"T:a\",\"attr\":\"a\",\"ts\":1488000000000000,\"value\":1}\n";

/// Runs the command in an empty directory, in which it must leave nothing.
fn run(arguments: &[&str], input: &str) -> Run {
    let directory = TempDir::new().unwrap();
    let mut command = binary::command(arguments);
    command.current_dir(directory.path());
    let run = binary::finish(command, input);
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}: {run:?}");
    run
}

#[test]
fn results_of_a_directory_without_a_log_are_an_error_that_names_it() {
    for arguments in [&["results", "--set", TYPO][..], &["results", "--from", "7", "--set", TYPO]] {
        let run = run(arguments, "");
        assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
        for part in ["./typo", "log.data_dir", "there is no log"] {
            assert!(run.stderr.contains(part), "no {part:?}: {run:?}");
        }
    }
}

#[test]
fn other_commands_that_read_make_no_data_directory() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/derived-statsd.example.toml");
    let cases: [(&[&str], Option<i32>); 7] = [
        (&["validate", "--set", TYPO, example], Some(0)),
        (&["topics", "--set", TYPO], Some(1)),
        (&["topics", "--create", "--set", TYPO], Some(1)),
        (&["top", "--once", "--url", "http://127.0.0.1:1"], Some(1)),
        (&["explain", "raw:DSSum"], Some(0)),
        (&["eval", "raw:DSSum"], Some(0)),
        (&["aggregate", "--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", "-"], Some(0)),
    ];
    for (arguments, code) in cases {
        let input = if arguments[0] == "aggregate" { SAMPLE } else { "" };
        let run = run(arguments, input);
        assert_eq!(run.code, code, "{arguments:?}: {run:?}");
    }
}

#[test]
fn arguments_that_would_be_ignored_are_refused() {
    let cases: [(&[&str], &str); 15] = [
        (&["top", "--once", "--url", "nonsense"], "expected a URL"),
        (&["top", "--once", "--url", "ftp://127.0.0.1:1"], "expected a URL"),
        (&["top", "--once", "--url", "http://"], "expected a URL"),
        (&["top", "--once", "--url", "http://127.0.0.1:1/?a=b"], "expected a URL"),
        (&["top", "--interval", "99ms"], "at least \"100ms\""),
        (&["top", "--once", "--interval", "2s"], "--once"),
        (&["aggregate", "--threads", "0", "-"], "1..=16"),
        (&["aggregate", "--threads", "17", "-"], "1..=16"),
        (&["aggregate", "--period", "60", "-"], "--annotation"),
        (&["aggregate", "--period", "60", "--schema", "x", "-"], "--schema"),
        (&["aggregate", "--type", "u64", "--schema", "x", "-"], "--schema"),
        (&["aggregate", "--silence", "zero", "--schema", "x", "-"], "--schema"),
        (&["aggregate", "--annotation", "1-value:DSSum", "--schema", "x", "-"], "--schema"),
        (&["aggregate", "--header", "--out", "rows.ndjson", "-"], "leave --header out"),
        (&["telegraf-config", "--adapter", "nonsense"], "expected a URL"),
    ];
    for (arguments, expected) in cases {
        let run = run(arguments, SAMPLE);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(expected), "{arguments:?}: {run:?}");
    }
}

#[test]
fn results_from_behind_the_end_are_refused() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("samples");
    std::fs::write(&file, SAMPLE.replace("\"a\",\"ts\"", "\"egress_flow_count\",\"ts\"")).unwrap();
    let data = format!("log.data_dir={}", directory.path().join("log").display());
    let replay = binary::run(&["replay", "--close-windows", "--set", &data, file.to_str().unwrap()], "");
    assert_eq!(replay.code, Some(0), "{replay:?}");
    let results = |from: &str| binary::run(&["results", "--set", &data, "--from", from], "");
    assert!(results("0").stdout.contains("\"T:a\""));
    assert_eq!((results("1").code, results("1").stdout.as_str()), (Some(0), ""));
    let behind = results("2");
    assert!(behind.code == Some(1) && behind.stderr.contains("--from 2 is behind the end"), "{behind:?}");
}
