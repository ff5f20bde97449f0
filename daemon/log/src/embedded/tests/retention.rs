//! Retention by age and size, and the backlog limit.

use super::*;

/// A log in which each write has its own files, so that retention may delete each of them.
fn with(config: LogConfig) -> (TempDir, EmbeddedLog) {
    let dir = dir();
    let log = reopen(&dir, config);
    (dir, log)
}

fn reopen(dir: &TempDir, config: LogConfig) -> EmbeddedLog {
    EmbeddedLog::open_with(dir.path(), config, [1; 3]).unwrap()
}

/// Ten frames of about 1 KB in `P`, one second apart.
fn fill(log: &EmbeddedLog) {
    for round in 0..10 {
        append(log, round * SECOND, P, &["x".repeat(1_000).as_str()]);
    }
}

#[test]
fn input_that_is_not_applied_is_kept_at_any_age_and_size() {
    let config = LogConfig { max_input_bytes: 0, max_input_age_seconds: 0, ..LogConfig::default() };
    let (dir, log) = with(config.clone());
    fill(&log);
    assert_eq!(log.enforce_retention(u64::MAX).unwrap().input_records, 0);
    restore_and_commit(&log, vec![commit(P, 4, "s", &[])], 1);
    let retained = log.enforce_retention(u64::MAX).unwrap();
    assert_eq!(retained.input_records, 4);
    assert_eq!(log.bounds(P).unwrap(), Bounds { first: 4, next: 10 });
    assert!(matches!(log.read(P, 3, 1), Err(LogError::OffsetOutOfRange { requested: 3, .. })));
    assert_eq!(payloads(&log, P, 4).len(), 6);
    let stats = log.stats().unwrap();
    assert_eq!((stats.oldest_input_at, stats.input_bytes), (Some(4 * SECOND), stats.backlog_bytes));
    drop(log);
    let log = EmbeddedLog::open_with(dir.path(), config, [1; 3]).unwrap();
    assert_eq!(log.bounds(P).unwrap(), Bounds { first: 4, next: 10 });
    assert_eq!(log.stats().unwrap().backlog_bytes, stats.backlog_bytes);
}

#[test]
fn applied_input_is_deleted_by_age_and_by_size_the_oldest_of_all_partitions_first() {
    let (_dir, log) = with(LogConfig { max_input_age_seconds: 100, ..LogConfig::default() });
    fill(&log);
    restore_and_commit(&log, vec![commit(P, 10, "s", &[])], 1);
    assert_eq!(log.enforce_retention(103 * SECOND).unwrap().input_records, 3);

    let (_dir, log) = with(LogConfig { max_input_bytes: 3_500, ..LogConfig::default() });
    for round in 0..5 {
        append(&log, round * SECOND, P, &["x".repeat(1_000).as_str()]);
        append(&log, round * SECOND + 1, Q, &["x".repeat(1_000).as_str()]);
    }
    restore_and_commit(&log, vec![commit(P, 5, "s", &[]), commit(Q, 5, "s", &[])], 1);
    // Each record has a file of its own, whose checkpoint counts as well.
    assert_eq!(log.enforce_retention(0).unwrap().input_records, 8);
    assert_eq!((log.bounds(P).unwrap().first, log.bounds(Q).unwrap().first), (4, 4));
}

#[test]
fn offsets_continue_after_all_records_were_deleted_and_the_log_was_reopened() {
    let config = LogConfig { max_input_age_seconds: 0, max_results_age_seconds: 0, ..LogConfig::default() };
    let (dir, log) = with(config.clone());
    append(&log, 1, P, &["a", "b"]);
    restore_and_commit(&log, vec![commit(P, 2, "s", &["r"])], 1);
    let retained = log.enforce_retention(100).unwrap();
    assert_eq!((retained.input_records, retained.results), (2, 1));
    drop(log);
    let log = EmbeddedLog::open_with(dir.path(), config, [1; 3]).unwrap();
    assert_eq!(log.bounds(P).unwrap(), Bounds { first: 2, next: 2 });
    assert_eq!(append(&log, 1, P, &["c"]).offsets, [(P, 2..3)]);
    restore_and_commit(&log, vec![commit(P, 3, "s", &["r2"])], 1);
    assert_eq!(log.results_bounds().unwrap(), Bounds { first: 1, next: 2 });
    assert_eq!((payloads(&log, P, 2), results(&log)), (vec!["c".to_owned()], vec!["r2".to_owned()]));
}

/// Ten results of about 1 KB, one second apart.
fn fill_results(log: &EmbeddedLog) {
    log.restore(P).unwrap();
    for round in 0..10 {
        let result = "r".repeat(1_000);
        log.commit(vec![commit(P, 0, "s", &[&result])], round * SECOND).unwrap();
    }
}

fn sink_at(log: &EmbeddedLog, name: &str, next: u64) {
    log.set_sink_position(name, SinkPosition { next, detail: Vec::new() }).unwrap();
}

