//! The context of an annotation: the metric's type and kind, and the struct's period.

use crate::number::ValueType;
use crate::registry::Registry;

/// The kind of the samples of a metric.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum MetricKind {
    /// Readings of a cumulative counter (`metric="agg"`): the pipeline takes the differences, the first one from 0. A
    /// decrease is a reset of the counter: the difference is then the new reading.
    Agg,
    /// Differences of a counter (`metric="diff"`), taken unchanged.
    Diff,
    /// Values, taken unchanged.
    #[default]
    Plain,
}

impl MetricKind {
    /// The part of an identity for the kind.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Agg => " agg",
            // Both are taken unchanged: the states are interchangeable.
            Self::Diff | Self::Plain => "",
        }
    }
}

/// The struct of an annotation, which determines the default of the period.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Periods {
    /// No struct: the pipeline is periodic if the annotation has a period, else inline.
    #[default]
    AsWritten,
    /// A struct with `period="…"`: the default is 1.
    Every {
        /// The struct's period in seconds, at least 1.
        seconds: u32,
    },
    /// A struct without a period: the default is 0, and any other period is an error.
    Plain,
}

/// The parameters of [`Spec::compile`](crate::Spec::compile) in addition to the annotation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Context<'r> {
    /// The element type of the raw metric.
    pub value: ValueType,
    /// The kind of its samples.
    pub metric: MetricKind,
    /// The struct, with its period.
    pub periods: Periods,
    /// Algorithms of the embedding program.
    pub registry: Option<&'r Registry>,
}

impl Context<'static> {
    /// Plain samples of type `value`, periods as written, the built-in algorithms.
    pub fn new(value: ValueType) -> Self {
        Self { value, metric: MetricKind::Plain, periods: Periods::AsWritten, registry: None }
    }
}

impl<'r> Context<'r> {
    /// Sets the kind of the samples.
    #[must_use]
    pub fn with_metric(mut self, metric: MetricKind) -> Self {
        self.metric = metric;
        self
    }

    /// Sets the struct.
    #[must_use]
    pub fn with_periods(mut self, periods: Periods) -> Self {
        self.periods = periods;
        self
    }

    /// Adds the algorithms of the embedding program.
    #[must_use]
    pub fn with_registry<'s>(self, registry: &'s Registry) -> Context<'s> {
        let Self { value, metric, periods, registry: _ } = self;
        Context { value, metric, periods, registry: Some(registry) }
    }
}

/// The rule for periods without samples, in detectors.
///
/// Sums and other aggregates never have a result for such a period.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Silence {
    /// The first silent period counts as 0, later ones have no value, as in the original.
    #[default]
    Once,
    /// A silent period has no value.
    Skip,
    /// Every silent period counts as 0.
    Zero,
}

impl Silence {
    /// The bits of the silent objects for which the period counts as 0. `silent` are the objects without samples in the
    /// period, `from_samples` those with samples in the previous one, `started` those with an earlier value.
    #[inline]
    pub(crate) fn zeros(self, silent: u64, from_samples: u64, started: impl FnOnce() -> u64) -> u64 {
        match self {
            Self::Once => silent & from_samples,
            Self::Skip => 0,
            Self::Zero if silent == 0 => 0,
            Self::Zero => silent & started(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_period_counts_as_0_by_the_rule() {
        let (silent, from_samples, started) = (0b0111, 0b1010, 0b1100);
        let zeros = |silence: Silence| silence.zeros(silent, from_samples, || started);
        assert_eq!([Silence::Once, Silence::Skip, Silence::Zero].map(zeros), [0b0010, 0, 0b0100]);
    }

    #[test]
    fn without_silence_no_slot_is_searched_for_values() {
        for silence in [Silence::Once, Silence::Skip, Silence::Zero] {
            assert_eq!(silence.zeros(0, u64::MAX, || unreachable!("no slot is silent")), 0);
        }
    }
}
