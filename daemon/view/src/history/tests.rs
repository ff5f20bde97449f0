//! Histories with an index: the right results, from few bytes, over restarts, gaps and damage.
//!
//! `HISTORY_TEST_OBJECTS` and `HISTORY_TEST_WINDOWS` make the log of the test of bytes larger; it takes 65 bytes for
//! each result.

use std::collections::BTreeMap;
use std::sync::Arc;

use daemon_log::{
    Bounds, EmbeddedLog, Log as _, LogConfig, PartitionCommit, PartitionId, PartitionLog, RecordBatch, RecordBuffer,
};
use daemon_results::block::{BlockSink, MAX_BLOCK_BYTES, UveShape, Values, sample};
use daemon_results::record::RecordReader;
use derived_stats::{Number, Output, Record, Report};
use proxy_uve::{AttributeResult, Plan, ResultSink as _, Subject};

use super::read::{Wanted, read};
use super::*;
use crate::UveView;

const MINUTE: u64 = 60_000_000;

/// The windows begin here, so that their start takes as many bytes as one of today.
const FIRST: u64 = 1_700_000_040_000_000;

fn key(object: u64) -> String {
    format!("ObjectVNTable:default-domain:demo-project:vn{object:06}")
}

fn wanted(object: u64) -> Wanted {
    Wanted { key: key(object), starts: 0..u64::MAX, offsets: 0..u64::MAX, limit: 1_000_000 }
}

/// Sends the sum of an object's window; `None` deletes the object.
fn send(plan: &Plan, sink: &mut BlockSink, object: u64, window: u64, value: Option<u64>) {
    let (key, start) = (key(object), FIRST + window * MINUTE);
    let mut subject = Subject::new(key.as_bytes(), 0, "A-b", start..start + MINUTE);
    subject.deleted = value.is_none();
    let attribute = plan.uves().next().unwrap().attributes().next().unwrap();
    sink.begin(&subject);
    if let Some(value) = value {
        let report = Report::Value(Output::new(attribute.description, Record::new([Number::U64(value)])));
        sink.attribute(&subject, &AttributeResult::new(attribute.name, report, start));
    }
    sink.end(&subject);
}

fn open(folder: &tempfile::TempDir) -> Arc<EmbeddedLog> {
    let (max, age) = (1 << 45, 1 << 30);
    let config = LogConfig {
        max_results_bytes: max,
        results_hard_limit_bytes: max,
        max_results_age_seconds: age,
        ..LogConfig::default()
    };
    Arc::new(EmbeddedLog::open(folder.path(), config).unwrap())
}

fn commit(log: &EmbeddedLog, partition: u16, results: RecordBuffer, at: u64) {
    let partition = PartitionId::new(0, partition);
    log.restore(partition).unwrap();
    log.commit(vec![PartitionCommit { partition, cursor: 0, meta: vec![], chunks: vec![], results }], at).unwrap();
}

/// Adds results of a record whose objects have no kept numbers.
fn add_rows(index: &mut ResultIndex, record: RecordHead, rows: &[Row<'_>]) {
    rows.chunks(BATCH).for_each(|rows| index.add_rows(record, rows, &mut [KeptNumber::default(); BATCH]));
}

/// Adds the results of a log from an offset on to the index, as the view does.
fn follow(log: &EmbeddedLog, index: &mut ResultIndex, from: u64) {
    let (mut reader, mut next) = (RecordReader::default(), from);
    loop {
        let batch: RecordBatch = log.read_results(next, 1024 * 1024).unwrap();
        if batch.is_empty() {
            return;
        }
        for record in batch.records() {
            let (offset, bytes, committed) = (record.offset, record.payload.len(), record.appended_at);
            let head = RecordHead { offset, bytes, committed };
            reader.each_batch(offset, record.payload, |rows| add_rows(index, head, rows)).unwrap();
        }
        next = batch.next_offset();
    }
}

fn store(log: &Arc<EmbeddedLog>) -> IndexStore {
    IndexStore::new(Arc::clone(log) as Arc<dyn PartitionLog>)
}

fn values(history: &read::History) -> Vec<f64> {
    history.series.iter().flat_map(|series| &series.points).filter_map(|point| point.2).collect()
}

/// A log in which the window of every object has the same value. Encoded once: the other windows differ in their start.
fn log_of_minutes(folder: &tempfile::TempDir, view: &UveView, objects: u64, windows: u64) -> Arc<EmbeddedLog> {
    let (log, plan) = (open(folder), sample::plan());
    let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
    (0..objects).for_each(|object| send(&plan, &mut sink, object, 0, Some(1000 + object)));
    let first = sink.take().unwrap();
    let start = |window: u64| {
        let mut bytes = Vec::new();
        daemon_results::block::put_varint(&mut bytes, FIRST + window * MINUTE);
        bytes
    };
    for window in 0..windows {
        let mut results = RecordBuffer::with_frames_of(MAX_BLOCK_BYTES);
        for (_, block) in first.records() {
            let (mut block, old) = (block.to_vec(), start(0));
            let at = block.windows(old.len()).position(|bytes| *bytes == old).unwrap();
            block[at..at + old.len()].copy_from_slice(&start(window));
            results.push(b"", &block).unwrap();
        }
        commit(&log, 0, results, FIRST + (window + 1) * MINUTE);
        let next = view.index().next;
        follow(&log, &mut view.index(), next);
    }
    log
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |value| value.parse().unwrap())
}

