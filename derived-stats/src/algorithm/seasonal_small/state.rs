//! The data of one object, and its signals.

use super::LARGEST;
use super::tail::{SIGNALS, Tails};
use crate::math::sqrt;
use crate::number::Numeric;
use crate::saved::{RestoreError, WordWriter, Words};

/// The number of buckets of the day, and their length in seconds.
const BUCKETS: usize = 16;
const BUCKET: u64 = 5400;

/// The largest count of a bucket, four bits.
const MOST: u8 = 15;

/// The time in a bucket over which its mean is weighted, in seconds: two days.
const BUCKET_SPAN: f64 = 2.0 * BUCKET as f64;

/// The span of the mean and the deviation, in seconds.
const SPAN: f64 = 6000.0;

/// The interval that is assumed while the time does not advance, in seconds.
const USUAL_INTERVAL: f64 = 60.0;

/// Values over which the size of the values is averaged.
const MEMO: f64 = 2000.0;

/// The number of values before the distance in deviations counts.
const WARM: f64 = 20.0;

/// A residual below this share of the size of the values is rounding of single floats.
const ROUNDING: f64 = 1e-5;

/// A flag of a state.
#[derive(Clone, Copy)]
pub(super) enum State {
    /// The newest value raises an alarm.
    Alarm = 1,
    /// The newest value is the bound of an overflowed sum.
    Bound = 2,
    /// The warm-up is over, and the threshold is set.
    Ready = 4,
}

/// The data of one object: 200 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SmallState<T> {
    pub(super) newest: T,
    /// The times of the first and of the latest value, in seconds.
    first: u32,
    last: u32,
    pub(super) samples: u32,
    /// The mean of each bucket.
    means: [f32; BUCKETS],
    /// The mean size of the values.
    size: f32,
    /// The mean and the deviation over the span.
    mean: f32,
    deviation: f32,
    /// The mean over 4 residuals.
    r4: f32,
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
    flags: u8,
}

impl<T> SmallState<T> {
    #[inline]
    pub(super) fn has(&self, flag: State) -> bool {
        self.flags & flag as u8 != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flag: State, is_set: bool) {
        self.flags = self.flags & !(flag as u8) | if is_set { flag as u8 } else { 0 };
    }

    /// The time since the first value, in seconds.
    #[inline]
    pub(super) fn age(&self) -> u64 {
        u64::from(self.last - self.first)
    }

    /// The mean interval in seconds, never 0.
    #[inline]
    pub(super) fn interval(&self) -> f64 {
        match (self.last - self.first, self.samples) {
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
            samples: 0,
            means: [0.0; BUCKETS],
            size: 0.0,
            mean: 0.0,
            deviation: 0.0,
            r4: 0.0,
            strangeness: 0.0,
            expected: 0.0,
            peak: 0.0,
            threshold: 0.0,
            tails: Tails::START,
            since: u16::MAX,
            since_alarm: u16::MAX,
            counts: [0; BUCKETS / 2],
            flags: 0,
        }
    }

    /// The signals of the value `x` at `seconds`; then learns it.
    #[inline]
    pub(super) fn signals(&mut self, x: f64, seconds: u64) -> [f64; SIGNALS] {
        self.tick(seconds);
        let (earlier, interval) = (f64::from(self.samples - 1), self.interval());
        if self.samples == 1 {
            (self.size, self.mean) = (x.abs() as f32, x as f32);
        }
        let size = f64::from(self.size) + (x.abs() - f64::from(self.size)) * (1.0 / MEMO).max(1.0 / (earlier + 1.0));
        self.size = size as f32;
        let expected = self.forecast(seconds);
        self.expected = expected as f32;
        let mut r = x - expected;
        if r.abs() < ROUNDING * size {
            r = 0.0;
        }
        let r4 = f64::from(self.r4) + (r - f64::from(self.r4)) / (earlier + 1.0).min(4.0);
        self.r4 = r4 as f32;
        let z = self.z_signal(x, earlier, interval);
        self.learn(x, seconds, interval);
        [r.abs(), r4.abs(), z]
    }

    fn tick(&mut self, seconds: u64) {
        let now = u32::try_from(seconds).unwrap_or(u32::MAX);
        if self.samples == 0 {
            (self.first, self.last) = (now, now);
        }
        self.last = self.last.max(now);
        self.samples = self.samples.saturating_add(1);
    }

    /// The mean of the bucket, read between the centres of two buckets; the mean before the bucket has values.
    #[inline]
    fn forecast(&self, seconds: u64) -> f64 {
        let (bucket, phase) = (bucket(seconds), (seconds % BUCKET) as f64 / BUCKET as f64 - 0.5);
        if self.count(bucket) == 0 {
            return f64::from(self.mean);
        }
        let other = (bucket + if phase > 0.0 { 1 } else { BUCKETS - 1 }) % BUCKETS;
        let mean = |bucket: usize| self.means.get(bucket).copied().map_or(0.0, f64::from);
        let own = mean(bucket);
        if self.count(other) == 0 { own } else { own + phase.abs() * (mean(other) - own) }
    }

    #[inline]
    fn z_signal(&mut self, x: f64, earlier: f64, interval: f64) -> f64 {
        let (d, deviation) = (x - f64::from(self.mean), f64::from(self.deviation));
        let signal = d.abs() / (deviation + 1e-3 * f64::from(self.size) + 1e-12);
        let weight = (interval / SPAN).min(1.0).max(1.0 / (earlier + 1.0));
        self.mean = (f64::from(self.mean) + weight * d) as f32;
        self.deviation = sqrt((1.0 - weight) * (deviation * deviation + weight * d * d)) as f32;
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
        words.extend([pair([self.first, self.last]), pair([self.samples, u32::from(self.flags)])]);
        words.push(pair([u32::from(self.since), u32::from(self.since_alarm)]));
        let Self { size, mean, deviation, r4, strangeness, expected, peak, threshold, .. } = *self;
        words.extend(
            [[size, mean], [deviation, r4], [strangeness, expected], [peak, threshold]]
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
        let [samples, flags] = halves(packed);
        (state.samples, state.flags) = (samples, flags as u8);
        [state.since, state.since_alarm] = halves(words.next("values since the peak")?).map(|since| since as u16);
        [state.size, state.mean] = floats(words, "size and mean")?;
        [state.deviation, state.r4] = floats(words, "deviation and residual")?;
        [state.strangeness, state.expected] = floats(words, "strangeness and expected value")?;
        [state.peak, state.threshold] = floats(words, "peak and threshold")?;
        for pair in state.means.as_chunks_mut::<2>().0 {
            *pair = floats(words, "means of the day")?;
        }
        state.counts = words.next("counts of the day")?.to_be_bytes();
        state.tails = Tails::restore(words)?;
        let is_start = samples == 0 && state != Self::start();
        if is_start || flags >> 8 != 0 || !state.is_possible() {
            return Err(RestoreError::invalid("samples", packed));
        }
        Ok(state)
    }

    /// Whether the fields are within their ranges.
    fn is_possible(&self) -> bool {
        let all = State::Alarm as u8 | State::Bound as u8 | State::Ready as u8;
        let sizes = [self.size, self.deviation, self.strangeness, self.peak, self.threshold];
        self.first <= self.last
            && self.flags & !all == 0
            && self.since > 0
            && sizes.iter().all(|size| *size >= 0.0)
            && self.strangeness <= LARGEST_STRANGENESS
            && self.peak <= LARGEST_STRANGENESS
    }
}

/// Above the strangeness of every value.
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
