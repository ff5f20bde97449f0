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
    /// The same names in order, so that a reader can go on where it stopped, but for those of `unsorted`.
    names: BTreeSet<Arc<str>>,
    /// The names of new objects. They are sorted when there is time, because a start adds all of them at once. Some may
    /// be of objects that are deleted again.
    unsorted: Vec<Arc<str>>,
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
        let Self { by_hash, unsorted, hasher, .. } = self;
        let entry =
            by_hash.entry(hasher.hash_one(name), |(known, _)| **known == *name, |(known, _)| hasher.hash_one(&**known));
        let occupied = entry.or_insert_with(|| {
            let name: Arc<str> = name.into();
            unsorted.push(Arc::clone(&name));
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

    /// Whether all names are in order.
    pub(super) fn is_sorted(&self) -> bool {
        self.unsorted.is_empty()
    }

    /// Sorts the names of at most `limit` new objects.
    pub(super) fn sort(&mut self, limit: usize) {
        let from = self.unsorted.len().saturating_sub(limit);
        for name in self.unsorted.split_off(from) {
            if self.get(&name).is_some() {
                self.names.insert(name);
            }
        }
        if self.unsorted.is_empty() {
            self.unsorted = Vec::new();
        }
    }

    /// The objects from a name on, in order; only if all names [are](Self::is_sorted).
    pub(super) fn from<'o>(&'o self, name: Bound<&str>) -> impl Iterator<Item = (&'o str, &'o Object)> + use<'o> {
        let names = self.names.range::<str, _>((name, Bound::Unbounded));
        names.filter_map(|name| Some((&**name, self.get(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_once_they_are_sorted_and_deleted_ones_are_gone() {
        let mut objects = Objects::default();
        for name in ["c", "a", "deleted", "b"] {
            objects.get_or_add(name);
        }
        objects.remove("deleted");
        objects.get_or_add("again");
        objects.remove("again");
        objects.get_or_add("again");
        while !objects.is_sorted() {
            objects.sort(2);
        }
        let names =
            |objects: &Objects| objects.from(Bound::Unbounded).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&objects), ["a", "again", "b", "c"]);
        objects.remove("b");
        assert_eq!(names(&objects), ["a", "again", "c"]);
        assert!(objects.get("b").is_none() && objects.get_mut("c").is_some());
    }
}
