//! The common part of the detectors that score values with their time: a [`Model`] computes score and band, and
//! [`Scored`] adds the warm-up, the alarm decision, the result and the saved state.
//!
//! Spans of these detectors are in time, not in samples: a series of 60 s and one of 300 s behave alike per day. A
//! period without a value changes nothing: silence is not zero.

mod alarms;
mod clock;
mod controller;
mod options;
mod share;

use core::fmt;

use crate::algorithm::large::{flaw, within};
use crate::algorithm::{Algorithm, Detector, Measured, Sample, UpdateError};
use crate::entry::{Built, Field, NumberKind, Role, TextSource, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};

pub(crate) use self::alarms::{AlarmState, Alarms, WEEK};
pub(crate) use self::clock::Clock;
pub(crate) use self::controller::{APART, Controller};
pub(crate) use self::options::{ALARMS, Options, THRESHOLD, WARM_UP, explain_options, span, threshold};
pub(crate) use self::share::Share;

/// No number in a state of a model is larger by size: above the square of twice
/// [`LARGEST`](crate::algorithm::large::LARGEST).
pub(crate) const BOUND: f64 = 1e302;

/// The version of the states of scored detectors whose model has no later one. In version 1, the state of the alarms had single floats. Version
/// 2 had no window with a time that is far away, and no histogram whose top bin has larger values.
pub(crate) const VERSION: u16 = 3;

/// The score of one value.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// The larger by size, the more unusual.
    pub(crate) score: f64,
    /// The measure that the alarm decision calibrates, 0 or more.
    pub(crate) strangeness: f64,
    /// The expected value.
    pub(crate) expected: f64,
    /// The bounds of the band of normal values.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The computation of one detector.
pub(crate) trait Model: Clone + fmt::Debug + Send + Sync + 'static {
    /// The data of one object.
    type State: Clone + fmt::Debug + PartialEq + Send + Sync + 'static;

    /// The version of the saved states.
    const VERSION: u16 = VERSION;

    /// The state before the first value.
    fn start(&self) -> Self::State;

    /// Scores the value `x`, at most [`LARGEST`](crate::algorithm::large::LARGEST) by size, and learns it. `clock` has
    /// counted it. It may have counted values before that were not learned, because they were [flawed](flaw).
    fn score(&self, state: &mut Self::State, x: f64, clock: &Clock) -> Scores;

    /// Passes a value that is not learned. `clock` has counted it, and may have stepped back.
    fn pass(&self, state: &mut Self::State, clock: &Clock) {
        let _ = (state, clock);
    }

    /// Whether the newest value may raise an alarm.
    fn can_alarm(&self, state: &Self::State) -> bool {
        let _ = state;
        true
    }

    /// Writes the exact state.
    fn save(&self, state: &Self::State, words: &mut WordWriter<'_>);

    /// Reads back what [`save`](Self::save) of this version or an older one wrote. `clock` is the restored clock.
    fn restore(&self, version: u16, words: &mut Words<'_>, clock: &Clock) -> Result<Self::State, RestoreError>;
}

/// A detector of a model.
#[derive(Clone, Debug)]
pub(crate) struct Scored<M> {
    model: M,
    options: Options,
}

/// The state of a [`Scored`] detector for one object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ScoredState<T, S> {
    clock: Clock,
    newest: T,
    is_bound: bool,
    scores: Scores,
    alarm: AlarmState,
    model: S,
}

impl<M: Model> Scored<M> {
    /// The detector of a model, for an entry.
    pub(crate) fn built(model: M, options: Options) -> Built {
        let alarms = options.alarms().per_week();
        Built::detector(Self { model, options }).with_alarms(alarms)
    }
}

