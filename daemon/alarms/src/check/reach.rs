//! Which comparisons a result can never satisfy: those with a number that its field does not reach, alone or together
//! with others of the same list.
//!
//! | field | values |
//! |---|---|
//! | score of `EWM` | sqrt((1-alpha)/alpha) by size |
//! | score of a detector with `threshold=` | the most that this argument may be, by size |
//! | alarm of a detector | 0 or 1 |
//! | unsigned number | 0 to 2^64 - 1 |
//! | signed whole number | -2^63 to 2^63 - 1 |
//! | standard deviation, variance | 0 or more |
//! | text of the annotation, such as `algo` | that text |
//!
//! Other fields have no bound that follows from the annotation.

use derived_stats::entry::{Argument, ArgumentKind, Role};
use derived_stats::{DescribedField, Number, Spec, SpecLink, ValueType};
use proxy_uve::UveDescription;
use proxy_uve::schema::ProxyType;
use serde_json::Value;

use crate::compile::one_field;
use crate::operand::{Operand, Scalar, Side, compare};
use crate::rule::{Absent, ClearBound, Operation, Path, Right, Rule, Term};

/// The argument of the detectors whose scores it bounds.
const THRESHOLD: &str = "threshold";

/// The numbers between two bounds; an open bound is none of them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Interval {
    low: f64,
    is_low_open: bool,
    high: f64,
    is_high_open: bool,
}

/// What a field can be.
struct Reach {
    numbers: Interval,
    is_whole: bool,
    /// The numbers in words.
    text: String,
}

/// What a list of terms makes of one field.
struct Narrowed<'t> {
    terms: Vec<&'t Term>,
    numbers: Interval,
}

