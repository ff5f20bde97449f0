//! Pauses the input while a sink of this daemon lags far behind the results.
//!
//! The results topic has a retention time: a sink that cannot deliver loses the results that it has not read by then.
//! While input is paused, the lag of the sink does not grow, and the input topics keep the samples. The daemon stays in
//! the group and keeps its partitions; [`Worker`](super::worker::Worker) pauses them, including newly assigned ones.
//!
//! * Only durable sinks count: the view is in memory and is as fast as the reader.
//! * The lag of a sink that has not started is measured from its committed offset.
//! * A sink that has reached the end of the results has no lag, whatever the offsets are: aborted transactions leave
//!   offsets without records, and a wait for them would never end.
//! * Input resumes at half the lag at which it was paused, so that it does not change with every batch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon_base::failpoint;
use daemon_base::sink_offsets::{SinkOffset, SinkOffsets};
use daemon_base::stop::Stop;
use daemon_log::{Bounds, Log, LogError};
use tracing::{debug, info, warn};

use crate::engine::Shared;
use crate::telemetry::GroupTelemetry;

/// How often the lag is polled: one request to the brokers each.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the input of this daemon is paused.
#[derive(Debug, Default)]
pub(crate) struct Backpressure(AtomicBool);

impl Backpressure {
    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, is_on: bool) {
        self.0.store(is_on, Ordering::Release);
    }
}

/// A switch with hysteresis: on above the limit, off below half of it, unchanged in between.
#[derive(Clone, Copy, Debug)]
struct Hysteresis {
    max_lag: u64,
    is_on: bool,
}

impl Hysteresis {
    /// Whether the switch is on after this lag.
    fn at(&mut self, lag: u64) -> bool {
        self.is_on = if self.is_on { lag >= self.max_lag.div_ceil(2) } else { lag > self.max_lag };
        self.is_on
    }
}

/// Polls the lag of the sinks, on a thread of its own.
pub(crate) struct SinkWatch {
    log: Arc<dyn Log>,
    sinks: Arc<SinkOffsets>,
    telemetry: Arc<GroupTelemetry>,
    backpressure: Arc<Backpressure>,
    hysteresis: Hysteresis,
    /// The committed offsets of sinks that have not started.
    stored: BTreeMap<String, Option<u64>>,
}

impl SinkWatch {
    /// Makes a watch that pauses the input while a sink lags by more than `max_lag` messages.
    pub(crate) fn new(log: Arc<dyn Log>, shared: &Shared, backpressure: Arc<Backpressure>, max_lag: u64) -> Self {
        let (sinks, telemetry) = (Arc::clone(&shared.sinks), Arc::clone(&shared.group));
        Self::with(log, sinks, telemetry, backpressure, max_lag)
    }

    fn with(
        log: Arc<dyn Log>,
        sinks: Arc<SinkOffsets>,
        telemetry: Arc<GroupTelemetry>,
        backpressure: Arc<Backpressure>,
        max_lag: u64,
    ) -> Self {
        let hysteresis = Hysteresis { max_lag, is_on: false };
        Self { log, sinks, telemetry, backpressure, hysteresis, stored: BTreeMap::new() }
    }

    pub(crate) fn run(mut self, stop: &Stop) {
        while !stop.is_set() {
            failpoint::point("backpressure.run");
            if let Err(error) = self.poll() {
                debug!(%error, "The lag of the sinks cannot be read; the input stays as it is.");
            }
            stop.rest(POLL_INTERVAL);
        }
    }

    fn poll(&mut self) -> Result<(), LogError> {
        let offsets = self.sinks.take();
        let bounds = self.log.results_bounds()?;
        let mut slowest = (String::new(), 0);
        for (sink, offset) in offsets.into_iter().filter(|(_, offset)| offset.is_durable) {
            let lag = self.lag(&sink, offset, bounds)?;
            if lag >= slowest.1 {
                slowest = (sink, lag);
            }
        }
        self.decide(&slowest.0, slowest.1);
        Ok(())
    }

    fn lag(&mut self, sink: &str, offset: SinkOffset, bounds: Bounds) -> Result<u64, LogError> {
        if offset.was_at_end {
            return Ok(0);
        }
        let next = match offset.next {
            Some(next) => next,
            None => self.stored(sink)?.unwrap_or(bounds.first),
        };
        // A sink cannot read deleted results.
        Ok(bounds.next.saturating_sub(next.max(bounds.first)))
    }

