//! The memory of the day: the mean of each of 16 buckets.

use crate::saved::{RestoreError, WordWriter, Words};

/// The number of buckets of the day, and their length in seconds.
const BUCKETS: usize = 16;
const BUCKET: u64 = 5400;

/// The largest count of a bucket, four bits.
const MOST: u8 = 15;

/// The position of a time in the day.
#[derive(Clone, Copy)]
pub(super) struct Season {
    bucket: usize,
    /// The distance from the middle of the bucket, -0.5 to 0.5.
    phase: f64,
}

impl Season {
    /// The position of `seconds` since the epoch.
    #[inline]
    pub(super) fn of(seconds: u64) -> Self {
        let bucket = (seconds / BUCKET % BUCKETS as u64) as usize;
        Self { bucket, phase: (seconds % BUCKET) as f64 / BUCKET as f64 - 0.5 }
    }
}

/// The means of one object: 72 bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Day {
    /// The mean of each bucket.
    means: [f32; BUCKETS],
    /// The number of values of each bucket, up to 15: four bits each.
    counts: [u8; BUCKETS / 2],
}

impl Day {
    pub(super) const START: Self = Self { means: [0.0; BUCKETS], counts: [0; BUCKETS / 2] };

    fn count(&self, bucket: usize) -> u8 {
        self.counts.get(bucket / 2).map_or(0, |pair| pair >> (bucket % 2 * 4) & MOST)
    }

    #[inline]
    fn mean(&self, bucket: usize) -> f64 {
        self.means.get(bucket).copied().map_or(0.0, f64::from)
    }

    /// The mean of the bucket, read between the centres of two buckets. A bucket without values is like the one before;
    /// `None` if that has none either.
    #[inline]
    pub(super) fn forecast(&self, Season { bucket, phase }: Season) -> Option<f64> {
        if self.count(bucket) == 0 {
            let before = (bucket + BUCKETS - 1) % BUCKETS;
            return (self.count(before) > 0).then(|| self.mean(before));
        }
        let other = (bucket + if phase > 0.0 { 1 } else { BUCKETS - 1 }) % BUCKETS;
        let own = self.mean(bucket);
        Some(if self.count(other) == 0 { own } else { own + phase.abs() * (self.mean(other) - own) })
    }

    /// Learns a value. The mean is weighted over the time in the bucket on so many `days`; `interval` is that between
    /// two values, in seconds.
    #[inline]
    pub(super) fn learn(&mut self, x: f64, Season { bucket, .. }: Season, interval: f64, days: f64) {
        let count = (self.count(bucket) + 1).min(MOST);
        if let Some(pair) = self.counts.get_mut(bucket / 2) {
            let shift = bucket % 2 * 4;
            *pair = *pair & !(MOST << shift) | count << shift;
        }
        if let Some(mean) = self.means.get_mut(bucket) {
            let weight =
                if count < MOST { 1.0 / f64::from(count) } else { (interval / (days * BUCKET as f64)).min(1.0) };
            *mean = (f64::from(*mean) + (x - f64::from(*mean)) * weight) as f32;
        }
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        let (pairs, _) = self.means.as_chunks::<2>();
        let bits = |pair: &[f32; 2]| pair.iter().fold(0, |word, mean| word << 32 | u64::from(mean.to_bits()));
        words.extend(pairs.iter().map(bits));
        words.push(u64::from_be_bytes(self.counts));
    }

    /// Reads the words; `floats` reads two means.
    pub(super) fn restore(
        words: &mut Words<'_>,
        floats: impl Fn(&mut Words<'_>, &'static str) -> Result<[f32; 2], RestoreError>,
    ) -> Result<Self, RestoreError> {
        let mut day = Self::START;
        for pair in day.means.as_chunks_mut::<2>().0 {
            *pair = floats(words, "means of the day")?;
        }
        day.counts = words.next("counts of the day")?.to_be_bytes();
        Ok(day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_is_read_between_the_centres_of_two_buckets() {
        let (mut day, middle) = (Day::START, BUCKET / 2);
        assert_eq!(day.forecast(Season::of(middle)), None);
        day.learn(10.0, Season::of(middle), 60.0, 2.0);
        assert_eq!(day.forecast(Season::of(0)), Some(10.0), "the bucket before has no values");
        assert_eq!(day.forecast(Season::of(BUCKET + 1)), Some(10.0), "as the bucket before");
        assert_eq!(day.forecast(Season::of(2 * BUCKET)), None);
        day.learn(20.0, Season::of(BUCKET + middle), 60.0, 2.0);
        assert_eq!(day.forecast(Season::of(BUCKET)), Some(15.0));
        assert_eq!(day.forecast(Season::of(86_400 + middle)), Some(10.0));
    }

    #[test]
    fn a_mean_is_weighted_over_the_time_of_some_days() {
        for days in [1.0, 2.0, 5.0] {
            let mut day = Day::START;
            (0..20).for_each(|_| day.learn(0.0, Season::of(0), 60.0, days));
            day.learn(days * BUCKET as f64, Season::of(0), 60.0, days);
            assert_eq!(day.mean(0), 60.0, "{days} days");
        }
    }
}
