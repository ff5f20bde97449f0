//! A compiled annotation, which all objects with the same pipeline share.
//!
//! Compiling resolves names, checks arguments and determines the element type. A [`Spec`] is immutable, and any number
//! of threads can use it; the data of one object is its [`State`].
//!
//! | form | annotation | a sample updates | a result is available |
//! |---|---|---|---|
//! | inline | `raw:ALGO`, `0-raw:ALGO` | the algorithm | after every sample |
//! | window | `1-raw:ALGO` | the window of `ALGO` | at the end of the period, which resets the window |
//! | chain | `1.A.B-raw:DSAnomaly:…` | the window of `A` | at the end of the period: its value passes through `B` and the detector, which are not reset |
//!
//! If the metric is a cumulative counter, the pipeline takes the differences between its readings.

mod compile;
mod context;
mod difference;
mod identity;
mod link;
mod run;
mod save;

use alloc::sync::Arc;

use crate::algorithm::UpdateError;
use crate::annotation::{Annotation, AnnotationError};
use crate::column::{Refused, Update};
use crate::description::Description;
use crate::number::{Number, ValueType};
use crate::output::Output;
use crate::report::Report;
use crate::source_id::SourceId;
use crate::state::{Layout, State};

pub use self::context::{Context, MetricKind, Periods, Silence};
pub use self::difference::counter_increase;
pub(crate) use self::difference::difference;
pub use self::link::SpecLink;

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
#[derive(Clone, Debug)]
pub struct Spec {
    annotation: Annotation,
    value_type: ValueType,
    metric: MetricKind,
    every: u32,
    form: Form,
    layout: Layout,
    /// The index of the word with the reading of a counter.
    reading: Option<usize>,
    /// The state of an object before its first sample.
    start: State,
}

/// The arrangement of the links.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    Inline(Arc<SpecLink>),
    Window {
        link: Arc<SpecLink>,
        /// The index of the word with the end of the newest closed period.
        closed_at: usize,
    },
    Chain {
        window: Arc<SpecLink>,
        /// The links after the window, in order; the last one is a detector.
        downstream: Arc<[Arc<SpecLink>]>,
    },
}

impl Spec {
    /// Parses and compiles an annotation.
    ///
    /// # Errors
    ///
    /// As [`Annotation::parse`] and [`compile`](Self::compile).
    #[cfg(feature = "parser")]
    pub fn parse(text: &str, context: Context<'_>) -> Result<Self, AnnotationError> {
        Self::compile(&Annotation::parse(text)?, context)
    }

    /// Compiles an annotation for metrics of a `context`.
    ///
    /// # Errors
    ///
    /// An error with a span in the annotation: an unknown name, arguments that the algorithm refuses, or an impossible
    /// combination, such as a periodic detector without a pre-aggregation.
    pub fn compile(annotation: &Annotation, context: Context<'_>) -> Result<Self, AnnotationError> {
        compile::spec(annotation, context)
    }

    /// The annotation of the spec.
    pub fn annotation(&self) -> &Annotation {
        &self.annotation
    }

    /// The element type of the samples.
    pub fn value_type(&self) -> ValueType {
        self.value_type
    }

    /// The kind of the metric.
    pub fn metric(&self) -> MetricKind {
        self.metric
    }

    /// The number n of a pipeline that acts on every n-th period of the struct; 0 for an inline pipeline, which acts on
    /// every sample.
    pub fn every(&self) -> u32 {
        self.every
    }

    /// Whether there is a result at the end of each period, not after each sample.
    pub fn is_periodic(&self) -> bool {
        self.every > 0
    }

    /// Whether each period is independent of the earlier ones: the spec is periodic and has no detector.
    pub fn restarts_with_period(&self) -> bool {
        matches!(self.form, Form::Window { .. })
    }

