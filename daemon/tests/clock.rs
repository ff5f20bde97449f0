//! Steps of the wall clock while the daemon runs change no byte of the results.
//!
//! An operator, a time server or a resumed virtual machine can move the clock by any amount in either direction.
//! Debian's `libfaketime` simulates such steps for the real daemon: the test rewrites the file from which it reads the
//! time. It fakes the wall clock only; the monotonic clock cannot step. The test fails if the library is missing;
//! `.ci/setup` installs it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use support::campaign::{Batch, ONE_PARTITION, assert_same, batches, run};
use support::{Daemon, command, results};
use tempfile::TempDir;

/// A wall clock that the test sets.
struct FakeClock {
    library: PathBuf,
    file: PathBuf,
}

impl FakeClock {
    fn new(directory: &Path) -> Self {
        let architectures = std::fs::read_dir("/usr/lib").unwrap().map(Result::unwrap);
        let mut libraries = architectures.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries
            .find(|path| path.exists())
            .expect("no /usr/lib/*/faketime/libfaketimeMT.so.1: install the package `faketime`, as .ci/setup does");
        let clock = Self { library, file: directory.join("time") };
        clock.set("+0");
        clock
    }

    /// An offset from the real time, such as `-2h`, or an absolute local time at which the clock goes on.
    fn set(&self, time: &str) {
        // Renamed into place: the daemon may read at any instant.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{time}\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    fn start(&self, data: &Path) -> Daemon {
        let mut command = command("run", data, &ONE_PARTITION);
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
        Daemon::spawn(command).expect("the daemon starts")
    }
}

/// The steps of a run, one before each part of the input. The last one goes back.
///
/// 2001 and 2010 are before the samples, whose timestamps are not in the future only because stored arrival times never
/// go back.
const STEPS: [&str; 6] = [
    "@2030-01-01 00:00:00",
    "@2029-12-31 22:00:00",
    "@2001-01-01 00:00:00",
    "@2040-01-01 00:00:00",
    "@2030-06-01 00:00:00",
    "@2010-01-01 00:00:00",
];

/// Samples of the configured stream only, so that all are accepted.
fn input() -> Vec<Batch> {
    let mut batches = batches(21);
    for batch in &mut batches {
        let lines = batch.body.lines().filter(|line| line.contains("egress_flow_count"));
        batch.body = lines.map(|line| format!("{line}\n")).collect();
    }
    batches
}

/// Sends a part and waits until it is applied.
fn send(daemon: &Daemon, part: &[Batch]) {
    for batch in part {
        let (status, answer) = daemon.post(batch.body.as_bytes(), Some(&batch.key)).expect("the daemon answers");
        assert_eq!(status, 200, "{answer}");
    }
    daemon.wait_until_applied();
}

/// The status of the only partition.
fn partition(daemon: &Daemon) -> serde_json::Value {
    let (_, body) = daemon.get("/api/v1/partitions");
    let [partition]: [serde_json::Value; 1] = serde_json::from_str(&body).unwrap();
    partition
}

#[test]
fn steps_of_the_wall_clock_change_no_byte_of_the_results() {
    let directory = TempDir::new().unwrap();
    let clock = FakeClock::new(directory.path());
    let input = input();
    let undisturbed = directory.path().join("undisturbed");
    run(&undisturbed, &ONE_PARTITION, &input, None);
    let expected = results(&undisturbed);
    assert!(expected.len() > 50, "the input gives too few results to prove anything");

    for restarts in [false, true] {
        let data = directory.path().join(format!("restarts-{restarts}"));
        let mut daemon = clock.start(&data);
        let mut positions = 0;
        for (time, part) in STEPS.into_iter().zip(input.chunks(input.len() / STEPS.len())) {
            let case = format!("at {time}, restarts: {restarts}");
            clock.set(time);
            if restarts {
                daemon.stop();
                daemon = clock.start(&data);
            }
            send(&daemon, part);
            positions += part.iter().map(|batch| batch.body.lines().count()).sum::<usize>();
            let partition = partition(&daemon);
            assert_eq!(partition["cursor"], positions, "{case}: {partition}");
            assert_eq!(partition["records"]["future"], 0, "{case}: {partition}");
        }
        let messages = daemon.stop();
        let last = messages.lines().next_back().unwrap();
        assert!(last.starts_with("2010-01-01T"), "the daemon did not see the last step: {last}");
        assert_same(&results(&data), &expected, &format!("restarts: {restarts}"));
    }
}
