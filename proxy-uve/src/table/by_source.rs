//! States of an object for each of its sources.
//!
//! The samples of an object come from many sources, such as the vrouters of a virtual network. The increase of a counter
//! is that of one source, and a sum of levels has the last one of each source. A [`BySource`] column has a state of each source that an object has, in a list that
//! is sorted by the id of the source. Most objects of such a column have few sources; one needs no allocation of its
//! own. The names of the sources are stored once for all columns of a stream.

mod names;

use smallvec::SmallVec;

pub(in crate::table) use self::names::{SourceId, SourceNames};
use crate::table::CHUNK_SLOTS;

/// A state of each source of each object, by slot.
#[derive(Debug)]
pub(in crate::table) struct BySource<V> {
    objects: Vec<States<V>>,
    /// The bytes of the states in each chunk of a snapshot.
    chunks: Vec<usize>,
    /// The bytes of a state in a snapshot, without its name, as an upper bound.
    state_bytes: usize,
}

type States<V> = SmallVec<[(SourceId, V); 1]>;

/// The bounds of a [`BySource`] column.
#[derive(Clone, Copy, Debug)]
pub(in crate::table) struct SourceLimits {
    /// The most sources of an object.
    pub(in crate::table) of_object: usize,
    /// The most bytes of the states in a chunk of a snapshot, beside those that are granted.
    pub(in crate::table) chunk_bytes: usize,
    /// So many sources are granted to each object: one with very many leaves room for its neighbours.
    pub(in crate::table) granted: usize,
}

/// The state of a further source would exceed a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::table) struct OverLimit;

impl<V> Default for BySource<V> {
    fn default() -> Self {
        Self::with_state_bytes(size_of::<V>())
    }
}

impl<V> BySource<V> {
    /// No states. Each has at most so many bytes in a snapshot, without its name.
    pub(in crate::table) fn with_state_bytes(state_bytes: usize) -> Self {
        Self { objects: Vec::new(), chunks: Vec::new(), state_bytes }
    }

    /// Whether no object has a state.
    pub(in crate::table) fn is_empty(&self) -> bool {
        self.chunks.iter().all(|bytes| *bytes == 0)
    }

    /// The state of a source of an object.
    pub(in crate::table) fn get_mut(&mut self, slot: usize, source: SourceId) -> Option<&mut V> {
        let states = self.objects.get_mut(slot)?;
        let index = find(states, source).ok()?;
        Some(&mut states[index].1)
    }

    /// Adds the state of a further source of an object.
    pub(in crate::table) fn add(
        &mut self,
        names: &mut SourceNames,
        limits: SourceLimits,
        slot: usize,
        source: SourceId,
        state: V,
    ) -> Result<(), OverLimit> {
        let bytes = self.bytes_of(names, source);
        let in_chunk = self.chunks.get(slot / CHUNK_SLOTS).copied().unwrap_or(0);
        let sources = self.len(slot);
        let is_chunk_full = sources >= limits.granted && in_chunk + bytes > limits.chunk_bytes;
        if sources >= limits.of_object || is_chunk_full {
            return Err(OverLimit);
        }
        let states = self.states_mut(slot);
        if let Err(index) = find(states, source) {
            states.insert(index, (source, state));
            names.retain(source);
            self.chunks[slot / CHUNK_SLOTS] += bytes;
        }
        Ok(())
    }

    /// Sets all states of an object without regard to limits: they were in a snapshot.
    pub(in crate::table) fn restore(&mut self, names: &mut SourceNames, slot: usize, states: Vec<(SourceId, V)>) {
        self.clear(names, slot);
        let mut states = SmallVec::from_vec(states);
        states.sort_by_key(|(source, _)| *source);
        let bytes: usize = states.iter().map(|(source, _)| self.bytes_of(names, *source)).sum();
        states.iter().for_each(|(source, _)| names.retain(*source));
        *self.states_mut(slot) = states;
        self.chunks[slot / CHUNK_SLOTS] += bytes;
    }

    /// How many sources of an object have a state.
    pub(in crate::table) fn len(&self, slot: usize) -> usize {
        self.objects.get(slot).map_or(0, SmallVec::len)
    }

    /// The states of an object.
    pub(in crate::table) fn iter(&self, slot: usize) -> impl Iterator<Item = (SourceId, &V)> {
        self.objects.get(slot).into_iter().flatten().map(|(source, state)| (*source, state))
    }

    /// Drops the states of an object for which `keep` is false. Whether there are any. `keep` may change a state.
    pub(in crate::table) fn retain(
        &mut self,
        names: &mut SourceNames,
        slot: usize,
        mut keep: impl FnMut(&mut V) -> bool,
    ) -> bool {
        let state_bytes = self.state_bytes;
        let Some(states) = self.objects.get_mut(slot) else {
            return false;
        };
        let before = states.len();
        let mut bytes = 0;
        states.retain(|(source, state)| {
            let keeps = keep(state);
            if !keeps {
                bytes += bytes_of(names, *source, state_bytes);
                names.release(*source);
            }
            keeps
        });
        if states.len() == before {
            return false;
        }
        states.shrink_to_fit();
        let chunk = &mut self.chunks[slot / CHUNK_SLOTS];
        *chunk = chunk.saturating_sub(bytes);
        true
    }

