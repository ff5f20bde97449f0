//! The merged settings of all sources; a later setting replaces an earlier one.
//!
//! Every setting is deserialized alone before it is merged, so that one bad value does not hide the next. Its location
//! is stored, so that a later check can report it.

use std::collections::{BTreeMap, BTreeSet};

use derived_stats::annotation::nearest;
use serde::Deserialize;
use toml::{Table, Value};

use super::load::HiddenKey;
use super::problem::{Problem, SourceLocation};
use super::{keys, ranges};
use crate::config::Config;

/// The settings merged so far, and the problems found.
#[derive(Debug, Default)]
pub(super) struct Layers {
    table: Table,
    locations: BTreeMap<String, SourceLocation>,
    /// The location of each line of a text that several settings of one source make.
    lines: BTreeMap<String, Vec<SourceLocation>>,
    /// The keys with a value that was not accepted.
    refused: BTreeSet<String>,
    /// In the order found.
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// Sets the existing key `path` to `value`.
    pub(super) fn set(&mut self, path: &[&str], value: Value, location: SourceLocation) {
        match try_alone(path, &value) {
            Ok(()) => self.merge(path, value, location),
            Err(error) => {
                self.add_problem(location, format!("`{}`: {error}", path.join(".")));
                self.refused.insert(path.join("."));
            }
        }
    }

    /// Whether the key has a value that was not accepted, so that what lacks it is no further problem.
    pub(super) fn is_refused(&self, key: &str) -> bool {
        self.refused.contains(key)
    }

    /// Sets `key`, a dotted path, to the value of `text`. The first of these forms that the key accepts counts: a TOML
    /// list, the text itself as a string, another TOML value, a list with the text as its only element. So values on
    /// the command line and in the environment need no quotes.
    pub(super) fn set_text(&mut self, key: &str, text: &str, location: SourceLocation) {
        let path: Vec<_> = key.split('.').collect();
        if keys::is_section(&path) {
            return self.add_problem(location, format!("`{key}` is a section; name one of its keys"));
        }
        if !exists(&path) {
            return self.add_problem(location, unknown(&path));
        }
        let plain = Value::String(text.to_owned());
        let list = Value::Array(vec![plain.clone()]);
        let parsed =
            toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
        // A key that accepts a list or a string would also accept `["a", "b"]` as one string, so lists come first.
        let parsed_list = parsed.as_ref().filter(|value| value.is_array());
        let fitting = [parsed_list, Some(&plain), parsed.as_ref(), Some(&list)].into_iter().flatten();
        let fitting = fitting.into_iter().find(|value| try_alone(&path, value).is_ok()).cloned();
        let value = fitting.or(parsed).unwrap_or(plain);
        self.set(&path, value, location);
    }

    /// Sets `path` to the texts of all settings of one source with a separator between them; without a setting, nothing
    /// changes. Behind a line break, each has its own [`line_location`](Self::line_location).
    pub(super) fn set_joined(&mut self, path: &[&str], separator: &str, settings: &[(&str, SourceLocation)]) {
        let Some((_, first)) = settings.first() else { return };
        let texts: Vec<_> = settings.iter().map(|(text, _)| *text).collect();
        self.set(path, Value::String(texts.join(separator)), first.clone());
        self.lines.insert(path.join("."), settings.iter().map(|(_, location)| location.clone()).collect());
    }

    /// Adds a problem with the setting at `location`.
    pub(super) fn add_problem(&mut self, location: SourceLocation, message: impl Into<String>) {
        self.problems.push(Problem::new(location, message));
    }

    /// The location of the newest setting of `key`.
    pub(super) fn location(&self, key: &str) -> SourceLocation {
        self.locations.get(key).cloned().unwrap_or(SourceLocation::Default)
    }

    /// The location of a line, from 1, of the newest setting of `key`.
    pub(super) fn line_location(&self, key: &str, line: usize) -> SourceLocation {
        let known = self.lines.get(key).and_then(|lines| lines.get(line.checked_sub(1)?));
        known.cloned().unwrap_or_else(|| self.location(key))
    }

    /// Stores the location of an element of a list of tables, or of a key of one.
    pub(super) fn locate_element(&mut self, list: &str, index: usize, key: Option<&str>, location: SourceLocation) {
        self.locations.insert(element(list, index, key), location);
    }

