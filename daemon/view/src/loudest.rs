//! The loudest objects: those with the highest anomaly scores in their newest results.
//!
//! A result that enters the view passes through here. The list keeps [`CAPACITY`] scored attributes of objects with their
//! recent values, so its memory is bounded whatever the number of objects is. A result with a higher rank takes the place
//! of the lowest one. A lower one of the newest window waits among the [`Candidates`], until entries of older windows
//! have become quieter. Each object has a result a period, so after a period the list holds the loudest ones, whatever
//! came and went before.

mod candidates;
mod entry;
mod members;

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher as _;

use daemon_results::block::{AttributeShape, EncodedValue, Row};
use daemon_results::reading::{Reading, is_anomaly};
use derived_stats::Number;
use derived_stats::entry::Role;
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use self::candidates::Candidates;
pub use self::entry::Loud;
use self::entry::{Rank, rank};
use self::members::Members;
use crate::split_key;

/// The most attributes of objects in the list.
const CAPACITY: usize = 1024;

/// The most values kept for each.
const VALUES: usize = 60;

/// An entry without results for this time, while others have some, is not loud any more: 10 minutes, in microseconds...
const STALE: u64 = 600_000_000;

/// ... or so many of its windows, if that is longer.
const STALE_WINDOWS: u64 = 10;

/// The time between two removals of stale entries from a full list, by the ends of results: each result of a single sample
/// has its own end.
const CLEANED_EVERY: u64 = STALE / 10;

/// The scored attributes of objects that have the highest ranks.
#[derive(Debug, Default)]
pub struct Loudest {
    entries: Vec<Loud>,
    /// The index of an entry by the hash of its names.
    by_hash: HashMap<u64, usize, RandomState>,
    hasher: RandomState,
    /// The end of the newest result of all.
    newest: u64,
    /// The rank of each entry with its index, the lowest first.
    by_rank: BTreeSet<(Rank, usize)>,
    /// The keys of the entries, and of those that were removed since the filter was rebuilt.
    members: Members,
    /// Of the newest windows, those that are below all entries.
    candidates: Candidates,
    /// `newest` when stale entries were last removed.
    cleaned: u64,
}

/// A list to be stored.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct SavedLoudest {
    /// The entries, then the candidates, which there are only beside [`CAPACITY`] entries.
    entries: Vec<Loud>,
    newest: u64,
}

impl Loudest {
    /// Takes a result; those without a score are ignored.
    pub(super) fn take(&mut self, row: &Row<'_>) {
        self.newest = self.newest.max(row.end);
        if self.is_full() && self.newest >= self.cleaned.saturating_add(CLEANED_EVERY) {
            self.remove_stale();
        }
        if row.deleted {
            return self.remove(row);
        }
        let is_newest = self.candidates.begin_window(row.start, row.end);
        for (attribute, value) in row.encoded().filter(|(attribute, _)| attribute.number_index(Role::Score).is_some()) {
            let number = |role| value.number(attribute, attribute.number_index(role)?).map(Number::as_f64);
            let score = number(Role::Score);
            let rank = rank(is_anomaly(score, number(Role::Alarm)), score);
            if self.takes(rank, is_newest) || self.members.may_contain(row.key) {
                self.take_reading(row, attribute, value, is_newest);
            }
        }
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= CAPACITY
    }

    fn has_room_for(&self, rank: Rank) -> bool {
        !self.is_full() || self.by_rank.first().is_some_and(|(lowest, _)| *lowest < rank)
    }

    /// Whether a result that is not in the list is kept.
    fn takes(&self, rank: Rank, is_newest: bool) -> bool {
        self.has_room_for(rank) || is_newest && self.candidates.has_room_for(rank)
    }

    fn take_reading(&mut self, row: &Row<'_>, attribute: &AttributeShape, value: EncodedValue<'_>, is_newest: bool) {
        let Some(record) = value.decode(attribute) else { return };
        let reading = Reading::of(attribute, &record);
        let hash = self.hasher.hash_one((row.key, &*row.shape.uve, &*attribute.name));
        match self.by_hash.get(&hash) {
            Some(&index) => self.update(index, row, reading),
            None => {
                self.candidates.remove(hash);
                if self.takes(rank(reading.is_anomaly, reading.score), is_newest) {
                    self.place(Loud::new(hash, row, &attribute.name, reading));
                }
            }
        }
        self.promote();
    }

    /// What is to be stored of the list.
    pub(super) fn save(&self) -> SavedLoudest {
        let entries = self.entries.iter().chain(self.candidates.iter()).cloned().collect();
        SavedLoudest { entries, newest: self.newest }
    }

