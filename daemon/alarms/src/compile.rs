//! Rules bound to the results of proxy types of one stream: paths become fields.

mod bound;
mod path;
mod show;
mod slots;

use std::sync::Arc;

use proxy_uve::UveDescription;

pub(crate) use self::bound::{Bound, is_name_of, type_name};
use self::path::target;
pub(crate) use self::slots::Slots;
use crate::life::{Periods, Truth};
use crate::operand::{Side, compare};
use crate::rule::{Absent, ClearBound, Condition, Operation, Path, Right, Rule, Term};

/// A rule for the proxy types of one stream that it compares.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    pub rule: Arc<Rule>,
    lists: Vec<Vec<CompiledTerm>>,
    text: Vec<Part>,
}

#[derive(Clone, Debug)]
struct CompiledTerm {
    left: Target,
    right: Option<Target>,
    variables: Vec<Target>,
    names: Names,
}

/// The paths of a term with the whole names of their UVEs, as alarms show them.
#[derive(Clone, Debug, Default)]
struct Names {
    left: String,
    right: Option<String>,
    variables: Vec<String>,
}

/// The fields that a path names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// The numbers of the slots.
    Fields(Vec<usize>),
    /// All fields of a level: their slots and names.
    All(Vec<(usize, Box<str>)>),
    /// Names, which are the same in every result.
    Keys(Vec<Box<str>>),
    /// How many of the slots have a value.
    Size(Vec<usize>),
}

/// A part of the text of an alarm.
#[derive(Clone, Debug)]
enum Part {
    Key,
    Rule,
    Text(String),
    Value(Target),
}

/// The attribute and the index of the field that a path names; `None` if it names several or none.
pub(crate) fn one_field(path: &Path, uve: &UveDescription<'_>) -> Option<(String, usize)> {
    let mut slots = Slots::default();
    match target(path, (0, uve), false, &mut slots).ok()? {
        Target::Fields(fields) if fields.len() == 1 => slots.first(),
        Target::Fields(_) | Target::All(_) | Target::Keys(_) | Target::Size(_) => None,
    }
}

impl Compiled {
    /// Binds a rule to proxy types, whose fields it adds to `slots`.
    ///
    /// # Errors
    ///
    /// What a type does not have, with what it has.
    pub(crate) fn new(rule: &Arc<Rule>, bound: &Bound<'_>, slots: &mut Slots) -> Result<Self, String> {
        let lists = match &rule.condition {
            Condition::NoData(_) => Vec::new(),
            Condition::Terms(lists) => {
                let list = |terms: &Vec<Term>| terms.iter().map(|term| compile_term(term, bound, slots)).collect();
                lists.iter().map(list).collect::<Result<Vec<_>, String>>()?
            }
        };
        let text = parts(&rule.text, bound, slots)?;
        Ok(Self { rule: Arc::clone(rule), lists, text })
    }

    /// The truth of the rule for the values of a window.
    pub(crate) fn truth(&self, slots: &Slots) -> Truth {
        let Condition::Terms(lists) = &self.rule.condition else { return Truth { raises: None, clears: None } };
        let lists = lists.iter().zip(&self.lists);
        let raises = any(lists.map(|(terms, compiled)| {
            all(terms.iter().zip(compiled).map(|(term, compiled)| self.term(term, compiled, slots)))
        }));
        Truth { raises, clears: self.clears(raises, slots) }
    }

    fn term(&self, term: &Term, compiled: &CompiledTerm, slots: &Slots) -> Option<bool> {
        let (left, absent) = (slots.operand(&compiled.left), self.rule.absent);
        match (&term.right, &compiled.right) {
            (Right::Constant(value), _) => compare(term.operation, &left, Side::Constant(value), absent),
            (Right::Path(_), Some(right)) => {
                compare(term.operation, &left, Side::Operand(&slots.operand(right)), absent)
            }
            (Right::Path(_), None) => None,
        }
    }

    fn clears(&self, raises: Option<bool>, slots: &Slots) -> Option<bool> {
        let Some(bound) = self.rule.clear.bound else { return raises.map(|raises| !raises) };
        // Any value of a wildcard raises the alarm, so all of them must be beyond the bound: else it would flap.
        let (wrong_side, bound) = match bound {
            ClearBound::Above(bound) => (Operation::AtMost, bound),
            ClearBound::Below(bound) => (Operation::AtLeast, bound),
        };
        let left = slots.operand(&self.lists.first()?.first()?.left);
        let bound = serde_json::json!(bound);
        compare(wrong_side, &left, Side::Constant(&bound), Absent::Unknown).map(|any| !any)
    }

