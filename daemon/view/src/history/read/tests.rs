//! Histories without an index: every result is read.

use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog as _, RecordBuffer};

use super::*;

/// A log with so many commits of ten results each, of the objects 0 to 9.
fn log(commits: u64) -> (tempfile::TempDir, EmbeddedLog) {
    let directory = tempfile::tempdir().expect("a directory");
    let log = EmbeddedLog::open(directory.path(), LogConfig::default()).expect("a log");
    let partition = PartitionId::new(0, 0);
    log.restore(partition).expect("an empty partition");
    for commit in 0..commits {
        let mut results = RecordBuffer::default();
        for object in 0..10 {
            let (start, end) = (commit * 60, commit * 60 + 60);
            let data = format!(r#"{{"deleted":false,"value":{commit}}}"#);
            let line = format!(r#"{{"key":"T:{object}","uve":"P","start":{start},"end":{end},"data":{data}}}"#);
            results.push(b"", line.as_bytes()).expect("a small record");
        }
        let commits = vec![PartitionCommit { partition, cursor: 0, meta: vec![], chunks: vec![], results }];
        log.commit(commits, 1000 + commit).expect("a commit");
    }
    (directory, log)
}

fn all() -> Wanted {
    Wanted { key: "T:3".to_owned(), starts: 0..u64::MAX, offsets: 0..u64::MAX, limit: 2000 }
}

fn values(history: &History) -> Vec<f64> {
    history.series.iter().flat_map(|series| &series.points).filter_map(|point| point.2).collect()
}

fn history(log: &EmbeddedLog, wanted: Wanted) -> History {
    read(log, &UveView::default(), &[], wanted).expect("a history")
}

#[test]
fn a_history_has_every_result_of_the_object_in_order() {
    let (_directory, log) = log(300);
    let history = history(&log, all());
    assert_eq!(values(&history), (0..300).map(f64::from).collect::<Vec<_>>());
    assert_eq!((history.first, history.end, history.next, history.committed), (0, 3000, None, Some(1000)));
    assert_eq!(history.series[0].points[7].0, 420);
    assert_eq!(history.unindexed_bytes, history.read_bytes);
}

#[test]
fn pages_of_a_history_join_without_gap_and_overlap() {
    let (_directory, log) = log(300);
    let (mut before, mut found, mut pages) = (u64::MAX, Vec::new(), 0);
    loop {
        let page = history(&log, Wanted { offsets: 0..before, limit: 20, ..all() });
        found.splice(0..0, values(&page));
        pages += 1;
        let Some(next) = page.next else { break };
        before = next;
    }
    assert!(pages > 2, "{pages}");
    assert_eq!(found, (0..300).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn the_small_records_of_an_entry_are_read_together_and_a_large_one_alone() {
    let cases = [(1, 1), (2, 2), (1, 2), (650, 650), (100, 650), (1, 650)];
    assert_eq!(cases.map(|(last, all)| bytes_of(last, all)), [1, 32_769, 1, 65_436, 9_982, 1]);
}

#[test]
fn a_history_ends_at_the_offset_and_has_the_times_that_it_is_asked_for() {
    let (_directory, log) = log(300);
    let newest = history(&log, Wanted { offsets: 2985..u64::MAX, ..all() });
    assert_eq!((values(&newest), newest.first, newest.end), (vec![299.0], 2985, 3000));
    let between = history(&log, Wanted { starts: 600..780, ..all() });
    assert_eq!((values(&between), between.next), (vec![10.0, 11.0, 12.0], None));
    let ahead = history(&log, Wanted { offsets: 9999..u64::MAX, ..all() });
    assert_eq!((values(&ahead), ahead.first, ahead.end), (vec![], 3000, 3000));
}
