//! Commands whose output goes to a pipe that nobody reads any more, as in `results | head`.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod binary;
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use support::{Daemon, line};
use tempfile::TempDir;

const START: u64 = 1_488_000_000_000_000;
const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/derived-statsd.example.toml");

/// The end of a pipe whose other end is closed.
fn closed() -> Stdio {
    std::io::pipe().unwrap().1.into()
}

/// Runs the command with its output closed; the exit code and the messages.
fn run(mut command: Command) -> (Option<i32>, String) {
    command.env("RUST_LOG", "warn");
    let output = command.stdin(Stdio::null()).stdout(closed()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A file with enough samples that the rows do not fit into a buffer.
fn recorded(directory: &Path) -> String {
    let file = directory.join("samples.ndjson");
    let lines: String = (0..5_000).map(|at| line("a", "egress_flow_count", START + at * 60_000_000, 1)).collect();
    std::fs::write(&file, lines).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_command_whose_reader_has_gone_ends_quietly() {
    let data = TempDir::new().unwrap();
    let file = recorded(data.path());
    let daemon = Daemon::start(&data.path().join("daemon"), &[]);
    let url = daemon.url("/");
    let aggregate = ["aggregate", "--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", &file];
    let log = data.path().join("log");
    let replayed = support::command("replay", &log, &["aggregation.period=60"]).arg(&file).output().unwrap();
    assert!(replayed.status.success(), "{replayed:?}");
    let cases: [&[&str]; 12] = [
        &["--help"],
        &["--version"],
        &["explain", "1.DSSum-value:DSAnomaly:EWM:0.1"],
        &["explain", "--json", "raw:DSSum"],
        &["validate", EXAMPLE],
        &["telegraf-config"],
        &["top", "--once", "--url", &url],
        &["top", "--url", &url],
        &aggregate,
        &[&aggregate[..], &["--threads", "2", "--header"]].concat(),
        &["results", "--set", &format!("log.data_dir={}", log.display())],
        &["demo", "--set", "http.listen=127.0.0.1:0"],
    ];
    for arguments in cases {
        let (code, messages) = run(binary::command(arguments));
        assert_eq!((code, messages.as_str()), (Some(0), ""), "{arguments:?}");
    }
    daemon.stop();
}

#[test]
fn results_end_quietly_after_a_reader_of_one_line() {
    let data = TempDir::new().unwrap();
    let log = data.path().join("log");
    let file = recorded(data.path());
    assert!(support::command("replay", &log, &[]).arg(&file).output().unwrap().status.success());
    let mut results = support::command("results", &log, &[]);
    let mut child = results.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(child.stdout.take().unwrap()).lines().next();
    assert!(first.is_some_and(|line| line.is_ok_and(|line| line.starts_with("{\"key\":"))));
    let mut messages = String::new();
    child.stderr.take().unwrap().read_to_string(&mut messages).unwrap();
    assert_eq!((child.wait().unwrap().code(), messages.as_str()), (Some(0), ""));
}

#[test]
fn a_message_that_cannot_be_written_changes_no_exit_code() {
    let data = TempDir::new().unwrap();
    let bad = data.path().join("bad.ndjson");
    std::fs::write(&bad, "no sample\n").unwrap();
    let bad = bad.to_str().unwrap();
    let set = format!("log.data_dir={}", data.path().join("log").display());
    let cases: [(&[&str], i32); 9] = [
        (&["explain", "raw:DSSumm"], 2),
        (&["eval", "raw:DSSumm"], 2),
        (&["aggregate", "--annotation", "raw:DSSumm", bad], 2),
        (&["aggregate", "--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", bad], 0),
        (&["aggregate", "--strict", "--annotation", "1.DSSum-value:DSAnomaly:EWM:0.1", bad], 1),
        (&["validate", "--set", "http.max_body_bytes=0", EXAMPLE], 64),
        (&["run", "--set", "http.max_body_bytes=0"], 64),
        (&["replay", "--set", &set, bad], 0),
        (&["results", "--set", &set, "--unknown"], 2),
    ];
    for (arguments, code) in cases {
        let mut command = binary::command(arguments);
        let status = command.stdin(Stdio::null()).stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(status.code(), Some(code), "{arguments:?}");
    }
}
