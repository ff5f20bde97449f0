//! The alarms of one table: results in, rows and state out.
//!
//! The owner of the table passes each result on ([`begin`](Alarms::begin), [`attribute`](Alarms::attribute),
//! [`end`](Alarms::end)), takes the [rows](Alarms::take_rows) of the windows that closed, and commits them together with
//! the [changed chunks](Alarms::take_chunks) and the state of the table. So a restart continues with exactly the alarms
//! that were written: none fires again, and no end is lost.

mod absent;
mod entry;
mod objects;
mod restored;
mod rows;
mod several;
mod window;

use std::sync::Arc;

use proxy_uve::{AttributeResult, Plan, Subject};

use self::entry::Entry;
use self::objects::Objects;
use self::rows::Rows;
use self::several::Held;
use self::window::Window;
use crate::compile::{Bound, Compiled, Slots};
use crate::row::{Alarm, AlarmData, AlarmRow, State, UVE};
use crate::rule::{Condition, Rules};
use crate::saved;

pub use crate::saved::{StateError, is_alarm_chunk, retain};

/// The most alarms of an object, pending ones included.
pub const MAX_ALARMS_PER_OBJECT: usize = 32;

/// The most alarms of a table, pending ones included: some hundred bytes each.
pub const MAX_ALARMS: usize = 100_000;

/// How often the row of an object comes again without a change, in microseconds of event time: ten minutes. Readers who
/// start have to find it among the results that the log retains.
const REFRESH: u64 = 600_000_000;

/// The alarms of the objects of one table.
#[derive(Debug)]
pub struct Alarms {
    stream: String,
    /// The rules of each proxy type, by its index in the plan, and behind them those over several types.
    types: Vec<TypeRules>,
    /// The number of proxy types.
    plain_types: usize,
    /// The indices in `types` of the rules to which each proxy type brings values.
    brings: Vec<Vec<usize>>,
    objects: Objects,
    /// The object whose results come.
    current: Option<Current>,
    rows: Rows,
    /// The event time up to which the rows of deleted objects came.
    refreshed: u64,
    limited: u64,
}

/// The rules of one proxy type, or those over the same several ones.
#[derive(Debug)]
struct TypeRules {
    uve: String,
    /// The other proxy UVEs that the rules compare.
    other_uves: Arc<[String]>,
    /// The values that wait for those of other types.
    held: Held,
    rules: Vec<Compiled>,
    /// The indices of the rules, the worst severity first: an object has room for some alarms only.
    by_severity: Vec<usize>,
    slots: Slots,
}

#[derive(Debug)]
struct Current {
    key: String,
    start: u64,
    end: u64,
    /// The alarms that ended in the window.
    ended: Vec<Alarm>,
    /// Whether an alarm began or fired, or the row is due without a change.
    is_due: bool,
}

/// The numbers of alarms of a table.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AlarmCounts {
    /// Alarms that fire.
    pub firing: u64,
    /// Alarms that are pending.
    pub pending: u64,
    /// Alarms that were not made, because the object or the table has too many.
    pub limited: u64,
}

impl Alarms {
    /// The alarms of a table for `plan`. Rules of other proxy types are not evaluated here.
    pub fn new(rules: &Rules, plan: &Plan) -> Self {
        let mut types: Vec<_> = plan.uves().map(|uve| TypeRules::new(uve.name(), &[])).collect();
        let plain_types = types.len();
        let mut brings = vec![Vec::new(); plain_types];
        for rule in rules.iter() {
            let Some(bound) = Bound::new(rule, plan) else { continue };
            let index = match bound.uves() {
                [(index, _)] => *index,
                uves => {
                    let names: Vec<_> = uves.iter().map(|(_, uve)| uve.name()).collect();
                    let known = types.iter().skip(plain_types).position(|of_types| of_types.is_over(&names));
                    known.map_or(types.len(), |behind| plain_types + behind)
                }
            };
            if index == types.len() {
                let others: Vec<_> = bound.uves().iter().skip(1).map(|(_, uve)| uve.name()).collect();
                types.push(TypeRules::new(bound.first(), &others));
            }
            // A rule that does not fit is refused when the configuration is read.
            let Some(of_types) = types.get_mut(index) else { continue };
            let Ok(compiled) = Compiled::new(rule, &bound, &mut of_types.slots) else { continue };
            of_types.rules.push(compiled);
            for (of, _) in bound.uves() {
                let Some(brought) = brings.get_mut(*of).filter(|brought| !brought.contains(&index)) else { continue };
                brought.push(index);
            }
        }
        types.iter_mut().for_each(TypeRules::sort);
        Self {
            stream: plan.stream().to_string(),
            types,
            plain_types,
            brings,
            objects: Objects::default(),
            current: None,
            rows: Rows::default(),
            refreshed: 0,
            limited: 0,
        }
    }

    /// Whether no rule is evaluated and no alarm is there.
    pub fn is_idle(&self) -> bool {
        self.objects.is_empty() && self.types.iter().all(|of_type| of_type.rules.is_empty())
    }

