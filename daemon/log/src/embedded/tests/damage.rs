//! Flipped bits and lost writes: the log returns an error and never wrong data.

use super::*;
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
    // Nor is the directory that is there now changed: it may be a copy that was put back.
    copy_dir(&aside, &directory);
    let names =
        || std::fs::read_dir(directory.join("store")).unwrap().map(|it| it.unwrap().file_name()).collect::<Vec<_>>();
    let before = names();
    assert!(log.enforce_retention(u64::MAX).is_err());
    assert_eq!(names(), before);
    std::fs::remove_dir_all(&directory).unwrap();
    std::fs::rename(&aside, &directory).unwrap();
    append(&log, 3 * SECOND, P, &["after"]);
    assert_eq!(payloads(&log, P, 0), ["kept", "after"]);
}

#[test]
fn a_damaged_or_missing_chunk_is_an_error_until_a_reset() {
    let dirs = [dir(), dir(), dir()];
    dirs.iter().for_each(|dir| drop(log_with_state(dir)));
    // A later write, so that the damaged one is not the last, which a crash may tear.
    dirs.iter().for_each(|dir| drop(append(&open(dir), 1, Q, &["later"])));
    flip(&dirs[0], "state", "two");
    let (state, length) = newest(dirs[1].path(), "state");
    std::fs::File::options().write(true).open(state).unwrap().set_len(length as u64 - 1).unwrap();
    let (state, _) = newest(dirs[2].path(), "state");
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, [&bytes[..16], &vec![0; length - 16]].concat()).unwrap();
    for (dir, damaged) in dirs.iter().zip([2, 2, 1]) {
        let log = open(dir);
        let error = log.restore(P).unwrap_err();
        assert!(
            matches!(error, LogError::CorruptState { partition: P, chunk: Some(found), .. } if found == damaged),
            "{error}"
        );
        assert!(error.to_string().contains("state-0000000001"), "{error}");
        let refused = log.commit(vec![commit(P, 2, "s", &[])], 1);
        assert!(matches!(refused, Err(LogError::NotRestored { .. })), "a partition without a complete restore commits");
        log.reset_state(P).unwrap();
        assert_eq!(log.restore(P).unwrap(), None);
        log.commit(vec![commit(P, 2, "fresh", &[])], 1).unwrap();
        assert_eq!(log.restore(P).unwrap().unwrap().chunks, [(1, b"fresh".to_vec())]);
    }
}

#[test]
fn a_damaged_chunk_of_the_last_write_is_no_torn_write_once_that_was_acknowledged() {
    let dir = dir();
    drop(log_with_state(&dir));
    flip(&dir, "state", "two");
    let log = open(&dir);
    assert!(matches!(log.restore(P), Err(LogError::CorruptState { chunk: Some(2), .. })));
    assert_eq!((payloads(&log, P, 0).len(), results(&log)), (2, vec!["r1".to_owned()]));
}

#[test]
fn a_damaged_write_that_others_follow_is_no_torn_write_without_the_witness_either() {
    let dir = dir();
    let log = open(&dir);
    for name in ["one", "two", "three"] {
        log.set_sink_position(name, SinkPosition::default()).unwrap();
    }
    drop(log);
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    flip(&dir, "journal", "two");
    let error = open_error(dir.path());
    assert!(error.to_string().contains("write 2 fails its checksum, and write 3 follows"), "{error}");
    flip(&dir, "journal", "uwo");
    assert!(open(&dir).sink_position("three").unwrap().is_some(), "the files are as they were");
}

#[test]
fn an_empty_chunk_needs_no_file() {
    let dir = dir();
    let log = EmbeddedLog::open_with(dir.path(), LogConfig::default(), [1; 3]).unwrap();
    let mut first = commit(P, 0, "s", &[]);
    first.chunks.push((9, Some(Vec::new())));
    restore_and_commit(&log, vec![first], 1);
    for round in 0..20 {
        log.commit(vec![commit(P, 0, &format!("{round}"), &[])], 1).unwrap();
    }
    drop(log);
    let restored = open(&dir).restore(P).unwrap().unwrap();
    assert_eq!(restored.chunks, [(1, b"19".to_vec()), (9, Vec::new())]);
}