/// Why no result satisfies all terms of a list.
pub(super) fn unreachable(terms: &[Term], rule: &Rule, uve: &UveDescription<'_>, of_type: &ProxyType) -> Vec<String> {
    let mut problems = Vec::new();
    let mut narrowed: Vec<((String, usize), Narrowed<'_>)> = Vec::new();
    problems.extend(terms.iter().filter_map(|term| text_of_number(term, rule, uve, of_type)));
    problems.extend(terms.iter().filter_map(|term| other_text(term, rule, uve, of_type)));
    for term in terms {
        let Some((place, reach)) = reach(&term.left, uve, of_type) else { continue };
        let Some(allowed) = allowed(term, rule.absent, &reach) else { continue };
        let alone = reach.numbers.and(allowed);
        if alone.is_empty(reach.is_whole) {
            problems.push(format!(
                "`{term}` is never true: {} {}, because of the algorithm `{}`; compare with a number that it reaches, or \
                 use another detector",
                term.left,
                reach.text,
                annotation(&term.left, of_type).unwrap_or_default()
            ));
            continue;
        }
        match narrowed.iter_mut().find(|(known, _)| *known == place) {
            Some((_, all)) => {
                let both = all.numbers.and(allowed);
                all.terms.push(term);
                if !both.is_empty(reach.is_whole) {
                    all.numbers = both;
                } else {
                    let texts: Vec<_> = all.terms.iter().map(|term| format!("`{term}`")).collect();
                    problems.push(format!("{} are never true together; write them with `or`", texts.join(" and ")));
                }
            }
            None => narrowed.push((place, Narrowed { terms: vec![term], numbers: alone })),
        }
    }
    problems
}

/// Why a comparison of a number with a text, or of its size, is never true.
fn text_of_number(term: &Term, rule: &Rule, uve: &UveDescription<'_>, of_type: &ProxyType) -> Option<String> {
    let Right::Constant(constant) = &term.right else { return None };
    let left = &term.left;
    if term.operation == Operation::SizeEqual {
        // Contrail knows the size of lists only; in the short form the members of a level have one.
        let has_size = match (one_value_type(left, uve, of_type), rule.absent) {
            (Some(Some(_)), _) => false,
            (Some(None), _) | (None, Absent::Unknown) => true,
            (None, Absent::Null) => false,
        };
        let what = if one_field(left, uve).is_some() { "a number" } else { "no list" };
        return (!has_size).then(|| {
            format!("`{term}` is never true: `{left}` is {what}, and only a list has a size; compare its value")
        });
    }
    // With every number, as with null in Contrail's rules, the comparison is as with 0.
    let is_true = |left: &Operand| compare(term.operation, left, Side::Constant(constant), rule.absent) == Some(true);
    let numbers = [f64::MIN, 0.0, f64::MAX].map(|it| Operand::Values(vec![Scalar::Number(Number::F64(it))]));
    let is_text = match constant {
        Value::Array(list) => !list.is_empty() && list.iter().all(Value::is_string),
        Value::String(text) => rule.absent == Absent::Unknown || !is_json(text),
        _ => false,
    };
    if !is_text || numbers.iter().any(is_true) || is_true(&Operand::Null) {
        return None;
    }
    one_value_type(left, uve, of_type)??;
    Some(format!("`{term}` is never true: `{left}` is a number, and {constant} a text; compare it with a number"))
}

/// Whether a text is JSON: then Contrail compares with what it says.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// The type of numbers of the one field of a path, or that it is a text; `None` for a path with several fields.
fn one_value_type(path: &Path, uve: &UveDescription<'_>, of_type: &ProxyType) -> Option<Option<ValueType>> {
    let (name, index) = one_field(path, uve)?;
    let attribute = of_type.attributes().iter().find(|found| found.name == name)?;
    Some(attribute.spec.description().fields().get(index)?.value_type())
}

/// Why a comparison with a text that is the same in every result is never true.
fn other_text(term: &Term, rule: &Rule, uve: &UveDescription<'_>, of_type: &ProxyType) -> Option<String> {
    let Right::Constant(constant) = &term.right else { return None };
    let is_of_size = matches!(term.operation, Operation::SizeEqual | Operation::SizeNotEqual);
    let (name, index) = one_field(&term.left, uve).filter(|_| !is_of_size)?;
    let attribute = of_type.attributes().iter().find(|found| found.name == name)?;
    let text = attribute.spec.description().fields().get(index)?.constant()?;
    let always = Operand::Values(vec![Scalar::Text(text.into())]);
    let compared = |left: &Operand| compare(term.operation, left, Side::Constant(constant), rule.absent);
    if compared(&always) != Some(false) || compared(&Operand::Null) == Some(true) {
        return None;
    }
    Some(format!(
        "`{term}` is never true: `{}` is always {text:?}, because of the algorithm `{}`; compare with that text, or leave \
         the comparison out",
        term.left,
        annotation(&term.left, of_type).unwrap_or_default()
    ))
}

/// Why a clear condition is never true.
pub(super) fn unreachable_clear(
    clear: ClearBound,
    term: &Term,
    uve: &UveDescription<'_>,
    of_type: &ProxyType,
) -> Option<String> {
    let (_, reach) = reach(&term.left, uve, of_type)?;
    let (word, limit, side, wanted) = match clear {
        ClearBound::Above(limit) => ("above", limit, "lower", Interval::above(limit)),
        ClearBound::Below(limit) => ("below", limit, "higher", Interval::below(limit)),
    };
    let is_never = reach.numbers.and(wanted).is_empty(reach.is_whole);
    is_never
        .then(|| format!("`clear {word} {limit}` is never true: {} {}; name a {side} number", term.left, reach.text))
}

/// The numbers with which a term is true; `None` if its operation or its operand has no such range.
fn allowed(term: &Term, absent: Absent, reach: &Reach) -> Option<Interval> {
    let Right::Constant(constant) = &term.right else { return None };
    // As while a detector warms up.
    let is_true_of_null = compare(term.operation, &Operand::Null, Side::Constant(constant), absent) == Some(true);
    let number = constant.as_f64();
    match term.operation {
        _ if is_true_of_null => None,
        Operation::Greater => number.map(Interval::above),
        Operation::AtLeast => number.map(|low| Interval { low, ..Interval::ALL }),
        Operation::Less => number.map(Interval::below),
        Operation::AtMost => number.map(|high| Interval { high, ..Interval::ALL }),
        Operation::Equal => number.map(Interval::only),
        Operation::Range => match numbers(constant).as_slice() {
            [low, high] => Some(Interval { low: *low, high: *high, ..Interval::ALL }),
            _ => None,
        },
        Operation::In => {
            // From the smallest to the largest of those that the field reaches.
            let reached =
                numbers(constant).into_iter().filter(|it| !reach.numbers.and(Interval::only(*it)).is_empty(false));
            let (low, high) =
                reached.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| (low.min(it), high.max(it)));
            constant.is_array().then_some(Interval { low, high, ..Interval::ALL })
        }
        Operation::NotEqual | Operation::NotIn | Operation::SizeEqual | Operation::SizeNotEqual => None,
    }
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().into_iter().flatten().filter_map(Value::as_f64).collect()
}

