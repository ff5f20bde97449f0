//! The content of the log after a restart or a crash.

use super::*;

#[test]
fn what_is_in_the_place_of_the_data_directory_is_named_with_its_remedy() {
    let dir = dir();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    std::fs::write(&file, "").unwrap();
    std::os::unix::fs::symlink(dir.path().join("absent"), &link).unwrap();
    for (path, found) in [(&file, "file is a file, not a directory; move it"), (&link, "absent, which does not exist")]
    {
        for path in [path.clone(), path.join("below")] {
            let error = open_error(&path);
            let text = error.to_string();
            assert!(text.contains(found) && !error.is_temporary() && !text.contains("without a restart"), "{text}");
            assert!(EmbeddedLog::check_format(&path).is_err(), "{}", path.display());
        }
    }
    std::fs::create_dir(dir.path().join("absent")).unwrap();
    drop(EmbeddedLog::open(&link, LogConfig::default()).unwrap());
}

#[test]
fn a_commit_is_restored_with_cursor_meta_and_only_its_live_chunks() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a", "b"]);
    assert_eq!(log.restore(P).unwrap(), None);
    let mut first = commit(P, 1, "one", &["r1"]);
    first.chunks.push((2, Some(b"two".to_vec())));
    first.chunks.push((3, Some(b"three".to_vec())));
    log.commit(vec![first], 2).unwrap();
    let mut second = commit(P, 2, "one again", &["r2"]);
    second.chunks.push((2, None));
    log.commit(vec![second], 3).unwrap();
    drop(log);

    let log = open(&dir);
    let restored = log.restore(P).unwrap().unwrap();
    assert_eq!((restored.cursor, &restored.meta[..]), (2, &b"meta"[..]));
    assert_eq!(restored.chunks, [(1, b"one again".to_vec()), (3, b"three".to_vec())]);
    assert_eq!(results(&log), ["r1", "r2"]);
    assert_eq!(log.restore(Q).unwrap(), None);
}

#[test]
fn a_commit_needs_a_restore_first_and_a_cursor_within_the_input() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a", "b"]);
    let refused = log.commit(vec![commit(P, 1, "s", &["r"])], 1);
    assert!(matches!(refused, Err(LogError::NotRestored { partition: P })));
    restore_and_commit(&log, vec![commit(P, 1, "s", &[])], 1);
    for cursor in [0, 3] {
        // The good partition of the same call must not be written either.
        log.restore(Q).unwrap();
        let refused = log.commit(vec![commit(Q, 0, "q", &["r"]), commit(P, cursor, "s", &["r"])], 1);
        assert!(matches!(refused, Err(LogError::CursorOutOfRange { low: 1, high: 2, .. })));
    }
    assert_eq!((results(&log).len(), log.restore(Q).unwrap()), (0, None));
    drop(log);
    let log = open(&dir);
    let refused = log.commit(vec![commit(P, 2, "s", &[])], 1);
    assert!(matches!(refused, Err(LogError::NotRestored { partition: P })), "a restore counts for one opening");
}

#[test]
fn a_source_commits_its_state_results_and_samples_atomically() {
    let dir = dir();
    let log = open(&dir);
    log.restore(Q).unwrap();
    log.commit_source(commit(Q, 0, "seen", &["r"]), batch(1, P, &["a", "b"])).unwrap();
    drop(log);
    let log = open(&dir);
    let restored = log.restore(Q).unwrap().unwrap();
    assert_eq!((restored.cursor, restored.chunks), (0, vec![(1, b"seen".to_vec())]));
    assert_eq!((results(&log), payloads(&log, P, 0)), (vec!["r".to_owned()], vec!["a".to_owned(), "b".to_owned()]));
    let refused = log.commit_source(commit(P, 0, "s", &["r"]), batch(2, P, &["c"]));
    assert!(matches!(refused, Err(LogError::NotRestored { partition: P })));
    assert_eq!((results(&log).len(), payloads(&log, P, 0).len()), (1, 2), "the refused call wrote a part");
}

