//! The limit of new alerts in a minute.

use std::collections::VecDeque;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// How many alerts began in the last minute, and how many more may.
#[derive(Debug)]
pub(super) struct Limit {
    per_minute: usize,
    /// The monotonic times of those of the last minute, in order.
    begun: VecDeque<Duration>,
}

impl Limit {
    pub(super) fn new(per_minute: usize) -> Self {
        Self { per_minute, begun: VecDeque::new() }
    }

    /// How many alerts may begin at this monotonic time.
    pub(super) fn free(&self, now: Duration) -> usize {
        let recent = self.begun.iter().rev().take_while(|at| now.saturating_sub(**at) < MINUTE).count();
        self.per_minute.saturating_sub(recent)
    }

    /// Counts alerts that begin.
    pub(super) fn count(&mut self, now: Duration, alerts: usize) {
        while self.begun.front().is_some_and(|at| now.saturating_sub(*at) >= MINUTE) {
            self.begun.pop_front();
        }
        self.begun.extend(std::iter::repeat_n(now, alerts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_minute_has_more_than_the_limit_wherever_it_begins() {
        let (mut limit, mut begun) = (Limit::new(10), Vec::new());
        for tick in 0..600_u64 {
            let now = Duration::from_secs(tick);
            let wanted = usize::try_from(tick * 7 % 5).unwrap();
            let free = limit.free(now).min(wanted);
            limit.count(now, free);
            begun.extend(std::iter::repeat_n(tick, free));
        }
        let most = (0..600_u64).map(|from| begun.iter().filter(|at| (from..from + 60).contains(at)).count()).max();
        assert_eq!(most, Some(10));
        assert!(begun.len() >= 95, "{}: what may begin does", begun.len());
    }
}
