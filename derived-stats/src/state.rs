//! The state of one object under a spec.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::link::{BoxedState, Cell, CellMut, Link};

/// The number of words that a state holds without allocating: enough for `1.DSSum-raw:DSAnomaly:EWM:0.1`.
const WORDS: usize = 6;

/// The state of one object under a [`Spec`](crate::Spec): 64 bytes.
///
/// It allocates if its pipeline needs more than six words (a longer chain, a detector of a counter), for windows over a
/// range, and for algorithms whose states have no fixed number of words.
///
/// Only a spec of the same [`identity`](crate::Spec::identity) can use a state; another one returns
/// [`UpdateError::ForeignState`](crate::UpdateError::ForeignState).
// One cache line: a sample reads one line, and a batch loads all of it when it reads the tag.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(64))]
pub struct State {
    /// The tag of its spec, and in the lowest bits its [flags](Flag).
    tag: u64,
    words: [u64; WORDS],
    spill: Option<Box<Spill>>,
}

/// The heap part of a state: words beyond [`WORDS`] and boxed states.
#[derive(Debug)]
struct Spill {
    /// All words, if there are more than [`WORDS`].
    words: Vec<u64>,
    boxed: Vec<Box<dyn BoxedState>>,
}

impl Clone for Spill {
    fn clone(&self) -> Self {
        // The boxes are dereferenced, because a `Box<dyn BoxedState>` is itself a `BoxedState`.
        let boxed = self.boxed.iter().map(|state| (**state).boxed_clone()).collect();
        Self { words: self.words.clone(), boxed }
    }
}

impl PartialEq for Spill {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
            && self.boxed.len() == other.boxed.len()
            && self.boxed.iter().zip(&other.boxed).all(|(left, right)| (**left).equals(&**right))
    }
}

/// A flag of a state.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    /// The newest closed period had samples.
    FromSamples = 1,
    /// The state has the reading of a counter.
    Reading = 2,
}

/// The layout of a state, which all states of a spec share.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    /// The locations of the cells, in an order that the spec defines.
    cells: Vec<Location>,
    words: usize,
    boxed: usize,
}

/// The location of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Location {
    Boxed(usize),
    Words { start: usize, len: usize },
}

impl Flag {
    const ALL: u64 = Self::FromSamples as u64 | Self::Reading as u64;
}

impl Layout {
    /// Adds a cell for a state of `link`.
    #[inline]
    pub(crate) fn cell(&mut self, link: &dyn Link) {
        match link.words() {
            Some(len) => {
                self.cells.push(Location::Words { start: self.words, len });
                self.words += len;
            }
            None => {
                self.cells.push(Location::Boxed(self.boxed));
                self.boxed += 1;
            }
        }
    }

    /// Adds a word, and returns its index.
    pub(crate) fn word(&mut self) -> usize {
        self.words += 1;
        self.words - 1
    }

    /// The bytes that the words of a state take on the heap.
    pub(crate) fn heap_bytes(&self) -> usize {
        match (self.words > WORDS, self.boxed) {
            (false, 0) => 0,
            (spills, _) => size_of::<Spill>() + if spills { self.words * size_of::<u64>() } else { 0 },
        }
    }

    /// A state of zeros, whose cells the caller must start.
    pub(crate) fn state(&self, tag: u64) -> State {
        let spills = self.words > WORDS;
        let spill = (spills || self.boxed > 0).then(|| {
            let words = if spills { alloc::vec![0; self.words] } else { Vec::new() };
            Box::new(Spill { words, boxed: Vec::new() })
        });
        State { tag: tag & !Flag::ALL, words: [0; WORDS], spill }
    }
}

impl State {
    #[inline]
    pub(crate) fn tag(&self) -> u64 {
        self.tag & !Flag::ALL
    }

    pub(crate) fn flag(&self, flag: Flag) -> bool {
        self.tag & flag as u64 != 0
    }

    pub(crate) fn set_flag(&mut self, flag: Flag, set: bool) {
        self.tag = self.tag & !(flag as u64) | if set { flag as u64 } else { 0 };
    }

    /// The words, inline or on the heap.
    #[inline]
    fn words(&self) -> &[u64] {
        match &self.spill {
            Some(spill) if !spill.words.is_empty() => &spill.words,
            _ => &self.words,
        }
    }

    #[inline]
    fn words_mut(&mut self) -> &mut [u64] {
        match &mut self.spill {
            Some(spill) if !spill.words.is_empty() => &mut spill.words,
            _ => &mut self.words,
        }
    }

