//! The key map as one stream uses it: its own, or one that it shares with other streams.

use crate::table::objects::slots::Slots;

/// The keys and slots of objects. A call is resolved at compile time: a table of one stream has no cost for those of
/// several.
pub(in crate::table) trait Keys {
    /// The keys, to look up.
    fn slots(&self) -> &Slots;

    /// The keys, to add to them.
    fn slots_mut(&mut self) -> &mut Slots;

    /// Frees a slot of which the caller has no state any more, unless another stream has.
    fn free(&mut self, slot: usize);

    /// Gives memory back after many slots were freed. The new number of slots, if it is lower: the caller's columns
    /// shrink to it.
    fn shrink(&mut self) -> Option<usize>;
}

impl Keys for Slots {
    #[inline]
    fn slots(&self) -> &Slots {
        self
    }

    #[inline]
    fn slots_mut(&mut self) -> &mut Slots {
        self
    }

    fn free(&mut self, slot: usize) {
        self.remove(slot);
    }

    fn shrink(&mut self) -> Option<usize> {
        Self::shrink(self)
    }
}
