//! Idempotency keys: remembered in the same write as the records they stand for, forgotten by age and by count.
//!
//! Two entries per key: `k<key>` holds checksum, time and outcome; `t<time><number>` lists the keys by age.

use crate::codec::{self, Fields};
use crate::config::is_older;
use crate::embedded::store::Space;
use crate::embedded::writer::Stage;
use crate::error::LogError;
use crate::keys;
use crate::types::Idempotency;

const MAX_KEY_BYTES: usize = 1024;

/// Room for the keys of one write when they are numbered: a group is bounded by the threads that wait.
const KEYS_PER_WRITE: u64 = 1 << 20;

struct Remembered {
    body_crc: u32,
    at: u64,
    number: u64,
    outcome: Vec<u8>,
}

impl Stage<'_> {
    /// The outcome stored for the key, if it is remembered.
    pub(super) fn earlier_outcome(&self, asked: &Idempotency, now: u64) -> Result<Option<Vec<u8>>, LogError> {
        let Idempotency { key, body_crc, .. } = asked;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let what = format!("an idempotency key has 1 to {MAX_KEY_BYTES} bytes, not {}", key.len());
            return Err(LogError::invalid(what));
        }
        let earlier = match self.fresh_keys.get(key) {
            Some(fresh) => Some(fresh.clone()),
            None => self.remembered(key)?.and_then(|found| {
                let old = is_older(found.at, self.config.idempotency_age_seconds, now);
                (!old).then_some((found.body_crc, found.outcome))
            }),
        };
        match earlier {
            Some((crc, _)) if crc != *body_crc => Err(LogError::IdempotencyConflict { key: key.clone() }),
            earlier => Ok(earlier.map(|(_, outcome)| outcome)),
        }
    }

    /// Stores a key that [`earlier_outcome`](Self::earlier_outcome) did not find.
    pub(super) fn remember(&mut self, new: Idempotency, at: u64) -> Result<(), LogError> {
        let expired = self.remembered(&new.key)?;
        self.forget_beyond_count()?;
        // An expired entry of the same key is overwritten; its place in the age list must go.
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

    /// Forgets keys that are too old at `now`, at most `limit` of them; returns how many.
    pub(super) fn forget_expired(&mut self, now: u64, limit: usize) -> Result<u64, LogError> {
        let age = self.config.idempotency_age_seconds;
        self.forget_while(limit, |at, _| is_older(at, age, now))
    }

    fn forget_beyond_count(&mut self) -> Result<u64, LogError> {
        let max = self.config.max_idempotency_keys.max(1);
        self.forget_while(usize::MAX, |_, count| count >= max)
    }

    fn forget_while(&mut self, limit: usize, unwanted: impl Fn(u64, u64) -> bool) -> Result<u64, LogError> {
        use std::ops::Bound::{Excluded, Unbounded};
        if !unwanted(0, self.tables.keys.count) {
            return Ok(0);
        }
        let (mut forgotten, mut unwanted_pairs) = (0, Vec::new());
        let floor = (Excluded(self.tables.keys.floor.clone()), Unbounded);
        for pair in self.store.scan(Space::Idempotency, floor).take(limit) {
            let pair = pair?;
            let at = keys::parse_idempotency_age(&pair.0).unwrap_or(0);
            let left = self.tables.keys.count.saturating_sub(unwanted_pairs.len() as u64);
            if !unwanted(at, left) {
                break;
            }
            unwanted_pairs.push(pair);
        }
        for (listed, name) in unwanted_pairs {
            self.batch.remove(Space::Idempotency, &listed);
            self.batch.remove(Space::Idempotency, &keys::named(b'k', &name));
            self.tables.keys.count = self.tables.keys.count.saturating_sub(1);
            self.tables.keys.floor = listed.to_vec();
            forgotten += 1;
        }
        Ok(forgotten)
    }

    fn remembered(&self, key: &str) -> Result<Option<Remembered>, LogError> {
        let key = keys::idempotency(key);
        let Some(stored) = self.store.get(Space::Idempotency, &key)? else { return Ok(None) };
        let parse = |payload| {
            let mut fields = Fields(payload);
            Ok(Remembered {
                body_crc: fields.u32()?,
                at: fields.u64()?,
                number: fields.u64()?,
                outcome: fields.rest().to_vec(),
            })
        };
        codec::open(&key, &stored).and_then(parse).map(Some).map_err(|reason| {
            let place = format!("idempotency key {}", key.escape_ascii());
            LogError::CorruptFrame { place, offset: 0, reason }
        })
    }
}
