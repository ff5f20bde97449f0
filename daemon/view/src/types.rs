//! UVE types as paths name them, and the tables behind them.
//!
//! A path names a table by its UVE type, and Contrail's types are unique. The type of any other table is its name in
//! lower case, so several tables may have one: `Foo` and `foo` both have `foo`. A type therefore leads to
//!
//! 1. Contrail's table, if it is a type of Contrail,
//! 2. the table with exactly this name,
//! 3. the first table, by name, that has this type; one with objects before one without.
//!
//! A table without objects is known by its alarms, and those that had objects since the start, the last 1,024 of them,
//! are known too: links to the history of its objects, and to what is missing, lead there.
//!
//! A table to which its type does not lead is listed under its name, which leads to it by the second rule.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proxy_uve::{table_of_uve_type, uve_type_of_table};

use super::{Filter, Tables, UveView};

/// The most tables that are known after their last object.
const MAX_GONE: usize = 1024;

/// The tables that have objects, by UVE type, and those that had some.
#[derive(Debug, Default)]
pub(super) struct Types {
    by_type: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
    /// The last ones without objects, the newest last.
    gone: VecDeque<Box<str>>,
}

impl Types {
    /// Adds a table that has its first object.
    pub(super) fn add(&mut self, table: &str) {
        self.by_type.entry(uve_type_of_table(table).into()).or_default().insert(table.into());
        self.gone.retain(|gone| **gone != *table);
    }

    /// Removes a table whose last object is gone.
    pub(super) fn remove(&mut self, table: &str) {
        let uve_type = uve_type_of_table(table);
        if let Some(tables) = self.by_type.get_mut(&*uve_type) {
            tables.remove(table);
            if tables.is_empty() {
                self.by_type.remove(&*uve_type);
            }
        }
        if self.gone.len() == MAX_GONE {
            self.gone.pop_front();
        }
        self.gone.push_back(table.into());
    }

    /// The tables of a type: by name, those without objects last.
    fn of_type(&self, uve_type: &str) -> impl Iterator<Item = &str> {
        let gone: BTreeSet<_> = self.gone.iter().filter(|table| uve_type_of_table(table) == uve_type).collect();
        self.by_type.get(uve_type).into_iter().flatten().chain(gone).map(|table| &**table)
    }
}

impl Tables {
    /// The table to which a UVE type leads.
    fn table_of<'t>(&'t self, uve_type: &'t str) -> Option<&'t str> {
        let is_table = || self.by_name.contains_key(uve_type) || self.types.gone.iter().any(|gone| **gone == *uve_type);
        let exact = || is_table().then_some(uve_type);
        table_of_uve_type(uve_type).or_else(exact).or_else(|| self.types.of_type(uve_type).next())
    }

    /// All tables of a UVE type, first the one to which it leads.
    pub(super) fn tables_of(&self, uve_type: &str) -> Vec<String> {
        let Some(leading) = self.table_of(uve_type) else { return Vec::new() };
        let others = self.types.of_type(uve_type).filter(|table| *table != leading);
        std::iter::once(leading).chain(others).map(str::to_owned).collect()
    }

    /// The type under which a table is listed, which leads to it.
    pub(super) fn type_of<'t>(&self, table: &'t str) -> Cow<'t, str> {
        let uve_type = uve_type_of_table(table);
        if self.table_of(&uve_type) == Some(table) { uve_type } else { Cow::Borrowed(table) }
    }
}

impl UveView {
    /// The tables that a UVE type in a path names, the one that its list has first; none for a type that is not one of
    /// Contrail's and of which there is no object and no alarm, and was no object lately.
    pub fn tables_of(&self, uve_type: &str) -> Vec<String> {
        let tables = self.read().tables_of(uve_type);
        if !tables.is_empty() {
            return tables;
        }
        let mut tables = self.alarms().tables();
        if tables.contains(uve_type) {
            return vec![uve_type.to_owned()];
        }
        tables.retain(|table| uve_type_of_table(table) == uve_type);
        tables.into_iter().collect()
    }

