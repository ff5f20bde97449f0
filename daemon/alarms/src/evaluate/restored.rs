//! Alarms that a restart goes on with.

use std::sync::Arc;

use proxy_uve::Plan;

use super::{Alarms, Current, Entry};
use crate::compile::Compiled;
use crate::row::Alarm;
use crate::rule::Rules;
use crate::saved::{self, SavedAlarm, SavedObject, StateError};

/// Why an alarm ends at a restart.
pub(super) const REMOVED: &str = "the rule was removed, or is not for this object any more";

impl Alarms {
    /// Restores the alarms of a table whose event time is `now`, in microseconds since the epoch. Alarms whose rule the
    /// configuration no longer has, or has for other objects, end with a row. Objects whose alarms have another severity
    /// now have a row, too. A chunk may come several times, with other objects each time: those of several tables that
    /// become one.
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
                    // States of several tables may have one each.
                    let known_until = object.known_until.max(alarms.objects.known_until());
                    alarms.objects.set_known_until(known_until);
                    alarms.refreshed = alarms.refreshed.max(object.known_until);
                    continue;
                }
                alarms.restore_object(object.key, object.alarms, now, Vec::new());
            }
        }
        Ok(alarms)
    }

    pub(super) fn restore_object(&mut self, key: String, saved: Vec<SavedAlarm>, now: u64, mut ended: Vec<Alarm>) {
        let (mut entries, mut is_changed) = (Vec::new(), !ended.is_empty());
        for alarm in saved {
            let entry = Entry::restored(&alarm);
            // A rule that is not for the object is never evaluated, so nothing else would end its alarm.
            let is_its = |compiled: &Compiled| compiled.rule.name == alarm.rule && compiled.rule.is_for(&key);
            let of_uve = self.types.iter().enumerate().filter(|(_, of_types)| of_types.uve == alarm.uve);
            let found = of_uve.into_iter().find_map(|(type_index, of_types)| {
                let rule_index = of_types.rules.iter().position(is_its)?;
                Some((type_index, rule_index, of_types.rules.get(rule_index)?, &of_types.other_uves))
            });
            match found {
                Some((type_index, rule_index, compiled, other_uves)) => {
                    let (severity, other_uves) = (compiled.rule.severity.code(), Arc::clone(other_uves));
                    let attribute = compiled.rule.attribute().map(Arc::from);
                    // What shows or sends the alarm has the severity before, and the next row may be minutes away.
                    is_changed |= severity != entry.severity;
                    entries.push(Entry { type_index, rule_index, severity, attribute, other_uves, ..entry });
                }
                None => {
                    ended.push(entry.ended(now, Some(REMOVED)));
                    is_changed = true;
                }
            }
        }
        entries.sort_by_key(Entry::place);
        self.objects.insert(&key, entries, is_changed);
        if is_changed {
            self.push_row(Current { key, start: now, end: now, ended, is_due: true });
        }
    }
}
