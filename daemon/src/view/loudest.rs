//! The loudest objects: those with the highest anomaly scores in their newest results.
//!
//! A result that enters the view passes through here. The list keeps [`CAPACITY`] scored attributes of objects with their
//! recent values, so its memory is bounded whatever the number of objects is. A result with a higher rank takes the place
//! of the lowest one. Each object has a result a period, so after a period the list holds the loudest ones, whatever
//! came and went before.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::BuildHasher as _;

use daemon_results::block::{AttributeShape, EncodedValue, Row};
use daemon_results::reading::{Reading, is_anomaly};
use derived_stats::Number;
use derived_stats::entry::Role;
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::view::split_key;

/// The most attributes of objects in the list.
const CAPACITY: usize = 1024;

/// The bits of the filter of keys: 8 KiB, so that one key in 64 passes that is not in the list.
const MEMBER_BITS: usize = 64 * CAPACITY;

/// The most values kept for each.
const VALUES: usize = 60;

/// An entry without results for this time, while others have some, is not loud any more: 10 minutes, in microseconds...
const STALE: u64 = 600_000_000;

/// ... or so many of its windows, if that is longer.
const STALE_WINDOWS: u64 = 10;

/// Stale entries are looked for so often, by the ends of results: results of single samples all have ends of their own.
const CLEANED_EVERY: u64 = STALE / 10;

/// The scored attributes of objects that have the highest ranks.
#[derive(Debug, Default)]
pub(crate) struct Loudest {
    entries: Vec<Loud>,
    /// The index of an entry by the hash of its names.
    by_hash: HashMap<u64, usize, RandomState>,
    hasher: RandomState,
    /// The end of the newest result of all.
    newest: u64,
    /// The rank of each entry with its index, the lowest first.
    by_rank: BTreeSet<(Rank, usize)>,
    /// The keys of the entries, and of those that were removed since it was cleaned.
    members: Members,
    /// The end of the newest result when stale entries were last removed.
    cleaned: u64,
}

/// One scored attribute of an object.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Loud {
    pub key: Box<str>,
    pub uve: Box<str>,
    pub proxy: Box<str>,
    pub attribute: Box<str>,
    pub reading: Reading,
    pub start: u64,
    pub end: u64,
    pub partial: bool,
    /// The start of the first of the anomalous results that end with the newest one; of those since the entry exists.
    pub since: Option<u64>,
    /// The recent values, the newest one last.
    pub values: VecDeque<f64>,
    /// With the seed of this process.
    #[serde(skip)]
    hash: u64,
}

/// A list to be stored.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct SavedLoudest {
    entries: Vec<Loud>,
    newest: u64,
}

/// The order of the list: anomalies first, then the size of the score, whose bits have its order.
type Rank = (bool, u64);

fn rank(is_anomaly: bool, score: Option<f64>) -> Rank {
    (is_anomaly, score.map_or(0.0, f64::abs).to_bits())
}

impl Loud {
    fn rank(&self) -> Rank {
        rank(self.reading.is_anomaly, self.reading.score)
    }
}

/// A filter of keys: what it does not have is not in the list. Most results are of objects that are neither loud nor in
/// the list; a look at the end of their keys is cheaper than the hash of their names.
#[derive(Debug)]
struct Members(Box<[u64; MEMBER_BITS / 64]>);

impl Default for Members {
    fn default() -> Self {
        Self(Box::new([0; MEMBER_BITS / 64]))
    }
}

impl Members {
    fn add(&mut self, key: &str) {
        if let Some((word, bit)) = Self::place(key) {
            self.0[word] |= bit;
        }
    }

    fn may_have(&self, key: &str) -> bool {
        Self::place(key).is_none_or(|(word, bit)| self.0[word] & bit != 0)
    }

    /// The bit of a key; `None` for a short one, which may always be in the list.
    fn place(key: &str) -> Option<(usize, u64)> {
        let [low, high] = key.as_bytes().last_chunk::<16>()?.as_chunks::<8>().0 else { return None };
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        // The factor of Fibonacci hashing: the highest bits of a product depend on all bits.
        let mixed = (low.rotate_left(29) ^ high).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let bit = (mixed >> 40) as usize * MEMBER_BITS >> 24;
        Some((bit / 64, 1 << (bit % 64)))
    }
}

