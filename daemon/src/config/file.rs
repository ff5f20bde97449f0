//! The source for the daemon's TOML file. It reports every unknown key, bad value and syntax error, not only the first.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::layers::{Layers, exists, unknown};
use super::problem::SourceLocation;
use super::{keys, ranges, tables};

/// The message of the parser about a key or section that comes again.
const DUPLICATE: &str = "duplicate key";

/// Merges the settings of a file's text into `layers`; `false` if the text is not TOML.
pub(super) fn read(path: &Path, text: &str, layers: &mut Layers) -> bool {
    let (table, errors) = DeTable::parse_recoverable(text);
    let location = |offset| location(path, text, offset);
    if !errors.is_empty() {
        for error in errors {
            let span = error.span().unwrap_or_default();
            let at = if error.message() == DUPLICATE { of_duplicate(text.get(span.clone())) } else { String::new() };
            let message = format!("the file is not valid TOML: {}{at}", error.message().trim_end());
            layers.add_problem(location(span.start), message);
        }
        return false;
    }
    // The second parser makes plain values; the first one has their spans.
    match text.parse::<Table>() {
        Ok(values) => walk(&mut Vec::new(), table.get_ref(), &values, &location, layers),
        Err(error) => {
            let before = layers.problems.len();
            report_wide(&mut Vec::new(), table.get_ref(), &location, layers);
            if layers.problems.len() == before {
                let offset = error.span().map_or(0, |span| span.start);
                let message = format!("the file is not valid TOML: {}", error.message().trim_end());
                layers.add_problem(location(offset), message);
                return false;
            }
        }
    }
    true
}

/// The name of a key that the parser calls a duplicate, and the remedy.
fn of_duplicate(key: Option<&str>) -> String {
    let key = key.and_then(|key| key.lines().next()).unwrap_or_default();
    format!(" `{key}`; the file has it already: write the settings there")
}

/// Reports the integers that have more than 64 bits, for which the parser names neither key nor range.
fn report_wide<'t>(
    section: &mut Vec<&'t str>,
    table: &'t DeTable<'_>,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) {
    for (key, value) in table {
        section.push(key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) => report_wide(section, inner, location, layers),
            DeValue::Integer(number) if i64::from_str_radix(number.as_str(), number.radix()).is_err() => {
                let key_name = section.join(".");
                let expected = ranges::expected(&key_name).unwrap_or_else(|| "another value".to_owned());
                let message = format!("`{key_name}`: {} is out of range; set {expected}", number.as_str());
                layers.add_problem(location(key.span().start), message);
            }
            _ => {}
        }
        section.pop();
    }
}

fn walk<'t>(
    section: &mut Vec<&'t str>,
    table: &'t DeTable<'_>,
    values: &Table,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) {
    for (key, value) in table {
        let at = location(key.span().start);
        section.push(key.get_ref());
        let list = tables::list(section);
        match (value.get_ref(), values.get(key.get_ref().as_ref())) {
            (DeValue::Array(elements), Some(Value::Array(values))) if list.is_some() => {
                list.into_iter().for_each(|list| tables::read(list, elements, values, &at, location, layers));
            }
            _ if !exists(section) => layers.add_problem(at, unknown(section)),
            (DeValue::Table(inner), Some(Value::Table(values))) if keys::is_section(section) => {
                walk(section, inner, values, location, layers);
            }
            _ if keys::is_section(section) => {
                let name = section.join(".");
                layers.add_problem(at, format!("`{name}` is a section; write `[{name}]` and its keys below it"));
            }
            (_, Some(value)) => layers.set(section, value.clone(), at),
            (_, None) => {}
        }
        section.pop();
    }
}

fn location(path: &Path, text: &str, offset: usize) -> SourceLocation {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count()) + 1;
    SourceLocation::File { path: path.to_owned(), line, column }
}
