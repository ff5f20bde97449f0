//! The change of the spread of a series, as a signal.

use crate::algorithm::large::LARGEST;
use crate::algorithm::scored::{BOUND, bounded, positive};
use crate::math::{ln, sqrt};
use crate::saved::{RestoreError, WordWriter, Words};

/// The number of values with a spread before the signal starts.
const WARM: f64 = 50.0;

/// The logarithm of the variance over `SPAN` values, against its own mean and deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SpreadSignal<const SPAN: u32> {
    mean: f64,
    variance: f64,
    /// The mean and the variance of the logarithm.
    log_mean: f64,
    log_variance: f64,
}

impl<const SPAN: u32> SpreadSignal<SPAN> {
    pub(super) const START: Self = Self { mean: 0.0, variance: 0.0, log_mean: 0.0, log_variance: 0.0 };

    pub(super) fn start(x: f64) -> Self {
        Self { mean: x, ..Self::START }
    }

    /// The signal of the value `x`, after `earlier` values. `scale` is the size of the values, `slow` the least weight.
    #[inline]
    pub(super) fn update(&mut self, x: f64, earlier: f64, scale: f64, slow: f64) -> f64 {
        let mut signal = 0.0;
        let weight = 1.0 / f64::from(SPAN).min(earlier + 1.0);
        let d = x - self.mean;
        self.mean += weight * d;
        self.variance = (1.0 - weight) * (self.variance + weight * d * d);
        let since = earlier - 2.0 * f64::from(SPAN);
        if since > 0.0 {
            let log = ln(self.variance + 1e-9 * (scale * scale) + 1e-30);
            let e = log - self.log_mean;
            if since > WARM {
                signal = e.abs() / sqrt(self.log_variance + 1e-3);
            }
            let weight = slow.max(1.0 / since);
            self.log_mean += weight * e;
            self.log_variance = (1.0 - weight) * (self.log_variance + weight * e * e);
        }
        signal
    }

    pub(super) fn save(&self, words: &mut WordWriter<'_>) {
        words.extend([self.mean, self.variance, self.log_mean, self.log_variance].map(f64::to_bits));
    }

    pub(super) fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        Ok(Self {
            mean: bounded(words, "mean of a spread", 2.0 * LARGEST)?,
            variance: positive(words, "variance of a spread", BOUND)?,
            // The logarithm of a double is at most 745 by size.
            log_mean: bounded(words, "logarithm of a spread", 1e3)?,
            log_variance: positive(words, "variance of a logarithm", 1e7)?,
        })
    }
}