    /// The location of a key of an element of a list of tables, else that of the element, or of the list.
    pub(super) fn element_location(&self, list: &str, index: usize, key: &str) -> SourceLocation {
        let known = [element(list, index, Some(key)), element(list, index, None)];
        let known = known.iter().find_map(|place| self.locations.get(place));
        known.cloned().unwrap_or_else(|| self.location(list))
    }

    /// The value of each key that is set.
    pub(super) fn values(&self) -> BTreeMap<String, Value> {
        let keys = self.locations.keys().filter(|key| !key.contains('['));
        keys.filter_map(|key| Some((key.clone(), self.value(key)?.clone()))).collect()
    }

    /// The keys among these that have another value now, each with where it is from.
    pub(super) fn hidden(&self, before: &BTreeMap<String, Value>) -> Vec<HiddenKey> {
        let others = before.iter().filter(|(key, value)| self.value(key) != Some(*value));
        others.map(|(key, _)| HiddenKey { key: key.clone(), by: self.location(key).to_string() }).collect()
    }

    fn value(&self, key: &str) -> Option<&Value> {
        let (sections, last) = key.rsplit_once('.').map_or(("", key), |(sections, last)| (sections, last));
        let sections = sections.split('.').filter(|section| !section.is_empty());
        let table = sections.into_iter().try_fold(&self.table, |table, section| table.get(section)?.as_table())?;
        table.get(last)
    }

    /// The settings of all sources.
    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// The configuration of all valid settings.
    pub(super) fn config(&mut self) -> Config {
        Config::deserialize(Value::Table(self.table.clone())).unwrap_or_else(|error| {
            // Each setting deserialized alone and no type combines two, so this cannot happen; a problem is safer than
            // a panic.
            self.add_problem(SourceLocation::Default, one_line(&error));
            Config::default()
        })
    }

    fn merge(&mut self, path: &[&str], value: Value, location: SourceLocation) {
        let Some((last, sections)) = path.split_last() else { return };
        let mut table = &mut self.table;
        for section in sections {
            let entry = table.entry((*section).to_owned()).or_insert_with(|| Value::Table(Table::new()));
            let Value::Table(inner) = entry else { return };
            table = inner;
        }
        table.insert((*last).to_owned(), value);
        let key = path.join(".");
        self.lines.remove(&key);
        // The elements of an earlier source, if it is a list of tables.
        self.locations.retain(|place, _| !place.strip_prefix(&key).is_some_and(|rest| rest.starts_with('[')));
        self.locations.insert(key, location);
    }
}

fn element(list: &str, index: usize, key: Option<&str>) -> String {
    key.map_or_else(|| format!("{list}[{index}]"), |key| format!("{list}[{index}].{key}"))
}

/// Whether the key or section exists.
pub(super) fn exists(path: &[&str]) -> bool {
    let Some((last, sections)) = path.split_last() else { return true };
    keys::fields(sections).is_some_and(|fields| fields.contains(last))
}

/// The message for a key that does not exist.
pub(super) fn unknown(path: &[&str]) -> String {
    let key = path.join(".");
    match sibling(path).or_else(|| elsewhere(path)) {
        Some(meant) => format!("unknown key `{key}`; did you mean `{meant}`?"),
        None => format!("unknown key `{key}`; the keys are listed in derived-statsd.example.toml"),
    }
}

/// The most similar key of the same section, or those whose first word is the most similar, as `refresh_interval` of
/// `refresh`.
fn sibling(path: &[&str]) -> Option<String> {
    let (leaf, section) = path.split_last()?;
    let fields = keys::fields(section)?;
    let full = |field: &str| [section, &[field]].concat().join(".");
    if let Some(near) = nearest(leaf, fields.iter().copied()) {
        return Some(full(near));
    }
    let first_words = fields.iter().filter_map(|field| Some(field.split_once('_')?.0));
    let word = nearest(leaf, first_words)?;
    let begin = fields.iter().filter(|field| field.split_once('_').is_some_and(|(first, _)| first == word));
    Some(begin.map(|field| full(field)).collect::<Vec<_>>().join("` or `"))
}

/// The best match in other sections: the keys of the same name, or else the most similar path.
fn elsewhere(path: &[&str]) -> Option<String> {
    let known = keys::all();
    let same: Vec<_> = known.iter().filter(|key| key.rsplit('.').next() == path.last().copied()).cloned().collect();
    if same.is_empty() {
        return nearest(&path.join("."), known.iter().map(String::as_str)).map(str::to_owned);
    }
    Some(same.join("` or `"))
}

