//! What differs between two configurations, in words.

use std::collections::{BTreeMap, BTreeSet};

/// How many names each part of the text has.
const MAX_NAMED: usize = 4;

/// The longest text of one configuration about a type.
const MAX_SETTINGS: usize = 160;

/// What the group computes and what this daemon computes, by type.
type Types = BTreeMap<String, String>;

/// Describes the difference: the types that only one has, and the settings of those that both have. The detectors of a
/// stream follow from its types; they are named only if nothing else differs.
pub(super) fn describe(of_group: &Types, own: &Types) -> String {
    let only = |of: &Types, other: &Types| -> Vec<String> {
        of.keys().filter(|name| !other.contains_key(*name)).cloned().collect()
    };
    let changed = of_group.iter().filter_map(|(name, theirs)| Some((name, theirs, own.get(name)?)));
    let changed = changed.filter(|(_, theirs, ours)| theirs != ours).map(|(name, theirs, ours)| {
        format!("{name} has {} in the group and {} here", settings(theirs, ours), settings(ours, theirs))
    });
    let parts = [
        ("only the group has ", only(of_group, own)),
        ("only this daemon has ", only(own, of_group)),
        ("", changed.collect()),
    ];
    let is_detectors = |name: &String| name.starts_with("detectors of ");
    let is_only_detectors = parts.iter().flat_map(|(_, names)| names).all(is_detectors);
    let named = parts.into_iter().filter_map(|(text, mut names)| {
        names.retain(|name| is_only_detectors || !is_detectors(name));
        (!names.is_empty()).then(|| format!("{text}{}", list(&names)))
    });
    named.collect::<Vec<_>>().join("; ")
}

/// The settings that `of` has and `other` has not.
fn settings(of: &str, other: &str) -> String {
    let others: BTreeSet<_> = other.split("; ").collect();
    let own: Vec<_> = of.split("; ").filter(|it| !it.is_empty() && !others.contains(it)).collect();
    match own.join("; ") {
        text if text.is_empty() => "none of that".to_owned(),
        text if text.chars().count() > MAX_SETTINGS => {
            format!("`{}…`", text.chars().take(MAX_SETTINGS).collect::<String>())
        }
        text => format!("`{text}`"),
    }
}

fn list(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(MAX_NAMED);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(types: &[(&str, &str)]) -> Types {
        types.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn what_only_one_has_and_what_changed_is_named() {
        let group = types(&[("A-S-a", "period=60s; value=DSSum"), ("B-S-a", "x"), ("detectors of S-a", "d")]);
        for (own, expected) in [
            (vec![("A-S-a", "period=60s; value=DSSum"), ("detectors of S-a", "d")], "only the group has B-S-a"),
            (
                vec![("A-S-a", "period=10s; value=DSSum"), ("B-S-a", "x"), ("C-S-a", "y"), ("detectors of S-a", "e")],
                "only this daemon has C-S-a; A-S-a has `period=60s` in the group and `period=10s` here",
            ),
            (
                vec![("A-S-a", "period=60s; value=DSSum; more"), ("B-S-a", "x"), ("detectors of S-a", "d")],
                "A-S-a has none of that in the group and `more` here",
            ),
            (
                vec![("A-S-a", "period=60s; value=DSSum"), ("B-S-a", "x"), ("detectors of S-a", "e")],
                "detectors of S-a has `d` in the group and `e` here",
            ),
        ] {
            assert_eq!(describe(&group, &types(&own)), expected);
        }
    }

    #[test]
    fn the_text_is_bounded() {
        let many: Types = (0..1000).map(|number| (format!("T{number:04}-S-a"), "x".repeat(10_000))).collect();
        let none = types(&[("A", "")]);
        let text = describe(&many, &none);
        assert!(text.starts_with("only the group has T0000-S-a, T0001-S-a, T0002-S-a, T0003-S-a and 996 more; only"));
        let other: Types = many.keys().map(|name| (name.clone(), "y".repeat(10_000))).collect();
        assert!(describe(&many, &other).len() < 3_000);
    }
}
