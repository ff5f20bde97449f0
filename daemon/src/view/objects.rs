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
    objects: Vec<(Arc<str>, Object)>,
    /// The index of each object, by the hash of its name.
    by_hash: HashTable<u32>,
    /// The names in order, so that a reader can go on where it stopped, but for those of `unsorted`.
    names: BTreeSet<Arc<str>>,
    /// The names of new objects, which the next reader sorts: a start adds all of them at once, and often nobody reads.
    /// Some may be of objects that are deleted again.
    unsorted: Vec<Arc<str>>,
    hasher: RandomState,
}

impl Objects {
    pub(super) fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(self.index(name)?).map(|(_, object)| object)
    }

    /// The object, if it is known.
    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Object> {
        let index = self.index(name)?;
        self.objects.get_mut(index).map(|(_, object)| object)
    }

    /// The object, a new one if it is not known; `None` with four billion of them.
    pub(super) fn get_or_add(&mut self, name: &str) -> Option<&mut Object> {
        let index = match self.index(name) {
            Some(index) => index,
            None => self.add(name)?,
        };
        self.objects.get_mut(index).map(|(_, object)| object)
    }

    pub(super) fn remove(&mut self, name: &str) {
        let Some(index) = self.index(name) else { return };
        self.forget_index(name, index);
        self.names.remove(name);
        self.objects.swap_remove(index);
        // The last object has its place now.
        let (moved, last) = (self.objects.get(index).map(|(name, _)| Arc::clone(name)), self.objects.len());
        if let Some(moved) = moved {
            self.forget_index(&moved, last);
            self.note_index(&moved, index as u32);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn index(&self, name: &str) -> Option<usize> {
        let is_name = |index: &u32| self.objects.get(*index as usize).is_some_and(|(known, _)| **known == *name);
        self.by_hash.find(self.hasher.hash_one(name), is_name).map(|index| *index as usize)
    }

    fn add(&mut self, name: &str) -> Option<usize> {
        let (index, name) = (self.objects.len(), Arc::<str>::from(name));
        let stored = u32::try_from(index).ok()?;
        self.objects.push((Arc::clone(&name), Object::default()));
        self.note_index(&name, stored);
        self.unsorted.push(name);
        Some(index)
    }

    fn note_index(&mut self, name: &str, index: u32) {
        let Self { objects, by_hash, hasher, .. } = self;
        let hash = |index: &u32| objects.get(*index as usize).map_or(0, |(name, _)| hasher.hash_one(&**name));
        by_hash.insert_unique(hasher.hash_one(name), index, hash);
    }

    fn forget_index(&mut self, name: &str, index: usize) {
        if let Ok(entry) = self.by_hash.find_entry(self.hasher.hash_one(name), |known| *known as usize == index) {
            entry.remove();
        }
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
            objects.get_or_add(name).unwrap();
        }
        objects.remove("deleted");
        objects.get_or_add("again").unwrap();
        objects.remove("again");
        objects.get_or_add("again").unwrap();
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

    #[test]
    fn any_order_of_new_and_deleted_objects_leaves_those_that_an_ordered_set_has() {
        let (mut objects, mut expected, mut random) = (Objects::default(), BTreeSet::new(), 1_u64);
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let name = format!("object {}", random >> 40 & 255);
            if random >> 62 == 0 {
                objects.remove(&name);
                expected.remove(&name);
            } else {
                objects.get_or_add(&name).unwrap();
                expected.insert(name);
            }
            if step % 97 == 0 {
                while !objects.is_sorted() {
                    objects.sort(10);
                }
                assert!(objects.from(Bound::Unbounded).map(|(name, _)| name).eq(expected.iter().map(String::as_str)));
            }
        }
        assert!(expected.len() > 100 && expected.iter().all(|name| objects.get(name).is_some()));
        expected.iter().for_each(|name| objects.remove(name));
        assert!(objects.is_empty() && objects.by_hash.is_empty());
    }
}