#[test]
fn a_full_log_rejects_the_whole_commit_of_a_source() {
    let dir = dir();
    let log = EmbeddedLog::open(dir.path(), LogConfig { max_backlog_bytes: 1, ..LogConfig::default() }).unwrap();
    log.restore(Q).unwrap();
    log.commit_source(commit(Q, 0, "first", &["r"]), batch(1, P, &["a"])).unwrap();
    let refused = log.commit_source(commit(Q, 0, "second", &["r"]), batch(2, P, &["b"]));
    assert!(matches!(refused, Err(LogError::Full { .. })));
    assert_eq!((results(&log).len(), payloads(&log, P, 0).len()), (1, 1));
    log.restore(P).unwrap();
    log.commit(vec![commit(P, 1, "s", &[])], 3).unwrap();
    log.commit_source(commit(Q, 0, "second", &["r"]), batch(4, P, &["b"])).unwrap();
    assert_eq!(log.restore(Q).unwrap().unwrap().chunks, [(1, b"second".to_vec())]);
}

#[test]
fn after_a_reset_a_partition_has_no_state_and_no_cursor() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a", "b"]);
    restore_and_commit(&log, vec![commit(P, 2, "s", &[])], 1);
    assert_eq!(log.stats().unwrap().backlog_bytes, 0);
    log.reset_state(P).unwrap();
    assert!(log.stats().unwrap().backlog_bytes > 0);
    assert_eq!(log.restore(P).unwrap(), None);
    log.commit(vec![commit(P, 1, "again", &[])], 1).unwrap();
    drop(log);
    assert_eq!(open(&dir).restore(P).unwrap().unwrap().chunks, [(1, b"again".to_vec())]);
}

#[test]
fn records_that_were_read_and_not_committed_are_read_again() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a", "b", "c"]);
    restore_and_commit(&log, vec![commit(P, 1, "after a", &["r"])], 1);
    assert_eq!(payloads(&log, P, 1), ["b", "c"]);
    drop(log);
    let log = open(&dir);
    let restored = log.restore(P).unwrap().unwrap();
    assert_eq!(payloads(&log, P, restored.cursor), ["b", "c"]);
    assert_eq!(results(&log), ["r"]);
}

#[test]
fn a_copy_taken_while_the_log_is_open_holds_every_acknowledged_write() {
    let (dir, copy) = (dir(), dir());
    let log = open(&dir);
    log.restore(P).unwrap();
    let mut expected = Vec::new();
    for round in 0..20 {
        let name = format!("record {round}");
        append(&log, round, P, &[&name]);
        log.commit(vec![commit(P, round + 1, &name, &[&name])], round).unwrap();
        expected.push(name);
    }
    let crashed = copy.path().join("data");
    copy_dir(dir.path(), &crashed);
    let copied = EmbeddedLog::open(&crashed, LogConfig::default()).unwrap();
    assert_eq!(payloads(&copied, P, 0), expected);
    assert_eq!(results(&copied), expected);
    assert_eq!(copied.restore(P).unwrap().unwrap().cursor, 20);
}

/// Cuts the journal at every seventh byte of its last KiB.
///
/// A power failure tears a write that was never acknowledged, so the copy has the earlier file `acknowledged`.
#[test]
fn a_journal_torn_anywhere_in_its_tail_holds_every_write_before_the_torn_one() {
    let (dir, copy) = (dir(), dir());
    let log = open(&dir);
    log.restore(P).unwrap();
    let (mut ends, mut acknowledged) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let name = format!("record {round} {}", "x".repeat(60));
        append(&log, round, P, &[&name]);
        log.commit(vec![commit(P, round + 1, &name, &[&name])], round).unwrap();
        ends.push(newest(dir.path(), "journal").1);
        acknowledged.push(std::fs::read(dir.path().join("acknowledged")).unwrap());
    }
    let used = *ends.last().unwrap();
    let taken = copy.path().join("taken");
    copy_dir(dir.path(), &taken);
    for cut in (used - 1024..used).step_by(7) {
        let crashed = copy.path().join(cut.to_string());
        copy_dir(&taken, &crashed);
        let whole = ends.iter().filter(|end| **end <= cut).count();
        std::fs::write(crashed.join("acknowledged"), &acknowledged[whole - 1]).unwrap();
        let (path, _) = newest(&crashed, "journal");
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_len(cut as u64).unwrap();
        // The length of a file may reach the disk before its bytes.
        if cut % 2 == 0 {
            file.set_len(used as u64 + 4096).unwrap();
        }
        let log = EmbeddedLog::open(&crashed, LogConfig::default()).unwrap();
        let (records, results) = (payloads(&log, P, 0).len(), results(&log).len());
        let cursor = log.restore(P).unwrap().unwrap().cursor as usize;
        // The append of the torn round may have survived, its commit not.
        assert!((whole..=whole + 1).contains(&records), "cut at {cut}: {records} records of {whole}");
        assert_eq!((results, cursor), (whole, whole), "cut at {cut}");
        append(&log, 99, P, &["after the crash"]);
        assert_eq!(payloads(&log, P, 0).len(), records + 1);
        std::fs::remove_dir_all(&crashed).unwrap();
    }
}

