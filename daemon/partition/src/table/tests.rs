//! Tests of the partition's table: records and time in, commits out.

use std::sync::atomic::{AtomicU64, Ordering};

use daemon_alarms::row::AlarmRow;
use daemon_base::observation::{Observations, Observer};
use daemon_results::record::RecordReader;
use proxy_uve::derived_stats::ValueType;
use proxy_uve::schema::ProxyType;
use proxy_uve::schema::Schema;
use proxy_uve::{Plan, Position, StreamName};

use super::*;
use crate::Due;

const SECOND: Duration = Duration::from_secs(1);
const START: u64 = 1_488_000_000_000_000;
const SOURCE: u16 = 3;
const EVERY_SECOND: Due = Due { all: false, linger: Duration::from_millis(200), interval: SECOND };

fn stream_of(observations: &Observations) -> Arc<StreamPlan> {
    let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    let types = [Arc::clone(Schema::builtin().get("AggProxySum").unwrap())];
    Arc::new(StreamPlan::new(Arc::new(Plan::new(stream, &types)), observations))
}

fn stream() -> Arc<StreamPlan> {
    stream_of(&Observations::default())
}

fn fresh() -> PartitionTable {
    let mut table = PartitionTable::new(stream(), TableSettings::default(), 64 * 1024);
    table.begin(Duration::ZERO);
    table
}

/// Applies one sample of an object, `seconds` after the start.
fn sample(table: &mut PartitionTable, offset: u64, seconds: u64, now: Duration) {
    let timestamp = START + seconds * 1_000_000;
    let payload = format!("{{\"ts\":{timestamp},\"value\":7}}");
    let record = Record {
        position: Position::new(offset),
        arrived: timestamp,
        key: b"ObjectVNTable:vn1",
        payload: payload.as_bytes(),
    };
    table.apply(SOURCE, [record].into_iter(), offset + 1, now, |_| {});
}

fn results(table: &mut PartitionTable, now: Duration) -> usize {
    table.prepare_commit(now).unwrap().results.records().count()
}

#[test]
fn results_wait_for_the_linger_and_progress_for_the_interval() {
    let mut table = fresh();
    assert!(!table.is_due(10 * SECOND, Due { all: true, ..EVERY_SECOND }), "there is no change");
    sample(&mut table, 0, 0, SECOND / 2);
    let cases = [(SECOND / 2, EVERY_SECOND, false), (SECOND, EVERY_SECOND, true)];
    for (now, due, expected) in cases {
        assert_eq!(table.is_due(now, due), expected, "{now:?}");
    }
    assert!(table.is_due(SECOND / 2, Due { all: true, ..EVERY_SECOND }));
    assert_eq!(results(&mut table, SECOND), 0);
    assert!(!table.is_due(10 * SECOND, EVERY_SECOND), "nothing moved since the commit");
    // Two minutes later the first window is over: a result.
    sample(&mut table, 1, 120, SECOND);
    assert!(!table.is_due(SECOND, EVERY_SECOND));
    assert!(table.is_due(SECOND + EVERY_SECOND.linger, EVERY_SECOND));
    assert_eq!(results(&mut table, 2 * SECOND), 1);
    assert_eq!(table.cursor(SOURCE), Some(2));
}

/// Each reading of its clock is a second later.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_micros(&self) -> u64 {
        START
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

