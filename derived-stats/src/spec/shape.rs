//! The three ways a pipeline can be built, for one element type.
//!
//! | shape | annotation | a sample goes | a result comes |
//! |---|---|---|---|
//! | inline | `raw:ALGO`, `0-raw:ALGO` | to the algorithm | after every sample |
//! | periodic | `1-raw:ALGO` | to the algorithm of this period | when the period closes, then the algorithm starts anew |
//! | detector | `1.PRE-raw:DSAnomaly:…` | to the aggregate of this period | when the period closes, from the detector that saw the aggregate |
//!
//! In front of any of them stands the differencing of a cumulative counter, when the metric is one.

use crate::accumulator::{Accumulated, Accumulator};
use crate::algorithm::{Anomaly, AnomalyState, Sample, UpdateError};
use crate::number::{Number, Numeric};
use crate::report::{Output, Report};
use crate::saved::{RestoreError, Words};
use crate::spec::{MetricKind, Silence};
use crate::stage::{Stage, StageState};

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape<T: Numeric> {
    Inline(Stage<T>),
    Periodic(Accumulator<T>),
    Detector { pre: Accumulator<T>, detector: Anomaly },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ShapeState<T: Numeric> {
    /// Any of the others behind a counter; boxed, so that plain metrics do not pay for its reading.
    Counter(Box<Counter<T>>),
    /// `running` is absent until the period's first sample.
    Detector {
        running: Option<Accumulated<T>>,
        detector: AnomalyState<T>,
    },
    /// `seen` says whether there was any sample.
    Inline {
        seen: bool,
        state: StageState<T>,
    },
    Periodic {
        running: Option<Accumulated<T>>,
        closed: Option<Closed<T>>,
    },
}

/// What the newest closed period accumulated, and when it ended: its result stays that of its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Closed<T: Numeric> {
    at: u64,
    accumulated: Accumulated<T>,
}

/// The differencing of a cumulative counter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Counter<T: Numeric> {
    reading: Option<T>,
    state: ShapeState<T>,
}

impl<T: Numeric> Shape<T> {
    pub(crate) fn start(&self, metric: MetricKind) -> ShapeState<T> {
        let state = match self {
            Self::Inline(stage) => ShapeState::Inline { seen: false, state: stage.start() },
            Self::Periodic(_) => ShapeState::Periodic { running: None, closed: None },
            Self::Detector { .. } => ShapeState::Detector { running: None, detector: AnomalyState::start() },
        };
        match metric {
            MetricKind::Agg => ShapeState::Counter(Box::new(Counter { reading: None, state })),
            MetricKind::Diff | MetricKind::Plain => state,
        }
    }

    /// Whether both fill a window in the same way.
    pub(crate) fn accumulates_like(&self, other: &Self) -> bool {
        self.accumulator().is_some() && self.accumulator() == other.accumulator()
    }

    fn accumulator(&self) -> Option<&Accumulator<T>> {
        match self {
            Self::Inline(_) => None,
            Self::Periodic(accumulator) | Self::Detector { pre: accumulator, .. } => Some(accumulator),
        }
    }

    pub(crate) fn update(&self, state: &mut ShapeState<T>, at: u64, value: Number) -> Result<(), UpdateError> {
        let value = T::from_number(value)?;
        match state {
            ShapeState::Counter(counter) => {
                let before = counter.reading;
                let value = difference(&mut counter.reading, value)?;
                let taken = self.accept(&mut counter.state, Sample { at, value });
                if taken.is_err() {
                    counter.reading = before;
                }
                taken
            }
            state => self.accept(state, Sample { at, value }),
        }
    }

    fn accept(&self, state: &mut ShapeState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        match (self, state) {
            (Self::Inline(stage), ShapeState::Inline { seen, state }) => {
                stage.update(state, sample)?;
                *seen = true;
                Ok(())
            }
            (Self::Periodic(accumulator), ShapeState::Periodic { running, .. })
            | (Self::Detector { pre: accumulator, .. }, ShapeState::Detector { running, .. }) => {
                let running = running.get_or_insert_with(|| accumulator.start());
                accumulator.update(running, sample)
            }
            _ => Err(UpdateError::ForeignState),
        }
    }

