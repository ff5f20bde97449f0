//! The objects with alarms, in the buckets in which they are stored.

use std::collections::{BTreeMap, BTreeSet};

use super::Entry;
use crate::saved::{self, CHUNKS, SavedObject};

/// The objects with alarms.
#[derive(Debug)]
pub(super) struct Objects {
    /// The objects with alarms, by key, of each chunk.
    buckets: Vec<BTreeMap<Box<str>, Vec<Entry>>>,
    changed: BTreeSet<usize>,
    firing: u64,
    pending: u64,
    /// The event time up to which windows were evaluated by a run whose state is lost; else 0.
    known_until: u64,
}

impl Default for Objects {
    fn default() -> Self {
        let buckets = vec![BTreeMap::new(); CHUNKS as usize];
        Self { buckets, changed: BTreeSet::new(), firing: 0, pending: 0, known_until: 0 }
    }
}

impl Objects {
    pub(super) fn is_empty(&self) -> bool {
        self.firing + self.pending == 0
    }

    /// The alarms of an object, in the order of types and rules.
    pub(super) fn all(&self, key: &str) -> &[Entry] {
        if self.is_empty() {
            return &[];
        }
        let bucket = self.buckets.get(saved::bucket(key));
        bucket.and_then(|bucket| bucket.get(key)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn get(&self, key: &str, place: (usize, usize)) -> Option<&Entry> {
        self.all(key).iter().find(|entry| entry.place() == place)
    }

    /// Whether a further alarm of the object is within the limits.
    pub(super) fn has_room(&self, key: &str, of_object: usize, of_table: usize) -> bool {
        self.all(key).len() < of_object && self.firing + self.pending < of_table as u64
    }

    /// Removes the least severe alarm of an object with the most alarms that it may have, if it is less severe than
    /// `severity`. Of several a pending one goes first, then the newest.
    pub(super) fn displace(&mut self, key: &str, severity: u8, of_object: usize) -> Option<Entry> {
        let entries = self.all(key);
        let least =
            entries.iter().max_by_key(|entry| (entry.severity, entry.life.fired.is_none(), entry.life.since))?;
        let (place, is_full) = (least.place(), entries.len() >= of_object);
        if !is_full || least.severity <= severity {
            return None;
        }
        self.remove(key, place)
    }

    /// Adds restored alarms of an object.
    pub(super) fn insert(&mut self, key: &str, entries: Vec<Entry>, is_changed: bool) {
        let bucket = saved::bucket(key);
        if is_changed {
            self.changed.insert(bucket);
        }
        for entry in &entries {
            *self.count_of(entry) += 1;
        }
        if let Some(bucket) = self.buckets.get_mut(bucket).filter(|_| !entries.is_empty()) {
            bucket.insert(key.into(), entries);
        }
    }

    /// Sets an alarm of an object.
    pub(super) fn set(&mut self, key: &str, place: (usize, usize), entry: Entry) {
        let before = self.get(key, place);
        if before.is_some_and(|before| before.life == entry.life && before.is_absent == entry.is_absent) {
            return;
        }
        self.take(key, place);
        *self.count_of(&entry) += 1;
        let bucket = saved::bucket(key);
        self.changed.insert(bucket);
        if let Some(bucket) = self.buckets.get_mut(bucket) {
            let entries = bucket.entry(key.into()).or_default();
            let at = entries.partition_point(|known| known.place() < place);
            entries.insert(at, entry);
        }
    }

    /// Removes an alarm of an object.
    pub(super) fn remove(&mut self, key: &str, place: (usize, usize)) -> Option<Entry> {
        let removed = self.take(key, place)?;
        self.changed.insert(saved::bucket(key));
        Some(removed)
    }

    fn take(&mut self, key: &str, place: (usize, usize)) -> Option<Entry> {
        let bucket = self.buckets.get_mut(saved::bucket(key))?;
        let entries = bucket.get_mut(key)?;
        let at = entries.iter().position(|entry| entry.place() == place)?;
        let removed = entries.remove(at);
        if entries.is_empty() {
            bucket.remove(key);
        }
        *self.count_of(&removed) -= 1;
        Some(removed)
    }

    /// All objects with alarms, in order.
    pub(super) fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.buckets.iter().flatten().map(|(key, _)| key.to_string()).collect();
        keys.sort_unstable();
        keys
    }

    /// The deleted objects with alarms, in order.
    pub(super) fn absent(&self) -> Vec<String> {
        if self.is_empty() {
            return Vec::new();
        }
        let all = self.buckets.iter().flatten();
        let absent = all.filter(|(_, entries)| entries.iter().any(|entry| entry.is_absent));
        let mut absent: Vec<_> = absent.map(|(key, _)| key.to_string()).collect();
        absent.sort_unstable();
        absent
    }

    pub(super) fn known_until(&self) -> u64 {
        self.known_until
    }

    /// Sets the event time up to which windows were evaluated by a run whose state is lost.
    pub(super) fn set_known_until(&mut self, until: u64) {
        self.known_until = until;
    }

    /// Makes the next commit write all objects.
    pub(super) fn change_all(&mut self) {
        let filled = self.buckets.iter().enumerate().filter(|(_, objects)| !objects.is_empty());
        self.changed.extend(filled.map(|(bucket, _)| bucket));
        if self.known_until > 0 {
            self.changed.insert(saved::bucket(SavedObject::MARK));
        }
    }

    pub(super) fn counts(&self) -> (u64, u64) {
        (self.firing, self.pending)
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn encode(&self, bucket: usize) -> Option<Vec<u8>> {
        let objects = self.buckets.get(bucket)?.iter().map(|(key, entries)| SavedObject {
            key: key.to_string(),
            alarms: entries.iter().map(Entry::saved).collect(),
            known_until: 0,
        });
        let has_mark = self.known_until > 0 && bucket == saved::bucket(SavedObject::MARK);
        let mark = has_mark.then(|| SavedObject::mark(self.known_until));
        saved::encode(&objects.chain(mark).collect::<Vec<_>>())
    }

    fn count_of(&mut self, entry: &Entry) -> &mut u64 {
        if entry.life.fired.is_some() { &mut self.firing } else { &mut self.pending }
    }
}