#[test]
fn a_damaged_frame_is_an_error_with_the_file_and_the_offset_and_hides_no_other() {
    let dir = dir();
    let log = open(&dir);
    for text in ["first", "second", "third"] {
        append(&log, 1, P, &[text, text]);
    }
    drop(log);
    flip(&dir, "journal", "second");
    let log = open(&dir);
    for from in [0, 2, 3] {
        let error = log.read(P, from, usize::MAX).unwrap_err();
        assert!(matches!(error, LogError::CorruptFrame { offset: 2 | 3, .. }), "from {from}: {error}");
        assert!(error.to_string().contains("journal-0000000001 at byte"), "{error}");
    }
    assert_eq!(payloads(&log, P, 4), ["third", "third"]);
}

#[test]
fn a_missing_file_of_input_or_results_is_named() {
    let config = LogConfig { max_input_bytes: 0, ..LogConfig::default() };
    for family in ["journal", "results"] {
        let dir = dir();
        let log = EmbeddedLog::open_with(dir.path(), config.clone(), [1; 3]).unwrap();
        for round in 0..3 {
            append(&log, 1, P, &["input"]);
            restore_and_commit(&log, vec![commit(P, 0, "s", &["result"])], round);
        }
        drop(log);
        let mut files: Vec<_> =
            std::fs::read_dir(dir.path().join("store")).unwrap().map(|it| it.unwrap().path()).collect();
        files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(family));
        files.sort();
        std::fs::remove_file(&files[1]).unwrap();
        let error = open_error(dir.path());
        let name = files[1].file_name().unwrap().to_str().unwrap();
        assert!(matches!(&error, LogError::Damaged { location, .. } if location == name), "{family}: {error}");
    }
}

/// Three results of 1 KB in a file each, of which a sink has read `read`; the paths of the files of results.
fn undelivered(dir: &TempDir, read: u64) -> Vec<PathBuf> {
    let log = EmbeddedLog::open_with(dir.path(), LogConfig::default(), [1; 3]).unwrap();
    log.restore(P).unwrap();
    for round in 0..3 {
        log.commit(vec![commit(P, 0, "s", &["r".repeat(1_000).as_str()])], round).unwrap();
    }
    log.set_sink_position("sink", SinkPosition { next: read, detail: Vec::new() }).unwrap();
    drop(log);
    let paths = std::fs::read_dir(dir.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let is_of_results = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("results");
    let mut files: Vec<_> = paths.filter(is_of_results).collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    files
}

#[test]
fn missing_results_that_a_sink_has_not_read_are_rejected_until_the_loss_is_accepted() {
    let dir = dir();
    let files = undelivered(&dir, 0);
    std::fs::remove_file(&files[0]).unwrap();
    std::fs::remove_file(&files[1]).unwrap();
    let permission = dir.path().join("DROP-RESULTS");
    for _ in 0..2 {
        let error = open_error(dir.path());
        assert!(matches!(&error, LogError::LostResults { records: 2, .. }) && error.is_permanent(), "{error}");
        let named = [files[0].to_str().unwrap(), "that sink had not read", permission.to_str().unwrap(), "--salvage"];
        assert!(named.iter().all(|part| error.to_string().contains(part)), "{error}");
    }
    std::fs::write(&permission, "").unwrap();
    let log = open(&dir);
    assert_eq!(
        (log.results_bounds().unwrap(), log.stats().unwrap().results_dropped),
        (Bounds { first: 2, next: 3 }, 2)
    );
    assert!(permission.exists(), "no write has named the missing files");
    append(&log, 1, P, &["a"]);
    assert!(!permission.exists(), "the permission is for these files only");
    drop(log);
    assert_eq!(open(&dir).results_bounds().unwrap(), Bounds { first: 2, next: 3 });
}

#[test]
fn missing_results_that_retention_may_have_deleted_are_no_damage() {
    // Read by the sink, or beyond the hard limit, which counts what is missing.
    let small = LogConfig { max_results_bytes: 0, results_hard_limit_bytes: 2_500, ..LogConfig::default() };
    for (read, config, opens) in [(1, LogConfig::default(), true), (0, small.clone(), true), (0, small, false)] {
        let dir = dir();
        let files = undelivered(&dir, read);
        std::fs::remove_file(&files[0]).unwrap();
        if !opens {
            // Without the oldest one the others are below the limit.
            std::fs::remove_file(&files[1]).unwrap();
        }
        let opened = EmbeddedLog::open(dir.path(), config.clone());
        assert_eq!(opened.is_ok(), opens, "{config:?}: {:?}", opened.err());
    }
}

#[test]
fn a_journal_without_an_acknowledged_write_is_rejected_until_the_operator_accepts_the_loss() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a"]);
    let (_, kept) = newest(dir.path(), "journal");
    append(&log, 1, P, &["b"]);
    drop(log);
    let (path, _) = newest(dir.path(), "journal");
    std::fs::File::options().write(true).open(path).unwrap().set_len(kept as u64).unwrap();
    let error = open_error(dir.path());
    assert!(matches!(error, LogError::LostTail { found: 1, acknowledged: 2, .. }), "{error}");
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    assert_eq!(payloads(&open(&dir), P, 0), ["a"]);
}