/// What the one field of a path can be, and which field it is; `None` for a path with several, and for a field without
/// bounds.
fn reach(path: &Path, uve: &UveDescription<'_>, of_type: &ProxyType) -> Option<((String, usize), Reach)> {
    let (name, index) = one_field(path, uve)?;
    let attribute = of_type.attributes().iter().find(|found| found.name == name)?;
    let described = attribute.spec.description().fields().get(index)?;
    Some(((name, index), of_field(described, &attribute.spec)?))
}

fn of_field(field: &DescribedField, spec: &Spec) -> Option<Reach> {
    let is_whole = matches!(field.value_type(), Some(ValueType::I64 | ValueType::U64));
    let reach = |low: f64, high: f64, text: &str| {
        Some(Reach { numbers: Interval { low, high, ..Interval::ALL }, is_whole, text: text.to_owned() })
    };
    match field.field().role() {
        Some(Role::Alarm) => reach(0.0, 1.0, "is 0 or 1"),
        Some(Role::Score) => {
            let bound = largest_score(spec)?;
            reach(-bound, bound, &format!("stays within {bound:.4} by size"))
        }
        _ if field.value_type() == Some(ValueType::U64) => {
            reach(0.0, u64::MAX as f64, "is an unsigned number of 64 bits, which is 0 or more")
        }
        _ if field.value_type() == Some(ValueType::I64) => {
            reach(i64::MIN as f64, i64::MAX as f64, "is a whole number of 64 bits")
        }
        _ if field.field().is_not_negative() => reach(0.0, f64::INFINITY, "is 0 or more"),
        _ => None,
    }
}

/// The bound of the scores by size.
fn largest_score(spec: &Spec) -> Option<f64> {
    let entry = spec.links().last().map(SpecLink::entry)?;
    let argument = entry.argument_list().iter().find(|argument| argument.name() == THRESHOLD);
    match argument.map(Argument::kind) {
        Some(ArgumentKind::Decimal { most, .. }) => Some(most),
        _ => spec.largest_score(),
    }
}

fn annotation(path: &Path, of_type: &ProxyType) -> Option<String> {
    let attribute = of_type.attributes().iter().find(|found| Some(&found.name) == path.0.get(1))?;
    Some(attribute.spec.annotation().text().to_owned())
}

impl Interval {
    const ALL: Self = Self { low: f64::NEG_INFINITY, is_low_open: false, high: f64::INFINITY, is_high_open: false };

    fn above(low: f64) -> Self {
        Self { low, is_low_open: true, ..Self::ALL }
    }

    fn below(high: f64) -> Self {
        Self { high, is_high_open: true, ..Self::ALL }
    }

    fn only(number: f64) -> Self {
        Self { low: number, high: number, ..Self::ALL }
    }

    /// The numbers that are in both.
    fn and(self, other: Self) -> Self {
        let (low, is_low_open) = match self.low.total_cmp(&other.low) {
            std::cmp::Ordering::Less => (other.low, other.is_low_open),
            std::cmp::Ordering::Greater => (self.low, self.is_low_open),
            std::cmp::Ordering::Equal => (self.low, self.is_low_open || other.is_low_open),
        };
        let (high, is_high_open) = match self.high.total_cmp(&other.high) {
            std::cmp::Ordering::Less => (self.high, self.is_high_open),
            std::cmp::Ordering::Greater => (other.high, other.is_high_open),
            std::cmp::Ordering::Equal => (self.high, self.is_high_open || other.is_high_open),
        };
        Self { low, is_low_open, high, is_high_open }
    }

    /// Whether no number, or no whole one, is in it.
    fn is_empty(self, is_whole: bool) -> bool {
        let closed = if is_whole { self.whole() } else { self };
        closed.low > closed.high || closed.low == closed.high && (closed.is_low_open || closed.is_high_open)
    }