#[test]
fn the_bytes_of_a_history_grow_with_its_windows_and_not_with_the_objects() {
    let largest = setting("HISTORY_TEST_OBJECTS", 12_000);
    let windows = setting("HISTORY_TEST_WINDOWS", 40);
    for objects in [3_000, largest] {
        let (folder, view) = (tempfile::tempdir().unwrap(), UveView::default());
        let log = log_of_minutes(&folder, &view, objects, windows);
        let mut stored = store(&log);
        let unsaved = stored.unsaved(&mut view.index());
        stored.store(unsaved).unwrap();
        let stats = log.stats().unwrap();
        let written: u64 = stats.partitions.iter().map(|partition| partition.state_bytes).sum();
        let (memory, results) = (view.index().memory(), stats.results_bytes);
        eprintln!("{objects} objects, {windows} windows: {results} bytes, index {written}, in memory {memory}");
        assert!(view.index().missing(0..stats.results.next) == 0);
        // An entry for each 64 KiB, and the keys of each epoch of 256 MiB.
        let epochs = results.div_ceil(256 * 1024 * 1024);
        assert!(written <= results / 4000 + 4 * objects * epochs + 4096, "{written} of {results}");
        // Also of a start that has read no result.
        *view.index() = store(&log).load(stats.results).unwrap();
        for object in [0, 1, objects / 3, objects / 2, objects - 1] {
            let (found, bytes) = pages(&log, &view, &wanted(object));
            eprintln!("object {object}: {bytes} bytes");
            assert_eq!(found, vec![(1000 + object) as f64; windows as usize], "{object}");
            // One block for each window; two where the small last block of a window is in an entry with the next one.
            let block = MAX_BLOCK_BYTES as u64 + 100;
            assert!(bytes <= 2 * windows * block, "{bytes} bytes");
            let hour = FIRST + 10 * MINUTE..FIRST + 20 * MINUTE;
            let part = read(&*log, &view, &[], Wanted { starts: hour, ..wanted(object) }).unwrap();
            assert_eq!(values(&part).len(), 10);
            assert!(part.read_bytes as u64 <= 2 * 11 * block, "{} bytes of ten windows", part.read_bytes);
        }
        let nobody = read(&*log, &view, &[], wanted(999_999)).unwrap();
        assert_eq!((nobody.read_bytes, nobody.next, nobody.committed), (0, None, Some(FIRST + MINUTE)));
    }
}

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

/// The points of every object that a log has, read one by one.
#[derive(Default)]
struct Model(BTreeMap<u64, Vec<(u64, f64)>>);

