//! A full disk, and damaged files.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::disk::SmallDisk;
use support::{Answer, Daemon, Random, command, line, results, wait_until};
use tempfile::TempDir;

const PERIOD: u64 = 10_000_000;
const START: u64 = 1_488_000_000_000_000;
const SETTINGS: [&str; 4] =
    ["aggregation.period=10", "aggregation.allowed_lateness=0s", "log.partitions=1", "log.commit_interval=20ms"];

fn batch(window: u64) -> String {
    (0..20).map(|vn| line(&format!("vn{vn}"), "egress_flow_count", START + window * PERIOD, vn + window)).collect()
}

#[test]
fn a_full_disk_rejects_batches_and_the_daemon_continues_once_there_is_space() {
    let disk = SmallDisk::mount("96m");
    let data = disk.path().join("log");
    let daemon = Daemon::start(&data, &SETTINGS);
    assert_eq!(daemon.post(batch(0).as_bytes(), Some("0")).unwrap().0, 200);

    disk.fill();
    let bulk: String = (0..40_000).map(|vn| line(&format!("bulk{vn}"), "egress_flow_count", START, 1)).collect();
    let refused = (0..50).find_map(|attempt| {
        let (status, body) = daemon.post(bulk.as_bytes(), Some(&format!("bulk{attempt}")))?;
        (status != 200).then_some((attempt, status, body))
    });
    let (attempt, status, body) = refused.expect("the disk was never full");
    assert_eq!(status, 503, "{body}");
    assert_eq!(daemon.get("/healthz").0, 200, "no restart would help");
    let (status, reason) = daemon.get("/readyz");
    assert!(status == 503 && reason.to_lowercase().contains("space"), "{status} {reason}");

    disk.free();
    // Nobody writes to a daemon that is not ready, so it must find out by itself.
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    let key = format!("bulk{attempt}");
    let accepted = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        daemon.post(bulk.as_bytes(), Some(&key)).is_some_and(|(status, _)| status == 200)
    });
    assert!(accepted, "the daemon did not go on:\n{}", daemon.stderr());
    assert_eq!(daemon.post(batch(1).as_bytes(), Some("1")).unwrap().0, 200);
    daemon.wait_until_applied();
    daemon.stop();

    // Each acknowledged batch counts once, and so does the rejected one, which was sent again.
    let sum = results(&data).into_iter().find(|line| line.contains("bulk0\"") && line.contains("AggProxySum-"));
    let wanted = format!("{{\"value\":{}}}", attempt + 1);
    assert!(sum.as_ref().is_some_and(|line| line.contains(&wanted)), "wanted {wanted} in {sum:?}");
}

#[test]
fn a_disk_that_is_full_before_the_first_write_is_not_ready_until_there_is_space() {
    let disk = SmallDisk::mount("96m");
    let data = disk.path().join("log");
    let daemon = Daemon::start(&data, &SETTINGS);
    assert_eq!(daemon.post(batch(0).as_bytes(), Some("0")).unwrap().0, 200);
    daemon.wait_until_applied();
    daemon.stop();
    disk.fill();
    let daemon = Daemon::start(&data, &SETTINGS);
    let is_full = |(status, reason): &Answer| *status == 503 && reason.to_lowercase().contains("space");
    for attempt in 0..5 {
        let found = daemon.get("/readyz");
        assert!(is_full(&found), "{attempt}: {found:?}");
        // The rest of a block that the store has already may take a small write.
        daemon.post(batch(1).as_bytes(), Some("1"));
    }
    disk.free();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    assert_eq!(daemon.post(batch(1).as_bytes(), Some("1")).unwrap().0, 200);
    daemon.wait_until_applied();
    // Nor is a daemon to which nobody writes.
    disk.fill();
    daemon.wait_for("/readyz", |found| is_full(found).then_some(()));
    disk.free();
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    daemon.stop();
}

#[test]
fn a_daemon_whose_data_directory_is_deleted_needs_a_restart() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("log");
    let daemon = Daemon::start(&data, &SETTINGS);
    assert_eq!(daemon.post(batch(0).as_bytes(), None).unwrap().0, 200);
    assert_eq!((daemon.get("/healthz").0, daemon.get("/readyz").0), (200, 200));
    std::fs::remove_dir_all(&data).unwrap();
    for probe in ["/healthz", "/readyz"] {
        let (status, reason) = daemon.get(probe);
        assert!(
            status == 503 && reason.contains("is gone") && reason.contains("restart"),
            "{probe}: {status} {reason}"
        );
    }
}

/// What a daemon says that starts a partition over.
const REPLAYS: &str = "the partition replays its retained input";