    /// The links in the order of the values; never empty.
    pub fn links(&self) -> impl Iterator<Item = &SpecLink> {
        let (first, rest): (_, &[Arc<SpecLink>]) = match &self.form {
            Form::Inline(link) | Form::Window { link, .. } => (link, &[]),
            Form::Chain { window, downstream } => (window, downstream),
        };
        core::iter::once(&**first).chain(rest.iter().map(|link| &**link))
    }

    /// The link whose result is the result of the pipeline.
    pub fn result_link(&self) -> &SpecLink {
        match &self.form {
            Form::Inline(link) | Form::Window { link, .. } => link,
            Form::Chain { window, downstream } => downstream.last().unwrap_or(window),
        }
    }

    /// The meaning of the results.
    pub fn description(&self) -> &Description {
        self.result_link().description()
    }

    pub(crate) fn inline_link(&self) -> Option<&Arc<SpecLink>> {
        match &self.form {
            Form::Inline(link) => Some(link),
            Form::Chain { .. } | Form::Window { .. } => None,
        }
    }

    pub(crate) fn window_link(&self) -> Option<&Arc<SpecLink>> {
        match &self.form {
            Form::Inline(_) => None,
            Form::Window { link, .. } | Form::Chain { window: link, .. } => Some(link),
        }
    }

    pub(crate) fn downstream_links(&self) -> Arc<[Arc<SpecLink>]> {
        match &self.form {
            Form::Chain { downstream, .. } => Arc::clone(downstream),
            Form::Inline(_) | Form::Window { .. } => Arc::new([]),
        }
    }

    /// The state of an object before its first sample.
    pub fn start(&self) -> State {
        self.start.clone()
    }

    /// Updates the state with a sample of time `at`, in microseconds. Constant time, without allocation (a ranged
    /// window allocates when it starts).
    ///
    /// # Errors
    ///
    /// [`UpdateError`] if the sample is refused; the state is then unchanged, except as described there.
    pub fn update(&self, state: &mut State, at: u64, value: Number) -> Result<(), UpdateError> {
        run::update(self, state, at, value)
    }

    /// Updates the state with a sample of a source, for algorithms that [distinguish sources](Self::last_values). All
    /// others ignore the source, and so does the difference of a counter: it is that of one source.
    ///
    /// # Errors
    ///
    /// As [`update`](Self::update), which takes a sample of [`SourceId::UNNAMED`].
    pub fn update_from(&self, state: &mut State, source: SourceId, at: u64, value: Number) -> Result<(), UpdateError> {
        run::update_from(self, state, source, at, value)
    }

    /// The number of periods for which the last value of each source is kept, if the value of a period is made of the
    /// last values of its sources. A source counts in the period of its newest sample and in the next ones, this number
    /// in total.
    pub fn last_values(&self) -> Option<u32> {
        self.first().last_values()
    }

    /// Whether the algorithm compares the readings of a counter, as `DSRate`. One pipeline compares those of one counter.
    /// For the counters of many sources, keep the last reading of each, and pass the increases to
    /// [`WindowColumn::update_increase`](crate::column::WindowColumn::update_increase) or its like of an inline column.
    pub fn takes_increases(&self) -> bool {
        self.first().takes_increases()
    }

    /// The bound of the scores by size, for a detector that has one: no score reaches a larger threshold. It is
    /// sqrt((1-alpha)/alpha) for `EWM`, 3 with an alpha of 0.1.
    pub fn largest_score(&self) -> Option<f64> {
        self.result_link().largest_score()
    }

    /// Updates the states of many objects, in order, as [`update`](Self::update) for each sample: the slot of a sample
    /// is the index of its state. If the states do not fit the caches, it is several times faster than single updates,
    /// because it loads many states in parallel.
    ///
    /// ```
    /// use derived_stats::column::Update;
    /// use derived_stats::{Context, Number, Spec, ValueType};
    ///
    /// let spec = Spec::parse("raw:DSSum", Context::new(ValueType::U64))?;
    /// let mut states = vec![spec.start(); 2];
    /// let sample = |slot, value| Update { slot, at: 0, value: Number::U64(value) };
    /// spec.update_all(&mut states, &[sample(0, 20), sample(1, 1), sample(0, 16)])?;
    /// assert_eq!(spec.report(&states[0], 0).forced().and_then(|sum| sum.value()), Some(Number::U64(36)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first sample that is refused, with [`UpdateError::NoState`] for a slot beyond the states. The samples before
    /// it were taken, the samples after it were not.
    pub fn update_all(&self, states: &mut [State], updates: &[Update]) -> Result<(), Refused> {
        run::update_all(self, states, updates)
    }

