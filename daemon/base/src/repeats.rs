//! The rate limit of repeated messages.
//!
//! The first message of a key is due at once. Those that follow within an interval are held: only the last of them is
//! kept, and it is due at the end of the interval with the number of occurrences that it stands for. So a fault that
//! repeats a thousand times a second makes one line in an interval, and none of its occurrences is left out of the count.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

/// The interval of the daemon's own messages: the shortest time between two of one key.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// The name (`tracing`'s metadata) of a message whose repetitions are limited where it is made, and not once more where
/// all messages are: what the second limit left out would be missing in the count of the first.
pub const LIMITED: &str = "limited";

/// The name (`tracing`'s metadata) of a message that answers an action of the operator, such as a signal: each is written
/// at once, also if another one was like it.
pub const ANSWER: &str = "answer";

/// A message that is due.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Due<M> {
    /// The last message.
    pub message: M,
    /// The number of occurrences since the message of this key before, with this one.
    pub count: u64,
}

/// The rate limit of messages `M` by key `K`. Times are monotonic.
///
/// It holds a bounded number of keys. While that many were used within the interval, further keys share one.
#[derive(Debug)]
pub struct RepeatLimit<K, M> {
    interval: Duration,
    max_keys: usize,
    /// The entry of `None` is that of the keys beyond the limit.
    entries: HashMap<Option<K>, Entry<M>>,
}

#[derive(Debug)]
struct Entry<M> {
    /// When the last message was due.
    written: Duration,
    held: Option<M>,
    /// The occurrences since then.
    count: u64,
}

impl<M> Entry<M> {
    fn is_due(&self, now: Duration, interval: Duration) -> bool {
        now.saturating_sub(self.written) >= interval
    }

    fn take(&mut self) -> Option<Due<M>> {
        let message = self.held.take()?;
        Some(Due { message, count: std::mem::take(&mut self.count) })
    }
}

impl<K: Eq + Hash, M> RepeatLimit<K, M> {
    /// A limit of one message of a key in `interval`, with at most `max_keys` keys.
    pub fn new(interval: Duration, max_keys: usize) -> Self {
        Self { interval, max_keys, entries: HashMap::new() }
    }

    /// Adds `count` occurrences with their message. Returns the message if it is due now; it is held otherwise.
    pub fn add(&mut self, key: K, count: u64, message: M, now: Duration) -> Option<Due<M>> {
        let mut key = Some(key);
        if self.entries.len() >= self.max_keys && !self.entries.contains_key(&key) {
            self.forget(now);
            if self.entries.len() >= self.max_keys {
                key = None;
            }
        }
        let interval = self.interval;
        match self.entries.get_mut(&key) {
            None => {
                self.entries.insert(key, Entry { written: now, held: None, count: 0 });
                Some(Due { message, count })
            }
            Some(entry) => {
                entry.held = Some(message);
                entry.count = entry.count.saturating_add(count);
                if !entry.is_due(now, interval) {
                    return None;
                }
                entry.written = now;
                entry.take()
            }
        }
    }

    /// Takes the held messages that are due.
    pub fn due(&mut self, now: Duration) -> Vec<Due<M>> {
        let interval = self.interval;
        let due = self.entries.values_mut().filter(|entry| entry.held.is_some() && entry.is_due(now, interval));
        let taken = due.filter_map(|entry| {
            entry.written = now;
            entry.take()
        });
        taken.collect()
    }

    /// Takes all held messages: the end of the program.
    pub fn finish(&mut self) -> Vec<Due<M>> {
        self.entries.values_mut().filter_map(Entry::take).collect()
    }

    /// Removes the keys without an occurrence in the last interval.
    fn forget(&mut self, now: Duration) {
        let interval = self.interval;
        self.entries.retain(|_, entry| entry.held.is_some() || !entry.is_due(now, interval));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit() -> RepeatLimit<&'static str, u32> {
        RepeatLimit::new(INTERVAL, 2)
    }

    fn due(message: u32, count: u64) -> Due<u32> {
        Due { message, count }
    }

    #[test]
    fn the_first_is_due_at_once_and_then_the_last_of_each_interval_with_the_count() {
        let mut limit = limit();
        assert_eq!(limit.add("a", 1, 0, SECOND), Some(due(0, 1)));
        for message in 1..100 {
            assert_eq!(limit.add("a", 2, message, SECOND + INTERVAL - Duration::from_nanos(1)), None);
        }
        assert_eq!(limit.add("b", 1, 7, 2 * SECOND), Some(due(7, 1)), "keys do not wait for each other");
        assert_eq!(limit.due(INTERVAL), []);
        assert_eq!(limit.due(SECOND + INTERVAL), [due(99, 198)], "also without a further one");
        assert_eq!(limit.due(10 * INTERVAL), []);
        assert_eq!(limit.add("a", 1, 1, 10 * INTERVAL), Some(due(1, 1)));
        assert_eq!(limit.add("a", 1, 2, 10 * INTERVAL), None);
        assert_eq!(limit.add("a", 1, 3, 11 * INTERVAL), Some(due(3, 2)));
    }

    #[test]
    fn keys_beyond_the_limit_share_one_until_another_rests() {
        let mut limit = limit();
        for (key, message) in [("a", 1), ("b", 2), ("c", 3)] {
            assert_eq!(limit.add(key, 1, message, SECOND), Some(due(message, 1)));
        }
        for (key, message) in [("c", 4), ("d", 5), ("e", 6)] {
            assert_eq!(limit.add(key, 1, message, SECOND), None);
        }
        assert_eq!(limit.entries.len(), 3, "two and the shared one");
        assert_eq!(limit.add("d", 1, 7, SECOND + INTERVAL), Some(due(7, 1)), "a and b were forgotten");
        assert_eq!(limit.finish(), [due(6, 3)]);
        assert_eq!(limit.finish(), []);
    }
}
