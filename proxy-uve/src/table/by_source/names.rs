//! The names of sources, each stored once.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

/// The id of a source. Valid as long as a state of the source exists.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::table) struct SourceId(u32);

impl SourceId {
    /// The id of no source.
    pub(in crate::table) const NONE: Self = Self(u32::MAX);
}

/// The names of the sources that have states, and how many states each has.
#[derive(Debug, Default)]
pub(in crate::table) struct SourceNames {
    /// A random seed, because senders choose the names; it is never iterated.
    ids: HashMap<Arc<str>, SourceId, RandomState>,
    /// By id. A free entry has no uses and is in `free`.
    entries: Vec<Entry>,
    free: Vec<SourceId>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    uses: u32,
    /// The same in every process, unlike the id.
    number: derived_stats::SourceId,
}

impl SourceNames {
    /// The id of a name, which gets one if it is new. Either a state [uses](Self::retain) it next, or
    /// [`drop_unused`](Self::drop_unused) takes it back.
    pub(in crate::table) fn intern(&mut self, name: &str) -> SourceId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        let name: Arc<str> = name.into();
        let entry = Entry { name: Arc::clone(&name), uses: 0, number: derived_stats::SourceId::of(&name) };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.0 as usize] = entry;
                id
            }
            None => {
                self.entries.push(entry);
                SourceId((self.entries.len() - 1) as u32)
            }
        };
        self.ids.insert(name, id);
        id
    }

    /// The name of a source.
    pub(in crate::table) fn name(&self, id: SourceId) -> &str {
        self.entries.get(id.0 as usize).map_or("", |entry| &entry.name)
    }

    /// The number that stands for the name of a source in states of algorithms.
    pub(in crate::table) fn number(&self, id: SourceId) -> derived_stats::SourceId {
        self.entries.get(id.0 as usize).map_or(derived_stats::SourceId::UNNAMED, |entry| entry.number)
    }

    /// Counts a new state of the source.
    pub(super) fn retain(&mut self, id: SourceId) {
        let uses = &mut self.entries[id.0 as usize].uses;
        *uses = uses.saturating_add(1);
    }

    /// Counts the end of a state of the source.
    pub(super) fn release(&mut self, id: SourceId) {
        let entry = &mut self.entries[id.0 as usize];
        entry.uses = entry.uses.saturating_sub(1);
        self.drop_unused(id);
    }

    /// Forgets the name if no state uses it.
    pub(in crate::table) fn drop_unused(&mut self, id: SourceId) {
        let entry = &mut self.entries[id.0 as usize];
        if entry.uses == 0 && self.ids.remove(&entry.name).is_some() {
            entry.name = Arc::default();
            self.free.push(id);
        }
        if self.ids.is_empty() {
            *self = Self::default();
        }
    }

    /// How many names there are.
    #[cfg(test)]
    pub(in crate::table) fn len(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_stored_once_and_its_id_is_used_again_when_its_last_state_ends() {
        let mut names = SourceNames::default();
        let (a, b) = (names.intern("a"), names.intern("b"));
        assert_eq!((names.intern("a"), names.name(b), names.len()), (a, "b", 2));
        names.retain(a);
        names.retain(a);
        names.release(a);
        names.drop_unused(b);
        assert_eq!((names.name(a), names.len()), ("a", 1));
        assert_eq!(names.intern("c"), b);
        names.release(a);
        assert_eq!((names.intern("d"), names.name(a)), (a, "d"));
        names.drop_unused(a);
        names.drop_unused(b);
        assert_eq!((names.len(), names.entries.len()), (0, 0));
    }
}
