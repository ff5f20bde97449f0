//! Pauses before retries.

use std::time::Duration;

/// Exponential back-off with jitter: the pause doubles with each consecutive failure up to a maximum.
///
/// Half of each pause is random, so that daemons that lose a server at the same time do not retry at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// The maximum of the pause after the first failure.
    pub first: Duration,
    /// The maximum of all pauses.
    pub longest: Duration,
}

impl Backoff {
    /// Returns the pause after a failure that follows `failures` consecutive ones. `share`, from 0 to 1, is the part of
    /// the random half that is used.
    pub fn after(self, failures: u32, share: f64) -> Duration {
        let longest = self.first.saturating_mul(1 << failures.min(16)).min(self.longest);
        longest.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
    }
}

/// Returns a random share from 0 up to 1, good enough to spread daemons.
pub fn random_share() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_half_of_the_first_up_to_all_of_the_longest() {
        let backoff = Backoff { first: Duration::from_secs(2), longest: Duration::from_secs(15) };
        let cases =
            [(0, 0.0, 1), (0, 1.0, 2), (1, 1.0, 4), (2, 0.5, 6), (3, 1.0, 15), (u32::MAX, 1.0, 15), (0, 9.0, 2)];
        for (failures, share, seconds) in cases {
            assert_eq!(backoff.after(failures, share), Duration::from_secs(seconds), "{failures} failures, {share}");
        }
    }

    #[test]
    fn shares_are_from_0_to_1_and_differ() {
        let shares: Vec<_> = (0..100).map(|_| random_share()).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)), "{shares:?}");
        assert!(shares.iter().any(|share| share != &shares[0]));
    }
}