/// A window of a partition: some objects are silent, some are deleted, and sometimes they come in another order.
fn random_window(log: &EmbeddedLog, model: &mut Model, random: &mut Random, objects: u64, window: u64) {
    let plan = sample::plan();
    for partition in 0..3 {
        let mut own: Vec<u64> = (0..objects).filter(|object| object % 3 == partition).collect();
        if random.below(10) == 0 {
            own.sort_by_key(|object| object.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let silent = random.below(4);
        for object in own {
            match random.below(8) {
                luck if luck < silent => {}
                7 if random.below(20) == 0 => send(&plan, &mut sink, object, window, None),
                value => {
                    send(&plan, &mut sink, object, window, Some(value));
                    model.0.entry(object).or_default().push((FIRST + window * MINUTE, value as f64));
                }
            }
        }
        commit(log, partition as u16, sink.take().unwrap(), FIRST + window * MINUTE);
    }
}

/// All values of a history that is read in pages, and the bytes that were read.
fn pages(log: &EmbeddedLog, view: &UveView, wanted: &Wanted) -> (Vec<f64>, u64) {
    let (mut before, mut found, mut bytes) = (u64::MAX, Vec::new(), 0);
    loop {
        let page = read(log, view, &[], Wanted { offsets: 0..before, ..wanted.clone() }).unwrap();
        found.splice(0..0, values(&page));
        bytes += page.read_bytes as u64;
        let Some(next) = page.next else { return (found, bytes) };
        assert!(next < before, "{next}");
        before = next;
    }
}

fn check(log: &EmbeddedLog, view: &UveView, model: &Model, random: &mut Random, objects: u64) {
    for _ in 0..12 {
        let object = random.below(objects);
        let expected = model.0.get(&object).cloned().unwrap_or_default();
        let starts = FIRST + random.below(20) * MINUTE..FIRST + (20 + random.below(20)) * MINUTE;
        for starts in [0..u64::MAX, starts] {
            let expected: Vec<f64> =
                expected.iter().filter(|(start, _)| starts.contains(start)).map(|(_, value)| *value).collect();
            let wanted = Wanted { starts: starts.clone(), limit: 7, ..wanted(object) };
            assert_eq!(pages(log, view, &wanted).0, expected, "object {object}, {starts:?}");
        }
    }
}

#[test]
fn a_history_is_that_of_the_whole_log_over_restarts_kills_and_gaps() {
    let (folder, view, mut random) = (tempfile::tempdir().unwrap(), UveView::default(), Random(7));
    let (log, mut model, mut objects) = (open(&folder), Model::default(), 4_000);
    let mut stored = store(&log);
    for window in 0..36 {
        // New objects come, in the middle of each partition's order.
        objects += if window % 5 == 0 { 200 } else { 3 };
        random_window(&log, &mut model, &mut random, objects, window);
        let next = view.index().next;
        follow(&log, &mut view.index(), next);
        if window % 3 == 2 {
            let unsaved = stored.unsaved(&mut view.index());
            stored.store(unsaved).unwrap();
        }
        if window % 4 == 3 {
            // A restart. After a kill the index is older: the view reads on from some offset, mostly an earlier one.
            let bounds = log.results_bounds().unwrap();
            stored = store(&log);
            let index = stored.load(bounds).unwrap();
            assert!(index.next > 0 && index.next <= bounds.next);
            let back = if window == 15 { index.next + 4 } else { index.next.saturating_sub(random.below(9)) };
            *view.index() = index;
            follow(&log, &mut view.index(), back.min(bounds.next));
            check(&log, &view, &model, &mut random, objects);
        }
    }
    let missing = view.index().missing(0..log.results_bounds().unwrap().next);
    assert!((1..20).contains(&missing), "one gap and the open entry: {missing}");
    *view.index() = ResultIndex::default();
    check(&log, &view, &model, &mut random, objects);
}

#[test]
fn a_damaged_or_newer_piece_makes_histories_read_the_whole_log() {
    let (folder, view, mut random) = (tempfile::tempdir().unwrap(), UveView::default(), Random(3));
    let (log, mut model) = (open(&folder), Model::default());
    (0..4).for_each(|window| random_window(&log, &mut model, &mut random, 3000, window));
    follow(&log, &mut view.index(), 0);
    let mut stored = store(&log);
    let unsaved = stored.unsaved(&mut view.index());
    stored.store(unsaved).unwrap();
    let bounds = log.results_bounds().unwrap();
    let partition = PartitionId::new(log.find_stream(NAME).unwrap().unwrap(), 0);
    let (chunk, good) = log.restore(partition).unwrap().unwrap().chunks.remove(0);
    assert_eq!(store(&log).load(bounds).unwrap().missing(0..bounds.next), 0);
    assert_eq!(store(&log).load(Bounds { next: bounds.next - 1, ..bounds }).unwrap().next, 0, "of other results");
    let changes: [fn(&mut Vec<u8>); 4] =
        [|bytes| bytes[0] += 1, |bytes| bytes.truncate(100), Vec::clear, |bytes| bytes[2] ^= 5];
    for change in changes {
        let mut bytes = good.clone();
        change(&mut bytes);
        let chunks = vec![(chunk, Some(bytes))];
        let commit = PartitionCommit { partition, cursor: 0, meta: vec![], chunks, results: RecordBuffer::default() };
        log.commit(vec![commit], 0).unwrap();
        let mut stored = store(&log);
        *view.index() = stored.load(bounds).unwrap();
        check(&log, &view, &model, &mut random, 3000);
        // The next one is stored in its place.
        *view.index() = ResultIndex::default();
        follow(&log, &mut view.index(), 0);
        let unsaved = stored.unsaved(&mut view.index());
        stored.store(unsaved).unwrap();
        assert_eq!(store(&log).load(bounds).unwrap().missing(0..bounds.next), 0);
        assert_eq!(log.restore(partition).unwrap().unwrap().chunks.len(), 1);
        log.reset_state(partition).unwrap();
        log.restore(partition).unwrap();
    }
}

#[test]
fn a_stored_index_that_is_damaged_on_the_disk_is_replaced() {
    let (folder, view, mut random) = (tempfile::tempdir().unwrap(), UveView::default(), Random(5));
    let (log, mut model) = (open(&folder), Model::default());
    random_window(&log, &mut model, &mut random, 3000, 0);
    follow(&log, &mut view.index(), 0);
    let mut stored = store(&log);
    let unsaved = stored.unsaved(&mut view.index());
    stored.store(unsaved).unwrap();
    // The opening verifies the last write, and refuses damage there.
    random_window(&log, &mut model, &mut random, 3000, 1);
    drop((log, stored));
    let mut files = std::fs::read_dir(folder.path().join("store")).unwrap().map(|entry| entry.unwrap().path());
    let state = files.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("state-")).unwrap();
    let mut bytes = std::fs::read(&state).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&state, bytes).unwrap();
    let log = open(&folder);
    let (bounds, mut stored) = (log.results_bounds().unwrap(), store(&log));
    *view.index() = stored.load(bounds).unwrap();
    assert_eq!(view.index().next, 0);
    check(&log, &view, &model, &mut random, 3000);
    follow(&log, &mut view.index(), 0);
    let unsaved = stored.unsaved(&mut view.index());
    stored.store(unsaved).unwrap();
    let again = store(&log).load(bounds).unwrap();
    assert_eq!((again.next, again.missing(0..bounds.next)), (bounds.next, 0));
    check(&log, &view, &model, &mut random, 3000);
}