    /// The list that was saved.
    pub(super) fn restored(saved: SavedLoudest) -> Self {
        let mut list = Self { newest: saved.newest, ..Self::default() };
        let mut entries = saved.entries;
        for entry in &mut entries {
            entry.hash = list.hasher.hash_one((&*entry.key, &*entry.uve, &*entry.attribute));
            list.candidates.begin_window(entry.start, entry.end);
        }
        let candidates = entries.split_off(entries.len().min(CAPACITY));
        entries.into_iter().for_each(|entry| list.push(entry));
        candidates.into_iter().for_each(|entry| list.candidates.insert(entry));
        list.promote();
        list
    }

    /// Removes the entries of objects for which `is_known`, called with table and name, is false.
    pub(super) fn retain(&mut self, is_known: impl Fn(&str, &str) -> bool) {
        self.retain_entries(|entry| {
            let (table, name) = split_key(&entry.key);
            is_known(table, name)
        });
    }

    fn retain_entries(&mut self, is_kept: impl Fn(&Loud) -> bool) {
        self.candidates.retain(&is_kept);
        let removed: Vec<u64> = self.entries.iter().filter(|it| !is_kept(it)).map(|it| it.hash).collect();
        self.remove_entries(removed);
    }

    /// Removes the entries that were stale at the last call, and rebuilds the filter from those that stay. After a time
    /// without results, each object has until the next call to report.
    fn remove_stale(&mut self) {
        let before = std::mem::replace(&mut self.cleaned, self.newest);
        self.retain_entries(|it| !is_stale(it, before));
        self.members.clear();
        self.entries.iter().for_each(|entry| self.members.add(&entry.key));
    }

