//! The objects of a stream: keys and slots, liveness, and which of them changed.

mod arena;
mod bits;
mod keys;
mod liveness;
mod skip;
mod slots;
mod window_group;

use derived_stats::column::{Update, WORD};

pub(super) use self::bits::{Bits, ones};
pub(super) use self::keys::Keys;
pub(super) use self::liveness::{LivenessChange, MAX_SILENT};
pub(super) use self::slots::{BATCH, MAX_KEY_BYTES, Slots, UNKNOWN};
pub(super) use self::window_group::WindowGroup;
use crate::table::CHUNK_SLOTS;
use crate::table::closing::Closing;
use crate::table::plan::Plan;
use crate::table::window::by_window;

/// The liveness of one stream's objects, by slot, and the chunks of slots that changed.
///
/// Which object a slot belongs to is the [`Keys`]' part, because several streams can share one key map.
#[derive(Debug)]
pub(super) struct Objects {
    groups: Vec<WindowGroup>,
    /// Chunks that changed since the last snapshot.
    changed: Bits,
    /// Closes every window by itself, as the reference for the shortcut.
    #[cfg(test)]
    never_skips: bool,
}

impl Objects {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            groups: plan.groups.iter().map(|_| WindowGroup::default()).collect(),
            changed: Bits::default(),
            #[cfg(test)]
            never_skips: false,
        }
    }

    pub(super) fn group(&self, index: usize) -> &WindowGroup {
        &self.groups[index]
    }

    pub(super) fn group_mut(&mut self, index: usize) -> &mut WindowGroup {
        &mut self.groups[index]
    }

    /// Forgets all that a group has of any object.
    pub(super) fn reset_group(&mut self, index: usize) {
        self.groups[index] = WindowGroup::default();
    }

    /// Records a sample in every group.
    #[inline]
    pub(super) fn touch(&mut self, plan: &Plan, slot: usize, at: u64) {
        for (group, plan) in self.groups.iter_mut().zip(&plan.groups) {
            group.touch(plan, slot, at);
        }
        self.mark_changed(slot);
    }

    /// Records many samples in every group.
    pub(super) fn touch_all(&mut self, plan: &Plan, updates: &[Update]) {
        for (group, plan) in self.groups.iter_mut().zip(&plan.groups) {
            by_window(updates, plan.period).for_each(|(start, updates)| group.touch_all(start, updates));
        }
        updates.iter().for_each(|update| self.mark_changed(update.slot as usize));
    }

    /// Whether the object is alive or has samples in any group.
    pub(super) fn contains(&self, slot: usize) -> bool {
        self.groups.iter().any(|group| !group.is_done_with(slot))
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, slot: usize) {
        self.groups.iter_mut().for_each(|group| group.remove(slot));
        self.mark_changed(slot);
    }

    /// Moves the liveness of 64 objects, from slot `64 * word` on, past the end of the closing window.
    pub(super) fn close_word(&mut self, plan: &Plan, closing: &Closing, word: usize) -> LivenessChange {
        let &Closing { group, is_unknown, .. } = closing;
        let change = self.groups[group].close_word(&plan.groups[group], word, !is_unknown);
        if change.alive | change.deleted != 0 {
            self.mark_changed(word * WORD);
        }
        change
    }

    /// The end of the next window that is due and its group: of all groups the one whose window ends first.
    pub(super) fn next_due(&self, plan: &Plan, watermark: u64) -> Option<(u64, usize)> {
        let groups = self.groups.iter().zip(&plan.groups).enumerate();
        let ends =
            groups.filter_map(|(index, (group, plan))| Some((group.next_start()?.checked_add(plan.period)?, index)));
        ends.filter(|&(end, _)| end <= watermark).min()
    }

    /// Includes the chunk of a slot in the next snapshot.
    #[inline]
    pub(super) fn mark_changed(&mut self, slot: usize) {
        self.changed.insert(slot / CHUNK_SLOTS);
    }

    /// Includes the chunks of the first `slots` slots in the next snapshot.
    pub(super) fn mark_all_changed(&mut self, slots: usize) {
        (0..slots.div_ceil(CHUNK_SLOTS)).for_each(|chunk| self.changed.insert(chunk));
    }

    /// The chunks that changed since the last call.
    pub(super) fn take_changed(&mut self) -> Bits {
        std::mem::take(&mut self.changed)
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(super) fn shrink(&mut self, slots: usize) {
        self.groups.iter_mut().for_each(|group| group.shrink(slots));
    }
}
