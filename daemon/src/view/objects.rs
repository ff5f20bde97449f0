//! The objects of one table: found by hash for each result, and in the order of their names for readers.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::view::object::Object;

/// The UVEs of each object, by the object's name.
#[derive(Debug, Default)]
pub(super) struct Objects {
    by_hash: HashTable<(Arc<str>, Object)>,
    /// The same names in order, so that a reader can go on where it stopped. They change with new and deleted objects
    /// only, while almost every result is for a known one.
    names: BTreeSet<Arc<str>>,
    hasher: RandomState,
}

impl Objects {
    pub(super) fn get(&self, name: &str) -> Option<&Object> {
        let (_, object) = self.by_hash.find(self.hasher.hash_one(name), |(known, _)| **known == *name)?;
        Some(object)
    }

    /// The object, if it is known.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Object> {
        let (_, object) = self.by_hash.find_mut(self.hasher.hash_one(name), |(known, _)| **known == *name)?;
        Some(object)
    }

    /// The object, a new one if it is not known.
    pub(super) fn get_or_add(&mut self, name: &str) -> &mut Object {
        let Self { by_hash, names, hasher } = self;
        let entry =
            by_hash.entry(hasher.hash_one(name), |(known, _)| **known == *name, |(known, _)| hasher.hash_one(&**known));
        let occupied = entry.or_insert_with(|| {
            let name: Arc<str> = name.into();
            names.insert(Arc::clone(&name));
            (name, Object::default())
        });
        &mut occupied.into_mut().1
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(entry) = self.by_hash.find_entry(self.hasher.hash_one(name), |(known, _)| **known == *name) {
            entry.remove();
            self.names.remove(name);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_hash.is_empty()
    }

    /// The objects from a name on, in order.
    pub(super) fn from<'o>(&'o self, name: Bound<&str>) -> impl Iterator<Item = (&'o str, &'o Object)> + use<'o> {
        let names = self.names.range::<str, _>((name, Bound::Unbounded));
        names.filter_map(|name| Some((&**name, self.get(name)?)))
    }
}
