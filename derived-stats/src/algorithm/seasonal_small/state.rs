//! The data of one object, and its signals.

use super::LARGEST;
use super::tail::{SIGNALS, Tails};
use crate::math::{quick_asinh, sqrt};
use crate::number::Numeric;
use crate::saved::{RestoreError, WordWriter, Words};

/// The number of buckets of the day, and their length in seconds.
const BUCKETS: usize = 16;
const BUCKET: u64 = 5400;

/// The largest count of a bucket, four bits.
const MOST: u8 = 15;

/// The time in a bucket over which its mean is weighted, in seconds: two days.
const BUCKET_SPAN: f64 = 2.0 * BUCKET as f64;

/// The interval that is assumed while the time does not advance, in seconds.
const USUAL_INTERVAL: f64 = 60.0;

/// The weight of a value in the mean size of the values.
const SIZE_WEIGHT: f64 = 1.0 / 2000.0;

/// The least weight of a value in the long mean of the level.
const LEVEL_WEIGHT: f64 = 1.0 / 32_000.0;

/// The number of values before the distance of the level counts.
const WARM: f64 = 20.0;

/// A residual below this share of the size of the values is rounding of single floats.
const ROUNDING: f64 = 1e-5;

/// The largest number of values that is counted, 28 bits: 510 years of minutes.
const MOST_SAMPLES: u32 = (1 << 28) - 1;

/// A flag of a state.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// The newest value raises an alarm.
    Alarm = 1 << 28,
    /// The newest value is the bound of an overflowed sum.
    Bound = 1 << 29,
    /// The warm-up is over, and the threshold is set.
    Ready = 1 << 30,
}

/// The data of one object: 200 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SmallState<T> {
    pub(super) newest: T,
    /// The times of the first and of the latest value, in seconds.
    first: u32,
    last: u32,
    /// The number of values, and above it the flags.
    packed: u32,
    /// The mean of each bucket.
    means: [f32; BUCKETS],
    /// The mean size of the values.
    size: f32,
    /// The mean over 12 residuals on the asinh scale.
    a12: f32,
    /// On that scale: the mean over 16 values, the long mean and the deviation of their difference.
    fast_level: f32,
    level: f32,
    level_deviation: f32,
    pub(super) strangeness: f32,
    pub(super) expected: f32,
    /// The newest f that passed the gate.
    pub(super) peak: f32,
    pub(super) threshold: f32,
    pub(super) tails: Tails,
    /// The values since the gate passed one, 1 for that value itself; and since an alarm.
    pub(super) since: u16,
    pub(super) since_alarm: u16,
    /// The number of values of each bucket, up to 15: four bits each.
    counts: [u8; BUCKETS / 2],
}

impl<T> SmallState<T> {
    #[inline]
    pub(super) fn has(&self, flag: State) -> bool {
        self.packed & flag as u32 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: State, is_set: bool) {
        self.packed = self.packed & !(flag as u32) | if is_set { flag as u32 } else { 0 };
    }

    /// The number of values.
    #[inline]
    pub(super) fn samples(&self) -> u32 {
        self.packed & MOST_SAMPLES
    }

    /// The time since the first value, in seconds.
    #[inline]
    pub(super) fn age(&self) -> u64 {
        u64::from(self.last - self.first)
    }

    /// The mean interval in seconds, never 0.
    #[inline]
    pub(super) fn interval(&self) -> f64 {
        match (self.last - self.first, self.samples()) {
            (0, _) | (_, 0 | 1) => USUAL_INTERVAL,
            (age, samples) => f64::from(age) / f64::from(samples - 1),
        }
    }

    fn count(&self, bucket: usize) -> u8 {
        self.counts.get(bucket / 2).map_or(0, |pair| pair >> (bucket % 2 * 4) & MOST)
    }
}

impl<T: Numeric> SmallState<T> {
    pub(super) fn start() -> Self {
        Self {
            newest: T::default(),
            first: 0,
            last: 0,
            packed: 0,
            means: [0.0; BUCKETS],
            size: 0.0,
            a12: 0.0,
            fast_level: 0.0,
            level: 0.0,
            level_deviation: 0.0,
            strangeness: 0.0,
            expected: 0.0,
            peak: 0.0,
            threshold: 0.0,
            tails: Tails::START,
            since: u16::MAX,
            since_alarm: u16::MAX,
            counts: [0; BUCKETS / 2],
        }
    }

    /// Counts a value at `seconds`.
    #[inline]
    pub(super) fn tick(&mut self, seconds: u64) {
        let now = u32::try_from(seconds).unwrap_or(u32::MAX);
        if self.samples() == 0 {
            (self.first, self.last) = (now, now);
        }
        self.last = self.last.max(now);
        if self.samples() < MOST_SAMPLES {
            self.packed += 1;
        }
    }

    /// The signals of the value `x` at `seconds`, which is counted already; then learns it.
    #[inline]
    pub(super) fn signals(&mut self, x: f64, seconds: u64, interval: f64) -> [f64; SIGNALS] {
        let earlier = f64::from(self.samples() - 1);
        let weight = 1.0 / (earlier + 1.0);
        let size = f64::from(self.size) + (x.abs() - f64::from(self.size)) * SIZE_WEIGHT.max(weight);
        self.size = size as f32;
        let expected = if earlier == 0.0 { x } else { self.forecast(seconds) };
        self.expected = expected as f32;
        let k = 3.0 / (size + 1e-12);
        let (y, mut ra, mut r) = (quick_asinh(k * x), 0.0, x - expected);
        if r.abs() < ROUNDING * size {
            r = 0.0;
        } else {
            ra = y - quick_asinh(k * expected);
        }
        let a12 = f64::from(self.a12) + (ra - f64::from(self.a12)) * weight.max(1.0 / 12.0);
        self.a12 = a12 as f32;
        let level = self.level_signal(y, earlier, weight);
        self.learn(x, seconds, interval);
        [r.abs(), a12.abs(), level]
    }