    /// The whole numbers in it, as a closed interval; an open bound stays one if no number of its size is next to it.
    fn whole(self) -> Self {
        let low = if self.is_low_open { self.low.floor() + 1.0 } else { self.low.ceil() };
        let high = if self.is_high_open { self.high.ceil() - 1.0 } else { self.high.floor() };
        Self {
            low,
            is_low_open: self.is_low_open && low == self.low,
            high,
            is_high_open: self.is_high_open && high == self.high,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use proxy_uve::{Plan, StreamName};

    use super::*;
    use crate::rule::Condition;
    use crate::text;

    /// A proxy type with this annotation in the attribute `x`.
    fn proxy_type(annotation: &str) -> Arc<ProxyType> {
        let of_type = ProxyType::builder("P", ValueType::U64).period(Duration::from_secs(60)).result("x", annotation);
        Arc::new(of_type.build().unwrap_or_else(|error| panic!("{annotation}: {error}")))
    }

    /// The problems of a condition about it.
    fn problems(annotation: &str, condition: &str) -> Vec<String> {
        let of_type = proxy_type(annotation);
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &[Arc::clone(&of_type)]);
        let rule = text::rule(&format!("alarm \"a\" when {condition}")).unwrap_or_else(|error| panic!("{error}"));
        let Condition::Terms(lists) = &rule.condition else { panic!("{condition} has no terms") };
        let uve = plan.uves().next().unwrap();
        lists.iter().flat_map(|terms| unreachable(terms, &rule, &uve, &of_type)).collect()
    }

    #[test]
    fn a_score_beyond_the_bound_is_refused_for_every_detector_of_the_menu() {
        let detectors = derived_stats::menu().iter().filter(|entry| entry.roles().detector);
        let mut checked = 0;
        for entry in detectors {
            let arguments = entry.example();
            let separator = if arguments.is_empty() { "" } else { ":" };
            let annotation = format!("1.DSSum-raw:DSAnomaly:{}{separator}{arguments}", entry.name());
            let of_type = proxy_type(&annotation);
            let spec = &of_type.attributes()[0].spec;
            let of = |name: &str, number: f64, operation: &str| {
                problems(&annotation, &format!("P.x.{name} {operation} {number}")).len()
            };
            let score = spec.description().of_role(Role::Score).map(|field| field.name().to_owned());
            let score = score.unwrap_or_else(|| panic!("{annotation} has no score"));
            let bound = largest_score(spec).unwrap_or_else(|| panic!("the scores of {annotation} have no bound"));
            for (operation, number) in
                [(">", bound), (">=", bound * 1.001), ("<", -bound), ("<=", bound * -1.001), ("==", bound * 1.001)]
            {
                assert_eq!(of(&score, number, operation), 1, "{annotation}: {score} {operation} {number}");
            }
            for (operation, number) in [(">", bound * 0.999), (">=", bound), ("<", 0.0), ("!=", bound * 2.0)] {
                assert_eq!(of(&score, number, operation), 0, "{annotation}: {score} {operation} {number}");
            }
            checked += 1;
        }
        assert!(checked >= 7, "{checked} detectors");
    }

    const SEASONAL: &str = "1.DSSum-raw:DSAnomaly:Seasonal";
    const SUM: &str = "1-raw:DSSum";
    const EWM: &str = "1.DSSum-raw:DSAnomaly:EWM:0.1";
    const STDDEV: &str = "1-raw:DSStddev";

    /// Annotations, each with a condition that is never true.
    const NEVER: &[(&str, &str)] = &[
        (EWM, "P.x.state.stddev < 0"),
        (EWM, "P.x.state.stddev range [-2, -1]"),
        (EWM, "P.x.algo == \"XYZ\""),
        (EWM, "P.x.algo in [\"XYZ\", \"Seasonal\"]"),
        (EWM, "P.x.algo != \"EWM\""),
        (EWM, "P.x.algo == 3"),
        (EWM, "P.x.config == \"0.2\""),
        (SEASONAL, "P.x.algo == \"EWM\""),
        (STDDEV, "P.x < 0"),
        (SEASONAL, "P.x.alarm > 1"),
        (SEASONAL, "P.x.alarm == 2"),
        (SEASONAL, "P.x.alarm in [2, 3]"),
        (SEASONAL, "P.x.alarm range [0.2, 0.8]"),
        (SEASONAL, "P.x.alarm > 0 and P.x.alarm < 1"),
        (SEASONAL, "P.x.score range [1.5, 9]"),
        (SUM, "P.x < 0"),
        (SUM, "P.x <= -1"),
        (SUM, "P.x == -1"),
        (SUM, "P.x == 1.5"),
        (SUM, "P.x > 18446744073709551615"),
        (SUM, "P.x == 1e30"),
        (SUM, "P.x size== 3"),
        (SUM, "P.x > 9 and P.x.value < 5"),
        (SUM, "P.x > 9 and P.x in [1, 2]"),
    ];

    /// The same with conditions that can be.
    const REACHED: &[(&str, &str)] = &[
        (EWM, "P.x.state.stddev <= 0"),
        (EWM, "P.x.state.mean < 0"),
        (EWM, "P.x.algo == \"EWM\""),
        (EWM, "P.x.algo in [\"XYZ\", \"EWM\"]"),
        (EWM, "P.x.algo != \"XYZ\""),
        (EWM, "P.x.config == \"0.1\""),
        (STDDEV, "P.x < 0.5"),
        (SEASONAL, "P.x.alarm == 1"),
        (SEASONAL, "P.x.alarm in [1, 2]"),
        (SEASONAL, "P.x.alarm > 0"),
        (SEASONAL, "P.x.state.low < -5"),
        (SUM, "P.x <= 0"),
        (SUM, "P.x != -1"),
        (SUM, "P.x >= 18446744073709551615"),
        (SUM, "P.x < 18446744073709551615"),
        (SUM, "P.x size!= 3"),
        (SUM, "P.x > 9 or P.x < 5"),
        (SUM, "P.x > 5 and P.x < 9"),
        (SUM, "P.x > 5 and P.x < P.x"),
    ];

    #[test]
    fn numbers_that_a_field_never_has_are_refused_with_any_operation() {
        for (annotation, condition) in NEVER {
            let found = problems(annotation, condition);
            assert!(found.len() == 1 && found[0].contains("never true"), "{condition}: {found:?}");
        }
        for (annotation, condition) in REACHED {
            assert_eq!(problems(annotation, condition), [""; 0], "{condition}");
        }
    }

    #[test]
    fn comparisons_that_exclude_each_other_are_named_together() {
        let together = problems("1-raw:DSSum", "P.x > 9 and P.x < 5");
        assert_eq!(together, ["`P.x > 9` and `P.x < 5` are never true together; write them with `or`"]);
    }

    /// What is never true in Contrail's rules, which compare null and the JSON in texts.
    const NEVER_IN_CONTRAIL: &[(&str, &str, &str)] = &[
        ("P.x.config", "==", "0.2"),
        ("P.x.config", "in", "[\"0.1\"]"),
        ("P.x.algo", "==", "\"XYZ\""),
        ("P.x.algo", "==", "3"),
        ("P.x.sigma", ">", "3"),
        ("P.x.sigma", ">", "\"x\""),
        ("P.x.sigma", "size==", "1"),
        ("P.x.state", "size==", "2"),
    ];

    /// What is.
    const REACHED_IN_CONTRAIL: &[(&str, &str, &str)] = &[
        ("P.x.config", "==", "0.1"),
        ("P.x.config", "==", "\"0.1\""),
        ("P.x.config", "in", "[0.1]"),
        ("P.x.config", "==", "null"),
        ("P.x.config", "!=", "0.1"),
        ("P.x.error", "==", "null"),
        ("P.x.error", "in", "[null]"),
        ("P.x.sigma", ">", "\"2\""),
        ("P.x.sigma", "<", "\"x\""),
        ("P.x.sigma", "<=", "-4"),
        ("P.x.sigma", "in", "[null, 9]"),
        ("P.x.state", "size!=", "2"),
    ];

    #[test]
    fn contrails_rules_are_refused_by_contrails_comparisons() {
        let of_type = proxy_type(EWM);
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &[Arc::clone(&of_type)]);
        let uve = plan.uves().next().unwrap();
        let found = |path: &str, operation: &str, json: &str| {
            let term = Term {
                left: Path::parse(path),
                operation: Operation::parse(operation).unwrap(),
                right: Right::Constant(serde_json::from_str(json).unwrap()),
                variables: Vec::new(),
            };
            let condition = Condition::Terms(vec![vec![term.clone()]]);
            let rule = Rule { absent: Absent::Null, ..Rule::new("a", condition) };
            unreachable(&[term], &rule, &uve, &of_type).len()
        };
        for (path, operation, json) in NEVER_IN_CONTRAIL {
            assert_eq!(found(path, operation, json), 1, "{path} {operation} {json}");
        }
        for (path, operation, json) in REACHED_IN_CONTRAIL {
            assert_eq!(found(path, operation, json), 0, "{path} {operation} {json}");
        }
    }

    #[test]
    fn a_comparison_that_null_satisfies_is_true_while_a_detector_warms_up() {
        let of_type = proxy_type("1-raw:DSSum");
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &[Arc::clone(&of_type)]);
        let rule = text::rule("alarm \"a\" when P.x < 0").unwrap();
        let Condition::Terms(lists) = &rule.condition else { panic!("it has terms") };
        let uve = plan.uves().next().unwrap();
        let null = Rule { absent: Absent::Null, ..rule.clone() };
        assert_eq!(unreachable(&lists[0], &null, &uve, &of_type), [""; 0]);
        assert_eq!(unreachable(&lists[0], &rule, &uve, &of_type).len(), 1);
    }
}
