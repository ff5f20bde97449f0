//! Sinks: readers of the results log, each with a cursor of its own.
//!
//! A sink that is down or slow lags; it loses nothing and stops nobody. Its position is stored in the log after what
//! it delivered is safe, so after a restart it goes on where it was.

pub mod file;
pub mod influxdb;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon_log::{Log, LogError, RecordBatch};
use tracing::warn;

/// How much of the results a sink reads at a time.
const READ_BYTES: usize = 1024 * 1024;

/// How long a sink sleeps at most when there is nothing new.
const IDLE_WAIT: Duration = Duration::from_millis(200);

/// How long a sink waits before it tries again what failed.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// What a sink does with results.
pub trait Sink: Send {
    /// The name under which the position is shown.
    fn name(&self) -> &str;

    /// The first record of the results log that it wants.
    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64>;

    /// Takes records of the results log in order. After an error the same batch comes again.
    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()>;

    /// There is nothing new; `stopping`: nothing more will come. For a sink that gathers results before it delivers
    /// them. Called a few times a second, and again after an error.
    fn idle(&mut self, _log: &dyn Log, _stopping: bool) -> anyhow::Result<()> {
        Ok(())
    }

    /// The first record of which not all is delivered, when `next` is the next to take. Less for a sink that gathers.
    fn delivered(&self, next: u64) -> u64 {
        next
    }
}

impl<S: Sink + ?Sized> Sink for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn start(&mut self, log: &dyn Log) -> anyhow::Result<u64> {
        (**self).start(log)
    }

    fn deliver(&mut self, log: &dyn Log, batch: &RecordBatch) -> anyhow::Result<()> {
        (**self).deliver(log, batch)
    }

    fn idle(&mut self, log: &dyn Log, stopping: bool) -> anyhow::Result<()> {
        (**self).idle(log, stopping)
    }

    fn delivered(&self, next: u64) -> u64 {
        (**self).delivered(next)
    }
}

/// Runs a sink. Told to stop, it first delivers what is there. `progress` is called with the next offset to deliver
/// after each batch, and whether that is the end.
pub fn run(mut sink: impl Sink, log: &Arc<dyn Log>, stop: &AtomicBool, progress: impl Fn(&str, u64, bool)) {
    let Some(mut next) = retry(stop, || sink.start(&**log)) else {
        return;
    };
    let mut generation = 0;
    loop {
        // Before the read, so that what was written before the stop is seen.
        let stopping = stop.load(Ordering::Acquire);
        let Some(batch) = retry(stop, || read(&sink, &**log, next)) else {
            return;
        };
        if batch.is_empty() {
            if retry(stop, || sink.idle(&**log, stopping)).is_none() {
                return;
            }
            let delivered = sink.delivered(next);
            progress(sink.name(), delivered, delivered == next);
            if stopping {
                return;
            }
            generation = log.wait_for_results(generation, IDLE_WAIT);
            continue;
        }
        if retry(stop, || sink.deliver(&**log, &batch)).is_none() {
            return;
        }
        next = batch.next_offset();
        progress(sink.name(), sink.delivered(next), false);
    }
}

fn read(sink: &impl Sink, log: &dyn Log, next: u64) -> anyhow::Result<RecordBatch> {
    match log.read_results(next, READ_BYTES) {
        Err(LogError::OffsetOutOfRange { bounds, .. }) => {
            warn!(
                sink = sink.name(),
                from = next,
                to = bounds.first,
                "Results were deleted before this sink read them; raise results_hard_limit_bytes if it has to catch up after longer."
            );
            Ok(log.read_results(bounds.first, READ_BYTES)?)
        }
        batch => Ok(batch?),
    }
}

/// Tries until it works; `None` if told to stop before.
fn retry<T>(stop: &AtomicBool, mut attempt: impl FnMut() -> anyhow::Result<T>) -> Option<T> {
    loop {
        match attempt() {
            Ok(done) => return Some(done),
            Err(error) if stop.load(Ordering::Acquire) => {
                warn!(error = %format!("{error:#}"), "Stopped before this worked; it is tried again at the next start.");
                return None;
            }
            Err(error) => {
                warn!(error = %format!("{error:#}"), "A sink failed; trying again.");
                std::thread::sleep(RETRY_WAIT);
            }
        }
    }
}
