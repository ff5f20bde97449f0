//! A sink that posts results in requests, each of which the server takes as a whole or refuses.
//!
//! A [`Payload`] encodes the results; the rest is the same for all such sinks. The stored position moves after each
//! request that the server has taken, and is a position within a record too, as a record holds many results. A process
//! that is killed therefore sends at most one request again. Whether that changes anything at the server is a matter of
//! the payload.

mod answer;
mod delivery;
mod payload;
mod telemetry;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{Log, RecordBatch, SinkPosition};
use daemon_results::record::{RecordReader, Stored};
use tracing::warn;
use ureq::tls::TlsConfig;

use self::delivery::{Delivery, Remote};
use crate::Sink;
use crate::exchange::Exchange;

pub(crate) use self::payload::{Added, LeftOut, Payload, Request};
pub use self::telemetry::PostTelemetry;

/// What a sink sends, and where to.
#[derive(Clone)]
pub(crate) struct PostSettings {
    /// The name of the sink, under which it stores its position.
    pub name: &'static str,
    /// The settings that a message names if the server refuses every request.
    pub settings: &'static str,
    /// The setting of further authorities.
    pub ca_file: &'static str,
    pub url: String,
    pub timeout: Duration,
    pub tls: TlsConfig,
    /// The most items of a request; one result may exceed it.
    pub max_items: usize,
    /// The most bytes of a request before compression; one result may exceed it.
    pub max_bytes: usize,
    pub flush_interval: Duration,
    /// How long a request is repeated that is refused for reasons which are not its own.
    pub refusal_timeout: Duration,
    /// Whether a request is repeated no longer than that after a status such as 500 either, which may be its own fault.
    pub ends_server_errors: bool,
}

/// A position in the results: the record, and the results of it that are done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Position {
    offset: u64,
    results: u64,
}

impl Position {
    fn of(stored: &SinkPosition) -> Self {
        let results = stored.detail.as_slice().try_into().map_or(0, u64::from_le_bytes);
        Self { offset: stored.next, results }
    }

    fn stored(self) -> SinkPosition {
        let detail = if self.results == 0 { Vec::new() } else { self.results.to_le_bytes().to_vec() };
        SinkPosition { next: self.offset, detail }
    }
}

/// A sink that posts its payload.
pub(crate) struct PostSink<P> {
    settings: PostSettings,
    payload: P,
    delivery: Delivery,
    records: RecordReader,
    telemetry: PostTelemetry,
    clock: Arc<dyn Clock>,
    /// The next result to buffer.
    buffered: Position,
    /// The first result that is not delivered.
    delivered: Position,
    stored: Position,
    /// The monotonic time at which the first result since the last delivery was buffered.
    buffered_since: Option<Duration>,
}

impl<P: Payload> PostSink<P> {
    pub(crate) fn new(
        settings: PostSettings,
        payload: P,
        clock: Arc<dyn Clock>,
        telemetry: PostTelemetry,
        stop: Stop,
    ) -> Self {
        let PostSettings { timeout, name, ca_file, ref tls, .. } = settings;
        let exchange = Exchange::new(timeout, tls.clone(), name, ca_file, stop);
        Self::with_remote(settings, payload, Box::new(exchange), clock, telemetry)
    }

    fn with_remote(
        settings: PostSettings,
        payload: P,
        remote: Box<dyn Remote>,
        clock: Arc<dyn Clock>,
        telemetry: PostTelemetry,
    ) -> Self {
        let delivery = Delivery::new(settings.clone(), remote, Arc::clone(&clock), telemetry.clone());
        let (buffered, delivered, stored) = Default::default();
        let records = RecordReader::default();
        Self {
            settings,
            payload,
            delivery,
            records,
            telemetry,
            clock,
            buffered,
            delivered,
            stored,
            buffered_since: None,
        }
    }

