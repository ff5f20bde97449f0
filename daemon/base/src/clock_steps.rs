//! Steps of the wall clock ahead: for a short time they are not believed.
//!
//! A wall clock that is a day ahead for a second would give its time to all samples without one. Event time never goes
//! back, so every later sample would be late for a day. The monotonic clock shows such a step: within [`HOLD`] the step
//! is either taken back, or it is the correction of a clock that was wrong, and is believed then.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::clock::{Clock, micros};

/// How long a step ahead is not believed. The glitches of clocks that are known, of hypervisors and of time servers that
/// disagree, are taken back within seconds; senders repeat what is refused for longer than that without loss.
pub const HOLD: Duration = Duration::from_secs(10);

/// The smallest step that is not believed, however small the allowed skew: in hours without a request a clock that is
/// being adjusted moves by seconds.
const LEAST_STEP: Duration = Duration::from_secs(10);

/// A step ahead that is not believed yet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Held {
    /// The size of the step.
    pub ahead: Duration,
    /// The time until it is believed; at most [`HOLD`].
    pub left: Duration,
}

/// The difference of the wall clock to the monotonic clock, and whether it is believed.
#[derive(Debug)]
pub struct ClockSteps(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The wall clock minus the monotonic clock, in microseconds, that is believed.
    believed: i128,
    /// Another one, and the monotonic time since when it is seen.
    doubted: Option<(i128, Duration)>,
}

impl ClockSteps {
    /// Believes the clock as it is now.
    pub fn new(clock: &dyn Clock) -> Self {
        let (_, _, difference) = read(clock);
        Self(Mutex::new(State { believed: difference, doubted: None }))
    }

    /// Reads the wall clock, in microseconds since the epoch. The cost is that of two clocks and a lock.
    ///
    /// # Errors
    ///
    /// [`Held`] within [`HOLD`] after a step ahead by more than `skew`, and more than ten seconds. The begin and the end
    /// are logged. A step back is believed at once.
    pub fn now(&self, clock: &dyn Clock, skew: Duration) -> Result<u64, Held> {
        // With the lock: a difference must not be older than the one before it.
        let mut state = self.lock();
        let (wall, monotonic, difference) = read(clock);
        let tolerance = i128::from(micros(skew.max(LEAST_STEP)));
        let ahead = difference - state.believed;
        if ahead <= tolerance {
            if state.doubted.take().is_some() {
                info!("The clock is where it was before it stepped ahead. Samples are stored again.");
            }
            state.believed = difference;
            return Ok(wall);
        }
        let ahead = Duration::from_micros(u64::try_from(ahead).unwrap_or(u64::MAX));
        let since = match state.doubted {
            Some((doubted, since)) if (difference - doubted).abs() <= tolerance => since,
            _ => {
                state.doubted = Some((difference, monotonic));
                let (seconds, hold) = (ahead.as_secs(), HOLD.as_secs());
                warn!(
                    ahead_seconds = seconds,
                    "The clock of this machine stepped ahead. No samples are stored for {hold} s, in case it steps back; \
                     then the clock is believed. Check the time service of this machine."
                );
                monotonic
            }
        };
        let left = HOLD.saturating_sub(monotonic.saturating_sub(since));
        if !left.is_zero() {
            return Err(Held { ahead, left });
        }
        *state = State { believed: difference, doubted: None };
        warn!(
            ahead_seconds = ahead.as_secs(),
            "The clock has stayed ahead, and is believed. Samples are stored again."
        );
        Ok(wall)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wall clock, the monotonic clock, and their difference in microseconds.
fn read(clock: &dyn Clock) -> (u64, Duration, i128) {
    let (wall, monotonic) = (clock.now_micros(), clock.with_suspension());
    (wall, monotonic, i128::from(wall) - i128::from(micros(monotonic)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const START: u64 = 1_700_000_000_000_000;

    /// Steps the wall clock alone.
    fn step(clock: &ManualClock, by: Duration) -> u64 {
        let wall = clock.now_micros() + micros(by);
        clock.set_wall(wall);
        wall
    }

    #[test]
    fn a_glitch_is_never_believed_and_its_end_is_seen_at_once() {
        let clock = ManualClock::at(START);
        let steps = ClockSteps::new(&clock);
        clock.advance(SECOND);
        assert_eq!(steps.now(&clock, SECOND), Ok(START + 1_000_000));
        step(&clock, DAY);
        assert_eq!(steps.now(&clock, SECOND), Err(Held { ahead: DAY, left: HOLD }));
        clock.advance(SECOND);
        assert_eq!(steps.now(&clock, SECOND), Err(Held { ahead: DAY, left: HOLD - SECOND }));
        clock.set_wall(START + 2_000_000);
        assert_eq!(steps.now(&clock, SECOND), Ok(START + 2_000_000));
        // The next one has its own time.
        step(&clock, DAY);
        assert_eq!(steps.now(&clock, SECOND), Err(Held { ahead: DAY, left: HOLD }));
    }

    #[test]
    fn a_clock_that_stays_ahead_is_believed_after_the_hold() {
        let clock = ManualClock::at(START);
        let steps = ClockSteps::new(&clock);
        step(&clock, DAY);
        assert_eq!(steps.now(&clock, SECOND), Err(Held { ahead: DAY, left: HOLD }));
        clock.advance(HOLD - SECOND);
        // Adjusted on the way.
        step(&clock, SECOND);
        assert_eq!(steps.now(&clock, SECOND), Err(Held { ahead: DAY + SECOND, left: SECOND }));
        clock.advance(SECOND);
        assert_eq!(steps.now(&clock, SECOND), Ok(clock.now_micros()));
        clock.advance(DAY);
        assert_eq!(steps.now(&clock, SECOND), Ok(clock.now_micros()));
    }

    #[test]
    fn a_second_step_while_one_is_held_begins_anew() {
        let clock = ManualClock::at(START);
        let steps = ClockSteps::new(&clock);
        step(&clock, DAY);
        assert!(steps.now(&clock, SECOND).is_err());
        clock.advance(HOLD - SECOND);
        step(&clock, DAY);
        assert_eq!(steps.now(&clock, SECOND), Err(Held { ahead: 2 * DAY, left: HOLD }));
    }

    #[test]
    fn small_steps_and_steps_back_are_believed_at_once() {
        let clock = ManualClock::at(START);
        let steps = ClockSteps::new(&clock);
        for (by, skew) in [(10 * SECOND, Duration::ZERO), (60 * SECOND, 60 * SECOND)] {
            // Many small ones are an adjustment, also if they add up.
            for _ in 0..3 {
                let wall = step(&clock, by);
                assert_eq!(steps.now(&clock, skew), Ok(wall));
            }
            step(&clock, by + SECOND);
            assert!(steps.now(&clock, skew).is_err(), "{by:?}");
            clock.set_wall(START);
            assert_eq!(steps.now(&clock, skew), Ok(START));
        }
        clock.set_wall(0);
        assert_eq!(steps.now(&clock, SECOND), Ok(0));
    }
}
