//! One alarm of an object.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::TypeRules;
use crate::compile::{Compiled, Slots};
use crate::life::Life;
use crate::row::{Alarm, State};
use crate::saved::SavedAlarm;

/// One alarm of an object.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub type_index: usize,
    pub rule_index: usize,
    pub rule: Arc<str>,
    pub uve: Arc<str>,
    /// The attribute of the first comparison of the rule.
    pub attribute: Option<Arc<str>>,
    /// The other proxy UVEs that the rule compares.
    pub other_uves: Arc<[String]>,
    pub severity: u8,
    pub life: Life,
    pub state: State,
    pub text: Arc<str>,
    pub matches: Arc<str>,
    /// Whether the object is deleted.
    pub is_absent: bool,
}

impl Entry {
    /// The alarm as it was stored, without a rule.
    pub(super) fn restored(saved: &SavedAlarm) -> Self {
        Self {
            type_index: usize::MAX,
            rule_index: usize::MAX,
            rule: saved.rule.as_str().into(),
            uve: saved.uve.as_str().into(),
            attribute: None,
            other_uves: Arc::default(),
            severity: saved.severity,
            life: saved.life,
            state: if saved.life.fired.is_some() { State::Firing } else { State::Pending },
            text: saved.text.as_str().into(),
            matches: saved.matches.as_str().into(),
            is_absent: saved.is_absent,
        }
    }

    /// The type and the rule.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.type_index, self.rule_index)
    }

    pub(super) fn saved(&self) -> SavedAlarm {
        SavedAlarm {
            rule: self.rule.to_string(),
            uve: self.uve.to_string(),
            severity: self.severity,
            life: self.life,
            text: self.text.to_string(),
            matches: self.matches.to_string(),
            is_absent: self.is_absent,
        }
    }
}

impl Entry {
    pub(super) fn new((type_index, rule_index): (usize, usize), compiled: &Compiled, of_types: &TypeRules) -> Self {
        Self {
            type_index,
            rule_index,
            rule: compiled.rule.name.as_str().into(),
            uve: of_types.uve.as_str().into(),
            attribute: compiled.rule.attribute().map(Arc::from),
            other_uves: Arc::clone(&of_types.other_uves),
            severity: compiled.rule.severity.code(),
            life: Life { since: 0, fired: None, count: 0 },
            state: State::Pending,
            text: Arc::from(""),
            matches: Arc::from("{}"),
            is_absent: false,
        }
    }

    /// Takes the text and the values of this window.
    pub(super) fn show(&mut self, compiled: &Compiled, key: &str, slots: &Slots) {
        self.text = compiled.text(key, slots).into();
        let mut matches = Vec::new();
        compiled.write_matches(&self.uve, slots, &mut matches);
        self.matches = String::from_utf8_lossy(&matches).into();
    }

    pub(super) fn shown(&self) -> Alarm {
        let matches = RawValue::from_string(self.matches.to_string());
        Alarm {
            rule: self.rule.to_string(),
            severity: self.severity,
            timestamp: self.life.fired.unwrap_or(self.life.since),
            since: self.life.since,
            resolved: None,
            reason: None,
            token: String::new(),
            ack: false,
            description: self.text.to_string(),
            uve: self.uve.to_string(),
            attribute: self.attribute.as_deref().map(str::to_owned),
            other_uves: self.other_uves.to_vec(),
            state: self.state,
            alarm_rules: matches.unwrap_or_else(|_| RawValue::NULL.to_owned()),
        }
    }

    pub(super) fn ended(&self, end: u64, reason: Option<&str>) -> Alarm {
        let state = if self.life.fired.is_some() { State::Resolved } else { State::Cancelled };
        Alarm { resolved: Some(end), reason: reason.map(str::to_owned), state, ..self.shown() }
    }
}
