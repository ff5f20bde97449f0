//! The states of the keys by inner slot, in the columns that all specs use.

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

    /// Takes a sample; a slot that refuses its first one is to be cleared.
    pub(super) fn update(&mut self, slot: usize, at: u64, value: Number) -> Result<(), UpdateError> {
        match self {
            Self::Inline(inline) => inline.update(slot, at, value),
            Self::Periodic(periodic) => periodic.update(slot, at, value),
        }
    }

    /// The result as [`MapPipeline::report`](crate::MapPipeline::report) gives it.
    pub(super) fn report(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self {
            Self::Inline(inline) => inline.report(slot, now),
            Self::Periodic(periodic) => periodic.report(slot, now),
        }
    }

    /// The open period as [`Spec::running`] gives it.
    pub(super) fn running(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self {
            Self::Inline(_) => None,
            Self::Periodic(periodic) => periodic.running(slot, now),
        }
    }

    /// What [`Spec::is_active`] is of a state.
    pub(super) fn is_active(&self, slot: usize) -> bool {
        match self {
            Self::Inline(inline) => !inline.is_empty(slot),
            Self::Periodic(periodic) => periodic.is_active(slot),
        }
    }

    /// Whether a close drops the key: no samples in its last period, and neither a counter's reading nor a detector.
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

    /// What the close at `now` flushed of a slot.
    pub(super) fn flushed(&self, slot: usize, now: u64) -> Option<Report<Output<'_>>> {
        match self {
            Self::Inline(_) => None,
            Self::Periodic(periodic) => periodic.flushed(slot, now),
        }
    }

    /// Drops a closed window that gave no valid result: only a valid one stays until the next close.
    pub(super) fn drop_unready(&mut self, slot: usize) {
        match self {
            Self::Inline(_) => {}
            Self::Periodic(periodic) => periodic.drop_unready(slot),
        }
    }

    /// Drops what a deleted key has, all but the result of its closed window; `false` if nothing is left to keep.
    pub(super) fn forget(&mut self, slot: usize) -> bool {
        match self {
            Self::Inline(_) => false,
            Self::Periodic(periodic) => periodic.forget(slot),
        }
    }

    /// Drops what [`forget`](Self::forget) drops, but for the reading of a counter.
    pub(super) fn forget_samples(&mut self, slot: usize) {
        match self {
            Self::Inline(inline) => inline.clear_samples(slot),
            Self::Periodic(periodic) => periodic.forget_samples(slot),
        }
    }

    /// The slot starts anew.
    pub(super) fn clear(&mut self, slot: usize) {
        match self {
            Self::Inline(inline) => inline.clear(slot),
            Self::Periodic(periodic) => periodic.clear(slot),
        }
    }

    /// Makes room for so many slots in all.
    pub(super) fn reserve(&mut self, slots: usize) {
        match self {
            Self::Inline(inline) => inline.reserve(slots),
            Self::Periodic(periodic) => periodic.reserve(slots),
        }
    }

    /// Gives back memory beyond `slots`.
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

    /// Reads back what [`save`](Self::save) wrote. After an error the slot is to be cleared.
    pub(super) fn restore(&mut self, slot: usize, versions: &[u16], words: &mut Words<'_>) -> Result<(), RestoreError> {
        match self {
            Self::Inline(inline) => inline.restore(slot, versions, words),
            Self::Periodic(periodic) => periodic.restore(slot, versions, words),
        }
    }
}
