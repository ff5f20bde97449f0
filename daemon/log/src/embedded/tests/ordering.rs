//! Offsets, times, stream numbers, idempotency keys and signals.

use std::time::Duration;

use super::*;

#[test]
fn records_keep_order_key_time_and_offset_after_a_reopening() {
    let dir = dir();
    let log = open(&dir);
    let mut both = batch(7, P, &["a", "b"]);
    both.push(Q, b"other", b"x").unwrap();
    let Appended::Written(written) = log.append(both).unwrap() else { panic!("written before") };
    assert_eq!(written.offsets, [(P, 0..2), (Q, 0..1)]);
    append(&log, 8, P, &["c"]);
    drop(log);

    let log = open(&dir);
    assert_eq!(payloads(&log, P, 0), ["a", "b", "c"]);
    assert_eq!(payloads(&log, P, 1), ["b", "c"]);
    assert_eq!(append(&log, 9, P, &["d"]).offsets, [(P, 3..4)]);
    let read = log.read(Q, 0, 1).unwrap();
    let record = read.records().next().unwrap();
    assert_eq!((record.offset, record.appended_at, record.key), (0, 7, &b"other"[..]));
    assert_eq!(log.bounds(P).unwrap(), Bounds { first: 0, next: 4 });
    assert_eq!(log.bounds(PartitionId::new(9, 9)).unwrap(), Bounds::default());
}

#[test]
fn a_read_returns_about_the_requested_bytes_and_at_least_one_frame() {
    let dir = dir();
    let log = open(&dir);
    for _ in 0..4 {
        append(&log, 1, P, &["x".repeat(100).as_str()]);
    }
    let check = |log: &EmbeddedLog| {
        assert_eq!(log.read(P, 0, 0).unwrap().len(), 1);
        assert_eq!(log.read(P, 1, 200).unwrap().len(), 2);
        assert_eq!(log.read(P, 0, usize::MAX).unwrap().len(), 4);
        assert!(log.read(P, 4, usize::MAX).unwrap().is_empty());
    };
    check(&log);
    drop(log);
    // From the file, and partly from memory.
    let log = open(&dir);
    check(&log);
    append(&log, 1, P, &["x".repeat(100).as_str()]);
    assert_eq!(log.read(P, 0, usize::MAX).unwrap().len(), 5);
}

#[test]
fn an_offset_beyond_the_end_is_out_of_range() {
    let dir = dir();
    let log = open(&dir);
    append(&log, 1, P, &["a"]);
    let error = log.read(P, 2, 1).unwrap_err();
    assert!(matches!(error, LogError::OffsetOutOfRange { requested: 2, bounds: Bounds { first: 0, next: 1 }, .. }));
}

#[test]
fn the_time_of_the_records_never_decreases_even_after_a_reopening() {
    let dir = dir();
    assert_eq!(append(&open(&dir), 100, P, &["a"]).appended_at, 100);
    let log = open(&dir);
    assert_eq!(append(&log, 50, Q, &["b"]).appended_at, 100);
    assert_eq!(append(&log, 101, P, &["c"]).appended_at, 101);
}

#[test]
fn stream_numbers_stay_the_same_after_a_reopening() {
    let dir = dir();
    let log = open(&dir);
    let numbers = ["flows", "bytes"].map(|name| log.stream_id(name).unwrap());
    drop(log);
    let log = open(&dir);
    assert_eq!(["flows", "bytes", "flows"].map(|name| log.stream_id(name).unwrap()), [0, 1, 0]);
    assert_eq!(numbers, [0, 1]);
    assert_eq!(log.stream_id("drops").unwrap(), 2);
    assert!(matches!(log.stream_id(""), Err(LogError::InvalidArgument { .. })));
}

fn keyed(key: &str, body_crc: u32, at: u64) -> AppendBatch {
    let (key, outcome) = (key.to_owned(), format!("outcome of {key}").into_bytes());
    batch(at, P, &["x"]).idempotent(Idempotency { key, body_crc, outcome })
}

fn is_written(appended: Result<Appended, LogError>) -> bool {
    matches!(appended.unwrap(), Appended::Written(_))
}

#[test]
fn a_repeated_idempotency_key_writes_no_record_and_returns_the_first_outcome() {
    let dir = dir();
    assert!(is_written(open(&dir).append(keyed("k", 1, 0))));
    let log = open(&dir);
    let again = log.append(keyed("k", 1, 0)).unwrap();
    assert_eq!(again, Appended::Duplicate { outcome: b"outcome of k".to_vec() });
    assert_eq!(log.bounds(P).unwrap().next, 1);
    let conflict = log.append(keyed("k", 2, 0)).unwrap_err();
    assert!(matches!(conflict, LogError::IdempotencyConflict { key } if key == "k"));
    assert_eq!(log.bounds(P).unwrap().next, 1);
}

