//! What an intake rejects, for an observer such as the taps of the daemon.

use std::fmt;
use std::sync::Arc;

use daemon_log::AppendBatch;
use proxy_uve::wire::WireSample;

use super::{Intake, LineError, check_key};
use crate::timestamp::{self, TimeUnit};

/// An observer of the samples that an intake rejects. A line whose key or value cannot be read is not a sample.
pub trait Rejections: fmt::Debug + Send + Sync {
    /// Whether somebody observes at present; else nothing is passed.
    fn is_active(&self) -> bool;

    /// Takes a rejected sample, on the thread of its sender; it must not block. `stream` is the stream, or what the
    /// sample has for it; `sample` has its time as it was sent.
    fn rejected(&self, stream: &str, key: &[u8], sample: &WireSample<'_>, reason: &LineError);
}

impl Intake {
    /// Passes rejected samples to this observer.
    #[must_use]
    pub fn with_rejections(self, rejections: impl Rejections + 'static) -> Self {
        Self { rejections: Some(Arc::new(rejections)), ..self }
    }

    /// Whether a timestamp in microseconds is one of a sample that arrives at `arrival`.
    pub(crate) fn is_in_time(&self, timestamp: u64, arrival: u64) -> bool {
        timestamp::check(timestamp, TimeUnit::Micros, arrival, self.allowed_skew).is_ok()
    }

    /// Adds the record of a sample with a timestamp in `unit`, or passes it to the observer.
    pub(super) fn add_in(
        &self,
        unit: TimeUnit,
        stream: u16,
        key: &[u8],
        sample: &WireSample<'_>,
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> Result<(), LineError> {
        let added = check_key(key)
            .and_then(|()| Ok(timestamp::check(sample.timestamp, unit, batch.appended_at(), self.allowed_skew)?))
            .and_then(|timestamp| self.record((stream, key), sample, timestamp, scratch))
            .and_then(|partition| Ok(batch.push(partition, key, scratch)?));
        added.map_err(|error| self.passed_on(|| self.name_of(stream), key, sample, error))
    }

    /// The error of a sample of no stream, after it was passed to the observer.
    #[cold]
    pub(super) fn of_no_stream(&self, name: &[u8], key: &[u8], sample: &WireSample<'_>, error: LineError) -> LineError {
        self.passed_on(|| String::from_utf8_lossy(name).into_owned(), key, sample, error)
    }

    #[cold]
    fn passed_on(
        &self,
        stream: impl FnOnce() -> String,
        key: &[u8],
        sample: &WireSample<'_>,
        error: LineError,
    ) -> LineError {
        if let Some(rejections) = self.rejections.as_ref().filter(|rejections| rejections.is_active()) {
            rejections.rejected(&stream(), key, sample, &error);
        }
        error
    }

    fn name_of(&self, stream: u16) -> String {
        self.plans.get(&stream).map(|plan| plan.stream().to_string()).unwrap_or_default()
    }
}