#[test]
fn the_time_of_closing_is_measured_by_the_period_of_the_windows() {
    let named = |name: &str, minutes: u64| {
        let period = Duration::from_secs(60 * minutes);
        ProxyType::builder(name, ValueType::U64).period(period).result("sum", "1-raw:DSSum").build().unwrap()
    };
    let types = [Arc::new(named("Short", 1)), Arc::new(named("Long", 2))];
    let plan = Plan::new(StreamName::new("Agent", "flows").unwrap(), &types);
    let stream = Arc::new(StreamPlan::new(Arc::new(plan), &Observations::default()));
    let settings = TableSettings::default().with_allowed_lateness(Duration::ZERO).with_close_per_record(64);
    let mut table = PartitionTable::new(stream, settings, 64 * 1024);
    table.begin(Duration::ZERO);
    sample(&mut table, 0, 0, SECOND);
    // The record closes the first of three windows that are due.
    sample(&mut table, 1, 120, SECOND);
    assert!(table.is_closing());
    let mut measured = Vec::new();
    table.close_more_measured(64, &Ticking::default(), |period, took| measured.push((period / 60_000_000, took)));
    assert_eq!(measured, [(1, SECOND)], "no more than what was asked for");
    table.close_more_measured(1_000, &Ticking::default(), |period, took| measured.push((period / 60_000_000, took)));
    assert_eq!(measured, [(1, SECOND), (2, SECOND)]);
    assert!(!table.is_closing());
    let status = table.status();
    assert_eq!(*status.types, ["Short", "Long"]);
    assert_eq!(status.objects_by_type, [1, 1]);
    assert_eq!(results(&mut table, SECOND), 1, "one block");
}

#[test]
fn windows_close_by_the_clock_only_in_confirmed_idle_time() {
    let idle = 5 * SECOND;
    let mut table = fresh();
    sample(&mut table, 0, 0, Duration::ZERO);
    let confirm = |table: &mut PartitionTable, seconds: std::ops::Range<u32>| {
        seconds.for_each(|second| table.confirm_at_end(second * SECOND, idle));
    };
    confirm(&mut table, 0..80);
    assert_eq!(results(&mut table, 80 * SECOND), 0, "60 s of window and 30 s of lateness are not over");
    // For an hour there was no confirmation, so that time is not idle.
    confirm(&mut table, 3600..3605);
    assert_eq!(results(&mut table, 3605 * SECOND), 0, "an outage counted as idle time");
    confirm(&mut table, 3605..3700);
    assert_eq!(results(&mut table, 3700 * SECOND), 1);
}

#[test]
fn a_record_ends_the_idle_time() {
    let mut table = fresh();
    sample(&mut table, 0, 0, Duration::ZERO);
    for second in 0..200 {
        let now = second * SECOND;
        table.confirm_at_end(now, 100 * SECOND);
        if second % 60 == 59 {
            table.record_came(now);
        }
    }
    assert_eq!(results(&mut table, 200 * SECOND), 0);
    assert_eq!(table.idle(200 * SECOND), 21 * SECOND);
}

#[test]
fn a_restored_table_continues_and_detects_a_state_of_a_newer_version() {
    let (mut table, mut undisturbed) = (fresh(), fresh());
    for table in [&mut table, &mut undisturbed] {
        sample(table, 0, 0, Duration::ZERO);
    }
    let commit = table.prepare_commit(SECOND).unwrap();
    let chunks: Vec<_> = commit.chunks.into_iter().filter_map(|(id, bytes)| Some((id, bytes?))).collect();
    let restore = |meta: &[u8]| {
        let chunks = chunks.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
        let cursors = table.cursors().clone();
        PartitionTable::restore(stream(), TableSettings::default(), 64 * 1024, meta, chunks, cursors)
    };
    let mut restored = restore(&commit.meta).unwrap();
    restored.begin(SECOND);
    assert!(restored.restored().is_some_and(|states| states.kept > 0 && states.started.is_empty()));
    assert!(!restored.is_due(60 * SECOND, EVERY_SECOND), "a restored table has no uncommitted change");
    for table in [&mut restored, &mut undisturbed] {
        sample(table, 1, 120, SECOND);
    }
    let [actual, expected] = [restored, undisturbed].map(|mut table| {
        let results = table.prepare_commit(SECOND).unwrap().results;
        results.records().map(|(_, record)| record.to_vec()).collect::<Vec<_>>()
    });
    assert_eq!((actual.len(), &actual), (1, &expected));
    let newer = [&[200], &commit.meta[1..]].concat();
    assert!(restore(&newer).err().is_some_and(|error| error.is_from_newer_program()));
}

