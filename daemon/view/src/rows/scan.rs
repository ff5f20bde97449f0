//! The rows that may be on a page, of the objects that were visited.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use daemon_results::block::UveShape;
use daemon_results::reading::{Reading, is_anomaly};
use derived_stats::Number;
use derived_stats::entry::Role;

use crate::object::{Encoded, Object, Uve};
use crate::objects::Objects;
use crate::rows::{RowQuery, SortBy};
use crate::{Tables, split_key};

/// The rows that are kept at least before the worst ones are dropped.
pub(super) const MIN_KEPT: usize = 1024;

/// A row that may be on the page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// What it is sorted by; NaN for none.
    pub(super) key: f64,
    /// The number of matches before it in the order of the names.
    ordinal: u32,
    /// The index of the object; of a UVE that is gone, that of the name in [`Scan::gone`].
    pub(super) object: u32,
    /// The index of the UVE's name in [`Scan::uves`].
    pub(super) uve: u32,
    /// Whether only alarms are left of the UVE.
    pub(super) is_gone: bool,
}

/// The rows of the objects that were visited.
pub(super) struct Scan<'q> {
    pub(super) query: &'q RowQuery,
    /// The text to search for, in lower case.
    search: String,
    /// A name in lower case.
    lower: String,
    pub(super) uves: Vec<Box<str>>,
    pub(super) total: u64,
    pub(super) matched: u32,
    pub(super) kept: Vec<Candidate>,
    /// The worst row that was kept when the others were dropped.
    worst: Option<Candidate>,
    /// The rows of one slice, with the keys of their objects where the alarms are read.
    pub(super) slice: Vec<(Candidate, String)>,
    /// The key up to which the alarms of UVEs that are gone were visited.
    pub(super) visited: Option<String>,
    /// Whether there are more of them among the objects of the last slice.
    pub(super) has_more_gone: bool,
    /// The names of the objects of the kept rows whose UVEs are gone.
    pub(super) gone: Vec<Box<str>>,
}

/// The name and the newest numbers of the attribute that stands for a structure: the first one with a score, else the first
/// one. Without a band.
pub(super) fn main_reading<'s>(uve: &Uve<'_>, shapes: &'s [Arc<UveShape>]) -> Option<(&'s str, Reading)> {
    let rank = |of: &Encoded<'_, '_>| (of.attribute.number_index(Role::Score).is_none(), of.value.index);
    let Encoded { attribute, value, .. } = uve.encoded(shapes).min_by_key(rank)?;
    let number = |role| value.number(attribute, attribute.number_index(role)?).map(Number::as_f64);
    let (score, is_anomaly) = (number(Role::Score), is_anomaly(number(Role::Score), number(Role::Alarm)));
    let (value, expected) = (number(Role::Value), number(Role::Expected));
    Some((&attribute.name, Reading { value, score, expected, is_anomaly, ..Reading::default() }))
}

/// A text in lower case, each letter by itself: a sigma is the same at the end of a word, so that a part of a name is found.
fn lower(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).map(|letter| if letter == 'ς' { 'σ' } else { letter })
}

impl<'q> Scan<'q> {
    pub(super) fn new(query: &'q RowQuery) -> Self {
        Self {
            query,
            search: lower(&query.search).collect(),
            lower: String::new(),
            uves: Vec::new(),
            total: 0,
            matched: 0,
            kept: Vec::new(),
            worst: None,
            slice: Vec::new(),
            visited: None,
            has_more_gone: false,
            gone: Vec::new(),
        }
    }

    pub(super) fn reads_alarms(&self) -> bool {
        self.query.alarms.is_some() || self.query.sort == SortBy::Alarm
    }

    /// Takes the rows of an object.
    pub(super) fn visit(&mut self, tables: &Tables, objects: &Objects, name: &str) {
        let Some((index, object)) = objects.find(name) else { return };
        let is_named = self.is_named(name);
        for uve in object.uves(&tables.shapes) {
            if self.query.uve.as_ref().is_some_and(|wanted| **wanted != *uve.shape.uve) {
                continue;
            }
            self.total += 1;
            if !is_named {
                continue;
            }
            let Some(key) = self.key(|| main_reading(&uve, &tables.shapes).map(|(_, it)| it).unwrap_or_default())
            else {
                continue;
            };
            let uve = self.uve_index(&uve.shape.uve);
            let row = Candidate { key, ordinal: 0, object: index, uve, is_gone: false };
            let key = if self.reads_alarms() { format!("{}:{name}", self.query.table) } else { String::new() };
            self.slice.push((row, key));
        }
    }

    /// Takes the rows of those of these UVEs, which alarms of an object are about, that the object does not have.
    pub(super) fn visit_alarms(&mut self, tables: &Tables, object_key: &str, uves: BTreeSet<String>) {
        let name = split_key(object_key).1;
        let objects = tables.by_name.get(&*self.query.table);
        let object = objects.and_then(|objects| objects.find(name)).map(|(_, object)| object);
        let is_named = self.is_named(name);
        for uve in uves {
            let is_wanted = self.query.uve.as_ref().is_none_or(|wanted| *wanted == uve);
            let is_there = |object: &Object| object.uves(&tables.shapes).any(|it| *it.shape.uve == *uve);
            if !is_wanted || object.is_some_and(is_there) {
                continue;
            }
            self.total += 1;
            if is_named && let Some(key) = self.key(Reading::default) {
                let row = Candidate { key, ordinal: 0, object: 0, uve: self.uve_index(&uve), is_gone: true };
                self.slice.push((row, object_key.to_owned()));
            }
        }
    }

