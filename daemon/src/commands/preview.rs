//! What a change of the configuration does to the states, in words: kept, reset, added, removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use daemon_alarms::Rules;
use proxy_uve::Plan;
use serde_json::{Value, json};

use crate::config::{ChangedKey, Effective, is_changed_while_running};

/// What each proxy type computes on its stream, by the name `Type-Struct-attribute`.
pub(super) type Types = BTreeMap<String, String>;

/// What decides about the alarms of each rule, by its name.
pub(super) type Alarms = BTreeMap<String, String>;

/// A configuration as it is compared.
#[derive(Clone, Copy)]
pub(super) struct Side<'s> {
    pub effective: &'s Effective,
    pub types: &'s Types,
    /// `None` if it is not known.
    pub alarms: Option<&'s Alarms>,
}

/// The settings of what a proxy type computes are separated by it.
const SEPARATOR: &str = "; ";

/// What a change of the configuration does.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Preview {
    pub keys: Vec<ChangedKey>,
    /// The types whose states continue, with what differs all the same.
    pub kept: Vec<(String, Option<String>)>,
    /// The types whose states start anew, with the reason.
    pub reset: Vec<(String, String)>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub alarms: ChangedAlarms,
}

/// The rules of alarms that differ.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ChangedAlarms {
    pub added: Vec<String>,
    /// Each with what differs.
    pub changed: Vec<(String, String)>,
    pub removed: Vec<String>,
}

/// What the plans compute. The detectors follow from the types.
pub(super) fn types<'p>(plans: impl Iterator<Item = &'p Plan>) -> Types {
    plans.flat_map(Plan::identities).filter(|(name, _)| !name.starts_with("detectors of ")).collect()
}

/// What decides about the alarms of each rule.
pub(super) fn alarms(rules: &Rules) -> Alarms {
    rules.iter().map(|rule| (rule.name.clone(), rule.identity().1)).collect()
}

/// Why a group whose version is `before` refuses a configuration with the version `after`, in which streams or alarms are
/// others or not; `None` if it does not.
pub(super) fn refused_version(before: u64, after: u64, are_others: bool) -> Option<String> {
    (after < before || are_others && after == before).then(|| {
        format!(
            "kafka.configuration_version is {after}, and that in force is {before}: the streams and alarms of a group \
             change with a higher version only; set {}, the same at all daemons of the group",
            before.saturating_add(1)
        )
    })
}

impl ChangedAlarms {
    fn new(before: &Alarms, after: &Alarms) -> Self {
        let only = |of: &Alarms, other: &Alarms| of.keys().filter(|name| !other.contains_key(*name)).cloned().collect();
        let changed = before.iter().filter_map(|(name, old)| {
            let new = after.get(name).filter(|new| *new != old)?;
            Some((name.clone(), difference(old, new)))
        });
        Self { added: only(after, before), changed: changed.collect(), removed: only(before, after) }
    }
}

impl Preview {
    pub(super) fn new(before: Side<'_>, after: Side<'_>) -> Self {
        let alarms = before.alarms.zip(after.alarms).map(|(before, after)| ChangedAlarms::new(before, after));
        let keys = before.effective.changes_to(after.effective);
        let mut preview = Self { keys, alarms: alarms.unwrap_or_default(), ..Self::default() };
        for (name, old) in before.types {
            match after.types.get(name) {
                None => preview.removed.push(name.clone()),
                Some(new) if old == new => preview.kept.push((name.clone(), None)),
                Some(new) if states(old) == states(new) => {
                    preview.kept.push((name.clone(), Some(difference(old, new))))
                }
                Some(new) => preview.reset.push((name.clone(), difference(old, new))),
            }
        }
        preview.added = after.types.keys().filter(|name| !before.types.contains_key(*name)).cloned().collect();
        preview
    }

    /// Whether a key differs, or what is computed.
    pub(super) fn is_change(&self) -> bool {
        let has_notes = self.kept.iter().any(|(_, note)| note.is_some());
        !(self.keys.is_empty() && self.reset.is_empty() && self.added.is_empty() && self.removed.is_empty())
            || has_notes
            || self.alarms != ChangedAlarms::default()
    }

    /// Whether the stream of a type is configured after the change.
    fn has_stream_of(&self, name: &str) -> bool {
        // No name of a type has a hyphen.
        let stream = |name: &str| name.split_once('-').map(|(_, stream)| stream.to_owned());
        let kept = self.kept.iter().map(|(name, _)| name);
        let after = kept.chain(self.reset.iter().map(|(name, _)| name)).chain(&self.added);
        let wanted = stream(name);
        after.map(|name| stream(name)).any(|found| found == wanted)
    }