#[test]
fn records_that_are_not_samples_are_reported_with_a_reason() {
    let mut table = fresh();
    let record =
        Record { position: Position::new(0), arrived: START, key: b"ObjectVNTable:vn1", payload: b"not a sample" };
    let mut malformed = Vec::new();
    table.apply(SOURCE, [record].into_iter(), 1, SECOND, |index| malformed.push(index));
    assert_eq!(malformed, [0]);
    assert!(table.reason_malformed(b"ObjectVNTable:vn1", b"not a sample").is_some());
    assert_eq!(table.reason_malformed(b"ObjectVNTable:vn1", br#"{"ts":1,"value":1}"#), None);
    assert!(!table.is_due(SECOND + SECOND / 2, Due { interval: 60 * SECOND, ..EVERY_SECOND }));
    table.expect_commit(SECOND);
    assert!(table.is_due(SECOND + SECOND / 2, Due { interval: 60 * SECOND, ..EVERY_SECOND }));
}

#[test]
fn a_gap_moves_the_cursor_and_marks_the_window() {
    let mut table = fresh();
    sample(&mut table, 0, 0, SECOND);
    table.mark_lost();
    table.skip_to(SOURCE, 50);
    assert_eq!(table.cursor(SOURCE), Some(50));
    sample(&mut table, 50, 120, SECOND);
    let results = table.prepare_commit(SECOND).unwrap().results;
    let (_, record) = results.records().next().unwrap();
    let mut partial = Vec::new();
    let mut reader = RecordReader::default();
    let read = reader.each(0, record, |_, result| {
        let mut line = Vec::new();
        result.write_line(&mut line);
        partial.push(String::from_utf8(line).unwrap().contains("\"partial\":true"));
    });
    read.unwrap();
    assert_eq!(partial, [true]);
}

const MINUTE: u64 = 60_000_000;

/// A restored table of a stream with the samples of the first minute, whose sources may have an observer.
fn restored(observations: &Observations) -> PartitionTable {
    let stream = stream_of(observations);
    let mut table = PartitionTable::new(Arc::clone(&stream), TableSettings::default(), 64 * 1024);
    table.begin(Duration::ZERO);
    sample(&mut table, 0, 0, Duration::ZERO);
    let commit = table.prepare_commit(SECOND).unwrap();
    let chunks = commit.chunks.iter().filter_map(|(id, bytes)| Some((*id, bytes.as_deref()?)));
    PartitionTable::restore(stream, TableSettings::default(), 64 * 1024, &commit.meta, chunks, BTreeMap::new()).unwrap()
}

fn observer(observations: &Observations, until: u64) -> Observer {
    observations.observer(["UveVirtualNetworkAgent-egress_flow_count"], until)
}

#[test]
fn downtime_is_from_the_last_write_to_the_start_unless_it_was_short() {
    let table = restored(&Observations::default());
    let cases = [
        (None, START + MINUTE, None),
        (Some(START + MINUTE), START + MINUTE + 5_000_000, None),
        (Some(START + MINUTE), START + 10 * MINUTE, Some((START + MINUTE, START + 10 * MINUTE))),
        // The wall clock stepped back.
        (Some(START + MINUTE), START - MINUTE, None),
    ];
    for (last_alive, now, expected) in cases {
        assert_eq!(table.downtime(last_alive, now, true), expected, "{last_alive:?}, {now}");
    }
    assert_eq!(fresh().downtime(Some(START), START + MINUTE, false), None, "nothing was there to be missed");
}

/// The uncommitted results as lines.
fn results_text(table: &mut PartitionTable) -> String {
    let results = table.prepare_commit(SECOND).unwrap().results;
    let (mut reader, mut text) = (RecordReader::default(), Vec::new());
    for (_, record) in results.records() {
        reader.each(0, record, |_, result| result.write_line(&mut text)).unwrap();
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn of_observed_streams_all_is_unknown_since_the_last_statement_that_was_saved() {
    let before = Observations::default();
    observer(&before, START).observed(START, START + 10_000_000);
    let mut saved = restored(&before);
    let commit = saved.prepare_commit(2 * SECOND).unwrap();
    for is_certain in [true, false] {
        // The next process begins an hour later, and another one whose source had no value yet.
        let now = START + 60 * MINUTE;
        let after = Observations::default();
        let streams = ["UveVirtualNetworkAgent-egress_flow_count"];
        let _observer = if is_certain { after.observer(streams, now) } else { after.candidate(streams, now) };
        let (stream, settings) = (stream_of(&after), TableSettings::default());
        let restored = PartitionTable::restore(stream, settings, 64 * 1024, &commit.meta, [], BTreeMap::new());
        let mut table = restored.unwrap();
        assert_eq!(table.downtime(Some(START), now, true), None, "its source states what it observes");
        sample(&mut table, 1, 60 * 60, SECOND);
        table.close_all(SECOND);
        let lines = results_text(&mut table);
        assert!(lines.contains("partial"), "{lines}");
    }
}

#[test]
fn of_observed_streams_all_is_unknown_if_no_statement_was_saved() {
    let observations = Observations::default();
    let began = START + 60 * MINUTE;
    let _observer = observer(&observations, began);
    let mut table = PartitionTable::new(stream_of(&observations), TableSettings::default(), 64 * 1024);
    assert_eq!(table.downtime(None, began, false), None, "nothing was there to be missed");
    let downtime = table.downtime(None, began, true);
    assert_eq!(downtime, Some((0, began - 1)));
    downtime.into_iter().for_each(|interval| table.mark_unknown(interval, SECOND));
    // The sample that the process before left in the log, and the first one of this process.
    sample(&mut table, 0, 0, SECOND);
    sample(&mut table, 1, 60 * 60, SECOND);
    table.close_all(SECOND);
    let lines = results_text(&mut table);
    assert!(lines.contains("partial") && !lines.contains(r#""deleted":true"#), "{lines}");
}

#[test]
fn a_mark_of_downtime_makes_a_commit_due_and_is_cut_by_a_clock_that_was_set_right() {
    let mut table = restored(&Observations::default());
    let due = Due { all: true, ..EVERY_SECOND };
    assert!(!table.is_due(SECOND, due));
    table.mark_unknown((START + MINUTE, START + 1_000_000 * MINUTE), SECOND);
    assert!(table.is_due(SECOND, due));
    table.cut_unknown(START + 2 * MINUTE);
    results(&mut table, SECOND);
    sample(&mut table, 1, 60 * 60, SECOND);
    table.close_all(SECOND);
    let lines = results_text(&mut table);
    assert!(!lines.contains("partial"), "{lines}");
}

#[test]
fn idle_windows_close_only_as_far_as_the_sources_are_observed() {
    let observations = Observations::default();
    let observer = observer(&observations, START + MINUTE);
    let mut table = PartitionTable::new(stream_of(&observations), TableSettings::default(), 64 * 1024);
    table.begin(Duration::ZERO);
    sample(&mut table, 0, 0, Duration::ZERO);
    let quiet = |table: &mut PartitionTable, seconds: std::ops::Range<u32>| {
        seconds.for_each(|second| table.confirm_at_end(second * SECOND, 5 * SECOND));
    };
    // The source does not answer for an hour.
    quiet(&mut table, 0..3600);
    assert_eq!(table.watermark(), START + MINUTE);
    assert_eq!(table.objects(), 1);
    observer.observed(START + 60 * MINUTE, START + 60 * MINUTE + 30_000_000);
    quiet(&mut table, 3600..3800);
    assert_eq!(table.objects(), 1, "an outage deletes nothing");
    observer.observed(START + 60 * MINUTE, START + 200 * MINUTE);
    quiet(&mut table, 3800..7200);
    assert_eq!(table.objects(), 0, "silence does");
}

/// The rows of alarms in a commit: the end of the window in seconds after the start, and the numbers of alarms that fire
/// and that ended.
fn alarms(commit: &TableCommit) -> Vec<(u64, usize, usize)> {
    let mut found = Vec::new();
    for (_, record) in commit.results.records() {
        for line in daemon_results::line::lines(record).filter(|line| daemon_alarms::row::is_alarms(line)) {
            let row = AlarmRow::read(line).unwrap();
            found.push(((row.end - START) / 1_000_000, row.data.alarms.len(), row.data.resolved.len()));
        }
    }
    found
}

#[test]
fn alarms_are_a_part_of_the_commit_and_of_the_restore() {
    let rule = daemon_alarms::text::rule("alarm \"any\" when AggProxySum.value > 5, clear for 2 periods").unwrap();
    let rules = Arc::new(daemon_alarms::Rules::new(vec![rule]));
    let with_rules = || {
        let plan = Arc::clone(&stream().plan);
        Arc::new(StreamPlan::new(plan, &Observations::default()).with_alarms(&rules))
    };
    let mut table = PartitionTable::new(with_rules(), TableSettings::default(), 64 * 1024);
    table.begin(Duration::ZERO);
    sample(&mut table, 0, 0, Duration::ZERO);
    sample(&mut table, 1, 60, Duration::ZERO);
    sample(&mut table, 2, 120, Duration::ZERO);
    let commit = table.prepare_commit(SECOND).unwrap();
    assert_eq!(alarms(&commit), [(60, 1, 0)]);
    assert_eq!(table.status().alarms.firing, 1);
    let chunks: Vec<_> = commit.chunks.into_iter().filter_map(|(id, bytes)| Some((id, bytes?))).collect();
    let chunks = |keep: &dyn Fn(u32) -> bool| {
        chunks.iter().filter(|(id, _)| keep(*id)).map(|(id, bytes)| (*id, bytes.clone())).collect::<Vec<_>>()
    };
    let restore = |chunks: &[(u32, Vec<u8>)], stream| {
        let chunks = chunks.iter().map(|(id, bytes)| (*id, bytes.as_slice()));
        PartitionTable::restore(stream, TableSettings::default(), 64 * 1024, &commit.meta, chunks, BTreeMap::new())
    };
    let mut restored = restore(&chunks(&|_| true), with_rules()).unwrap();
    restored.begin(SECOND);
    sample(&mut restored, 3, 180, SECOND);
    let next = restored.prepare_commit(SECOND).unwrap();
    assert_eq!(alarms(&next), [], "the alarm is the same, so it has no further row");
    // Without the rule it ends, and without its chunk it is another start.
    let mut without = restore(&chunks(&|_| true), stream()).unwrap();
    without.begin(SECOND);
    assert!(without.is_due(2 * SECOND, EVERY_SECOND), "the end of the alarm is a change");
    assert_eq!(alarms(&without.prepare_commit(SECOND).unwrap()), [(90, 0, 1)], "at the watermark");
    let broken: Vec<_> = chunks(&|_| true).into_iter().map(|(id, bytes)| (id, [&[9], &bytes[1..]].concat())).collect();
    let of_alarms =
        |chunks: Vec<(u32, Vec<u8>)>| chunks.into_iter().partition::<Vec<_>, _>(|(id, _)| is_alarm_chunk(*id));
    let (newer, _) = of_alarms(broken);
    let (_, table) = of_alarms(chunks(&|_| true));
    let error = restore(&[table, newer].concat(), with_rules()).err();
    assert!(error.is_some_and(|error| error.is_from_newer_program()));
}

/// A table with a sample of each object at these seconds.
fn with_samples(objects: &[u64], seconds: &[u64]) -> PartitionTable {
    let mut table = fresh();
    let samples = seconds.iter().flat_map(|second| objects.iter().map(move |object| (second, object)));
    for (offset, (second, object)) in (0..).zip(samples) {
        let (timestamp, key) = (START + second * 1_000_000, format!("ObjectVNTable:vn{object}"));
        let payload = format!("{{\"ts\":{timestamp},\"value\":7}}");
        let (position, key, payload) = (Position::new(offset), key.as_bytes(), payload.as_bytes());
        let record = Record { position, arrived: timestamp, key, payload };
        table.apply(SOURCE, [record].into_iter(), offset + 1, Duration::ZERO, |_| {});
    }
    table
}

fn rows(commits: &[TableCommit]) -> Vec<String> {
    let mut rows = Vec::new();
    let mut reader = RecordReader::default();
    for (_, block) in commits.iter().flat_map(|commit| commit.results.records()) {
        let read = reader.each(0, block, |_, result| {
            let mut line = Vec::new();
            result.write_line(&mut line);
            rows.push(String::from_utf8(line).unwrap());
        });
        read.unwrap();
    }
    rows
}

/// The objects of a partition, of so many.
fn objects_of(number: u32, partitions: u32) -> Vec<u64> {
    let is_own =
        |object: &u64| proxy_uve::partition(format!("ObjectVNTable:vn{object}").as_bytes(), partitions) == number;
    (0..100).filter(is_own).collect()
}

fn regroup(tables: Vec<PartitionTable>, from: u16, to: u16) -> (usize, Vec<TableCommit>) {
    let mut regroup = Regroup::new(stream(), TableSettings::default());
    for (number, mut table) in (0..).zip(tables) {
        let commit = table.prepare_commit(Duration::ZERO).unwrap();
        let chunks = commit.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        regroup.add(number, &commit.meta, chunks).unwrap();
    }
    let settled = regroup.settle(from, to).unwrap();
    (settled, (0..to).map(|number| regroup.partition(number, to).unwrap()).collect())
}

#[test]
fn a_window_that_is_closed_in_one_of_two_joined_tables_is_closed_in_the_other_one() {
    // The first partition is two minutes ahead.
    let tables = || vec![with_samples(&objects_of(0, 2), &[0, 120]), with_samples(&objects_of(1, 2), &[0])];
    let (settled, commits) = regroup(tables(), 2, 3);
    let (rows, others) = (rows(&commits), objects_of(1, 2).len());
    assert_eq!((settled, rows.len(), commits.len()), (1, others, 3));
    assert!(rows.iter().all(|row| row.contains("\"value\":7}")), "{rows:?}");
    let table = |commit: &TableCommit| {
        let chunks = commit.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
        let settings = TableSettings::default();
        PartitionTable::restore(stream(), settings, 1024, &commit.meta, chunks, BTreeMap::new()).unwrap()
    };
    let tables_of_three: Vec<_> = commits.iter().map(table).collect();
    assert_eq!(tables_of_three.iter().map(PartitionTable::objects).sum::<usize>(), 100);
    assert!(tables_of_three.iter().all(|table| table.watermark() == tables_of_three[0].watermark()));
    // Where each is split, neither needs the time of the other.
    let (settled, commits) = regroup(tables(), 2, 4);
    assert_eq!((settled, rows_of(&commits)), (0, 0));
    let watermarks: Vec<_> = commits.iter().map(|commit| table(commit).watermark()).collect();
    assert!(watermarks[0] > watermarks[1] && watermarks[0] == watermarks[2], "{watermarks:?}");
    // Objects in the partition of others' keys: nothing is lost.
    let (settled, commits) = regroup(vec![with_samples(&(0..100).collect::<Vec<_>>(), &[0]), fresh()], 2, 4);
    assert_eq!((settled, commits.iter().map(|commit| table(commit).objects()).sum::<usize>()), (0, 100));
}

fn rows_of(commits: &[TableCommit]) -> usize {
    rows(commits).len()
}

#[test]
fn states_of_other_types_do_not_go_to_other_partitions() {
    let mut table = with_samples(&[1], &[0]);
    let commit = table.prepare_commit(Duration::ZERO).unwrap();
    let name = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").unwrap();
    let types = [Arc::clone(Schema::builtin().get("AggProxySumAnomalyEWM01").unwrap())];
    let other = StreamPlan::new(Arc::new(Plan::new(name, &types)), &Observations::default());
    let mut regroup = Regroup::new(Arc::new(other), TableSettings::default());
    let chunks = commit.chunks.iter().filter_map(|(chunk, bytes)| Some((*chunk, bytes.as_deref()?)));
    let error = regroup.add(0, &commit.meta, chunks).unwrap_err().to_string();
    assert!(error.starts_with("the configuration is not the one that the states were saved with"), "{error}");
}