    /// Drops the states of all objects for which `keep` is false, and calls `changed` with the slot of each object that
    /// has lost some.
    pub(in crate::table) fn retain_all(
        &mut self,
        names: &mut SourceNames,
        keep: impl Fn(&V) -> bool,
        mut changed: impl FnMut(usize),
    ) {
        for slot in 0..self.objects.len() {
            if self.retain(names, slot, |state| keep(state)) {
                changed(slot);
            }
        }
    }

    /// Drops the states of an object.
    pub(in crate::table) fn clear(&mut self, names: &mut SourceNames, slot: usize) {
        self.retain(names, slot, |_| false);
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(in crate::table) fn shrink(&mut self, names: &mut SourceNames, slots: usize) {
        for slot in slots..self.objects.len() {
            self.clear(names, slot);
        }
        self.objects.truncate(slots);
        self.objects.shrink_to_fit();
        self.chunks.truncate(slots.div_ceil(CHUNK_SLOTS));
    }

    fn states_mut(&mut self, slot: usize) -> &mut States<V> {
        if slot >= self.objects.len() {
            self.objects.resize_with(slot + 1, SmallVec::new);
            self.chunks.resize(slot / CHUNK_SLOTS + 1, 0);
        }
        &mut self.objects[slot]
    }

    fn bytes_of(&self, names: &SourceNames, source: SourceId) -> usize {
        bytes_of(names, source, self.state_bytes)
    }
}

/// The bytes of a state with its name and the length of that in a snapshot, as an upper bound.
fn bytes_of(names: &SourceNames, source: SourceId, state_bytes: usize) -> usize {
    (size_of::<u64>() + names.name(source).len().next_multiple_of(8)).saturating_add(state_bytes)
}

fn find<V>(states: &[(SourceId, V)], source: SourceId) -> Result<usize, usize> {
    states.binary_search_by_key(&source, |(source, _)| *source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: SourceLimits = SourceLimits { of_object: 3, chunk_bytes: 60, granted: 1 };

    #[test]
    fn states_are_kept_apart_by_object_and_source_and_names_end_with_them() {
        let (mut names, mut states) = (SourceNames::default(), BySource::default());
        let [a, b] = ["a", "b"].map(|name| names.intern(name));
        let limits = SourceLimits { chunk_bytes: 1000, ..LIMITS };
        for (slot, source, state) in [(0, a, 1), (3, b, 4), (3, a, 3)] {
            assert_eq!(states.add(&mut names, limits, slot, source, state), Ok(()));
        }
        let all = |states: &BySource<i32>, slot| states.iter(slot).map(|(source, state)| (source, *state)).collect();
        let found: [Vec<_>; 3] = [0, 1, 3].map(|slot| all(&states, slot));
        assert_eq!(found, [vec![(a, 1)], vec![], vec![(a, 3), (b, 4)]]);
        assert_eq!((states.len(3), states.len(9)), (2, 0));
        assert_eq!((states.get_mut(3, b).copied(), states.get_mut(0, b)), (Some(4), None));

        let mut changed = Vec::new();
        states.retain_all(&mut names, |state| *state != 4, |slot| changed.push(slot));
        assert_eq!((names.len(), names.name(a), changed), (1, "a", vec![3]));
        states.shrink(&mut names, 1);
        assert_eq!((names.len(), states.len(3)), (1, 0));
        states.clear(&mut names, 0);
        assert_eq!(names.len(), 0);
    }

    #[test]
    fn the_states_of_an_object_and_of_a_chunk_are_bounded_and_make_room_again() {
        let (mut names, mut states) = (SourceNames::default(), BySource::default());
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| names.intern(name));
        let add = |states: &mut BySource<i32>, names: &mut _, slot, source| states.add(names, LIMITS, slot, source, 1);
        // 20 bytes each: the chunk is full with the third.
        let added = [a, b, c, d].map(|source| add(&mut states, &mut names, 7, source));
        assert_eq!(added, [Ok(()), Ok(()), Ok(()), Err(OverLimit)]);
        let added = [(8, a), (8, b), (CHUNK_SLOTS, a), (CHUNK_SLOTS, b)];
        let added = added.map(|(slot, source)| add(&mut states, &mut names, slot, source));
        assert_eq!(added, [Ok(()), Err(OverLimit), Ok(()), Ok(())], "one is granted, and another chunk is empty");
        states.clear(&mut names, 7);
        assert_eq!(add(&mut states, &mut names, 8, b), Ok(()));
        states.restore(&mut names, 8, vec![(b, 2), (a, 3)]);
        assert_eq!((states.len(8), states.chunks[0]), (2, 40));
    }
}