    fn stored(&mut self, sink: &str) -> Result<Option<u64>, LogError> {
        match self.stored.entry(sink.to_owned()) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(unknown) => {
                let position = self.log.sink_position(sink)?;
                Ok(*unknown.insert(position.map(|position| position.next)))
            }
        }
    }

    fn decide(&mut self, sink: &str, lag: u64) {
        let (was_on, max_lag) = (self.hysteresis.is_on, self.hysteresis.max_lag);
        let is_on = self.hysteresis.at(lag);
        self.backpressure.set(is_on);
        self.telemetry.set_input_paused(is_on);
        match (was_on, is_on) {
            (false, true) => warn!(
                sink,
                lag,
                max_lag,
                "A sink lags: all input partitions of this daemon are paused until it has caught up with half of that. \
                 Check why it cannot deliver; raise kafka.max_sink_lag, or set it to 0, if input must not be paused."
            ),
            (true, false) => info!(sink, lag, max_lag, "The sink has caught up; the input is resumed."),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use daemon_log::{AppendBatch, Appended, RecordBatch, SinkPosition};

    use super::*;

    #[test]
    fn the_brake_is_on_above_the_limit_and_off_below_half_of_it() {
        let mut hysteresis = Hysteresis { max_lag: 100, is_on: false };
        let lags = [0, 100, 101, 100, 50, 49, 50, 100, 500, 0];
        let is_on = [false, false, true, true, true, false, false, false, true, false];
        assert_eq!(lags.map(|lag| hysteresis.at(lag)), is_on);
    }

    #[test]
    fn the_smallest_limit_turns_off_without_lag() {
        let mut hysteresis = Hysteresis { max_lag: 1, is_on: false };
        assert_eq!([1, 2, 1, 0].map(|lag| hysteresis.at(lag)), [false, true, true, false]);
    }

    /// A log of 1,000 results, of which the first 100 are deleted.
    struct Results;

    impl Log for Results {
        fn append(&self, _batch: AppendBatch) -> Result<Appended, LogError> {
            unreachable!("the test does not append")
        }

        fn arrival(&self, at: u64) -> u64 {
            at
        }

        fn read_results(&self, _from: u64, _max_bytes: usize) -> Result<RecordBatch, LogError> {
            unreachable!("the test does not read")
        }

        fn results_bounds(&self) -> Result<Bounds, LogError> {
            Ok(Bounds { first: 100, next: 1000 })
        }

        fn sink_position(&self, sink: &str) -> Result<Option<SinkPosition>, LogError> {
            Ok((sink == "stored").then(|| SinkPosition { next: 400, detail: Vec::new() }))
        }

        fn set_sink_position(&self, _sink: &str, _position: SinkPosition) -> Result<(), LogError> {
            Ok(())
        }

        fn remove_sink(&self, _sink: &str) -> Result<(), LogError> {
            Ok(())
        }

        fn wait_for_results(&self, seen: u64, _timeout: Duration) -> u64 {
            seen
        }

        fn wake_all(&self) {}
    }

    /// Whether input is paused with the sink offsets that `set` makes.
    fn pauses(max_lag: u64, set: impl FnOnce(&SinkOffsets)) -> bool {
        let (sinks, backpressure): (Arc<SinkOffsets>, Arc<Backpressure>) = Default::default();
        set(&sinks);
        let own = (Arc::clone(&sinks), Arc::clone(&backpressure));
        let mut watch = SinkWatch::with(Arc::new(Results), own.0, Arc::default(), own.1, max_lag);
        watch.poll().unwrap();
        backpressure.is_on()
    }

    #[test]
    fn the_slowest_durable_sink_decides() {
        let offsets = |sinks: &SinkOffsets| {
            sinks.set("fast", 990, false);
            sinks.set("slow", 800, false);
            sinks.expect("view", false);
            sinks.set("view", 100, false);
        };
        assert!(pauses(199, offsets));
        assert!(!pauses(200, offsets));
    }

    #[test]
    fn a_sink_that_has_not_started_counts_from_its_stored_position_or_from_the_oldest_result() {
        assert!(pauses(599, |sinks| sinks.expect("stored", true)));
        assert!(!pauses(600, |sinks| sinks.expect("stored", true)));
        assert!(pauses(899, |sinks| sinks.expect("new", true)));
        assert!(!pauses(900, |sinks| sinks.expect("new", true)));
    }

    #[test]
    fn deleted_results_and_aborted_transactions_are_not_lag() {
        assert!(!pauses(900, |sinks| sinks.set("far behind", 0, false)));
        assert!(!pauses(10, |sinks| sinks.set("at the end", 500, true)));
    }

    #[test]
    fn the_end_of_the_results_counts_for_one_poll_only() {
        let (sinks, backpressure): (Arc<SinkOffsets>, Arc<Backpressure>) = Default::default();
        let own = (Arc::clone(&sinks), Arc::clone(&backpressure));
        let mut watch = SinkWatch::with(Arc::new(Results), own.0, Arc::default(), own.1, 10);
        sinks.set("stuck", 500, true);
        let is_on = [(); 2].map(|()| {
            watch.poll().unwrap();
            backpressure.is_on()
        });
        assert_eq!(is_on, [false, true]);
    }
}
