//! The source for the daemon's TOML file. It reports every unknown key, bad value and syntax error, not only the first.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::keys;
use super::layers::{Layers, exists, unknown};
use super::problem::SourceLocation;

/// Merges the settings of a file's text into `layers`.
pub(super) fn read(path: &Path, text: &str, layers: &mut Layers) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let location = |offset| location(path, text, offset);
    if !errors.is_empty() {
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            layers.add_problem(location(offset), format!("the file is not valid TOML: {}", error.message().trim_end()));
        }
        return;
    }
    // The second parser makes plain values; the first one has their spans.
    match text.parse::<Table>() {
        Ok(values) => walk(&mut Vec::new(), table.get_ref(), &values, &location, layers),
        Err(error) => {
            layers.add_problem(location(0), format!("the file is not valid TOML: {}", error.message().trim_end()))
        }
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
        match (value.get_ref(), values.get(key.get_ref().as_ref())) {
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
