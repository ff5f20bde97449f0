//! What is kept of each source in all columns of a stream, with the names of the sources.

use derived_stats::column::WindowColumn;
use derived_stats::{Number, RestoreError, UpdateError, Words};

use crate::table::by_source::{SourceId, SourceNames};
use crate::table::columns::counters::{Accepted, Counters, NotAccepted, Outcome, SourceRules, SourceSample, Taken};
use crate::table::columns::last_values::{End, LastValues, Windows};
use crate::table::plan::{KeptOfSource, Plan};

/// The readings of sources: for each window column and then for each inline attribute of the plan, if it keeps some.
#[derive(Debug)]
pub(in crate::table) struct Readings {
    columns: Vec<Option<Kept>>,
    names: SourceNames,
    /// [`SourceRules::oldest`] when expired sources were dropped last; `None` since a restore.
    expired_at: Option<u64>,
}

/// What a column keeps of each source.
#[derive(Debug)]
enum Kept {
    Counters(Counters),
    LastValues(LastValues),
}

impl Kept {
    /// `lateness` is how long windows stay open after their end, in microseconds.
    fn new(kept: KeptOfSource, lateness: u64) -> Self {
        match kept {
            KeptOfSource::LastReading(value_type) => Self::Counters(Counters::new(value_type)),
            KeptOfSource::LastValues { value_type, length, periods } => {
                let windows = Windows { length, periods, open: lateness / length.max(1) + 2 };
                Self::LastValues(LastValues::new(value_type, windows))
            }
        }
    }

    fn clear(&mut self, names: &mut SourceNames, slot: usize) {
        match self {
            Self::Counters(counters) => counters.clear(names, slot),
            Self::LastValues(values) => values.clear(names, slot),
        }
    }

    fn shrink(&mut self, names: &mut SourceNames, slots: usize) {
        match self {
            Self::Counters(counters) => counters.shrink(names, slots),
            Self::LastValues(values) => values.shrink(names, slots),
        }
    }
}

impl Readings {
    pub(super) fn new(plan: &Plan, lateness: u64) -> Self {
        let columns = plan.kept_of_sources().map(|kept| kept.map(|kept| Kept::new(kept, lateness))).collect();
        Self { columns, names: SourceNames::default(), expired_at: None }
    }

    /// The id of the source of a sample, for the updates with it; [`end_sample`](Self::end_sample) takes it back.
    pub(in crate::table) fn begin_sample(&mut self, source: &str) -> SourceId {
        self.names.intern(source)
    }

    pub(in crate::table) fn end_sample(&mut self, source: SourceId) {
        self.names.drop_unused(source);
    }

    /// Passes the sample to `add`, or its increase if the samples of the column are readings of counters. A last value is
    /// kept, and reaches the window at its end. Without `source`, the column keeps nothing of sources.
    pub(super) fn update(
        &mut self,
        column: usize,
        source: Option<&SourceRules<'_>>,
        sample: &SourceSample,
        add: impl FnOnce(Taken) -> Result<(), UpdateError>,
    ) -> Outcome {
        match (&mut self.columns[column], source) {
            (Some(Kept::Counters(counters)), Some(rules)) => counters.update(&mut self.names, rules, sample, add),
            (Some(Kept::LastValues(values)), Some(rules)) => values.update(&mut self.names, rules, sample),
            _ => {
                add(Taken::Sample(sample.value))?;
                Ok(Accepted::Added)
            }
        }
    }

    /// Takes the start of a counter; see [`Counters::start`].
    pub(super) fn start(
        &mut self,
        column: usize,
        rules: &SourceRules<'_>,
        slot: usize,
        source: SourceId,
        at: u64,
    ) -> Outcome {
        match &mut self.columns[column] {
            Some(Kept::Counters(counters)) => counters.start(&mut self.names, rules, slot, source, at),
            _ => Err(NotAccepted::Late),
        }
    }

    /// The last values of a column.
    fn last_values(&self, column: usize) -> Option<&LastValues> {
        match self.columns.get(column)?.as_ref()? {
            Kept::Counters(_) => None,
            Kept::LastValues(values) => Some(values),
        }
    }