#[test]
fn a_history_of_small_commits_reads_each_once() {
    let (folder, view, plan) = (tempfile::tempdir().unwrap(), UveView::default(), sample::plan());
    let log = open(&folder);
    for window in 0..600 {
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        (0..3).for_each(|object| send(&plan, &mut sink, object, window, Some(window)));
        commit(&log, 0, sink.take().unwrap(), FIRST + window * MINUTE);
    }
    follow(&log, &mut view.index(), 0);
    view.index().flush();
    let found = read(&*log, &view, &[], wanted(1)).unwrap();
    assert_eq!(values(&found), (0..600).map(f64::from).collect::<Vec<_>>());
    let results = log.stats().unwrap().results_bytes;
    assert!(found.read_bytes as u64 <= results * 12 / 10, "{} of {results} bytes", found.read_bytes);
    assert_eq!(found.unindexed_bytes, 0);
}

#[test]
fn a_day_of_minutes_of_100_000_objects_is_read_block_by_block_from_a_small_index() {
    const OBJECTS: u64 = 100_000;
    const MINUTES: u64 = 1440;
    /// A result has 65 bytes, and these fill a block.
    const ROWS: usize = 1008;
    let (shape, keys) = (Arc::new(UveShape::default()), (0..OBJECTS).map(key).collect::<Vec<_>>());
    let mut rows: Vec<Row<'_>> = keys.iter().map(|key| row(key, &shape, 0)).collect();
    let (mut index, mut next) = (ResultIndex::default(), 0);
    for minute in 0..MINUTES {
        let start = FIRST + minute * MINUTE;
        rows.iter_mut().for_each(|row| row.start = start);
        for block in rows.chunks(ROWS) {
            let head = RecordHead { offset: next, bytes: 65 * block.len(), committed: start };
            add_rows(&mut index, head, block);
            next += 1;
        }
    }
    index.flush();
    let day = FIRST..FIRST + MINUTES * MINUTE;
    let blocks = OBJECTS.div_ceil(ROWS as u64);
    for object in [0, 7, OBJECTS / 2, OBJECTS - 1] {
        // The block of the object in each window, and no other: 94 MB in all.
        let expected: Vec<u64> = (0..MINUTES).map(|minute| minute * blocks + object / ROWS as u64).collect();
        assert_eq!(offsets(&index, object, next), expected, "object {object}");
        let hour = day.start + 600 * MINUTE..day.start + 660 * MINUTE;
        let read: u64 = index.spans(&key(object), 0..next, hour).iter().map(|span| span.to - span.from).sum();
        assert_eq!(read, 60, "object {object}");
    }
    assert!(index.memory() < 24_000_000, "{} bytes of memory", index.memory());
    let (folder, bounds) = (tempfile::tempdir().unwrap(), Bounds { first: 0, next });
    let log = open(&folder);
    let mut stored = store(&log);
    let unsaved = stored.unsaved(&mut index);
    stored.store(unsaved).unwrap();
    let written: u64 = log.stats().unwrap().partitions.iter().map(|partition| partition.state_bytes).sum();
    assert!(written < 17_000_000, "{written} bytes of {}", 65 * OBJECTS * MINUTES);
    let again = store(&log).load(bounds).unwrap();
    assert_eq!(again.spans(&key(7), 0..next, 0..u64::MAX), index.spans(&key(7), 0..next, 0..u64::MAX));
}

