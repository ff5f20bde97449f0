//! The counters of all columns of a stream, with the names of their sources.

use derived_stats::{Number, RestoreError, UpdateError, Words};

use crate::table::by_source::{SourceId, SourceNames};
use crate::table::columns::counters::{Accepted, Counters, Outcome, SourceRules, SourceSample};
use crate::table::plan::Plan;

/// The readings of cumulative counters: for each window column and then for each inline attribute of the plan, if its
/// samples are readings.
#[derive(Debug)]
pub(in crate::table) struct Readings {
    columns: Vec<Option<Counters>>,
    names: SourceNames,
    /// [`SourceRules::oldest`] when expired sources were dropped last; `None` since a restore.
    expired_at: Option<u64>,
}

impl Readings {
    pub(super) fn new(plan: &Plan) -> Self {
        let columns = plan.counter_types().map(|value_type| value_type.map(Counters::new)).collect();
        Self { columns, names: SourceNames::default(), expired_at: None }
    }

    /// The id of the source of a sample, for the updates with it; [`end_sample`](Self::end_sample) takes it back.
    pub(in crate::table) fn begin_sample(&mut self, source: &str) -> SourceId {
        self.names.intern(source)
    }

    pub(in crate::table) fn end_sample(&mut self, source: SourceId) {
        self.names.drop_unused(source);
    }

    /// Passes the sample to `add`, or its increase if the samples of the column are readings. Without `source`, none
    /// are.
    pub(super) fn update(
        &mut self,
        column: usize,
        source: Option<&SourceRules<'_>>,
        sample: &SourceSample,
        add: impl FnOnce(Number) -> Result<(), UpdateError>,
    ) -> Outcome {
        match (&mut self.columns[column], source) {
            (Some(counters), Some(rules)) => counters.update(&mut self.names, rules, sample, add),
            _ => {
                add(sample.value)?;
                Ok(Accepted::Added)
            }
        }
    }

    /// Drops expired sources, and calls `changed` with the slot of each object that had one. Only when more can have
    /// expired than at the last call.
    pub(in crate::table) fn expire(&mut self, rules: &SourceRules<'_>, mut changed: impl FnMut(usize)) {
        if self.expired_at.replace(rules.oldest) != Some(rules.oldest) {
            let columns = self.columns.iter_mut().flatten();
            columns.for_each(|counters| counters.expire(&mut self.names, rules, &mut changed));
        }
    }

    /// Drops the readings of an object in a column.
    pub(super) fn clear(&mut self, column: usize, slot: usize) {
        if let Some(counters) = &mut self.columns[column] {
            counters.clear(&mut self.names, slot);
        }
    }

    /// Drops all readings of a column.
    pub(in crate::table) fn reset(&mut self, column: usize) {
        if let Some(counters) = &mut self.columns[column] {
            counters.shrink(&mut self.names, 0);
        }
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(super) fn shrink(&mut self, slots: usize) {
        self.columns.iter_mut().flatten().for_each(|counters| counters.shrink(&mut self.names, slots));
    }

    /// Appends the words of an object's readings in a column; see [`Counters::save`].
    pub(in crate::table) fn save(&self, column: usize, slot: usize, words: &mut Vec<u64>) -> Option<()> {
        self.columns[column].as_ref()?.save(&self.names, slot, words)
    }

    /// Restores the words of an object's readings in a column; see [`Counters::restore`].
    pub(in crate::table) fn restore(
        &mut self,
        column: usize,
        slot: usize,
        version: u16,
        words: &mut Words<'_>,
        newest: u64,
    ) -> Result<(), RestoreError> {
        match &mut self.columns[column] {
            Some(counters) => counters.restore(&mut self.names, slot, version, words, newest),
            None => Ok(()),
        }
    }

    /// Takes over a reading from an inline state; see [`Counters::take_over`].
    pub(super) fn take_over(&mut self, column: usize, slot: usize, at: u64, value: Number) {
        if let Some(counters) = &mut self.columns[column] {
            counters.take_over(&mut self.names, slot, at, value);
        }
    }
}
