//! The facts about a pipeline, as `--json` prints them.

use derived_stats::algorithm::{Alpha, Range, RangeState};
use derived_stats::{MetricKind, Spec, State, ValueType};
use serde::Serialize;

use crate::cli::ASSUMED_PERIOD_SECONDS;

/// Everything `explain` says.
#[derive(Debug, Serialize)]
pub(super) struct Facts {
    /// In canonical form.
    pub annotation: String,
    /// The attribute that brings the samples, with its components.
    pub source: String,
    #[serde(rename = "type")]
    pub value: ValueType,
    pub metric: MetricKind,
    /// Whether each key of a map has a pipeline of its own.
    pub mstats: bool,
    /// Absent for an inline pipeline, which reports after every sample.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<Period>,
    pub algorithm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moments: Option<Moments>,
    pub silence: Silence,
    /// What one object (or key) takes at most, in bytes, allocated windows included.
    pub state_bytes: usize,
}

/// When a periodic pipeline reports.
#[derive(Debug, Serialize)]
pub(super) struct Period {
    /// At the end of every so many periods of the struct.
    pub every: u32,
    /// The period that is assumed for the struct, in seconds.
    pub struct_seconds: u32,
    /// The aggregate that makes one value of each period for a detector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
}

/// The sliding window of a ranged algorithm.
#[derive(Debug, Serialize)]
pub(super) struct Window {
    pub seconds: u64,
    pub bucket_micros: u64,
}

/// The parameters of a weighted mean.
#[derive(Debug, Serialize)]
pub(super) struct Moments {
    pub alpha: f64,
    /// Values until the first result that counts; absent where every result counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<u64>,
    /// What |sigma| cannot exceed, rounding aside.
    pub sigma_bound: f64,
    /// Where |sigma| settles on a series that is perfectly flat, for the alphas whose mean stalls short of it.
    pub flat_sigma: f64,
}

/// What a time without samples means.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Silence {
    /// Inline: no sample, no report.
    NoReport,
    /// A period without samples has no result.
    NoResult,
    /// The first one counts as 0, later ones are nothing.
    ZeroOnce,
}

impl Facts {
    pub(super) fn of(spec: &Spec, mstats: bool) -> Self {
        let annotation = spec.annotation();
        let algorithm = annotation.algorithm();
        let chain = annotation.period().map(|period| period.chain()).unwrap_or_default();
        let range = range(spec);
        Self {
            annotation: annotation.to_string(),
            source: annotation.source().to_string(),
            value: spec.value_type(),
            metric: spec.metric(),
            mstats,
            period: spec.is_periodic().then(|| Period {
                every: spec.every(),
                struct_seconds: ASSUMED_PERIOD_SECONDS,
                aggregate: chain.first().map(|link| link.name().as_str().to_owned()),
            }),
            algorithm: algorithm.name().as_str().to_owned(),
            window: range.map(|range| Window { seconds: range.seconds(), bucket_micros: range.bucket_micros() }),
            moments: moments(spec),
            silence: match (spec.is_periodic(), spec.restarts_with_period()) {
                (false, _) => Silence::NoReport,
                (true, true) => Silence::NoResult,
                (true, false) => Silence::ZeroOnce,
            },
            state_bytes: state_bytes(spec, range),
        }
    }
}

/// The window, where the algorithm has one.
fn range(spec: &Spec) -> Option<Range> {
    let call = spec.annotation().algorithm();
    matches!(call.name().as_str(), "DSSum" | "DSAvg").then_some(())?;
    Range::from_seconds(call.arguments().as_str().parse().ok()?).ok()
}

fn moments(spec: &Spec) -> Option<Moments> {
    let call = spec.annotation().algorithm();
    let text = match call.name().as_str() {
        "DSAnomaly" => call.arguments().as_str().split_once(':')?.1,
        "DSEWM" => call.arguments().as_str(),
        _ => return None,
    };
    let alpha = Alpha::parse(text).ok()?;
    let kept = 1.0 - alpha.get();
    Some(Moments {
        alpha: alpha.get(),
        warm_up: (call.name().as_str() == "DSAnomaly").then(|| alpha.warm_up()),
        sigma_bound: (kept / alpha.get()).sqrt(),
        flat_sigma: if kept > 0.0 { 1.0 / kept.sqrt() } else { 0.0 },
    })
}

/// The plain state, what the differencing of a counter adds, and the buckets of a busy window.
fn state_bytes(spec: &Spec, range: Option<Range>) -> usize {
    let counter = match spec.metric() {
        MetricKind::Agg => size_of::<State>() + size_of::<Option<u64>>(),
        MetricKind::Diff | MetricKind::Plain => 0,
    };
    // A bucket has its start, its count and its sum; sums of integers have 128 bits.
    let (window, bucket) = match spec.value_type() {
        ValueType::F64 => (size_of::<RangeState<f64>>(), size_of::<(u64, u64, f64)>()),
        ValueType::I64 => (size_of::<RangeState<i64>>(), size_of::<(u64, u64, i128)>()),
        ValueType::U64 => (size_of::<RangeState<u64>>(), size_of::<(u64, u64, u128)>()),
    };
    let windows = range.map_or(0, |range| {
        let buckets = range.seconds().saturating_mul(1_000_000) / range.bucket_micros();
        window + bucket * (usize::try_from(buckets).unwrap_or(usize::MAX).min(256) + 1)
    });
    size_of::<State>() + counter + windows
}
