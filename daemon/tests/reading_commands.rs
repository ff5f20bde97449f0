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