fn row<'r>(key: &'r str, shape: &'r Arc<UveShape>, start: u64) -> Row<'r> {
    Row { key, shape, start, end: start + MINUTE, deleted: false, partial: false, values: Values::default() }
}

/// Adds records that count as 64 KiB each, of these objects.
fn add(index: &mut ResultIndex, offset: u64, objects: impl Iterator<Item = u64>) {
    let shape = Arc::new(UveShape::default());
    let keys: Vec<String> = objects.map(key).collect();
    let rows: Vec<Row<'_>> = keys.iter().map(|key| row(key, &shape, offset * MINUTE)).collect();
    let head = RecordHead { offset, bytes: ENTRY_BYTES as usize, committed: offset };
    add_rows(index, head, &rows);
}

/// The offsets that a history of an object reads.
fn offsets(index: &ResultIndex, object: u64, end: u64) -> Vec<u64> {
    index.spans(&key(object), 0..end, 0..u64::MAX).into_iter().rev().flat_map(|span| span.from..span.to).collect()
}

#[test]
fn epochs_follow_each_other_and_go_with_their_results() {
    let (folder, mut index) = (tempfile::tempdir().unwrap(), ResultIndex::default());
    let log = open(&folder);
    // The results exist for the bounds of the log only.
    for _ in 0..10 {
        let mut results = RecordBuffer::default();
        (0..1000).for_each(|_| results.push(b"", b"x").unwrap());
        commit(&log, 0, results, 1);
    }
    let mut stored = store(&log);
    let of = |offset: u64| offset % 10 * 5;
    for offset in 0..10_000 {
        add(&mut index, offset, of(offset)..of(offset) + 5);
        if offset % 700 == 699 {
            let unsaved = stored.unsaved(&mut index);
            stored.store(unsaved).unwrap();
        }
    }
    assert_eq!(index.epochs.len(), 3, "of 256 MiB");
    let expected = |from: u64| (from..10_000).filter(|offset| of(*offset) == 20).collect::<Vec<_>>();
    let all = offsets(&index, 23, 10_000);
    // The open entry is read, too.
    assert_eq!(all[..all.len() - 1], expected(0));
    let unsaved = stored.unsaved(&mut index);
    stored.store(unsaved).unwrap();
    let bounds = log.results_bounds().unwrap();
    assert_eq!(offsets(&store(&log).load(bounds).unwrap(), 23, 10_000), expected(0));
    // Retention deletes the first epoch and a part of the second one.
    let bounds = Bounds { first: 6000, ..bounds };
    index.retire(bounds.first);
    assert_eq!((index.epochs.len(), index.missing(6000..10_000)), (2, 0));
    let unsaved = stored.unsaved(&mut index);
    stored.store(unsaved).unwrap();
    let again = store(&log).load(bounds).unwrap();
    assert_eq!(index.epochs.iter().map(|epoch| epoch.first).collect::<Vec<_>>(), [4096, 8192]);
    assert_eq!(again.epochs.iter().map(|epoch| epoch.first).collect::<Vec<_>>(), [4096, 8192]);
    assert_eq!(again.spans(&key(23), 6000..10_000, 0..u64::MAX), index.spans(&key(23), 6000..10_000, 0..u64::MAX));
    assert_eq!(again.committed_from(6000), Some(6000));
}

