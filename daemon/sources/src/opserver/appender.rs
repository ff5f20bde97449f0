//! The appender: writes the samples of a poll into the log.
//!
//! All samples of a poll have its time, so that they are in one period. They are appended in batches of about a MiB.
//! While the log is full, the appender waits. After another failure it drops the rest of the poll: whether the failed
//! batch is on disk may be unknown, and a sample that counts twice is as wrong as one that is missing.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{AppendBatch, Log, LogError};
use proxy_uve::StreamName;
use proxy_uve::wire::WireSample;
use tracing::debug;

use super::answer::Reading;
use super::telemetry::{PollerTelemetry, Rejected};
use crate::append_when_room;
use crate::intake::{Intake, LineError};

/// The size at which a batch is appended.
const BATCH_BYTES: u64 = 1024 * 1024 - 64 * 1024;

/// The shortest pause before a full log is tried again.
const MIN_RETRY: Duration = Duration::from_millis(50);

/// Writes readings into the log as samples.
pub(super) struct Appender {
    pub intake: Intake,
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub stop: Stop,
    /// How often the clock is read while the log is full.
    pub clock_interval: Duration,
    /// The names of the streams that readings refer to by index.
    pub streams: Vec<String>,
}

impl Appender {
    /// Returns the names of streams as the intake has them.
    pub(super) fn names(streams: &[StreamName]) -> Vec<String> {
        streams.iter().map(ToString::to_string).collect()
    }

    /// Appends samples taken at `at` (µs UTC). Returns `false` if a stop came before all were appended.
    ///
    /// # Errors
    ///
    /// When the log refuses a batch for another reason than being full.
    pub(super) fn append(&self, samples: &[Reading], at: u64, telemetry: &PollerTelemetry) -> Result<bool, LogError> {
        let mut scratch = Vec::new();
        let (mut batch, mut count) = (self.batch(), 0);
        for sample in samples {
            match self.push(sample, at, &mut batch, &mut scratch) {
                Ok(()) => count += 1,
                Err(error) => {
                    debug!(key = &*sample.key, %error, "A polled value is refused.");
                    telemetry.rejected(Rejected::Line);
                }
            }
            if batch.bytes() >= BATCH_BYTES {
                let full = std::mem::replace(&mut batch, self.batch());
                if !self.write(full)? {
                    return Ok(false);
                }
                telemetry.sampled(std::mem::take(&mut count));
            }
        }
        let written = batch.is_empty() || self.write(batch)?;
        telemetry.sampled(if written { count } else { 0 });
        Ok(written)
    }

    /// An empty batch that arrives now.
    fn batch(&self) -> AppendBatch {
        AppendBatch::new(self.log.arrival(self.clock.now_micros()))
    }

    fn push(
        &self,
        reading: &Reading,
        at: u64,
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> Result<(), LineError> {
        let stream = self.intake.stream(&self.streams[reading.stream])?;
        let source = reading.source.as_deref().map(Cow::Borrowed);
        let sample = WireSample { timestamp: at, value: reading.value, text: None, source, element: None };
        self.intake.add(stream, reading.key.as_bytes(), &sample, batch, scratch)
    }

    fn write(&self, batch: AppendBatch) -> Result<bool, LogError> {
        let wait = |retry_after: Duration| self.wait_until(self.clock.monotonic() + retry_after.max(MIN_RETRY));
        match append_when_room(&*self.log, batch, wait) {
            Ok(_) => Ok(true),
            Err(LogError::Full { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Waits until the daemon's clock shows `deadline`. Returns `false` if a stop came before.
    fn wait_until(&self, deadline: Duration) -> bool {
        while !self.stop.is_set() {
            let left = deadline.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return true;
            }
            self.stop.rest(left.min(self.clock_interval));
        }
        false
    }
}
