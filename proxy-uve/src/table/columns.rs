//! The columns of a stream: what windows accumulate, and the detectors and inline states behind them.

mod counters;
mod ended;
mod fill;
mod last_values;
mod open_windows;
mod readings;

use derived_stats::column::{DownstreamColumn, InlineColumn, Reports, Update};
use derived_stats::{Number, RestoreError, ValueType, Words};

pub(super) use self::counters::{Accepted, Counters, NotAccepted, Outcome, SourceRules, best};
use self::counters::{SourceSample, Taken};
pub(super) use self::ended::EndedWindows;
pub(super) use self::last_values::LastValues;
pub(super) use self::open_windows::OpenWindows;
use self::readings::Readings;
use crate::table::by_source::SourceId;
use crate::table::closing::Closing;
use crate::table::plan::{AttributePlan, GroupPlan, Plan, Reading};

/// The states of one stream's objects, by slot, for every window column, detector and inline attribute of the plan.
#[derive(Debug)]
pub(super) struct Columns {
    windows: Vec<OpenWindows>,
    detectors: Vec<DownstreamColumn>,
    inline: Vec<InlineColumn>,
    /// Of window columns, then of inline attributes.
    readings: Readings,
    /// The type of the values that every column takes without exception, if there is one. Records with such a value
    /// take the fast path.
    plain_type: Option<ValueType>,
}

impl Columns {
    /// `lateness` is how long windows stay open after their end, in microseconds.
    pub(super) fn new(plan: &Plan, lateness: u64) -> Self {
        let windows: Vec<OpenWindows> = plan.window_columns.iter().filter_map(OpenWindows::new).collect();
        let detectors: Vec<_> =
            plan.detectors.iter().filter_map(|detector| DownstreamColumn::new(&detector.spec)).collect();
        let inline: Vec<_> = plan.inline.iter().filter_map(|inline| InlineColumn::new(&inline.spec)).collect();
        // The plan puts specs where they belong; one that is left out would move every later one.
        debug_assert_eq!(windows.len(), plan.window_columns.len());
        debug_assert_eq!(detectors.len(), plan.detectors.len());
        debug_assert_eq!(inline.len(), plan.inline.len());
        let takes_every_value = !plan.keeps_sources() && windows.iter().all(OpenWindows::takes_every_value);
        let plain_type = plan.only_value_type().filter(|_| takes_every_value);
        Self { windows, detectors, inline, readings: Readings::new(plan, lateness), plain_type }
    }

    /// The open windows of a window column.
    pub(super) fn windows(&self, column: usize) -> &OpenWindows {
        &self.windows[column]
    }

    pub(super) fn windows_mut(&mut self, column: usize) -> &mut OpenWindows {
        &mut self.windows[column]
    }

    pub(super) fn detectors(&self, index: usize) -> &DownstreamColumn {
        &self.detectors[index]
    }

    pub(super) fn detectors_mut(&mut self, index: usize) -> &mut DownstreamColumn {
        &mut self.detectors[index]
    }

    pub(super) fn inline(&self, index: usize) -> &InlineColumn {
        &self.inline[index]
    }

    pub(super) fn inline_mut(&mut self, index: usize) -> &mut InlineColumn {
        &mut self.inline[index]
    }

    /// What is kept of each source.
    pub(super) fn readings(&self) -> &Readings {
        &self.readings
    }

    pub(super) fn readings_mut(&mut self) -> &mut Readings {
        &mut self.readings
    }

    /// Whether there are values that [`update_plain`](Self::update_plain) can add.
    pub(super) fn have_plain_values(&self) -> bool {
        self.plain_type.is_some()
    }

    /// Whether [`update_plain`](Self::update_plain) can add the value.
    #[inline]
    pub(super) fn is_plain(&self, value: Number) -> bool {
        self.plain_type.is_some_and(|plain_type| plain_type.accepts(value))
    }

    /// Adds a sample with a [plain](Self::is_plain) value to every column.
    #[inline]
    pub(super) fn update_plain(&mut self, slot: usize, at: u64, value: Number) {
        for windows in &mut self.windows {
            let taken = windows.update(slot, at, value);
            debug_assert!(taken.is_ok(), "the value was checked");
        }
    }