#[test]
fn results_are_kept_for_the_slowest_sink_until_the_hard_limit() {
    let config = LogConfig { max_results_age_seconds: 0, max_results_bytes: 0, ..LogConfig::default() };
    let (_dir, log) = with(config.clone());
    fill_results(&log);
    sink_at(&log, "fast", 9);
    sink_at(&log, "slow", 3);
    let retained = log.enforce_retention(u64::MAX).unwrap();
    assert_eq!((retained.results, retained.results_dropped), (3, 0));
    log.remove_sink("slow").unwrap();
    assert_eq!(log.enforce_retention(u64::MAX).unwrap().results, 6);

    let (dir, log) = with(LogConfig { results_hard_limit_bytes: 4_400, ..config.clone() });
    fill_results(&log);
    sink_at(&log, "stopped", 2);
    let retained = log.enforce_retention(0).unwrap();
    assert_eq!((retained.results, retained.results_dropped), (6, 4));
    drop(log);
    let log = EmbeddedLog::open_with(dir.path(), config, [1; 3]).unwrap();
    assert_eq!(log.stats().unwrap().results_dropped, 4);
    assert!(matches!(log.read_results(2, 1), Err(LogError::OffsetOutOfRange { .. })));
}

#[test]
fn without_a_sink_results_are_deleted_by_age() {
    let (_dir, log) = with(LogConfig { max_results_age_seconds: 5, ..LogConfig::default() });
    fill_results(&log);
    let retained = log.enforce_retention(9 * SECOND).unwrap();
    assert_eq!((retained.results, retained.results_dropped), (4, 0));
}

#[test]
fn an_append_over_the_backlog_limit_is_rejected_until_input_is_applied() {
    let (_dir, log) = with(LogConfig { max_backlog_bytes: 3_500, ..LogConfig::default() });
    for _ in 0..3 {
        append(&log, 1, P, &["x".repeat(1_000).as_str()]);
    }
    let full = log.append(batch(1, Q, &["x".repeat(1_000).as_str()])).unwrap_err();
    assert!(matches!(full, LogError::Full { limit_bytes: 3_500, .. }), "{full}");
    assert!(full.is_temporary() && !full.outcome_is_unknown());
    assert_eq!(log.bounds(Q).unwrap().next, 0);
    restore_and_commit(&log, vec![commit(P, 1, "s", &[])], 1);
    append(&log, 1, Q, &["x".repeat(1_000).as_str()]);
}

#[test]
fn an_empty_backlog_accepts_a_batch_larger_than_the_limit() {
    let (_dir, log) = with(LogConfig { max_backlog_bytes: 10, ..LogConfig::default() });
    append(&log, 1, P, &["x".repeat(1_000).as_str()]);
    assert!(matches!(log.append(batch(1, P, &["x"])), Err(LogError::Full { .. })));
}

#[test]
fn a_partition_that_never_commits_keeps_only_the_files_with_its_own_input() {
    let config = LogConfig { max_input_bytes: 0, ..LogConfig::default() };
    let (dir, log) = with(config.clone());
    append(&log, 0, P, &["never applied"]);
    for _ in 0..20 {
        append(&log, 1, Q, &["applied"]);
    }
    restore_and_commit(&log, vec![commit(Q, 20, "s", &[])], 1);
    assert_eq!(log.enforce_retention(SECOND).unwrap().input_records, 20);
    assert_eq!(log.bounds(Q).unwrap(), Bounds { first: 20, next: 20 });
    let files = || std::fs::read_dir(dir.path().join("store")).unwrap().count();
    assert!(files() <= 5, "{} files", files());
    append(&log, 2, Q, &["later"]);
    let oldest = log.stats().unwrap().oldest_input_at;
    drop(log);
    let log = reopen(&dir, config);
    assert_eq!((payloads(&log, P, 0), payloads(&log, Q, 20)), (vec!["never applied".into()], vec!["later".into()]));
    assert_eq!((log.stats().unwrap().oldest_input_at, oldest), (Some(0), Some(0)));
}

#[test]
fn bounds_do_not_go_back_after_a_retention_that_was_interrupted() {
    let config = LogConfig { max_input_bytes: 0, max_results_bytes: 0, ..LogConfig::default() };
    let (dir, log) = with(config.clone());
    log.restore(P).unwrap();
    for round in 0..4 {
        append(&log, round, P, &["input"]);
        log.commit(vec![commit(P, round + 1, "s", &["result"])], round).unwrap();
    }
    drop(log);
    // As a kill leaves it between the deletion of a file and the write that records it.
    for family in ["journal", "results"] {
        let paths = std::fs::read_dir(dir.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
        let is_of = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(family);
        std::fs::remove_file(paths.filter(is_of).min().unwrap()).unwrap();
    }
    let log = reopen(&dir, config.clone());
    assert_eq!((log.bounds(P).unwrap().first, log.results_bounds().unwrap().first), (1, 1));
    log.enforce_retention(SECOND).unwrap();
    log.reset_state(P).unwrap();
    let bounds = (log.bounds(P).unwrap(), log.results_bounds().unwrap());
    assert_eq!((bounds.0.first, bounds.1.first), (4, 4));
    drop(log);
    let log = reopen(&dir, config);
    assert_eq!((log.bounds(P).unwrap(), log.results_bounds().unwrap()), bounds);
}

#[test]
fn retention_in_many_steps_deletes_all_deletable_input() {
    let (_dir, log) = with(LogConfig { max_input_age_seconds: 0, ..LogConfig::default() });
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let log = &log;
            scope.spawn(move || (0..300).for_each(|_| drop(append(log, 1, PartitionId::new(3, worker), &["x"]))));
        }
    });
    let commits: Vec<_> = (0..8).map(|worker| commit(PartitionId::new(3, worker), 300, "s", &[])).collect();
    restore_and_commit(&log, commits, 1);
    assert_eq!(log.enforce_retention(100).unwrap().input_records, 2_400);
    assert_eq!(log.stats().unwrap().input_bytes, 0);
}