#[test]
fn objects_in_another_order_get_new_numbers() {
    let mut index = ResultIndex::default();
    let objects = 20_000;
    let shuffled = |at: u64| at * 7919 % objects;
    let mut offset = 0;
    let read = |index: &mut ResultIndex, offset: u64| {
        index.flush();
        offsets(index, 4321, offset).into_iter().filter(|it| *it >= offset - 20).count()
    };
    let mut window = |index: &mut ResultIndex, order: &dyn Fn(u64) -> u64| {
        for block in 0..20 {
            add(index, offset, (block * 1000..(block + 1) * 1000).map(order));
            offset += 1;
        }
        offset
    };
    for _ in 0..3 {
        let offset = window(&mut index, &|at| at);
        assert_eq!(read(&mut index, offset), 1);
    }
    let offset = window(&mut index, &shuffled);
    assert!(read(&mut index, offset) > 1);
    for _ in 0..20 {
        window(&mut index, &shuffled);
    }
    let offset = window(&mut index, &shuffled);
    assert_eq!((index.epochs.len(), read(&mut index, offset)), (2, 1));
}

/// What an index has, and where its epochs begin.
fn content(index: &mut ResultIndex) -> Vec<(u64, Vec<u32>, Vec<Entry>)> {
    index.flush();
    index.epochs.iter().map(|it| (it.first, it.hashes.clone(), it.entries.iter().cloned().collect())).collect()
}

#[test]
fn numbers_kept_with_the_objects_give_the_index_that_their_keys_give() {
    // Of two tables, and two keys of which the view has one object.
    let names = (0..20_000).map(|object| if object % 3 == 0 { format!("Other:{object}") } else { key(object) });
    let keys: Vec<String> = names.chain(["T", "T:T"].map(str::to_owned)).collect();
    let (shape, odd) = (Arc::new(UveShape::default()), 20_000);
    let shapes = [&shape, &Arc::new(UveShape { uve: "Other".into(), ..UveShape::default() })];
    let (view, mut with, mut without, mut random) =
        (UveView::default(), ResultIndex::default(), ResultIndex::default(), 1);
    let mut below = |end: u64| {
        random = u64::wrapping_mul(random, 6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) % end
    };
    for offset in 0..3000 {
        let mut rows = Vec::new();
        for _ in 0..100 {
            let object = if below(20) == 0 { odd + below(2) } else { below(odd) };
            let key = &keys[object as usize];
            // Each object has two results. For a time most are deleted, so that the view drops objects, and it does not get
            // all.
            let kept = if offset % 500 < 250 { 6 } else { 1 };
            rows.extend(shapes.map(|shape| Row { deleted: below(8) >= kept, ..row(key, shape, offset * MINUTE) }));
        }
        let record = RecordHead { offset, bytes: ENTRY_BYTES as usize, committed: offset };
        add_rows(&mut without, record, &rows);
        let all = Some(RecordIndex::new(&mut with, record));
        view.writer().apply_all(&rows, all, |row, apply| {
            if row.start % 7 != 0 {
                apply(row)
            }
        });
        if offset == 20 {
            // The numbers end soon, so another era begins.
            with.epochs[0].first_number = u32::MAX - epoch::MAX_OBJECTS as u32 - 100;
        }
    }
    assert!(with.epochs.len() > 3 && with.era == 1, "{} epochs, era {}", with.epochs.len(), with.era);
    assert_eq!(content(&mut with), content(&mut without));
}

#[test]
fn an_object_whose_number_is_kept_is_not_looked_up() {
    let (shape, keys) = (Arc::new(UveShape::default()), (0..1000).map(key).collect::<Vec<_>>());
    let (view, mut index) = (UveView::default(), ResultIndex::default());
    for offset in 0..4 {
        let rows: Vec<Row<'_>> = keys.iter().map(|key| row(key, &shape, offset * MINUTE)).collect();
        let record = RecordHead { offset, bytes: 1, committed: offset };
        let all = Some(RecordIndex::new(&mut index, record));
        view.writer().apply_all(&rows, all, |row, apply| apply(row));
        if offset == 1 {
            // The view has all numbers: the objects of the second record were known. A look-up would find none from here on.
            index.epochs[0].close();
        }
    }
    assert_eq!(index.epochs[0].hashes.len(), keys.len());
}

#[test]
fn the_hash_of_a_key_stays_and_separates_similar_keys() {
    assert_eq!([hash_of(""), hash_of("T:a"), hash_of(&key(7))], [582_181_495, 1_296_248_442, 3_985_432_008]);
    let hashes: std::collections::BTreeSet<u32> = (0..100_000).map(|object| hash_of(&key(object))).collect();
    assert!(hashes.len() > 99_990, "{}", hashes.len());
}