impl Loudest {
    /// Takes a result; those without a score are ignored.
    pub(super) fn take(&mut self, row: &Row<'_>) {
        self.newest = self.newest.max(row.end);
        if self.newest >= self.cleaned.saturating_add(CLEANED_EVERY) {
            self.remove_stale();
        }
        if row.deleted {
            return self.remove(row);
        }
        for (attribute, value) in row.encoded() {
            let Some(score) = attribute.place_of(Role::Score) else { continue };
            let score = value.number(attribute, score).map(Number::as_f64);
            let alarm = attribute.place_of(Role::Alarm);
            let alarm = alarm.and_then(|place| value.number(attribute, place).map(Number::as_f64));
            let rank = rank(is_anomaly(score, alarm), score);
            let is_loud =
                self.entries.len() < CAPACITY || self.by_rank.first().is_some_and(|(lowest, _)| *lowest < rank);
            if is_loud || self.members.may_have(row.key) {
                self.take_reading(row, attribute, value);
            }
        }
    }

    fn take_reading(&mut self, row: &Row<'_>, attribute: &AttributeShape, value: EncodedValue<'_>) {
        let Some(record) = value.decode(attribute) else { return };
        let reading = Reading::of(attribute, &record);
        let hash = self.hasher.hash_one((row.key, &*row.shape.uve, &*attribute.name));
        match self.by_hash.get(&hash) {
            Some(&index) => self.update(index, row, reading),
            None => self.add(hash, row, &attribute.name, reading),
        }
    }

    /// What is to be stored of the list.
    pub(super) fn save(&self) -> SavedLoudest {
        SavedLoudest { entries: self.entries.clone(), newest: self.newest }
    }

    /// The list that was saved.
    pub(super) fn restored(saved: SavedLoudest) -> Self {
        let mut list = Self { newest: saved.newest, ..Self::default() };
        list.entries = saved.entries.into_iter().take(CAPACITY).collect();
        for (index, entry) in list.entries.iter_mut().enumerate() {
            entry.hash = list.hasher.hash_one((&*entry.key, &*entry.uve, &*entry.attribute));
            list.by_hash.insert(entry.hash, index);
            list.by_rank.insert((entry.rank(), index));
            list.members.add(&entry.key);
        }
        list
    }

    /// Removes the entries of objects for which `is_known`, called with table and name, is false.
    pub(super) fn retain(&mut self, is_known: impl Fn(&str, &str) -> bool) {
        let is_unknown = |entry: &&Loud| {
            let (table, name) = split_key(&entry.key);
            !is_known(table, name)
        };
        let unknown: Vec<u64> = self.entries.iter().filter(is_unknown).map(|entry| entry.hash).collect();
        unknown.into_iter().for_each(|hash| self.remove_entry(hash));
    }

    /// Removes the stale entries, and rebuilds the filter from those that stay.
    fn remove_stale(&mut self) {
        self.cleaned = self.newest;
        let stale: Vec<u64> = self.entries.iter().filter(|it| self.is_stale(it)).map(|it| it.hash).collect();
        stale.into_iter().for_each(|hash| self.remove_entry(hash));
        self.members = Members::default();
        self.entries.iter().for_each(|entry| self.members.add(&entry.key));
    }

    /// The entries with the highest ranks, at most `limit`, the highest first.
    pub(crate) fn top(&self, limit: usize) -> Vec<Loud> {
        let mut top: Vec<&Loud> = self.entries.iter().filter(|entry| !self.is_stale(entry)).collect();
        top.sort_by_cached_key(|entry| (Reverse(entry.rank()), entry.key.clone(), entry.uve.clone()));
        top.into_iter().take(limit).cloned().collect()
    }

