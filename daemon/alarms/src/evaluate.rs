//! The alarms of one table: results in, rows and state out.
//!
//! The owner of the table passes each result on ([`begin`](Alarms::begin), [`attribute`](Alarms::attribute),
//! [`end`](Alarms::end)), takes the [rows](Alarms::take_rows) of the windows that closed, and commits them together with
//! the [changed chunks](Alarms::take_chunks) and the state of the table. So a restart continues with exactly the alarms
//! that were written: none fires again, and no end is lost.

mod absent;
mod entry;
mod objects;
mod rows;
mod window;

use proxy_uve::{AttributeResult, Plan, Subject};

use self::entry::Entry;
use self::objects::Objects;
use self::rows::Rows;
use crate::compile::{Compiled, Slots};
use crate::row::{Alarm, AlarmData, AlarmRow, State, UVE};
use crate::rule::{Condition, Rules};
use crate::saved::{self, SavedAlarm, SavedObject};

pub use crate::saved::{StateError, is_alarm_chunk, retain};

/// The most alarms of an object, pending ones included.
pub const MAX_ALARMS_PER_OBJECT: usize = 32;

/// The most alarms of a table, pending ones included: some hundred bytes each.
pub const MAX_ALARMS: usize = 100_000;

/// How often the row of an object comes again without a change, in microseconds of event time: ten minutes. Readers who
/// start have to find it among the results that the log retains.
const REFRESH: u64 = 600_000_000;

/// Why an alarm ends at a restart.
const REMOVED: &str = "the rule was removed, or is not for this object any more";

/// The alarms of the objects of one table.
#[derive(Debug)]
pub struct Alarms {
    stream: String,
    types: Vec<TypeRules>,
    objects: Objects,
    /// The object whose results come.
    current: Option<Current>,
    rows: Rows,
    /// The event time up to which the rows of deleted objects came.
    refreshed: u64,
    limited: u64,
}

/// The rules of one proxy type.
#[derive(Debug)]
struct TypeRules {
    uve: String,
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
        let types = plan.uves().map(|uve| {
            let mut of_type = TypeRules::new(uve.name());
            let stream = plan.stream().to_string();
            for rule in rules.iter().filter(|rule| is_of(rule.sources().as_slice(), uve.name(), &stream)) {
                // A rule that does not fit is refused when the configuration is read.
                of_type.rules.extend(Compiled::new(rule, &uve, &mut of_type.slots));
            }
            of_type.sort();
            of_type
        });
        Self {
            stream: plan.stream().to_string(),
            types: types.collect(),
            objects: Objects::default(),
            current: None,
            rows: Rows::default(),
            refreshed: 0,
            limited: 0,
        }
    }

    /// Restores the alarms of a table whose event time is `now`, in microseconds since the epoch. Alarms whose rule the
    /// configuration no longer has, or has for other objects, end with a row.
    ///
    /// # Errors
    ///
    /// When a chunk is damaged or of a newer version.
    pub fn restore<'c>(
        rules: &Rules,
        plan: &Plan,
        chunks: impl IntoIterator<Item = (u32, &'c [u8])>,
        now: u64,
    ) -> Result<Self, StateError> {
        let mut alarms = Self { refreshed: now, ..Self::new(rules, plan) };
        for (chunk, bytes) in chunks {
            for object in saved::decode(chunk, bytes)? {
                if object.key == SavedObject::MARK {
                    alarms.objects.set_known_until(object.known_until);
                    alarms.refreshed = alarms.refreshed.max(object.known_until);
                    continue;
                }
                alarms.restore_object(object.key, object.alarms, now, Vec::new());
            }
        }
        Ok(alarms)
    }

    fn restore_object(&mut self, key: String, saved: Vec<SavedAlarm>, now: u64, mut ended: Vec<Alarm>) {
        let mut entries = Vec::new();
        for alarm in saved {
            let entry = Entry::restored(&alarm);
            let place = self.types.iter().position(|of_type| of_type.uve == alarm.uve);
            let rule = place.and_then(|index| {
                let rules = self.types.get(index)?.rules.iter();
                // A rule that is not for the object is never evaluated, so nothing else would end its alarm.
                let is_its = |compiled: &Compiled| compiled.rule.name == alarm.rule && compiled.rule.is_for(&key);
                Some((index, rules.into_iter().position(is_its)?))
            });
            match rule {
                Some((type_index, rule_index)) => {
                    let severity = self.types.get(type_index).and_then(|of| of.rules.get(rule_index));
                    let severity = severity.map_or(entry.severity, |compiled| compiled.rule.severity.code());
                    entries.push(Entry { type_index, rule_index, severity, ..entry });
                }
                None => ended.push(entry.ended(now, Some(REMOVED))),
            }
        }
        entries.sort_by_key(Entry::place);
        let has_ended = !ended.is_empty();
        self.objects.insert(&key, entries, has_ended);
        if has_ended {
            self.push_row(Current { key, start: now, end: now, ended, is_due: true });
        }
    }

    /// Whether no rule is evaluated and no alarm is there.
    pub fn is_idle(&self) -> bool {
        self.objects.is_empty() && self.types.iter().all(|of_type| of_type.rules.is_empty())
    }

    /// A result begins.
    pub fn begin(&mut self, subject: &Subject<'_>) {
        let Some(of_type) = self.types.get_mut(subject.type_index).filter(|of_type| !of_type.rules.is_empty()) else {
            return;
        };
        of_type.slots.clear();
    }

    /// An attribute of the result.
    #[inline]
    pub fn attribute(&mut self, subject: &Subject<'_>, result: &AttributeResult<'_>) {
        let Some(of_type) = self.types.get_mut(subject.type_index).filter(|of_type| !of_type.rules.is_empty()) else {
            return;
        };
        if result.inline {
            return;
        }
        if let Some(output) = result.report.as_ref().forced() {
            of_type.slots.take(result.name, output);
        }
    }

    /// The result is complete: its rules are evaluated.
    pub fn end(&mut self, subject: &Subject<'_>) {
        // An inline result is not one of a window.
        if subject.start == subject.end || self.types.get(subject.type_index).is_none_or(|it| it.rules.is_empty()) {
            return;
        }
        // The run before has written the rows of these windows.
        if subject.end <= self.objects.known_until() {
            return;
        }
        let Ok(key) = std::str::from_utf8(subject.key) else { return };
        let is_same = self.current.as_ref().is_some_and(|it| it.key == key && it.end == subject.end);
        if !is_same {
            self.finish_object();
            let (start, end) = (subject.start, subject.end);
            let is_due = start / REFRESH != end / REFRESH;
            self.current = Some(Current { key: key.to_owned(), start, end, ended: Vec::new(), is_due });
        }
        self.evaluate(key, subject);
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
        self.finish_object();
        self.rows.take()
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

/// Whether a rule with these sources is one of this UVE.
pub(crate) fn is_of(sources: &[&str], uve: &str, stream: &str) -> bool {
    let proxy_type = uve.strip_suffix(stream).and_then(|rest| rest.strip_suffix('-')).unwrap_or(uve);
    !sources.is_empty() && sources.iter().all(|source| *source == uve || *source == proxy_type)
}

#[cfg(test)]
mod tests;