    /// Whether a value has the type of the samples or converts to it; see
    /// [`Numeric::from_number`](crate::Numeric::from_number).
    #[inline]
    pub fn accepts(&self, value: Number) -> bool {
        self.value_type.accepts(value)
    }

    /// The result at time `now`: that of all samples (inline), or that of the newest closed period.
    pub fn report(&self, state: &State, now: u64) -> Report<Output<'_>> {
        run::report(self, state, now).map(|record| Output::new(self.description(), record))
    }

    /// The preliminary result of the open period; `None` for inline pipelines, detectors and periods without samples.
    pub fn running(&self, state: &State, now: u64) -> Option<Report<Output<'_>>> {
        Some(run::running(self, state, now)?.map(|record| Output::new(self.description(), record)))
    }

    /// Ends a period at time `now`, and returns its result. `None` if the period had no samples and, for a detector,
    /// `silence` does not count it as 0; always `None` for inline pipelines, which have no periods.
    ///
    /// For a pipeline that acts on every n-th period, the caller calls this at every n-th.
    pub fn close(&self, state: &mut State, now: u64, silence: Silence) -> Option<Report<Output<'_>>> {
        Some(run::close(self, state, now, silence)?.map(|record| Output::new(self.description(), record)))
    }

    /// Whether the newest or the open period had samples; for an inline pipeline, whether the state has taken a sample.
    pub fn is_active(&self, state: &State) -> bool {
        run::is_active(self, state)
    }

    /// The upper bound of the bytes of one object: the state and its allocations.
    pub fn state_bytes(&self) -> usize {
        let cells = match self.form {
            Form::Window { .. } => 2,
            Form::Chain { .. } | Form::Inline(_) => 1,
        };
        let heap = self.links().map(SpecLink::heap_bytes).sum::<usize>();
        size_of::<State>() + self.layout.heap_bytes() + cells * heap
    }

    /// Whether [`report`](Self::report) has a result, ready or not.
    pub(crate) fn has_report(&self, state: &State) -> bool {
        run::has_report(self, state)
    }

    /// Whether the state has the last reading of a counter.
    pub(crate) fn has_reading(&self, state: &State) -> bool {
        self.reading_of(state).is_some()
    }

    /// Drops the state of a deleted map key, except for the result of its closed period. Returns `false` if there is
    /// none.
    pub(crate) fn forget(&self, state: &mut State) -> bool {
        run::forget(self, state)
    }

    /// Like [`forget`](Self::forget), but keeps the reading of a counter.
    pub(crate) fn forget_samples(&self, state: &mut State) {
        run::forget_samples(self, state);
    }
}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use crate::algorithm::Sum;
    use crate::entry::{Built, Entry, Field, NumberKind, Roles, Unit};
    use crate::registry::Registry;

    fn spec(annotation: &str, value: ValueType) -> Spec {
        Spec::parse(annotation, Context::new(value)).expect("a good annotation")
    }

    #[test]
    fn a_state_of_another_spec_is_refused() {
        let sum = spec("raw:DSSum", ValueType::U64);
        for other in
            [spec("raw:DSNull", ValueType::U64), spec("raw:DSSum", ValueType::F64), spec("raw:DSAvg", ValueType::U64)]
        {
            let mut state = other.start();
            assert_eq!(sum.update(&mut state, 0, Number::U64(1)), Err(UpdateError::ForeignState));
            assert_eq!(sum.report(&state, 0), Report::NotReady(None));
        }
    }

    #[test]
    fn a_batch_for_many_states_is_taken_up_to_the_first_sample_that_is_refused() {
        let spec = spec("raw:DSSum", ValueType::U64);
        let sample = |slot, value| Update { slot, at: 0, value };
        let sums = |states: &[State]| states.iter().map(|state| spec.report(state, 0).forced()?.value()).collect();
        let ones: Vec<Update> = (0..130).map(|slot| sample(slot % 3, Number::U64(1))).collect();
        for (last, error) in
            [(sample(3, Number::U64(1)), Some(UpdateError::NoState { slot: 3 })), (sample(0, Number::F64(0.5)), None)]
        {
            let (mut one_by_one, mut batch) = (alloc::vec![spec.start(); 3], alloc::vec![spec.start(); 3]);
            for one in &ones {
                spec.update(&mut one_by_one[one.slot as usize], 0, one.value).expect("a u64");
            }
            let updates: Vec<Update> = ones.iter().copied().chain([last, sample(0, Number::U64(9))]).collect();
            let refused = spec.update_all(&mut batch, &updates).expect_err("the last but one");
            assert_eq!(refused.index, 130);
            assert!(error.is_none_or(|error| refused.error == error), "{refused}");
            let (expected, found): (Vec<Option<Number>>, Vec<Option<Number>>) = (sums(&one_by_one), sums(&batch));
            assert_eq!(found, expected);
        }
    }

    static MINE: Entry = Entry::new("Mine", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum)));
    static YOURS: Entry = Entry::new("Mine", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum)));

    #[test]
    fn a_state_belongs_to_the_algorithm_of_one_registry() {
        let [mine, yours] = [&MINE, &YOURS].map(|entry| {
            let mut registry = Registry::new();
            registry.register(entry).expect("a free name");
            Spec::parse("raw:Mine", Context::new(ValueType::U64).with_registry(&registry)).expect("a good annotation")
        });
        assert_eq!(mine.identity(), yours.identity());
        let mut state = yours.start();
        assert_eq!(mine.update(&mut state, 0, Number::U64(1)), Err(UpdateError::ForeignState));
        assert_eq!(yours.update(&mut state, 0, Number::U64(1)), Ok(()));
    }

    #[test]
    fn identities_of_one_32_bit_hash_have_states_of_their_own() {
        let [sum, other] = [("0-a213817:DSSum", ValueType::I64), ("0-b62860:DSSum", ValueType::F64)]
            .map(|(annotation, value)| spec(annotation, value));
        let mut state = sum.start();
        assert_eq!(other.update(&mut state, 0, Number::F64(1.0)), Err(UpdateError::ForeignState));
    }

    static PERIODIC: Entry =
        Entry::new("Periodic", Roles { inline: false, ..Roles::AGGREGATE }, "a sum", |_| Ok(Built::aggregate(Sum)));
    static VALUELESS: Entry = Entry::new("Valueless", Roles::AGGREGATE, "a sum", |_| Ok(Built::aggregate(Sum)))
        .structured("Sums", &[Field::number("sum", NumberKind::Metric, Unit::Metric, "a sum")]);

    #[test]
    fn an_algorithm_is_accepted_only_in_the_roles_of_its_entry() {
        let mut registry = Registry::new();
        registry.register(&PERIODIC).expect("a free name");
        registry.register(&VALUELESS).expect("a free name");
        let context = Context::new(ValueType::U64).with_registry(&registry);
        assert!(Spec::parse("1-raw:Periodic", context).is_ok());
        let refused = |annotation| Spec::parse(annotation, context).expect_err("not allowed").to_string();
        insta::assert_snapshot!(refused("raw:Periodic"), @r"
        annotation error:
            raw:Periodic
                ^^^^^^^^
        `Periodic` needs a period; write `1-` before the attribute
        ");
        let error = refused("1.DSSum.Valueless-raw:DSAnomaly:EWM:0.1");
        assert!(error.contains("            ^^^^^^^^^\n`Valueless`"), "{error}");
    }
}