    /// The periods that the rule demands.
    pub(crate) fn periods(&self) -> Periods {
        Periods { raise: self.rule.periods, clear: self.rule.clear.periods }
    }
}

/// True if one is, else unknown if one is.
fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let (mut is_one_true, mut is_one_unknown) = (false, false);
    for truth in truths {
        is_one_true |= truth == Some(true);
        is_one_unknown |= truth.is_none();
    }
    if is_one_true || !is_one_unknown { Some(is_one_true) } else { None }
}

/// False if one is, else unknown if one is.
fn all(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(truths.map(|truth| truth.map(|truth| !truth))).map(|is_one_false| !is_one_false)
}

fn compile_term(term: &Term, bound: &Bound<'_>, slots: &mut Slots) -> Result<CompiledTerm, String> {
    let is_size = matches!(term.operation, Operation::SizeEqual | Operation::SizeNotEqual);
    let left = target(&term.left, bound.of(&term.left)?, is_size, slots)?;
    let mut value = |path: &Path| target(path, bound.of(path)?, false, slots);
    let right = match &term.right {
        Right::Constant(_) => None,
        Right::Path(path) => Some(value(path)?),
    };
    let variables = term.variables.iter().map(value).collect::<Result<_, _>>()?;
    let names = Names {
        left: whole_name(&term.left, bound)?,
        right: match &term.right {
            Right::Constant(_) => None,
            Right::Path(path) => Some(whole_name(path, bound)?),
        },
        variables: term.variables.iter().map(|path| whole_name(path, bound)).collect::<Result<_, _>>()?,
    };
    Ok(CompiledTerm { left, right, variables, names })
}

/// A path that begins with the name of a UVE, also where the rule names its proxy type.
fn whole_name(path: &Path, bound: &Bound<'_>) -> Result<String, String> {
    let (_, uve) = bound.of(path)?;
    let rest = path.0.iter().skip(1).map(String::as_str);
    Ok(std::iter::once(uve.name()).chain(rest).collect::<Vec<_>>().join("."))
}

/// The parts of a text with `{…}`.
fn parts(text: &str, bound: &Bound<'_>, slots: &mut Slots) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('{') {
        if let Some(after) = behind.strip_prefix('{') {
            parts.push(Part::Text(format!("{before}{{")));
            rest = after;
            continue;
        }
        let Some((name, after)) = behind.split_once('}') else {
            return Err(
                "the text has a `{` without `}`; write {key}, {rule} or a path such as {value.sigma}".to_owned()
            );
        };
        parts.push(Part::Text(before.to_owned()));
        parts.push(match name {
            "key" => Part::Key,
            "rule" => Part::Rule,
            path => {
                let path = bound.in_text(path);
                let found = bound.of(&path).and_then(|of_type| target(&path, of_type, false, slots));
                Part::Value(found.map_err(|problem| format!("the text: {problem}"))?)
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use derived_stats::Number;

    use super::*;
    use crate::operand::Scalar;
    use crate::text;

    #[test]
    fn a_clear_bound_needs_all_values_of_a_wildcard() {
        let above = "alarm \"a\" when A.value > 5, clear below 4";
        let below = "alarm \"a\" when A.value < 4, clear above 5";
        let cases = [
            (above, [Some(9), Some(1)], Some(true), Some(false)),
            (above, [Some(4), Some(1)], Some(false), Some(false)),
            (above, [Some(3), Some(1)], Some(false), Some(true)),
            (above, [None, Some(1)], Some(false), Some(true)),
            (above, [None, None], None, None),
            (below, [Some(9), Some(1)], Some(true), Some(false)),
            (below, [Some(9), Some(5)], Some(false), Some(false)),
            (below, [Some(9), Some(6)], Some(false), Some(true)),
        ];
        for (rule, values, raises, clears) in cases {
            let number = |value: u64| Scalar::Number(Number::U64(value));
            let slots = Slots::with(values.into_iter().map(|value| value.map(number)).collect());
            let term = CompiledTerm {
                left: Target::All(vec![(0, "a".into()), (1, "b".into())]),
                right: None,
                variables: Vec::new(),
                names: Names::default(),
            };
            let rule = Arc::new(text::rule(rule).unwrap_or_else(|error| panic!("{error}")));
            let truth = Compiled { rule, lists: vec![vec![term]], text: Vec::new() }.truth(&slots);
            assert_eq!((truth.raises, truth.clears), (raises, clears), "{values:?}");
        }
    }
}
