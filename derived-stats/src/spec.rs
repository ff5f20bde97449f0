//! A compiled annotation: everything that objects with the same pipeline share.
//!
//! Compiling resolves names, checks arguments and fixes the element type, once. A [`Spec`] is then only read, by any
//! number of threads; what belongs to one object is its [`State`].

mod compile;
mod shape;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::algorithm::UpdateError;
use crate::annotation::{Annotation, AnnotationError};
use crate::number::{Number, Numeric, ValueType};
use crate::registry::Registry;
use crate::report::{Output, Report};
use crate::saved::{RestoreError, STATE_VERSION, SavedState, Words};

pub(crate) use self::shape::{Shape, ShapeState, close_detector, difference};

/// What the samples of a metric are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// Readings of a cumulative counter (`metric="agg"`): the pipeline sees differences, the first one from 0. A
    /// counter that falls was reset: the difference is its new value.
    Agg,
    /// Differences already (`metric="diff"`): taken as they come.
    Diff,
    /// Values to take as they come.
    #[default]
    Plain,
}

/// The struct around an annotation, which decides what a missing period means.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Periods {
    /// No struct: a period in the annotation makes the pipeline periodic, none makes it inline.
    #[default]
    AsWritten,
    /// A struct with `period="…"`: a missing period means 1.
    Every {
        /// The struct's period in seconds, at least 1.
        seconds: u32,
    },
    /// A struct without period: a missing period means 0, and any other is an error.
    Plain,
}

/// What [`Spec::compile`] must know beside the annotation.
#[derive(Clone, Copy, Debug)]
pub struct Context<'r> {
    /// The element type of the raw metric.
    pub value: ValueType,
    /// What its samples are.
    pub metric: MetricKind,
    /// The struct's period.
    pub periods: Periods,
    /// Algorithms of the embedding program.
    pub registry: Option<&'r Registry>,
}

impl Context<'static> {
    /// Plain samples of type `value`, periods as written.
    pub fn new(value: ValueType) -> Self {
        Self { value, metric: MetricKind::Plain, periods: Periods::AsWritten, registry: None }
    }
}

/// What a period without samples means to a detector.
///
/// Sums and other aggregates have no result for such a period under any of these.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Silence {
    /// The first silent period is a 0, later ones are nothing: what the original does.
    #[default]
    Once,
    /// Silence is never a value.
    Skip,
    /// Every silent period is a 0.
    Zero,
}

/// One of the three element types' versions of the same thing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Typed<F, I, U> {
    F64(F),
    I64(I),
    U64(U),
}

type TypedShape = Typed<Shape<f64>, Shape<i64>, Shape<u64>>;

/// The state of one object under a [`Spec`]: at most 64 bytes beside what ranged windows and registered algorithms
/// allocate.
///
/// Only the spec that started a state can use it. A spec of another form answers [`UpdateError::ForeignState`]; one
/// whose states look the same (all tallies do) would take it for its own, so keep states with their specs.
#[derive(Clone, Debug, PartialEq)]
pub struct State(pub(crate) Typed<ShapeState<f64>, ShapeState<i64>, ShapeState<u64>>);

/// A compiled annotation.
///
/// ```
/// use derived_stats::{Context, Number, Silence, Spec, ValueType};
///
/// let spec = Spec::parse("1.DSSum-raw:DSAnomaly:EWM:0.5", Context::new(ValueType::U64))?;
/// let mut state = spec.start();
/// for period in 0..2u64 {
///     spec.update(&mut state, period, Number::U64(20))?;
///     spec.update(&mut state, period, Number::U64(16))?;
///     let report = spec.close(&mut state, period, Silence::Once);
///     let ready = report.is_some_and(|report| report.forced().is_some());
///     assert_eq!(ready, period == 1, "EWM:0.5 is ready after two periods");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    annotation: Annotation,
    metric: MetricKind,
    every: u32,
    shape: TypedShape,
}

/// Calls the same code for a spec and a state of the same element type, `$other` if they differ.
macro_rules! matched {
    ($spec:expr, $state:expr, |$shape:ident, $object:ident| $call:expr, $other:expr) => {
        match ($spec, $state) {
            (Typed::F64($shape), Typed::F64($object)) => $call,
            (Typed::I64($shape), Typed::I64($object)) => $call,
            (Typed::U64($shape), Typed::U64($object)) => $call,
            _ => $other,
        }
    };
}

