//! Kills a child process at every failpoint and checks its log; runs with the feature `fault-points`.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use daemon_base::failpoint;

use super::*;

const ROUNDS: u64 = 4;
const DIR: &str = "LOG_OF_THE_KILLED_CHILD";
const SIGKILL: i32 = 9;

fn config() -> LogConfig {
    LogConfig { max_input_age_seconds: 0, ..LogConfig::default() }
}

/// Appends each record once, applies it once, and prints each acknowledged call.
#[test]
#[ignore = "run as a child process by the test below"]
fn child() {
    let log = EmbeddedLog::open(Path::new(&std::env::var(DIR).unwrap()), config()).unwrap();
    for round in 0..ROUNDS {
        let (key, outcome) = (format!("request {round}"), Vec::new());
        let append = batch(round * SECOND, P, &[&format!("record {round}")]);
        log.append(append.idempotent(Idempotency { key, body_crc: 0, outcome })).unwrap();
        println!("\nappended");
        let cursor = log.restore(P).unwrap().map_or(0, |restored| restored.cursor);
        for record in log.read(P, cursor, usize::MAX).unwrap().records() {
            let result = format!("result of {}", String::from_utf8_lossy(record.payload));
            log.commit(vec![commit(P, record.offset + 1, &result, &[&result])], 0).unwrap();
            println!("\ncommitted");
        }
        log.enforce_retention(round * SECOND + 1).unwrap();
    }
}

fn run_child(dir: &TempDir, kill_at: Option<String>) -> Output {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "embedded::tests::kill::child", "--ignored", "--nocapture"]);
    child.env(DIR, dir.path());
    kill_at.map(|kill_at| child.env(failpoint::KILL_AT, kill_at));
    child.output().unwrap()
}

fn printed(output: &Output, line: &str) -> usize {
    String::from_utf8_lossy(&output.stdout).lines().filter(|printed| *printed == line).count()
}

#[test]
fn a_kill_at_any_failpoint_loses_no_record_and_counts_none_twice() {
    // The failpoints of Kafka transactions belong to the other log, those of a change to the whole daemon, and that of a
    // move to its command.
    let is_other = |name: &str| {
        ["transaction.", "change.", "migrate."].iter().any(|of| name.starts_with(of)) || name.ends_with(".run")
    };
    for name in failpoint::POINTS.into_iter().filter(|name| !is_other(name)) {
        for hit in 1..=3 {
            let case = format!("{name}:{hit}");
            let dir = dir();
            let killed = run_child(&dir, Some(case.clone()));
            assert_eq!(killed.status.signal(), Some(SIGKILL), "{case}: {killed:?}");
            let log = EmbeddedLog::open(dir.path(), config()).unwrap();
            let cursor = log.restore(P).unwrap().map_or(0, |restored| restored.cursor) as usize;
            assert!(log.bounds(P).unwrap().next as usize >= printed(&killed, "appended"), "{case}");
            assert!(cursor >= printed(&killed, "committed"), "{case}");
            assert_eq!(results(&log).len(), cursor, "{case}");
            drop(log);
            let finished = run_child(&dir, None);
            assert!(finished.status.success(), "{case}: {finished:?}");
            let log = EmbeddedLog::open(dir.path(), config()).unwrap();
            let expected: Vec<_> = (0..ROUNDS).map(|round| format!("result of record {round}")).collect();
            assert_eq!((results(&log), log.bounds(P).unwrap().next), (expected, ROUNDS), "{case}");
        }
    }
}
