//! Idempotency keys: stored in the same write as their records, and deleted by age and by count.
//!
//! A key has two entries: `k<key>` holds checksum, time and outcome, and `t<time><number>` lists the keys by age.

use crate::Idempotency;
use crate::codec::{self, Fields};
use crate::config::is_older;
use crate::embedded::stage::Stage;
use crate::embedded::store::Space;
use crate::error::LogError;
use crate::keys;

const MAX_KEY_BYTES: usize = 1024;

/// The range of numbers for the keys of one write. The number of waiting threads bounds the keys of a write.
const KEYS_PER_WRITE: u64 = 1 << 20;

/// The stored entry of an idempotency key.
struct StoredKey {
    body_crc: u32,
    at: u64,
    number: u64,
    outcome: Vec<u8>,
}

impl Stage<'_> {
    /// Returns the outcome of an earlier append with the same key; `None` if the key is new or expired.
    pub(super) fn stored_outcome(&self, requested: &Idempotency, now: u64) -> Result<Option<Vec<u8>>, LogError> {
        let Idempotency { key, body_crc, .. } = requested;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let reason = format!("an idempotency key has {} bytes, expected 1 to {MAX_KEY_BYTES}", key.len());
            return Err(LogError::invalid(reason));
        }
        let earlier = match self.fresh_keys.get(key) {
            Some(fresh) => Some(fresh.clone()),
            None => self.stored_key(key)?.and_then(|found| {
                let old = is_older(found.at, self.config.idempotency_age_seconds, now);
                (!old).then_some((found.body_crc, found.outcome))
            }),
        };
        match earlier {
            Some((crc, _)) if crc != *body_crc => Err(LogError::IdempotencyConflict { key: key.clone() }),
            earlier => Ok(earlier.map(|(_, outcome)| outcome)),
        }
    }

    /// Stores a key that [`stored_outcome`](Self::stored_outcome) did not find.
    pub(super) fn store_key(&mut self, new: Idempotency, at: u64) -> Result<(), LogError> {
        let expired = self.stored_key(&new.key)?;
        self.remove_excess_keys()?;
        // The new entry overwrites an expired one of the same key; only its entry in the age list remains to be
        // deleted.
        if let Some(expired) = expired {
            let listed = keys::idempotency_age(expired.at, expired.number);
            self.batch.remove(Space::Idempotency, &listed);
            self.tables.keys.count = self.tables.keys.count.saturating_sub(1);
        }
        let number = self.sequence * KEYS_PER_WRITE + self.fresh_keys.len() as u64;
        let key = keys::idempotency(&new.key);
        let (crc, time) = (new.body_crc.to_le_bytes(), at.to_le_bytes());
        let parts: [&[u8]; 4] = [&crc, &time, &number.to_le_bytes(), &new.outcome];
        self.batch.insert(Space::Idempotency, &key, codec::seal(&key, &parts));
        let listed = keys::idempotency_age(at, number);
        self.batch.insert(Space::Idempotency, &listed, new.key.clone().into_bytes());
        self.tables.keys.count += 1;
        self.fresh_keys.insert(new.key, (new.body_crc, new.outcome));
        Ok(())
    }

    /// Deletes keys that are expired at `now`, at most `limit` of them, and returns their number.
    pub(super) fn remove_expired_keys(&mut self, now: u64, limit: usize) -> Result<u64, LogError> {
        let age = self.config.idempotency_age_seconds;
        self.remove_keys_while(limit, |at, _| is_older(at, age, now))
    }

    fn remove_excess_keys(&mut self) -> Result<u64, LogError> {
        let max = self.config.max_idempotency_keys.max(1);
        self.remove_keys_while(usize::MAX, |_, count| count >= max)
    }

    /// Deletes the oldest keys as long as `unwanted` is true for a key's time and the number of keys.
    fn remove_keys_while(&mut self, limit: usize, unwanted: impl Fn(u64, u64) -> bool) -> Result<u64, LogError> {
        use std::ops::Bound::{Excluded, Unbounded};
        if !unwanted(0, self.tables.keys.count) {
            return Ok(0);
        }
        let (mut deleted, mut unwanted_pairs) = (0, Vec::new());
        let floor = (Excluded(self.tables.keys.floor.clone()), Unbounded);
        for pair in self.store.scan(Space::Idempotency, floor).take(limit) {
            let pair = pair?;
            let at = keys::parse_idempotency_age(&pair.0).unwrap_or(0);
            let remaining = self.tables.keys.count.saturating_sub(unwanted_pairs.len() as u64);
            if !unwanted(at, remaining) {
                break;
            }
            unwanted_pairs.push(pair);
        }
        for (listed, name) in unwanted_pairs {
            self.batch.remove(Space::Idempotency, &listed);
            self.batch.remove(Space::Idempotency, &keys::named(b'k', &name));
            self.tables.keys.count = self.tables.keys.count.saturating_sub(1);
            self.tables.keys.floor = listed.to_vec();
            deleted += 1;
        }
        Ok(deleted)
    }

    fn stored_key(&self, key: &str) -> Result<Option<StoredKey>, LogError> {
        let key = keys::idempotency(key);
        let Some(stored) = self.store.get(Space::Idempotency, &key)? else { return Ok(None) };
        let parse = |payload| {
            let mut fields = Fields(payload);
            Ok(StoredKey {
                body_crc: fields.u32()?,
                at: fields.u64()?,
                number: fields.u64()?,
                outcome: fields.rest().to_vec(),
            })
        };
        codec::open(&key, &stored).and_then(parse).map(Some).map_err(|reason| {
            let location = format!("idempotency key {}", key.escape_ascii());
            LogError::CorruptFrame { location, offset: 0, reason }
        })
    }
}
