//! Every state that a power failure can leave of a small history, and what the log makes of it.
//!
//! The history runs once, and each operation on its files is recorded. For each moment the test then builds the
//! directories that a crash may leave: what was synced is there; of what was not, any subset is, and one write of it may
//! be torn or be zeros; a file whose name was not synced may be missing. Each directory must open with the content
//! before the call that was under way, or with the content after it, and take further writes. The opening itself is cut
//! off at each of its operations too.

use std::collections::BTreeMap;

use super::damage::{Everything, everything};
use super::trace::{self, Op, record, recorded};
use super::*;

/// The files of a store by path.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// A call that returned: the number of operations until then, the content after it, the number of its last write.
struct Acknowledged {
    ops: usize,
    content: Everything,
    witness: Vec<u8>,
}

fn config() -> LogConfig {
    LogConfig { max_input_bytes: 0, max_results_bytes: 0, max_results_age_seconds: 0, ..LogConfig::default() }
}

fn open_small(path: &Path) -> Result<EmbeddedLog, LogError> {
    EmbeddedLog::open_with(path, config(), [300; 3])
}

/// Runs the history in `dir`; returns its operations and what each call acknowledged.
fn history(dir: &Path) -> (Vec<Op>, Vec<Acknowledged>) {
    let mut acknowledged = Vec::new();
    let ((), ops) = record(|| {
        let log = open_small(dir).unwrap();
        let mut done = |log: &EmbeddedLog| {
            let witness = std::fs::read(dir.join("acknowledged")).unwrap();
            let content = everything(log).unwrap();
            acknowledged.push(Acknowledged { ops: recorded(), content, witness });
        };
        done(&log);
        log.set_sink_position("sink", SinkPosition { next: 0, detail: b"d".to_vec() }).unwrap();
        done(&log);
        for round in 0..4 {
            let key = Idempotency { key: format!("key {round}"), body_crc: 0, outcome: b"o".to_vec() };
            let input = [format!("input {round}"), "second".to_owned()];
            log.append(batch(round, P, &input.each_ref().map(String::as_str)).idempotent(key)).unwrap();
            done(&log);
            log.restore(P).unwrap();
            let mut next = commit(P, 2 * (round + 1), &format!("state {round}"), &[&format!("result {round}")]);
            // A large chunk that is replaced each time, so that files of state go.
            next.chunks.push((2, Some(vec![round as u8; 400])));
            log.commit(vec![next], round).unwrap();
            done(&log);
            log.set_sink_position("sink", SinkPosition { next: round + 1, detail: b"d".to_vec() }).unwrap();
            done(&log);
            if round == 2 {
                log.enforce_retention(round).unwrap();
                done(&log);
            }
        }
    });
    (ops, acknowledged)
}

/// The call that was under way at a moment: what was acknowledged before it, and what it acknowledges.
fn under_way(acknowledged: &[Acknowledged], moment: usize) -> Option<(&Acknowledged, &Acknowledged)> {
    let done = acknowledged.iter().filter(|it| it.ops <= moment).count();
    let before = &acknowledged[done.checked_sub(1)?];
    Some((before, acknowledged.get(done).unwrap_or(before)))
}

/// The files after operations of which each is done whole.
fn apply(files: &mut Files, op: &Op) {
    match op {
        Op::Create(path) => drop(files.insert(path.clone(), Vec::new())),
        Op::Write(path, at, bytes) => {
            let Some(file) = files.get_mut(path) else { return };
            let end = *at as usize + bytes.len();
            file.resize(file.len().max(end), 0);
            file[*at as usize..end].copy_from_slice(bytes);
        }
        Op::Cut(path, length) => files.get_mut(path).into_iter().for_each(|file| file.truncate(*length as usize)),
        Op::Rename(from, to) => {
            let moved = files.remove(from);
            files.extend(moved.map(|file| (to.clone(), file)));
        }
        Op::Remove(path) => drop(files.remove(path)),
        Op::Sync(_) | Op::FailedSync(_) | Op::SyncDirectory => {}
    }
}

/// The operations of `ops` that a crash after them may undo.
fn undoable(ops: &[Op]) -> Vec<usize> {
    let is_synced = |index: usize, op: &Op| match op {
        Op::Write(path, ..) | Op::Cut(path, _) => {
            let of_file = |later: &&Op| matches!(later, Op::Sync(it) | Op::FailedSync(it) if it == path);
            matches!(ops[index..].iter().find(of_file), Some(Op::Sync(_)))
        }
        Op::Create(_) | Op::Rename(..) | Op::Remove(_) => {
            ops[index..].iter().any(|later| matches!(later, Op::SyncDirectory))
        }
        Op::Sync(_) | Op::FailedSync(_) | Op::SyncDirectory => true,
    };
    (0..ops.len()).filter(|index| !is_synced(*index, &ops[*index])).collect()
}