/// Every byte of a small store, one bit each: the log has all data or returns an error.
#[test]
fn a_flipped_bit_anywhere_is_an_error_or_changes_no_data() {
    let (dir, copy) = (memory_dir(), memory_dir());
    let log = EmbeddedLog::open_with(dir.path(), LogConfig::default(), [100; 3]).unwrap();
    log.restore(P).unwrap();
    log.stream_id("stream").unwrap();
    log.set_sink_position("sink", SinkPosition { next: 0, detail: b"detail".to_vec() }).unwrap();
    for round in 0..6 {
        let key = Idempotency { key: round.to_string(), body_crc: 1, outcome: b"outcome".to_vec() };
        log.append(batch(round, P, &[&format!("input {round}")]).idempotent(key)).unwrap();
        log.commit(vec![commit(P, round + 1, &format!("state {round}"), &[&format!("{round}")])], round).unwrap();
    }
    let before = everything(&log).unwrap();
    drop(log);
    let mut files = Vec::new();
    list_files(&dir.path().join("store"), &mut files);
    assert!(files.len() > 6, "the store has one file per family only");
    let copied = copy.path().join("data");
    copy_dir(dir.path(), &copied);
    let mut outcomes = std::collections::BTreeMap::<String, usize>::new();
    for (path, length) in files {
        let target = copied.join(path.strip_prefix(dir.path()).unwrap());
        for at in 0..length {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&target, &bytes).unwrap();
            let outcome = match EmbeddedLog::open(&copied, LogConfig::default()).and_then(|log| everything(&log)) {
                Ok(found) => {
                    assert!(found == before, "{} at {at}: wrong data", path.display());
                    "harmless".to_owned()
                }
                Err(error) => format!("{error:?}").chars().take_while(|it| it.is_alphanumeric()).collect(),
            };
            *outcomes.entry(outcome).or_default() += 1;
            // An opening that refuses the files leaves them as they are.
            assert_eq!(std::fs::read(&target).unwrap(), bytes, "{} at {at}", path.display());
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&target, &bytes).unwrap();
        }
    }
    assert!(["Damaged", "LostTail", "CorruptFrame"].iter().all(|kind| outcomes[*kind] > 10), "{outcomes:?}");
}

/// All input, all results, the state and the position of the sink, the idempotency keys and the number of a stream.
pub(super) type Everything =
    (Vec<String>, Vec<String>, Option<Restored>, Option<SinkPosition>, Vec<String>, Option<u16>);

pub(super) fn everything(log: &EmbeddedLog) -> Result<Everything, LogError> {
    let all = |first: u64, read: &dyn Fn(u64) -> Result<RecordBatch, LogError>| {
        let (mut from, mut found) = (first, Vec::new());
        loop {
            let batch = read(from)?;
            if batch.is_empty() {
                return Ok(found);
            }
            found.extend(batch.records().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()));
            from = batch.next_offset();
        }
    };
    let inputs = all(log.bounds(P)?.first, &|from| log.read(P, from, usize::MAX))?;
    let results = all(log.results_bounds()?.first, &|from| log.read_results(from, usize::MAX))?;
    let keys = log.writer.lock()?.known().keys.iter().map(|key| key.key.to_string()).collect();
    Ok((inputs, results, log.restore(P)?, log.sink_position("sink")?, keys, log.find_stream("stream")?))
}

fn list_files(dir: &Path, found: &mut Vec<(PathBuf, usize)>) {
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
