//! For how many periods in a row a detector's result stays beyond a threshold after its input has jumped to another
//! level, by simulation.
//!
//! A detector that adapts takes the new level for the expected one soon: the score of `EWM:0.1` after a jump of any
//! size is 3.0, 2.06, 1.6, so `> 2.5 for 3 periods` fires only for a value that jumps further in each of three
//! periods. Each simulation begins with periods of one level, some with a small and some with a larger swing, and goes
//! on with another level. The longest run of all counts, so that a rule is doubted only if none of them fulfils it.

use std::sync::Arc;

use derived_stats::entry::Role;
use derived_stats::{MetricKind, Number, Pipeline, Spec, ValueType};
use proxy_uve::UveDescription;
use proxy_uve::schema::ProxyType;

use crate::compile::one_field;
use crate::rule::{Operation, Right, Rule, Term};

/// The level before the jump.
const LEVEL: f64 = 1_000.0;

/// For how many periods it holds: short and long after the start of most detectors.
const BEFORE: [u32; 2] = [40, 400];

/// By how much the values swing around the level.
const SWINGS: [f64; 3] = [0.0, 10.0, 200.0];

/// The levels after the jump.
const AFTER: [f64; 6] = [0.0, 500.0, 1_500.0, 3_000.0, 100_000.0, 100_000_000.0];

/// The length of a period, in microseconds. No detector depends on it.
const PERIOD: u64 = 60_000_000;

/// Returns the most periods in a row in which `term` is true after a jump, if they are fewer than the rule needs;
/// `None` if the rule can hold, and for a term or a detector of which the simulation has no result.
pub(super) fn shorter_than_wanted(
    term: &Term,
    rule: &Rule,
    uve: &UveDescription<'_>,
    of_type: &ProxyType,
) -> Option<u32> {
    let Right::Constant(limit) = &term.right else { return None };
    let limit = limit.as_f64()?;
    let is_true: fn(f64, f64) -> bool = match term.operation {
        Operation::AtLeast => |found, limit| found >= limit,
        Operation::AtMost => |found, limit| found <= limit,
        Operation::Equal => |found, limit| found == limit,
        Operation::Greater => |found, limit| found > limit,
        Operation::Less => |found, limit| found < limit,
        _ => return None,
    };
    let (name, index) = one_field(&term.left, uve)?;
    let spec = &of_type.attributes().iter().find(|found| found.name == name)?.spec;
    let field = spec.description().fields().get(index)?;
    if !matches!(field.field().role(), Some(Role::Alarm | Role::Score))
        || spec.metric() == MetricKind::Agg
        || spec.takes_increases()
        || spec.every() != 1
    {
        return None;
    }
    let mut longest = 0;
    for (before, swing, after) in variants() {
        let run = run(spec, field.name(), (before, swing, after), rule.periods, |found| is_true(found, limit))?;
        if run >= rule.periods {
            return None;
        }
        longest = longest.max(run);
    }
    (longest > 0).then_some(longest)
}

fn variants() -> impl Iterator<Item = (u32, f64, f64)> {
    let swings = || SWINGS.into_iter().flat_map(|swing| AFTER.into_iter().map(move |after| (swing, after)));
    BEFORE.into_iter().flat_map(move |before| swings().map(move |(swing, after)| (before, swing, after)))
}

/// The periods in a row, from the jump on and `most` at most, in which a field satisfies a condition. `None` if the
/// pipeline refuses a value.
fn run(
    spec: &Arc<Spec>,
    field: &str,
    (before, swing, after): (u32, f64, f64),
    most: u32,
    is_true: impl Fn(f64) -> bool,
) -> Option<u32> {
    let mut pipeline = Pipeline::new(Arc::clone(spec));
    let mut longest = 0;
    for period in 0..before.saturating_add(most) {
        let swing = if period % 2 == 0 { swing } else { -swing };
        let value = if period < before { LEVEL + swing } else { (after + swing).max(0.0) };
        let start = u64::from(period) * PERIOD;
        pipeline.update(start, number_of(value, spec.value_type())).ok()?;
        let found = pipeline.close_period(start + PERIOD)?.forced().and_then(|result| result.number(field));
        if period < before {
            continue;
        }
        if !found.is_some_and(|found| is_true(found.as_f64())) {
            break;
        }
        longest += 1;
    }
    Some(longest)
}

/// The number of a type that is nearest to a value, which is not negative.
fn number_of(value: f64, of_type: ValueType) -> Number {
    match of_type {
        ValueType::U64 => Number::U64(value.round() as u64),
        ValueType::I64 => Number::I64(value.round() as i64),
        ValueType::F64 => Number::F64(value),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proxy_uve::{Plan, StreamName};

    use super::*;
    use crate::rule::Condition;
    use crate::text;

    /// The figure for a condition about a proxy type with this annotation.
    fn figure(annotation: &str, condition: &str) -> Option<u32> {
        let of_type = ProxyType::builder("P", ValueType::U64).period(Duration::from_secs(60)).result("x", annotation);
        let of_type = Arc::new(of_type.build().unwrap_or_else(|error| panic!("{annotation}: {error}")));
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &[Arc::clone(&of_type)]);
        let rule = text::rule(&format!("alarm \"a\" when {condition}")).unwrap_or_else(|error| panic!("{error}"));
        let Condition::Terms(lists) = &rule.condition else { panic!("{condition} has no terms") };
        shorter_than_wanted(&lists[0][0], &rule, &plan.uves().next().unwrap(), &of_type)
    }

    #[test]
    fn the_score_of_ewm_falls_below_a_threshold_soon() {
        // 3.0, 2.06, 1.6 with alpha 0.1.
        let ewm = "1.DSSum-raw:DSAnomaly:EWM:0.1";
        for (condition, expected) in [
            ("P.x.sigma > 2.5 for 3", Some(1)),
            ("P.x.sigma > 2.5", None),
            ("P.x.sigma > 2 for 2", None),
            ("P.x.sigma > 2 for 3", Some(2)),
            ("P.x.sigma > 1.5 for 3", None),
            ("P.x.sigma < -2.5 for 2", Some(1)),
            // Of fields that are not scores nothing is claimed.
            ("P.x.samples > 3 for 3", None),
        ] {
            assert_eq!(figure(ewm, condition), expected, "{condition}");
        }
    }

    #[test]
    fn a_threshold_that_is_never_reached_and_a_detector_that_warms_up_for_long_give_no_figure() {
        assert_eq!(figure("1.DSSum-raw:DSAnomaly:EWM:0.1", "P.x.sigma > 2.99 for 3"), Some(1));
        assert_eq!(figure("1.DSSum-raw:DSAnomaly:EWM:0.1", "P.x.sigma > 9 for 3"), None, "refused elsewhere");
        assert_eq!(figure("1-raw:DSSum", "P.x > 9 for 3"), None);
    }
}
