//! The labels of objects whose names are made of labels.
//!
//! A stream of labelled series names its objects after some labels: one value as it is, several with `,` between them and
//! a backslash before each comma and backslash of a value. So a name is split into exactly the values that made it.
//!
//! A label of an object has the name that it had in the series, but for characters that no label has, which become `_`, and
//! for names that are in use: these get `exported_` in front, as Prometheus does it for the labels of a target.

use std::borrow::Cow;
use std::collections::HashMap;

/// The labels that every series of a result may have.
const OWN: [&str; 5] = ["attribute", "name", "stream", "table", "type"];

/// What the names of the objects of a stream are made of.
#[derive(Clone, Debug)]
struct Named {
    table: String,
    /// The names in the series, in the order of the values, with those that they have in a result.
    labels: Vec<(String, String)>,
}

/// The labels that make the names of objects, by stream.
///
/// ```
/// use daemon_results::object_labels::ObjectLabels;
///
/// let stream = ("requests-http_requests_total", "Service", ["job", "table"]);
/// let labels = ObjectLabels::new([stream]);
/// let of = |name| labels.of("requests-http_requests_total", "Service", name);
/// assert_eq!(of(r"shop\,eu,a"), [("job", "shop,eu".into()), ("exported_table", "a".into())]);
/// assert_eq!(of("shop,"), [("job", "shop".into())]);
/// assert_eq!(of("not of this stream"), []);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ObjectLabels(HashMap<String, Named>);

impl ObjectLabels {
    /// The labels of streams: of each the name, `Struct-attribute`, the table of its objects, and the labels that make their
    /// names, in order.
    pub fn new<S: Into<String>, T: Into<String>, L: IntoIterator<Item: Into<String>>>(
        streams: impl IntoIterator<Item = (S, T, L)>,
    ) -> Self {
        let named = |(stream, table, labels): (S, T, L)| {
            let labels = labels.into_iter().map(|label| (label.into(), String::new())).collect();
            let mut named = Named { table: table.into(), labels };
            named.rename(&[]);
            (stream.into(), named)
        };
        Self(streams.into_iter().map(named).collect())
    }

    /// The same, with other names for the labels that are in `reserved`.
    #[must_use]
    pub fn without<'r>(mut self, reserved: impl IntoIterator<Item = &'r str>) -> Self {
        let reserved: Vec<_> = reserved.into_iter().collect();
        self.0.values_mut().for_each(|named| named.rename(&reserved));
        self
    }

    /// Whether objects of a stream may have a label of this name.
    pub fn has(&self, stream: &str, table: &str, label: &str) -> bool {
        let named = self.0.get(stream).filter(|named| named.table == table);
        named.is_some_and(|named| named.labels.iter().any(|(_, shown)| shown == label))
    }

    /// The labels of an object, with their values; none for an object whose name labels did not make. Labels that were
    /// missing or empty are left out.
    pub fn of<'l>(&'l self, stream: &str, table: &str, name: &'l str) -> Vec<(&'l str, Cow<'l, str>)> {
        let Some(named) = self.0.get(stream).filter(|named| named.table == table) else { return Vec::new() };
        let values = if named.labels.len() == 1 { vec![Cow::Borrowed(name)] } else { split(name) };
        if values.len() != named.labels.len() {
            return Vec::new();
        }
        let labels = named.labels.iter().map(|(_, shown)| shown.as_str()).zip(values);
        labels.filter(|(_, value)| !value.is_empty()).collect()
    }
}

impl Named {
    /// Gives the labels names of their own.
    fn rename(&mut self, reserved: &[&str]) {
        let mut used: Vec<String> = OWN.iter().chain(reserved).map(|name| (*name).to_owned()).collect();
        for (label, shown) in &mut self.labels {
            *shown = legal(label);
            while shown.starts_with("__") || used.contains(shown) {
                shown.insert_str(0, "exported_");
            }
            used.push(shown.clone());
        }
    }
}

/// A name with `_` for what the name of a label cannot have.
fn legal(label: &str) -> String {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut name: String = label.chars().map(|it| if is_legal(it) { it } else { '_' }).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        name.insert(0, '_');
    }
    name
}

/// The values of a name with several.
fn split(name: &str) -> Vec<Cow<'_, str>> {
    let mut values = Vec::new();
    let (mut start, mut is_escaped, mut has_escapes) = (0, false, false);
    let mut add = |range: std::ops::Range<usize>, has_escapes: bool| {
        let value = name.get(range).unwrap_or_default();
        values.push(if has_escapes { Cow::Owned(unescaped(value)) } else { Cow::Borrowed(value) });
    };
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => (is_escaped, has_escapes) = (true, true),
            b',' => {
                add(start..at, has_escapes);
                (start, has_escapes) = (at + 1, false);
            }
            _ => {}
        }
    }
    add(start..name.len(), has_escapes);
    values
}

fn unescaped(value: &str) -> String {
    let mut characters = value.chars();
    std::iter::from_fn(|| characters.next().map(|it| if it == '\\' { characters.next().unwrap_or(it) } else { it }))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn property_a_name_is_split_into_the_values_that_made_it(
            values in prop::collection::vec("[a,\\\\\u{e9}]{1,4}", 2..5),
        ) {
            let labels: Vec<_> = (0..values.len()).map(|index| format!("l{index}")).collect();
            let all = ObjectLabels::new([("s", "T", labels)]);
            let escaped = values.iter().map(|value| value.replace('\\', r"\\").replace(',', r"\,"));
            let name = escaped.collect::<Vec<_>>().join(",");
            let found: Vec<_> = all.of("s", "T", &name).into_iter().map(|(_, value)| value.into_owned()).collect();
            prop_assert_eq!(found, values);
        }
    }

    #[test]
    fn names_in_use_and_illegal_ones_are_shown_with_others() {
        let labels = ["__name__", "table", "exported_table", "host.name", "1st", "job", "site"];
        let all = ObjectLabels::new([("s", "T", labels)]).without(["site", "job"]);
        let names: Vec<_> = all.of("s", "T", "a,b,c,d,e,f,g").into_iter().map(|(name, _)| name).collect();
        let expected = [
            "exported___name__",
            "exported_table",
            "exported_exported_table",
            "host_name",
            "_1st",
            "exported_job",
            "exported_site",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn an_object_of_another_table_stream_or_number_of_values_has_no_labels() {
        let all = ObjectLabels::new([("s", "T", vec!["a", "b"]), ("one", "T", vec!["a"])]);
        for (stream, table, name) in [("s", "U", "1,2"), ("t", "T", "1,2"), ("s", "T", "1"), ("s", "T", "1,2,3")] {
            assert_eq!(all.of(stream, table, name), [], "{stream} {table} {name}");
        }
        assert_eq!(all.of("one", "T", r"1,2\"), [("a", Cow::Borrowed(r"1,2\"))], "one value is not escaped");
        assert_eq!(all.of("s", "T", ","), [], "empty labels are none");
    }
}
