//! The sink behind the read endpoints: it keeps the view up to date and tells the event stream.

use std::sync::Arc;

use tracing::warn;

use crate::log::{Log, RecordBatch};
use crate::result_line::{ResultLine, is_scrape};
use crate::sink::{Event, EventHub, ResultPlace, Sink, results};
use crate::view::UveView;

/// Applies results to the view. It lives in memory, so it begins with the oldest result there is.
pub(crate) struct ViewSink {
    pub view: Arc<UveView>,
    pub events: Arc<EventHub>,
}

impl ViewSink {
    /// Its name among the sinks.
    pub(crate) const NAME: &'static str = "view";

    fn apply(&self, place: ResultPlace, line: &[u8]) {
        if let Err(error) = ResultLine::parse(line).and_then(|line| self.view.apply(&line)) {
            warn!(offset = place.record, %error, "A stored result cannot be read; the view goes on without it.");
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
        for (place, line) in results(batch) {
            if !is_scrape(line) {
                self.apply(place, line);
            }
            self.events.send(|| Event { place, line: line.into() });
        }
        Ok(())
    }
}