    /// Whether a column has last values, so that its windows are filled at their end.
    pub(super) fn has_last_values(&self, column: usize) -> bool {
        self.last_values(column).is_some()
    }

    /// Whether an object has a last value in a column, and so may have a result without further samples.
    pub(super) fn keeps_values(&self, column: usize) -> bool {
        self.last_values(column).is_some_and(|values| !values.is_empty())
    }

    /// Fills the window of a column with last values that ends, for these objects.
    pub(super) fn close(
        &mut self,
        column: usize,
        slots: impl Iterator<Item = usize>,
        end: End,
        window: &mut WindowColumn,
    ) {
        if let Some(Kept::LastValues(values)) = &mut self.columns[column] {
            slots.for_each(|slot| values.close(&mut self.names, slot, end, window));
        }
    }

    /// The starts of the open windows of a column with last values in which an object has samples; none of other
    /// columns.
    pub(in crate::table) fn open_windows(&self, column: usize, slot: usize, watermark: u64) -> Vec<u64> {
        self.last_values(column).map(|values| values.open_windows(slot, watermark)).unwrap_or_default()
    }

    /// Fills slot 0 of `window` with the values of an object so far, for the open window from `start` on.
    pub(super) fn preview(&self, column: usize, slot: usize, start: u64, watermark: u64, window: &mut WindowColumn) {
        if let Some(values) = self.last_values(column) {
            values.preview(&self.names, slot, start, watermark, window);
        }
    }

    /// Drops the last values that an object has in windows of a column that ended at or before `end`.
    pub(super) fn forget_ended(&mut self, column: usize, slot: usize, end: u64) {
        if let Some(Kept::LastValues(values)) = &mut self.columns[column] {
            values.forget_ended(&mut self.names, slot, end);
        }
    }

    /// Drops expired sources of counters, and calls `changed` with the slot of each object that had one. Only when more
    /// can have expired than at the last call.
    pub(in crate::table) fn expire(&mut self, rules: &SourceRules<'_>, mut changed: impl FnMut(usize)) {
        if self.expired_at.replace(rules.oldest) == Some(rules.oldest) {
            return;
        }
        for kept in self.columns.iter_mut().flatten() {
            if let Kept::Counters(counters) = kept {
                counters.expire(&mut self.names, rules, &mut changed);
            }
        }
    }

    /// Drops the readings of an object in a column.
    pub(super) fn clear(&mut self, column: usize, slot: usize) {
        if let Some(kept) = &mut self.columns[column] {
            kept.clear(&mut self.names, slot);
        }
    }

    /// Drops all readings of a column.
    pub(in crate::table) fn reset(&mut self, column: usize) {
        if let Some(kept) = &mut self.columns[column] {
            kept.shrink(&mut self.names, 0);
        }
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(super) fn shrink(&mut self, slots: usize) {
        self.columns.iter_mut().flatten().for_each(|kept| kept.shrink(&mut self.names, slots));
    }

    /// Appends the words of an object's readings in a column; see [`Counters::save`] and [`LastValues::save`].
    pub(in crate::table) fn save(&self, column: usize, slot: usize, words: &mut Vec<u64>) -> Option<()> {
        match self.columns[column].as_ref()? {
            Kept::Counters(counters) => counters.save(&self.names, slot, words),
            Kept::LastValues(values) => values.save(&self.names, slot, words),
        }
    }

    /// Restores the words of an object's readings in a column; see [`Counters::restore`] and [`LastValues::restore`].
    pub(in crate::table) fn restore(
        &mut self,
        column: usize,
        slot: usize,
        version: u16,
        words: &mut Words<'_>,
        newest: u64,
    ) -> Result<(), RestoreError> {
        match &mut self.columns[column] {
            Some(Kept::Counters(counters)) => counters.restore(&mut self.names, slot, version, words, newest),
            Some(Kept::LastValues(values)) => values.restore(&mut self.names, slot, words, newest),
            None => Ok(()),
        }
    }

    /// Takes over a reading from an inline state; see [`Counters::take_over`].
    pub(super) fn take_over(&mut self, column: usize, slot: usize, at: u64, value: Number) {
        if let Some(Kept::Counters(counters)) = &mut self.columns[column] {
            counters.take_over(&mut self.names, slot, at, value);
        }
    }
}
