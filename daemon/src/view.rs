//! The proxy UVEs as they stand: what the read endpoints answer from.
//!
//! The view reads the results log like any other sink and keeps, for each object and UVE name, the newest form of each
//! attribute: a result carries only what changed. It lives in memory and is rebuilt at the start from the results
//! that the log retains.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

use serde_json::value::RawValue;

use crate::result_line::ResultLine;

/// The attributes of one structure, by name.
type Structure = BTreeMap<Box<str>, Box<RawValue>>;

/// All proxy UVEs, by table, object name and UVE name.
#[derive(Debug, Default)]
pub(crate) struct UveView {
    tables: RwLock<Tables>,
}

type Tables = HashMap<Box<str>, Objects>;
type Objects = BTreeMap<Box<str>, BTreeMap<Box<str>, Structure>>;

/// Which structures and attributes a reader wants: Contrail's `cfilt`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter(Vec<(String, Option<String>)>);

impl Filter {
    /// Reads `Structure[:attribute]` separated by commas; nothing for everything.
    pub(crate) fn parse(text: &str) -> Self {
        let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        Self(
            terms
                .map(|term| match term.split_once(':') {
                    Some((uve, attribute)) => (uve.to_owned(), Some(attribute.to_owned())),
                    None => (term.to_owned(), None),
                })
                .collect(),
        )
    }

    fn wants(&self, uve: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|(wanted, _)| wanted == uve)
    }

    fn wants_attribute(&self, uve: &str, attribute: &str) -> bool {
        let wants = |(wanted, of): &(String, Option<String>)| {
            wanted == uve && of.as_deref().is_none_or(|wanted| wanted == attribute)
        };
        self.0.is_empty() || self.0.iter().any(wants)
    }
}

/// An object's structures, ready to be serialised.
pub(crate) type UveDocument = BTreeMap<Box<str>, Structure>;

impl UveView {
    /// Takes over one result.
    pub(crate) fn apply(&self, line: &ResultLine<'_>) -> serde_json::Result<()> {
        let (table, name) = split_key(&line.key);
        let data: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(line.data.get())?;
        let deleted = data.get("deleted").is_some_and(|value| value.get() == "true");
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if deleted {
            remove(&mut tables, table, name, &line.uve);
            return Ok(());
        }
        let structure = slot(&mut tables, table, name, &line.uve);
        // Holds for one window only, unlike the attributes.
        structure.remove("partial");
        structure.extend(data.into_iter().map(|(attribute, value)| (attribute.into(), value.to_owned())));
        Ok(())
    }

    /// The structures of one object that pass the filter; `None` if there is no such object or nothing passes.
    pub(crate) fn object(&self, table: &str, name: &str, filter: &Filter) -> Option<UveDocument> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let document = filtered(tables.get(table)?.get(name)?, filter);
        (!document.is_empty()).then_some(document)
    }

    /// The objects of a table whose names begin with `prefix`, in order, with what passes the filter.
    pub(crate) fn objects(&self, table: &str, prefix: &str, filter: &Filter) -> Vec<(Box<str>, UveDocument)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let Some(objects) = tables.get(table) else {
            return Vec::new();
        };
        let from = objects.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        from.take_while(|(name, _)| name.starts_with(prefix))
            .map(|(name, uves)| (name.clone(), filtered(uves, filter)))
            .filter(|(_, document)| !document.is_empty())
            .collect()
    }

    /// The names of a table's objects, in order.
    pub(crate) fn names(&self, table: &str) -> Vec<Box<str>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.get(table).map(|objects| objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// The tables that have objects, in order.
    pub(crate) fn tables(&self) -> Vec<Box<str>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = tables.keys().cloned().collect();
        names.sort();
        names
    }
}

/// The table and the name; a key without colon is both.
pub(crate) fn split_key(key: &str) -> (&str, &str) {
    key.split_once(':').unwrap_or((key, key))
}

fn slot<'t>(tables: &'t mut Tables, table: &str, name: &str, uve: &str) -> &'t mut Structure {
    // Looked up before it is inserted: nearly every result is about an object that is there.
    if !tables.contains_key(table) {
        tables.insert(table.into(), Objects::default());
    }
    let objects = tables.entry(table.into()).or_default();
    objects.entry(name.into()).or_default().entry(uve.into()).or_default()
}

fn remove(tables: &mut Tables, table: &str, name: &str, uve: &str) {
    let Some(objects) = tables.get_mut(table) else {
        return;
    };
    let Some(uves) = objects.get_mut(name) else {
        return;
    };
    uves.remove(uve);
    if uves.is_empty() {
        objects.remove(name);
    }
}

fn filtered(uves: &BTreeMap<Box<str>, Structure>, filter: &Filter) -> UveDocument {
    let wanted = uves.iter().filter(|(uve, _)| filter.wants(uve));
    let cut = wanted.map(|(uve, structure)| {
        let attributes = structure.iter().filter(|(attribute, _)| filter.wants_attribute(uve, attribute));
        (uve.clone(), attributes.map(|(name, value)| (name.clone(), value.clone())).collect::<Structure>())
    });
    cut.filter(|(_, structure)| !structure.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(view: &UveView, name: &str, data: &str) {
        let line = format!(r#"{{"key":"T:{name}","uve":"P-S-a","start":0,"end":60,"data":{data}}}"#);
        view.apply(&ResultLine::parse(line.as_bytes()).expect("a good line")).expect("good data");
    }

    fn json(view: &UveView, name: &str, filter: &str) -> String {
        serde_json::to_string(&view.object("T", name, &Filter::parse(filter))).expect("plain data")
    }

    #[test]
    fn a_result_changes_only_the_attributes_it_carries() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"value":{"value":1},"sum":{"value":2}}"#);
        apply(&view, "a", r#"{"deleted":false,"sum":{"value":3}}"#);
        assert_eq!(json(&view, "a", ""), r#"{"P-S-a":{"deleted":false,"sum":{"value":3},"value":{"value":1}}}"#);
    }

    #[test]
    fn a_deleted_object_is_gone() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"value":1}"#);
        apply(&view, "a", r#"{"deleted":true}"#);
        assert_eq!(json(&view, "a", ""), "null");
        assert_eq!(view.names("T"), []);
    }

    #[test]
    fn the_filter_cuts_structures_and_attributes() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"value":1,"sum":2}"#);
        assert_eq!(json(&view, "a", "P-S-a:sum"), r#"{"P-S-a":{"sum":2}}"#);
        assert_eq!(json(&view, "a", "Other"), "null");
        assert_eq!(json(&view, "a", "Other,P-S-a"), r#"{"P-S-a":{"deleted":false,"sum":2,"value":1}}"#);
    }

    #[test]
    fn partial_holds_for_one_window() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"partial":true,"value":1}"#);
        apply(&view, "a", r#"{"deleted":false,"value":2}"#);
        assert_eq!(json(&view, "a", ""), r#"{"P-S-a":{"deleted":false,"value":2}}"#);
    }
}
