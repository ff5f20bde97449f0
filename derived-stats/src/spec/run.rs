//! The operations on one object's state: updates, reports and the ends of periods.
//!
//! [Columns](crate::column) apply the same rules to many objects; a property test compares the two.

use alloc::sync::Arc;

use crate::algorithm::{Measured, UpdateError};
use crate::column::{Refused, Update, prefetch};
use crate::link::{Taken, raw_value};
use crate::number::Number;
use crate::record::Record;
use crate::report::Report;
use crate::source_id::SourceId;
use crate::spec::{Form, MetricKind, Silence, Spec, SpecLink, difference};
use crate::state::{Flag, State};

/// The index of the cell that takes samples: the algorithm of an inline pipeline, or the open window.
pub(super) const SAMPLES: usize = 0;
/// The index of the cell of the newest closed window, in the form `Window`.
pub(super) const CLOSED: usize = 1;
/// The index of the cell of the first link after the window.
pub(super) const DOWNSTREAM: usize = 1;

impl Spec {
    /// Whether this spec started the state.
    #[inline]
    pub(super) fn owns(&self, state: &State) -> bool {
        state.tag() == self.start.tag()
    }

    fn samples_are_empty(&self, state: &State) -> bool {
        self.first().link().is_empty(state.cell(&self.layout, SAMPLES))
    }

    /// The link that takes the samples.
    #[inline]
    pub(crate) fn first(&self) -> &Arc<SpecLink> {
        match &self.form {
            Form::Inline(link) | Form::Window { link, .. } | Form::Chain { window: link, .. } => link,
        }
    }

    pub(super) fn reading_of(&self, state: &State) -> Option<Number> {
        let index = self.reading.filter(|_| state.flag(Flag::Reading))?;
        Some(Number::from_bits(self.value_type, state.word(index)))
    }

    pub(super) fn set_reading(&self, state: &mut State, reading: Option<Number>) {
        if let Some(index) = self.reading {
            state.set_flag(Flag::Reading, reading.is_some());
            state.set_word(index, reading.map_or(0, Number::bits));
        }
    }
}

#[inline]
pub(super) fn update(spec: &Spec, state: &mut State, at: u64, value: Number) -> Result<(), UpdateError> {
    update_with(spec, state, value, |state, value| accept(spec, state, at, value))
}

pub(super) fn update_from(
    spec: &Spec,
    state: &mut State,
    source: SourceId,
    at: u64,
    value: Number,
) -> Result<(), UpdateError> {
    update_with(spec, state, value, |state, value| {
        let cell = state.cell_mut(&spec.layout, SAMPLES);
        spec.first().link().update_from(cell, source, at, raw_value(value))
    })
}

/// Passes the sample to `accept`, or its difference if the metric is a counter.
#[inline]
fn update_with(
    spec: &Spec,
    state: &mut State,
    value: Number,
    accept: impl FnOnce(&mut State, Number) -> Result<(), UpdateError>,
) -> Result<(), UpdateError> {
    if !spec.owns(state) {
        return Err(UpdateError::ForeignState);
    }
    match spec.metric {
        MetricKind::Diff | MetricKind::Plain => accept(state, value),
        MetricKind::Agg => {
            let before = spec.reading_of(state);
            let mut reading = before;
            let difference = difference(spec.value_type, &mut reading, value);
            spec.set_reading(state, reading);
            let taken = accept(state, difference?);
            if taken.is_err() {
                spec.set_reading(state, before);
            }
            taken
        }
    }
}

/// The number of updates whose states are loaded together: enough for the parallel cache misses of a processor, and few
/// enough that the first state is still in the cache when the last one is loaded.
const AHEAD: usize = 64;

pub(super) fn update_all(spec: &Spec, states: &mut [State], updates: &[Update]) -> Result<(), Refused> {
    for (chunk, updates) in updates.chunks(AHEAD).enumerate() {
        prefetch(updates, |slot| states.get(slot).is_some_and(|state| spec.owns(state)));
        for (index, &Update { slot, at, value }) in updates.iter().enumerate() {
            let state = states.get_mut(slot as usize).ok_or(UpdateError::NoState { slot });
            let taken = state.and_then(|state| update(spec, state, at, value));
            taken.map_err(|error| Refused { index: chunk * AHEAD + index, error })?;
        }
    }
    Ok(())
}

#[inline]
fn accept(spec: &Spec, state: &mut State, at: u64, value: Number) -> Result<(), UpdateError> {
    spec.first().link().update(state.cell_mut(&spec.layout, SAMPLES), at, raw_value(value))
}

pub(super) fn report(spec: &Spec, state: &State, now: u64) -> Report<Record> {
    if !spec.owns(state) {
        return Report::NotReady(None);
    }
    match &spec.form {
        Form::Inline(link) => link.link().report(state.cell(&spec.layout, SAMPLES), now),
        Form::Window { link, closed_at } => {
            let closed = state.cell(&spec.layout, CLOSED);
            if link.link().is_empty(closed) {
                return Report::NotReady(None);
            }
            link.link().report(closed, state.word(*closed_at)).of_closed_period()
        }
        Form::Chain { downstream, .. } => {
            let last = downstream.len() - 1;
            downstream[last].link().report(state.cell(&spec.layout, DOWNSTREAM + last), now)
        }
    }
}