    /// Whether streams or alarms differ, as far as the settings show it.
    fn is_of_group(&self) -> bool {
        let has_key = self.keys.iter().any(|changed| changed.key == "alarms");
        let has_notes = self.kept.iter().any(|(_, note)| note.is_some());
        let are_others = !(self.reset.is_empty() && self.added.is_empty() && self.removed.is_empty());
        has_key || has_notes || are_others || self.alarms != ChangedAlarms::default()
    }

    /// Why the daemons of a group on Kafka refuse this change from `before` to `after`; `None` if they do not.
    pub(super) fn refusal_of_group(&self, before: &Effective, after: &Effective) -> Option<String> {
        let version = |of: &Effective| of.number("kafka.configuration_version").unwrap_or_default();
        let is_of_group = [before, after].iter().all(|of| of.text("log.kind") == Some("kafka"));
        if is_of_group { refused_version(version(before), version(after), self.is_of_group()) } else { None }
    }

    /// The changed keys that a running daemon does not take over.
    pub(super) fn restarts(&self) -> impl Iterator<Item = &ChangedKey> {
        self.keys.iter().filter(|changed| !is_changed_while_running(&changed.key))
    }

    /// The answer of the API.
    pub(super) fn to_json(&self) -> Value {
        let key = |it: &ChangedKey| json!({ "key": it.key, "before": it.before, "after": it.after });
        let kept = |(name, note): &(String, Option<String>)| json!({ "name": name, "note": note });
        let reset = |(name, why): &(String, String)| json!({ "name": name, "why": why });
        json!({
            "changed": self.is_change(),
            "keys": self.keys.iter().map(key).collect::<Vec<_>>(),
            "kept": self.kept.iter().map(kept).collect::<Vec<_>>(),
            "reset": self.reset.iter().map(reset).collect::<Vec<_>>(),
            "added": self.added,
            "removed": self.removed,
            "alarms": {
                "added": self.alarms.added,
                "changed": self.alarms.changed.iter().map(reset).collect::<Vec<_>>(),
                "removed": self.alarms.removed,
            },
        })
    }
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for changed in &self.keys {
            let note = if is_changed_while_running(&changed.key) { "" } else { " (needs a restart)" };
            writeln!(f, "setting {changed}{note}")?;
        }
        for (name, note) in &self.kept {
            let note = note.as_ref().map(|note| format!(", with {note}")).unwrap_or_default();
            writeln!(f, "kept    {name}: its states continue{note}")?;
        }
        for (name, why) in &self.reset {
            writeln!(f, "reset   {name}: its states start anew, as it has {why}")?;
        }
        for name in &self.added {
            writeln!(f, "added   {name}: its windows that have begun are partial")?;
        }
        for name in &self.removed {
            let states =
                if self.has_stream_of(name) { "its states are dropped" } else { "its states wait for the stream" };
            writeln!(f, "removed {name}: {states}, and its open windows give no results")?;
        }
        for name in &self.alarms.added {
            writeln!(f, "added   alarm {name:?}: it counts from the next window on")?;
        }
        for (name, why) in &self.alarms.changed {
            writeln!(
                f,
                "changed alarm {name:?}: what fires goes on, unless the rule is not for the object or its first proxy \
                 type any more; it has {why}"
            )?;
        }
        for name in &self.alarms.removed {
            writeln!(f, "removed alarm {name:?}: what fires ends")?;
        }
        if !self.is_change() {
            writeln!(f, "nothing changes")?;
        }
        Ok(())
    }
}

/// What the names of states are made of: everything but the names of results, and the timeout.
fn states(settings: &str) -> BTreeSet<String> {
    let without_name = |setting: &str| match setting.split_once('=') {
        Some((name, rest)) if name != "period" => rest.to_owned(),
        _ => setting.split(' ').filter(|word| !word.starts_with("timeout=")).collect::<Vec<_>>().join(" "),
    };
    settings.split(SEPARATOR).map(without_name).collect()
}

