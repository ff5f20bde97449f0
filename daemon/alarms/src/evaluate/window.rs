//! The evaluation of the rules with the results of one window.

use proxy_uve::Subject;

use super::{Alarms, Entry, Held, MAX_ALARMS, MAX_ALARMS_PER_OBJECT, TypeRules};
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

/// What is known about the window of an object, beside its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub end: u64,
    /// The object has expired: in one of the types, if the rule is over several.
    pub is_deleted: bool,
    pub is_partial: bool,
    pub sampled: Option<bool>,
}

impl Window {
    pub(super) fn of(subject: &Subject<'_>) -> Self {
        let Subject { end, deleted, partial, sampled, .. } = *subject;
        Self { end, is_deleted: deleted, is_partial: partial, sampled }
    }
}

impl TypeRules {
    /// Proxy types without rules.
    pub(super) fn new(uve: &str, others: &[&str]) -> Self {
        Self {
            uve: uve.to_owned(),
            other_uves: others.iter().map(|other| (*other).to_owned()).collect(),
            held: Held::default(),
            rules: Vec::new(),
            by_severity: Vec::new(),
            slots: Slots::default(),
        }
    }

    /// Whether the rules are over exactly these proxy UVEs, of which the first is that of their first comparisons.
    pub(super) fn is_over(&self, uves: &[&str]) -> bool {
        let Some((first, others)) = uves.split_first() else { return false };
        *first == self.uve
            && others.iter().all(|other| self.other_uves.iter().any(|known| known == other))
            && others.len() == self.other_uves.len()
    }

    /// Orders the rules that it has.
    pub(super) fn sort(&mut self) {
        self.by_severity = (0..self.rules.len()).collect();
        self.by_severity.sort_by_key(|index| self.rules.get(*index).map(|compiled| compiled.rule.severity));
    }

    /// The truth of a rule for the object whose results came.
    fn truth(&self, compiled: &Compiled, window: Window) -> Truth {
        let is_gone = window.is_deleted && !self.is_over_several();
        match compiled.rule.condition {
            // A window that is partial because of what came before it has had its samples or not.
            Condition::NoData(_) => {
                Truth { raises: window.sampled.map(|is_sampled| !is_sampled), clears: window.sampled }
            }
            // Time that nobody observed counts neither way.
            Condition::Terms(_) if is_gone || window.is_partial => Truth { raises: None, clears: None },
            Condition::Terms(_) => compiled.truth(&self.slots),
        }
    }

    /// Whether an alarm of an object that has expired stays: the one that it has no data, and one over several types that
    /// the others alone make true.
    fn outlives(&self, compiled: &Compiled, life: Life, truth: Truth) -> bool {
        match compiled.rule.condition {
            Condition::NoData(_) => life.fired.is_some(),
            Condition::Terms(_) => self.is_over_several() && truth.raises == Some(true) && self.slots.has_values(),
        }
    }
}

impl Alarms {
    /// Evaluates all rules of one place in `types` with the values that are there.
    pub(super) fn evaluate(&mut self, index: usize, key: &str, window: Window) {
        let Some(of_types) = self.types.get_mut(index) else { return };
        of_types.slots.set_end(window.end);
        for position in 0..of_types.by_severity.len() {
            let rule = self.types.get(index).and_then(|of_types| of_types.by_severity.get(position));
            if let Some(step) = rule.copied().and_then(|rule_index| self.step(key, window, (index, rule_index))) {
                self.take(key, window, step);
            }
        }
    }

    /// The step of one alarm; `None` if it is inactive before and after.
    fn step(&self, key: &str, window: Window, place: (usize, usize)) -> Option<Step> {
        let of_types = self.types.get(place.0)?;
        let compiled = of_types.rules.get(place.1).filter(|compiled| compiled.rule.is_for(key))?;
        let truth = of_types.truth(compiled, window);
        let before = self.objects.get(key, place).cloned();
        if before.is_none() && truth.raises != Some(true) {
            return None;
        }
        if window.is_partial && truth == (Truth { raises: None, clears: None }) {
            return None;
        }
        let life = before.as_ref().map(|entry| entry.life);
        let (after, change) = step(life, truth, compiled.periods(), window.end);
        let kept = after.filter(|life| !window.is_deleted || of_types.outlives(compiled, *life, truth));
        let reason = (kept.is_none() && after.is_some()).then_some("the object has expired");
        Some(Step { place, before, after: kept, change, reason })
    }

    fn take(&mut self, key: &str, window: Window, step: Step) {
        let Self { types, objects, current, limited, .. } = self;
        let Step { place, before, after, change, reason } = step;
        let Some(life) = after else {
            if let Some(current) = current {
                current.ended.extend(before.map(|entry| entry.ended(window.end, reason)));
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
            if let Some(current) = current.as_mut().filter(|_| displaced.life.since != window.end) {
                current.ended.push(displaced.ended(window.end, Some(DISPLACED)));
            }
        }
        // An object that has expired in one of several types is still there in another, or comes no more.
        let is_absent = window.is_deleted && !of_type.is_over_several();
        let mut entry = before.unwrap_or_else(|| Entry::new(place, compiled, of_type));
        (entry.life, entry.is_absent) = (life, is_absent);
        entry.state = if life.fired.is_some() { State::Firing } else { State::Pending };
        if matches!(change, Change::Began | Change::Fired) {
            entry.show(compiled, key, &of_type.slots);
            current.iter_mut().for_each(|current| current.is_due = true);
        }
        objects.set(key, place, entry);
    }
}
