//! The checks of rules against the configured proxy types: names, limits, and thresholds that cannot be reached.

mod hold;
mod reach;

use std::collections::BTreeSet;
use std::sync::Arc;

use derived_stats::annotation::nearest;
use proxy_uve::schema::ProxyType;
use proxy_uve::{Plan, StreamName, UveDescription};

use crate::compile::{Bound, Compiled, Slots, type_name};
use crate::rule::{
    ClearBound, Condition, MAX_COMPARISONS, MAX_PERIODS, MAX_RULES, MAX_TEXT, Operation, Right, Rule, Rules, Term,
};

/// A stream and its proxy types.
pub type StreamTypes<'s> = (&'s StreamName, &'s [Arc<ProxyType>]);

/// What is wrong with each rule, by its index. Empty if all rules can be evaluated.
pub fn problems(rules: &Rules, streams: &[StreamTypes<'_>]) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    if rules.len() > MAX_RULES {
        problems.push((MAX_RULES, format!("there are {} rules; the most are {MAX_RULES}", rules.len())));
    }
    let mut names = BTreeSet::new();
    let plans: Vec<_> = streams.iter().map(|(stream, types)| (Plan::new((*stream).clone(), types), *types)).collect();
    for (index, rule) in rules.iter().enumerate() {
        let mut add = |message: String| problems.push((index, format!("alarm {:?}: {message}", rule.name)));
        if !names.insert(rule.name.as_str()) {
            add("another rule has this name; the state of an alarm belongs to its name, so give each its own"
                .to_owned());
        }
        alone(rule).into_iter().for_each(&mut add);
        against(rule, &plans).into_iter().for_each(&mut add);
    }
    problems
}

/// What a rule can hardly do, one sentence each: rules that a jump of the value to another level does not make fire, as
/// the detector takes the new level for the expected one before `for` has passed. For rules without problems.
pub fn hints(rules: &Rules, streams: &[StreamTypes<'_>]) -> Vec<String> {
    let plans: Vec<_> = streams.iter().map(|(stream, types)| (Plan::new((*stream).clone(), types), *types)).collect();
    rules.iter().flat_map(|rule| hints_of(rule, &plans)).collect()
}

fn hints_of(rule: &Rule, plans: &[(Plan, &[Arc<ProxyType>])]) -> BTreeSet<String> {
    let Condition::Terms(lists) = &rule.condition else { return BTreeSet::new() };
    // With several lists another one may hold.
    let [terms] = lists.as_slice() else { return BTreeSet::new() };
    let mut hints = BTreeSet::new();
    for (plan, types) in plans.iter().filter(|_| rule.periods > 1) {
        let Some(bound) = Bound::new(rule, plan) else { continue };
        let stream = plan.stream().to_string();
        hints.extend(terms.iter().filter_map(|term| {
            let (_, uve) = bound.of(&term.left).ok()?;
            let periods = hold::shorter_than_wanted(term, rule, uve, type_of(uve, types, &stream)?)?;
            let unit = if periods == 1 { "period" } else { "periods" };
            Some(format!(
                "alarm {:?}: after the value has jumped to another level, `{term}` stays true for {periods} {unit} at \
                 most, and `for` is {}: it fires only for a value that jumps further in each of them; write `for \
                 {periods}`, take a threshold nearer to 0, or a detector that adapts more slowly",
                rule.name, rule.periods
            ))
        }));
    }
    hints
}

/// What is wrong with a rule whatever is configured.
fn alone(rule: &Rule) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, periods) in [("for", rule.periods), ("clear", rule.clear.periods)] {
        if !(1..=MAX_PERIODS).contains(&periods) {
            problems.push(format!("`{name}` is {periods} periods; expected 1 to {MAX_PERIODS}"));
        }
    }
    for (name, text) in [("name", &rule.name), ("text", &rule.text)] {
        if text.len() > MAX_TEXT {
            problems.push(format!("the {name} has {} bytes; expected at most {MAX_TEXT}", text.len()));
        }
    }
    for pattern in rule.keys.iter().filter(|pattern| !pattern.contains([':', '*', '?'])) {
        problems.push(format!(
            "the pattern {pattern:?} matches no object, as keys are `table:name`; write \"*:{pattern}\""
        ));
    }
    if let Condition::Terms(lists) = &rule.condition {
        let comparisons: usize = lists.iter().map(Vec::len).sum();
        if comparisons > MAX_COMPARISONS {
            problems.push(format!(
                "the condition has {comparisons} comparisons; expected at most {MAX_COMPARISONS}; make several rules of \
                 it, or compare with a list (`in [1, 2]`)"
            ));
        }
    }
    if let Some(bound) = rule.clear.bound {
        problems.extend(clear_problem(rule, bound));
    }
    problems
}

