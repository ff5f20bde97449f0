//! What depends on the mean interval alone.

/// `factor * interval / divisor` for the mean interval of an object. Its value for the length of the period is computed
/// once: an object without gaps has that interval, and its values need no division.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct OfInterval {
    factor: f64,
    divisor: f64,
    /// The length of the period in seconds; 0, which no interval is, if it is not known.
    period: f64,
    of_period: f64,
}

impl OfInterval {
    pub(crate) fn new(factor: f64, divisor: f64, period: Option<u64>) -> Self {
        let period = period.unwrap_or_default() as f64;
        Self { factor, divisor, period, of_period: factor * period / divisor }
    }

    /// The value for an interval in seconds.
    #[inline]
    pub(crate) fn of(&self, interval: f64) -> f64 {
        if interval == self.period { self.of_period } else { self.factor * interval / self.divisor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_period_changes_no_bit() {
        for (factor, divisor) in [(1.0, 7200.0), (20.0 * 0.7, 604_800.0)] {
            for period in [1, 10, 60, 77, 300] {
                let [known, unknown] = [Some(period), None].map(|period| OfInterval::new(factor, divisor, period));
                let interval = period as f64;
                for interval in [interval, interval.next_up(), 1e-6] {
                    assert_eq!(known.of(interval), factor * interval / divisor);
                    assert_eq!(known.of(interval), unknown.of(interval));
                }
            }
        }
    }
}
