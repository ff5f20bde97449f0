//! The sink behind the read endpoints: it keeps the view up to date and tells the event stream.

use std::sync::Arc;

use tracing::warn;

use crate::log::{Log, RecordBatch};
use crate::result_line::{ResultLine, is_scrape, lines};
use crate::sink::{Event, EventHub, ResultPlace, Sink};
use crate::view::UveView;

/// Applies results to the view. It lives in memory, so it begins with the oldest result there is.
pub(crate) struct ViewSink {
    pub view: Arc<UveView>,
    pub events: Arc<EventHub>,
}

impl ViewSink {
    /// Its name among the sinks.
    pub(crate) const NAME: &'static str = "view";

    fn apply(&self, offset: u64, line: &[u8]) {
        if let Err(error) = ResultLine::parse(line).and_then(|line| self.view.apply(&line)) {
            warn!(offset, %error, "A stored result cannot be read; the view goes on without it.");
        }
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
        for record in batch.records() {
            for (number, line) in lines(record.payload).enumerate() {
                if !is_scrape(line) {
                    self.apply(record.offset, line);
                }
                let place = ResultPlace { record: record.offset, line: number };
                self.events.send(|| Event { place, line: line.into() });
            }
        }
        Ok(())
    }
}
