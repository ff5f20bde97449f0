//! The state of one object under a spec.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::link::{BoxedState, Cell, CellMut, Link};

/// The words that a state holds without allocating: what `1.DSSum-raw:DSAnomaly:EWM:0.1` needs.
const WORDS: usize = 6;

/// The state of one object under a [`Spec`](crate::Spec): 64 bytes.
///
/// It allocates if its pipeline needs more than six words (a longer chain, a detector behind a counter), for windows
/// over a range, and for algorithms whose states have no fixed number of words.
///
/// Only a spec of the same [`identity`](crate::Spec::identity) can use a state; another one answers
/// [`UpdateError::ForeignState`](crate::UpdateError::ForeignState).
// One line of the cache: a sample reads one line, and a batch has fetched all of it with the tag.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(64))]
pub struct State {
    /// Which spec it belongs to, and in the lowest bits its [flags](Flag).
    tag: u64,
    words: [u64; WORDS],
    spill: Option<Box<Spill>>,
}

/// What does not fit in place.
#[derive(Debug)]
struct Spill {
    /// All words, if they are more than [`WORDS`].
    words: Vec<u64>,
    boxed: Vec<Box<dyn BoxedState>>,
}

impl Clone for Spill {
    fn clone(&self) -> Self {
        // Through the box: a `Box<dyn BoxedState>` is a `BoxedState` itself.
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

/// A fact that is either so or not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    /// The newest closed period had samples.
    FromSamples = 1,
    /// A counter's reading is there.
    Reading = 2,
}

/// Where the parts of a state are: the same for all states of a spec.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    /// The cells of the links, in an order of the spec's own.
    cells: Vec<Place>,
    words: usize,
    boxed: usize,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
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
                self.cells.push(Place::Words { start: self.words, len });
                self.words += len;
            }
            None => {
                self.cells.push(Place::Boxed(self.boxed));
                self.boxed += 1;
            }
        }
    }

    /// Adds a word; gives its index.
    pub(crate) fn word(&mut self) -> usize {
        self.words += 1;
        self.words - 1
    }

    /// The bytes of a state's words that are not in place.
    pub(crate) fn heap_bytes(&self) -> usize {
        match (self.words > WORDS, self.boxed) {
            (false, 0) => 0,
            (spills, _) => size_of::<Spill>() + if spills { self.words * size_of::<u64>() } else { 0 },
        }
    }

    /// A state of nothing but zeros; its cells are to be started.
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

    /// The words, wherever they are.
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
        if let Some(place) = self.words_mut().get_mut(index) {
            *place = word;
        }
    }

    /// The cell at `index`.
    #[inline]
    pub(crate) fn cell(&self, layout: &Layout, index: usize) -> Cell<'_> {
        match layout.cells.get(index) {
            Some(&Place::Words { start, len }) => Cell::Words(self.words().get(start..start + len).unwrap_or_default()),
            Some(&Place::Boxed(boxed)) => {
                let state = self.spill.as_ref().and_then(|spill| spill.boxed.get(boxed));
                state.map_or(Cell::Words(&[]), |state| Cell::Boxed(&**state))
            }
            None => Cell::Words(&[]),
        }
    }

    /// The cell at `index`, to change.
    #[inline]
    pub(crate) fn cell_mut(&mut self, layout: &Layout, index: usize) -> CellMut<'_> {
        match layout.cells.get(index) {
            Some(&Place::Words { start, len }) => {
                CellMut::Words(self.words_mut().get_mut(start..start + len).unwrap_or_default())
            }
            Some(&Place::Boxed(boxed)) => {
                let state = self.spill.as_mut().and_then(|spill| spill.boxed.get_mut(boxed));
                state.map_or(CellMut::Words(&mut []), |state| CellMut::Boxed(&mut **state))
            }
            None => CellMut::Words(&mut []),
        }
    }

    /// Puts the cell at `index` into the state before its first sample.
    pub(crate) fn start_cell(&mut self, layout: &Layout, index: usize, link: &dyn Link) {
        if let (Some(&Place::Boxed(boxed)), Some(spill)) = (layout.cells.get(index), &mut self.spill)
            && boxed >= spill.boxed.len()
        {
            return spill.boxed.push(link.start_boxed());
        }
        link.reset(self.cell_mut(layout, index));
    }

    /// Moves the state of one cell to another of the same link, and starts the first anew.
    pub(crate) fn move_cell(&mut self, layout: &Layout, from: usize, to: usize, link: &dyn Link) {
        match (layout.cells.get(from), layout.cells.get(to)) {
            (Some(&Place::Words { start, len }), Some(&Place::Words { start: to, .. })) => {
                self.words_mut().copy_within(start..start + len, to);
            }
            (Some(&Place::Boxed(from)), Some(&Place::Boxed(to))) => {
                if let Some(spill) = &mut self.spill {
                    spill.boxed.swap(from, to);
                }
            }
            _ => {}
        }
        self.start_cell(layout, from, link);
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
    fn a_state_is_64_bytes_and_the_seeds_pipeline_fits() {
        assert_eq!(size_of::<State>(), 64);
        assert_eq!(state("1.DSSum-raw:DSAnomaly:EWM:0.1").spill, None);
        assert_eq!(state("1-raw:DSSum").spill, None);
        assert_eq!(state("raw:DSAnomaly:EWM:0.1").spill, None);
    }

    #[test]
    fn clones_of_boxed_states_are_apart_and_equal_until_one_moves_on() {
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