    /// The table of an object in a path: the one of the type that has the object, else the first one, else the one with the
    /// name of the type if the index of the results has the object.
    pub fn table_of_object(&self, uve_type: &str, name: &str) -> Option<String> {
        let mut tables = self.tables_of(uve_type);
        let has_object = |table: &String| self.object(table, name, &Filter::default()).is_some();
        if let Some(first) = tables.iter().position(has_object).or_else(|| (!tables.is_empty()).then_some(0)) {
            return Some(tables.swap_remove(first));
        }
        self.index().has(&format!("{uve_type}:{name}")).then(|| uve_type.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Objects;
    use super::*;
    use crate::history::RecordHead;

    fn tables(names: &[&str]) -> Tables {
        let mut tables = Tables::default();
        for name in names {
            tables.by_name.insert((*name).into(), Objects::default());
            tables.types.add(name);
        }
        tables
    }

    #[test]
    fn every_table_is_listed_under_a_type_of_its_own_that_leads_to_it() {
        for names in [&["Foo", "foo", "FOO", "ObjectVNTable"][..], &["Foo", "FOO"], &["Foo"], &["foo"]] {
            let tables = tables(names);
            let types: BTreeSet<_> = names.iter().map(|name| tables.type_of(name)).collect();
            assert_eq!(types.len(), names.len(), "{types:?}");
            for name in names {
                assert_eq!(tables.table_of(&tables.type_of(name)), Some(*name));
            }
        }
    }

    fn remove(tables: &mut Tables, name: &str) {
        tables.by_name.remove(name);
        tables.types.remove(name);
    }

    #[test]
    fn a_type_leads_to_all_of_its_tables_and_last_to_those_without_objects() {
        let mut tables = tables(&["Foo", "FOO"]);
        assert_eq!(tables.tables_of("foo"), ["FOO", "Foo"]);
        assert_eq!(tables.tables_of("Foo"), ["Foo"]);
        assert_eq!(tables.tables_of("virtual-network"), ["ObjectVNTable"], "its first object may come later");
        remove(&mut tables, "FOO");
        assert_eq!(tables.tables_of("foo"), ["Foo", "FOO"]);
        assert!(tables.tables_of("bar").is_empty());
        remove(&mut tables, "Foo");
        assert_eq!(tables.tables_of("foo"), ["FOO", "Foo"]);
        assert_eq!((tables.tables_of("Foo"), tables.type_of("Foo")), (vec!["Foo".to_owned()], "Foo".into()));
    }

    #[test]
    fn a_table_without_objects_is_known_until_many_others_are_gone() {
        let mut tables = tables(&["Svc"]);
        remove(&mut tables, "Svc");
        assert_eq!((tables.tables_of("svc"), tables.type_of("Svc")), (vec!["Svc".to_owned()], "svc".into()));
        for number in 0..MAX_GONE {
            assert!(!tables.tables_of("svc").is_empty(), "{number}");
            // The same table again takes no place.
            for _ in 0..2 {
                tables.types.add(&format!("t{number}"));
                tables.types.remove(&format!("t{number}"));
            }
        }
        assert!(tables.tables_of("svc").is_empty());
        assert_eq!((tables.types.gone.len(), tables.types.by_type.len()), (MAX_GONE, 0));
    }

    #[test]
    fn a_table_is_known_by_its_alarms_and_an_object_by_its_history() {
        let view = UveView::default();
        for key in ["Svc:s1", "Svc-b:s1", "Svc:s2"] {
            let data = r#"{"deleted":false,"proxy":"S-a","alarms":[]}"#;
            let row = format!(r#"{{"key":"{key}","uve":"UVEAlarms","start":0,"end":60,"data":{data}}}"#);
            view.alarms().apply(1, serde_json::from_str(&row).expect("a row"));
        }
        assert_eq!((view.tables_of("svc"), view.tables_of("Svc")), (vec!["Svc".to_owned()], vec!["Svc".to_owned()]));
        assert_eq!((view.tables_of("svc-b"), view.type_of("Svc")), (vec!["Svc-b".to_owned()], "Svc".to_owned()));
        assert_eq!(view.table_of_object("Gone", "x"), None);
        let record = RecordHead { offset: 0, bytes: 10, committed: 0 };
        view.index().add_object(record, "Gone:x", 0);
        assert_eq!(view.table_of_object("Gone", "x").as_deref(), Some("Gone"));
        assert_eq!(view.table_of_object("Gone", "y"), None);
    }
}
