//! The file of results under rotation, as logrotate does it: each result is once in the files together.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::Path;
use std::process::Command;

use support::{Daemon, command, line, results, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;

fn samples(periods: std::ops::Range<u64>) -> String {
    periods.map(|period| line("a", "egress_flow_count", START + period * PERIOD, 20)).collect()
}

fn lines(file: &Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Takes the lines of the file in one of the ways of rotation.
type Rotate = fn(&Path) -> Vec<String>;

fn rename(file: &Path) -> Vec<String> {
    let renamed = file.with_extension("1");
    std::fs::rename(file, &renamed).unwrap();
    lines(&renamed)
}

fn rename_and_create(file: &Path) -> Vec<String> {
    let before = rename(file);
    std::fs::write(file, "").unwrap();
    before
}

fn copy_and_truncate(file: &Path) -> Vec<String> {
    let copy = file.with_extension("1");
    std::fs::copy(file, &copy).unwrap();
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
    lines(&copy)
}

fn delete(file: &Path) -> Vec<String> {
    let before = lines(file);
    std::fs::remove_file(file).unwrap();
    before
}

const WAYS: [(&str, Rotate); 4] = [
    ("rename", rename),
    ("rename and create", rename_and_create),
    ("copy and truncate", copy_and_truncate),
    ("delete", delete),
];

/// Rotates the file between two batches, while the daemon runs or between its stop and its next start.
fn each_result_is_once(way: &str, rotate: Rotate, restart: bool) {
    let data = TempDir::new().unwrap();
    let (file, log) = (data.path().join("results.jsonl"), data.path().join("log"));
    let sink = format!("sinks.file.path={}", file.display());
    let settings = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.partitions=1", sink.as_str()];
    let mut daemon = Daemon::start(&log, &settings);
    daemon.post(samples(0..300).as_bytes(), None).unwrap();
    wait_until("the first results", || (lines(&file).len() >= 299).then_some(()));
    let before = if restart {
        daemon.stop();
        let before = rotate(&file);
        daemon = Daemon::start(&log, &settings);
        before
    } else {
        // The position is stored after the lines are there.
        daemon.wait_for("/metrics", |(_, body)| body.contains("sink_lag_results{sink=\"file\"} 0").then_some(()));
        rotate(&file)
    };
    daemon.post(samples(300..304).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    daemon.stop();
    compare(way, before, &file, &log);
}

fn compare(way: &str, before: Vec<String>, file: &Path, log: &Path) {
    let after = lines(file);
    assert!(after.len() >= 3, "{way}: {} lines in the file after the rotation", after.len());
    assert!(!std::fs::read(file).unwrap().contains(&0), "{way}: NUL bytes");
    let written: Vec<String> = before.into_iter().chain(after).collect();
    assert_eq!(written, results(log), "{way}");
}

#[test]
fn each_result_is_once_when_the_file_is_rotated_while_the_daemon_runs() {
    for (way, rotate) in WAYS {
        each_result_is_once(way, rotate, false);
    }
}

#[test]
fn each_result_is_once_when_the_file_is_rotated_between_two_runs() {
    for (way, rotate) in WAYS {
        each_result_is_once(way, rotate, true);
    }
}

#[test]
fn a_path_that_no_retry_mends_is_named_with_its_remedy_and_may_be_mended_while_the_daemon_runs() {
    let data = TempDir::new().unwrap();
    let (directory, log) = (data.path().join("directory"), data.path().join("log"));
    std::fs::write(&directory, "").unwrap();
    let file = directory.join("results.jsonl");
    let sink = format!("sinks.file.path={}", file.display());
    let daemon = Daemon::start(&log, &["aggregation.period=10", "aggregation.allowed_lateness=0s", &sink]);
    let said = daemon.wait_until_said("The sink failed; retries fail until the remedy is applied.");
    assert!(said.contains("name a path whose parents are directories") && said.contains("sinks.file.path"), "{said}");
    let problem = |body: &str| {
        let status: serde_json::Value = serde_json::from_str(body).unwrap();
        let sinks = status["sinks"].as_array().unwrap();
        sinks.iter().find(|sink| sink["name"] == "file").unwrap()["problem"].as_str().map(str::to_owned)
    };
    let shown = daemon.wait_for("/api/v1/status", |(_, body)| problem(body));
    assert!(shown.contains("name a path whose parents are directories"), "{shown}");
    daemon.post(samples(0..4).as_bytes(), None).unwrap();
    std::fs::remove_file(&directory).unwrap();
    std::fs::create_dir(&directory).unwrap();
    wait_until("the results", || (lines(&file).len() >= 3).then_some(()));
    daemon.wait_for("/api/v1/status", |(_, body)| problem(body).is_none().then_some(()));
    let said = daemon.stop();
    assert!(!said.contains("it tries again"), "{said}");
}

#[test]
fn what_cannot_be_a_file_of_results_is_refused_at_the_start() {
    let data = TempDir::new().unwrap();
    let (pipe, link) = (data.path().join("pipe"), data.path().join("link"));
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, &link).unwrap();
    for (path, kind) in [
        (&pipe, "a pipe"),
        (&link, "a pipe"),
        (&data.path().to_owned(), "a directory"),
        (&"/dev/null".into(), "a character device"),
    ] {
        let sink = format!("sinks.file.path={}", path.display());
        let (status, said) = Daemon::try_spawn(command("run", &data.path().join("log"), &[&sink])).err().unwrap();
        assert_eq!(status.code(), Some(64), "{said}");
        assert!(
            said.contains("flag --set: `sinks.file.path`") && said.contains(kind) && said.contains("regular file"),
            "{said}"
        );
    }
}

#[test]
fn standard_output_is_a_file_of_results_where_it_is_redirected_to_one() {
    let data = TempDir::new().unwrap();
    let file = data.path().join("results.jsonl");
    let settings = ["aggregation.period=10", "aggregation.allowed_lateness=0s", "sinks.file.path=/dev/stdout"];
    let run = command("run", &data.path().join("log"), &settings);
    let mut redirected = Command::new("sh");
    redirected.args(["-c", "exec \"$0\" \"$@\" >> \"$RESULTS\""]).arg(run.get_program()).args(run.get_args());
    redirected.env("RESULTS", &file).env("RUST_LOG", "info").env("NO_COLOR", "1");
    let daemon = Daemon::spawn(redirected).unwrap();
    daemon.post(samples(0..4).as_bytes(), None).unwrap();
    wait_until("the results", || (lines(&file).len() >= 3).then_some(()));
    daemon.stop();
}
