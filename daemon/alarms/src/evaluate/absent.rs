//! Alarms of objects that the table does not have: those without data of deleted objects, and those of objects whose
//! state was lost.

use std::collections::BTreeMap;

use proxy_uve::Plan;

use super::{Alarms, Current, Entry, REFRESH};
use crate::row::{AlarmRow, State};
use crate::rule::{Condition, Rules};
use crate::saved::SavedAlarm;

/// How long an alarm without data of a deleted object fires, in microseconds of event time: a day. What is away for
/// longer has been removed.
const FORGET: u64 = 24 * 3600 * 1_000_000;

/// Why alarms end whose object does not come.
const AWAY: &str = "the object has been away for a day";
const LOST: &str = "the state of the partition was lost, and nothing came of the object since";

/// Why a pending alarm ends whose periods are not known any more.
const BEGINS_ANEW: &str = "the state of the partition was lost; its periods are counted anew";

impl Alarms {
    /// The alarms of a table whose state was lost, from the rows that were written, in their order, and the end of the
    /// newest window that was. What fired goes on: its next window decides about it, and without one it ends soon.
    /// What was pending begins anew. Windows up to `until` that are aggregated again change nothing.
    pub fn recovered(rules: &Rules, plan: &Plan, rows: impl IntoIterator<Item = AlarmRow>, until: u64) -> Self {
        let mut alarms = Self { refreshed: until, ..Self::new(rules, plan) };
        alarms.objects.set_known_until(until);
        let mut newest: BTreeMap<String, AlarmRow> = BTreeMap::new();
        for row in rows.into_iter().filter(|row| row.data.proxy == alarms.stream) {
            newest.insert(row.key.clone(), row);
        }
        for AlarmRow { key, data, .. } in newest.into_values() {
            let saved = data.alarms.iter().map(SavedAlarm::of_lost).collect();
            let pending = data.pending.into_iter();
            let ended = pending.map(|alarm| crate::row::Alarm {
                resolved: Some(until),
                reason: Some(BEGINS_ANEW.to_owned()),
                state: State::Cancelled,
                ..alarm
            });
            alarms.restore_object(key, saved, until, ended.collect());
        }
        alarms.objects.change_all();
        alarms
    }

    /// Moves the event time of the table, in microseconds since the epoch: rows of deleted objects whose alarms fire
    /// come again, and their alarms end after a day, or at once if only a lost state had the object. Call it while no
    /// window is closing.
    pub fn advance(&mut self, now: u64) {
        let boundary = now - now % REFRESH;
        if boundary <= self.refreshed {
            return;
        }
        self.refreshed = boundary;
        self.evaluate_held(None);
        self.finish_object();
        for key in self.objects.absent() {
            let entries = self.objects.all(&key).iter();
            let over: Vec<_> = entries.filter_map(|entry| Some((entry.place(), self.over(entry, boundary)?))).collect();
            let ended = over
                .into_iter()
                .filter_map(|(place, reason)| Some(self.objects.remove(&key, place)?.ended(boundary, Some(reason))));
            let ended = ended.collect();
            self.push_row(Current { key, start: boundary, end: boundary, ended, is_due: true });
        }
    }

    /// Why the alarm of an object that the table does not have ends; `None` if it does not.
    fn over(&self, entry: &Entry, boundary: u64) -> Option<&'static str> {
        let rules = self.types.get(entry.type_index).map(|of_type| of_type.rules.as_slice());
        let rule = rules.and_then(|rules| rules.get(entry.rule_index)).map(|compiled| &compiled.rule.condition);
        let is_old = entry.life.fired.is_some_and(|fired| fired.saturating_add(FORGET) <= boundary);
        match rule {
            _ if !entry.is_absent => None,
            Some(Condition::NoData(_)) => is_old.then_some(AWAY),
            Some(Condition::Terms(_)) | None => Some(LOST),
        }
    }
}
