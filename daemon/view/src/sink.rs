//! The view sink, which applies results to the view and sends them to the event stream.

use std::sync::Arc;

use daemon_alarms::row::{AlarmRow, is_alarms};
use daemon_log::{Log, PartitionLog, RecordBatch};
use daemon_results::block::{BlockError, is_block};
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use daemon_sinks::Sink;
use proxy_uve::Plan;
use tracing::{debug, error, warn};

use super::checkpoint::Checkpoints;
use super::configured::Configured;
use crate::history::{IndexStore, RecordHead, RecordIndex};
use crate::{Event, EventHub, EventId, Filter, Loudest, UveView};

/// A sink that applies results to the view. The view is in memory, so the sink starts with the oldest result that the
/// view needs.
pub struct ViewSink {
    view: Arc<UveView>,
    events: Arc<EventHub>,
    records: RecordReader,
    lines: LineReader,
    configured: Configured,
    checkpoints: Checkpoints,
    /// Where the index of the results is kept; `None` for a log that other processes share, whose results are all read at
    /// each start.
    index: Option<IndexStore>,
    /// The offset after the last record that was applied.
    next: u64,
    /// The loudest objects have the results before this offset already.
    loudest_from: u64,
    /// The end of the results at the start, or at the last checkpoint.
    stored_next: u64,
    has_caught_up: bool,
    /// The first record whose results the event stream gets.
    events_from: u64,
}

impl ViewSink {
    /// The name of the sink.
    pub const NAME: &'static str = "view";

    /// A sink that applies the results of these plans; the event stream gets all results. `log` is the log if it is of
    /// this process alone.
    pub fn new(
        view: Arc<UveView>,
        events: Arc<EventHub>,
        plans: &[Arc<Plan>],
        log: Option<Arc<dyn PartitionLog>>,
    ) -> Self {
        let (records, lines, configured) = (RecordReader::default(), LineReader::new(plans), Configured::new(plans));
        let index = log.clone().map(IndexStore::new);
        let checkpoints = Checkpoints::new(log, configured.digest());
        Self {
            view,
            events,
            records,
            lines,
            configured,
            checkpoints,
            index,
            next: 0,
            loudest_from: 0,
            stored_next: 0,
            has_caught_up: false,
            events_from: 0,
        }
    }

    /// Sends the results from this record on to the event stream: the clients have those before it.
    pub fn with_events_from(self, events_from: u64) -> Self {
        Self { events_from, ..self }
    }
}

impl Sink for ViewSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let bounds = log.results_bounds()?;
        self.stored_next = bounds.next;
        if let Some(store) = &mut self.index {
            let stored = store.load(bounds)?;
            self.view.index().replace(stored);
        }
        let Some(checkpoint) = self.checkpoints.load(bounds)? else { return Ok(bounds.first) };
        // Else results between the list and the oldest retained one are missing.
        if checkpoint.next >= bounds.first {
            *self.view.loudest() = Loudest::restored(checkpoint.loudest);
            self.loudest_from = checkpoint.next;
        }
        Ok(checkpoint.oldest_needed.max(bounds.first))
    }

    fn deliver(&mut self, _log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        for record in batch.records() {
            let offset = record.offset;
            let head = RecordHead { offset, bytes: record.payload.len(), committed: record.appended_at };
            if self.index.is_none() {
                // The marks of transactions have offsets, too.
                self.view.index().skip_to(offset);
            }
            let applied = match self.apply_block(head, record.payload) {
                Ok(false) => self.apply_lines(head, record.payload),
                applied => applied.map(drop),
            };
            if let Err(error) = applied {
                self.view.index().add_unknown(head);
                error!(offset, %error, "A results record cannot be decoded; the view skips it.");
            }
        }
        self.next = batch.next_offset();
        self.checkpoints.count(batch.bytes());
        Ok(())
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        if !std::mem::replace(&mut self.has_caught_up, true) {
            // Retention may have deleted results that the list still has.
            let view = &self.view;
            view.loudest().retain(|table, name| view.object(table, name, &Filter::default()).is_some());
        }
        // Without new results nothing is written: a start that refuses the files leaves them as they are.
        if self.next > self.stored_next && self.checkpoints.take_due(stopping && self.index.is_some()) {
            self.stored_next = self.next;
            self.view.index().retire(log.results_bounds()?.first);
            // First the index: the next start begins to read at the checkpoint, and the index takes what comes after it.
            if self.store_index() {
                self.store_checkpoint();
            }
        }
        Ok(())
    }
}

