//! A log whose disk runs full in the middle of input and is freed later, with and without a kill in between: every
//! acknowledged sample counts once, and the results are those of an undisturbed run, byte for byte.
//!
//! The disk is a small file system in memory. A batch that is answered with an error, or not at all, is sent again
//! under the same idempotency key; an acknowledged one is never sent again. The file of results is on the same disk.
//!
//! Every message has the seed; `DERIVED_STATSD_FAULT_SEEDS` sets the number of seeds (12 by default).

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use support::campaign::{
    Batch, MANY_PARTITIONS, ONE_PARTITION, assert_same, batches, by_object, has_applied, run, seeds,
};
use support::disk::SmallDisk;
use support::{Daemon, Random, command, results};
use tempfile::TempDir;

const SIZE: &str = "8m";

/// How often a producer tries again at most, with a pause after each error.
const ATTEMPTS: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// The failpoints of the start after a full disk.
const POINTS: [&str; 7] =
    ["append.before", "append.mid", "append.after", "commit.before", "commit.mid", "commit.after", "restore.mid"];

/// What happens between the first error of a full disk and the next acknowledged batch.
#[derive(Clone, Copy, Debug)]
enum Disturbance {
    /// The disk is freed.
    None,
    /// A kill; the disk is freed before the daemon starts again.
    Kill,
    /// A kill, and a start on the full disk.
    KillAndStart,
    /// The disk is freed, and a kill follows at once.
    FreeAndKill,
    /// A kill, and another one at a failpoint after the disk is freed.
    KillTwice,
}

const DISTURBANCES: [Disturbance; 5] =
    [Disturbance::None, Disturbance::Kill, Disturbance::KillAndStart, Disturbance::FreeAndKill, Disturbance::KillTwice];

/// A producer with its daemon, whose log is on a small disk.
struct Campaign {
    daemon: Daemon,
    settings: Vec<String>,
    random: Random,
    /// How often a worker could not commit while the disk was full.
    failed_commits: usize,
    // Unmounted after the daemon has ended.
    disk: SmallDisk,
}

impl Campaign {
    fn new(seed: u64, settings: &[&str]) -> Self {
        let disk = SmallDisk::mount(SIZE);
        let file = format!("sinks.file.path={}", disk.path().join("results.jsonl").display());
        let settings: Vec<_> = settings.iter().copied().chain([file.as_str()]).map(str::to_owned).collect();
        let daemon = Daemon::spawn(with_settings(&disk, &settings)).expect("the daemon starts");
        Self { daemon, settings, random: Random(seed), failed_commits: 0, disk }
    }

    fn data(&self) -> PathBuf {
        self.disk.path().join("log")
    }

    /// Starts the daemon, which may be killed at `point`.
    fn start(&mut self, point: Option<&str>) {
        let command = with_settings(&self.disk, &self.settings);
        self.daemon = match point {
            Some(point) => Daemon::doomed(command, point),
            None => Daemon::try_spawn(command).unwrap_or_else(|(status, said)| panic!("{status}:\n{said}")),
        };
    }

    /// Starts the daemon on the full disk. It runs, or ends with an error that names the disk.
    fn start_on_full_disk(&mut self) {
        match Daemon::try_spawn(with_settings(&self.disk, &self.settings)) {
            Ok(daemon) => self.daemon = daemon,
            Err((status, said)) => {
                assert_eq!(status.code(), Some(1), "{said}");
                assert!(said.to_lowercase().contains("space"), "{said}");
            }
        }
    }

    fn kill(&mut self) {
        if self.daemon.is_running() {
            self.daemon.signal("KILL");
        }
        self.daemon.wait();
    }

    /// Sends a batch once; whether it was acknowledged.
    fn is_accepted(&mut self, batch: &Batch) -> bool {
        match self.daemon.post(batch.body.as_bytes(), Some(&batch.key)) {
            // The list of streams may lack one of the input.
            Some((200 | 207, _)) => true,
            Some((503, _)) => false,
            Some((status, answer)) => panic!("{status}: {answer}"),
            None => {
                assert!(!self.daemon.wait().success(), "the daemon ended by itself");
                self.start(None);
                false
            }
        }
    }

