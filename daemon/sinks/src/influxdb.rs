//! A sink that writes results to InfluxDB as points of its line protocol.
//!
//! `points` converts a result into points and `delivery` sends them. The sink buffers lines until there are enough
//! for a request, until the oldest line has waited for the flush interval, or until the daemon stops.
//!
//! The stored position moves only after the server has accepted every line before it. A process that is killed
//! therefore loses no line: after the restart the sink sends the same lines again, with the same series and times, and
//! InfluxDB overwrites each point with an equal one. While the server is unreachable the sink waits, and the log keeps
//! results for it up to `results_hard_limit_bytes`.

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
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
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

/// A sink that writes results to InfluxDB.
pub struct InfluxSink {
    settings: InfluxSettings,
    records: RecordReader,
    points: Points,
    delivery: Delivery,
    telemetry: InfluxTelemetry,
    clock: Arc<dyn Clock>,
    /// The lines of the records from `delivered` to `buffered`.
    batch: Batch,
    /// The offset of the next record to buffer.
    buffered: u64,
    /// The offset of the first record that is not delivered.
    delivered: u64,
    /// The position in the log.
    stored: u64,
    /// The monotonic time at which the first record since the last delivery was buffered.
    buffered_since: Option<Duration>,
}

impl InfluxSink {
    /// The name of the sink, under which it stores its position.
    pub const NAME: &'static str = "influxdb";

    /// Creates a sink that parses results in JSON with `lines`, and ends a wait or a request when `stop` is set.
    pub fn new(
        settings: InfluxSettings,
        lines: LineReader,
        clock: Arc<dyn Clock>,
        telemetry: InfluxTelemetry,
        stop: Stop,
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
            buffered: 0,
            delivered: 0,
            stored: 0,
            buffered_since: None,
        }
    }

    /// Adds the lines of a record to the batch.
    fn buffer(&mut self, offset: u64, record: &[u8]) -> anyhow::Result<()> {
        let Self { records, points, batch, telemetry, .. } = self;
        let read = records.each(offset, record, |_, result| match points.add(&result, batch) {
            Ok(capped) => telemetry.capped(capped),
            Err(error) => {
                telemetry.unreadable();
                warn!(offset, %error, "A stored result cannot be read; the InfluxDB sink skips it.");
            }
        });
        read.with_context(|| format!("read the results at offset {offset}"))?;
        self.buffered = offset + 1;
        self.buffered_since.get_or_insert_with(|| self.clock.monotonic());
        Ok(())
    }

    /// Whether the first buffered record has waited for the flush interval.
    fn is_due(&self) -> bool {
        let waited = |since: Duration| self.clock.monotonic().saturating_sub(since);
        self.buffered_since.is_some_and(|since| waited(since) >= self.settings.flush_interval)
    }

    /// Sends all buffered lines and stores the position.
    fn flush(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        self.delivery.send(&self.batch, self.settings.limits)?;
        self.batch.clear();
        self.buffered_since = None;
        self.delivered = self.buffered;
        self.store(log)
    }

    /// Stores the position if it has changed; after an error a later call stores it, and no line is sent again.
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
        // Registers a new sink, so that the log keeps unread results for it.
        log.set_sink_position(Self::NAME, SinkPosition { next, detail: Vec::new() })?;
        (self.buffered, self.delivered, self.stored) = (next, next, next);
        Ok(next)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        self.store(log)?;
        for record in batch.records() {
            // After an error the same batch comes again, and a part of it may be buffered.
            if record.offset < self.buffered {
                continue;
            }
            self.buffer(record.offset, record.payload)?;
            if self.batch.is_full(self.settings.limits) {
                self.flush(log)?;
            }
        }
        if self.is_due() { self.flush(log) } else { Ok(()) }
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        self.store(log)?;
        if self.buffered_since.is_some() && (stopping || self.is_due()) { self.flush(log) } else { Ok(()) }
    }

    fn delivered(&self, _next: u64) -> u64 {
        self.delivered
    }
}

#[cfg(test)]
mod tests;
