//! The recursion of the detector.

use derived_stats::{Number, OVERFLOW, TOO_LARGE, ValueType, six_digits};

use super::quirk::{Quirk, Quirks};
use crate::record::{Observed, moments, with_error};

/// Mean, variance and score of one series, and the score before.
#[derive(Clone, Debug)]
pub(super) struct Moments {
    pub(super) alpha: f64,
    pub(super) samples: u64,
    pub(super) mean: f64,
    pub(super) variance: f64,
    pub(super) sigma: f64,
    pub(super) sigma_before: f64,
    pub(super) newest: Option<(Number, bool)>,
    pub(super) largest: f64,
}

impl Moments {
    pub(super) fn new(alpha: &str, quirks: Quirks) -> Self {
        let alpha = alpha.parse().unwrap_or(f64::NAN);
        let largest = if quirks.contains(&Quirk::Unbounded) { f64::INFINITY } else { 1e150 };
        Self { alpha, samples: 0, mean: 0.0, variance: 0.0, sigma: 0.0, sigma_before: 0.0, newest: None, largest }
    }

    pub(super) fn restart(&mut self) {
        *self = Self { alpha: self.alpha, largest: self.largest, ..Self::new("", &[]) };
    }

    pub(super) fn feed(&mut self, value: Number, overflowed: bool) {
        let (a, x) = (self.alpha, value.as_f64().clamp(-self.largest, self.largest));
        let d = x - self.mean;
        self.samples += 1;
        self.variance = (1.0 - a) * (self.variance + a * (d * d));
        self.mean = (1.0 - a) * self.mean + a * x;
        self.sigma_before = self.sigma;
        self.sigma = if self.variance.sqrt() == 0.0 { 0.0 } else { (x - self.mean) / self.variance.sqrt() };
        self.newest = Some((value, overflowed));
    }

    pub(super) fn plain(&self) -> String {
        moments(self.mean, self.variance.sqrt(), self.sigma)
    }

    pub(super) fn anomaly(&self, config: &str) -> Observed {
        let warm_up = (1.0 / self.alpha) as u64;
        let code = match self.samples.cmp(&warm_up) {
            std::cmp::Ordering::Less => "INVALID",
            std::cmp::Ordering::Equal => "OK",
            std::cmp::Ordering::Greater if self.sigma.abs() < 0.5 && self.sigma_before.abs() < 0.5 => "SKIP",
            std::cmp::Ordering::Greater => "OK",
        };
        let state = format!("state={}/{}", six_digits(self.mean), six_digits(self.variance.sqrt()));
        let text = format!("n={} algo=EWM config={config} {state} {}", self.samples, self.plain());
        let text = match self.newest {
            None => text,
            Some((value, overflowed)) => {
                let is_double = value.value_type() == ValueType::F64;
                let metric = if is_double { value.as_f64() as u64 } else { value.bits() };
                let too_large = (value.as_f64().abs() > self.largest).then_some(TOO_LARGE);
                with_error(format!("{text} metric={metric}"), overflowed.then_some(OVERFLOW).or(too_large))
            }
        };
        Observed::new(code, text)
    }
}
