//! The list of tables of the TOML file, `[[streams]]`. Each key of each table is checked alone, at its location, as the
//! keys of sections are.

use daemon_sources::mapping::StreamConfig;
use derived_stats::annotation::nearest;
use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::keys;
use super::layers::{Layers, one_line};
use super::problem::SourceLocation;

/// The name of the list.
pub(super) const STREAMS: &str = "streams";

/// Whether `path` is a list of tables.
pub(super) fn is_list(path: &[&str]) -> bool {
    path == [STREAMS]
}

/// Sets the list to the valid keys of its elements.
pub(super) fn read(
    elements: &[Spanned<DeValue<'_>>],
    values: &[Value],
    at: &SourceLocation,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) {
    let (mut valid, mut locations) = (Vec::new(), Vec::new());
    for (index, (element, value)) in elements.iter().zip(values).enumerate() {
        let place = location(element.span().start);
        let (DeValue::Table(table), Value::Table(values)) = (element.get_ref(), value) else {
            layers.add_problem(
                place,
                format!("`{STREAMS}` is a list of tables; write `[[{STREAMS}]]` and keys below it"),
            );
            continue;
        };
        locations.push((index, None, place));
        let keys = valid_keys(table, values, location, layers);
        locations.extend(keys.locations.into_iter().map(|(key, place)| (index, Some(key), place)));
        valid.push(Value::Table(keys.table));
    }
    layers.set(&[STREAMS], Value::Array(valid), at.clone());
    for (index, key, place) in locations {
        layers.locate_element(STREAMS, index, key.as_deref(), place);
    }
}

/// The valid keys of an element.
#[derive(Default)]
struct Keys {
    table: Table,
    locations: Vec<(String, SourceLocation)>,
}

fn valid_keys(
    table: &DeTable<'_>,
    values: &Table,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) -> Keys {
    let mut keys = Keys::default();
    for (key, _) in table {
        let (place, name) = (location(key.span().start), key.get_ref().as_ref());
        let Some(value) = values.get(name) else { continue };
        match check(name, value) {
            Ok(()) => {
                keys.table.insert(name.to_owned(), value.clone());
            }
            Err(message) => layers.add_problem(place.clone(), message),
        }
        // A key with a bad value is there: it is not missing as well.
        keys.locations.push((name.to_owned(), place));
    }
    keys
}

/// Checks a key alone, with all others at their defaults.
fn check(key: &str, value: &Value) -> Result<(), String> {
    let known = keys::stream_fields();
    if !known.contains(&key) {
        let remedy = match nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the keys of a stream are {}", known.join(", ")),
        };
        return Err(format!("unknown key `{STREAMS}.{key}`; {remedy}"));
    }
    let alone = Value::Table(Table::from_iter([(key.to_owned(), value.clone())]));
    StreamConfig::deserialize(alone).map(drop).map_err(|error| format!("`{STREAMS}.{key}`: {}", one_line(&error)))
}