/// What a crash may leave of a write.
fn torn(op: &Op) -> Vec<Op> {
    let Op::Write(path, at, bytes) = op else { return Vec::new() };
    let mut left = Vec::new();
    for kept in [1, bytes.len() / 2, bytes.len() - 1] {
        left.push(Op::Write(path.clone(), *at, bytes[..kept].to_vec()));
        // The length of the file reached the disk before the rest of the bytes.
        let zeros = [&bytes[..kept], &vec![0; bytes.len() - kept]].concat();
        left.push(Op::Write(path.clone(), *at, zeros));
        let hole = [&vec![0; kept], &bytes[kept..]].concat();
        left.push(Op::Write(path.clone(), *at, hole));
    }
    left
}

/// All files that a crash after `ops` may leave; without `tear` each write is there or not.
fn crashes(ops: &[Op], tear: bool) -> Vec<Files> {
    let undoable = undoable(ops);
    assert!(undoable.len() < 12, "too many operations without a sync");
    let mut all = Vec::new();
    for undone in 0..1_u32 << undoable.len() {
        let is_undone =
            |index: usize| undoable.iter().position(|it| *it == index).is_some_and(|bit| undone >> bit & 1 == 1);
        let build = |torn: Option<(usize, &Op)>| {
            let mut files = Files::new();
            for (index, op) in ops.iter().enumerate() {
                match torn {
                    Some((at, left)) if at == index => apply(&mut files, left),
                    _ if is_undone(index) => {}
                    _ => apply(&mut files, op),
                }
            }
            files
        };
        all.push(build(None));
        for index in undoable.iter().copied().filter(|index| tear && is_undone(*index)) {
            all.extend(torn(&ops[index]).iter().map(|left| build(Some((index, left)))));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// A directory with these files of the store in the place of those of `original`.
fn materialize(files: &Files, original: &Path, target: &Path, witness: &[u8]) {
    let _ = std::fs::remove_dir_all(target);
    std::fs::create_dir_all(target.join("store")).unwrap();
    std::fs::copy(original.join("VERSION"), target.join("VERSION")).unwrap();
    std::fs::write(target.join("acknowledged"), witness).unwrap();
    for (path, bytes) in files {
        std::fs::write(target.join(path.strip_prefix(original).unwrap()), bytes).unwrap();
    }
}

/// Whether a content is that before or after a call, or between them if the call is a retention.
fn is_between(found: &Everything, before: &Everything, after: &Everything) -> bool {
    if found == before || found == after {
        return true;
    }
    let is_suffix = |found: &[String], before: &[String], after: &[String]| {
        before.ends_with(found) && found.ends_with(after) && after.len() < before.len()
    };
    let same = |one: &[String], other: &[String]| one == other;
    let rest = (&found.2, &found.3) == (&before.2, &before.3) && (&found.2, &found.3) == (&after.2, &after.3);
    let either = |found: &[String], before: &[String], after: &[String]| {
        same(found, before) || same(found, after) || is_suffix(found, before, after)
    };
    rest && either(&found.0, &before.0, &after.0) && either(&found.1, &before.1, &after.1)
}

/// The history, and the directory in which crashes are tried.
struct Trial {
    original: PathBuf,
    data: PathBuf,
}

impl Trial {
    /// Opens what a crash left between two contents of the history, and returns what is there.
    fn open(
        &self,
        files: &Files,
        before: &Acknowledged,
        after: &Acknowledged,
        moment: usize,
    ) -> (Everything, EmbeddedLog) {
        materialize(files, &self.original, &self.data, &before.witness);
        let opened = open_small(&self.data).and_then(|log| Ok((everything(&log)?, log)));
        let (found, log) = opened.unwrap_or_else(|error| panic!("after {moment} operations: {error}"));
        assert!(is_between(&found, &before.content, &after.content), "after {moment} operations: {found:?}");
        (found, log)
    }

    /// The operations of an opening, as operations on the original files.
    fn moved(&self, opening: &[Op]) -> Vec<Op> {
        let moved = |path: &PathBuf| self.original.join(path.strip_prefix(&self.data).unwrap());
        let op = |op: &Op| match op {
            Op::Write(path, at, bytes) => Op::Write(moved(path), *at, bytes.clone()),
            Op::Sync(path) => Op::Sync(moved(path)),
            Op::Cut(path, length) => Op::Cut(moved(path), *length),
            Op::Remove(path) => Op::Remove(moved(path)),
            Op::SyncDirectory => Op::SyncDirectory,
            other => panic!("an opening causes {other:?}"),
        };
        opening.iter().map(op).collect()
    }
}

#[test]
fn every_state_after_a_crash_opens_with_whole_writes_only() {
    let (dir, scratch) = (memory_dir(), memory_dir());
    let (ops, acknowledged) = history(dir.path());
    let removed = |family: &str| {
        let is_of = |op: &&Op| matches!(op, Op::Remove(path) if path.to_string_lossy().contains(family));
        ops.iter().filter(is_of).count()
    };
    assert!(["journal-", "results-", "state-"].iter().all(|family| removed(family) > 0), "no file of a family goes");
    let trial = Trial { original: dir.path().to_owned(), data: scratch.path().join("data") };
    let (mut states, mut openings) = (0, 0);
    for moment in 0..=ops.len() {
        let Some((before, after)) = under_way(&acknowledged, moment) else { continue };
        for files in crashes(&ops[..moment], true) {
            states += 1;
            let ((found, log), opening) = record(|| trial.open(&files, before, after, moment));
            log.enforce_retention(0).unwrap();
            append(&log, 9, P, &["after the crash"]);
            drop(log);
            let again = everything(&open_small(&trial.data).unwrap()).unwrap();
            assert!(again.0.len() <= found.0.len() + 1 && again.0.last().unwrap() == "after the crash", "{again:?}");
            assert_eq!((&again.2, &again.4), (&found.2, &found.4), "state and keys");
            // A second crash, during the opening.
            let mut files = files;
            for op in trial.moved(&opening) {
                openings += 1;
                apply(&mut files, &op);
                trial.open(&files, before, after, moment);
            }
        }
    }
    println!("{states} states after a crash, {openings} interrupted openings");
    assert!(states > 500 && openings > 1_000, "{states} states, {openings} interrupted openings");
}

/// A process is killed, so that the system still has its writes; the next one opens the log, and then the power fails.
#[test]
fn what_an_opening_took_for_durable_is_there_after_a_power_failure() {
    let (dir, scratch) = (memory_dir(), memory_dir());
    let (ops, acknowledged) = history(dir.path());
    let trial = Trial { original: dir.path().to_owned(), data: scratch.path().join("data") };
    let mut states = 0;
    for moment in 0..=ops.len() {
        let Some((before, after)) = under_way(&acknowledged, moment) else { continue };
        let mut killed = Files::new();
        ops[..moment].iter().for_each(|op| apply(&mut killed, op));
        let ((found, _), opening) = record(|| trial.open(&killed, before, after, moment));
        let trace = [&ops[..moment], &trial.moved(&opening)].concat();
        for cut in moment..=trace.len() {
            for files in crashes(&trace[..cut], false) {
                states += 1;
                let (again, _) = trial.open(&files, before, after, moment);
                // What the opening showed stays once it has returned.
                assert!(cut < trace.len() || again == found, "after {moment} operations: {again:?}");
            }
        }
    }
    println!("{states} states after a kill and a power failure");
    assert!(states > 1_000, "{states} states");
}

#[test]
fn a_write_whose_sync_failed_is_acknowledged_only_when_it_is_on_the_disk() {
    let (dir, scratch) = (memory_dir(), memory_dir());
    let key = || Idempotency { key: "key".to_owned(), body_crc: 0, outcome: Vec::new() };
    let append = |log: &EmbeddedLog| log.append(batch(1, P, &["again"]).idempotent(key()));
    let mut done = 0;
    let (witness, ops) = record(|| {
        let log = open_small(dir.path()).unwrap();
        super::append(&log, 1, P, &["first"]);
        trace::fail_next_sync();
        assert!(append(&log).unwrap_err().outcome_is_unknown());
        append(&log).unwrap();
        done = recorded();
        super::append(&log, 1, P, &["last"]);
        std::fs::read(dir.path().join("acknowledged")).unwrap()
    });
    let first = Acknowledged { ops: 0, content: Everything::default(), witness };
    for moment in done..=ops.len() {
        for files in crashes(&ops[..moment], true) {
            let data = scratch.path().join("data");
            materialize(&files, dir.path(), &data, if moment == ops.len() { &first.witness } else { b"" });
            let found = payloads(&open_small(&data).unwrap(), P, 0);
            assert!(found.starts_with(&["first".to_owned(), "again".to_owned()]), "{found:?}");
        }
    }
}

#[test]
fn a_crash_during_the_creation_of_a_store_leaves_nothing_that_the_next_one_cannot_use() {
    let (dir, scratch) = (memory_dir(), memory_dir());
    let (log, ops) = record(|| open_small(dir.path()).unwrap());
    drop(log);
    for moment in 0..=ops.len() {
        for files in crashes(&ops[..moment], true) {
            let data = scratch.path().join("data");
            materialize(&files, dir.path(), &data, b"");
            let log = open_small(&data).unwrap_or_else(|error| panic!("after {moment} operations: {error}"));
            append(&log, 1, P, &["first"]);
            drop(log);
            assert_eq!(payloads(&open_small(&data).unwrap(), P, 0), ["first"]);
        }
    }
}
