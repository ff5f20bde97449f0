//! The lists of tables of the TOML file, `[[streams]]` and `[[alarms]]`. Each key of each table is checked alone, at its
//! location, as the keys of sections are.

use daemon_alarms::config::AlarmConfig;
use daemon_sources::mapping::StreamConfig;
use derived_stats::annotation::nearest;
use serde::Deserialize as _;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::keys;
use super::layers::{Layers, one_line};
use super::problem::SourceLocation;

/// The name of the list of streams.
pub(super) const STREAMS: &str = "streams";

/// The name of the list of alarms.
pub(super) const ALARMS: &str = "alarms";

/// A list of tables.
pub(super) struct List {
    name: &'static str,
    /// One of them, for messages.
    element: &'static str,
    fields: fn() -> &'static [&'static str],
    /// Deserializes a table with one key.
    try_alone: fn(Value) -> Result<(), toml::de::Error>,
}

static LISTS: [List; 2] = [
    List {
        name: ALARMS,
        element: "an alarm",
        fields: keys::alarm_fields,
        try_alone: |alone| AlarmConfig::deserialize(alone).map(drop),
    },
    List {
        name: STREAMS,
        element: "a stream",
        fields: keys::stream_fields,
        try_alone: |alone| StreamConfig::deserialize(alone).map(drop),
    },
];

/// The list of tables at `path`, if it is one.
pub(super) fn list(path: &[&str]) -> Option<&'static List> {
    LISTS.iter().find(|list| path == [list.name])
}

/// Sets the list to the valid keys of its elements.
pub(super) fn read(
    list: &List,
    elements: &[Spanned<DeValue<'_>>],
    values: &[Value],
    at: &SourceLocation,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) {
    let name = list.name;
    let (mut valid, mut locations) = (Vec::new(), Vec::new());
    for (index, (element, value)) in elements.iter().zip(values).enumerate() {
        let place = location(element.span().start);
        let (DeValue::Table(table), Value::Table(values)) = (element.get_ref(), value) else {
            layers.add_problem(place, format!("`{name}` is a list of tables; write `[[{name}]]` and keys below it"));
            continue;
        };
        locations.push((index, None, place));
        let keys = valid_keys(list, table, values, location, layers);
        locations.extend(keys.locations.into_iter().map(|(key, place)| (index, Some(key), place)));
        valid.push(Value::Table(keys.table));
    }
    layers.set(&[name], Value::Array(valid), at.clone());
    for (index, key, place) in locations {
        layers.locate_element(name, index, key.as_deref(), place);
    }
}

/// The valid keys of an element.
#[derive(Default)]
struct Keys {
    table: Table,
    locations: Vec<(String, SourceLocation)>,
}

fn valid_keys(
    list: &List,
    table: &DeTable<'_>,
    values: &Table,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) -> Keys {
    let mut keys = Keys::default();
    for (key, _) in table {
        let (place, name) = (location(key.span().start), key.get_ref().as_ref());
        let Some(value) = values.get(name) else { continue };
        match check(list, name, value) {
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
fn check(list: &List, key: &str, value: &Value) -> Result<(), String> {
    let (name, known) = (list.name, (list.fields)());
    if !known.contains(&key) {
        let remedy = match nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the keys of {} are {}", list.element, known.join(", ")),
        };
        return Err(format!("unknown key `{name}.{key}`; {remedy}"));
    }
    let alone = Value::Table(Table::from_iter([(key.to_owned(), value.clone())]));
    (list.try_alone)(alone).map_err(|error| format!("`{name}.{key}`: {}", one_line(&error)))
}
