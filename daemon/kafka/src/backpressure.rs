//! Lets the input wait while a sink of this daemon is far behind the results.
//!
//! The results topic keeps results for a time only: what a sink that cannot deliver has not read by then is lost to it.
//! While input waits, nothing new is added to what the sink has to catch up on, and the input topics keep what comes.
//! The daemon stays in the group and keeps its partitions; [`Worker`](super::worker::Worker) pauses them, new ones too.
//!
//! * Only durable sinks count: the view is in memory and as fast as reading.
//! * One that has not even started counts from where it will go on.
//! * One that came to the end of the results is not behind, whatever the offsets say: transactions that were aborted
//!   leave offsets that nobody delivers, and waiting for them would never end.
//! * Input goes on at half the lag at which it was stopped, so that it does not change with every batch.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use daemon_base::stop;
use daemon_log::{Bounds, Log, LogError, SinkOffset, SinkOffsets};
use tracing::{debug, info, warn};

use crate::engine::Shared;
use crate::telemetry::GroupTelemetry;

/// How often the lag is polled: one request to the brokers each.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whether the input of this daemon waits.
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

/// On above the limit, off below half of it, and in between as it was.
#[derive(Clone, Copy, Debug)]
struct Brake {
    max_lag: u64,
    is_on: bool,
}

impl Brake {
    /// Whether it is on at this lag.
    fn at(&mut self, lag: u64) -> bool {
        self.is_on = if self.is_on { lag >= self.max_lag.div_ceil(2) } else { lag > self.max_lag };
        self.is_on
    }
}

/// Compares the sinks with the end of the results, on a thread of its own.
pub(crate) struct SinkWatch {
    log: Arc<dyn Log>,
    sinks: Arc<SinkOffsets>,
    telemetry: Arc<GroupTelemetry>,
    backpressure: Arc<Backpressure>,
    brake: Brake,
    /// Where sinks that have not started will go on.
    stored: BTreeMap<String, Option<u64>>,
}

impl SinkWatch {
    /// One that lets the input wait while a sink lags by more than `max_lag` messages.
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
        let brake = Brake { max_lag, is_on: false };
        Self { log, sinks, telemetry, backpressure, brake, stored: BTreeMap::new() }
    }

    pub(crate) fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            if let Err(error) = self.look() {
                debug!(%error, "The lag of the sinks is not known; the input goes on as it did.");
            }
            stop::rest(LOOK_INTERVAL, stop);
        }
    }

    fn look(&mut self) -> Result<(), LogError> {
        let offsets = self.sinks.take();
        let bounds = self.log.results_bounds()?;
        let mut slowest = (String::new(), 0);
        for (sink, offset) in offsets.into_iter().filter(|(_, offset)| !offset.is_volatile) {
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
        // What was deleted cannot be caught up on.
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
        let (was_on, max_lag) = (self.brake.is_on, self.brake.max_lag);
        let is_on = self.brake.at(lag);
        self.backpressure.set(is_on);
        self.telemetry.set_input_paused(is_on);
        match (was_on, is_on) {
            (false, true) => warn!(
                sink,
                lag,
                max_lag,
                "A sink lags: all input partitions of this daemon are paused until it has caught up with half of that. \
                 See why it cannot deliver; raise kafka.max_sink_lag, or set it to 0, if input must not wait."
            ),
            (true, false) => info!(sink, lag, max_lag, "The sink has caught up; the input goes on."),
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
        let mut brake = Brake { max_lag: 100, is_on: false };
        let lags = [0, 100, 101, 100, 50, 49, 50, 100, 500, 0];
        let is_on = [false, false, true, true, true, false, false, false, true, false];
        assert_eq!(lags.map(|lag| brake.at(lag)), is_on);
    }

    #[test]
    fn the_smallest_limit_lets_go_when_nothing_is_left() {
        let mut brake = Brake { max_lag: 1, is_on: false };
        assert_eq!([1, 2, 1, 0].map(|lag| brake.at(lag)), [false, true, true, false]);
    }

    /// A log of 1,000 results, of which the first 100 are deleted.
    struct Results;

    impl Log for Results {
        fn append(&self, _batch: AppendBatch) -> Result<Appended, LogError> {
            unreachable!("nobody appends")
        }

        fn read_results(&self, _from: u64, _max_bytes: usize) -> Result<RecordBatch, LogError> {
            unreachable!("nobody reads")
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

    /// Whether input waits when these sinks stand so and the limit is so.
    fn waits(max_lag: u64, place: impl FnOnce(&SinkOffsets)) -> bool {
        let (sinks, backpressure): (Arc<SinkOffsets>, Arc<Backpressure>) = Default::default();
        place(&sinks);
        let own = (Arc::clone(&sinks), Arc::clone(&backpressure));
        let mut watch = SinkWatch::with(Arc::new(Results), own.0, Arc::default(), own.1, max_lag);
        watch.look().unwrap();
        backpressure.is_on()
    }

    #[test]
    fn the_slowest_durable_sink_decides() {
        let place = |sinks: &SinkOffsets| {
            sinks.set("fast", 990, false);
            sinks.set("slow", 800, false);
            sinks.expect("view", true);
            sinks.set("view", 100, false);
        };
        assert!(waits(199, place));
        assert!(!waits(200, place));
    }

    #[test]
    fn a_sink_that_has_not_started_counts_from_its_stored_position_or_from_the_oldest_result() {
        assert!(waits(599, |sinks| sinks.expect("stored", false)));
        assert!(!waits(600, |sinks| sinks.expect("stored", false)));
        assert!(waits(899, |sinks| sinks.expect("new", false)));
        assert!(!waits(900, |sinks| sinks.expect("new", false)));
    }

    #[test]
    fn deleted_results_and_those_of_aborted_transactions_are_not_waited_for() {
        assert!(!waits(900, |sinks| sinks.set("far behind", 0, false)));
        assert!(!waits(10, |sinks| sinks.set("at the end", 500, true)));
    }

    #[test]
    fn an_end_that_was_reached_long_ago_counts_once() {
        let (sinks, backpressure): (Arc<SinkOffsets>, Arc<Backpressure>) = Default::default();
        let own = (Arc::clone(&sinks), Arc::clone(&backpressure));
        let mut watch = SinkWatch::with(Arc::new(Results), own.0, Arc::default(), own.1, 10);
        sinks.set("stuck", 500, true);
        let is_on = [(); 2].map(|()| {
            watch.look().unwrap();
            backpressure.is_on()
        });
        assert_eq!(is_on, [false, true]);
    }
}
