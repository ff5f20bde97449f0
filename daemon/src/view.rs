//! The proxy UVEs as they stand: what the read endpoints answer from.
//!
//! The view reads the results log like any other sink and keeps, for each object and UVE name, the newest form of each
//! attribute: a result carries only what changed. It lives in memory and is rebuilt at the start from the results
//! that the log retains.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{PoisonError, RwLock};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::result_line::ResultLine;

/// The attributes of one structure, by name.
type Structure = BTreeMap<Box<str>, Box<RawValue>>;

/// All proxy UVEs.
///
/// Far more results come than are read, so a structure is kept as the text that came, and taken apart only for a reader,
/// or when a result brings other attributes than the one before it.
#[derive(Debug, Default)]
pub(crate) struct UveView {
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_name: HashMap<Box<str>, Objects>,
    /// The UVE names, and the sets of attributes, that results came with: a handful, so they are looked through.
    uves: Vec<Box<str>>,
    shapes: Vec<Vec<Box<str>>>,
}

/// The UVEs of each object, by the object's name.
type Objects = HashMap<Box<str>, Vec<Uve>>;

#[derive(Debug)]
struct Uve {
    /// Place of its name in `uves`, and of its attributes in `shapes`.
    name: u32,
    shape: u32,
    text: Box<str>,
}

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
        let news: News<'_> = serde_json::from_str(line.data.get())?;
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        if news.deleted {
            tables.remove(table, name, &line.uve);
            return Ok(());
        }
        tables.put(table, name, &line.uve, &news.attributes, line.data.get())
    }

    /// The structures of one object that pass the filter; `None` if there is no such object or nothing passes.
    pub(crate) fn object(&self, table: &str, name: &str, filter: &Filter) -> Option<UveDocument> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let document = tables.filtered(tables.by_name.get(table)?.get(name)?, filter);
        (!document.is_empty()).then_some(document)
    }

    /// The objects of a table whose names begin with `prefix`, in order, with what passes the filter.
    pub(crate) fn objects(&self, table: &str, prefix: &str, filter: &Filter) -> Vec<(Box<str>, UveDocument)> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let objects = tables.by_name.get(table).into_iter().flatten();
        let wanted = objects.filter(|(name, _)| name.starts_with(prefix));
        let documents = wanted.map(|(name, uves)| (name.clone(), tables.filtered(uves, filter)));
        let mut documents: Vec<_> = documents.filter(|(_, document)| !document.is_empty()).collect();
        drop(tables);
        documents.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        documents
    }

    /// The names of a table's objects, in order.
    pub(crate) fn names(&self, table: &str) -> Vec<Box<str>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = tables.by_name.get(table).into_iter().flatten().map(|(name, _)| name.clone()).collect();
        drop(tables);
        names.sort_unstable();
        names
    }

    /// The tables that have objects, in order.
    pub(crate) fn tables(&self) -> Vec<Box<str>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut names: Vec<_> = tables.by_name.keys().cloned().collect();
        names.sort();
        names
    }
}

