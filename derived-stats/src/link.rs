//! One link of a pipeline: an algorithm with its parameters for one element type, behind an object-safe trait.
//!
//! [`Algorithm`](crate::Algorithm) has an associated state type, so it cannot be a trait object. A [`Link`] has two
//! forms of storage: [columns](crate::column), arrays of the states of many objects with one dynamic dispatch for many
//! of them, and [cells](Cell), the storage of one object's state within a [`State`](crate::State).

mod typed;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use crate::algorithm::{Measured, UpdateError};
use crate::column::Column;
use crate::number::Number;
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, Words};
use crate::source_id::SourceId;

pub(crate) use self::typed::{Shared, TypedLink};

/// A link of any algorithm and element type.
pub(crate) trait Link: fmt::Debug + Send + Sync {
    /// An empty column of states.
    fn column(&self) -> Box<dyn Column>;

    /// Whether the link takes every finite sample of its type.
    fn takes_every_sample(&self) -> bool;

    /// The number of words of a state; `None` if states are boxed.
    fn words(&self) -> Option<usize>;

    /// The upper bound of the bytes that a state takes in addition to its words.
    fn heap_bytes(&self) -> usize;

    /// Whether a state allocates again as it takes samples.
    fn grows(&self) -> bool;

    /// Resets a cell to the state before the first sample.
    fn reset(&self, cell: CellMut<'_>);

    /// The state before the first sample, for a link with boxed states.
    fn start_boxed(&self) -> Box<dyn BoxedState>;

    /// Whether the cell has taken no sample.
    fn is_empty(&self, cell: Cell<'_>) -> bool;

    /// Takes a sample.
    fn update(&self, cell: CellMut<'_>, at: u64, measured: Measured) -> Result<(), UpdateError>;

    /// Takes a sample of a source.
    fn update_from(&self, cell: CellMut<'_>, source: SourceId, at: u64, measured: Measured) -> Result<(), UpdateError>;

    /// Begins the period in the cell `open` after the one that ended with the state of the cell `ended`.
    fn begin_period(&self, open: CellMut<'_>, ended: Cell<'_>);

    /// Ends the period of the cell: returns its value, and begins the next period in the cell.
    fn take(&self, cell: CellMut<'_>, now: u64) -> Taken;

    /// Takes a value, and returns the value of the new result; `None` if the value is refused or the result has none.
    fn pass(&self, cell: CellMut<'_>, now: u64, measured: Measured) -> Option<Measured>;

    /// Takes a value, and returns the new result; `None` if the value is refused.
    fn score(&self, cell: CellMut<'_>, now: u64, measured: Measured) -> Option<Report<Record>>;

    /// Ends a period without a value.
    fn pass_silence(&self, cell: CellMut<'_>);

    /// The result.
    fn report(&self, cell: Cell<'_>, now: u64) -> Report<Record>;

    /// Appends the saved words.
    fn save(&self, cell: Cell<'_>, words: &mut Vec<u64>);

    /// Restores a state that `version` of the algorithm saved.
    fn restore(&self, cell: CellMut<'_>, version: u16, words: &mut Words<'_>) -> Result<(), RestoreError>;
}

/// The storage of one object's state of one link.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'s> {
    Boxed(&'s dyn BoxedState),
    Words(&'s [u64]),
}

/// A mutable [`Cell`].
pub(crate) enum CellMut<'s> {
    Boxed(&'s mut dyn BoxedState),
    Words(&'s mut [u64]),
}

/// The outcome of a period.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Whether the period had samples.
    pub(crate) is_sampled: bool,
    /// The value of its result.
    pub(crate) value: Option<Measured>,
}

/// A boxed state.
pub(crate) trait BoxedState: Any + fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn boxed_clone(&self) -> Box<dyn BoxedState>;
    fn equals(&self, other: &dyn BoxedState) -> bool;
}

impl<S: Any + Clone + fmt::Debug + PartialEq + Send + Sync> BoxedState for S {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn boxed_clone(&self) -> Box<dyn BoxedState> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn BoxedState) -> bool {
        other.as_any().downcast_ref::<S>() == Some(self)
    }
}

/// A raw sample, which has not overflowed.
pub(crate) fn raw_value(number: Number) -> Measured {
    Measured { number, overflowed: false }
}
