//! A spec with one state, for a single metric.

use alloc::sync::Arc;

use crate::algorithm::UpdateError;
#[cfg(feature = "parser")]
use crate::annotation::AnnotationError;
use crate::number::Number;
#[cfg(feature = "parser")]
use crate::number::ValueType;
use crate::output::Output;
use crate::report::Report;
use crate::saved::{RestoreError, SavedState};
use crate::source_id::SourceId;
#[cfg(feature = "parser")]
use crate::spec::Context;
use crate::spec::{Silence, Spec};
use crate::state::State;

/// The pipeline of one metric.
///
/// [`update`](Self::update) takes samples. [`report`](Self::report) returns the result of an inline pipeline at any
/// time; [`close_period`](Self::close_period) ends a period of a periodic pipeline.
///
/// ```
/// use derived_stats::entry::Role;
/// use derived_stats::{Number, Pipeline};
///
/// let mut flows = Pipeline::parse("1.DSSum-raw:DSAnomaly:EWM:0.1")?;
/// let minute = 60_000_000;
/// for period in 0..30u64 {
///     let flows_of_vrouter_b = if period == 29 { 90 } else { 16 };
///     flows.update(period * minute, Number::U64(20))?;
///     flows.update(period * minute + 5, Number::U64(flows_of_vrouter_b))?;
///     if let Some(result) = flows.close_period((period + 1) * minute).and_then(|report| report.forced()) {
///         let score = result.role(Role::Score).map_or(0.0, Number::as_f64);
///         assert_eq!(score > 2.5, period == 29, "period {period}: {result:?}");
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    spec: Arc<Spec>,
    state: State,
    silence: Silence,
    /// The number of ended periods of the struct, for pipelines that act on every n-th.
    periods: u64,
}

impl Pipeline {
    /// A pipeline of `u64` samples: periodic if the annotation names a period, else inline.
    ///
    /// # Errors
    ///
    /// An annotation error, which points at the mistake.
    #[cfg(feature = "parser")]
    pub fn parse(annotation: &str) -> Result<Self, AnnotationError> {
        Ok(Self::new(Arc::new(Spec::parse(annotation, Context::new(ValueType::U64))?)))
    }

    /// A pipeline with a new state under a shared spec.
    pub fn new(spec: Arc<Spec>) -> Self {
        let state = spec.start();
        Self { spec, state, silence: Silence::default(), periods: 0 }
    }

    /// Sets the rule for periods without samples.
    #[must_use]
    pub fn with_silence(mut self, silence: Silence) -> Self {
        self.silence = silence;
        self
    }

    /// The compiled annotation.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Takes a sample of time `at`, in microseconds.
    ///
    /// # Errors
    ///
    /// As [`Spec::update`].
    pub fn update(&mut self, at: u64, value: Number) -> Result<(), UpdateError> {
        self.spec.update(&mut self.state, at, value)
    }

    /// Takes a sample of a source; see [`Spec::update_from`].
    ///
    /// # Errors
    ///
    /// As [`Spec::update`].
    pub fn update_from(&mut self, source: SourceId, at: u64, value: Number) -> Result<(), UpdateError> {
        self.spec.update_from(&mut self.state, source, at, value)
    }

    /// The result at time `now`; see [`Spec::report`].
    pub fn report(&self, now: u64) -> Report<Output<'_>> {
        self.spec.report(&self.state, now)
    }

    /// The value of the valid result at the time of the newest sample; `None` if the result has no single value.
    pub fn number(&self) -> Option<Number> {
        self.report(0).forced()?.value()
    }

    /// The result of the open period so far; see [`Spec::running`].
    pub fn running(&self, now: u64) -> Option<Report<Output<'_>>> {
        self.spec.running(&self.state, now)
    }

    /// Ends a period of the struct at time `now`, and returns its result; see [`Spec::close`]. A pipeline that acts on
    /// every n-th period returns `None` for the others.
    pub fn close_period(&mut self, now: u64) -> Option<Report<Output<'_>>> {
        self.periods = self.periods.wrapping_add(1);
        let every = u64::from(self.spec.every());
        if every == 0 || !self.periods.is_multiple_of(every) {
            return None;
        }
        self.spec.close(&mut self.state, now, self.silence)
    }

    /// Whether the newest or the open period had samples; see [`Spec::is_active`].
    pub fn is_active(&self) -> bool {
        self.spec.is_active(&self.state)
    }

    /// Saves the state and the number of ended periods.
    pub fn save(&self) -> SavedState {
        let mut saved = self.spec.save(&self.state);
        saved.words.push(self.periods);
        saved
    }

    /// Restores a saved state of the same annotation.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; the pipeline is then unchanged.
    pub fn restore(&mut self, saved: &SavedState) -> Result<(), RestoreError> {
        let (&periods, words) = saved.words.split_last().ok_or(RestoreError::TooShort { field: "periods" })?;
        let mut state = saved.clone();
        state.words = words.to_vec();
        self.state = self.spec.restore(&state)?;
        self.periods = periods;
        Ok(())
    }
}