/// A bound that clears must be beside the one that raises, on its other side.
fn clear_problem(rule: &Rule, bound: ClearBound) -> Option<String> {
    let term = match &rule.condition {
        Condition::Terms(lists) => match lists.as_slice() {
            [terms] => match terms.as_slice() {
                [term] => Some(term),
                _ => None,
            },
            _ => None,
        },
        Condition::NoData(_) => None,
    };
    let threshold = term.and_then(|term| Some((term.operation, constant(term)?)));
    let (word, limit) = match bound {
        ClearBound::Above(limit) => ("above", limit),
        ClearBound::Below(limit) => ("below", limit),
    };
    let Some((operation, threshold)) = threshold else {
        return Some(format!(
            "`clear {word}` needs a condition with one comparison with a number; write `clear for N periods`"
        ));
    };
    let fits = match (bound, operation) {
        (ClearBound::Below(limit), Operation::Greater | Operation::AtLeast) => limit <= threshold,
        (ClearBound::Above(limit), Operation::Less | Operation::AtMost) => limit >= threshold,
        _ => false,
    };
    (!fits).then(|| {
        format!(
            "`clear {word} {limit}` does not go with `{} {threshold}`; an alarm of `>` clears below its threshold or a \
             lower bound, one of `<` above its threshold or a higher bound",
            operation.symbol()
        )
    })
}

/// What is wrong with a rule for these streams.
fn against(rule: &Arc<Rule>, plans: &[(Plan, &[Arc<ProxyType>])]) -> Vec<String> {
    let mut found = false;
    // Of all streams, and of those that make the condition impossible.
    let (mut problems, mut impossible_for) = (BTreeSet::new(), Vec::new());
    for (plan, types) in plans {
        let Some(bound) = Bound::new(rule, plan) else { continue };
        found = true;
        let stream = plan.stream().to_string();
        if let Err(problem) = Compiled::new(rule, &bound, &mut Slots::default()) {
            problems.insert(problem);
            continue;
        }
        let of_types: Vec<_> =
            bound.uves().iter().filter_map(|(_, uve)| Some((uve, type_of(uve, types, &stream)?))).collect();
        problems.extend(other_periods(&of_types));
        impossible_for.push(of_types.iter().find_map(|(uve, of_type)| impossible(rule, &bound, uve, of_type).pop()));
    }
    // The rule may be meant for one stream of several with this type.
    if impossible_for.iter().all(Option::is_some) {
        problems.extend(impossible_for.into_iter().flatten());
    }
    if !found {
        problems.insert(unknown(&rule.sources(), plans));
    }
    // The same mistake is one problem, however many streams it concerns.
    problems.into_iter().take(1).collect()
}

/// The proxy type of a UVE of a stream.
fn type_of<'t>(uve: &UveDescription<'_>, types: &'t [Arc<ProxyType>], stream: &str) -> Option<&'t ProxyType> {
    let name = type_name(uve.name(), stream);
    types.iter().map(Arc::as_ref).find(|of_type| of_type.name() == name)
}

