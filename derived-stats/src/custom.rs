//! Algorithms of the embedding program, behind the trait of the built-in ones.
//!
//! [`Algorithm`] has an associated state type, so it cannot be a trait object as it is. This module erases the state:
//! the algorithm behind an `Arc`, the state of an object in a box. The cost is one allocation for an object that uses
//! such an algorithm, and a virtual call for a sample; the built-in menu pays neither.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::algorithm::{Algorithm, Sample, UpdateError};
use crate::number::Numeric;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};

/// A registered algorithm for one element type.
#[derive(Clone, Debug)]
pub(crate) struct CustomAlgorithm<T> {
    algorithm: Arc<dyn ErasedAlgorithm<T>>,
}

/// Identity stands for equality: parameters of a foreign algorithm cannot be compared.
impl<T> PartialEq for CustomAlgorithm<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.algorithm, &other.algorithm)
    }
}

/// One object's state of a registered algorithm.
///
/// Boxed twice: a thin pointer keeps the state of a built-in pipeline within 64 bytes.
pub(crate) struct CustomState(Box<Box<dyn ErasedState>>);

impl Clone for CustomState {
    fn clone(&self) -> Self {
        Self(Box::new(self.0.boxed_clone()))
    }
}

impl fmt::Debug for CustomState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for CustomState {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals((**other.0).as_any())
    }
}

trait ErasedState: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
    fn boxed_clone(&self) -> Box<dyn ErasedState>;
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<S: Clone + fmt::Debug + PartialEq + Send + Sync + 'static> ErasedState for S {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn boxed_clone(&self) -> Box<dyn ErasedState> {
        Box::new(self.clone())
    }

    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref::<S>() == Some(self)
    }
}

trait ErasedAlgorithm<T>: fmt::Debug + Send + Sync {
    fn start(&self) -> CustomState;
    fn update(&self, state: &mut CustomState, sample: Sample<T>) -> Result<(), UpdateError>;
    fn report(&self, state: &CustomState, now: u64) -> Report<Output<'_>>;
    fn save(&self, state: &CustomState, words: &mut Vec<u64>);
    fn restore(&self, words: &mut Words<'_>) -> Result<CustomState, RestoreError>;
}

impl<T: Numeric, A: Algorithm<T>> ErasedAlgorithm<T> for A {
    fn start(&self) -> CustomState {
        CustomState(Box::new(Box::new(Algorithm::start(self))))
    }

    fn update(&self, state: &mut CustomState, sample: Sample<T>) -> Result<(), UpdateError> {
        match (**state.0).as_any_mut().downcast_mut() {
            Some(state) => Algorithm::update(self, state, sample),
            None => Err(UpdateError::ForeignState),
        }
    }

    fn report(&self, state: &CustomState, now: u64) -> Report<Output<'_>> {
        match (**state.0).as_any().downcast_ref() {
            Some(state) => Algorithm::report(self, state, now),
            None => Report::NotReady(None),
        }
    }

    fn save(&self, state: &CustomState, words: &mut Vec<u64>) {
        if let Some(state) = (**state.0).as_any().downcast_ref() {
            Algorithm::save(self, state, words);
        }
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<CustomState, RestoreError> {
        Algorithm::restore(self, words).map(|state| CustomState(Box::new(Box::new(state))))
    }
}

impl<T: Numeric> CustomAlgorithm<T> {
    pub(crate) fn new<A: Algorithm<T>>(algorithm: A) -> Self {
        Self { algorithm: Arc::new(algorithm) }
    }

    pub(crate) fn start(&self) -> CustomState {
        self.algorithm.start()
    }

    pub(crate) fn update(&self, state: &mut CustomState, sample: Sample<T>) -> Result<(), UpdateError> {
        self.algorithm.update(state, sample)
    }

    pub(crate) fn report(&self, state: &CustomState, now: u64) -> Report<Output<'_>> {
        self.algorithm.report(state, now)
    }

    pub(crate) fn save(&self, state: &CustomState, words: &mut Vec<u64>) {
        self.algorithm.save(state, words);
    }

    pub(crate) fn restore(&self, words: &mut Words<'_>) -> Result<CustomState, RestoreError> {
        self.algorithm.restore(words)
    }
}