#[test]
fn a_second_opening_is_rejected_until_the_first_log_is_closed() {
    let dir = dir();
    let log = open(&dir);
    let error = open_error(dir.path());
    assert!(matches!(&error, LogError::Locked { path } if path == dir.path()), "{error}");
    drop(log);
    open(&dir);
}

#[test]
fn an_opening_waits_for_a_log_that_is_closing() {
    let dir = dir();
    let log = open(&dir);
    let ending = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(log);
    });
    open(&dir);
    ending.join().unwrap();
}

#[test]
fn a_directory_of_another_version_or_another_program_is_rejected() {
    let later = dir();
    drop(open(&later));
    std::fs::write(later.path().join("VERSION"), "derived-statsd log 3\n").unwrap();
    let error = open_error(later.path());
    assert!(matches!(&error, LogError::UnknownVersion { found, known: 2, .. } if found.contains("log 3")), "{error}");
    for (damage, found) in [
        (&b""[..], "has \"\""),
        (b"1.2\n", "has \"1.2\""),
        (b"\xff", "not UTF-8"),
        (b"derived-statsd log x", "log x\""),
    ] {
        std::fs::write(later.path().join("VERSION"), damage).unwrap();
        let error = open_error(later.path()).to_string();
        assert!(error.contains(found) && error.contains("echo \"derived-statsd log 2\" > "), "{error}");
    }
    std::fs::write(later.path().join("VERSION"), "derived-statsd log 2\n").unwrap();
    drop(open(&later));
    let foreign = dir();
    std::fs::write(foreign.path().join("thesis.txt"), "precious").unwrap();
    let error = open_error(foreign.path());
    assert!(matches!(&error, LogError::UnknownVersion { found, .. } if found.contains("thesis.txt")), "{error}");
}

#[test]
fn a_store_whose_creation_was_interrupted_is_created_again() {
    let dir = dir();
    drop(open(&dir));
    let (journal, _) = newest(dir.path(), "journal");
    std::fs::rename(&journal, journal.with_file_name("journal-0000000001.new")).unwrap();
    std::fs::remove_file(dir.path().join("acknowledged")).unwrap();
    append(&open(&dir), 1, P, &["a"]);
    assert_eq!(payloads(&open(&dir), P, 0), ["a"]);
}

#[test]
fn sinks_keep_their_positions_until_they_are_removed() {
    let dir = dir();
    let log = open(&dir);
    assert_eq!(log.sink_position("influx").unwrap(), None);
    let position = SinkPosition { next: 5, detail: b"batch 9".to_vec() };
    log.set_sink_position("influx", position.clone()).unwrap();
    drop(log);
    let log = open(&dir);
    assert_eq!(log.sink_position("influx").unwrap(), Some(position));
    log.remove_sink("influx").unwrap();
    drop(log);
    assert_eq!(open(&dir).sink_position("influx").unwrap(), None);
}

#[test]
fn an_existing_log_is_opened_and_none_is_created() {
    let dir = dir();
    for missing in ["missing", "missing/below", "empty", "file"] {
        let path = dir.path().join(missing);
        match missing {
            "empty" => std::fs::create_dir(&path).unwrap(),
            "file" => std::fs::write(&path, "").unwrap(),
            _ => {}
        }
        let refused = EmbeddedLog::open_existing(&path, LogConfig::default()).err().unwrap();
        assert!(matches!(refused, LogError::NoLog { .. }), "{missing}: {refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    }
    assert!(!dir.path().join("missing").exists());
    assert_eq!(std::fs::read_dir(dir.path().join("empty")).unwrap().count(), 0);
    let path = dir.path().join("log");
    drop(EmbeddedLog::open(&path, LogConfig::default()).unwrap());
    assert!(EmbeddedLog::open_existing(&path, LogConfig::default()).is_ok());
}
