//! Flipped bits and lost writes: the log returns an error and never wrong data.

use super::*;
use crate::embedded::store::{Batch, Space, Store};
use crate::keys;

/// Changes values in the store of a closed log, with valid checksums of the store itself.
fn tamper(dir: &TempDir, change: impl FnOnce(&Store, &mut Batch)) {
    let store = Store::open(&dir.path().join("store")).unwrap();
    let mut batch = store.batch();
    change(&store, &mut batch);
    store.write(batch, || {}).unwrap();
}

fn log_with_state(dir: &TempDir) -> EmbeddedLog {
    let log = open(dir);
    append(&log, 1, P, &["a", "b"]);
    let mut first = commit(P, 1, "one", &["r1"]);
    first.chunks.push((2, Some(b"two".to_vec())));
    restore_and_commit(&log, vec![first], 1);
    log
}

#[test]
fn nothing_is_acknowledged_in_a_directory_that_is_gone_or_replaced() {
    let parent = dir();
    let (directory, aside) = (parent.path().join("log"), parent.path().join("aside"));
    let log = EmbeddedLog::open(&directory, LogConfig::default()).unwrap();
    append(&log, SECOND, P, &["kept"]);
    std::fs::rename(&directory, &aside).unwrap();
    for replaced in [false, true] {
        if replaced {
            std::fs::create_dir(&directory).unwrap();
        }
        let error = log.append(batch(2 * SECOND, P, &["lost"])).unwrap_err();
        assert!(matches!(&error, LogError::Unavailable { reason } if reason.contains("restart the daemon")), "{error}");
    }
    std::fs::remove_dir(&directory).unwrap();
    std::fs::rename(&aside, &directory).unwrap();
    append(&log, 3 * SECOND, P, &["after"]);
    assert_eq!(payloads(&log, P, 0), ["kept", "after"]);
}

#[test]
fn a_damaged_missing_or_older_chunk_is_an_error_until_a_reset() {
    let flip = |store: &Store, batch: &mut Batch| {
        let mut sealed = store.get(Space::State, &keys::chunk(P, 2)).unwrap().unwrap().to_vec();
        *sealed.last_mut().unwrap() ^= 1;
        batch.insert(Space::State, &keys::chunk(P, 2), sealed);
    };
    let dirs = [dir(), dir(), dir(), dir()];
    dirs.iter().for_each(|dir| drop(log_with_state(dir)));
    tamper(&dirs[0], flip);
    tamper(&dirs[1], |_, batch| batch.remove(Space::State, &keys::chunk(P, 2)));
    let older = {
        let store = Store::open(&dirs[2].path().join("store")).unwrap();
        store.get(Space::State, &keys::chunk(P, 1)).unwrap().unwrap().to_vec()
    };
    restore_and_commit(&open(&dirs[2]), vec![commit(P, 2, "newer", &[])], 1);
    tamper(&dirs[2], |_, batch| batch.insert(Space::State, &keys::chunk(P, 1), older));
    tamper(&dirs[3], |_, batch| batch.remove(Space::State, &keys::head(P)));
    for (dir, chunk) in dirs.iter().zip([Some(2), None, None, None]) {
        let log = open(dir);
        let error = log.restore(P).unwrap_err();
        assert!(
            matches!(error, LogError::CorruptState { partition: P, chunk: found, .. } if found == chunk),
            "{error}"
        );
        let refused = log.commit(vec![commit(P, 2, "s", &[])], 1);
        assert!(matches!(refused, Err(LogError::NotRestored { .. })), "a partition without a complete restore commits");
        log.reset_state(P).unwrap();
        assert_eq!(log.restore(P).unwrap(), None);
        log.commit(vec![commit(P, 2, "fresh", &[])], 1).unwrap();
        assert_eq!(log.restore(P).unwrap().unwrap().chunks, [(1, b"fresh".to_vec())]);
    }
}

#[test]
fn retention_keeps_the_input_of_a_partition_with_a_damaged_head() {
    let dir = dir();
    drop(log_with_state(&dir));
    tamper(&dir, |_, batch| batch.insert(Space::State, &keys::head(P), vec![1; 40]));
    let config = LogConfig { max_input_bytes: 0, max_input_age_seconds: 0, ..LogConfig::default() };
    let log = EmbeddedLog::open(dir.path(), config).unwrap();
    assert_eq!(log.enforce_retention(u64::MAX).unwrap().input_records, 0);
    assert!(matches!(log.restore(P), Err(LogError::CorruptState { chunk: None, .. })));
}

