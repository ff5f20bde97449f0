//! Steps of the wall clock while the daemon runs change no byte of the results, and a clock that was ahead loses no
//! sample once it is right again.
//!
//! An operator, a time server or a resumed virtual machine can move the clock by any amount in either direction.
//! Debian's `libfaketime` simulates such steps for the real daemon: the test rewrites the file from which it reads the
//! time. It fakes the wall clock only; the monotonic clock cannot step. The test fails if the library is missing;
//! `.ci/setup` installs it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::path::{Path, PathBuf};

use support::campaign::{Batch, ONE_PARTITION, assert_same, batches, run};
use support::{Daemon, command, curl, results, wait_until};
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
        self.start_with(data, &ONE_PARTITION)
    }

    fn start_with(&self, data: &Path, settings: &[&str]) -> Daemon {
        let mut command = command("run", data, settings);
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.file);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
        Daemon::spawn(command).expect("the daemon starts")
    }
}

/// The steps of a run, one before each part of the input. The last one goes back.
///
/// All are after the samples: by a clock that is before them they are of the future.
const STEPS: [&str; 6] = [
    "@2030-01-01 00:00:00",
    "@2029-12-31 22:00:00",
    "@2018-01-01 00:00:00",
    "@2040-01-01 00:00:00",
    "@2030-06-01 00:00:00",
    "@2019-01-01 00:00:00",
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

/// Sends a part, again as long as a step ahead is not believed, and waits until it is applied.
fn send(daemon: &Daemon, part: &[Batch]) {
    for batch in part {
        wait_until("the daemon takes a batch", || {
            let (status, answer) = daemon.post(batch.body.as_bytes(), Some(&batch.key)).expect("the daemon answers");
            assert!(status == 200 || status == 503 && answer.contains("stepped"), "{status} {answer}");
            (status == 200).then_some(())
        });
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
        assert!(last.starts_with("2019-01-01T"), "the daemon did not see the last step: {last}");
        assert_same(&results(&data), &expected, &format!("restarts: {restarts}"));
    }
}

/// A stream of points, whose samples have the time of their arrival unless they have their own.
const POINTS: [&str; 4] = [
    r#"streams=[{ name = "s", metric = "m.value", object = ["a"], period = 2, aggregations = ["t = 2-raw:DSSum"] }]"#,
    "aggregation.allowed_lateness=10s",
    "log.partitions=1",
    "log.commit_interval=20ms",
];

const DAY: u64 = 24 * 3600;

/// The status of a point without a time.
fn point(daemon: &Daemon) -> u16 {
    daemon.post_to("/write", b"m,a=x value=1", None).expect("the daemon answers").0
}

/// The warnings of `/api/v1/status`, which the probes have, too.
fn warnings(daemon: &Daemon) -> Vec<String> {
    let status: serde_json::Value = serde_json::from_str(&daemon.get("/api/v1/status").1).unwrap();
    let warnings = status["warnings"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned());
    let warnings: Vec<_> = warnings.collect();
    for probe in ["/healthz", "/readyz"] {
        let (status, lines) = daemon.get(probe);
        assert_eq!((status, lines.matches("warning: ").count()), (200, warnings.len()), "{probe}: {lines}");
    }
    warnings
}

#[test]
fn a_clock_that_is_a_day_ahead_for_a_moment_makes_no_sample_late() {
    let directory = TempDir::new().unwrap();
    let clock = FakeClock::new(directory.path());
    let daemon = clock.start_with(&directory.path().join("data"), &POINTS);
    assert_eq!((point(&daemon), warnings(&daemon)), (204, vec![]));
    clock.set("+1d");
    let (status, answer) = curl(&["-i", "-d", "m,a=x value=1", &daemon.url("/write")]).unwrap();
    assert_eq!(status, 503, "{answer}");
    let retry = answer.lines().find_map(|line| line.strip_prefix("retry-after: ")).map(|it| it.trim().parse::<u64>());
    assert!(matches!(retry, Some(Ok(1..=11))), "{answer}");
    assert!(answer.contains("stepped 86400 s ahead"), "{answer}");
    let shown = warnings(&daemon);
    assert!(shown.len() == 1 && shown[0].contains("the clock of this machine stepped"), "{shown:?}");
    clock.set("+0");
    assert_eq!((point(&daemon), warnings(&daemon)), (204, vec![]));
    daemon.wait_until_said("The clock is where it was before it stepped ahead.");
    daemon.wait_until_applied();
    let partition = partition(&daemon);
    assert_eq!((&partition["cursor"], &partition["records"]["late"]), (&2.into(), &0.into()), "{partition}");
    let messages = daemon.stop();
    assert_eq!(messages.matches("The clock of this machine stepped ahead.").count(), 1, "{messages}");
}

#[test]
fn a_clock_that_was_ahead_for_long_is_named_and_classifies_no_timestamp_afterwards() {
    let directory = TempDir::new().unwrap();
    let clock = FakeClock::new(directory.path());
    let data = directory.path().join("data");
    let daemon = clock.start_with(&data, &POINTS);
    assert_eq!(point(&daemon), 204);
    clock.set("+1d");
    wait_until("the clock is believed", || (point(&daemon) == 204).then_some(()));
    daemon.wait_until_said("The clock has stayed ahead, and is believed.");
    clock.set("+0");
    let check = |daemon: &Daemon| {
        assert_eq!(point(daemon), 204);
        daemon.wait_until_said("The watermark of a stream is ahead of the clock of this machine");
        let shown = warnings(daemon);
        assert!(shown.len() == 1 && shown[0].contains("the stream s-m_value is 86"), "{shown:?}");
        // A sender that is ahead by less than the clock was.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let ahead = format!("m,a=x value=1 {}", now + DAY - 7200);
        let (status, answer) = daemon.post_to("/write?precision=s", ahead.as_bytes(), None).unwrap();
        assert!(status == 400 && answer.contains("ahead of the arrival"), "{status} {answer}");
    };
    check(&daemon);
    daemon.stop();
    let daemon = clock.start_with(&data, &POINTS);
    check(&daemon);
    // With the clock there, all is right.
    clock.set("+1d");
    daemon.wait_until_said("The watermark of the stream is not ahead of the clock any more.");
}
