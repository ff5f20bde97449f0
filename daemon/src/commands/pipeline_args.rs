//! The arguments of a pipeline, which `eval` and `explain` share.

use clap::{Args, ValueEnum};
use derived_stats::{Annotation, AnnotationError, Context, MetricKind, Periods, Registry, Spec, ValueType};

/// The period that the tools assume for the struct of an annotation, in seconds: that of the built-in proxy types.
pub(crate) const ASSUMED_PERIOD_SECONDS: u32 = 60;

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
        let annotation = Annotation::parse(annotation)?;
        let periods = match annotation.period() {
            Some(period) if period.every() > 0 => Periods::Every { seconds: ASSUMED_PERIOD_SECONDS },
            _ => Periods::Plain,
        };
        let (value, metric) = (self.value.into(), self.metric.into());
        Spec::compile(
            &annotation,
            Context::new(value).with_metric(metric).with_periods(periods).with_registry(registry),
        )
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