impl Spec {
    /// Parses and compiles an annotation.
    ///
    /// # Errors
    ///
    /// As [`Annotation::parse`] and [`compile`](Self::compile).
    pub fn parse(text: &str, context: Context<'_>) -> Result<Self, AnnotationError> {
        Self::compile(&Annotation::parse(text)?, context)
    }

    /// Compiles an annotation for metrics as `context` says.
    ///
    /// # Errors
    ///
    /// An error that points into the annotation: an unknown name, arguments that the algorithm cannot take, or a
    /// combination that cannot work, such as a detector that sees no value of a period.
    pub fn compile(annotation: &Annotation, context: Context<'_>) -> Result<Self, AnnotationError> {
        let every = compile::every(annotation, context.periods)?;
        let shape = match context.value {
            ValueType::F64 => Typed::F64(compile::shape(annotation, every, context)?),
            ValueType::I64 => Typed::I64(compile::shape(annotation, every, context)?),
            ValueType::U64 => Typed::U64(compile::shape(annotation, every, context)?),
        };
        Ok(Self { annotation: annotation.clone(), metric: context.metric, every, shape })
    }

    /// The annotation this was compiled from.
    pub fn annotation(&self) -> &Annotation {
        &self.annotation
    }

    /// The element type of the samples.
    pub fn value_type(&self) -> ValueType {
        match self.shape {
            Typed::F64(_) => ValueType::F64,
            Typed::I64(_) => ValueType::I64,
            Typed::U64(_) => ValueType::U64,
        }
    }

    /// What the samples are.
    pub fn metric(&self) -> MetricKind {
        self.metric
    }

    /// Acts on every n-th period of the struct; 0 for an inline pipeline, which acts on every sample.
    pub fn every(&self) -> u32 {
        self.every
    }

    /// Whether results come when a period closes, not with each sample.
    pub fn is_periodic(&self) -> bool {
        self.every > 0
    }

    /// Whether each period starts anew: periodic, and without a detector that remembers earlier ones.
    pub fn restarts_with_period(&self) -> bool {
        match &self.shape {
            Typed::F64(shape) => matches!(shape, Shape::Periodic(_)),
            Typed::I64(shape) => matches!(shape, Shape::Periodic(_)),
            Typed::U64(shape) => matches!(shape, Shape::Periodic(_)),
        }
    }

    /// What binds a saved state to its pipeline: annotation, element type and metric kind.
    pub fn fingerprint(&self) -> String {
        self.to_string()
    }

    /// The state of an object before its first sample.
    pub fn start(&self) -> State {
        State(match &self.shape {
            Typed::F64(shape) => Typed::F64(shape.start(self.metric)),
            Typed::I64(shape) => Typed::I64(shape.start(self.metric)),
            Typed::U64(shape) => Typed::U64(shape.start(self.metric)),
        })
    }

    /// Gives the state a sample of time `at`, in microseconds. Constant time, no allocation (a ranged window allocates
    /// when it starts).
    ///
    /// # Errors
    ///
    /// [`UpdateError`] when the sample cannot be taken; the state is as before, except for counts of refused samples.
    pub fn update(&self, state: &mut State, at: u64, value: Number) -> Result<(), UpdateError> {
        matched!(
            &self.shape,
            &mut state.0,
            |shape, object| shape.update(object, at, value),
            Err(UpdateError::ForeignState)
        )
    }

    /// Whether a value has the type of the samples, or one that converts to it exactly; see
    /// [`Numeric::from_number`](crate::Numeric::from_number).
    pub fn accepts(&self, value: Number) -> bool {
        match self.shape {
            Typed::F64(_) => f64::from_number(value).is_ok(),
            Typed::I64(_) => i64::from_number(value).is_ok(),
            Typed::U64(_) => u64::from_number(value).is_ok(),
        }
    }

