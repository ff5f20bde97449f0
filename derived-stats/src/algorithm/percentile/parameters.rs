//! The parameters of `DSPercentile`, and the results of a sketch.

use alloc::vec::Vec;

use super::mapping::Mapping;
use super::percent::Percent;
use super::sketch::Sketch;
use crate::number::Number;
use crate::record::Record;
use crate::report::Flaw;

/// The parameters, which all objects share.
#[derive(Debug)]
pub(super) struct Parameters {
    /// The percentages, ascending.
    pub(super) percents: Vec<Percent>,
    /// The position in the result of each of `percents`.
    pub(super) positions: Vec<usize>,
    pub(super) mapping: Mapping,
}

impl Parameters {
    /// Puts the number of samples and the percentiles into a record.
    pub(super) fn fill(&self, sketch: &Sketch, record: &mut Record) {
        let Self { percents, positions, mapping } = self;
        // There are at most as many as a record has.
        let samples = core::iter::once(Some(Number::U64(sketch.samples())));
        let _ = record.fill(samples.chain(percents.iter().map(|_| None)));
        let ranks = percents.iter().map(|percent| percent.rank(sketch.samples()));
        sketch.at_ranks(mapping, ranks, |index, value| {
            if let Some(position) = positions.get(index) {
                record.set(position + 1, Number::F64(value));
            }
        });
        let flaw = match (sketch.is_overflowed, sketch.is_collapsed) {
            (true, _) => Some(Flaw::Overflow),
            (false, true) => Some(Flaw::Collapsed),
            (false, false) => None,
        };
        record.set_flaw(flaw);
    }

    /// The number at an index of the result, without the others: a detector takes one of them for each period.
    pub(super) fn number(&self, sketch: &Sketch, index: usize) -> Option<Number> {
        let Some(position) = index.checked_sub(1) else {
            return Some(Number::U64(sketch.samples()));
        };
        let percent = self.percents.get(self.positions.iter().position(|at| *at == position)?)?;
        let (rank, mut number) = (percent.rank(sketch.samples()), None);
        sketch.at_ranks(&self.mapping, core::iter::once(rank), |_, value| number = Some(Number::F64(value)));
        number
    }
}
