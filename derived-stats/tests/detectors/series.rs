//! Seeded series.

use std::f64::consts::TAU;

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// From 0 to below 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// The standard normal distribution, by G. Box and M. Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// A Poisson count, by D. Knuth; a rounded normal one if the mean is large.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (limit, mut product, mut count) = ((-mean).exp(), self.unit(), 0.0);
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }
}

/// A series without anomalies.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Nothing but zeros.
    AllZeros,
    /// Normal noise around a level that wanders within an hour.
    Autocorrelated,
    /// Counts with a burst of some minutes four times a day.
    Bursts,
    /// Small counts.
    Counts,
    /// A normal level.
    Level,
    /// Counts with a daily season.
    Season,
    /// Counts of which 19 in 20 are 0.
    Zeros,
}

/// The kinds with some noise.
pub(crate) const KINDS: [Kind; 6] =
    [Kind::Autocorrelated, Kind::Bursts, Kind::Counts, Kind::Level, Kind::Season, Kind::Zeros];

/// A generator of one series.
pub(crate) struct Series {
    kind: Kind,
    random: Random,
    interval: f64,
    wander: f64,
    burst_left: f64,
}

impl Series {
    /// A series with a value every `interval` seconds.
    pub(crate) fn new(kind: Kind, seed: u64, interval: u64) -> Self {
        Self { kind, random: Random(seed), interval: interval as f64, wander: 0.0, burst_left: 0.0 }
    }

    /// The value at `seconds`.
    pub(crate) fn value(&mut self, seconds: u64) -> f64 {
        let random = &mut self.random;
        match self.kind {
            Kind::AllZeros => 0.0,
            Kind::Autocorrelated => {
                let kept = (-self.interval / 600.0).exp();
                self.wander = kept * self.wander + (1.0 - kept * kept).sqrt() * random.normal();
                50.0 + 5.0 * self.wander
            }
            Kind::Bursts => {
                if random.unit() < 4.0 * self.interval / 86_400.0 {
                    self.burst_left = 120.0 + 600.0 * random.unit();
                }
                self.burst_left -= self.interval;
                random.poisson(if self.burst_left > 0.0 { 80.0 } else { 20.0 })
            }
            Kind::Counts => random.poisson(3.0),
            Kind::Level => 100.0 + 10.0 * random.normal(),
            Kind::Season => random.poisson(200.0 + 100.0 * (TAU * seconds as f64 / 86_400.0).sin()),
            Kind::Zeros => {
                if random.unit() < 0.05 {
                    1.0 + random.poisson(5.0)
                } else {
                    0.0
                }
            }
        }
    }
}