impl Tables {
    fn put(
        &mut self,
        table: &str,
        name: &str,
        uve: &str,
        attributes: &[Cow<'_, str>],
        text: &str,
    ) -> serde_json::Result<()> {
        let (uve, shape) = (number(&mut self.uves, uve), shape_number(&mut self.shapes, attributes));
        // Looked up before it is inserted: nearly every result is about an object that is there.
        if !self.by_name.contains_key(table) {
            self.by_name.insert(table.into(), Objects::default());
        }
        let objects = self.by_name.entry(table.into()).or_default();
        let Some(uves) = objects.get_mut(name) else {
            objects.insert(name.into(), vec![Uve { name: uve, shape, text: text.into() }]);
            return Ok(());
        };
        let Some(known) = uves.iter_mut().find(|known| known.name == uve) else {
            uves.push(Uve { name: uve, shape, text: text.into() });
            return Ok(());
        };
        if known.shape == shape {
            known.text = text.into();
            return Ok(());
        }
        let merged = merged(&known.text, text)?;
        if merged.len() == attributes.len() {
            // Nothing of what stood there is left.
            *known = Uve { name: uve, shape, text: text.into() };
            return Ok(());
        }
        let names: Vec<Cow<'_, str>> = merged.keys().map(|name| Cow::Borrowed(&**name)).collect();
        let shape = shape_number(&mut self.shapes, &names);
        *known = Uve { name: uve, shape, text: serde_json::to_string(&merged)?.into() };
        Ok(())
    }

    fn remove(&mut self, table: &str, name: &str, uve: &str) {
        let number = self.uves.iter().position(|known| **known == *uve);
        let Some(objects) = self.by_name.get_mut(table) else {
            return;
        };
        let Some(uves) = objects.get_mut(name) else {
            return;
        };
        uves.retain(|known| Some(known.name as usize) != number);
        if uves.is_empty() {
            objects.remove(name);
        }
    }

    fn filtered(&self, uves: &[Uve], filter: &Filter) -> UveDocument {
        let named = uves.iter().map(|uve| (&self.uves[uve.name as usize], &uve.text));
        let wanted = named.filter(|(name, _)| filter.wants(name));
        let cut = wanted.map(|(name, text)| {
            // What is kept was read before.
            let structure: Structure = serde_json::from_str(text).unwrap_or_default();
            let attributes = structure.into_iter().filter(|(attribute, _)| filter.wants_attribute(name, attribute));
            (name.clone(), attributes.collect::<Structure>())
        });
        cut.filter(|(_, structure)| !structure.is_empty()).collect()
    }
}

/// What stood there with what is new. That a window was partial holds for that window only, unlike the attributes.
fn merged(known: &str, news: &str) -> serde_json::Result<Structure> {
    let mut structure: Structure = serde_json::from_str(known)?;
    structure.remove("partial");
    structure.extend(serde_json::from_str::<Structure>(news)?);
    Ok(structure)
}

fn number(names: &mut Vec<Box<str>>, name: &str) -> u32 {
    let known = names.iter().position(|known| **known == *name);
    known.unwrap_or_else(|| {
        names.push(name.into());
        names.len() - 1
    }) as u32
}

fn shape_number(shapes: &mut Vec<Vec<Box<str>>>, attributes: &[Cow<'_, str>]) -> u32 {
    let same = |shape: &&Vec<Box<str>>| shape.iter().map(|name| &**name).eq(attributes.iter().map(|name| &**name));
    let known = shapes.iter().position(|shape| same(&shape));
    known.unwrap_or_else(|| {
        shapes.push(attributes.iter().map(|name| (&**name).into()).collect());
        shapes.len() - 1
    }) as u32
}

/// What has to be known of a result before it is kept.
struct News<'l> {
    deleted: bool,
    /// The names, in their order.
    attributes: Vec<Cow<'l, str>>,
}

impl<'l> Deserialize<'l> for News<'l> {
    fn deserialize<D: Deserializer<'l>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NewsVisitor)
    }
}

struct NewsVisitor;

impl<'l> Visitor<'l> for NewsVisitor {
    type Value = News<'l>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the structure of a UVE")
    }

    fn visit_map<A: MapAccess<'l>>(self, mut map: A) -> Result<News<'l>, A::Error> {
        let mut news = News { deleted: false, attributes: Vec::with_capacity(4) };
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "deleted" => news.deleted = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
            news.attributes.push(name);
        }
        Ok(news)
    }
}

/// A text that is borrowed where it can be.
#[derive(serde::Deserialize)]
struct Name<'l>(#[serde(borrow)] Cow<'l, str>);

/// The table and the name. A key without `:` is both: the results log may be older than the rule that refuses one.
pub(crate) fn split_key(key: &str) -> (&str, &str) {
    key.split_once(':').unwrap_or((key, key))
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
    fn attributes_that_come_by_turns_are_all_kept() {
        let view = UveView::default();
        for (row, shown) in [
            (r#"{"deleted":false,"a":1}"#, r#"{"P-S-a":{"a":1,"deleted":false}}"#),
            (r#"{"deleted":false,"b":2}"#, r#"{"P-S-a":{"a":1,"b":2,"deleted":false}}"#),
            (r#"{"deleted":false,"b":3}"#, r#"{"P-S-a":{"a":1,"b":3,"deleted":false}}"#),
            (r#"{"deleted":false,"a":4,"b":4}"#, r#"{"P-S-a":{"a":4,"b":4,"deleted":false}}"#),
            (r#"{"deleted":false,"a":5}"#, r#"{"P-S-a":{"a":5,"b":4,"deleted":false}}"#),
        ] {
            apply(&view, "x", row);
            assert_eq!(json(&view, "x", ""), shown, "after {row}");
        }
    }

    #[test]
    fn partial_holds_for_one_window() {
        let view = UveView::default();
        apply(&view, "a", r#"{"deleted":false,"partial":true,"value":1}"#);
        apply(&view, "a", r#"{"deleted":false,"value":2}"#);
        assert_eq!(json(&view, "a", ""), r#"{"P-S-a":{"deleted":false,"value":2}}"#);
    }
}