    /// Adds samples with [plain](Self::is_plain) values to every column.
    pub(super) fn update_all(&mut self, updates: &[Update]) {
        self.windows.iter_mut().for_each(|windows| windows.update_all(updates));
    }

    /// Adds a sample to every window column and inline attribute of a group. An error if none of them accepts it. A plan
    /// with counters needs the source of the sample, with its rules.
    pub(super) fn update(
        &mut self,
        plan: &Plan,
        group: usize,
        update: &Update,
        source: Option<(SourceId, SourceRules<'_>)>,
    ) -> Outcome {
        let &Update { slot, at, value } = update;
        let Self { windows, inline, readings, .. } = self;
        let (source, rules) = (source.map_or(SourceId::NONE, |(id, _)| id), source.as_ref().map(|(_, rules)| rules));
        let sample = SourceSample { slot: slot as usize, source, at, value };
        let slot = sample.slot;
        let mut outcome = Err(NotAccepted::Refused);
        for &column in &plan.groups[group].window_columns {
            let updated = readings.update(column, rules, &sample, |taken| windows[column].take(slot, at, taken));
            outcome = best(outcome, updated);
        }
        let inline_columns = (windows.len()..).zip(inline).zip(&plan.inline);
        for ((column, states), _) in inline_columns.filter(|(_, inline)| inline.group == group) {
            let updated = readings.update(column, rules, &sample, |taken| match taken {
                Taken::Increase { since, value } => states.update_increase(slot, since, at, value),
                Taken::Sample(value) => states.update(slot, at, value),
            });
            outcome = best(outcome, updated);
        }
        outcome
    }

    /// Takes the start of a counter in every column of a group that has counters. An error if none of them does.
    pub(super) fn start_counters(
        &mut self,
        plan: &Plan,
        group: usize,
        slot: usize,
        at: u64,
        (source, rules): (SourceId, SourceRules<'_>),
    ) -> Outcome {
        let of_windows = plan.groups[group].window_columns.iter().copied();
        let inline = (self.windows.len()..).zip(&plan.inline).filter(|(_, inline)| inline.group == group);
        let columns = of_windows.chain(inline.map(|(column, _)| column));
        let started = columns.map(|column| self.readings.start(column, &rules, slot, source, at));
        started.fold(Err(NotAccepted::Late), best)
    }

    /// Restores the words of an object's inline state. Earlier versions have the reading of its counter there, of time
    /// `newest` at most.
    pub(super) fn restore_inline(
        &mut self,
        index: usize,
        slot: usize,
        versions: &[u16],
        words: &mut Words<'_>,
        newest: u64,
    ) -> Result<(), RestoreError> {
        let states = &mut self.inline[index];
        states.restore(slot, versions, words)?;
        if let Some(value) = states.take_reading(slot) {
            self.readings.take_over(self.windows.len() + index, slot, newest, value);
        }
        Ok(())
    }

    /// Takes the windows of a group that end at `end` out of the open ones.
    pub(super) fn take_ending(&mut self, plan: &Plan, group: usize, end: u64) -> EndedWindows {
        let mut columns = Vec::new();
        for &column in &plan.groups[group].window_columns {
            let windows = &mut self.windows[column];
            if windows.ends_at(end) {
                let mut window = windows.take_ending(end);
                if window.is_none() && self.readings.keeps_values(column) {
                    window = Some(windows.empty_window());
                }
                columns.push((column, window));
            }
        }
        EndedWindows { columns, fed: vec![0; plan.detectors.len()] }
    }

    /// Feeds the detectors of 64 objects, from slot `64 * word` on, with the windows that ended. `alive` has a bit for
    /// each object that is alive.
    pub(super) fn feed(&mut self, plan: &Plan, closing: &mut Closing, word: usize, alive: u64) {
        let silence = plan.groups[closing.group].silence;
        let Closing { unknown_columns, windows: EndedWindows { columns, fed }, .. } = closing;
        for (index, detector) in plan.detectors.iter().enumerate() {
            if unknown_columns.contains(&detector.window_column) {
                // A part of a sum is not a value of the series.
                fed[index] = 0;
            } else if let Some(window) = ended::find(columns, detector.window_column) {
                fed[index] = self.detectors[index].close_many(word, alive, window, closing.end, silence);
            }
        }
    }

    /// Makes the reports of 64 objects for an attribute, in `reports`. Which of the objects had samples in the
    /// attribute's window; `None` if no window of the attribute ends here.
    pub(super) fn reports(
        &self,
        attribute: &AttributePlan,
        closing: &Closing,
        word: usize,
        alive: u64,
        reports: &mut Reports,
    ) -> Option<u64> {
        let window = closing.windows.get(attribute.window_column)?;
        match attribute.reading {
            Reading::Window => {
                window.into_iter().for_each(|window| window.reports(word, alive, closing.end, reports));
                // Without samples there is no report.
                Some(alive)
            }
            Reading::Detector(index) => {
                self.detectors[index].reports(word, closing.windows.fed[index], closing.end, reports);
                Some(window.map_or(0, |window| window.occupied(word, alive)))
            }
        }
    }

    /// Takes back the columns of windows whose objects are closed up to slot `cleared`.
    pub(super) fn recycle(&mut self, ended: EndedWindows, cleared: usize) {
        for (column, window) in ended.columns {
            if let Some(window) = window {
                self.windows[column].recycle(window, cleared);
            }
        }
    }

    /// Drops the windows that ended at or before `watermark` and were skipped: only refused samples opened them.
    pub(super) fn discard_until(&mut self, watermark: u64) {
        self.windows.iter_mut().for_each(|windows| windows.discard_until(watermark));
    }

    /// Whether a group has a detector or an inline state of the object.
    pub(super) fn have_lasting_state(&self, plan: &Plan, group: usize, slot: usize) -> bool {
        let detectors = plan.detectors.iter().zip(&self.detectors);
        let mut detectors =
            detectors.filter(|(detector, _)| plan.window_columns[detector.window_column].group == group);
        let mut inline = plan.inline.iter().zip(&self.inline).filter(|(inline, _)| inline.group == group);
        detectors.any(|(_, detectors)| detectors.report(slot).is_some())
            || inline.any(|(_, states)| !states.is_empty(slot))
    }

    /// Forgets all that a group has of an object: an object that is neither alive nor has open samples in a group has
    /// no state there either, and the slot can go to another object.
    pub(super) fn forget(&mut self, plan: &Plan, group: usize, slot: usize) {
        self.clear_detectors(plan, group, slot);
        for (states, _) in self.inline.iter_mut().zip(&plan.inline).filter(|(_, inline)| inline.group == group) {
            states.clear(slot);
        }
        for &column in &plan.groups[group].window_columns {
            self.windows[column].clear(slot);
        }
        let inline = plan.inline.iter().map(|inline| inline.group);
        let groups = plan.window_columns.iter().map(|column| column.group).chain(inline);
        groups.enumerate().filter(|(_, of)| *of == group).for_each(|(column, _)| self.readings.clear(column, slot));
    }

    /// Forgets what the detectors of a group have of an object.
    fn clear_detectors(&mut self, plan: &Plan, group: usize, slot: usize) {
        let GroupPlan { window_columns, .. } = &plan.groups[group];
        for (detectors, detector) in self.detectors.iter_mut().zip(&plan.detectors) {
            if window_columns.contains(&detector.window_column) {
                detectors.clear(slot);
            }
        }
    }

    /// Gives memory back: no slot from `slots` on belongs to an object.
    pub(super) fn shrink(&mut self, slots: usize) {
        self.windows.iter_mut().for_each(|windows| windows.shrink(slots));
        self.detectors.iter_mut().for_each(|detectors| detectors.shrink(slots));
        self.inline.iter_mut().for_each(|states| states.shrink(slots));
        self.readings.shrink(slots);
    }
}