/// The files of a directory and below, with content.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.metadata().unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// The results after another batch, and what the daemon said; `None` if something noticed damage: the daemon ends where
/// it cannot become ready, and goes on behind damaged results, which the command for results refuses.
fn go_on(data: &Path) -> Option<(Vec<String>, String)> {
    let mut daemon = match Daemon::try_spawn(command("run", data, &SETTINGS)) {
        Ok(daemon) => daemon,
        Err((status, stderr)) => {
            // A failed start exits with 65 for damage, or 64 for what `validate` finds; a panic or a signal gives another status.
            assert!(matches!(status.code(), Some(1 | 64 | 65)), "{}:\n{stderr}", data.display());
            return accept(data, &stderr).then(|| go_on(data))?;
        }
    };
    let is_ready = |daemon: &mut Daemon| match daemon.is_running() {
        true => daemon.try_get("/readyz").is_some_and(|(status, _)| status == 200).then_some(true),
        false => Some(false),
    };
    if wait_until("a daemon that is ready or has ended", || is_ready(&mut daemon)) {
        let (status, _) = daemon.post(batch(4).as_bytes(), None)?;
        assert_eq!(status, 200, "a daemon that is ready takes samples");
        daemon.wait_until_applied();
        let said = daemon.stop();
        if said.contains("Results are damaged") {
            let output = command("results", data, &[]).output().unwrap();
            assert!(!output.status.success(), "the results that the daemon found damaged are printed as good ones");
            return None;
        }
        return Some((results(data), said));
    }
    assert_eq!(daemon.wait().code(), Some(65), "{}", daemon.stderr());
    accept(data, &daemon.stderr()).then(|| go_on(data))?
}

/// Accepts the loss of a state, if that is what the daemon has named; whether it is.
fn accept(data: &Path, stderr: &str) -> bool {
    let permission = data.join("START-OVER");
    assert!(!permission.exists(), "refused although the loss is accepted:\n{stderr}");
    let is_named = stderr.contains(&format!("create the file {} to accept", permission.display()));
    if is_named {
        std::fs::write(permission, "").unwrap();
    }
    is_named
}

#[test]
fn a_damaged_state_is_refused_until_its_loss_is_accepted() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("log");
    let daemon = Daemon::start(&data, &SETTINGS);
    daemon.post(batch(0).as_bytes(), None).unwrap();
    daemon.wait_until_applied();
    daemon.stop();
    let state = files(&data).into_iter().find(|file| file.to_string_lossy().contains("store/state-")).unwrap();
    let mut bytes = std::fs::read(&state).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&state, bytes).unwrap();
    for _ in 0..2 {
        // It may end before it listens, or soon after.
        let (status, said) = Daemon::try_spawn(command("run", &data, &SETTINGS))
            .map_or_else(|ended| ended, |mut daemon| (daemon.wait_for_end(), daemon.stderr()));
        assert_eq!(status.code(), Some(65), "a restart does not help: {said}");
        let parts = ["the saved state of partition 0/", "at byte", "restore a copy", "START-OVER"];
        assert!(parts.iter().all(|part| said.contains(part)) && !said.contains(REPLAYS), "{said}");
    }
    std::fs::write(data.join("START-OVER"), "").unwrap();
    let daemon = Daemon::start(&data, &SETTINGS);
    assert!(!data.join("START-OVER").exists(), "the permission is for one start");
    let said = daemon.stop();
    assert!(said.contains(REPLAYS), "{said}");
    let daemon = Daemon::start(&data, &SETTINGS);
    daemon.wait_for("/readyz", |(status, _)| (*status == 200).then_some(()));
    assert!(!daemon.stop().contains(REPLAYS));
}

#[test]
fn damaged_files_are_rejected_or_change_no_result() {
    let directory = TempDir::new().unwrap();
    let (log, undisturbed) = (directory.path().join("log"), directory.path().join("undisturbed"));
    let daemon = Daemon::start(&log, &SETTINGS);
    for window in 0..4 {
        daemon.post(batch(window).as_bytes(), None).unwrap();
    }
    daemon.wait_until_applied();
    daemon.stop();
    copy(&log, &undisturbed);
    let (expected, _) = go_on(&undisturbed).expect("nothing is wrong with this copy");

    let mut random = Random(3);
    let (mut refused, mut unharmed) = (0, 0);
    for case in 0..24 {
        let data = directory.path().join(format!("case-{case}"));
        copy(&log, &data);
        let files = files(&data);
        let file = &files[random.below(files.len() as u64) as usize];
        let mut bytes = std::fs::read(file).unwrap();
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << random.below(8);
        std::fs::write(file, bytes).unwrap();
        match go_on(&data) {
            None => refused += 1,
            Some((mut results, said)) => {
                // The results of a partition whose state was damaged come again, and are the same.
                if said.contains(REPLAYS) {
                    let mut seen = HashSet::new();
                    results.retain(|line| seen.insert(line.clone()));
                }
                let differs = results.iter().zip(&expected).find(|(found, expected)| found != expected);
                let case = format!("case {case}: bit flipped in {} at {at}", file.display());
                assert!(results.len() == expected.len() && differs.is_none(), "{case}: {differs:?}\n{said}");
                unharmed += 1;
            }
        }
    }
    assert!(refused > 0, "no flip was noticed in {unharmed} cases");
    assert!(unharmed > 0, "{refused} flips were refused, even those in bytes that are not used");
}
