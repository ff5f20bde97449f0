//! The loudest objects: those with the highest anomaly scores in their newest results.
//!
//! A result that enters the view passes through here. The list keeps [`CAPACITY`] scored attributes of objects with their
//! recent values, so its memory is bounded whatever the number of objects is. A result with a higher rank takes the place
//! of the lowest one. Each object has a result a period, so after a period the list holds the loudest ones, whatever
//! came and went before.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher as _;

use daemon_results::block::Row;
use daemon_results::reading::{Reading, has_score};
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::view::split_key;

/// The most attributes of objects in the list.
const CAPACITY: usize = 1024;

/// The most values kept for each.
const VALUES: usize = 60;

/// An entry without results for this time, while others have some, is not loud any more: 10 minutes, in microseconds...
const STALE: u64 = 600_000_000;

/// ... or so many of its windows, if that is longer.
const STALE_WINDOWS: u64 = 10;

/// The scored attributes of objects that have the highest ranks.
#[derive(Debug, Default)]
pub(crate) struct Loudest {
    entries: Vec<Loud>,
    /// The index of an entry by the hash of its names.
    by_hash: HashMap<u64, usize, RandomState>,
    hasher: RandomState,
    /// The end of the newest result of all.
    newest: u64,
    /// An entry with the lowest rank, if the list is full and nothing changed since it was found.
    lowest: Option<usize>,
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

/// The order of the list: anomalies first, then the size of the score.
type Rank = (bool, f64);

fn rank(reading: &Reading) -> Rank {
    (reading.is_anomaly, reading.score.map_or(0.0, f64::abs))
}

fn is_lower((anomaly, score): Rank, (other_anomaly, other): Rank) -> bool {
    anomaly.cmp(&other_anomaly).then(score.total_cmp(&other)).is_lt()
}

impl Loudest {
    /// Takes a result; those without a score are ignored.
    pub(super) fn take(&mut self, row: &Row<'_>) {
        self.newest = self.newest.max(row.end);
        if row.deleted {
            return self.remove(row);
        }
        if !row.shape.attributes.iter().any(has_score) {
            return;
        }
        for (attribute, record) in row.attributes().filter(|(attribute, _)| has_score(attribute)) {
            let reading = Reading::of(attribute, &record);
            let hash = self.hasher.hash_one((row.key, &*row.shape.uve, &*attribute.name));
            match self.by_hash.get(&hash) {
                Some(&index) => self.update(index, row, reading),
                None => self.add(hash, row, &attribute.name, reading),
            }
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

    /// The entries with the highest ranks, at most `limit`, the highest first.
    pub(crate) fn top(&self, limit: usize) -> Vec<Loud> {
        let mut top: Vec<&Loud> = self.entries.iter().filter(|entry| !self.is_stale(entry)).collect();
        let order = |entry: &Loud| (entry.reading.is_anomaly, entry.reading.score.map_or(0.0, f64::abs).to_bits());
        top.sort_by_cached_key(|entry| (Reverse(order(entry)), entry.key.clone(), entry.uve.clone()));
        top.into_iter().take(limit).cloned().collect()
    }

    fn is_stale(&self, entry: &Loud) -> bool {
        let windows = entry.end.saturating_sub(entry.start).saturating_mul(STALE_WINDOWS);
        entry.end.saturating_add(windows.max(STALE)) < self.newest
    }

    fn update(&mut self, index: usize, row: &Row<'_>, reading: Reading) {
        self.lowest = None;
        let Some(entry) = self.entries.get_mut(index) else { return };
        entry.since = reading.is_anomaly.then(|| entry.since.unwrap_or(row.start));
        (entry.reading, entry.start, entry.end, entry.partial) = (reading, row.start, row.end, row.partial);
        if entry.values.len() == VALUES {
            entry.values.pop_front();
        }
        entry.values.extend(reading.value);
    }

    fn add(&mut self, hash: u64, row: &Row<'_>, attribute: &str, reading: Reading) {
        let mut at = self.entries.len();
        if at == CAPACITY {
            let Some(lowest) = self.lowest() else { return };
            let is_louder = |entry: &Loud| self.is_stale(entry) || is_lower(rank(&entry.reading), rank(&reading));
            if !self.entries.get(lowest).is_some_and(is_louder) {
                return;
            }
            at = lowest;
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
        self.lowest = None;
        match self.entries.get_mut(at) {
            Some(replaced) => {
                self.by_hash.remove(&replaced.hash);
                *replaced = entry;
            }
            None => self.entries.push(entry),
        }
        self.by_hash.insert(hash, at);
    }

    /// An entry that is stale, or has the lowest rank.
    fn lowest(&mut self) -> Option<usize> {
        if self.lowest.is_none() {
            let order = |entry: &Loud| (!self.is_stale(entry), rank(&entry.reading));
            self.lowest = (0..self.entries.len()).reduce(|lowest, index| {
                let (current, other) = (order(&self.entries[lowest]), order(&self.entries[index]));
                let is_less = other.0.cmp(&current.0).is_lt() || (other.0 == current.0 && is_lower(other.1, current.1));
                if is_less { index } else { lowest }
            });
        }
        self.lowest
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
        let Some(index) = self.by_hash.remove(&hash) else { return };
        self.lowest = None;
        self.entries.swap_remove(index);
        if let Some(moved) = self.entries.get(index) {
            self.by_hash.insert(moved.hash, index);
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
}
