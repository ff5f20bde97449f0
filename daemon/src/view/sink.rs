//! The view sink, which applies results to the view and sends them to the event stream.

use std::sync::Arc;

use daemon_alarms::row::{AlarmRow, is_alarms};
use daemon_log::{Log, RecordBatch};
use daemon_results::block::BlockError;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use daemon_sinks::Sink;
use proxy_uve::Plan;
use tracing::{error, warn};

use super::configured::Configured;
use crate::view::{Event, EventHub, EventId, UveView};

/// A sink that applies results to the view. The view is in memory, so the sink starts with the oldest retained result.
pub(crate) struct ViewSink {
    view: Arc<UveView>,
    events: Arc<EventHub>,
    records: RecordReader,
    lines: LineReader,
    configured: Configured,
}

impl ViewSink {
    /// The name of the sink.
    pub(crate) const NAME: &'static str = "view";

    /// A sink that applies the results of these plans; the event stream gets all results.
    pub(crate) fn new(view: Arc<UveView>, events: Arc<EventHub>, plans: &[Arc<Plan>]) -> Self {
        let (records, lines) = (RecordReader::default(), LineReader::new(plans));
        Self { view, events, records, lines, configured: Configured::new(plans) }
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
        Ok(log.results_bounds()?.first)
    }

    fn deliver(&mut self, _log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        for record in batch.records() {
            let offset = record.offset;
            let applied = match self.apply_block(offset, record.payload) {
                Ok(false) => self.apply_lines(offset, record.payload),
                applied => applied.map(drop),
            };
            if let Err(error) = applied {
                error!(offset, %error, "A results record cannot be decoded; the view skips it.");
            }
        }
        Ok(())
    }
}

impl ViewSink {
    /// Applies a record that is a block; `false` if it is not.
    fn apply_block(&mut self, offset: u64, record: &[u8]) -> Result<bool, BlockError> {
        let Self { view, events, records, configured, .. } = self;
        let Some(rows) = records.rows(offset, record)? else { return Ok(false) };
        let mut loudest = view.loudest();
        view.writer().apply_all(&rows, |row, apply| {
            configured.select(row, |row| {
                loudest.take(row);
                apply(row);
            });
        });
        drop(loudest);
        for (number, row) in rows.iter().enumerate() {
            send(events, EventId { record: offset, line: number }, &Stored::Row(*row));
        }
        Ok(true)
    }

    /// Applies a record that consists of lines.
    fn apply_lines(&mut self, offset: u64, record: &[u8]) -> Result<(), BlockError> {
        let Self { view, events, records, lines, configured } = self;
        records.each(offset, record, |number, result| {
            if let Stored::Line(line) = &result
                && !is_scrape(line)
                && !apply_alarms(view, offset, line)
            {
                match lines.row(line) {
                    Ok(row) => configured.select(&row, |row| {
                        view.loudest().take(row);
                        view.writer().apply(row);
                    }),
                    Err(error) => warn!(offset, %error, "A stored result line cannot be parsed; the view skips it."),
                }
            }
            send(events, EventId { record: offset, line: number }, &result);
        })
    }
}

/// Applies a line with alarms; `false` if it is another one.
fn apply_alarms(view: &UveView, offset: u64, line: &[u8]) -> bool {
    if !is_alarms(line) {
        return false;
    }
    match AlarmRow::read(line) {
        Ok(row) => view.alarms().apply(row),
        Err(error) => warn!(offset, %error, "A stored row of alarms cannot be parsed; the view skips it."),
    }
    true
}

fn send(events: &EventHub, id: EventId, result: &Stored<'_>) {
    events.send(|| {
        let mut line = Vec::new();
        result.write_line(&mut line);
        Event { id, line: line.into() }
    });
}
