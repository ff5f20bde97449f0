//! Names of states: what a column accumulates, as text, and nothing else.
//!
//! A snapshot finds its columns by these names after a change of configuration. So a name has what gives the state its
//! meaning (length of the window, algorithm and arguments, element type, differencing), and not what only decides where
//! a result is shown: names of structs and fields, the order of the proxy types, and for a window column the detector
//! that reads it. Arguments are in canonical form: `EWM:0.5` and `EWM:0.50` are one detector.

use std::fmt;

use derived_stats::{Silence, Spec};
use serde::{Deserialize, Serialize};

/// The settings of a window group: proxy types with the same ones share it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupKey {
    /// Length of a window in microseconds.
    pub(crate) period: u64,
    /// Silent periods before deletion; 0 for never.
    pub(crate) timeout: u32,
    pub(crate) silence: Silence,
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { period, timeout, silence } = *self;
        write!(f, "period={} timeout={timeout} silence={}", length(period), silence_name(silence))
    }
}

/// Liveness and touched sets: the period.
pub(crate) fn group(period: u64) -> String {
    length(period)
}

/// A window column, such as `60s DSSum u64`.
pub(crate) fn window(window: u64, spec: &Spec) -> String {
    format!("{} {}", length(window), spec.window_identity().unwrap_or_default())
}

/// A detector behind windows of this length, such as `60s DSSum DSAnomaly:EWM:0.1 u64 silence=once`.
pub(crate) fn detector(window: u64, spec: &Spec, silence: Silence) -> String {
    let links = spec.downstream_identity().unwrap_or_default();
    format!("{} {links} silence={}", length(window), silence_name(silence))
}

/// The state of an inline attribute, such as `DSSum u64`.
pub(crate) fn inline(spec: &Spec) -> String {
    spec.inline_identity().unwrap_or_default()
}

fn silence_name(silence: Silence) -> &'static str {
    match silence {
        Silence::Once => "once",
        Silence::Skip => "skip",
        Silence::Zero => "zero",
    }
}

fn length(microseconds: u64) -> String {
    match microseconds % 1_000_000 {
        0 => format!("{}s", microseconds / 1_000_000),
        _ => format!("{microseconds}us"),
    }
}

#[cfg(test)]
mod tests {
    use derived_stats::{Context, MetricKind, ValueType};

    use super::*;

    fn spec(annotation: &str, value: ValueType, metric: MetricKind) -> Spec {
        Spec::parse(annotation, Context::new(value).with_metric(metric)).unwrap()
    }

    #[test]
    fn names_have_what_accumulates_and_nothing_else() {
        let sum = spec("1-raw:DSSum:", ValueType::U64, MetricKind::Plain);
        let scored = spec("1.DSSum-value:DSAnomaly:EWM:0.1", ValueType::U64, MetricKind::Diff);
        assert_eq!(window(60_000_000, &sum), "60s DSSum u64");
        assert_eq!(window(60_000_000, &scored), "60s DSSum u64");
        assert_eq!(
            window(1_500_000, &spec("1-raw:DSSum:60", ValueType::I64, MetricKind::Agg)),
            "1500000us DSSum:60 i64 agg"
        );
        assert_eq!(detector(120_000_000, &scored, Silence::Once), "120s DSSum DSAnomaly:EWM:0.1 u64 silence=once");
        assert_eq!(inline(&spec("0-raw:DSEWM:0.5", ValueType::F64, MetricKind::Plain)), "DSEWM:0.5 f64");
        let key = GroupKey { period: 60_000_000, timeout: 1, silence: Silence::Zero };
        assert_eq!(
            (group(key.period).as_str(), key.to_string().as_str()),
            ("60s", "period=60s timeout=1 silence=zero")
        );
    }
}