    /// The mean of the bucket, read between the centres of two buckets. A bucket without values is like the one before.
    #[inline]
    fn forecast(&self, seconds: u64) -> f64 {
        let (bucket, phase) = (bucket(seconds), (seconds % BUCKET) as f64 / BUCKET as f64 - 0.5);
        if self.count(bucket) == 0 {
            let before = (bucket + BUCKETS - 1) % BUCKETS;
            let is_known = self.count(before) > 0;
            return f64::from(if is_known {
                self.means.get(before).copied().unwrap_or_default()
            } else {
                self.expected
            });
        }
        let other = (bucket + if phase > 0.0 { 1 } else { BUCKETS - 1 }) % BUCKETS;
        let mean = |bucket: usize| self.means.get(bucket).copied().map_or(0.0, f64::from);
        let own = mean(bucket);
        if self.count(other) == 0 { own } else { own + phase.abs() * (mean(other) - own) }
    }

    /// The distance of the mean over 16 values from the long mean, in deviations. `weight` is that of a plain mean.
    #[inline]
    fn level_signal(&mut self, y: f64, earlier: f64, weight: f64) -> f64 {
        if earlier == 0.0 {
            (self.fast_level, self.level) = (y as f32, y as f32);
        }
        let fast = f64::from(self.fast_level) + (y - f64::from(self.fast_level)) * weight.max(1.0 / 16.0);
        let (level, deviation) = (f64::from(self.level), f64::from(self.level_deviation));
        let d = fast - level;
        let is_rounding = d.abs() < ROUNDING * (level.abs() + fast.abs());
        let signal = if is_rounding { 0.0 } else { d.abs() / (deviation + 1e-3 * level.abs() + 1e-6) };
        let weight = LEVEL_WEIGHT.max(0.5 * weight);
        self.fast_level = fast as f32;
        self.level = (level + weight * d) as f32;
        self.level_deviation = sqrt((1.0 - weight) * (deviation * deviation + weight * d * d)) as f32;
        if earlier > WARM { signal } else { 0.0 }
    }

    #[inline]
    fn learn(&mut self, x: f64, seconds: u64, interval: f64) {
        let bucket = bucket(seconds);
        let count = (self.count(bucket) + 1).min(MOST);
        if let Some(pair) = self.counts.get_mut(bucket / 2) {
            let shift = bucket % 2 * 4;
            *pair = *pair & !(MOST << shift) | count << shift;
        }
        if let Some(mean) = self.means.get_mut(bucket) {
            let weight = if count < MOST { 1.0 / f64::from(count) } else { (interval / BUCKET_SPAN).min(1.0) };
            *mean = (f64::from(*mean) + (x - f64::from(*mean)) * weight) as f32;
        }
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        let pair = |[high, low]: [u32; 2]| u64::from(high) << 32 | u64::from(low);
        words.push(self.newest.to_bits());
        words.extend([pair([self.first, self.last]), u64::from(self.packed)]);
        words.push(pair([u32::from(self.since), u32::from(self.since_alarm)]));
        let Self { size, a12, fast_level, level, level_deviation, strangeness, expected, peak, threshold, .. } = *self;
        words.extend(
            [[size, a12], [fast_level, level], [level_deviation, strangeness], [expected, peak], [threshold, 0.0]]
                .map(|floats| pair(floats.map(f32::to_bits))),
        );
        let (pairs, _) = self.means.as_chunks::<2>();
        words.extend(pairs.iter().map(|floats| pair(floats.map(f32::to_bits))));
        words.push(u64::from_be_bytes(self.counts));
        self.tails.save(words);
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut state = Self { newest: words.finite("newest value")?, ..Self::start() };
        [state.first, state.last] = halves(words.next("times")?);
        let packed = words.next("samples")?;
        state.packed = u32::try_from(packed).map_err(|_| RestoreError::invalid("samples", packed))?;
        [state.since, state.since_alarm] = halves(words.next("values since the peak")?).map(|since| since as u16);
        [state.size, state.a12] = floats(words, "size and residual")?;
        [state.fast_level, state.level] = floats(words, "levels")?;
        [state.level_deviation, state.strangeness] = floats(words, "deviation and strangeness")?;
        [state.expected, state.peak] = floats(words, "expected value and peak")?;
        [state.threshold, _] = floats(words, "threshold")?;
        for pair in state.means.as_chunks_mut::<2>().0 {
            *pair = floats(words, "means of the day")?;
        }
        state.counts = words.next("counts of the day")?.to_be_bytes();
        state.tails = Tails::restore(words)?;
        let is_start = state.samples() == 0 && state != Self::start();
        if is_start || !state.is_possible() {
            return Err(RestoreError::invalid("samples", packed));
        }
        Ok(state)
    }

    /// Whether the fields are within their ranges.
    fn is_possible(&self) -> bool {
        let sizes = [self.size, self.level_deviation, self.strangeness, self.peak, self.threshold];
        let small = [self.a12, self.fast_level, self.level, self.level_deviation, self.strangeness, self.peak];
        self.first <= self.last
            && self.packed >> 31 == 0
            && self.since > 0
            && sizes.iter().all(|size| *size >= 0.0)
            && small.iter().all(|value| value.abs() <= LARGEST_STRANGENESS)
    }
}

/// Above the strangeness and the asinh of every value.
const LARGEST_STRANGENESS: f32 = 1e3;

#[inline]
fn bucket(seconds: u64) -> usize {
    (seconds / BUCKET % BUCKETS as u64) as usize
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
