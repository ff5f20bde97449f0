//! The context of an annotation: the metric's type and kind, and the struct's period.

use crate::number::ValueType;
use crate::registry::Registry;

/// What the samples of a metric are.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
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

impl MetricKind {
    /// What an identity adds for it.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Agg => " agg",
            // A difference is taken as it comes: the states are interchangeable.
            Self::Diff | Self::Plain => "",
        }
    }
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

/// What [`Spec::compile`](crate::Spec::compile) must know beside the annotation.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
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
    /// Plain samples of type `value`, periods as written, the built-in algorithms.
    pub fn new(value: ValueType) -> Self {
        Self { value, metric: MetricKind::Plain, periods: Periods::AsWritten, registry: None }
    }
}

impl<'r> Context<'r> {
    /// The same for samples of another kind.
    #[must_use]
    pub fn with_metric(mut self, metric: MetricKind) -> Self {
        self.metric = metric;
        self
    }

    /// The same within a struct.
    #[must_use]
    pub fn with_periods(mut self, periods: Periods) -> Self {
        self.periods = periods;
        self
    }

    /// The same with algorithms of the embedding program.
    #[must_use]
    pub fn with_registry<'s>(self, registry: &'s Registry) -> Context<'s> {
        let Self { value, metric, periods, registry: _ } = self;
        Context { value, metric, periods, registry: Some(registry) }
    }
}

/// What a period without samples means to a detector.
///
/// Sums and other aggregates have no result for such a period under any of these.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(rename_all = "lowercase"))]
pub enum Silence {
    /// The first silent period is a 0, later ones are nothing: what the original does.
    #[default]
    Once,
    /// Silence is never a value.
    Skip,
    /// Every silent period is a 0.
    Zero,
}

impl Silence {
    /// Of objects without samples in a period, a bit each, those for which that counts as the value 0: `from_samples`
    /// had samples in the period before, `started` had any value so far.
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
    fn a_silent_period_is_a_0_where_the_rule_makes_it_one() {
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