#[test]
fn the_key_of_a_batch_without_records_is_looked_up_and_not_stored() {
    let dir = dir();
    let log = open(&dir);
    let empty = |at| AppendBatch { idempotency: keyed("k", 1, at).idempotency, ..AppendBatch::new(at) };
    assert!(is_written(log.append(empty(0))) && is_written(log.append(empty(1))));
    assert_eq!(log.stats().unwrap().idempotency_keys, 0);
    assert!(is_written(log.append(keyed("k", 2, 2))), "it belongs to no body yet");
    assert!(matches!(log.append(empty(3)), Err(LogError::IdempotencyConflict { .. })));
}

#[test]
fn an_idempotency_key_expires_by_age_and_by_count() {
    let dir = dir();
    let config = LogConfig { max_idempotency_keys: 2, idempotency_age_seconds: 10, ..LogConfig::default() };
    let log = EmbeddedLog::open(dir.path(), config.clone()).unwrap();
    assert!(is_written(log.append(keyed("a", 1, 0))));
    assert!(!is_written(log.append(keyed("a", 1, 10 * SECOND))));
    assert!(is_written(log.append(keyed("a", 1, 10 * SECOND + 1))), "expired by age");
    assert_eq!(log.stats().unwrap().idempotency_keys, 1);
    assert!(is_written(log.append(keyed("b", 1, 11 * SECOND))));
    assert!(is_written(log.append(keyed("c", 1, 12 * SECOND))));
    assert_eq!(log.stats().unwrap().idempotency_keys, 2);
    assert!(!is_written(log.append(keyed("b", 1, 12 * SECOND))), "the newer keys stay");
    drop(log);
    let log = EmbeddedLog::open(dir.path(), config).unwrap();
    assert_eq!(log.stats().unwrap().idempotency_keys, 2);
    assert!(is_written(log.append(keyed("a", 1, 12 * SECOND))), "deleted by count");
    assert_eq!(log.enforce_retention(60 * SECOND).unwrap().idempotency_keys, 2);
    assert_eq!(log.stats().unwrap().idempotency_keys, 0);
    assert!(is_written(log.append(keyed("c", 9, 60 * SECOND))));
}

#[test]
fn the_same_key_from_many_threads_is_written_once() {
    let dir = dir();
    let log = open(&dir);
    let written = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| is_written(log.append(keyed("k", 1, 0))))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).filter(|it| *it).count()
    });
    assert_eq!((written, log.bounds(P).unwrap().next), (1, 1));
}

#[test]
fn the_results_of_concurrent_commits_are_contiguous_and_have_no_gaps_after_a_reopening() {
    let dir = dir();
    let log = open(&dir);
    std::thread::scope(|scope| {
        for worker in 0..4_u16 {
            let log = &log;
            scope.spawn(move || {
                let (p, q) = (PartitionId::new(1, worker), PartitionId::new(2, worker));
                log.restore(p).unwrap();
                log.restore(q).unwrap();
                for round in 0..10 {
                    let name = format!("{worker}.{round}");
                    let commits = vec![commit(p, 0, "s", &[&name, &name]), commit(q, 0, "s", &[&name])];
                    log.commit(commits, 1).unwrap();
                }
            });
        }
    });
    let before = results(&log);
    drop(log);
    let log = open(&dir);
    assert_eq!(results(&log), before);
    assert_eq!(before.len(), 4 * 10 * 3);
    for commit in before.chunks(3) {
        assert!(commit.iter().all(|it| *it == commit[0]), "another commit is between them: {commit:?}");
    }
    restore_and_commit(&log, vec![commit(P, 0, "s", &["next"])], 1);
    assert_eq!(log.results_bounds().unwrap().next, 121);
    for worker in 0..4 {
        let of_worker = before.iter().filter(|it| it.starts_with(&format!("{worker}."))).collect::<Vec<_>>();
        assert!(of_worker.is_sorted(), "the order of one worker's commits changed");
    }
}

#[test]
fn an_append_wakes_readers_of_records_and_a_commit_wakes_readers_of_results() {
    let dir = dir();
    let log = open(&dir);
    let long = Duration::from_secs(10);
    let (records, results) = (log.wait_for_records(0, long), log.wait_for_results(0, long));
    append(&log, 1, P, &["a"]);
    assert_ne!(log.wait_for_records(records, long), records);
    assert_eq!(log.wait_for_results(results, Duration::ZERO), results);
    restore_and_commit(&log, vec![commit(P, 1, "s", &["r"])], 1);
    assert_ne!(log.wait_for_results(results, long), results);
    let results = log.wait_for_results(0, long);
    log.wake_all();
    assert_ne!(log.wait_for_results(results, long), results);
}

#[test]
fn the_reserved_stream_and_two_commits_of_one_partition_are_rejected() {
    let dir = dir();
    let log = open(&dir);
    assert!(AppendBatch::new(0).push(PartitionId::new(u16::MAX, 0), b"", b"").is_err());
    log.restore(P).unwrap();
    let twice = log.commit(vec![commit(P, 0, "a", &["r"]), commit(P, 0, "b", &[])], 1);
    assert!(matches!(twice, Err(LogError::InvalidArgument { .. })));
    assert_eq!(log.results_bounds().unwrap().next, 0);
}
