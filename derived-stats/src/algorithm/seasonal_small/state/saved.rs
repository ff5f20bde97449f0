//! The saved words of one object.

use super::{MOST_SAMPLES, SmallState, State, Threshold};
use crate::algorithm::seasonal_small::LARGEST;
use crate::algorithm::seasonal_small::day::Day;
use crate::algorithm::seasonal_small::tail::Tails;
use crate::number::Numeric;
use crate::saved::{RestoreError, WordWriter, Words};

/// Above the strangeness and the asinh of every value.
const LARGEST_STRANGENESS: f32 = 1e3;

impl<T: Numeric> SmallState<T> {
    pub(in crate::algorithm::seasonal_small) fn save(&self, words: &mut WordWriter<'_>) {
        let pair = |[high, low]: [u32; 2]| u64::from(high) << 32 | u64::from(low);
        words.push(self.newest.to_bits());
        words.extend([pair([self.first, self.last]), u64::from(self.packed)]);
        words.push(pair([u32::from(self.since), u32::from(self.since_alarm)]));
        let Self { size, a12, fast_level, level, level_deviation, strangeness, expected, peak, interval, .. } = *self;
        words.extend(
            [[size, a12], [fast_level, level], [level_deviation, strangeness], [expected, peak], [interval, 0.0]]
                .map(|floats| pair(floats.map(f32::to_bits))),
        );
        words.push(self.threshold.bits());
        self.day.save(words);
        self.tails.save(words);
    }

    pub(in crate::algorithm::seasonal_small) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut state = Self::read_start(words)?;
        state.interval = single(words, "interval")?;
        let threshold = words.next("threshold")?;
        state.threshold = Threshold::of_bits(threshold).ok_or_else(|| RestoreError::invalid("threshold", threshold))?;
        state.day = Day::restore(words, floats)?;
        state.tails = Tails::restore(words)?;
        state.checked()
    }

    /// Reads the words of version 1: the threshold was a single float, the interval the mean since the first value, and
    /// the time since an alarm a number of values.
    pub(in crate::algorithm::seasonal_small) fn migrate(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut state = Self::read_start(words)?;
        state.set_threshold(single(words, "threshold")?.into());
        state.day = Day::restore(words, floats)?;
        state.tails = Tails::migrate(words)?;
        if let (age @ 1.., samples @ 2..) = (state.age(), state.samples()) {
            state.interval = (age as f64 / f64::from(samples - 1)) as f32;
        }
        if state.since_alarm < u16::MAX {
            state.since_alarm = (f64::from(state.since_alarm) * state.interval()) as u16;
        }
        state.checked()
    }

    /// The state as one that began in a version before 4, in which the number of values had the bit of [`State::Even`].
    /// One without values is that of a new object.
    pub(in crate::algorithm::seasonal_small) fn even(mut self) -> Self {
        if self.has(State::Even) {
            self.packed |= MOST_SAMPLES;
        }
        self.set(State::Even, self.samples() > 0);
        self
    }

    /// Reads the words before the interval and the threshold.
    fn read_start(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut state = Self { newest: words.finite("newest value")?, ..Self::start() };
        [state.first, state.last] = halves(words.next("times")?);
        let packed = words.next("samples")?;
        state.packed = u32::try_from(packed).map_err(|_| RestoreError::invalid("samples", packed))?;
        const SINCE: &str = "time since the peak and an alarm";
        let word = words.next(SINCE)?;
        let [since, since_alarm] = halves(word).map(u16::try_from);
        let (Ok(since), Ok(since_alarm)) = (since, since_alarm) else {
            return Err(RestoreError::invalid(SINCE, word));
        };
        (state.since, state.since_alarm) = (since, since_alarm);
        [state.size, state.a12] = floats(words, "size and residual")?;
        [state.fast_level, state.level] = floats(words, "levels")?;
        [state.level_deviation, state.strangeness] = floats(words, "deviation and strangeness")?;
        [state.expected, state.peak] = floats(words, "expected value and peak")?;
        Ok(state)
    }

    /// The state, if a sequence of values can lead to it.
    fn checked(self) -> Result<Self, RestoreError> {
        let is_start = self.samples() == 0 && self != Self::start();
        if is_start || !self.is_possible() {
            return Err(RestoreError::invalid("samples", self.packed.into()));
        }
        Ok(self)
    }

    /// Whether the fields are within their ranges.
    fn is_possible(&self) -> bool {
        let sizes = [self.size, self.level_deviation, self.strangeness, self.peak, self.interval];
        let small = [self.a12, self.fast_level, self.level, self.level_deviation, self.strangeness, self.peak];
        self.since > 0
            && sizes.iter().all(|size| *size >= 0.0)
            && small.iter().all(|value| value.abs() <= LARGEST_STRANGENESS)
    }
}

fn halves(word: u64) -> [u32; 2] {
    [(word >> 32) as u32, word as u32]
}

/// Two saved floats, at most four times the largest sample by size.
fn floats(words: &mut Words<'_>, field: &'static str) -> Result<[f32; 2], RestoreError> {
    let word = words.next(field)?;
    let floats = halves(word).map(f32::from_bits);
    let is_bounded = floats.iter().all(|float| f64::from(float.abs()) <= 4.0 * LARGEST);
    if is_bounded { Ok(floats) } else { Err(RestoreError::invalid(field, word)) }
}

/// A saved float in the upper half of a word of which the lower half is 0.
fn single(words: &mut Words<'_>, field: &'static str) -> Result<f32, RestoreError> {
    let word = words.next(field)?;
    let [float, rest] = halves(word);
    let float = f32::from_bits(float);
    if rest == 0 && float.is_finite() { Ok(float) } else { Err(RestoreError::invalid(field, word)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_began_in_an_older_version_is_known() {
        let mut state = SmallState::<u64>::start();
        assert_eq!(state.even(), state, "without values it is that of a new object");
        state.tick(60);
        let even = state.even();
        assert_eq!((state.has(State::Even), even.has(State::Even), even.samples()), (false, true, 1));
        let mut words = Vec::new();
        even.save(&mut WordWriter::new(&mut words));
        assert_eq!(SmallState::restore(&mut Words::new(&words)), Ok(even));
        // The number of values had a bit more.
        state.packed = 1 << 27 | 7;
        assert_eq!((state.even().samples(), state.even().has(State::Even)), (MOST_SAMPLES, true));
    }
}
