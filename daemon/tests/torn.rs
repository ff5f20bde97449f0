//! A torn write after a power cut: the daemon drops that write and no other.
//!
//! The real daemon is killed at `append.mid`: the operating system has its last write, the disk may not, and the client
//! received no response. The test simulates the power cut: it cuts or zeroes the journal within that write. The daemon
//! must start, accept the unacknowledged batch again under its key, and end with the results of an undisturbed run,
//! byte for byte. Acknowledged batches are not sent again. The byte before the torn write belongs to an acknowledged
//! write; the daemon must reject a journal without it.
//!
//! `DERIVED_STATSD_FAULT_SEEDS` sets the number of kills (6 by default), each with several tears.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use support::campaign::{
    Batch, MANY_PARTITIONS, ONE_PARTITION, assert_same, batches, by_object, run, run_until_killed, seeds,
};
use support::{Daemon, Random, command, results};
use tempfile::TempDir;

/// The length of a hole. A disk block is longer, but so are the writes that contain one.
const HOLE_BYTES: u64 = 64;

/// The content after the bytes that reached the disk.
#[derive(Clone, Copy, Debug)]
enum Tear {
    /// Nothing: the new length of the file did not reach the disk either.
    Cut,
    /// Zeros: the new length of the file reached the disk before the bytes.
    Zeroed,
    /// Bytes that did not reach the disk, and then the rest, which did: blocks are not written in order.
    Hole,
}

/// The data directory of a daemon that was killed during a write.
struct Remains {
    directory: TempDir,
    /// The range of the unacknowledged write in the journal.
    unanswered: Range<u64>,
    /// The number of acknowledged batches.
    answered: usize,
}

impl Remains {
    fn of_a_death(settings: &[&str], batches: &[Batch], hit: u64) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        let answered = run_until_killed(&data, settings, batches, &format!("append.mid:{hit}"));
        let path = journal(&data);
        let (last, end) = last_write(&std::fs::read(&path).unwrap());
        Self { directory, unanswered: last..end, answered }
    }

    /// A copy whose journal has the first `kept` bytes and then `tear`.
    fn torn(&self, kept: u64, tear: Tear) -> TempDir {
        let copy = TempDir::new().unwrap();
        copy_directory(&self.directory.path().join("data"), copy.path());
        let file = File::options().write(true).open(journal(copy.path())).unwrap();
        file.set_len(kept).unwrap();
        if matches!(tear, Tear::Zeroed | Tear::Hole) {
            file.set_len(self.unanswered.end + 64 * 1024).unwrap();
        }
        if matches!(tear, Tear::Hole) {
            let bytes = std::fs::read(journal(&self.directory.path().join("data"))).unwrap();
            let rest = (kept + HOLE_BYTES).min(self.unanswered.end);
            file.write_all_at(&bytes[rest as usize..], rest).unwrap();
        }
        copy
    }
}

/// The newest file of the journal.
fn journal(data: &Path) -> PathBuf {
    let paths = std::fs::read_dir(data.join("store")).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("journal-")).max().unwrap()
}

/// The first and the last position of the last write in a journal, by the lengths in the heads of the writes.
fn last_write(journal: &[u8]) -> (u64, u64) {
    let u32_at = |at: usize| u32::from_le_bytes(journal[at..at + 4].try_into().unwrap()) as usize;
    let (mut last, mut at) = (0, 16);
    while at < journal.len() {
        assert_eq!(journal[at], b'R', "no write begins at {at}");
        last = at;
        at += 32 + u32_at(at + 4) + 12 + u32_at(at + 8);
    }
    assert_eq!(at, journal.len(), "the journal does not end with a whole write");
    (last as u64, at as u64)
}

fn copy_directory(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Both ends of the torn write, one byte inside of each, and two offsets in between.
fn cuts(write: &Range<u64>, random: &mut Random) -> [u64; 6] {
    let length = write.end - write.start;
    [0, 1, random.below(length), random.below(length), length - 1, length].map(|kept| write.start + kept)
}

#[test]
fn a_last_write_torn_anywhere_changes_no_byte_of_the_results() {
    let configurations: [&[&str]; 2] = [&ONE_PARTITION, &MANY_PARTITIONS];
    let input = batches(11);
    let expected = configurations.map(|settings| {
        let data = TempDir::new().unwrap();
        run(data.path(), settings, &input, None);
        by_object(results(data.path()))
    });
    assert!(expected.iter().all(|results| results.len() > 50), "the input gives too few results to prove anything");
    for seed in 0..seeds(6) {
        let mut random = Random(seed);
        let which = (seed % 2) as usize;
        let hit = 1 + random.below(input.len() as u64);
        let remains = Remains::of_a_death(configurations[which], &input, hit);
        for (index, kept) in cuts(&remains.unanswered, &mut random).into_iter().enumerate() {
            let tear = [Tear::Cut, Tear::Zeroed][(seed as usize / 2 + index) % 2];
            let case = format!("seed {seed}, killed at append.mid:{hit}, {kept} of {:?}: {tear:?}", remains.unanswered);
            println!("{case}");
            let data = remains.torn(kept, tear);
            assert_eq!(run(data.path(), configurations[which], &input[remains.answered..], None), 0, "{case}");
            assert_same(&by_object(results(data.path())), &expected[which], &case);
        }
    }
}

#[test]
fn a_last_write_with_a_hole_changes_no_result() {
    let input = batches(13);
    let undisturbed = TempDir::new().unwrap();
    run(undisturbed.path(), &ONE_PARTITION, &input, None);
    let expected = results(undisturbed.path());
    let remains = Remains::of_a_death(&ONE_PARTITION, &input, 14);
    for kept in cuts(&remains.unanswered, &mut Random(13)) {
        let case = format!("a hole at {kept} of {:?}", remains.unanswered);
        let data = remains.torn(kept, Tear::Hole);
        run(data.path(), &ONE_PARTITION, &input[remains.answered..], None);
        assert_same(&results(data.path()), &expected, &case);
    }
}

#[test]
fn a_journal_without_an_acknowledged_write_is_rejected_until_the_loss_is_accepted() {
    let input = batches(12);
    let remains = Remains::of_a_death(&ONE_PARTITION, &input, 9);
    let acknowledged = remains.unanswered.start;
    let tears = [(1, Tear::Cut), (1, Tear::Zeroed), (20, Tear::Cut), (300, Tear::Zeroed), (2000, Tear::Cut)];
    for (missing, tear) in tears {
        let case = format!("without the last {missing} bytes that were acknowledged: {tear:?}");
        let data = remains.torn(acknowledged - missing, tear);
        let started = Daemon::try_spawn(command("run", data.path(), &ONE_PARTITION));
        let Err((status, stderr)) = started else { panic!("{case}: it started") };
        assert_eq!(status.code(), Some(65), "{case}:\n{stderr}");
        let witness = data.path().join("acknowledged");
        let remedy = format!("or delete the file {} to accept the loss", witness.display());
        assert!(stderr.contains("was acknowledged: its journal was cut or damaged"), "{case}:\n{stderr}");
        assert!(stderr.contains(&remedy) && stderr.contains("check --salvage NEW"), "{case}:\n{stderr}");

        std::fs::remove_file(witness).unwrap();
        let daemon = Daemon::start(data.path(), &ONE_PARTITION);
        let next = &input[remains.answered];
        assert!(daemon.post(next.body.as_bytes(), Some(&next.key)).is_some_and(|(status, _)| status < 300), "{case}");
        daemon.stop();
    }
}