#[test]
fn a_damaged_or_missing_frame_is_an_error_with_the_offset() {
    let dir = dir();
    let log = open(&dir);
    (0..3).for_each(|_| drop(append(&log, 1, P, &["a", "b"])));
    drop(log);
    let middle = keys::frame(P, 2);
    let store = Store::open(&dir.path().join("store")).unwrap();
    let frame = store.get(Space::Input, &middle).unwrap().unwrap().to_vec();
    drop(store);
    let mut flipped = frame.clone();
    *flipped.last_mut().unwrap() ^= 1;
    tamper(&dir, |_, batch| batch.insert(Space::Input, &middle, flipped));
    let error = open(&dir).read(P, 0, usize::MAX).unwrap_err();
    assert!(matches!(error, LogError::CorruptFrame { offset: 2, .. }), "{error}");
    tamper(&dir, |_, batch| batch.remove(Space::Input, &middle));
    let log = open(&dir);
    for from in [0, 2, 3] {
        let error = log.read(P, from, usize::MAX).unwrap_err();
        assert!(matches!(error, LogError::CorruptFrame { offset: 2, .. }), "from {from}: {error}");
    }
    assert_eq!(payloads(&log, P, 4), ["a", "b"]);
}

#[test]
fn a_journal_without_an_acknowledged_write_is_rejected_until_the_operator_accepts_the_loss() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a"]);
    let (_, kept) = journal(dir.path());
    append(&log, 1, P, &["b"]);
    drop(log);
    let (path, _) = journal(dir.path());
    std::fs::File::options().write(true).open(path).unwrap().set_len(kept as u64).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, LogError::LostTail { found: 1, acknowledged: 2, .. }), "{error}");
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    assert_eq!(payloads(&open(&dir), P, 0), ["a"]);
}

/// Writes enough data that the store has tables as well as a journal, then flips one bit at several positions.
#[test]
fn a_flipped_bit_in_any_store_file_is_an_error_or_changes_no_data() {
    let (open_dir, dir, copy) = (dir(), dir(), dir());
    let log = open(&open_dir);
    log.restore(P).unwrap();
    let padding: String =
        (0..40_000_u32).map(|i| char::from(b'a' + (i.wrapping_mul(2_654_435_761) >> 27) as u8 % 26)).collect();
    for round in 0..400 {
        append(&log, round, P, &[&format!("{round} {padding}")]);
        log.commit(vec![commit(P, round + 1, &format!("{round} {padding}"), &[&format!("{round}")])], round).unwrap();
    }
    let before = (payloads(&log, P, 0), results(&log), log.restore(P).unwrap());
    drop(log);
    copy_dir(open_dir.path(), dir.path());
    let control = copy.path().join("control");
    copy_dir(dir.path(), &control);
    assert!(read_all(&control).unwrap() == before, "the copy alone changes the data");
    let mut files = Vec::new();
    list_files(&dir.path().join("store"), &mut files);
    assert!(files.iter().any(|(path, _)| path.to_string_lossy().contains("tables")), "no table was written");
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    for (path, used) in files {
        for at in positions(used) {
            let copied = copy.path().join("data");
            copy_dir(dir.path(), &copied);
            let target = copied.join(path.strip_prefix(dir.path()).unwrap());
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&target, &bytes).unwrap();
            let outcome = match read_all(&copied) {
                Ok(found) => {
                    assert!(found == before, "{} at {at}: wrong data", path.display());
                    "harmless".to_owned()
                }
                Err(error) => format!("{error:?}").chars().take_while(|it| it.is_alphanumeric()).collect(),
            };
            *outcomes.entry(outcome).or_default() += 1;
            std::fs::remove_dir_all(&copied).unwrap();
        }
    }
    assert!(outcomes["Damaged"] > 40 && outcomes["harmless"] > 40, "{outcomes:?}");
}

type Everything = (Vec<String>, Vec<String>, Option<Restored>);

fn read_all(path: &Path) -> Result<Everything, LogError> {
    let log = EmbeddedLog::open(path, LogConfig::default())?;
    let everything = |read: &dyn Fn(u64) -> Result<RecordBatch, LogError>| {
        let (mut from, mut found) = (0, Vec::new());
        loop {
            let batch = read(from)?;
            if batch.is_empty() {
                return Ok(found);
            }
            found.extend(batch.records().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()));
            from = batch.next_offset();
        }
    };
    let inputs = everything(&|from| log.read(P, from, usize::MAX))?;
    let results = everything(&|from| log.read_results(from, usize::MAX))?;
    Ok((inputs, results, log.restore(P)?))
}

/// Five positions of a file: its ends and three between them.
fn positions(used: usize) -> Vec<usize> {
    let mut all: Vec<_> = (0..5).map(|i| i * used.saturating_sub(1) / 4).collect();
    all.dedup();
    if used == 0 { Vec::new() } else { all }
}

fn list_files(dir: &Path, found: &mut Vec<(std::path::PathBuf, usize)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list_files(&path, found);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            found.push((path, bytes.len()));
        }
    }
}