    pub(crate) fn report(&self, state: &ShapeState<T>, now: u64) -> Report<Output<'_>> {
        match (self, state.behind_counter()) {
            (Self::Inline(stage), ShapeState::Inline { state, .. }) => stage.report(state, now),
            (Self::Periodic(accumulator), ShapeState::Periodic { closed: Some(closed), .. }) => {
                closed_report(accumulator, closed)
            }
            (Self::Detector { detector, .. }, ShapeState::Detector { detector: state, .. }) => detector.judge(state),
            _ => Report::NotReady(None),
        }
    }

    pub(crate) fn running(&self, state: &ShapeState<T>, now: u64) -> Option<Report<Output<'_>>> {
        match (self, state.behind_counter()) {
            (Self::Periodic(accumulator), ShapeState::Periodic { running: Some(running), .. }) => {
                Some(accumulator.report(running, now))
            }
            _ => None,
        }
    }

    pub(crate) fn close(&self, state: &mut ShapeState<T>, now: u64, silence: Silence) -> Option<Report<Output<'_>>> {
        match (self, state.behind_counter_mut()) {
            (Self::Periodic(accumulator), ShapeState::Periodic { running, closed }) => {
                *closed = running.take().map(|accumulated| Closed { at: now, accumulated });
                let report = closed_report(accumulator, closed.as_ref()?);
                if matches!(report, Report::NotReady(_)) {
                    *closed = None;
                }
                Some(report)
            }
            (Self::Detector { pre, detector }, ShapeState::Detector { running, detector: state }) => {
                let fed =
                    close_detector(detector, state, running.take().map(|running| pre.value(&running, now)), silence);
                fed.then(|| detector.judge(state))
            }
            _ => None,
        }
    }

    pub(crate) fn is_active(&self, state: &ShapeState<T>) -> bool {
        match state.behind_counter() {
            ShapeState::Counter(_) => false,
            ShapeState::Detector { running, detector } => running.is_some() || detector.is_from_samples(),
            ShapeState::Inline { seen, .. } => *seen,
            ShapeState::Periodic { running, closed } => running.is_some() || closed.is_some(),
        }
    }

    /// Whether [`report`](Self::report) has something to show.
    pub(crate) fn has_report(&self, state: &ShapeState<T>) -> bool {
        match state.behind_counter() {
            ShapeState::Counter(_) => false,
            ShapeState::Detector { detector, .. } => detector.is_started(),
            ShapeState::Inline { seen, .. } => *seen,
            ShapeState::Periodic { closed, .. } => closed.is_some(),
        }
    }

    /// Drops what a deleted map key had, all but the result of its closed period, which stays until the next close.
    /// `false` if nothing is left.
    pub(crate) fn forget(&self, state: &mut ShapeState<T>) -> bool {
        if let ShapeState::Counter(counter) = state {
            counter.reading = None;
        }
        match state.behind_counter_mut() {
            ShapeState::Periodic { running, closed } => {
                *running = None;
                closed.is_some()
            }
            _ => false,
        }
    }

    /// Drops what [`forget`](Self::forget) drops, but for the reading of a counter.
    pub(crate) fn forget_samples(&self, state: &mut ShapeState<T>) {
        match state.behind_counter_mut() {
            ShapeState::Periodic { running, .. } => *running = None,
            state => *state = self.start(MetricKind::Plain),
        }
    }

    pub(crate) fn save(&self, state: &ShapeState<T>, words: &mut Vec<u64>) {
        match (self, state) {
            (_, ShapeState::Counter(counter)) => {
                words.extend(counter.reading.map_or([0, 0], |reading| [1, reading.to_bits()]));
                self.save(&counter.state, words);
            }
            (Self::Inline(stage), ShapeState::Inline { seen, state }) => {
                words.push(u64::from(*seen));
                stage.save(state, words);
            }
            (Self::Periodic(accumulator), ShapeState::Periodic { running, closed }) => {
                save_option(accumulator, running.as_ref(), words);
                words.push(closed.as_ref().map_or(0, |closed| closed.at));
                save_option(accumulator, closed.as_ref().map(|closed| &closed.accumulated), words);
            }
            (Self::Detector { pre, detector }, ShapeState::Detector { running, detector: state }) => {
                save_option(pre, running.as_ref(), words);
                crate::algorithm::Algorithm::save(detector, state, words);
            }
            _ => {}
        }
    }

    pub(crate) fn restore(&self, metric: MetricKind, words: &mut Words<'_>) -> Result<ShapeState<T>, RestoreError> {
        if metric != MetricKind::Agg {
            return self.restore_plain(words);
        }
        let reading = words.optional_finite("counter reading")?;
        let state = self.restore_plain(words)?;
        Ok(ShapeState::Counter(Box::new(Counter { reading, state })))
    }

    fn restore_plain(&self, words: &mut Words<'_>) -> Result<ShapeState<T>, RestoreError> {
        Ok(match self {
            Self::Inline(stage) => ShapeState::Inline { seen: words.flag("seen")?, state: stage.restore(words)? },
            Self::Periodic(accumulator) => ShapeState::Periodic {
                running: restore_option(accumulator, words)?,
                closed: restore_closed(accumulator, words)?,
            },
            Self::Detector { pre, detector } => ShapeState::Detector {
                running: restore_option(pre, words)?,
                detector: crate::algorithm::Algorithm::restore(detector, words)?,
            },
        })
    }
}

