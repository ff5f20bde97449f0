//! The arguments of a pipeline, which `eval` and `explain` share.

use clap::{Args, ValueEnum};
use derived_stats::{AnnotationError, MetricKind, Registry, Spec, ValueType};

use crate::facts;
pub(crate) use crate::facts::ASSUMED_PERIOD_SECONDS;

/// The properties of the metric of an annotation.
#[derive(Args, Debug)]
pub(crate) struct MetricArgs {
    /// The element type of the samples.
    #[arg(long = "type", value_enum, default_value_t = TypeArg::U64)]
    pub(crate) value: TypeArg,
    /// The kind of the samples: plain values, readings of a cumulative counter (agg), or differences (diff).
    #[arg(long, value_enum, default_value_t = MetricArg::Plain)]
    pub(crate) metric: MetricArg,
    /// The metric is a map of values; each key has its own pipeline.
    #[arg(long)]
    pub(crate) mstats: bool,
}

/// The element types, as spelled on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TypeArg {
    F64,
    I64,
    U64,
}

/// The kinds of metric, as spelled on the command line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum MetricArg {
    Agg,
    Diff,
    Plain,
}

impl MetricArgs {
    /// Compiles the annotation with the algorithms of `registry`: inline without a period or with `0-`, else in a
    /// struct with [`ASSUMED_PERIOD_SECONDS`].
    pub(crate) fn compile(&self, annotation: &str, registry: &Registry) -> Result<Spec, AnnotationError> {
        facts::compile(annotation, self.value.into(), self.metric.into(), registry)
    }
}

impl From<TypeArg> for ValueType {
    fn from(value: TypeArg) -> Self {
        match value {
            TypeArg::F64 => Self::F64,
            TypeArg::I64 => Self::I64,
            TypeArg::U64 => Self::U64,
        }
    }
}

impl From<MetricArg> for MetricKind {
    fn from(metric: MetricArg) -> Self {
        match metric {
            MetricArg::Agg => Self::Agg,
            MetricArg::Diff => Self::Diff,
            MetricArg::Plain => Self::Plain,
        }
    }
}