impl<M: Model> Scored<M> {
    /// Scores a value that is not learned, and returns whether it may raise an alarm. Its true size is not known. It is
    /// far away, and would determine what is usual.
    #[cold]
    #[inline(never)]
    fn score_flawed<T>(&self, state: &mut ScoredState<T, M::State>, x: f64) -> bool {
        let mut scored = state.model.clone();
        state.scores = self.model.score(&mut scored, x, &state.clock);
        self.model.pass(&mut state.model, &state.clock);
        self.model.can_alarm(&scored)
    }
}

impl<M> Scored<M> {
    /// Whether the warm-up is over.
    fn is_ready(&self, clock: &Clock) -> bool {
        clock.samples() > Options::LEAST_SAMPLES && clock.age() >= self.options.warm_up()
    }

    fn record<T: Numeric, S>(&self, state: &ScoredState<T, S>) -> Record {
        let threshold = self.options.alarms().threshold(&state.alarm, &state.clock);
        let flaw = flaw(state.newest.to_f64(), state.is_bound);
        record(state.clock.samples(), state.scores, threshold, state.alarm.is_alarm(), state.newest).flawed(flaw)
    }
}

/// The numbers of the [`fields`].
pub(crate) fn record<T: Numeric>(samples: u64, scores: Scores, threshold: f64, is_alarm: bool, newest: T) -> Record {
    let Scores { score, strangeness, expected, low, high } = scores;
    let record = Record::new([
        Number::U64(samples),
        Number::F64(expected),
        Number::F64(low),
        Number::F64(high),
        Number::F64(strangeness),
        Number::F64(threshold),
        Number::F64(score),
        Number::U64(u64::from(is_alarm)),
        newest.into_number(),
    ]);
    if samples == 0 { record.without(8) } else { record }
}

/// The fields of the results of a scored detector. `detector` is its name.
pub(crate) const fn fields(detector: &'static str) -> [Field; 11] {
    const fn state(name: &'static str, unit: Unit, meaning: &'static str) -> Field {
        Field::number(name, NumberKind::F64, unit, meaning).in_group("state")
    }
    [
        Field::number("samples", NumberKind::U64, Unit::Samples, "values seen by the detector"),
        Field::text("algo", TextSource::Literal(detector), "the detector"),
        Field::error(),
        state("expected", Unit::Metric, "the value that was expected").role_of(Role::Expected),
        state("low", Unit::Metric, "the lower bound of normal values").role_of(Role::Low),
        state("high", Unit::Metric, "the upper bound of normal values").role_of(Role::High),
        state("strangeness", Unit::None, "the size of the deviation, which the threshold applies to"),
        state("threshold", Unit::None, "the strangeness above which a value raises an alarm"),
        Field::number("score", NumberKind::F64, Unit::None, "the anomaly score of the newest value")
            .role_of(Role::Score),
        Field::number("alarm", NumberKind::U64, Unit::None, "1 if the newest value raises an alarm, else 0")
            .role_of(Role::Alarm),
        Field::number("value", NumberKind::Metric, Unit::Metric, "the newest value")
            .role_of(Role::Value)
            .column("metric"),
    ]
}

impl<T: Numeric, M: Model> Algorithm<T> for Scored<M> {
    type State = ScoredState<T, M::State>;

    fn start(&self) -> Self::State {
        ScoredState {
            clock: Clock::default(),
            newest: T::default(),
            is_bound: false,
            scores: Scores::default(),
            alarm: AlarmState::default(),
            model: self.model.start(),
        }
    }

    fn is_empty(&self, state: &Self::State) -> bool {
        state.clock.samples() == 0
    }

    #[inline]
    fn update(&self, state: &mut Self::State, sample: Sample<T>) -> Result<(), UpdateError> {
        let before = state.clock.last();
        state.clock.tick(sample.at);
        if state.clock.last() < before {
            state.alarm.step_back(state.clock.last());
        }
        (state.newest, state.is_bound) = (sample.value, sample.overflowed);
        let x = sample.value.to_f64();
        // Stored by each arm: a tuple of both is written to the stack and read back in wider parts, which stalls.
        let can_alarm = match flaw(x, sample.overflowed) {
            None => {
                state.scores = self.model.score(&mut state.model, x, &state.clock);
                self.model.can_alarm(&state.model)
            }
            Some(_) => self.score_flawed(state, within(x)),
        };
        let is_armed = self.is_ready(&state.clock) && can_alarm;
        self.options.alarms().update(&mut state.alarm, state.scores.strangeness, &state.clock, is_armed);
        if state.scores.score.abs() < self.options.threshold() {
            state.alarm.suppress();
        }
        Ok(())
    }

