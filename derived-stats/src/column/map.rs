//! The column of map-valued metrics: a pipeline for each key of each object.

mod cells;
mod names;
mod object;
mod periodic;
mod saved;
mod slots;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::column::{WORD, bits};
use crate::map::{self, MapError};
use crate::number::Number;
use crate::output::Output;
use crate::report::Report;
use crate::spec::{Silence, Spec};

use self::cells::Cells;
use self::names::Names;
use self::object::{Key, Object, ObjectKeys, Store};
use self::slots::Slots;

/// The maps of many objects under one spec. The results equal those of a [`MapPipeline`](crate::MapPipeline) for each
/// object, bit for bit.
///
/// An object has a slot, as in every column. Its keys are ordered by their bytes, so the order of results is stable.
/// The states of the keys of all objects are in the columns that a scalar metric uses. Each key gets the lowest free
/// slot of them.
///
/// # Cost
///
/// A key of an object takes the memory of its states and 24 bytes for its entry. A sum of a period takes 40 bytes: 16
/// in the open window, 16 in the closed one and 8 for its end. A sum with the detector `EWM` takes 48, the reading of a
/// counter 16 more. Objects share the names of their keys. [`bytes`](Self::bytes) returns the total. The time of a
/// sample is logarithmic in the number of keys of its object; a new key also moves the entries of the keys after it. A
/// close iterates over the keys of the closed objects. One close of all objects is cheaper than several closes of some,
/// because the keys of an object need not be adjacent.
///
/// The number of keys is not limited: the caller must bound the keys that it sends and does not delete.
///
/// ```
/// use std::sync::Arc;
///
/// use derived_stats::column::MapColumn;
/// use derived_stats::{Context, Number, Silence, Spec, ValueType};
///
/// let spec = Spec::parse("1-raw:DSSum", Context::new(ValueType::U64))?;
/// let mut tenants = MapColumn::new(Arc::new(spec));
/// // The object in slot 7 has two tenants, the one in slot 9 has one.
/// tenants.update(7, 0, [("blue", Number::U64(20)), ("red", Number::U64(1))], [])?;
/// tenants.update(7, 1, [("blue", Number::U64(16))], [])?;
/// tenants.update(9, 1, [("blue", Number::U64(5))], [])?;
/// let mut sums = Vec::new();
/// tenants.close_all(60_000_000, Silence::Once, |slot, key, report| {
///     sums.push((slot, key.to_owned(), report.forced().and_then(|output| output.value())));
/// });
/// let sum = |slot, key: &str, sum| (slot, key.to_owned(), Some(Number::U64(sum)));
/// assert_eq!(sums, [sum(7, "blue", 36), sum(7, "red", 1), sum(9, "blue", 5)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MapColumn {
    spec: Arc<Spec>,
    /// The maps by slot.
    objects: Vec<Object>,
    store: Store,
    /// A reusable buffer for the inner slots of a close.
    closing: Vec<usize>,
}

impl MapColumn {
    /// An empty column.
    pub fn new(spec: Arc<Spec>) -> Self {
        let store = Store { names: Names::default(), slots: Slots::default(), cells: Cells::new(&spec) };
        Self { spec, objects: Vec::new(), store, closing: Vec::new() }
    }

    /// The compiled annotation.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Takes the map of the object at time `at`, in microseconds: its values, and its keys with the delete mark. The
    /// rules are those of [`MapPipeline::update`](crate::MapPipeline::update): a key that is not in the map does not
    /// change, a key with the mark is dropped, and an empty map drops all keys.
    ///
    /// # Errors
    ///
    /// The first sample that its pipeline refused. All other keys are updated.
    pub fn update<'k>(
        &mut self,
        slot: usize,
        at: u64,
        values: impl IntoIterator<Item = (&'k str, Number)>,
        deleted: impl IntoIterator<Item = &'k str>,
    ) -> Result<(), MapError> {
        self.object_mut(slot).seen = true;
        let Self { spec, objects, store, .. } = self;
        map::update(&mut ObjectKeys { spec, object: &mut objects[slot], store }, at, values, deleted)
    }

    fn object_mut(&mut self, slot: usize) -> &mut Object {
        if slot >= self.objects.len() {
            self.objects.resize_with(slot + 1, Object::default);
        }
        &mut self.objects[slot]
    }