    /// The indices of the rules to which a proxy type brings values.
    fn brings(&self, subject: &Subject<'_>) -> &[usize] {
        self.brings.get(subject.type_index).map(Vec::as_slice).unwrap_or_default()
    }

    /// A result begins.
    pub fn begin(&mut self, subject: &Subject<'_>) {
        if subject.start < subject.end {
            // Before the values of this one come.
            self.evaluate_held(Some(subject.end));
        }
        let Self { types, brings, .. } = self;
        for index in brings.get(subject.type_index).into_iter().flatten() {
            types.get_mut(*index).into_iter().for_each(|of_types| of_types.slots.clear());
        }
    }

    /// An attribute of the result.
    #[inline]
    pub fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        let Self { types, brings, .. } = self;
        let Some(indices) = brings.get(subject.type_index).filter(|indices| !indices.is_empty()) else { return };
        if result.inline {
            return;
        }
        let Some(output) = result.report.as_ref().forced() else { return };
        for index in indices {
            if let Some(of_types) = types.get_mut(*index) {
                of_types.slots.take(subject.type_index, result.name, output);
            }
        }
    }

    /// The result is complete: its rules are evaluated.
    pub fn end(&mut self, subject: &Subject<'_>) {
        // An inline result is not one of a window.
        if subject.start == subject.end || self.brings(subject).is_empty() {
            return;
        }
        // The run before has written the rows of these windows.
        if subject.end <= self.objects.known_until() {
            return;
        }
        let Ok(key) = std::str::from_utf8(subject.key) else { return };
        self.show_window(key, subject.start, subject.end);
        for position in 0..self.brings(subject).len() {
            let Some(index) = self.brings(subject).get(position).copied() else { break };
            match index < self.plain_types {
                true => self.evaluate(index, key, Window::of(subject)),
                false => {
                    let brought = (subject.type_index, Window::of(subject));
                    self.end_of_several(index, key, subject.start, brought);
                }
            }
        }
    }

    /// Makes the window of an object the one whose alarms change.
    fn show_window(&mut self, key: &str, start: u64, end: u64) {
        let is_same = self.current.as_ref().is_some_and(|it| it.key == key && it.end == end);
        if !is_same {
            self.finish_object();
            let is_due = start / REFRESH != end / REFRESH;
            self.current = Some(Current { key: key.to_owned(), start, end, ended: Vec::new(), is_due });
        }
    }

    /// How many windows without samples in a row the rules need one by one: the longest `for` of those that fire
    /// without data. In further ones nothing changes.
    pub fn silent_windows(&self) -> u32 {
        let rules = self.types.iter().flat_map(|of_type| &of_type.rules).map(|compiled| &compiled.rule);
        let no_data = rules.filter(|rule| matches!(rule.condition, Condition::NoData(_)));
        no_data.map(|rule| rule.periods).max().unwrap_or(0)
    }

    /// Writes the row of the object whose results came, if it has one.
    fn finish_object(&mut self) {
        if let Some(current) = self.current.take() {
            self.push_row(current);
        }
    }

    fn push_row(&mut self, current: Current) {
        let Current { key, start, end, ended, is_due } = current;
        let entries = self.objects.all(&key);
        if ended.is_empty() && (entries.is_empty() || !is_due) {
            return;
        }
        let of_state = |state| entries.iter().filter(|entry| entry.state == state).map(Entry::shown).collect();
        let data = AlarmData {
            deleted: entries.is_empty(),
            proxy: self.stream.clone(),
            alarms: of_state(State::Firing),
            pending: of_state(State::Pending),
            resolved: ended,
        };
        self.rows.push(AlarmRow { key, uve: UVE.to_owned(), start, end, data });
    }

    /// The number of rows that wait to be taken, and their bytes. Does not count the object whose results come.
    pub fn pending_rows(&self) -> (usize, usize) {
        self.rows.size()
    }

    /// Takes the rows of the windows that closed. Call it while no window is closing.
    pub fn take_rows(&mut self) -> Vec<Vec<u8>> {
        self.evaluate_held(None);
        self.finish_object();
        self.rows.take()
    }

    /// Makes all chunks changed ones: for a log that has none of them.
    pub fn change_all(&mut self) {
        self.objects.change_all();
    }

    /// Writes the row of each object with alarms, as of the event time `now` in microseconds since the epoch: for a
    /// results log that has none of them. Call it while no window is closing.
    pub fn show_all(&mut self, now: u64) {
        self.evaluate_held(None);
        self.finish_object();
        for key in self.objects.keys() {
            self.push_row(Current { key, start: now, end: now, ended: Vec::new(), is_due: true });
        }
    }

    /// Takes the chunks that changed since the last call; `None` deletes one.
    pub fn take_chunks(&mut self) -> Vec<(u32, Option<Vec<u8>>)> {
        let changed = self.objects.take_changed();
        changed.into_iter().map(|bucket| (saved::chunk_number(bucket), self.objects.encode(bucket))).collect()
    }

    /// The numbers of alarms.
    pub fn counts(&self) -> AlarmCounts {
        let (firing, pending) = self.objects.counts();
        AlarmCounts { firing, pending, limited: self.limited }
    }
}

#[cfg(test)]
mod tests;
