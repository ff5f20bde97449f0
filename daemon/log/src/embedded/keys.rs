//! Idempotency keys, in memory by age: stored in the same write as their records, dropped by age and by count.
//!
//! The times of the log never decrease, so the order of the writes is the order of age.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::Idempotency;
use crate::config::{LogConfig, is_older};
use crate::error::LogError;

const MAX_KEY_BYTES: usize = 1024;

/// An idempotency key with what the log keeps of its append.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoredKey {
    /// The key.
    pub key: Box<str>,
    /// The checksum of the request's body.
    pub body_crc: u32,
    /// The time of the append (µs UTC).
    pub at: u64,
    /// The outcome of the append.
    pub outcome: Box<[u8]>,
}

/// The stored keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// The number of the oldest key in the list; later keys have the next numbers.
    first: u64,
    list: VecDeque<StoredKey>,
    /// The number of the newest entry of each key.
    newest: HashTable<u64>,
    hasher: RandomState,
}

impl Keys {
    pub(super) fn len(&self) -> u64 {
        self.newest.len() as u64
    }

    /// The keys from the oldest to the newest.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StoredKey> {
        self.list.iter()
    }

    /// Returns the outcome of an earlier append with the same key; `None` if the key is new or expired at `now`.
    pub(super) fn outcome(
        &self,
        requested: &Idempotency,
        now: u64,
        config: &LogConfig,
    ) -> Result<Option<Vec<u8>>, LogError> {
        let Idempotency { key, body_crc, .. } = requested;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let reason = format!("an idempotency key has {} bytes, expected 1 to {MAX_KEY_BYTES}", key.len());
            return Err(LogError::invalid(reason));
        }
        match self.find(key).filter(|found| !is_older(found.at, config.idempotency_age_seconds, now)) {
            Some(found) if found.body_crc != *body_crc => Err(LogError::IdempotencyConflict { key: key.clone() }),
            found => Ok(found.map(|found| found.outcome.to_vec())),
        }
    }

    /// Adds a key; an entry of the same key that is still in the list is obsolete.
    pub(super) fn push(&mut self, key: StoredKey) {
        let number = self.first + self.list.len() as u64;
        let hash = self.hasher.hash_one(&*key.key);
        let (list, first, hasher) = (&self.list, self.first, &self.hasher);
        let of = |number: &u64| list.get((number - first) as usize).map_or("", |it| &*it.key);
        match self.newest.find_mut(hash, |known| of(known) == &*key.key) {
            Some(known) => *known = number,
            None => drop(self.newest.insert_unique(hash, number, |known| hasher.hash_one(of(known)))),
        }
        self.list.push_back(key);
    }

    /// Drops the oldest keys above the limit of `config`.
    pub(super) fn drop_excess(&mut self, config: &LogConfig) {
        while self.len() > config.max_idempotency_keys.max(1) {
            self.drop_oldest();
        }
    }

    /// Drops the keys that are expired at `now`, and returns their number.
    pub(super) fn drop_expired(&mut self, now: u64, config: &LogConfig) -> u64 {
        let before = self.len();
        while self.list.front().is_some_and(|oldest| is_older(oldest.at, config.idempotency_age_seconds, now)) {
            self.drop_oldest();
        }
        before - self.len()
    }

    fn find(&self, key: &str) -> Option<&StoredKey> {
        let entry = |number: &u64| self.list.get((number - self.first) as usize);
        let found = self.newest.find(self.hasher.hash_one(key), |it| entry(it).is_some_and(|it| &*it.key == key));
        found.and_then(entry)
    }

    fn drop_oldest(&mut self) {
        let Some(oldest) = self.list.front() else { return };
        let (hash, first) = (self.hasher.hash_one(&*oldest.key), self.first);
        // A newer entry of the same key stays.
        if let Ok(entry) = self.newest.find_entry(hash, |number| *number == first) {
            entry.remove();
        }
        self.list.pop_front();
        self.first += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, at: u64) -> StoredKey {
        StoredKey { key: name.into(), body_crc: 1, at, outcome: Box::new([at as u8]) }
    }

    fn asked(name: &str, body_crc: u32) -> Idempotency {
        Idempotency { key: name.to_owned(), body_crc, outcome: Vec::new() }
    }

    #[test]
    fn a_key_that_came_again_after_it_expired_outlives_its_older_entry() {
        let config = LogConfig { idempotency_age_seconds: 1, ..LogConfig::default() };
        let mut keys = Keys::default();
        keys.push(key("a", 0));
        keys.push(key("b", 1));
        assert_eq!(keys.outcome(&asked("a", 1), 2_000_000, &config).unwrap(), None, "it is expired");
        keys.push(key("a", 2_000_000));
        assert_eq!((keys.len(), keys.drop_expired(2_000_000, &config)), (2, 1));
        assert_eq!(keys.outcome(&asked("a", 1), 2_000_000, &config).unwrap().unwrap(), [128]);
        assert!(keys.outcome(&asked("a", 2), 2_000_000, &config).is_err(), "another body");
        assert_eq!(keys.outcome(&asked("b", 1), 2_000_000, &config).unwrap(), None);
    }

    #[test]
    fn the_oldest_keys_above_the_limit_are_dropped() {
        let config = LogConfig { max_idempotency_keys: 3, ..LogConfig::default() };
        let mut keys = Keys::default();
        for number in 0..100 {
            keys.push(key(&number.to_string(), number));
            keys.drop_excess(&config);
        }
        let left: Vec<_> = keys.iter().map(|it| it.key.to_string()).collect();
        assert_eq!((left, keys.len()), (vec!["97".to_owned(), "98".to_owned(), "99".to_owned()], 3));
        assert!(keys.outcome(&asked("98", 1), 0, &config).unwrap().is_some());
    }
}