    /// Ends the open period of an object at time `now`, in microseconds; see [`close_many`](Self::close_many).
    pub fn close(
        &mut self,
        slot: usize,
        now: u64,
        silence: Silence,
        flushed: impl FnMut(usize, &str, Report<Output<'_>>),
    ) {
        self.close_many(slot / WORD, 1 << (slot % WORD), now, silence, flushed);
    }

    /// Ends the open periods of up to 64 objects at time `now`, in microseconds: bit `i` of `slots` is the bit of slot
    /// `64 * word + i`. Calls `flushed` with the slot, the key and the result of each key with a result, in this order,
    /// with the results of [`MapPipeline::close_period`](crate::MapPipeline::close_period). An inline pipeline has no
    /// periods.
    ///
    /// For a pipeline that acts on every n-th period, the caller calls this at every n-th.
    pub fn close_many(
        &mut self,
        word: usize,
        slots: u64,
        now: u64,
        silence: Silence,
        mut flushed: impl FnMut(usize, &str, Report<Output<'_>>),
    ) {
        let (first, end) = (word.saturating_mul(WORD), self.objects.len());
        let closed = || bits(slots).map(|bit| first.saturating_add(bit)).take_while(|slot| *slot < end);
        closed().for_each(|slot| self.end_period(slot));
        let mut inner = core::mem::take(&mut self.closing);
        inner.clear();
        inner.extend(closed().flat_map(|slot| &self.objects[slot].keys).map(|key| key.inner));
        inner.sort_unstable();
        for same in inner.chunk_by(|left, right| left / WORD == right / WORD) {
            let slots = same.iter().fold(0, |slots, slot| slots | 1 << (slot % WORD));
            self.store.cells.close(same[0] / WORD, slots, now, silence);
        }
        self.closing = inner;
        closed().for_each(|slot| self.flush(slot, now, &mut flushed));
    }

    /// Ends the open periods of all objects; see [`close_many`](Self::close_many).
    pub fn close_all(&mut self, now: u64, silence: Silence, mut flushed: impl FnMut(usize, &str, Report<Output<'_>>)) {
        let closed = 0..self.objects.len();
        closed.clone().for_each(|slot| self.end_period(slot));
        let Store { cells, slots, .. } = &mut self.store;
        slots.words().iter().enumerate().for_each(|(word, slots)| cells.close(word, *slots, now, silence));
        closed.for_each(|slot| self.flush(slot, now, &mut flushed));
    }

    /// Starts the next period of an object: drops the keys without samples since the last close.
    fn end_period(&mut self, slot: usize) {
        if self.spec.is_periodic() {
            self.objects[slot].seen = false;
            self.store.retain(&mut self.objects[slot], |cells, inner| !cells.is_idle(inner));
        }
    }

    fn flush(&mut self, slot: usize, now: u64, flushed: &mut impl FnMut(usize, &str, Report<Output<'_>>)) {
        let cells = &mut self.store.cells;
        for key in &self.objects[slot].keys {
            let Some(report) = cells.flushed(key.inner, now) else {
                continue;
            };
            let is_valid = report.as_ref().forced().is_some();
            flushed(slot, &key.name, report);
            if !is_valid {
                cells.drop_unready(key.inner);
            }
        }
    }

    fn keys_of(&self, slot: usize) -> &[Key] {
        self.objects.get(slot).map_or(&[], |object| &object.keys)
    }

    /// The keys of the object, in order of their bytes.
    pub fn keys(&self, slot: usize) -> impl ExactSizeIterator<Item = &str> {
        self.keys_of(slot).iter().map(|key| &*key.name)
    }

    /// Whether the object has taken a map, even an empty one, in its open period, or its newest period had samples; for
    /// an inline pipeline, whether the object has taken a map.
    pub fn is_active(&self, slot: usize) -> bool {
        let has_samples = || self.keys_of(slot).iter().any(|key| self.store.cells.is_active(key.inner));
        self.objects.get(slot).is_some_and(|object| object.seen) || has_samples()
    }

    /// The result of a key of the object at time `now`, as in [`reports`](Self::reports); `None` if the key has none.
    pub fn report(&self, slot: usize, key: &str, now: u64) -> Option<Report<Output<'_>>> {
        let object = self.objects.get(slot)?;
        self.store.cells.report(object.keys[object.find(key).ok()?].inner, now)
    }

    /// The result of each key of the object at time `now`, in microseconds; see [`Spec::report`].
    pub fn reports(&self, slot: usize, now: u64) -> impl Iterator<Item = (&str, Report<Output<'_>>)> {
        let report = move |key: &'_ Key| self.store.cells.report(key.inner, now);
        self.keys_of(slot).iter().filter_map(move |key| Some((&*key.name, report(key)?)))
    }

    /// The open period of each key of the object; see [`Spec::running`].
    pub fn running(&self, slot: usize, now: u64) -> impl Iterator<Item = (&str, Report<Output<'_>>)> {
        let running = move |key: &'_ Key| self.store.cells.running(key.inner, now);
        self.keys_of(slot).iter().filter_map(move |key| Some((&*key.name, running(key)?)))
    }

    /// Resets the object to a map without keys.
    pub fn clear(&mut self, slot: usize) {
        if let Some(object) = self.objects.get_mut(slot) {
            object.keys.iter().for_each(|key| self.store.release(key));
            *object = Object::default();
        }
    }

    /// Reserves capacity for `slots` objects with `keys` keys in total.
    pub fn reserve(&mut self, slots: usize, keys: usize) {
        self.objects.reserve_exact(slots.saturating_sub(self.objects.len()));
        self.store.slots.reserve(keys);
        self.store.cells.reserve(keys);
    }

    /// Drops the objects from slot `slots` on, and frees their memory and that of the states after the last key in use.
    /// A later key reuses the state of a dropped key before that one.
    pub fn shrink(&mut self, slots: usize) {
        (slots..self.objects.len()).for_each(|slot| self.clear(slot));
        self.objects.truncate(slots);
        self.objects.shrink_to_fit();
        self.objects.iter_mut().for_each(|object| object.keys.shrink_to_fit());
        self.closing = Vec::new();
        self.store.slots.shrink();
        self.store.cells.shrink(self.store.slots.end());
    }

    /// The allocated bytes, those of states included. Does not count the overhead of the nodes of the
    /// search tree of names.
    pub fn bytes(&self) -> usize {
        let keys: usize = self.objects.iter().map(|object| object.keys.capacity()).sum();
        let objects = self.objects.capacity() * size_of::<Object>() + keys * size_of::<Key>();
        let Store { names, slots, cells } = &self.store;
        objects + self.closing.capacity() * size_of::<usize>() + names.bytes() + slots.bytes() + cells.bytes()
    }
}

impl fmt::Debug for MapColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, objects, store, .. } = self;
        let spec = spec.identity();
        f.debug_struct("MapColumn").field("spec", &spec).field("objects", objects).field("store", store).finish()
    }
}
