//! Results as points in InfluxDB: what is written is in [`points`], how it gets there in [`delivery`].
//!
//! Lines are gathered until there are enough for a request, or the oldest has waited for the flush interval, or nothing
//! more will come. The position in the log moves only after the server has everything before it, so a kill at any
//! instant loses nothing: the lines are made and sent again, with the same series and times, which changes nothing.
//! While the server is away this sink waits, and the log keeps results for it up to `results_hard_limit_bytes`.

mod answer;
mod batch;
mod client;
mod config;
mod delivery;
mod fields;
mod line;
mod points;
mod settings;
mod telemetry;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_log::{Log, RecordBatch, SinkPosition};
use daemon_results::line::LineReader;
use daemon_results::record::RecordReader;
use tracing::warn;

use self::batch::Batch;
use self::client::Client;
use self::delivery::{Delivery, Remote};
use self::points::Points;
use crate::Sink;

pub use self::config::{InfluxConfig, Precision};
pub use self::settings::InfluxSettings;
pub use self::telemetry::InfluxTelemetry;

/// Writes results to InfluxDB.
pub struct InfluxSink {
    settings: InfluxSettings,
    records: RecordReader,
    points: Points,
    delivery: Delivery,
    telemetry: InfluxTelemetry,
    clock: Arc<dyn Clock>,
    /// Lines of the records before `gathered` that are not delivered.
    batch: Batch,
    /// The next record to gather, the next to deliver, and the position in the log.
    gathered: u64,
    delivered: u64,
    stored: u64,
    /// When the first result since the last delivery was gathered, by monotonic time.
    waits_since: Option<Duration>,
}

impl InfluxSink {
    /// The name under which its position is stored.
    pub const NAME: &'static str = "influxdb";

    /// A sink that reads lines of the log with `lines`, and whose waits end when `stop` is set.
    pub fn new(
        settings: InfluxSettings,
        lines: LineReader,
        clock: Arc<dyn Clock>,
        telemetry: InfluxTelemetry,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let client = Client::new(&settings, stop);
        Self::with_remote(settings, lines, Box::new(client), clock, telemetry)
    }

    fn with_remote(
        settings: InfluxSettings,
        lines: LineReader,
        remote: Box<dyn Remote>,
        clock: Arc<dyn Clock>,
        telemetry: InfluxTelemetry,
    ) -> Self {
        let (credentials, target) = (settings.credentials(), settings.target());
        Self {
            records: RecordReader::default(),
            points: Points::new(settings.host.clone(), settings.server.clone(), settings.precision, lines),
            delivery: Delivery::new(remote, Arc::clone(&clock), telemetry.clone(), credentials, target),
            settings,
            telemetry,
            clock,
            batch: Batch::default(),
            gathered: 0,
            delivered: 0,
            stored: 0,
            waits_since: None,
        }
    }

    fn gather(&mut self, offset: u64, record: &[u8]) -> anyhow::Result<()> {
        let Self { records, points, batch, telemetry, .. } = self;
        let read = records.each(offset, record, |_, result| match points.add(&result, batch) {
            Ok(capped) => telemetry.capped(capped),
            Err(error) => {
                telemetry.unreadable();
                warn!(offset, %error, "A stored result cannot be read; it does not go to InfluxDB.");
            }
        });
        read.with_context(|| format!("read the results at offset {offset}"))?;
        self.gathered = offset + 1;
        self.waits_since.get_or_insert_with(|| self.clock.monotonic());
        Ok(())
    }

    fn is_due(&self) -> bool {
        let waited = |since: Duration| self.clock.monotonic().saturating_sub(since);
        self.waits_since.is_some_and(|since| waited(since) >= self.settings.flush_interval)
    }

    fn flush(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        self.delivery.send(&self.batch, self.settings.limits)?;
        self.batch.clear();
        self.waits_since = None;
        self.delivered = self.gathered;
        self.store(log)
    }

    /// Stores the position, if it is not: should that have failed, nothing needs to be sent again.
    fn store(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        if self.stored != self.delivered {
            let position = SinkPosition { next: self.delivered, detail: Vec::new() };
            log.set_sink_position(Self::NAME, position).context("store the position of the InfluxDB sink")?;
            self.stored = self.delivered;
        }
        Ok(())
    }
}

impl Sink for InfluxSink {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let next = match log.sink_position(Self::NAME)? {
            Some(position) => position.next,
            None => log.results_bounds()?.first,
        };
        // Registers a new sink: from now on results are kept until it has them.
        log.set_sink_position(Self::NAME, SinkPosition { next, detail: Vec::new() })?;
        (self.gathered, self.delivered, self.stored) = (next, next, next);
        Ok(next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        self.store(log)?;
        for record in batch.records() {
            // After an error the same batch comes again, and a part of it may be gathered.
            if record.offset < self.gathered {
                continue;
            }
            self.gather(record.offset, record.payload)?;
            if self.batch.is_full(self.settings.limits) {
                self.flush(log)?;
            }
        }
        if self.is_due() { self.flush(log) } else { Ok(()) }
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        self.store(log)?;
        if self.waits_since.is_some() && (stopping || self.is_due()) { self.flush(log) } else { Ok(()) }
    }

    fn delivered(&self, _next: u64) -> u64 {
        self.delivered
    }
}

#[cfg(test)]
mod tests;