    /// What a row is sorted by; `None` if its reading does not pass the filter. The reading is made only if it is needed.
    fn key(&self, reading: impl FnOnce() -> Reading) -> Option<f64> {
        let is_read = matches!(self.query.sort, SortBy::Expected | SortBy::Score | SortBy::Value);
        if !is_read && !self.query.anomalies_only {
            return Some(f64::NAN);
        }
        let reading = reading();
        let number = match self.query.sort {
            SortBy::Alarm | SortBy::Name | SortBy::Uve => None,
            SortBy::Expected => reading.expected,
            SortBy::Score => reading.score.map(f64::abs),
            SortBy::Value => reading.value,
        };
        (reading.is_anomaly || !self.query.anomalies_only).then_some(number.unwrap_or(f64::NAN))
    }

    fn is_named(&mut self, name: &str) -> bool {
        if self.search.is_empty() {
            return true;
        }
        if name.is_ascii() {
            self.lower.clear();
            self.lower.push_str(name);
            self.lower.make_ascii_lowercase();
        } else {
            self.lower.clear();
            self.lower.extend(lower(name));
        }
        self.lower.contains(&self.search)
    }

    /// The index of a UVE's name, of which there are few.
    fn uve_index(&mut self, uve: &str) -> u32 {
        let index = self.uves.iter().position(|known| **known == *uve).unwrap_or_else(|| {
            self.uves.push(uve.into());
            self.uves.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// Keeps the rows of a slice that may be on the page.
    pub(super) fn keep_slice(&mut self) {
        let most = self.end().max(MIN_KEPT).saturating_mul(2);
        for (mut row, key) in std::mem::take(&mut self.slice) {
            row.ordinal = self.matched;
            self.matched = self.matched.saturating_add(1);
            if self.worst.is_none_or(|worst| self.compare(&row, &worst).is_lt()) {
                if row.is_gone {
                    row.object = u32::try_from(self.gone.len()).unwrap_or(u32::MAX);
                    self.gone.push(split_key(&key).1.into());
                }
                self.kept.push(row);
            }
            if self.kept.len() >= most {
                self.drop_worst();
            }
        }
    }

    /// The rows up to the end of the page.
    fn end(&self) -> usize {
        self.query.offset.saturating_add(self.query.limit)
    }

    /// Drops the rows that come behind the page.
    fn drop_worst(&mut self) {
        let mut kept = std::mem::take(&mut self.kept);
        let end = self.end();
        if end < kept.len() {
            kept.select_nth_unstable_by(end, |left, right| self.compare(left, right));
            kept.truncate(end);
            self.worst = kept.iter().copied().max_by(|left, right| self.compare(left, right));
            let mut names = std::mem::take(&mut self.gone);
            for row in kept.iter_mut().filter(|row| row.is_gone) {
                let name = names.get_mut(row.object as usize).map(std::mem::take).unwrap_or_default();
                row.object = u32::try_from(self.gone.len()).unwrap_or(u32::MAX);
                self.gone.push(name);
            }
        }
        self.kept = kept;
    }

    /// The rows of the page, in order.
    pub(super) fn page(&mut self) -> Vec<Candidate> {
        self.drop_worst();
        let mut kept = std::mem::take(&mut self.kept);
        let offset = self.query.offset.min(kept.len());
        if (1..kept.len()).contains(&offset) {
            kept.select_nth_unstable_by(offset, |left, right| self.compare(left, right));
        }
        let mut page = kept.split_off(offset);
        page.sort_unstable_by(|left, right| self.compare(left, right));
        page
    }

    fn compare(&self, left: &Candidate, right: &Candidate) -> Ordering {
        let signed = |ordering: Ordering| if self.query.is_descending { ordering.reverse() } else { ordering };
        let by_name = left.ordinal.cmp(&right.ordinal);
        match self.query.sort {
            SortBy::Name => signed(by_name),
            SortBy::Uve => {
                let uve = |row: &Candidate| self.uves.get(row.uve as usize);
                signed(uve(left).cmp(&uve(right))).then(by_name)
            }
            SortBy::Alarm | SortBy::Expected | SortBy::Score | SortBy::Value => {
                let by_absence = left.key.is_nan().cmp(&right.key.is_nan());
                let by_key = left.key.partial_cmp(&right.key).map_or(Ordering::Equal, signed);
                by_absence.then(by_key).then(by_name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_a_part_of_it_in_any_case() {
        let in_lower_case = |text| lower(text).collect::<String>();
        for (name, part) in [("ΟΔΟΣΑ", "ΟΔΟΣ"), ("οδος-1", "ΟΔΟΣ"), ("STRASSE", "strass"), ("ÄÖ-1", "äö")]
        {
            assert!(in_lower_case(name).contains(&in_lower_case(part)), "{part} in {name}");
        }
    }
}
