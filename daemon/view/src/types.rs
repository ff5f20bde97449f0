//! UVE types as paths name them, and the tables behind them.
//!
//! A path names a table by its UVE type, and Contrail's types are unique. The type of any other table is its name in
//! lower case, so several tables may have one: `Foo` and `foo` both have `foo`. A type therefore leads to
//!
//! 1. Contrail's table, if it is a type of Contrail,
//! 2. the table with exactly this name,
//! 3. the first table, by name, that has this type.
//!
//! A table to which its type does not lead is listed under its name, which leads to it by the second rule.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use proxy_uve::{table_of_uve_type, uve_type_of_table};

use super::Tables;

/// The tables that have objects, by UVE type.
#[derive(Debug, Default)]
pub(super) struct Types(BTreeMap<Box<str>, BTreeSet<Box<str>>>);

impl Types {
    /// Adds a table that has its first object.
    pub(super) fn add(&mut self, table: &str) {
        self.0.entry(uve_type_of_table(table).into()).or_default().insert(table.into());
    }

    /// Removes a table whose last object is gone.
    pub(super) fn remove(&mut self, table: &str) {
        let uve_type = uve_type_of_table(table);
        if let Some(tables) = self.0.get_mut(&*uve_type) {
            tables.remove(table);
            if tables.is_empty() {
                self.0.remove(&*uve_type);
            }
        }
    }

    /// The first table of a type by name.
    fn first(&self, uve_type: &str) -> Option<&str> {
        self.0.get(uve_type)?.first().map(|table| &**table)
    }
}

impl Tables {
    /// The table to which a UVE type leads.
    fn table_of<'t>(&'t self, uve_type: &'t str) -> Option<&'t str> {
        let exact = || self.by_name.contains_key(uve_type).then_some(uve_type);
        table_of_uve_type(uve_type).or_else(exact).or_else(|| self.types.first(uve_type))
    }

    /// All tables of a UVE type, first the one to which it leads.
    pub(super) fn tables_of(&self, uve_type: &str) -> Vec<String> {
        let Some(leading) = self.table_of(uve_type) else { return Vec::new() };
        let others = self.types.0.get(uve_type).into_iter().flatten().filter(|table| ***table != *leading);
        std::iter::once(leading).chain(others.map(|table| &**table)).map(str::to_owned).collect()
    }

    /// The type under which a table is listed, which leads to it.
    pub(super) fn type_of<'t>(&self, table: &'t str) -> Cow<'t, str> {
        let uve_type = uve_type_of_table(table);
        if self.table_of(&uve_type) == Some(table) { uve_type } else { Cow::Borrowed(table) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Objects;
    use super::*;

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

    #[test]
    fn a_type_leads_to_all_of_its_tables_and_to_none_that_is_gone() {
        let mut tables = tables(&["Foo", "FOO"]);
        assert_eq!(tables.tables_of("foo"), ["FOO", "Foo"]);
        assert_eq!(tables.tables_of("Foo"), ["Foo"]);
        assert_eq!(tables.tables_of("virtual-network"), ["ObjectVNTable"], "its first object may come later");
        tables.by_name.remove("FOO");
        tables.types.remove("FOO");
        assert_eq!(tables.tables_of("foo"), ["Foo"]);
        assert!(tables.tables_of("bar").is_empty());
    }
}