impl ViewSink {
    /// Stores where the next start begins to read. Without it that start takes longer.
    fn store_checkpoint(&mut self) {
        let (oldest_needed, loudest) = (self.view.oldest_needed(), self.view.loudest().save());
        if let Err(error) = self.checkpoints.store(oldest_needed, self.next, loudest) {
            debug!(error = %format!("{error:#}"), "The view's checkpoint cannot be stored; the next start takes longer.");
        }
    }

    /// Stores the index; `false` if it cannot be written, or has no place.
    fn store_index(&mut self) -> bool {
        let Some(store) = &mut self.index else { return false };
        let unsaved = store.unsaved(&mut self.view.index());
        let stored = store.store(unsaved);
        if let Err(error) = &stored {
            debug!(error = %format!("{error:#}"), "The index of the results cannot be stored; the next start takes longer.");
        }
        stored.is_ok()
    }

    /// Whether the loudest objects do not have the results of a record yet.
    fn is_new(&self, offset: u64) -> bool {
        offset >= self.loudest_from
    }

    /// Applies a record that is a block; `false` if it is not.
    fn apply_block(&mut self, head: RecordHead, record: &[u8]) -> Result<bool, BlockError> {
        if !is_block(record) {
            return Ok(false);
        }
        let offset = head.offset;
        let is_new = self.is_new(offset);
        let Self { view, events, records, configured, events_from, .. } = self;
        // It may have no result.
        view.index().add_empty(head);
        let mut loudest = view.loudest();
        let mut writer = view.writer();
        writer.begin_record(offset, record.len());
        records.each_batch(offset, record, |rows| {
            let mut index = view.index();
            writer.apply_all(rows, Some(RecordIndex::new(&mut index, head)), |row, apply| {
                configured.select(row, |row| {
                    if is_new {
                        loudest.take(row);
                    }
                    apply(row);
                });
            });
        })?;
        drop((loudest, writer));
        if offset >= *events_from && events.has_subscribers() {
            // The view comes first, and rows do not outlive their batch. The first pass has logged any damage.
            let _ = records.each_row(record, |line, row| {
                send(events, EventId { record: offset, line }, &Stored::Row(row));
            });
        }
        Ok(true)
    }

    /// Applies a record that consists of lines.
    fn apply_lines(&mut self, head: RecordHead, record: &[u8]) -> Result<(), BlockError> {
        let offset = head.offset;
        let is_new = self.is_new(offset);
        let Self { view, events, records, lines, configured, events_from, .. } = self;
        view.writer().begin_record(offset, record.len());
        view.index().add_empty(head);
        records.each(offset, record, |number, result| {
            if let Stored::Line(line) = &result
                && is_alarms(line)
            {
                apply_alarms(view, configured, head, line);
            } else if let Stored::Line(line) = &result
                && !is_scrape(line)
            {
                match lines.row(line) {
                    Ok(row) => {
                        view.index().add_object(head, row.key, row.start);
                        configured.select(&row, |row| {
                            if is_new {
                                view.loudest().take(row);
                            }
                            view.writer().apply(row);
                        });
                    }
                    Err(error) => {
                        view.index().add_unknown(head);
                        warn!(offset, %error, "A stored result line cannot be parsed; the view skips it.");
                    }
                }
            }
            if offset >= *events_from {
                send(events, EventId { record: offset, line: number }, &result);
            }
        })?;
        Ok(())
    }
}

/// Applies a line with alarms. The alarms of a stream that was removed have no row in which they end.
fn apply_alarms(view: &UveView, configured: &Configured, head: RecordHead, line: &[u8]) {
    let row = match AlarmRow::read(line) {
        Ok(row) => row,
        Err(error) => {
            warn!(offset = head.offset, %error, "A stored row of alarms cannot be parsed; the view skips it.");
            return;
        }
    };
    view.index().add_object(head, &row.key, row.start);
    if configured.has_stream(&row.data.proxy) {
        view.alarms().apply(head.offset, row);
    }
}

