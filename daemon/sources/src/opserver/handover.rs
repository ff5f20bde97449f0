//! Samples into the log, as the lines that clients post.
//!
//! A poll's samples all have its time, to be in one period. They go in batches of about a MiB. A log that is full is
//! waited for. After another failure the rest of the poll is dropped: whether the failed batch is on disk may be
//! unknown, and a sample twice is as wrong as none.

use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::Clock;
use daemon_base::stop::Stop;
use daemon_log::{AppendBatch, Log, LogError};
use derived_stats::Number;
use proxy_uve::StreamName;
use serde::Serialize;
use tracing::debug;

use super::answer::Reading;
use super::telemetry::{PollerTelemetry, Rejected};
use crate::intake::Intake;

/// The size at which a batch goes.
const BATCH_BYTES: u64 = 1024 * 1024 - 64 * 1024;

/// The shortest pause before a full log is tried again.
const MIN_RETRY: Duration = Duration::from_millis(50);

/// The way into the log.
pub(super) struct Handover {
    pub intake: Intake,
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub stop: Stop,
    /// How often the clock is read while the log is full.
    pub clock_interval: Duration,
    /// The names of the streams, as lines have them.
    pub streams: Vec<String>,
}

/// A line in the JSON form of the intake.
#[derive(Serialize)]
struct Line<'l> {
    key: &'l str,
    stream: &'l str,
    ts: u64,
    value: Number,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'l str>,
}

/// Buffers that are reused from sample to sample.
#[derive(Default)]
struct Scratch {
    line: Vec<u8>,
    record: Vec<u8>,
}

impl Handover {
    pub(super) fn names(streams: &[StreamName]) -> Vec<String> {
        streams.iter().map(ToString::to_string).collect()
    }

    /// Appends samples taken at `at` (µs UTC). `false` if told to stop before all were.
    ///
    /// # Errors
    ///
    /// When the log refused for another reason than being full.
    pub(super) fn append(&self, samples: &[Reading], at: u64, telemetry: &PollerTelemetry) -> Result<bool, LogError> {
        let mut scratch = Scratch::default();
        let (mut batch, mut count) = (AppendBatch::new(self.clock.now_micros()), 0);
        for sample in samples {
            match self.push(sample, at, &mut batch, &mut scratch) {
                Ok(()) => count += 1,
                Err(error) => {
                    debug!(key = &*sample.key, error = %format!("{error:#}"), "A polled value is refused.");
                    telemetry.rejected(Rejected::Line);
                }
            }
            if batch.bytes() >= BATCH_BYTES {
                let full = std::mem::replace(&mut batch, AppendBatch::new(self.clock.now_micros()));
                if !self.write(&full)? {
                    return Ok(false);
                }
                telemetry.sampled(std::mem::take(&mut count));
            }
        }
        let written = batch.is_empty() || self.write(&batch)?;
        telemetry.sampled(if written { count } else { 0 });
        Ok(written)
    }

    fn push(
        &self,
        sample: &Reading,
        at: u64,
        batch: &mut AppendBatch,
        Scratch { line, record }: &mut Scratch,
    ) -> anyhow::Result<()> {
        let (stream, source) = (&self.streams[sample.stream], sample.source.as_deref());
        line.clear();
        serde_json::to_writer(&mut *line, &Line { key: &sample.key, stream, ts: at, value: sample.value, source })?;
        Ok(self.intake.push(line, batch, record)?)
    }

    fn write(&self, batch: &AppendBatch) -> Result<bool, LogError> {
        loop {
            match self.log.append(batch.clone()) {
                Ok(_) => return Ok(true),
                Err(LogError::Full { retry_after, .. }) => {
                    let deadline = self.clock.monotonic() + retry_after.max(MIN_RETRY);
                    if !self.wait_until(deadline) {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// By the daemon's clock. `false` if told to stop.
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