/// Checks that the key accepts the value, with all other keys at their defaults.
fn try_alone(path: &[&str], value: &Value) -> Result<(), String> {
    let nested = path
        .iter()
        .rev()
        .fold(value.clone(), |inner, name| Value::Table(Table::from_iter([((*name).to_owned(), inner)])));
    Config::deserialize(nested).map(drop).map_err(|error| {
        let message = one_line(&error);
        // The range of the setting in place of the name of Rust's type.
        let found = ["usize", "u64", "u32", "u16"].iter().find_map(|name| message.strip_suffix(name));
        match (found, ranges::expected(&path.join("."))) {
            (Some(found), Some(expected)) => format!("{found}{expected}"),
            _ => message,
        }
    })
}

/// The message on one line.
pub(super) fn one_line(error: &toml::de::Error) -> String {
    error.message().trim_end().replace('\n', "; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, text: &str) -> Layers {
        let mut layers = Layers::default();
        layers.set_text(key, text, SourceLocation::Flag("--set"));
        layers
    }

    #[test]
    fn a_text_becomes_a_value_of_the_type_of_its_key() {
        assert_eq!(set("aggregation.cluster_id", "12").config().aggregation.cluster_id, "12");
        assert_eq!(set("aggregation.period", "5").config().aggregation.period, Some(5));
        assert_eq!(set("http.listen", "0.0.0.0:80").config().http.listen.unwrap().port(), 80);
        assert_eq!(set("aggregation.schema_files", "a b.sandesh").config().aggregation.schema_files.len(), 1);
        assert_eq!(set("aggregation.schema_files", r#"["a", "b"]"#).config().aggregation.schema_files.len(), 2);
        assert_eq!(set("aggregation.cluster_id", "[]").config().aggregation.cluster_id, "[]");
    }

    #[test]
    fn a_key_that_accepts_a_list_or_a_text_accepts_both_as_text() {
        for text in [r#"["a:1", "b:2"]"#, "a:1 b:2", r#"['a:1, b:2']"#] {
            let expected: &[&str] = if text.starts_with("['") { &["a:1, b:2"] } else { &["a:1", "b:2"] };
            assert_eq!(set("opserver.servers", text).config().opserver.servers, expected, "{text}");
        }
        assert_eq!(set("opserver.servers", "[]").config().opserver.servers, [""; 0]);
    }

    #[test]
    fn a_problem_states_key_and_remedy() {
        let cases = [
            ("http.lisen", "x", "unknown key `http.lisen`; did you mean `http.listen`?"),
            ("listen", "x", "unknown key `listen`; did you mean `contiv.listen` or `http.listen`?"),
            ("log.listen", "x", "unknown key `log.listen`; did you mean `contiv.listen` or `http.listen`?"),
            ("htpp", "x", "unknown key `htpp`; did you mean `http`?"),
            ("sinks.fil", "x", "unknown key `sinks.fil`; did you mean `sinks.file`?"),
            ("path", "x", "unknown key `path`; did you mean `sinks.file.path`?"),
            (
                "sinks.alertmanager.refresh",
                "1m",
                "unknown key `sinks.alertmanager.refresh`; did you mean `sinks.alertmanager.refresh_interval`?",
            ),
            (
                "sinks.alertmanager.refrsh",
                "1m",
                "unknown key `sinks.alertmanager.refrsh`; did you mean `sinks.alertmanager.refresh_interval`?",
            ),
            ("http", "x", "`http` is a section; name one of its keys"),
            ("zzzzz", "x", "unknown key `zzzzz`; the keys are listed in derived-statsd.example.toml"),
            (
                "http.max_body_bytes",
                "-1",
                "`http.max_body_bytes`: invalid value: integer `-1`, expected a whole number, 1 to 1073741824",
            ),
            (
                "http.listen",
                "localhost",
                "`http.listen`: expected a numeric address and port such as \"127.0.0.1:8081\" or \"[::1]:8081\", or \
                 \"none\", found \"localhost\"",
            ),
        ];
        for (key, text, message) in cases {
            let found: Vec<_> = set(key, text).problems.iter().map(ToString::to_string).collect();
            assert_eq!(found, [format!("flag --set: {message}")], "{key}");
        }
    }
}