    /// The result at time `now`: of the samples so far (inline), or of the newest closed period.
    pub fn report(&self, state: &State, now: u64) -> Report<Output<'_>> {
        matched!(&self.shape, &state.0, |shape, object| shape.report(object, now), Report::NotReady(None))
    }

    /// The result of the period that is still open, as far as it has come; `None` for inline pipelines, detectors and
    /// periods without samples.
    pub fn running(&self, state: &State, now: u64) -> Option<Report<Output<'_>>> {
        matched!(&self.shape, &state.0, |shape, object| shape.running(object, now), None)
    }

    /// Ends a period at time `now`. Gives the period's result, or `None` if there was nothing to flush: no sample in
    /// it and, for a detector, a silence that is no value. Inline pipelines have no periods and always answer `None`.
    ///
    /// A pipeline that acts on every n-th period is closed by its caller at every n-th.
    pub fn close(&self, state: &mut State, now: u64, silence: Silence) -> Option<Report<Output<'_>>> {
        matched!(&self.shape, &mut state.0, |shape, object| shape.close(object, now, silence), None)
    }

    /// Whether the newest or the open period had samples; for an inline pipeline, whether there was any sample.
    pub fn is_active(&self, state: &State) -> bool {
        matched!(&self.shape, &state.0, |shape, object| shape.is_active(object), false)
    }

    /// Saves the state.
    pub fn save(&self, state: &State) -> SavedState {
        let mut words = Vec::new();
        self.save_words(state, &mut words);
        SavedState { version: STATE_VERSION, pipeline: self.fingerprint(), words }
    }

    /// Appends the words of the state, for callers that keep version and pipeline elsewhere.
    pub fn save_words(&self, state: &State, words: &mut Vec<u64>) {
        matched!(&self.shape, &state.0, |shape, object| shape.save(object, words), {});
    }

    /// Restores a state; it continues bit for bit where the saved one stood.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] for a state of another pipeline or version, or with impossible content.
    pub fn restore(&self, saved: &SavedState) -> Result<State, RestoreError> {
        if saved.version != STATE_VERSION {
            return Err(RestoreError::Version { found: saved.version });
        }
        let expected = self.fingerprint();
        if saved.pipeline != expected {
            return Err(RestoreError::WrongPipeline { expected, found: saved.pipeline.clone() });
        }
        let mut words = Words::new(&saved.words);
        let state = self.restore_words(&mut words)?;
        words.finish()?;
        Ok(state)
    }

    /// Reads back what [`save_words`](Self::save_words) wrote.
    ///
    /// # Errors
    ///
    /// [`RestoreError`] for impossible content or a short read.
    pub fn restore_words(&self, words: &mut Words<'_>) -> Result<State, RestoreError> {
        Ok(State(match &self.shape {
            Typed::F64(shape) => Typed::F64(shape.restore(self.metric, words)?),
            Typed::I64(shape) => Typed::I64(shape.restore(self.metric, words)?),
            Typed::U64(shape) => Typed::U64(shape.restore(self.metric, words)?),
        }))
    }

    /// Whether the windows of both specs accumulate the same, so that one
    /// [`RunningColumn`](crate::column::RunningColumn) serves both.
    pub fn shares_running(&self, other: &Self) -> bool {
        let alike = self.metric == other.metric
            && self.every == other.every
            && self.annotation.source() == other.annotation.source();
        alike && matched!(&self.shape, &other.shape, |left, right| left.accumulates_like(right), false)
    }

    pub(crate) fn shape(&self) -> &TypedShape {
        &self.shape
    }

    /// Whether [`report`](Self::report) has something to show, ready or not.
    pub(crate) fn has_report(&self, state: &State) -> bool {
        matched!(&self.shape, &state.0, |shape, object| shape.has_report(object), false)
    }

    /// Drops what a deleted map key had; `false` if nothing is left of it.
    pub(crate) fn forget(&self, state: &mut State) -> bool {
        matched!(&self.shape, &mut state.0, |shape, object| shape.forget(object), false)
    }

    /// The same, but a counter keeps its reading.
    pub(crate) fn forget_samples(&self, state: &mut State) {
        matched!(&self.shape, &mut state.0, |shape, object| shape.forget_samples(object), {});
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.annotation, self.value_type())?;
        match self.metric {
            MetricKind::Agg => f.write_str(" agg"),
            // A difference is taken as it comes: the states are interchangeable.
            MetricKind::Diff | MetricKind::Plain => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_the_seeds_pipeline_fits_64_bytes() {
        assert!(size_of::<State>() <= 64, "a state has {} bytes", size_of::<State>());
    }

    #[test]
    fn a_state_of_another_spec_is_refused() {
        let sum = Spec::parse("raw:DSSum", Context::new(ValueType::U64)).expect("a good annotation");
        let null = Spec::parse("raw:DSNull", Context::new(ValueType::U64)).expect("a good annotation");
        let float = Spec::parse("raw:DSSum", Context::new(ValueType::F64)).expect("a good annotation");
        for other in [null, float] {
            let mut state = other.start();
            assert_eq!(sum.update(&mut state, 0, Number::U64(1)), Err(UpdateError::ForeignState));
            assert_eq!(sum.report(&state, 0), Report::NotReady(None));
        }
    }
}
