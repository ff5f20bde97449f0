//! Failover among equal servers.
//!
//! Requests go to the server that answered last, until it fails. A server that failed is not used for a while ([`REST`]).

use std::time::Duration;

use crate::backoff::Backoff;

/// How long a server that failed is not used.
pub const REST: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// Equal servers with their recent failures.
#[derive(Debug)]
pub struct Servers {
    list: Vec<Server>,
    /// The index of the server to try first.
    current: usize,
}

#[derive(Debug)]
struct Server {
    base: String,
    /// Consecutive failures.
    failures: u32,
    /// By the monotonic clock.
    rests_until: Duration,
}

impl Servers {
    /// Returns servers by their base URLs, `http://host:port`, without failures.
    pub fn new(bases: impl IntoIterator<Item = String>) -> Self {
        let server = |base| Server { base, failures: 0, rests_until: Duration::ZERO };
        Self { list: bases.into_iter().map(server).collect(), current: 0 }
    }

    /// Returns the index of the server to use at monotonic time `now`: the first that does not rest, from the one that
    /// answered last.
    pub fn next(&self, now: Duration) -> Option<usize> {
        let count = self.list.len();
        (0..count).map(|step| (self.current + step) % count).find(|&index| self.list[index].rests_until <= now)
    }

    /// Returns the base URL of a server.
    pub fn base(&self, index: usize) -> &str {
        &self.list[index].base
    }

    /// Records an answer of a server; returns whether its previous request had failed.
    pub fn worked(&mut self, index: usize) -> bool {
        self.current = index;
        std::mem::take(&mut self.list[index].failures) > 0
    }

    /// Records a failure of a server, which rests from `now` on; `share` is the jitter ([`Backoff::after`]).
    pub fn failed(&mut self, index: usize, now: Duration, share: f64) {
        let server = &mut self.list[index];
        server.rests_until = now + REST.after(server.failures, share);
        server.failures = server.failures.saturating_add(1);
    }

    /// Returns the monotonic time at which the first server has rested.
    pub fn rested_at(&self) -> Duration {
        self.list.iter().map(|server| server.rests_until).min().unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn servers() -> Servers {
        Servers::new(["a", "b"].map(str::to_owned))
    }

    #[test]
    fn the_one_that_answered_stays_first_until_it_fails() {
        let mut servers = servers();
        assert_eq!(servers.next(seconds(0)), Some(0));
        servers.failed(0, seconds(0), 1.0);
        assert_eq!(servers.next(seconds(0)), Some(1));
        assert!(!servers.worked(1));
        assert_eq!(servers.next(seconds(100)), Some(1), "the first has rested, but the second works");
        servers.failed(1, seconds(100), 1.0);
        assert_eq!(servers.next(seconds(100)), Some(0));
        assert!(servers.worked(0), "it had failed");
    }

    #[test]
    fn rests_double_up_to_a_minute_and_an_answer_ends_them() {
        let mut servers = Servers::new(["a".to_owned()]);
        let rests: Vec<_> = (0..9)
            .map(|_| {
                servers.failed(0, seconds(0), 1.0);
                servers.rested_at().as_secs()
            })
            .collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!((servers.next(seconds(59)), servers.next(seconds(60))), (None, Some(0)));
        servers.worked(0);
        servers.failed(0, seconds(0), 0.0);
        assert_eq!(servers.rested_at(), Duration::from_millis(500), "half at least");
    }
}
