//! The objects of one table: found by hash for each result, and in the order of their names for readers.

use std::collections::BTreeSet;
use std::hash::BuildHasher as _;
use std::hint::black_box;
use std::ops::Bound;

use daemon_results::block::{BATCH, Row};
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::history::{KeptNumber, RecordIndex};
use crate::object::Object;

/// The most results whose objects are looked up together.
pub(super) const LOOK_AHEAD: usize = BATCH;

/// The empty objects that stay in any case: to drop them means to go through all objects.
const MIN_EMPTY: usize = 64;

/// No object.
const UNKNOWN: u32 = u32::MAX;

/// Where objects are that nobody has looked up.
pub(super) const NO_PLACES: [u32; LOOK_AHEAD] = [UNKNOWN; LOOK_AHEAD];

/// The UVEs of each object, by the object's name.
///
/// An object whose UVEs are all deleted stays as an empty one: mostly it comes back. When a quarter are empty, they go.
#[derive(Debug, Default)]
pub(super) struct Objects {
    objects: Vec<Object>,
    /// The empty ones among them.
    empty: usize,
    /// The index of each object, by the hash of its name.
    by_hash: HashTable<Indexed>,
    /// The names in order, so that a reader can go on where it stopped, but for those of `unsorted`.
    names: BTreeSet<Box<str>>,
    /// The objects whose names the next reader sorts: a start adds all of them at once, and often nobody reads.
    unsorted: Vec<u32>,
    /// How often the objects got other indices.
    epoch: u32,
    /// The era of the numbers that the index of the results gave the objects.
    era: u32,
    /// With a seed of this process, because names come from outside.
    hasher: RandomState,
}

/// The index of an object, with the hash of its name, so that neither a look-up nor the growth of the table has to read
/// the names of other objects.
#[derive(Clone, Copy, Debug)]
struct Indexed {
    hash: u32,
    index: u32,
}

impl Indexed {
    /// The hash as the table takes it: it uses the lowest and the highest bits.
    fn table_hash(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}

impl Objects {
    pub(super) fn get(&self, name: &str) -> Option<&Object> {
        self.objects.get(self.index(name)?).filter(|object| !object.is_empty())
    }

    /// The object with this name, and its index, which is valid for one [epoch](Self::epoch).
    pub(super) fn find(&self, name: &str) -> Option<(u32, &Object)> {
        let index = u32::try_from(self.index(name)?).ok()?;
        Some((index, self.at(index)?))
    }

    /// The object with this index.
    pub(super) fn at(&self, index: u32) -> Option<&Object> {
        self.objects.get(index as usize).filter(|object| !object.is_empty())
    }

    /// A number that changes with the indices of the objects.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Finds the indices of the objects with these names, at most [`LOOK_AHEAD`]; [`UNKNOWN`] for a name that is new. They
    /// are valid until [`drop_empty_if_many`](Self::drop_empty_if_many).
    ///
    /// A name that follows itself is looked up once, if both are the same slice.
    pub(super) fn look_ahead<'n>(&self, names: impl Iterator<Item = &'n str>) -> [u32; LOOK_AHEAD] {
        let (mut distinct, mut known) = ([("", 0); LOOK_AHEAD], 0);
        let mut numbers = [0; LOOK_AHEAD];
        let mut count = 0;
        for (number, name) in numbers.iter_mut().zip(names) {
            if known == 0 || !std::ptr::eq(distinct[known - 1].0, name) {
                distinct[known] = (name, self.hash(name.as_bytes()));
                known += 1;
            }
            *number = known - 1;
            count += 1;
        }
        let found = self.find_all(&distinct[..known]);
        let mut places = [UNKNOWN; LOOK_AHEAD];
        places.iter_mut().zip(&numbers[..count]).for_each(|(place, number)| *place = found[*number]);
        places
    }

    /// The places of the objects with these names, which come with their hashes.
    ///
    /// A look-up waits for memory three times: for the index, for the object, for its bytes. Each step is a loop of its
    /// own, so that the processor waits for many at a time.
    fn find_all(&self, names: &[(&str, u32)]) -> [u32; LOOK_AHEAD] {
        let mut places = [UNKNOWN; LOOK_AHEAD];
        for (place, (_, hash)) in places.iter_mut().zip(names) {
            // Two names with one hash are rare, 116 pairs in a million names: the last loop finds the right one.
            *place = self.indexed(*hash, |_| true);
        }
        let first = |place: &u32| self.objects.get(*place as usize).and_then(|object| object.name().first());
        black_box(places.iter().filter_map(first).fold(0, |sum: u8, byte| sum ^ byte));
        for (place, (name, hash)) in places.iter_mut().zip(names) {
            if *place != UNKNOWN && !self.is_at(*place, name) {
                *place = self.indexed(*hash, |index| self.is_at(index, name));
            }
        }
        places
    }