    fn is_stale(&self, entry: &Loud) -> bool {
        let windows = entry.end.saturating_sub(entry.start).saturating_mul(STALE_WINDOWS);
        entry.end.saturating_add(windows.max(STALE)) < self.newest
    }

    fn update(&mut self, index: usize, row: &Row<'_>, reading: Reading) {
        let Some(entry) = self.entries.get_mut(index) else { return };
        let (before, after) = (entry.rank(), rank(reading.is_anomaly, reading.score));
        if before != after {
            self.by_rank.remove(&(before, index));
            self.by_rank.insert((after, index));
        }
        entry.since = reading.is_anomaly.then(|| entry.since.unwrap_or(row.start));
        (entry.reading, entry.start, entry.end, entry.partial) = (reading, row.start, row.end, row.partial);
        if entry.values.len() == VALUES {
            entry.values.pop_front();
        }
        entry.values.extend(reading.value);
    }

    fn add(&mut self, hash: u64, row: &Row<'_>, attribute: &str, reading: Reading) {
        if self.entries.len() >= CAPACITY {
            let Some(&(lowest, index)) = self.by_rank.first() else { return };
            if lowest >= rank(reading.is_anomaly, reading.score) {
                return;
            }
            self.remove_entry_at(index);
        }
        let entry = Loud {
            key: row.key.into(),
            uve: row.shape.uve.clone(),
            proxy: row.shape.proxy.clone(),
            attribute: attribute.into(),
            reading,
            start: row.start,
            end: row.end,
            partial: row.partial,
            since: reading.is_anomaly.then_some(row.start),
            values: reading.value.into_iter().collect(),
            hash,
        };
        let index = self.entries.len();
        self.by_hash.insert(hash, index);
        self.by_rank.insert((rank(reading.is_anomaly, reading.score), index));
        self.members.add(&entry.key);
        self.entries.push(entry);
    }

    /// Removes the attributes of a UVE that is deleted.
    fn remove(&mut self, row: &Row<'_>) {
        let (uve, hasher) = (&row.shape.uve, &self.hasher);
        let hash = |name: &str| hasher.hash_one((row.key, &**uve, name));
        let hashes: Vec<u64> = match row.shape.attributes.is_empty() {
            false => row.shape.attributes.iter().map(|attribute| hash(&attribute.name)).collect(),
            // That of a line has none. A look at all entries is cheap beside the parse of a line.
            true => self.entries.iter().filter(|it| *it.key == *row.key && it.uve == *uve).map(|it| it.hash).collect(),
        };
        hashes.into_iter().for_each(|hash| self.remove_entry(hash));
    }

    fn remove_entry(&mut self, hash: u64) {
        if let Some(&index) = self.by_hash.get(&hash) {
            self.remove_entry_at(index);
        }
    }

    fn remove_entry_at(&mut self, index: usize) {
        let removed = self.entries.swap_remove(index);
        self.by_hash.remove(&removed.hash);
        self.by_rank.remove(&(removed.rank(), index));
        if let Some(moved) = self.entries.get(index) {
            self.by_hash.insert(moved.hash, index);
            self.by_rank.remove(&(moved.rank(), self.entries.len()));
            self.by_rank.insert((moved.rank(), index));
        }
    }
}