    /// Adds the results of a record, and sends requests that are full.
    fn buffer(&mut self, log: &dyn Log, offset: u64, record: &[u8]) -> anyhow::Result<()> {
        if self.buffered.offset != offset {
            self.buffered = Position { offset, results: 0 };
        }
        let mut records = std::mem::take(&mut self.records);
        let mut failure = None;
        let read = records.each(offset, record, |number, result| {
            if failure.is_none() && number as u64 >= self.buffered.results {
                failure = self.add(log, number as u64, &result).err();
            }
        });
        self.records = records;
        read.with_context(|| format!("read the results at offset {offset}"))?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        self.buffered = Position { offset: offset + 1, results: 0 };
        Ok(())
    }

    fn add(&mut self, log: &dyn Log, number: u64, result: &Stored<'_>) -> anyhow::Result<()> {
        let mut added = self.payload.add(result);
        if matches!(added, Ok(Added::Later)) {
            self.flush(log)?;
            added = self.payload.add(result);
        }
        match added {
            Ok(Added::Taken { left_out: 0 }) => {}
            Ok(Added::Taken { left_out }) => self.telemetry.dropped(left_out, "duplicate"),
            Ok(Added::Later) => self.telemetry.unreadable(),
            Err(error) => {
                self.telemetry.unreadable();
                let (sink, offset) = (self.settings.name, self.buffered.offset);
                warn!(sink, offset, %error, "A stored result cannot be read; the sink skips it.");
            }
        }
        self.buffered.results = number + 1;
        self.buffered_since.get_or_insert_with(|| self.clock.monotonic());
        let PostSettings { max_items, max_bytes, .. } = self.settings;
        let is_full = self.payload.items() >= max_items || self.payload.bytes() >= max_bytes;
        if is_full { self.flush(log) } else { Ok(()) }
    }

    /// Whether the first buffered result has waited for the flush interval.
    fn is_due(&self) -> bool {
        let waited = |since: Duration| self.clock.monotonic().saturating_sub(since);
        self.buffered_since.is_some_and(|since| waited(since) >= self.settings.flush_interval)
    }

    /// Sends what is buffered and stores the position.
    fn flush(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        self.delivery.send(&mut self.payload)?;
        self.payload.clear();
        self.buffered_since = None;
        self.delivered = self.buffered;
        self.store(log)
    }

    /// Stores the position if it has changed; after an error a later call stores it, and nothing is sent again.
    fn store(&mut self, log: &dyn Log) -> anyhow::Result<()> {
        if self.stored != self.delivered {
            let name = self.settings.name;
            let stored = log.set_sink_position(name, self.delivered.stored());
            stored.with_context(|| format!("store the position of the sink {name}"))?;
            self.stored = self.delivered;
        }
        Ok(())
    }
}

impl<P: Payload> Sink for PostSink<P> {
    fn name(&self) -> &str {
        self.settings.name
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        let position = match log.sink_position(self.settings.name)? {
            Some(stored) => Position::of(&stored),
            None => Position { offset: log.results_bounds()?.first, results: 0 },
        };
        // Registers a new sink, so that the log keeps unread results for it.
        log.set_sink_position(self.settings.name, position.stored())?;
        (self.buffered, self.delivered, self.stored) = (position, position, position);
        Ok(position.offset)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        self.store(log)?;
        // The results were deleted and begin anew, before the position.
        if batch.next_offset() < self.buffered.offset {
            self.buffered = Position::default();
        }
        for record in batch.records() {
            // After an error the same batch comes again, and a part of it may be buffered.
            if record.offset >= self.buffered.offset {
                self.buffer(log, record.offset, record.payload)?;
            }
        }
        if self.is_due() { self.flush(log) } else { Ok(()) }
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        if self.buffered_since.is_none() {
            // The last request may have been full with the last result of a record.
            self.delivered = self.buffered;
        }
        self.store(log)?;
        if self.buffered_since.is_some() && (stopping || self.is_due()) { self.flush(log) } else { Ok(()) }
    }

    fn delivered(&self, _next: u64) -> u64 {
        self.delivered.offset
    }
}

#[cfg(test)]
mod tests;