    fn report(&self, state: &Self::State, _now: u64) -> Report<Record> {
        let record = self.record(state);
        if self.is_ready(&state.clock) { Report::Value(record) } else { Report::NotReady(Some(record)) }
    }

    #[inline]
    fn value(&self, state: &Self::State, _now: u64, _value: usize) -> Option<Measured> {
        let measured = Measured { number: state.newest.into_number(), overflowed: state.is_bound };
        self.is_ready(&state.clock).then_some(measured)
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn save(&self, state: &Self::State, words: &mut WordWriter<'_>) {
        state.clock.save(words);
        words.extend([state.newest.to_bits(), u64::from(state.is_bound)]);
        let Scores { score, strangeness, expected, low, high } = state.scores;
        words.extend([score, strangeness, expected, low, high].map(f64::to_bits));
        state.alarm.save(words);
        self.model.save(&state.model, words);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        self.read(M::VERSION, words)
    }

    fn migrate(&self, version: u16, words: &mut Words<'_>) -> Result<Self::State, RestoreError> {
        match version {
            known if (1..M::VERSION).contains(&known) => self.read(known, words),
            found => Err(RestoreError::UnknownAlgorithmVersion { found }),
        }
    }
}

impl<M: Model> Scored<M> {
    /// Reads a state that a version wrote.
    fn read<T: Numeric>(&self, version: u16, words: &mut Words<'_>) -> Result<ScoredState<T, M::State>, RestoreError> {
        let clock = Clock::restore(words)?;
        let (newest, is_bound) = (words.finite("newest value")?, words.flag("overflow")?);
        let scores = Scores {
            score: words.finite("score")?,
            strangeness: words.finite("strangeness")?,
            expected: words.finite("expected value")?,
            low: words.finite("low")?,
            high: words.finite("high")?,
        };
        let alarm = AlarmState::restore(version, words, &clock)?;
        let model = self.model.restore(version, words, &clock)?;
        let state = ScoredState { clock, newest, is_bound, scores, alarm, model };
        if clock.samples() == 0 && state != Algorithm::<T>::start(self) {
            return Err(RestoreError::invalid("samples", 0));
        }
        Ok(state)
    }
}

impl<T: Numeric, M: Model> Detector<T> for Scored<M> {}

/// A saved double that is at most `bound` by size.
pub(crate) fn bounded(words: &mut Words<'_>, field: &'static str, bound: f64) -> Result<f64, RestoreError> {
    let value: f64 = words.finite(field)?;
    if value.abs() <= bound { Ok(value) } else { Err(RestoreError::invalid(field, value.to_bits())) }
}

/// A saved double from 0 to `bound`.
pub(crate) fn positive(words: &mut Words<'_>, field: &'static str, bound: f64) -> Result<f64, RestoreError> {
    let value = bounded(words, field, bound)?;
    if value >= 0.0 { Ok(value) } else { Err(RestoreError::invalid(field, value.to_bits())) }
}

/// Two single floats within a range.
pub(crate) fn pair(
    words: &mut Words<'_>,
    field: &'static str,
    range: core::ops::RangeInclusive<f32>,
) -> Result<[f32; 2], RestoreError> {
    let word = words.next(field)?;
    let pair = [(word >> 32) as u32, word as u32].map(f32::from_bits);
    if pair.iter().all(|value| range.contains(value)) { Ok(pair) } else { Err(RestoreError::invalid(field, word)) }
}
