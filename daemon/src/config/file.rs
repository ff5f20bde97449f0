//! Our own file, in TOML. Every unknown key, bad value and syntax error is found, not only the first.

use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::keys;
use super::layers::{Layers, exists, unknown};
use super::problem::SourceLocation;

/// Lays the settings of a file's text over those so far.
pub(super) fn read(path: &Path, text: &str, layers: &mut Layers) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let location = |offset| location(path, text, offset);
    if !errors.is_empty() {
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            layers.refuse(location(offset), format!("this is not TOML: {}", error.message().trim_end()));
        }
        return;
    }
    // The second reader makes plain values; the first one knows where they stand.
    match text.parse::<Table>() {
        Ok(values) => walk(&mut Vec::new(), table.get_ref(), &values, &location, layers),
        Err(error) => layers.refuse(location(0), format!("this is not TOML: {}", error.message().trim_end())),
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
            _ if !exists(section) => layers.refuse(at, unknown(section)),
            (DeValue::Table(inner), Some(Value::Table(values))) if keys::is_section(section) => {
                walk(section, inner, values, location, layers);
            }
            _ if keys::is_section(section) => {
                let name = section.join(".");
                layers.refuse(at, format!("`{name}` is a section; write `[{name}]` and its keys below it"));
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
