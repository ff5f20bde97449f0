//! The daemon's clock: the only file that reads the wall clock or the monotonic clock.
//!
//! Everything else takes time as an argument, so that a replay gives the same bytes on every day.
//! The wall clock may step in either direction, so no code may rely on it being monotone. Code that needs order
//! clamps (the log does so for `appended_at`); code that measures a span uses [`Clock::monotonic`].

use std::ops::Range;
#[cfg(any(test, feature = "test-util"))]
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Returns a span in microseconds, saturated at 64 bits.
pub fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Returns the interval that contains `now` (µs since the epoch), of those that follow each other from the epoch on.
pub fn aligned(now: u64, interval: Duration) -> Range<u64> {
    let interval = micros(interval).max(1);
    let start = now - now % interval;
    start..start.saturating_add(interval)
}

/// A source of time.
pub trait Clock: Send + Sync {
    /// Returns the wall clock in microseconds since 1970-01-01 UTC; 0 before that. It may step back.
    fn now_micros(&self) -> u64;

    /// Returns the time since an arbitrary start. It never goes back; use it for spans, timeouts and back-off.
    fn monotonic(&self) -> Duration;
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Returns a clock whose monotonic time is zero now.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now_micros(&self) -> u64 {
        micros(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// A clock that a test sets by hand; the wall clock and the monotonic clock move independently.
#[cfg(any(test, feature = "test-util"))]
#[derive(Debug, Default)]
pub struct ManualClock {
    wall_micros: AtomicU64,
    monotonic_micros: AtomicU64,
}

#[cfg(any(test, feature = "test-util"))]
impl ManualClock {
    /// Returns a clock whose wall clock shows `wall_micros` and whose monotonic time is zero.
    pub fn at(wall_micros: u64) -> Self {
        Self { wall_micros: AtomicU64::new(wall_micros), monotonic_micros: AtomicU64::new(0) }
    }

    /// Advances both clocks by `span`.
    pub fn advance(&self, span: Duration) {
        let micros = micros(span);
        self.wall_micros.fetch_add(micros, Ordering::Relaxed);
        self.monotonic_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Steps the wall clock alone, forward or back, as an operator or a time server does.
    pub fn set_wall(&self, wall_micros: u64) {
        self.wall_micros.store(wall_micros, Ordering::Relaxed);
    }
}

#[cfg(any(test, feature = "test-util"))]
impl Clock for ManualClock {
    fn now_micros(&self) -> u64 {
        self.wall_micros.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic_micros.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_follow_each_other_from_the_epoch_on() {
        let interval = Duration::from_micros(10);
        assert_eq!([0, 9, 10, 25].map(|now| aligned(now, interval)), [0..10, 0..10, 10..20, 20..30]);
        assert_eq!(aligned(7, Duration::ZERO), 7..8);
        assert_eq!(aligned(u64::MAX, interval).end, u64::MAX);
    }

    #[test]
    fn a_manual_clock_steps_the_wall_without_moving_the_monotonic_time() {
        let clock = ManualClock::at(1_000_000);
        clock.advance(Duration::from_secs(2));
        clock.set_wall(5);
        assert_eq!((clock.now_micros(), clock.monotonic()), (5, Duration::from_secs(2)));
    }

    #[test]
    fn the_system_clock_stands_after_2020_and_its_monotonic_time_never_goes_back() {
        let clock = SystemClock::new();
        assert!(clock.now_micros() > 1_577_836_800_000_000);
        let earlier = clock.monotonic();
        assert!(clock.monotonic() >= earlier);
    }
}
