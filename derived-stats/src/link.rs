//! One link of a pipeline: an algorithm with its parameters for one element type, behind an object-safe trait.
//!
//! [`Algorithm`] has an associated state type, so it cannot be a trait object as it is. A [`Link`] gives out what holds
//! states: [columns](crate::column), in which the states of many objects lie side by side and the dispatch is paid once
//! for many of them, and [cells](Cell), the location of one object's state within a [`State`](crate::State).

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

pub(crate) use self::typed::{Shared, TypedLink};

/// A link, whatever its algorithm and element type.
pub(crate) trait Link: fmt::Debug + Send + Sync {
    /// An empty column of states.
    fn column(&self) -> Box<dyn Column>;

    /// Whether every finite sample of its type is taken.
    fn takes_every_sample(&self) -> bool;

    /// How many words hold a state; `None` if it is boxed.
    fn words(&self) -> Option<usize>;

    /// The most bytes that a state takes beside its words.
    fn heap_bytes(&self) -> usize;

    /// Puts a cell into the state before the first sample.
    fn reset(&self, cell: CellMut<'_>);

    /// The state before the first sample, for a link whose states do not lie in words.
    fn start_boxed(&self) -> Box<dyn BoxedState>;

    /// Whether no sample was taken.
    fn is_empty(&self, cell: Cell<'_>) -> bool;

    /// Takes a sample.
    fn update(&self, cell: CellMut<'_>, at: u64, measured: Measured) -> Result<(), UpdateError>;

    /// Ends the cell's period: what it came to. The cell is then as before its first sample.
    fn take(&self, cell: CellMut<'_>, now: u64) -> Taken;

    /// Takes a value, and gives the one that stands for the result then; `None` if it was refused or there is none.
    fn pass(&self, cell: CellMut<'_>, now: u64, measured: Measured) -> Option<Measured>;

    /// Takes a value, and gives the result then; `None` if it was refused.
    fn score(&self, cell: CellMut<'_>, now: u64, measured: Measured) -> Option<Report<Record>>;

    /// A period passed without a value.
    fn pass_silence(&self, cell: CellMut<'_>);

    /// The result.
    fn report(&self, cell: Cell<'_>, now: u64) -> Report<Record>;

    /// Appends the saved words.
    fn save(&self, cell: Cell<'_>, words: &mut Vec<u64>);

    /// Reads back what a `version` of the algorithm saved.
    fn restore(&self, cell: CellMut<'_>, version: u16, words: &mut Words<'_>) -> Result<(), RestoreError>;
}

/// One object's state of one link.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'s> {
    Boxed(&'s dyn BoxedState),
    Words(&'s [u64]),
}

/// The same, to change.
pub(crate) enum CellMut<'s> {
    Boxed(&'s mut dyn BoxedState),
    Words(&'s mut [u64]),
}

/// What a period came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Whether it had samples.
    pub(crate) is_sampled: bool,
    /// The number that stands for its result.
    pub(crate) value: Option<Measured>,
}

/// A state that does not lie in words.
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

/// A value as it came, on its way into a link.
pub(crate) fn as_it_came(number: Number) -> Measured {
    Measured { number, overflowed: false }
}