/// Why the results of these proxy types never belong together: their windows have different lengths.
fn other_periods(of_types: &[(&UveDescription<'_>, &ProxyType)]) -> Option<String> {
    let periods: BTreeSet<_> = of_types.iter().map(|(_, of_type)| of_type.period_seconds()).collect();
    (periods.len() > 1).then(|| {
        let of_each = of_types.iter().map(|(_, of_type)| {
            let period = of_type.period_seconds().unwrap_or_default();
            format!("{} ({period} s)", of_type.name())
        });
        format!(
            "its operands are of proxy types with different periods, {}, whose windows close at different times; compare \
             types with the same period, or write a rule for each",
            of_each.collect::<Vec<_>>().join(" and ")
        )
    })
}

/// What a proxy type of a rule makes impossible.
fn impossible(rule: &Rule, bound: &Bound<'_>, uve: &UveDescription<'_>, of_type: &ProxyType) -> Vec<String> {
    let name = of_type.name();
    let is_its = |term: &&Term| bound.of(&term.left).is_ok_and(|(_, found)| found.name() == uve.name());
    match &rule.condition {
        Condition::NoData(_) => {
            let timeout = of_type.timeout();
            let problem = if of_type.period_seconds().is_none() {
                Some(format!("{name} has no windows; name a proxy type with a period"))
            } else {
                // 0 is never.
                (timeout > 0 && rule.periods > timeout).then(|| {
                    format!(
                        "`no data in {name}` for {} periods never fires: an object without samples expires after {timeout} \
                         (`timeout` of the proxy type); lower `for`, or raise the timeout",
                        rule.periods
                    )
                })
            };
            problem.into_iter().collect()
        }
        Condition::Terms(lists) => {
            let its = |terms: &Vec<Term>| terms.iter().filter(is_its).cloned().collect::<Vec<_>>();
            let mut problems: Vec<_> =
                lists.iter().flat_map(|terms| reach::unreachable(&its(terms), rule, uve, of_type)).collect();
            let fitting = rule.clear.bound.filter(|bound| clear_problem(rule, *bound).is_none());
            if let (Some(clear), Some(term)) = (fitting, lists.iter().flatten().next().filter(is_its)) {
                problems.extend(reach::unreachable_clear(clear, term, uve, of_type));
            }
            problems
        }
    }
}

fn constant(term: &Term) -> Option<f64> {
    match &term.right {
        Right::Constant(value) => value.as_f64(),
        Right::Path(_) => None,
    }
}

/// The message about a rule that fits no configured UVE.
fn unknown(sources: &[&str], plans: &[(Plan, &[Arc<ProxyType>])]) -> String {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for (plan, types) in plans {
        known.extend(types.iter().map(|of_type| of_type.name().to_owned()));
        known.extend(plan.uve_names().map(str::to_owned));
    }
    if known.is_empty() {
        let wanted = sources.join("`, `");
        return format!("no proxy type is configured for `{wanted}`; set aggregation.uve_proxy_list or [[streams]]");
    }
    let is_known = |source: &&&str| known.contains(**source);
    match sources.iter().find(|source| !is_known(source)) {
        Some(source) => {
            let meant =
                nearest(source, known.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`?"));
            let all = || format!("configured are {}", known.iter().cloned().collect::<Vec<_>>().join(", "));
            format!("`{source}` is not a configured proxy type or UVE; {}", meant.unwrap_or_else(all))
        }
        None => format!(
            "no stream has all of `{}`, and a rule compares results of one stream: each stream has event time and \
             commits of its own, so no instant has the results of two; give a stream all of these types, or write a rule \
             for each",
            sources.join("` and `")
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use derived_stats::ValueType;
    use proxy_uve::proxy_list::{DEFAULT_PROXY_LIST, ProxyList};
    use proxy_uve::schema::Schema;

    use super::*;
    use crate::text;

    fn found(rules: &[&str]) -> Vec<String> {
        let list = ProxyList::parse(DEFAULT_PROXY_LIST, &Schema::extended()).unwrap();
        let streams: Vec<StreamTypes<'_>> =
            list.entries().iter().map(|entry| (&entry.stream, entry.types.as_slice())).collect();
        let rules = rules.iter().map(|rule| text::rule(rule).unwrap_or_else(|error| panic!("{error}"))).collect();
        problems(&Rules::new(rules), &streams).into_iter().map(|(_, problem)| problem).collect()
    }

    #[test]
    fn rules_that_fit_have_no_problem() {
        let good = [
            "alarm \"a\" when AggProxySumAnomalyEWM01.value.sigma > 2.5 for 3 periods, clear below 2 for 5",
            "alarm \"b\" when AggProxySum.value > 1000 and AggProxySum.value.value < 5000",
            "alarm \"c\" when AggProxySum-UveVirtualNetworkAgent-egress_flow_count.value > 1",
            "alarm \"d\" when no data in AggProxySum",
            "alarm \"e\" when AggProxySumAnomalyEWM01.value.sigma < -2.9, clear above 0",
            "alarm \"f\" when AggProxySum.value > 3 and AggProxySumAnomalyEWM01.value.sigma > 2 text \"{value} \
             {AggProxySumAnomalyEWM01.value.sigma}\"",
            "alarm \"g\" when AggProxySum.value > 3 and AggProxySum.value < 9 or \
             AggProxySumAnomalyEWM01-UveVirtualNetworkAgent-egress_flow_count.value.sigma > 2",
        ];
        assert_eq!(found(&good), [""; 0]);
    }

    #[test]
    fn a_rule_of_too_many_comparisons_is_refused_with_their_number() {
        let rule = |number: usize| {
            let terms: Vec<_> = (0..number).map(|least| format!("AggProxySum.value > {least}")).collect();
            format!("alarm \"a\" when {}", terms.join(" or "))
        };
        assert_eq!(found(&[&rule(MAX_COMPARISONS)]), [""; 0]);
        let problems = found(&[&rule(MAX_COMPARISONS + 1)]);
        assert!(problems.len() == 1 && problems[0].contains("101 comparisons; expected at most 100"), "{problems:?}");
    }

    #[test]
    fn a_condition_that_one_stream_of_its_type_can_satisfy_is_no_mistake() {
        let of = |value_type| {
            let built = ProxyType::builder("Sums", value_type)
                .period(Duration::from_secs(60))
                .result("value", "1-raw:DSSum")
                .build();
            [Arc::new(built.unwrap())]
        };
        let (unsigned, signed) = (of(ValueType::U64), of(ValueType::I64));
        let names = ["a", "b"].map(|name| StreamName::new("S", name).unwrap());
        let rule = |source: &str| {
            let rule = text::rule(&format!("alarm \"a\" when {source}.value < -5"));
            Rules::new(vec![rule.unwrap_or_else(|error| panic!("{error}"))])
        };
        let both: [StreamTypes<'_>; 2] = [(&names[0], &unsigned), (&names[1], &signed)];
        assert_eq!(problems(&rule("Sums"), &both), []);
        assert_eq!(problems(&rule("Sums-S-b"), &both), []);
        for (source, streams) in [("Sums-S-a", &both[..]), ("Sums", &both[..1])] {
            let problems = problems(&rule(source), streams);
            assert!(problems.len() == 1 && problems[0].1.contains("never true"), "{source}: {problems:?}");
        }
    }

    #[test]
    fn a_rule_that_a_jump_hardly_fulfils_is_named_once_with_the_figure() {
        let list = ProxyList::parse(DEFAULT_PROXY_LIST, &Schema::extended()).unwrap();
        let streams: Vec<StreamTypes<'_>> =
            list.entries().iter().map(|entry| (&entry.stream, entry.types.as_slice())).collect();
        let hints_of = |rule: &str| {
            let rule = text::rule(rule).unwrap_or_else(|error| panic!("{error}"));
            hints(&Rules::new(vec![rule]), &streams)
        };
        let hint =
            hints_of("alarm \"a\" when AggProxySumAnomalyEWM01.value.sigma > 2.5 for 3 periods, clear below 2 for 5");
        assert_eq!(hint.len(), 1, "{hint:?}");
        let expected = "`AggProxySumAnomalyEWM01.value.sigma > 2.5` stays true for 1 period at most, and `for` is 3";
        assert!(hint[0].contains(expected) && hint[0].contains("write `for 1`"), "{hint:?}");
        for rule in [
            "alarm \"a\" when AggProxySumAnomalyEWM01.value.sigma > 2.5",
            "alarm \"a\" when AggProxySum.value > 100 for 30 periods",
            "alarm \"a\" when no data in AggProxySum",
        ] {
            assert_eq!(hints_of(rule), [""; 0], "{rule}");
        }
    }

    /// Conditions, each with a part of its only problem.
    const PROBLEMS: &[(&str, &str)] = &[
        (
            "AggProxySumAnomalyEWM01.value.sigma > 3",
            "stays within 3.0000 by size, because of the algorithm `1.DSSum-raw:DSAnomaly:EWM:0.1`",
        ),
        ("AggProxySumAnomalyEWM01.value.sigma range [3.1, 9]", "is never true"),
        ("AggProxySumAnomalyEWM01.value.sigma > 2, clear below -3", "`clear below -3` is never true"),
        (
            "AggProxySumAnomalyEWM01.value.sigma < -2, clear above 3",
            "`clear above 3` is never true: AggProxySumAnomalyEWM01.value.sigma stays within 3.0000 by size; name a \
             lower number",
        ),
        ("AggProxySumAnomalyEWM01.value.sigma > 2, clear below 2.5", "`clear below 2.5` does not go with `> 2`"),
        ("AggProxySumAnomalyEWM01.value.sigma > 2, clear above 2.5", "does not go with"),
        ("AggProxySun.value > 3", "`AggProxySun` is not a configured proxy type or UVE; did you mean `AggProxySum`?"),
        ("AggProxySum.valu > 3", "has no attribute `valu`; did you mean `value`?"),
        ("AggProxySumAnomalyEWM01.value.sigmo > 2", "has no field `value.sigmo`; did you mean `value.sigma`?"),
        (
            "AggProxySum.value > 3 and AggProxySumAnomalyEWM01.value.sigma > 4",
            "`AggProxySumAnomalyEWM01.value.sigma > 4` is never true",
        ),
        (
            "AggProxySum-UveVirtualNetworkAgent-ingress_flow_count.value > 3 and \
             AggProxySum-UveVirtualNetworkAgent-egress_flow_count.value > 3",
            "no stream has all of `AggProxySum-UveVirtualNetworkAgent-egress_flow_count` and \
             `AggProxySum-UveVirtualNetworkAgent-ingress_flow_count`",
        ),
        (
            "AggProxySum.value > 3 and AggProxySumAnomalyEWM01.value.sigma > 2 text \"{AggProxySum.x}\"",
            "no attribute `x`",
        ),
        ("no data in AggProxySum for 2", "never fires: an object without samples expires after 1"),
        ("AggProxySumAnomalyEWM01.value.sigma > 2, clear above 3.2", "`clear above 3.2` does not go with `> 2`"),
        ("AggProxySum.value > \"x\"", "`AggProxySum.value` is a number, and \"x\" a text; compare it with a number"),
        ("AggProxySum.value == \"x\"", "is never true"),
        ("AggProxySum.value in [\"x\"]", "is never true"),
        ("AggProxySum.value < 0", "is never true"),
        ("AggProxySum.value > 3 on \"vn1\"", "the pattern \"vn1\" matches no object"),
        ("no data in AggProxySum, clear below 2", "needs a condition with one comparison"),
        ("AggProxySum.value > 3 text \"{value.x}\"", "has no field `value.x`"),
        ("AggProxySum.value > 3 text \"{value\"", "has a `{` without `}`"),
    ];

    #[test]
    fn a_problem_names_what_was_found_and_the_remedy() {
        for (condition, expected) in PROBLEMS {
            let problems = found(&[&format!("alarm \"a\" when {condition}")]);
            assert!(problems.len() == 1 && problems[0].contains(expected), "{condition}: {problems:?}");
        }
        let rule = text::rule("alarm \"a\" when AggProxySum.value > 3").unwrap_or_else(|error| panic!("{error}"));
        let empty = problems(&Rules::new(vec![rule]), &[]);
        let expected = "alarm \"a\": no proxy type is configured for `AggProxySum`; set aggregation.uve_proxy_list or \
                        [[streams]]";
        assert_eq!(empty, [(0, expected.to_owned())]);
        let twice = "alarm \"a\" when AggProxySum.value > 3";
        assert!(found(&[twice, twice])[0].contains("another rule has this name"));
    }
}
