//! The facts about a pipeline, in the form that `explain --json` prints and the HTTP API serves.

use std::collections::BTreeMap;

use derived_stats::{
    Annotation, AnnotationError, Context, MetricKind, Number, Periods, Registry, Spec, SpecLink, ValueType,
};
use serde::Serialize;

/// The period that is assumed for the struct of an annotation, in seconds: that of the built-in proxy types.
pub(crate) const ASSUMED_PERIOD_SECONDS: u32 = 60;

/// Compiles an annotation with the algorithms of `registry`: inline without a period or with `0-`, else in a struct with
/// [`ASSUMED_PERIOD_SECONDS`].
///
/// # Errors
///
/// When the annotation is wrong.
pub(crate) fn compile(
    text: &str,
    value: ValueType,
    metric: MetricKind,
    registry: &Registry,
) -> Result<Spec, AnnotationError> {
    let annotation = Annotation::parse(text)?;
    let periods = match annotation.period() {
        Some(period) if period.every() > 0 => Periods::Every { seconds: ASSUMED_PERIOD_SECONDS },
        _ => Periods::Plain,
    };
    Spec::compile(&annotation, Context::new(value).with_metric(metric).with_periods(periods).with_registry(registry))
}

/// The facts about one pipeline.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    /// The annotation in canonical form.
    pub annotation: String,
    /// The attribute of the samples, with its components.
    pub source: String,
    #[serde(rename = "type")]
    pub value: ValueType,
    pub metric: MetricKind,
    /// Whether the algorithm takes the samples as readings of counters.
    #[serde(skip)]
    pub takes_readings: bool,
    /// Whether the samples can be texts.
    #[serde(skip)]
    pub takes_texts: bool,
    /// Whether the metric is a map with a pipeline for each key.
    pub mstats: bool,
    /// Absent for an inline pipeline, which reports after every sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    pub algorithm: String,
    /// Numbers of the algorithm, by group and name.
    #[serde(flatten)]
    pub groups: BTreeMap<&'static str, BTreeMap<&'static str, Number>>,
    pub silence: Silence,
    /// The maximum memory of one object (or key) in bytes, with allocated windows.
    pub state_bytes: usize,
    /// The links of the pipeline, in words.
    #[serde(skip)]
    pub links: Vec<Link>,
    /// Further lines about the last link, each with label and text.
    #[serde(skip)]
    pub lines: Vec<(&'static str, String)>,
}

/// The period of a periodic pipeline.
#[derive(Debug, Serialize)]
pub(crate) struct Period {
    /// The pipeline reports at the end of every so many periods of the struct.
    pub every: u32,
    /// The assumed period of the struct, in seconds.
    pub struct_seconds: u32,
    /// The pre-aggregations that reduce each period to one value for a detector, joined by `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
}

/// A link of the pipeline, with its name and the sentence that describes it.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    pub name: String,
    pub sentence: String,
}

/// The meaning of a time without samples.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Silence {
    /// An inline pipeline reports samples only.
    NoReport,
    /// A period without samples has no result.
    NoResult,
    /// The first period without samples counts as 0, later ones are ignored.
    ZeroOnce,
}

impl Facts {
    pub(crate) fn of(spec: &Spec, mstats: bool) -> Self {
        let annotation = spec.annotation();
        let algorithm = annotation.algorithm().name().as_str().to_owned();
        let seconds = spec.is_periodic().then(|| u64::from(spec.every()) * u64::from(ASSUMED_PERIOD_SECONDS));
        let last = spec.result_link().explain(seconds);
        let mut groups: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for (group, name, number) in last.facts {
            groups.entry(group).or_default().insert(name, number);
        }
        let chain = annotation.period().map(|period| period.chain()).unwrap_or_default();
        let aggregates: Vec<String> = chain.iter().map(|call| call.name().as_str().to_owned()).collect();
        let names = aggregates.iter().cloned().chain([algorithm.clone()]);
        let link = |(link, name): (&SpecLink, String)| Link { name, sentence: link.explain(seconds).sentence };
        Self {
            annotation: annotation.to_string(),
            source: annotation.source().to_string(),
            value: spec.value_type(),
            metric: spec.metric(),
            takes_readings: spec.takes_increases(),
            takes_texts: spec.links().next().is_some_and(|first| first.entry().takes_texts()),
            mstats,
            period: spec.is_periodic().then(|| Period {
                every: spec.every(),
                struct_seconds: ASSUMED_PERIOD_SECONDS,
                aggregate: (!aggregates.is_empty()).then(|| aggregates.join(".")),
            }),
            groups,
            silence: match (spec.is_periodic(), spec.restarts_with_period()) {
                (false, _) => Silence::NoReport,
                (true, true) => Silence::NoResult,
                (true, false) => Silence::ZeroOnce,
            },
            state_bytes: spec.state_bytes(),
            links: spec.links().zip(names).map(link).collect(),
            lines: last.lines,
            algorithm,
        }
    }
}
