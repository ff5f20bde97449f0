//! The facts about a pipeline, as `--json` prints them.

use std::collections::BTreeMap;

use derived_stats::{MetricKind, Number, Spec, SpecLink, ValueType};
use serde::Serialize;

use crate::commands::pipeline_args::ASSUMED_PERIOD_SECONDS;

/// Everything `explain` prints.
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
    /// Numbers of the algorithm, by group and name.
    #[serde(flatten)]
    pub groups: BTreeMap<&'static str, BTreeMap<&'static str, Number>>,
    pub silence: Silence,
    /// What one object (or key) takes at most, in bytes, allocated windows included.
    pub state_bytes: usize,
    /// What the links of the pipeline compute, in words.
    #[serde(skip)]
    pub links: Vec<Link>,
    /// Further lines about the last link: label and text.
    #[serde(skip)]
    pub lines: Vec<(&'static str, String)>,
}

/// When a periodic pipeline reports.
#[derive(Debug, Serialize)]
pub(super) struct Period {
    /// At the end of every so many periods of the struct.
    pub every: u32,
    /// The period that is assumed for the struct, in seconds.
    pub struct_seconds: u32,
    /// The pre-aggregations that make one value of each period for a detector, joined by `.`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<String>,
}

/// One link of the pipeline: its name, and what it computes.
#[derive(Debug)]
pub(super) struct Link {
    pub name: String,
    pub sentence: String,
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