    pub(crate) fn word(&self, index: usize) -> u64 {
        self.words().get(index).copied().unwrap_or_default()
    }

    pub(crate) fn set_word(&mut self, index: usize, word: u64) {
        if let Some(target) = self.words_mut().get_mut(index) {
            *target = word;
        }
    }

    /// The cell at `index`.
    #[inline]
    pub(crate) fn cell(&self, layout: &Layout, index: usize) -> Cell<'_> {
        match layout.cells.get(index) {
            Some(&Location::Words { start, len }) => {
                Cell::Words(self.words().get(start..start + len).unwrap_or_default())
            }
            Some(&Location::Boxed(boxed)) => {
                let state = self.spill.as_ref().and_then(|spill| spill.boxed.get(boxed));
                state.map_or(Cell::Words(&[]), |state| Cell::Boxed(&**state))
            }
            None => Cell::Words(&[]),
        }
    }

    /// The mutable cell at `index`.
    #[inline]
    pub(crate) fn cell_mut(&mut self, layout: &Layout, index: usize) -> CellMut<'_> {
        match layout.cells.get(index) {
            Some(&Location::Words { start, len }) => {
                CellMut::Words(self.words_mut().get_mut(start..start + len).unwrap_or_default())
            }
            Some(&Location::Boxed(boxed)) => {
                let state = self.spill.as_mut().and_then(|spill| spill.boxed.get_mut(boxed));
                state.map_or(CellMut::Words(&mut []), |state| CellMut::Boxed(&mut **state))
            }
            None => CellMut::Words(&mut []),
        }
    }

    /// Resets the cell at `index` to the state before its first sample.
    pub(crate) fn start_cell(&mut self, layout: &Layout, index: usize, link: &dyn Link) {
        if let (Some(&Location::Boxed(boxed)), Some(spill)) = (layout.cells.get(index), &mut self.spill)
            && boxed >= spill.boxed.len()
        {
            return spill.boxed.push(link.start_boxed());
        }
        link.reset(self.cell_mut(layout, index));
    }

    /// Ends the period of the cell `open`: moves its state to the cell `closed` of the same link, and begins the next
    /// period.
    pub(crate) fn end_period(&mut self, layout: &Layout, open: usize, closed: usize, link: &dyn Link) {
        match (layout.cells.get(open), layout.cells.get(closed)) {
            (Some(&Location::Words { start, len }), Some(&Location::Words { start: to, .. })) => {
                let words = self.words_mut();
                words.copy_within(start..start + len, to);
                if let Ok([open, closed]) = words.get_disjoint_mut([start..start + len, to..to + len]) {
                    link.begin_period(CellMut::Words(open), Cell::Words(closed));
                }
            }
            (Some(&Location::Boxed(open)), Some(&Location::Boxed(closed))) => {
                let boxed = self.spill.as_mut().map(|spill| spill.boxed.get_disjoint_mut([open, closed]));
                if let Some(Ok([open, closed])) = boxed {
                    // What the last closed period allocated is freed before the next one allocates.
                    link.reset(CellMut::Boxed(&mut **closed));
                    core::mem::swap(open, closed);
                    link.begin_period(CellMut::Boxed(&mut **open), Cell::Boxed(&**closed));
                }
            }
            _ => {}
        }
    }
}

#[cfg(all(test, feature = "parser"))]
mod tests {
    use super::*;
    use crate::{Context, Number, Silence, Spec, ValueType};

    fn state(annotation: &str) -> State {
        Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation").start()
    }

    #[test]
    fn a_state_is_64_bytes_and_a_sum_with_a_detector_fits() {
        assert_eq!(size_of::<State>(), 64);
        assert_eq!(state("1.DSSum-raw:DSAnomaly:EWM:0.1").spill, None);
        assert_eq!(state("1-raw:DSSum").spill, None);
        assert_eq!(state("raw:DSAnomaly:EWM:0.1").spill, None);
    }

    #[test]
    fn clones_of_boxed_states_are_equal_until_one_of_them_changes() {
        let spec = Spec::parse("raw:DSSum:3", Context::new(ValueType::U64)).expect("a good annotation");
        let mut state = spec.start();
        spec.update(&mut state, 0, Number::U64(1)).expect("the first sample");
        let copy = state.clone();
        assert_eq!(state, copy);
        spec.update(&mut state, 1, Number::U64(1)).expect("time goes forward");
        assert_ne!(state, copy);
        assert!(spec.close(&mut state, 9, Silence::Once).is_none(), "an inline pipeline has no periods");
    }
}