#[cfg(test)]
mod tests {
    use daemon_results::line::LineReader;
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, StreamName};
    use std::sync::Arc;

    use super::*;

    const PERIOD: u64 = 60_000_000;
    const UVE: &str = "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count";

    /// The list after results `(name, period, score)`; a score that is not a number deletes.
    fn list(results: impl IntoIterator<Item = (String, u64, f64)>) -> Loudest {
        let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").expect("a stream");
        let types = [Arc::clone(Schema::builtin().get("AggProxySumAnomalyEWM01").expect("built in"))];
        let mut lines = LineReader::new(&[Arc::new(Plan::new(stream, &types))]);
        let mut loudest = Loudest::default();
        for (name, period, score) in results {
            let (start, end) = (period * PERIOD, (period + 1) * PERIOD);
            let head = format!(r#"{{"key":"T:{name}","uve":"{UVE}","start":{start},"end":{end},"data":"#);
            let data = match score.is_nan() {
                true => r#"{"deleted":true}}"#.to_owned(),
                false => format!(
                    r#"{{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{{"samples":20,"algo":"EWM","config":"0.1","state":{{"mean":"10","stddev":"2"}},"sigma":{score:?},"metric":{period}}}}}}}"#
                ),
            };
            loudest.take(&lines.row((head + &data).as_bytes()).expect("a good line"));
        }
        loudest
    }

    fn names(loudest: &Loudest, limit: usize) -> Vec<String> {
        loudest.top(limit).iter().map(|entry| entry.key.to_string()).collect()
    }

    #[test]
    fn the_loudest_are_first_with_the_time_since_when_and_their_values() {
        let scores = [1.0, 2.6, 2.9, -2.7];
        let one = |name: &str, scores: [f64; 4]| {
            let name = name.to_owned();
            scores.into_iter().zip(10..).map(move |(score, period)| (name.clone(), period, score))
        };
        let loudest = list(one("a", scores).chain(one("b", [2.9, 2.9, 0.1, 2.8])).chain(one("c", [0.5; 4])));
        assert_eq!(names(&loudest, 10), ["T:b", "T:a", "T:c"]);
        assert_eq!(names(&loudest, 1), ["T:b"]);
        let top = loudest.top(3);
        let since: Vec<_> = top.iter().map(|entry| entry.since.map(|since| since / PERIOD)).collect();
        assert_eq!(since, [Some(13), Some(11), None], "an anomaly ends with the first result that is none");
        assert_eq!(top[1].values, [10.0, 11.0, 12.0, 13.0]);
        assert_eq!(top[1].reading.score, Some(-2.7));
        assert!(top[1].reading.low.is_some() && top[1].reading.high.is_some());
    }

    #[test]
    fn a_deleted_or_stale_object_is_not_loud() {
        let loudest = list([("a".to_owned(), 1, 3.0), ("b".to_owned(), 1, 2.8), ("a".to_owned(), 2, f64::NAN)]);
        assert_eq!(names(&loudest, 10), ["T:b"]);
        let stale = list([("a".to_owned(), 1, 3.0), ("b".to_owned(), 11, 0.1), ("c".to_owned(), 12, 0.2)]);
        assert_eq!(names(&stale, 10), ["T:c", "T:b"], "ten minutes behind the newest result");
    }

    #[test]
    fn a_full_list_keeps_the_highest_scores_in_bounded_space() {
        let objects = 3 * CAPACITY as u64;
        // In an order that is neither ascending nor descending, twice.
        let order = |period| (0..objects).map(move |it| (it * 1237 % objects, period));
        let results = order(1)
            .chain(order(2))
            .map(|(number, period)| (format!("{number:04}"), period, number as f64 / objects as f64));
        let loudest = list(results);
        assert_eq!((loudest.entries.len(), loudest.by_hash.len()), (CAPACITY, CAPACITY));
        let expected: Vec<_> = (2 * CAPACITY as u64..objects).rev().map(|number| format!("T:{number:04}")).collect();
        assert_eq!(names(&loudest, CAPACITY), expected);
    }

    #[test]
    fn after_a_change_of_all_scores_a_full_list_has_the_new_highest_ones() {
        let objects = 3 * CAPACITY as u64;
        for prefix in ["", "the-name-of-a-network-"] {
            let name = |number| format!("{prefix}{number:04}");
            let score = |number: u64, period| if period == 1 { number } else { objects - number };
            let order = |period| (0..objects).map(move |it| (it * 1237 % objects, period));
            let results = order(1).chain(order(2)).chain(order(3));
            let results =
                results.map(|(number, period)| (name(number), period, score(number, period) as f64 / objects as f64));
            let loudest = list(results);
            let expected: Vec<_> = (0..CAPACITY as u64).map(|number| format!("T:{}", name(number))).collect();
            assert_eq!(names(&loudest, CAPACITY), expected);
            assert_eq!(loudest.by_rank.len(), CAPACITY);
        }
    }
}
