//! The evaluation of the rules with the results of one window.

use proxy_uve::Subject;

use super::{Alarms, Entry, MAX_ALARMS, MAX_ALARMS_PER_OBJECT, TypeRules};
use crate::compile::{Compiled, Slots};
use crate::life::{Change, Life, Truth, step};
use crate::row::State;
use crate::rule::Condition;

/// Why an alarm ends that has to make room.
pub(super) const DISPLACED: &str = "the object has too many alarms, and others are worse";

/// What a rule makes of an alarm in a window.
struct Step {
    place: (usize, usize),
    before: Option<Entry>,
    after: Option<Life>,
    change: Change,
    /// Why the alarm ends, if its condition did not.
    reason: Option<&'static str>,
}

impl TypeRules {
    /// A proxy type without rules.
    pub(super) fn new(uve: &str) -> Self {
        let (uve, slots) = (uve.to_owned(), Slots::default());
        Self { uve, rules: Vec::new(), by_severity: Vec::new(), slots }
    }

    /// Orders the rules that it has.
    pub(super) fn sort(&mut self) {
        self.by_severity = (0..self.rules.len()).collect();
        self.by_severity.sort_by_key(|index| self.rules.get(*index).map(|compiled| compiled.rule.severity));
    }

    /// The truth of a rule for the object whose results came.
    fn truth(&self, compiled: &Compiled, subject: &Subject<'_>) -> Truth {
        match compiled.rule.condition {
            // A window that is partial because of what came before it has had its samples or not.
            Condition::NoData(_) => {
                Truth { raises: subject.sampled.map(|is_sampled| !is_sampled), clears: subject.sampled }
            }
            // Time that nobody observed counts neither way.
            Condition::Terms(_) if subject.deleted || subject.partial => Truth { raises: None, clears: None },
            Condition::Terms(_) => compiled.truth(&self.slots),
        }
    }
}

impl Alarms {
    /// Evaluates all rules of a result that is complete.
    pub(super) fn evaluate(&mut self, key: &str, subject: &Subject<'_>) {
        let count = self.types.get(subject.type_index).map_or(0, |of_type| of_type.by_severity.len());
        for index in 0..count {
            let rule = self.types.get(subject.type_index).and_then(|of_type| of_type.by_severity.get(index));
            if let Some(step) = rule.copied().and_then(|rule_index| self.step(key, subject, rule_index)) {
                self.take(key, subject, step);
            }
        }
    }

    /// The step of one alarm; `None` if it is inactive before and after.
    fn step(&self, key: &str, subject: &Subject<'_>, rule_index: usize) -> Option<Step> {
        let of_type = self.types.get(subject.type_index)?;
        let compiled = of_type.rules.get(rule_index).filter(|compiled| compiled.rule.is_for(key))?;
        let truth = of_type.truth(compiled, subject);
        let place = (subject.type_index, rule_index);
        let before = self.objects.get(key, place).cloned();
        if before.is_none() && truth.raises != Some(true) {
            return None;
        }
        if subject.partial && truth == (Truth { raises: None, clears: None }) {
            return None;
        }
        let life = before.as_ref().map(|entry| entry.life);
        let (after, change) = step(life, truth, compiled.periods(), subject.end);
        // Of a deleted object only the alarm that it has no data is left.
        let is_no_data = matches!(compiled.rule.condition, Condition::NoData(_));
        let kept = after.filter(|life| !subject.deleted || is_no_data && life.fired.is_some());
        let reason = (kept.is_none() && after.is_some()).then_some("the object has expired");
        Some(Step { place, before, after: kept, change, reason })
    }

    fn take(&mut self, key: &str, subject: &Subject<'_>, step: Step) {
        let Self { types, objects, current, limited, .. } = self;
        let Step { place, before, after, change, reason } = step;
        let Some(life) = after else {
            if let Some(current) = current {
                current.ended.extend(before.map(|entry| entry.ended(subject.end, reason)));
            }
            objects.remove(key, place);
            return;
        };
        let of_type = types.get(place.0);
        let Some((of_type, compiled)) = of_type.and_then(|of_type| Some((of_type, of_type.rules.get(place.1)?))) else {
            return;
        };
        if before.is_none() && !objects.has_room(key, MAX_ALARMS_PER_OBJECT, MAX_ALARMS) {
            *limited += 1;
            let Some(displaced) = objects.displace(key, compiled.rule.severity.code(), MAX_ALARMS_PER_OBJECT) else {
                return;
            };
            // What began in this window was never shown.
            if let Some(current) = current.as_mut().filter(|_| displaced.life.since != subject.end) {
                current.ended.push(displaced.ended(subject.end, Some(DISPLACED)));
            }
        }
        let mut entry = before.unwrap_or_else(|| Entry::new(place, compiled, &of_type.uve));
        (entry.life, entry.is_absent) = (life, subject.deleted);
        entry.state = if life.fired.is_some() { State::Firing } else { State::Pending };
        if matches!(change, Change::Began | Change::Fired) {
            entry.show(compiled, key, &of_type.slots);
            current.iter_mut().for_each(|current| current.is_due = true);
        }
        objects.set(key, place, entry);
    }
}