/// The settings that only one of both has.
fn difference(before: &str, after: &str) -> String {
    let only = |of: &str, other: &str| {
        let others: BTreeSet<_> = other.split(SEPARATOR).collect();
        let own: Vec<_> = of.split(SEPARATOR).filter(|setting| !others.contains(setting)).collect();
        if own.is_empty() { "nothing".to_owned() } else { format!("`{}`", own.join(SEPARATOR)) }
    };
    format!("{} instead of {}", only(after, before), only(before, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(texts: &[(&str, &str)]) -> Types {
        texts.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_preview_names_what_is_kept_reset_added_and_removed() {
        let before = types(&[
            ("A-S-a", "period=60s timeout=1 silence=once; value=DSSum u64"),
            ("B-S-a", "period=60s timeout=1 silence=once; value=DSSum u64"),
            ("C-S-a", "period=60s timeout=1 silence=once; value=DSSum u64"),
            ("D-S-a", "period=60s timeout=1 silence=once; value=DSSum u64"),
        ]);
        let after = types(&[
            ("A-S-a", "period=60s timeout=1 silence=once; value=DSSum u64"),
            ("B-S-a", "period=60s timeout=3 silence=once; sum=DSSum u64"),
            ("C-S-a", "period=120s timeout=1 silence=once; value=DSSum u64"),
            ("E-S-a", "period=60s timeout=1 silence=once; value=DSSum u64"),
        ]);
        let none = Effective::default();
        let side = |types| Side { effective: &none, types, alarms: None };
        let text = Preview::new(side(&before), side(&after)).to_string();
        let expected = "\
kept    A-S-a: its states continue
kept    B-S-a: its states continue, with `period=60s timeout=3 silence=once; sum=DSSum u64` instead of \
`period=60s timeout=1 silence=once; value=DSSum u64`
reset   C-S-a: its states start anew, as it has `period=120s timeout=1 silence=once` instead of \
`period=60s timeout=1 silence=once`
added   E-S-a: its windows that have begun are partial
removed D-S-a: its states are dropped, and its open windows give no results
";
        assert_eq!(text, expected);
        // Of a stream that is gone as a whole nothing restores, and so nothing drops, the states.
        let others = types(&[("A-T-b", "period=60s timeout=1 silence=once; value=DSSum u64")]);
        let text = Preview::new(side(&before), side(&others)).to_string();
        assert_eq!(text.matches("its states wait for the stream").count(), 4, "{text}");
        assert_eq!(Preview::new(side(&before), side(&before)).to_string().lines().last(), Some("nothing changes"));
    }

    #[test]
    fn a_group_refuses_other_streams_without_a_higher_version() {
        let effective = |kind: &str, version: u64| {
            let settings = json!({ "log": { "kind": kind }, "kafka": { "configuration_version": version } });
            Effective::from_shown(&settings).unwrap_or_default()
        };
        let (one, other) = (types(&[("A-S-a", "value=DSSum u64")]), types(&[("B-S-a", "value=DSSum u64")]));
        let refusal = |kind: &str, [before, after]: [u64; 2], next: &Types| {
            let (before, after) = (effective(kind, before), effective(kind, after));
            let [old, new] =
                [(&before, &one), (&after, next)].map(|(effective, types)| Side { effective, types, alarms: None });
            Preview::new(old, new).refusal_of_group(&before, &after)
        };
        let reason = refusal("kafka", [3, 3], &other).unwrap_or_default();
        assert!(reason.starts_with("kafka.configuration_version is 3, and that in force is 3"), "{reason}");
        assert!(reason.contains("set 4, the same at all daemons"), "{reason}");
        assert!(refusal("kafka", [3, 2], &one).is_some(), "an older configuration");
        assert_eq!(refusal("kafka", [3, 3], &one), None, "the same");
        assert_eq!(refusal("kafka", [3, 4], &other), None, "a newer one");
        assert_eq!(refusal("embedded", [0, 0], &other), None, "no group");
    }

    #[test]
    fn a_preview_names_the_rules_of_alarms_and_what_becomes_of_their_alarms() {
        let rules = |texts: &[&str]| {
            let rule = |text: &&str| daemon_alarms::text::rule(text).unwrap_or_else(|error| panic!("{error}"));
            alarms(&Rules::new(texts.iter().map(rule).collect()))
        };
        let before =
            rules(&["alarm \"a\" when A.value > 1", "alarm \"b\" when A.value > 1", "alarm \"c\" when A.x > 1"]);
        let after =
            rules(&["alarm \"b\" when A.value > 2 for 3", "alarm \"c\" when A.x > 1", "alarm \"d\" when A.x > 1"]);
        let (none, types) = (Effective::default(), Types::new());
        let side = |alarms| Side { effective: &none, types: &types, alarms };
        let preview = Preview::new(side(Some(&before)), side(Some(&after)));
        let expected = "\
added   alarm \"d\": it counts from the next window on
changed alarm \"b\": what fires goes on, unless the rule is not for the object or its first proxy type any more; it has \
`when=A.value > 2; for=3` instead of `when=A.value > 1; for=1`
removed alarm \"a\": what fires ends
";
        assert_eq!(preview.to_string(), expected);
        assert!(preview.is_change());
        assert_eq!(preview.to_json()["alarms"]["removed"], json!(["a"]));
        // An earlier build does not show them.
        assert!(!Preview::new(side(None), side(Some(&after))).is_change());
    }
}
