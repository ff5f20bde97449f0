//! The sink behind the read endpoints: it keeps the view up to date and tells the event stream.

use std::sync::Arc;

use tracing::warn;

use crate::log::{Log, RecordBatch};
use crate::result_line::ResultLine;
use crate::sink::{Event, EventHub, Sink};
use crate::view::UveView;

/// Applies results to the view. It lives in memory, so it begins with the oldest result there is.
pub(crate) struct ViewSink {
    pub view: Arc<UveView>,
    pub events: Arc<EventHub>,
}

impl Sink for ViewSink {
    fn name(&self) -> &str {
        "view"
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        Ok(log.results_bounds()?.first)
    }

    fn deliver(&mut self, _log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        for record in batch.records() {
            let applied = ResultLine::parse(record.payload).and_then(|line| self.view.apply(&line));
            if let Err(error) = applied {
                warn!(offset = record.offset, %error, "A stored result cannot be read; the view goes on without it.");
            }
            self.events.send(|| Event { offset: record.offset, line: record.payload.into() });
        }
        Ok(())
    }
}