fn send(events: &EventHub, id: EventId, result: &Stored<'_>) {
    events.send(|| {
        let mut line = Vec::new();
        result.write_line(&mut line);
        Event { id, line: line.into() }
    });
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId};
    use daemon_results::block::{BlockSink, MAX_BLOCK_BYTES, sample};
    use derived_stats::{Number, Output, Record, Report};
    use proxy_uve::{AttributeResult, ResultSink as _, Subject};

    use super::*;

    const OBJECTS: u64 = 20_000;

    fn key(object: u64) -> String {
        format!("ObjectVNTable:default-domain:demo-project:vn{object:06}")
    }

    /// Sends the result of an object's window.
    fn send(plan: &Plan, sink: &mut BlockSink, type_index: usize, (key, window): (&str, u64), record: Record) {
        let period = 60_000_000;
        let subject = Subject::new(key.as_bytes(), type_index, "A-b", window * period..(window + 1) * period);
        let attribute = plan.uves().nth(type_index).unwrap().attributes().next().unwrap();
        let report = Report::Value(Output::new(attribute.description, record));
        sink.begin(&subject);
        sink.attribute(&subject, &AttributeResult::new(attribute.name, report, subject.start));
        sink.end(&subject);
    }

    /// Commits the results of a window of all objects from `first` on: the score of an object is loud from window 3 on, and
    /// there is none from window 24 on.
    fn commit_window(log: &EmbeddedLog, plan: &Arc<Plan>, first: u64, window: u64) {
        let partition = PartitionId::new(log.stream_id("S-a").unwrap(), 0);
        log.restore(partition).unwrap();
        let mut sink = BlockSink::new(plan, MAX_BLOCK_BYTES);
        for object in first..OBJECTS {
            let score = if window < 3 { 0.1 } else { 2.6 + object as f64 / 1e6 };
            let value = Number::U64(1000 * window + object);
            let numbers = [Number::U64(window), Number::F64(1.0 / 3.0), Number::F64(0.1), Number::F64(score), value];
            send(plan, &mut sink, 0, (&key(object), window), Record::new([value]));
            if window < 24 {
                send(plan, &mut sink, 1, (&key(object), window), Record::new(numbers));
            }
        }
        let (meta, results) = (Vec::new(), sink.take().unwrap());
        let commit = PartitionCommit { partition, cursor: 0, meta, chunks: Vec::new(), results };
        log.commit(vec![commit], window).unwrap();
    }

    struct Read {
        from: u64,
        documents: Vec<String>,
        loudest: Vec<String>,
    }

    /// A view over the whole log, from its start to its stop; between them results are committed.
    fn run(log: &Arc<EmbeddedLog>, plan: &Arc<Plan>, local: bool, windows: Range<u64>) -> Read {
        let view: Arc<UveView> = Arc::default();
        let local = local.then(|| Arc::clone(log) as Arc<dyn PartitionLog>);
        let mut sink = ViewSink::new(Arc::clone(&view), Arc::default(), &[Arc::clone(plan)], local);
        let from = sink.start(&**log).unwrap();
        // Some objects have no result any more.
        windows.for_each(|window| commit_window(log, plan, if (6..12).contains(&window) { 100 } else { 0 }, window));
        let mut next = from;
        loop {
            let batch = log.read_results(next, 1024 * 1024).unwrap();
            if batch.is_empty() {
                break;
            }
            next = batch.next_offset();
            sink.deliver(&**log, &batch).unwrap();
        }
        sink.idle(&**log, true).unwrap();
        let document = |object| {
            format!("{:?}", view.object("ObjectVNTable", &key(object)["ObjectVNTable:".len()..], &Filter::default()))
        };
        let top = view.loudest().top(50);
        let loudest = top.into_iter().map(|it| format!("{} {:?} {:?}", it.key, it.since, it.values)).collect();
        Read { from, documents: (0..OBJECTS).map(document).collect(), loudest }
    }

    fn read(log: &Arc<EmbeddedLog>, plan: &Arc<Plan>, local: bool) -> Read {
        run(log, plan, local, 0..0)
    }

    #[test]
    fn a_start_reads_the_results_that_the_view_needed_and_shows_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap());
        let plan = Arc::new(sample::plan());
        let end = || log.results_bounds().unwrap().next;
        let shows_the_same = |windows: Range<u64>| {
            run(&log, &plan, true, windows);
            let (later, whole) = (read(&log, &plan, true), read(&log, &plan, false));
            assert_eq!((later.documents, whole.from), (whole.documents, 0));
            assert_eq!(later.loudest, whole.loudest);
            (later.from, whole.loudest)
        };
        let (from, loudest) = shows_the_same(0..12);
        assert!(from > end() / 4 && from < end() / 2, "{from} of {}: the silent objects are of window 5", end());
        assert!(!loudest.is_empty());
        let (from, _) = shows_the_same(12..24);
        assert!(from > end() * 4 / 5, "{from} of {}", end());
        let (from, loudest) = shows_the_same(24..40);
        assert!(from > 0 && loudest.is_empty(), "nothing is loud that has no score for ten minutes");
    }

    #[test]
    fn without_new_results_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap());
        let plan = Arc::new(sample::plan());
        (0..8).for_each(|window| commit_window(&log, &plan, 0, window));
        let written = || log.stats().unwrap().partitions.len();
        let before = written();
        read(&log, &plan, true);
        assert_eq!((log.find_stream(super::super::checkpoint::NAME).unwrap(), written()), (None, before));
    }

    #[test]
    fn another_configuration_and_lost_results_need_all() {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(folder.path(), LogConfig::default()).unwrap());
        let plan = Arc::new(sample::plan());
        run(&log, &plan, true, 0..8);
        let start = |plans: &[Arc<Plan>]| {
            ViewSink::new(Arc::default(), Arc::default(), plans, Some(Arc::clone(&log) as _)).start(&*log).unwrap()
        };
        assert!(start(&[Arc::clone(&plan)]) > 0);
        assert_eq!(start(&[]), 0);
        let checkpoints = Checkpoints::new(Some(Arc::clone(&log) as _), Configured::new(&[plan]).digest());
        let end = log.results_bounds().unwrap().next;
        assert!(checkpoints.load(daemon_log::Bounds { first: 0, next: end }).unwrap().is_some());
        assert!(checkpoints.load(daemon_log::Bounds { first: 0, next: end - 1 }).unwrap().is_none());
        // The index does not depend on the configuration.
        let view: Arc<UveView> = Arc::default();
        ViewSink::new(Arc::clone(&view), Arc::default(), &[], Some(Arc::clone(&log) as _)).start(&*log).unwrap();
        assert_eq!(view.index().missing(0..end), 0);
    }

    #[test]
    fn the_alarms_of_a_stream_that_was_removed_are_not_shown() {
        let (view, plan) = (UveView::default(), Arc::new(sample::plan()));
        let stream = plan.stream().to_string();
        let configured = Configured::new(&[plan]);
        let line = |stream: &str| {
            format!(
                r#"{{"key":"T:{stream}","uve":"UVEAlarms","start":0,"end":60,"data":{{"deleted":false,"proxy":"{stream}","alarms":[]}}}}"#
            )
        };
        for (offset, name) in (0..).zip(["removed", &*stream]) {
            let head = RecordHead { offset, bytes: 0, committed: 0 };
            apply_alarms(&view, &configured, head, line(name).as_bytes());
        }
        assert_eq!(view.alarms().oldest(), Some(1));
    }

    #[test]
    fn the_index_of_results_has_the_rows_of_alarms() {
        let view = UveView::default();
        for (offset, name) in (0..).zip(["a", "b", "a"]) {
            let line = format!(
                r#"{{"key":"T:{name}","uve":"UVEAlarms","start":60,"end":120,"data":{{"deleted":false,"proxy":"S-x","alarms":[]}}}}"#
            );
            let head = RecordHead { offset, bytes: 64 * 1024, committed: 0 };
            apply_alarms(&view, &Configured::default(), head, line.as_bytes());
        }
        // The entry of the last row is open: it would be read for every object.
        let read = |key: &str, starts: Range<u64>| view.index().spans(key, 0..2, starts).len();
        assert_eq!([read("T:a", 60..61), read("T:b", 60..61), read("T:c", 60..61), read("T:b", 61..62)], [1, 1, 0, 0]);
    }
}
