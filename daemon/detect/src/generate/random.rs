//! Random numbers of the distributions that the families need.

use std::f64::consts::{PI, TAU};

/// SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// A stream of its own for each index of a seed.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let mut random = Self(seed);
        let start = random.draw() ^ index.wrapping_mul(0xd134_2543_de82_ef95);
        Self(start)
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn is(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub(super) fn between(&mut self, least: f64, most: f64) -> f64 {
        least + (most - least) * self.unit()
    }

    /// 10 to a uniform power.
    pub(super) fn decade(&mut self, least: f64, most: f64) -> f64 {
        libm::exp10(self.between(least, most))
    }

    /// A whole number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        (self.unit() * bound as f64) as u64
    }

    pub(super) fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// The standard normal distribution (G. Box, M. Muller, 1958).
    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * libm::log(1.0 - self.unit())).sqrt() * libm::cos(TAU * self.unit())
    }

    /// The Poisson distribution: by products of uniform numbers (D. Knuth) for small means, else by rejection from a
    /// Lorentzian (W. Press et al., "Numerical recipes", 7.3).
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 12.0 {
            let (limit, mut product, mut count) = (libm::exp(-mean), self.unit(), 0.0);
            while product > limit {
                product *= self.unit();
                count += 1.0;
            }
            return count;
        }
        let (width, log_mean) = ((2.0 * mean).sqrt(), libm::log(mean));
        let offset = mean * log_mean - libm::lgamma(mean + 1.0);
        loop {
            let tangent = libm::tan(PI * self.unit());
            let count = (width * tangent + mean).floor();
            if count < 0.0 {
                continue;
            }
            let ratio =
                0.9 * (1.0 + tangent * tangent) * libm::exp(count * log_mean - libm::lgamma(count + 1.0) - offset);
            if self.unit() <= ratio {
                return count;
            }
        }
    }

    /// The Pareto distribution from 0 on (Lomax).
    pub(super) fn pareto(&mut self, shape: f64) -> f64 {
        libm::pow(1.0 - self.unit(), -1.0 / shape) - 1.0
    }

    /// Student's t distribution (R. Bailey, "Polar generation of random variates with the t-distribution", 1994).
    pub(super) fn student(&mut self, freedom: f64) -> f64 {
        loop {
            let (u, v) = (2.0 * self.unit() - 1.0, 2.0 * self.unit() - 1.0);
            let square = u * u + v * v;
            if square > 0.0 && square < 1.0 {
                return u * (freedom * (libm::pow(square, -2.0 / freedom) - 1.0) / square).sqrt();
            }
        }
    }

    /// `count` values of an autoregressive process with variance 1.
    pub(super) fn wandering(&mut self, count: usize, kept: f64) -> Vec<f64> {
        let fresh = (1.0 - kept * kept).sqrt();
        let mut level = self.normal();
        let mut next = || {
            let value = level;
            level = kept * level + fresh * self.normal();
            value
        };
        (0..count).map(|_| next()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut(&mut Random) -> f64) -> (f64, f64) {
        let mut random = Random::new(3, 4);
        let values: Vec<f64> = (0..20_000).map(|_| draw(&mut random)).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        (mean, values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / 20_000.0)
    }

    #[test]
    fn the_moments_are_those_of_the_distributions() {
        let near = |(mean, variance): (f64, f64), expected: (f64, f64), name: &str| {
            let tolerance = 0.05 * expected.1.max(1.0);
            assert!((mean - expected.0).abs() < tolerance, "{name}: mean {mean}");
            assert!((variance - expected.1).abs() < 2.0 * tolerance, "{name}: variance {variance}");
        };
        near(moments(Random::normal), (0.0, 1.0), "normal");
        near(moments(|random| random.poisson(3.0)), (3.0, 3.0), "small counts");
        near(moments(|random| random.poisson(200.0)), (200.0, 200.0), "large counts");
        near(moments(|random| random.student(30.0)), (0.0, 30.0 / 28.0), "t");
        near(moments(|random| random.pareto(6.0)), (0.2, 0.06), "Pareto");
        let mut random = Random::new(1, 1);
        let wandering = random.wandering(20_000, 0.9);
        let product: f64 = wandering.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>() / 20_000.0;
        assert!((product - 0.9).abs() < 0.1, "autocorrelation {product}");
    }
}
