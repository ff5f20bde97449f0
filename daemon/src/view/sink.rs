//! The sink behind the read endpoints: it keeps the view up to date and sends results to the event stream.

use std::sync::Arc;

use daemon_log::{Log, RecordBatch};
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use daemon_sinks::Sink;
use tracing::{error, warn};

use crate::view::{Event, EventHub, ResultPlace, UveView};

/// Applies results to the view. It lives in memory, so it begins with the oldest result there is.
pub(crate) struct ViewSink {
    view: Arc<UveView>,
    events: Arc<EventHub>,
    records: RecordReader,
    lines: LineReader,
}

impl ViewSink {
    /// Its name among the sinks.
    pub(crate) const NAME: &'static str = "view";

    /// A sink that reads lines with `lines`.
    pub(crate) fn new(view: Arc<UveView>, events: Arc<EventHub>, lines: LineReader) -> Self {
        Self { view, events, records: RecordReader::default(), lines }
    }
}

impl Sink for ViewSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        Ok(log.results_bounds()?.first)
    }

    fn deliver(&mut self, _log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        let Self { view, events, records, lines } = self;
        for record in batch.records() {
            let offset = record.offset;
            let read = records.each(offset, record.payload, |number, result| {
                match &result {
                    Stored::Row(row) => view.apply(row),
                    Stored::Line(line) if is_scrape(line) => {}
                    Stored::Line(line) => match lines.row(line) {
                        Ok(row) => view.apply(&row),
                        Err(error) => {
                            warn!(offset, %error, "A stored result cannot be read; the view goes on without it.");
                        }
                    },
                }
                events.send(|| {
                    let mut line = Vec::new();
                    result.write_line(&mut line);
                    Event { place: ResultPlace { record: offset, line: number }, line: line.into() }
                });
            });
            if let Err(error) = read {
                error!(offset, %error, "Stored results cannot be read; the view goes on without them.");
            }
        }
        Ok(())
    }
}