    /// The entries with the highest ranks, at most `limit`, the highest first.
    pub fn top(&self, limit: usize) -> Vec<Loud> {
        let mut top: Vec<&Loud> = self.entries.iter().filter(|entry| !is_stale(entry, self.newest)).collect();
        top.sort_by_cached_key(|entry| (Reverse(entry.rank()), entry.key.clone(), entry.uve.clone()));
        top.into_iter().take(limit).cloned().collect()
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

    /// Puts a result into the list, in the place of the lowest one, or among the candidates.
    fn place(&mut self, entry: Loud) {
        if !self.has_room_for(entry.rank()) {
            return self.candidates.insert(entry);
        }
        if self.is_full()
            && let Some(&(_, lowest)) = self.by_rank.first()
        {
            let lowest = self.remove_entry_at(lowest);
            self.candidates.insert(lowest);
        }
        self.push(entry);
    }

    fn push(&mut self, entry: Loud) {
        let index = self.entries.len();
        self.by_hash.insert(entry.hash, index);
        self.by_rank.insert((entry.rank(), index));
        self.members.add(&entry.key);
        self.entries.push(entry);
    }

    /// Puts the candidates that are above the lowest entry into the list.
    fn promote(&mut self) {
        while self.candidates.highest().is_some_and(|rank| self.has_room_for(rank))
            && let Some(entry) = self.candidates.pop()
        {
            self.place(entry);
        }
    }

    /// Removes the attributes of a UVE that is deleted.
    fn remove(&mut self, row: &Row<'_>) {
        let (uve, hasher) = (&row.shape.uve, &self.hasher);
        let hash = |name: &str| hasher.hash_one((row.key, &**uve, name));
        let hashes: Vec<u64> = match row.shape.attributes.is_empty() {
            false => row.shape.attributes.iter().map(|attribute| hash(&attribute.name)).collect(),
            // That of a line has none. A look at all entries is cheap beside the parse of a line.
            true => {
                let all = self.entries.iter().chain(self.candidates.iter());
                all.filter(|it| *it.key == *row.key && it.uve == *uve).map(|it| it.hash).collect()
            }
        };
        self.remove_entries(hashes);
    }

    fn remove_entries(&mut self, hashes: Vec<u64>) {
        for hash in hashes {
            self.candidates.remove(hash);
            if let Some(&index) = self.by_hash.get(&hash) {
                self.remove_entry_at(index);
            }
        }
        self.promote();
    }

    fn remove_entry_at(&mut self, index: usize) -> Loud {
        let removed = self.entries.swap_remove(index);
        self.by_hash.remove(&removed.hash);
        self.by_rank.remove(&(removed.rank(), index));
        if let Some(moved) = self.entries.get(index) {
            self.by_hash.insert(moved.hash, index);
            self.by_rank.remove(&(moved.rank(), self.entries.len()));
            self.by_rank.insert((moved.rank(), index));
        }
        removed
    }
}

/// Whether an entry has no results for long, while `newest` is the end of another one.
fn is_stale(entry: &Loud, newest: u64) -> bool {
    let windows = entry.length().saturating_mul(STALE_WINDOWS);
    entry.end.saturating_add(windows.max(STALE)) < newest
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use daemon_results::block::{UveShape, ValuesBuffer};
    use daemon_results::line::LineReader;
    use derived_stats::Record;
    use proxy_uve::schema::Schema;
    use proxy_uve::{Plan, StreamName};

    use super::*;

    const PERIOD: u64 = 60_000_000;
    const UVE: &str = "AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count";

    /// The list after results `(name, period, score)`; a score that is not a number deletes.
    fn list(results: impl IntoIterator<Item = (String, u64, f64)>) -> Loudest {
        let mut loudest = Loudest::default();
        take(&mut loudest, results);
        loudest
    }

    fn take(loudest: &mut Loudest, results: impl IntoIterator<Item = (String, u64, f64)>) {
        let window = |period| (period * PERIOD, (period + 1) * PERIOD);
        take_windows(loudest, results.into_iter().map(|(name, period, score)| (name, window(period), score)));
    }

    /// Takes results `(name, (start, end), score)`, whose values are the numbers of their periods.
    fn take_windows(loudest: &mut Loudest, results: impl IntoIterator<Item = (String, (u64, u64), f64)>) {
        let stream = StreamName::new("UveVirtualNetworkAgent", "egress_flow_count").expect("a stream");
        let types = [Arc::clone(Schema::builtin().get("AggProxySumAnomalyEWM01").expect("built in"))];
        let mut lines = LineReader::new(&[Arc::new(Plan::new(stream, &types))]);
        for (name, (start, end), score) in results {
            let period = start / PERIOD;
            let head = format!(r#"{{"key":"T:{name}","uve":"{UVE}","start":{start},"end":{end},"data":"#);
            let data = match score.is_nan() {
                true => r#"{"deleted":true}}"#.to_owned(),
                false => format!(
                    r#"{{"deleted":false,"proxy":"UveVirtualNetworkAgent-egress_flow_count","value":{{"samples":20,"algo":"EWM","config":"0.1","state":{{"mean":"10","stddev":"2"}},"sigma":{score:?},"metric":{period}}}}}}}"#
                ),
            };
            loudest.take(&lines.row((head + &data).as_bytes()).expect("a good line"));
        }
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
    fn a_gap_without_any_results_keeps_since_and_the_values() {
        let of_all = |period| (0..CAPACITY).map(move |number| (format!("{number:04}"), period, 2.6));
        for list in
            [list([1, 20, 21].into_iter().flat_map(of_all)), list([1, 20, 21].map(|it| ("a".to_owned(), it, 2.6)))]
        {
            let top = list.top(CAPACITY);
            assert!(
                top.iter().all(|entry| entry.since == Some(PERIOD) && entry.values == [1.0, 20.0, 21.0]),
                "{top:?}"
            );
        }
    }

    #[test]
    fn objects_that_went_silent_make_room_in_a_full_list() {
        let loud = (0..CAPACITY).map(|number| (format!("the-name-of-a-network-{number:04}"), 1, 2.9));
        let quiet = [12, 13, 14].into_iter().flat_map(|period| {
            (0..CAPACITY).map(move |number| (format!("another-name-of-a-network-{number:04}"), period, 0.1))
        });
        let top = list(loud.chain(quiet)).top(CAPACITY);
        assert_eq!(top.len(), CAPACITY);
        assert!(top.iter().all(|entry| entry.key.starts_with("T:another")));
    }

    #[test]
    fn an_alarm_is_louder_than_a_higher_score_without_one() {
        let types = [Arc::clone(Schema::extended().get("AggProxySeasonal").expect("built in"))];
        let plan = Plan::new(StreamName::new("A", "b").expect("a stream"), &types);
        let uve = plan.uves().next().map(|uve| UveShape::of(&uve, "A-b")).expect("a type");
        let (attribute, shape) = (&uve.attributes[0], Arc::new(uve.clone()));
        let index = |role| attribute.number_index(role).expect("a number");
        let mut loudest = Loudest::default();
        let mut take = |key: String, score: f64, alarm: u64| {
            let mut numbers = vec![None; attribute.numbers()];
            numbers[index(Role::Score)] = Some(Number::F64(score));
            numbers[index(Role::Alarm)] = Some(Number::U64(alarm));
            let mut values = ValuesBuffer::default();
            values.push(attribute, 0, &Record::from_numbers(numbers).expect("few numbers"));
            let (start, end) = (PERIOD, 2 * PERIOD);
            let values = values.values();
            loudest.take(&Row { key: &key, shape: &shape, start, end, deleted: false, partial: false, values });
        };
        (0..CAPACITY).for_each(|number| take(format!("T:the-name-of-a-network-{number:04}"), 0.9, 0));
        take("T:the-name-of-a-quiet-network-with-an-alarm".to_owned(), 0.6, 1);
        assert_eq!(names(&loudest, 1), ["T:the-name-of-a-quiet-network-with-an-alarm"]);
    }

    #[test]
    fn after_a_change_of_all_scores_a_full_list_has_the_new_highest_ones() {
        let objects = 3 * CAPACITY as u64;
        for prefix in ["", "the-name-of-a-network-"] {
            let name = |number| format!("{prefix}{number:04}");
            let score = |number: u64, period| if period == 1 { number } else { objects - number };
            let order = |period| (0..objects).map(move |it| (it * 1237 % objects, period));
            let result = |(number, period)| (name(number), period, score(number, period) as f64 / objects as f64);
            // A restart between two changes.
            let mut loudest = Loudest::restored(list(order(1).map(result)).save());
            assert_eq!(loudest.by_rank.len(), CAPACITY);
            take(&mut loudest, order(2).chain(order(3)).map(result));
            let expected: Vec<_> = (0..CAPACITY as u64).map(|number| format!("T:{}", name(number))).collect();
            assert_eq!(names(&loudest, CAPACITY), expected);
            assert_eq!(loudest.by_rank.len(), CAPACITY);
        }
    }

    const A: usize = CAPACITY + 76;
    const B: usize = 50;

    /// The results of B, which come first, and of A, with these scores.
    fn b_then_a(period: u64, b: f64, a: f64) -> impl Iterator<Item = (String, u64, f64)> {
        let results = |prefix: char, count, score| {
            (0..count).map(move |number| (format!("{prefix}-of-the-networks-{number:04}"), period, score))
        };
        results('b', B, b).chain(results('a', A, a))
    }

    /// The number of B in the first entries, and of all.
    fn b_in(loudest: &Loudest, limit: usize) -> (usize, usize) {
        let names = names(loudest, limit);
        (names.iter().take_while(|name| name.starts_with("T:b")).count(), names.len())
    }

    #[test]
    fn new_anomalies_are_listed_when_more_loud_objects_than_the_list_has_become_quiet_behind_them() {
        let mut loudest = Loudest::default();
        take(&mut loudest, (1..13).flat_map(|period| b_then_a(period, 0.1, 0.2)));
        take(&mut loudest, b_then_a(13, -0.1, 3.0));
        assert_eq!(b_in(&loudest, 200), (0, 200));
        take(&mut loudest, b_then_a(14, 2.98, -0.3));
        assert_eq!(b_in(&loudest, 200), (B, 200));
        let top = loudest.top(B);
        assert!(top.iter().all(|entry| entry.end == 15 * PERIOD && entry.since == Some(14 * PERIOD)), "{top:?}");
        take(&mut loudest, b_then_a(15, 0.2, 2.6));
        assert_eq!(b_in(&loudest, CAPACITY), (0, CAPACITY), "a quiet object leaves the list again");
    }

    #[test]
    fn new_anomalies_are_listed_over_a_restart_in_the_middle_of_their_period() {
        let mut loudest = list(b_then_a(13, -0.1, 3.0));
        let mut results = b_then_a(14, 2.98, -0.3);
        take(&mut loudest, results.by_ref().take(B + 10));
        let stored = postcard::to_allocvec(&loudest.save()).expect("a list");
        let mut loudest = Loudest::restored(postcard::from_bytes(&stored).expect("a stored list"));
        take(&mut loudest, results);
        assert_eq!(b_in(&loudest, 200), (B, 200));
    }

    #[test]
    fn the_results_of_a_long_period_are_listed_once_the_objects_of_a_short_one_are_quiet() {
        let mut loudest = list(b_then_a(13, -0.1, 3.0).skip(B));
        // Both windows end together, and the shorter one goes on.
        let long = (10 * PERIOD, 15 * PERIOD);
        take_windows(&mut loudest, (0..B).map(|number| (format!("b-of-a-long-period-{number:04}"), long, 2.98)));
        take(&mut loudest, b_then_a(14, 0.0, 3.0).skip(B));
        assert_eq!(b_in(&loudest, 200), (0, 200));
        take(&mut loudest, b_then_a(15, 0.0, -0.3).skip(B));
        assert_eq!(b_in(&loudest, 200), (B, 200));
    }

    #[test]
    fn an_object_that_is_deleted_is_listed_no_more_when_others_become_quiet() {
        let mut loudest = list(b_then_a(13, -0.1, 3.0));
        take(&mut loudest, b_then_a(14, 2.98, f64::NAN).take(B));
        take(&mut loudest, b_then_a(14, f64::NAN, -0.3));
        let names = names(&loudest, CAPACITY);
        assert!(names.len() == CAPACITY && names.iter().all(|name| name.starts_with("T:a")), "{names:?}");
    }

    #[test]
    fn objects_below_the_list_take_the_entries_of_deleted_ones() {
        let mut loudest = list(b_then_a(13, 2.98, 3.0));
        take(&mut loudest, b_then_a(14, 2.98, f64::NAN));
        assert_eq!(b_in(&loudest, CAPACITY), (B, B));
    }
}