    /// Adds results to the index of the results, with the numbers that it gave these objects; `places` is where
    /// [`look_ahead`](Self::look_ahead) found them.
    pub(super) fn add_to_index(&mut self, index: &mut RecordIndex<'_>, rows: &[Row<'_>], places: &[u32; LOOK_AHEAD]) {
        if self.era != index.era() {
            self.era = index.era();
            self.objects.iter_mut().for_each(|object| object.index_number = KeptNumber::default());
        }
        let number =
            |place: &u32| self.objects.get(*place as usize).map(|object| object.index_number).unwrap_or_default();
        let mut numbers = places.each_ref().map(number);
        let before = numbers;
        index.add_rows(rows, &mut numbers);
        if numbers != before {
            for (place, number) in places.iter().zip(numbers) {
                if let Some(object) = self.objects.get_mut(*place as usize) {
                    object.index_number = number;
                }
            }
        }
    }

    /// Calls `change` with the object, a new one if it is not known; not at all with four billion of them. `at` is
    /// where [`look_ahead`](Self::look_ahead) found it.
    pub(super) fn get_or_add(&mut self, at: u32, name: &str, change: impl FnOnce(&mut Object)) {
        if let Some(index) = self.index_from(at, name).or_else(|| self.add(name)) {
            self.change(index, change);
        }
    }

    /// Calls `change` with the object if it is known.
    pub(super) fn get_mut(&mut self, at: u32, name: &str, change: impl FnOnce(&mut Object)) {
        if let Some(index) = self.index_from(at, name) {
            self.change(index, change);
        }
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut Object)) {
        let Some(object) = self.objects.get_mut(index) else { return };
        let was_empty = object.is_empty();
        change(object);
        match (was_empty, object.is_empty()) {
            (true, false) => self.empty -= 1,
            (false, true) => self.empty += 1,
            _ => {}
        }
    }

    /// Drops the empty objects if they are many. The indices of the others change.
    pub(super) fn drop_empty_if_many(&mut self) {
        if self.empty > self.objects.len() / 4 + MIN_EMPTY {
            self.drop_empty();
        }
    }

    /// Whether all objects are empty.
    pub(super) fn is_empty(&self) -> bool {
        self.empty == self.objects.len()
    }

    fn is_at(&self, at: u32, name: &str) -> bool {
        self.objects.get(at as usize).is_some_and(|object| object.name() == name.as_bytes())
    }

    fn index_from(&self, at: u32, name: &str) -> Option<usize> {
        debug_assert!(at == UNKNOWN || self.is_at(at, name), "index {at} is of another object");
        if at == UNKNOWN { self.index(name) } else { Some(at as usize) }
    }

    fn index(&self, name: &str) -> Option<usize> {
        let index = self.indexed(self.hash(name.as_bytes()), |index| self.is_at(index, name));
        (index != UNKNOWN).then_some(index as usize)
    }

    /// The index with this hash that `matches`; [`UNKNOWN`] if there is none.
    fn indexed(&self, hash: u32, matches: impl Fn(u32) -> bool) -> u32 {
        let wanted = Indexed { hash, index: UNKNOWN };
        let found = self.by_hash.find(wanted.table_hash(), |known| known.hash == hash && matches(known.index));
        found.map_or(UNKNOWN, |found| found.index)
    }

    fn hash(&self, name: &[u8]) -> u32 {
        (self.hasher.hash_one(name) >> 32) as u32
    }

    /// Adds an empty object.
    fn add(&mut self, name: &str) -> Option<usize> {
        let index = self.objects.len();
        let stored = u32::try_from(index).ok().filter(|stored| *stored != UNKNOWN)?;
        self.objects.push(Object::new(name)?);
        self.empty += 1;
        self.unsorted.push(stored);
        let added = Indexed { hash: self.hash(name.as_bytes()), index: stored };
        self.by_hash.insert_unique(added.table_hash(), added, Indexed::table_hash);
        Some(index)
    }

    /// Drops the empty objects.
    fn drop_empty(&mut self) {
        let Self { objects, empty, names, unsorted, .. } = self;
        let mut unsorted_names = unsorted.drain(..).peekable();
        let (mut index, mut next) = (0, 0);
        let mut still_unsorted = Vec::new();
        objects.retain(|object| {
            let is_unsorted = unsorted_names.next_if_eq(&index).is_some();
            index += 1;
            if object.is_empty() {
                if !is_unsorted && let Ok(name) = std::str::from_utf8(object.name()) {
                    names.remove(name);
                }
                return false;
            }
            if is_unsorted {
                still_unsorted.push(next);
            }
            next += 1;
            true
        });
        drop(unsorted_names);
        (*empty, *unsorted) = (0, still_unsorted);
        self.epoch = self.epoch.wrapping_add(1);
        let mut by_hash = HashTable::with_capacity(self.objects.len());
        for (index, object) in (0..).zip(&self.objects) {
            let kept = Indexed { hash: self.hash(object.name()), index };
            by_hash.insert_unique(kept.table_hash(), kept, Indexed::table_hash);
        }
        self.by_hash = by_hash;
    }

    /// Whether all names are in order.
    pub(super) fn is_sorted(&self) -> bool {
        self.unsorted.is_empty()
    }

    /// Sorts the names of at most `limit` new objects.
    pub(super) fn sort(&mut self, limit: usize) {
        let from = self.unsorted.len().saturating_sub(limit);
        for index in self.unsorted.drain(from..) {
            let name = self.objects.get(index as usize).and_then(|object| std::str::from_utf8(object.name()).ok());
            self.names.extend(name.map(Box::from));
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
    use std::cell::RefCell;
    use std::sync::Arc;

    use daemon_results::block::{UveShape, Values};

    use super::*;
    use crate::generations::Generations;
    use crate::object::Scratch;

    fn shapes() -> [Arc<UveShape>; 1] {
        [Arc::new(UveShape { uve: "U".into(), ..UveShape::default() })]
    }

    thread_local! {
        /// Of the objects of one test.
        static GENERATIONS: RefCell<Generations> = RefCell::default();
    }

    fn add(objects: &mut Objects, name: &str) {
        let shapes = shapes();
        let row = Row {
            key: name,
            shape: &shapes[0],
            start: 0,
            end: 0,
            deleted: false,
            partial: false,
            values: Values::default(),
        };
        let [place, ..] = objects.look_ahead([name].into_iter());
        GENERATIONS.with_borrow_mut(|generations| {
            objects.get_or_add(place, name, |object| {
                object.apply(&shapes, 0, &row, &mut Scratch::default(), generations);
            });
        });
    }

    fn remove(objects: &mut Objects, name: &str) {
        let [place, ..] = objects.look_ahead([name].into_iter());
        GENERATIONS.with_borrow_mut(|generations| {
            objects.get_mut(place, name, |object| {
                object.remove(&shapes(), "U", &mut Scratch::default(), generations);
            });
        });
        objects.drop_empty_if_many();
    }

    #[test]
    fn names_are_in_order_once_they_are_sorted_and_deleted_ones_are_gone() {
        let mut objects = Objects::default();
        for name in ["c", "a", "deleted", "b"] {
            add(&mut objects, name);
        }
        remove(&mut objects, "deleted");
        add(&mut objects, "again");
        remove(&mut objects, "again");
        add(&mut objects, "again");
        while !objects.is_sorted() {
            objects.sort(2);
        }
        let names =
            |objects: &Objects| objects.from(Bound::Unbounded).map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&objects), ["a", "again", "b", "c"]);
        remove(&mut objects, "b");
        assert_eq!(names(&objects), ["a", "again", "c"]);
        assert!(objects.get("b").is_none() && objects.get("c").is_some());
    }

    #[test]
    fn objects_whose_names_have_one_hash_are_told_apart() {
        let mut objects = Objects::default();
        let mut by_hash = std::collections::HashMap::new();
        // Among 300,000 names are ten such pairs, for most seeds.
        let pair = (0..10_000_000_u32).find_map(|number| {
            let name = format!("object {number}");
            by_hash.insert(objects.hash(name.as_bytes()), name.clone()).map(|other| [other, name])
        });
        let [one, other] = pair.expect("two names with one hash");
        add(&mut objects, &one);
        assert_eq!(objects.look_ahead([&*other, &*one].into_iter())[..2], [UNKNOWN, 0]);
        add(&mut objects, &other);
        assert_eq!(objects.look_ahead([&*other, &*one].into_iter())[..2], [1, 0]);
        remove(&mut objects, &one);
        assert!(objects.get(&one).is_none() && objects.get(&other).is_some());
    }

    #[test]
    fn any_order_of_new_and_deleted_objects_leaves_those_that_an_ordered_set_has() {
        let (mut objects, mut expected, mut random) = (Objects::default(), BTreeSet::new(), 1_u64);
        for step in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let name = format!("object {}", random >> 40 & 255);
            if random >> 62 == 0 {
                remove(&mut objects, &name);
                expected.remove(&name);
            } else {
                add(&mut objects, &name);
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
        expected.iter().for_each(|name| remove(&mut objects, name));
        assert!(objects.is_empty() && objects.by_hash.len() <= MIN_EMPTY, "{}", objects.by_hash.len());
    }
}
