//! The keys of one object, and the states and names that the keys of all objects share.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::column::map::cells::Cells;
use crate::column::map::names::Names;
use crate::column::map::slots::Slots;
use crate::map::Keys;
use crate::number::Number;
use crate::spec::{MetricKind, Spec};

/// The map of one object.
#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    /// The keys in order of the bytes of their names.
    pub(super) keys: Vec<Key>,
    /// Whether the object has taken a map, even an empty one, in the open period.
    pub(super) seen: bool,
}

/// A key of an object.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    /// The slot of the states of the key.
    pub(super) inner: usize,
}

/// The names and the states of the keys of all objects.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) names: Names,
    /// The inner slots in use.
    pub(super) slots: Slots,
    pub(super) cells: Cells,
}

impl Object {
    /// The index of a key, or the index at which to insert it.
    pub(super) fn find(&self, name: &str) -> Result<usize, usize> {
        self.keys.binary_search_by(|key| (*key.name).cmp(name))
    }
}

impl Store {
    /// Frees the name and the states of a key.
    pub(super) fn release(&mut self, key: &Key) {
        self.cells.clear(key.inner);
        self.slots.release(key.inner);
        self.names.release(&key.name);
    }

    /// Keeps the keys for which `keep` is true, and releases the others.
    pub(super) fn retain(&mut self, object: &mut Object, mut keep: impl FnMut(&mut Cells, usize) -> bool) {
        object.keys.retain(|key| {
            let is_kept = keep(&mut self.cells, key.inner);
            if !is_kept {
                self.release(key);
            }
            is_kept
        });
    }
}

/// The keys of one object, for an update.
pub(super) struct ObjectKeys<'c> {
    pub(super) spec: &'c Spec,
    pub(super) object: &'c mut Object,
    pub(super) store: &'c mut Store,
}

impl Keys for ObjectKeys<'_> {
    fn update(&mut self, at: u64, key: &str, value: Number) -> Result<(), UpdateError> {
        let Store { names, slots, cells } = self.store;
        match self.object.find(key) {
            Ok(index) => cells.update(self.object.keys[index].inner, at, value),
            Err(index) => {
                let inner = slots.take();
                let taken = cells.update(inner, at, value);
                if taken.is_ok() {
                    self.object.keys.insert(index, Key { name: names.take(key), inner });
                } else {
                    cells.clear(inner);
                    slots.release(inner);
                }
                taken
            }
        }
    }

    fn delete(&mut self, key: &str) {
        if let Ok(index) = self.object.find(key)
            && !self.store.cells.forget(self.object.keys[index].inner)
        {
            self.store.release(&self.object.keys.remove(index));
        }
    }

    fn clear(&mut self) {
        if self.spec.metric() == MetricKind::Agg {
            self.object.keys.iter().for_each(|key| self.store.cells.forget_samples(key.inner));
        } else {
            self.store.retain(self.object, Cells::forget);
        }
    }
}
