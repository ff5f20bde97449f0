//! The objects with alarms, in the buckets in which they are stored.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::life::Life;
use crate::row::State;
use crate::saved::{self, CHUNKS, SavedAlarm, SavedObject};

/// One alarm of an object.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub type_index: usize,
    pub rule_index: usize,
    pub rule: Arc<str>,
    pub uve: Arc<str>,
    pub severity: u8,
    pub life: Life,
    pub state: State,
    pub text: Arc<str>,
    pub matches: Arc<str>,
    /// Whether the object is deleted.
    pub is_absent: bool,
}

impl Entry {
    /// The alarm as it was stored, without a rule.
    pub(super) fn restored(saved: &SavedAlarm) -> Self {
        Self {
            type_index: usize::MAX,
            rule_index: usize::MAX,
            rule: saved.rule.as_str().into(),
            uve: saved.uve.as_str().into(),
            severity: saved.severity,
            life: saved.life,
            state: if saved.life.fired.is_some() { State::Firing } else { State::Pending },
            text: saved.text.as_str().into(),
            matches: saved.matches.as_str().into(),
            is_absent: saved.is_absent,
        }
    }

    /// The type and the rule.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.type_index, self.rule_index)
    }

    fn saved(&self) -> SavedAlarm {
        SavedAlarm {
            rule: self.rule.to_string(),
            uve: self.uve.to_string(),
            severity: self.severity,
            life: self.life,
            text: self.text.to_string(),
            matches: self.matches.to_string(),
            is_absent: self.is_absent,
        }
    }
}

#[derive(Debug)]
pub(super) struct Objects {
    /// The objects with alarms, by key, of each chunk.
    buckets: Vec<BTreeMap<Box<str>, Vec<Entry>>>,
    changed: BTreeSet<usize>,
    firing: u64,
    pending: u64,
}

impl Default for Objects {
    fn default() -> Self {
        let buckets = vec![BTreeMap::new(); CHUNKS as usize];
        Self { buckets, changed: BTreeSet::new(), firing: 0, pending: 0 }
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
        });
        saved::encode(&objects.collect::<Vec<_>>())
    }

    fn count_of(&mut self, entry: &Entry) -> &mut u64 {
        if entry.life.fired.is_some() { &mut self.firing } else { &mut self.pending }
    }
}