    /// Sends a batch until it is acknowledged.
    fn send(&mut self, batch: &Batch) {
        for _ in 0..ATTEMPTS {
            if self.is_accepted(batch) {
                return;
            }
            thread::sleep(PAUSE);
        }
        panic!("the daemon does not go on:\n{}", self.daemon.stderr());
    }

    /// Fills the disk, sends batches until one is refused, and disturbs; returns how many batches were acknowledged.
    fn fill(&mut self, batches: &[Batch], disturbance: Disturbance) -> usize {
        let accepted = batches.iter().position(|batch| {
            // Again after each that was accepted: the store frees space when it opens its files again.
            self.disk.fill();
            !self.is_accepted(batch)
        });
        let accepted = accepted.expect("the disk was never full");
        // At times for longer than a worker waits until it tries again.
        for _ in 0..[0, 1, 3, 25][self.random.below(4) as usize] {
            // A torn write that is cut may free some space, so it may be accepted.
            if self.is_accepted(&batches[accepted]) {
                break;
            }
            thread::sleep(PAUSE);
        }
        self.failed_commits += self.daemon.stderr().matches("The log failed;").count();
        match disturbance {
            Disturbance::None => self.disk.free(),
            Disturbance::Kill => {
                self.kill();
                self.disk.free();
                self.start(None);
            }
            Disturbance::KillAndStart => {
                self.kill();
                self.start_on_full_disk();
                self.disk.free();
                if !self.daemon.is_running() {
                    self.start(None);
                }
            }
            Disturbance::FreeAndKill => {
                self.disk.free();
                self.kill();
                self.start(None);
            }
            Disturbance::KillTwice => {
                self.kill();
                self.disk.free();
                let point = POINTS[self.random.below(POINTS.len() as u64) as usize];
                self.start(Some(&format!("{point}:1")));
            }
        }
        accepted
    }

    /// Stops the daemon once everything is applied.
    fn end(&mut self) {
        loop {
            if has_applied(&mut self.daemon) {
                self.daemon.signal("TERM");
            }
            let status = self.daemon.wait();
            if status.success() {
                return;
            }
            // The failpoint of the last start.
            assert!(status.signal().is_some(), "stopping gave {status}:\n{}", self.daemon.stderr());
            self.start(None);
        }
    }
}

fn with_settings(disk: &SmallDisk, settings: &[String]) -> std::process::Command {
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    command("run", &disk.path().join("log"), &settings)
}

#[test]
fn a_disk_that_runs_full_and_is_freed_changes_no_byte_of_the_results() {
    let configurations: [&[&str]; 2] = [&ONE_PARTITION, &MANY_PARTITIONS];
    let input = batches(31);
    let expected = configurations.map(|settings| {
        let data = TempDir::new().unwrap();
        assert_eq!(run(data.path(), settings, &input, None), 0);
        by_object(results(data.path()))
    });
    assert!(expected.iter().all(|results| results.len() > 50), "the input gives too few results to prove anything");
    let mut failed_commits = 0;
    for seed in 0..seeds(12) {
        let which = (seed % 2) as usize;
        let mut campaign = Campaign::new(seed, configurations[which]);
        let mut rest = &input[..];
        for fault in 0..2 {
            let (before, after) = rest.split_at(1 + campaign.random.below(8) as usize);
            before.iter().for_each(|batch| campaign.send(batch));
            let disturbance = DISTURBANCES[(2 * seed as usize + fault) % DISTURBANCES.len()];
            println!("seed {seed}: full before {}, {disturbance:?}", after[0].key);
            rest = &after[campaign.fill(after, disturbance)..];
        }
        rest.iter().for_each(|batch| campaign.send(batch));
        campaign.end();
        failed_commits += campaign.failed_commits;
        let got = results(&campaign.data());
        let delivered = std::fs::read_to_string(campaign.disk.path().join("results.jsonl")).unwrap();
        let delivered: Vec<_> = delivered.lines().map(str::to_owned).collect();
        assert_same(&delivered, &got, &format!("seed {seed}, the file of results"));
        assert_same(&by_object(got), &expected[which], &format!("seed {seed}"));
    }
    assert!(failed_commits > 0, "the full disk refused no commit, so the runs prove nothing about those");
}