pub(super) fn running(spec: &Spec, state: &State, now: u64) -> Option<Report<Record>> {
    match &spec.form {
        Form::Window { link, .. } if spec.owns(state) && !spec.samples_are_empty(state) => {
            Some(link.link().report(state.cell(&spec.layout, SAMPLES), now))
        }
        Form::Chain { .. } | Form::Inline(_) | Form::Window { .. } => None,
    }
}

pub(super) fn close(spec: &Spec, state: &mut State, now: u64, silence: Silence) -> Option<Report<Record>> {
    if !spec.owns(state) {
        return None;
    }
    match &spec.form {
        Form::Inline(_) => None,
        Form::Window { link, closed_at } => close_window(spec, state, now, (link, *closed_at)),
        Form::Chain { .. } => close_chain(spec, state, now, silence),
    }
}

fn close_window(
    spec: &Spec,
    state: &mut State,
    now: u64,
    (link, closed_at): (&SpecLink, usize),
) -> Option<Report<Record>> {
    state.end_period(&spec.layout, SAMPLES, CLOSED, link.link());
    state.set_word(closed_at, 0);
    let closed = state.cell(&spec.layout, CLOSED);
    if link.link().is_empty(closed) {
        return None;
    }
    let report = link.link().report(closed, now).of_closed_period();
    match report {
        Report::NotReady(_) => state.start_cell(&spec.layout, CLOSED, link.link()),
        Report::Unchanged(_) | Report::Value(_) => state.set_word(closed_at, now),
    }
    Some(report)
}

fn close_chain(spec: &Spec, state: &mut State, now: u64, silence: Silence) -> Option<Report<Record>> {
    let Form::Chain { window, downstream } = &spec.form else {
        return None;
    };
    let Taken { is_sampled, value } = window.link().take(state.cell_mut(&spec.layout, SAMPLES), now);
    let started = || u64::from(!downstream[0].link().is_empty(state.cell(&spec.layout, DOWNSTREAM)));
    let is_zero = silence.zeros(u64::from(!is_sampled), u64::from(state.flag(Flag::FromSamples)), started) == 1;
    state.set_flag(Flag::FromSamples, is_sampled);
    if is_zero {
        let value_type = window.description().value_type().unwrap_or(spec.value_type);
        return pass(spec, state, now, raw_value(Number::from_bits(value_type, 0)));
    }
    if is_sampled {
        return pass(spec, state, now, value?);
    }
    let last = downstream.len() - 1;
    downstream[last].link().pass_silence(state.cell_mut(&spec.layout, DOWNSTREAM + last));
    None
}

/// Passes a value through the links after the window. Returns the result of the last link, if the value reached it.
fn pass(spec: &Spec, state: &mut State, now: u64, value: Measured) -> Option<Report<Record>> {
    let Form::Chain { downstream, .. } = &spec.form else {
        return None;
    };
    let (last, middle) = downstream.split_last()?;
    let mut value = value;
    for (index, link) in middle.iter().enumerate() {
        value = link.link().pass(state.cell_mut(&spec.layout, DOWNSTREAM + index), now, value)?;
    }
    last.link().score(state.cell_mut(&spec.layout, DOWNSTREAM + middle.len()), now, value)
}

pub(super) fn is_active(spec: &Spec, state: &State) -> bool {
    if !spec.owns(state) {
        return false;
    }
    let open = !spec.samples_are_empty(state);
    match &spec.form {
        Form::Inline(_) => open,
        Form::Window { link, .. } => open || !link.link().is_empty(state.cell(&spec.layout, CLOSED)),
        Form::Chain { .. } => open || state.flag(Flag::FromSamples),
    }
}

/// Whether [`report`] has a result, ready or not.
pub(super) fn has_report(spec: &Spec, state: &State) -> bool {
    if !spec.owns(state) {
        return false;
    }
    match &spec.form {
        Form::Inline(_) => !spec.samples_are_empty(state),
        Form::Window { link, .. } => !link.link().is_empty(state.cell(&spec.layout, CLOSED)),
        Form::Chain { downstream, .. } => {
            let last = downstream.len() - 1;
            !downstream[last].link().is_empty(state.cell(&spec.layout, DOWNSTREAM + last))
        }
    }
}

/// Drops the state of a deleted map key, except for the result of its closed period, which stays until the next close.
/// Returns `false` if there is no such result.
pub(super) fn forget(spec: &Spec, state: &mut State) -> bool {
    spec.set_reading(state, None);
    match &spec.form {
        Form::Window { link, .. } => {
            state.start_cell(&spec.layout, SAMPLES, link.link());
            has_report(spec, state)
        }
        Form::Chain { .. } | Form::Inline(_) => false,
    }
}

/// Like [`forget`], but keeps the reading of a counter.
pub(super) fn forget_samples(spec: &Spec, state: &mut State) {
    let reading = spec.reading_of(state);
    match &spec.form {
        Form::Window { link, .. } => state.start_cell(&spec.layout, SAMPLES, link.link()),
        Form::Chain { .. } | Form::Inline(_) => {
            *state = spec.start();
            spec.set_reading(state, reading);
        }
    }
}