impl<T: Numeric> ShapeState<T> {
    fn behind_counter(&self) -> &Self {
        match self {
            Self::Counter(counter) => &counter.state,
            state => state,
        }
    }

    fn behind_counter_mut(&mut self) -> &mut Self {
        match self {
            Self::Counter(counter) => &mut counter.state,
            state => state,
        }
    }
}

/// Feeds a detector at the end of a period: with `value` if there were samples (0 if they gave no value), else as
/// `silence` says. Whether it was fed.
#[inline]
pub(crate) fn close_detector<T: Numeric>(
    detector: &Anomaly,
    state: &mut AnomalyState<T>,
    value: Option<Option<(T, bool)>>,
    silence: Silence,
) -> bool {
    if let Some(value) = value {
        let (value, overflowed) = value.unwrap_or_default();
        detector.feed(state, value, overflowed);
        return true;
    }
    let counts_as_zero = match silence {
        Silence::Once => state.is_from_samples(),
        Silence::Skip => false,
        Silence::Zero => state.is_started(),
    };
    if counts_as_zero {
        detector.feed_silence(state);
    }
    state.note_silence();
    counts_as_zero
}

/// The difference to the last reading. A counter that falls was reset, so it grew by its new value.
pub(crate) fn difference<T: Numeric>(last: &mut Option<T>, reading: T) -> Result<T, UpdateError> {
    let Some(before) = last.replace(reading) else {
        return Ok(reading);
    };
    if reading < before {
        return Ok(reading);
    }
    match reading.saturating_difference(before) {
        (difference, false) => Ok(difference),
        (_, true) => Err(UpdateError::DifferenceOverflow { from: before.into_number(), to: reading.into_number() }),
    }
}

/// The result of a closed period. That it is 0 or a repetition does not suppress it: what the original's periodic
/// wrapper keeps is the value alone.
fn closed_report<'s, T: Numeric>(accumulator: &'s Accumulator<T>, closed: &Closed<T>) -> Report<Output<'s>> {
    match accumulator.report(&closed.accumulated, closed.at) {
        Report::Unchanged(output) => Report::Value(output),
        report => report,
    }
}

fn save_option<T: Numeric>(accumulator: &Accumulator<T>, state: Option<&Accumulated<T>>, words: &mut Vec<u64>) {
    words.push(u64::from(state.is_some()));
    if let Some(state) = state {
        accumulator.save(state, words);
    }
}

fn restore_option<T: Numeric>(
    accumulator: &Accumulator<T>,
    words: &mut Words<'_>,
) -> Result<Option<Accumulated<T>>, RestoreError> {
    words.flag("running")?.then(|| accumulator.restore(words)).transpose()
}

fn restore_closed<T: Numeric>(
    accumulator: &Accumulator<T>,
    words: &mut Words<'_>,
) -> Result<Option<Closed<T>>, RestoreError> {
    let at = words.next("end of the closed period")?;
    let closed = restore_option(accumulator, words)?.map(|accumulated| Closed { at, accumulated });
    // The end of no period is not a time.
    if closed.is_none() && at != 0 { Err(RestoreError::invalid("end of the closed period", at)) } else { Ok(closed) }
}
