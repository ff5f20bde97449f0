//! States of a fixed number of words.

use crate::saved::{RestoreError, WordWriter, Words};

/// A state of `N` words.
pub(crate) trait FixedState<const N: usize>: Default {
    /// The names of the words, for errors.
    const FIELDS: [&'static str; N];

    /// The words.
    fn words(&self) -> [u64; N];

    /// The state with these words, unchecked.
    fn from_words(words: [u64; N]) -> Self;

    /// Whether the state has taken no sample.
    fn is_empty(&self) -> bool;

    /// Refuses a state that no sequence of samples produces.
    ///
    /// # Errors
    ///
    /// [`RestoreError::Invalid`] with the first impossible word.
    fn check(&self) -> Result<(), RestoreError>;

    /// Writes the words.
    fn save(&self, words: &mut WordWriter<'_>) {
        words.extend(self.words());
    }

    /// Reads back what [`save`](Self::save) wrote.
    fn restore(words: &mut Words<'_>) -> Result<Self, RestoreError> {
        let mut read = [0; N];
        for (word, field) in read.iter_mut().zip(Self::FIELDS) {
            *word = words.next(field)?;
        }
        let state = Self::from_words(read);
        state.check()?;
        Ok(state)
    }
}

/// The part of `impl Algorithm<T>` that is the same for every algorithm that takes every sample and whose state is a
/// [`FixedState`] of `N` words: all methods except `update`, `report`, `value` and `merge`.
macro_rules! state_is_fixed {
    ($State:ty, $N:literal) => {
        type State = $State;

        #[inline]
        fn start(&self) -> $State {
            <$State>::default()
        }

        #[inline]
        fn is_empty(&self, state: &$State) -> bool {
            $crate::algorithm::fixed::FixedState::is_empty(state)
        }

        fn takes_every_sample(&self) -> bool {
            true
        }

        fn words(&self) -> Option<usize> {
            Some($N)
        }

        #[inline]
        fn load(&self, words: &[u64]) -> Option<$State> {
            let words: [u64; $N] = words.try_into().ok()?;
            Some($crate::algorithm::fixed::FixedState::from_words(words))
        }

        #[inline]
        fn store(&self, state: &$State, words: &mut [u64]) {
            if let Ok(words) = <&mut [u64; $N]>::try_from(words) {
                *words = $crate::algorithm::fixed::FixedState::words(state);
            }
        }

        fn save(&self, state: &$State, words: &mut $crate::saved::WordWriter<'_>) {
            $crate::algorithm::fixed::FixedState::<$N>::save(state, words);
        }

        fn restore(&self, words: &mut $crate::saved::Words<'_>) -> Result<$State, $crate::saved::RestoreError> {
            <$State as $crate::algorithm::fixed::FixedState<$N>>::restore(words)
        }
    };
}
pub(crate) use state_is_fixed;

/// Refuses an impossible word.
pub(crate) fn ensure(is_possible: bool, field: &'static str, word: u64) -> Result<(), RestoreError> {
    if is_possible { Ok(()) } else { Err(RestoreError::invalid(field, word)) }
}
