//! The clock of the machine against event time: steps ahead, and streams whose watermark is ahead of the clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::clock::{Clock, micros};
use daemon_base::clock_steps::{ClockSteps, Held};
use daemon_base::setting::duration;
use daemon_base::stop::Stop;
use daemon_partition::WorkerTelemetry;
use proxy_uve::TableSettings;
use tracing::{info, warn};

use crate::engine::Engine;

/// How often streams are compared with the clock for the log.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most streams that the warnings name.
const MAX_NAMED: usize = 10;

/// The clock of the daemon, with what its samples allow.
#[derive(Clone)]
pub(crate) struct Clocks {
    clock: Arc<dyn Clock>,
    steps: Arc<ClockSteps>,
    /// The watermarks of the streams.
    workers: Arc<WorkerTelemetry>,
    allowed_skew: Duration,
    allowed_lateness: Duration,
}

impl Clocks {
    /// The clock of an engine whose tables have these settings.
    pub(crate) fn of(engine: &Engine, settings: &TableSettings, steps: &Arc<ClockSteps>) -> Self {
        Self {
            clock: Arc::clone(&engine.clock),
            steps: Arc::clone(steps),
            workers: Arc::clone(&engine.telemetry.workers),
            allowed_skew: settings.allowed_skew,
            allowed_lateness: settings.allowed_lateness,
        }
    }

    /// The time for the arrival of samples, in microseconds since the epoch.
    ///
    /// # Errors
    ///
    /// While a step of the clock ahead is not believed.
    pub(super) fn arrival(&self) -> Result<u64, Held> {
        self.steps.now(&*self.clock, self.allowed_skew)
    }

    /// What is wrong with the clock, in a line for each.
    pub(super) fn warnings(&self) -> Vec<String> {
        let held = self.arrival().err();
        let step = held.map(|Held { ahead, left }| {
            let (ahead, left) = (seconds(ahead), seconds(left + Duration::from_secs(1)));
            format!(
                "the clock of this machine stepped {ahead} ahead; no samples are stored for {left}, in case it steps back; \
                 check its time service"
            )
        });
        // By a clock that is not believed, all streams would be right.
        let streams = self.streams_ahead(self.clock.now_micros());
        let more = streams.len().saturating_sub(MAX_NAMED);
        let named = streams.iter().take(MAX_NAMED).map(|(stream, ahead)| {
            let ahead = seconds(*ahead);
            format!(
                "the watermark of the stream {stream} is {ahead} ahead of the clock of this machine, so samples with the \
                 present time are late; if the clock is behind, correct it; if it was ahead before, wait for {ahead}, or \
                 give the stream another name"
            )
        });
        let named: Vec<_> = step.into_iter().chain(named).collect();
        let more = (more > 0).then(|| format!("the watermarks of {more} more streams are ahead of the clock"));
        named.into_iter().chain(more).collect()
    }

    /// The streams whose watermark is ahead of the time `now` by more than lateness and skew, with the largest distance
    /// of their partitions: no sample that was accepted by the clock as it is can have moved it there.
    fn streams_ahead(&self, now: u64) -> BTreeMap<String, Duration> {
        let latest = now.saturating_add(micros(self.allowed_lateness)).saturating_add(micros(self.allowed_skew));
        let streams = self.workers.watermarks_after(latest).into_iter();
        streams.map(|(stream, watermark)| (stream, Duration::from_micros(watermark.saturating_sub(now)))).collect()
    }

    /// Logs the begin and the end of steps, and of the time for which a stream is ahead, until the stop.
    pub(crate) fn watch(&self, stop: &Stop) {
        let mut known = BTreeMap::new();
        loop {
            // A step is logged when it is seen.
            let _ = self.arrival();
            let now = self.streams_ahead(self.clock.now_micros());
            for (stream, ahead) in now.iter().filter(|(stream, _)| !known.contains_key(*stream)) {
                warn!(
                    %stream, ahead_seconds = ahead.as_secs(),
                    "The watermark of a stream is ahead of the clock of this machine, so samples with the present time are \
                     late. If the clock is behind, correct it; if it was ahead before, wait, or give the stream another name."
                );
            }
            for (stream, _) in known.iter().filter(|(stream, _)| !now.contains_key(*stream)) {
                info!(%stream, "The watermark of the stream is not ahead of the clock any more.");
            }
            known = now;
            if !stop.rest(INTERVAL) {
                return;
            }
        }
    }
}

/// A span in whole seconds, minutes or hours.
fn seconds(span: Duration) -> String {
    duration::print(Duration::from_secs(span.as_secs()))
}

#[cfg(test)]
mod tests {
    use daemon_base::clock::ManualClock;
    use daemon_log::PartitionId;
    use daemon_partition::TableStatus;

    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn clocks(clock: &Arc<ManualClock>) -> Clocks {
        let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
        Clocks {
            steps: Arc::new(ClockSteps::new(&*clock)),
            clock,
            workers: Arc::default(),
            allowed_skew: Duration::from_secs(10),
            allowed_lateness: Duration::from_secs(30),
        }
    }

    #[test]
    fn streams_are_ahead_beyond_lateness_and_skew_each_with_its_farthest_partition() {
        let clock = Arc::new(ManualClock::at(NOW));
        let clocks = clocks(&clock);
        let watermarks = [("a", NOW + 40_000_000), ("b", NOW + 41_000_000), ("b", NOW + 7_200_000_000), ("c", 0)];
        let many: Vec<_> = (0..12).map(|index| format!("many-{index}")).collect();
        for (index, (stream, watermark)) in watermarks.iter().enumerate() {
            let status = TableStatus { stream: (*stream).to_owned(), watermark: *watermark, ..TableStatus::default() };
            clocks.workers.set_table(PartitionId::new(0, u16::try_from(index).unwrap()), status);
        }
        let warnings = clocks.warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].contains("the stream b is 2h ahead") && warnings[0].contains("another name"),
            "{warnings:?}"
        );
        for (index, stream) in many.iter().enumerate() {
            let status = TableStatus { stream: stream.clone(), watermark: u64::MAX, ..TableStatus::default() };
            clocks.workers.set_table(PartitionId::new(1, u16::try_from(index).unwrap()), status);
        }
        let warnings = clocks.warnings();
        assert_eq!(warnings.len(), MAX_NAMED + 1, "{warnings:?}");
        assert!(warnings[MAX_NAMED].contains("3 more streams"), "{warnings:?}");
        clocks.workers.remove_tables();
        assert_eq!(clocks.warnings(), [""; 0]);
    }

    #[test]
    fn a_step_ahead_is_a_warning_until_the_clock_is_back() {
        let clock = Arc::new(ManualClock::at(NOW));
        let clocks = clocks(&clock);
        assert_eq!(clocks.warnings(), [""; 0]);
        clock.set_wall(NOW + 24 * 3_600_000_000);
        assert!(clocks.arrival().is_err());
        let warnings = clocks.warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("stepped 1d ahead"), "{warnings:?}");
        clock.set_wall(NOW);
        assert_eq!((clocks.warnings().len(), clocks.arrival()), (0, Ok(NOW)));
    }
}
