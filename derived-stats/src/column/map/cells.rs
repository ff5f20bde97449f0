//! The states of keys, by inner slot, in the columns of scalar metrics.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::column::map::periodic::Periodic;
use crate::column::{InlineColumn, WindowColumn};
use crate::number::Number;
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::spec::{Silence, Spec};

/// The states of the keys of all objects.
#[derive(Clone, Debug)]
pub(super) enum Cells {
    Inline(InlineColumn),
    Periodic(Box<Periodic>),
}

impl Cells {
    pub(super) fn new(spec: &Spec) -> Self {
        match WindowColumn::new(spec) {
            None => Self::Inline(InlineColumn::of_link(spec, spec.first())),
            Some(window) => Self::Periodic(Box::new(Periodic::new(spec, window))),
        }
    }

    /// Takes a sample. If a slot refuses its first sample, the caller must clear the slot.
    pub(super) fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        match self {
            Self::Inline(inline) => inline.update(slot, at, value),
            Self::Periodic(periodic) => periodic.update(slot, at, value),
        }
    }

    /// The result, as [`MapPipeline::report`](crate::MapPipeline::report) returns it.
    pub(super) fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self {
            Self::Inline(inline) => inline.report(slot, now),
            Self::Periodic(periodic) => periodic.report(slot, now),
        }
    }

    /// The result of the open period, as [`Spec::running`] returns it.
    pub(super) fn running(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self {
            Self::Inline(_) => None,
            Self::Periodic(periodic) => periodic.running(slot, now),
        }
    }

    /// Whether a slot is active, as [`Spec::is_active`] returns it.
    pub(super) fn is_active(&self, slot: usize) -> bool {
        match self {
            Self::Inline(inline) => !inline.is_empty(slot),
            Self::Periodic(periodic) => periodic.is_active(slot),
        }
    }

    /// Whether a close drops the key: its last period had no samples, and it has neither a counter reading nor a
    /// detector.
    pub(super) fn is_idle(&self, slot: usize) -> bool {
        match self {
            Self::Inline(_) => false,
            Self::Periodic(periodic) => periodic.is_idle(slot),
        }
    }

    /// Ends the open windows of these slots.
    pub(super) fn close(&mut self, word: usize, slots: u64, now: u64, silence: Silence) {
        match self {
            Self::Inline(_) => {}
            Self::Periodic(periodic) => periodic.close(word, slots, now, silence),
        }
    }

    /// The result of a slot at the close at `now`.
    pub(super) fn flushed(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self {
            Self::Inline(_) => None,
            Self::Periodic(periodic) => periodic.flushed(slot, now),
        }
    }

    /// Drops a closed window without a valid result: only a valid one stays until the next close.
    pub(super) fn drop_unready(&mut self, slot: usize) {
        match self {
            Self::Inline(_) => {}
            Self::Periodic(periodic) => periodic.drop_unready(slot),
        }
    }

    /// Drops the state of a deleted key, except for the result of its closed window. Returns `false` if there is none.
    pub(super) fn forget(&mut self, slot: usize) -> bool {
        match self {
            Self::Inline(_) => false,
            Self::Periodic(periodic) => periodic.forget(slot),
        }
    }

    /// Like [`forget`](Self::forget), but keeps the reading of a counter.
    pub(super) fn forget_samples(&mut self, slot: usize) {
        match self {
            Self::Inline(inline) => inline.clear_samples(slot),
            Self::Periodic(periodic) => periodic.forget_samples(slot),
        }
    }

    /// Resets the slot.
    pub(super) fn clear(&mut self, slot: usize) {
        match self {
            Self::Inline(inline) => inline.clear(slot),
            Self::Periodic(periodic) => periodic.clear(slot),
        }
    }

    /// Reserves capacity for `slots` slots in total.
    pub(super) fn reserve(&mut self, slots: usize) {
        match self {
            Self::Inline(inline) => inline.reserve(slots),
            Self::Periodic(periodic) => periodic.reserve(slots),
        }
    }

    /// Drops the slots from `slots` on and frees their memory.
    pub(super) fn shrink(&mut self, slots: usize) {
        match self {
            Self::Inline(inline) => inline.shrink(slots),
            Self::Periodic(periodic) => periodic.shrink(slots),
        }
    }

    /// The bytes that the columns have allocated.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Inline(inline) => inline.bytes(),
            Self::Periodic(periodic) => size_of::<Periodic>() + periodic.bytes(),
        }
    }

    /// Appends the words of a slot.
    pub(super) fn save(&self, slot: usize, words: &mut Vec<u64>) {
        match self {
            Self::Inline(inline) => inline.save(slot, words),
            Self::Periodic(periodic) => periodic.save(slot, words),
        }
    }

    /// Restores the words that [`save`](Self::save) wrote. After an error the caller must clear the slot.
    pub(super) fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        match self {
            Self::Inline(inline) => inline.restore(slot, versions, words),
            Self::Periodic(periodic) => periodic.restore(slot, versions, words),
        }
    }
}
