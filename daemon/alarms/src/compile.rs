//! Rules bound to the results of proxy types of one stream: paths become fields.

mod bound;
mod path;
mod show;

use std::sync::Arc;

use derived_stats::Output;
use proxy_uve::{AttributeDescription, UveDescription};

pub(crate) use self::bound::{Bound, is_name_of, type_name};
use self::path::target;
use crate::life::{Periods, Truth};
use crate::operand::{Operand, Scalar, compare, compare_both};
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
}

/// The fields that a path names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// The numbers of the slots.
    Fields(Vec<usize>),
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

/// The fields of proxy types that rules need, and their values in the window that is evaluated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    /// The end of the window that is evaluated.
    end: u64,
}

#[derive(Clone, Debug)]
struct Slot {
    /// The proxy type, by its index in the plan.
    type_index: usize,
    attribute: Box<str>,
    /// The length of the attribute's windows, in microseconds.
    window: u64,
    /// The index in the fields of the attribute.
    field: usize,
    /// Whether the attribute has a result.
    is_there: bool,
    value: Option<Scalar>,
}

/// The attribute and the index of the field that a path names; `None` if it names several or none.
pub(crate) fn one_field(path: &Path, uve: &UveDescription<'_>) -> Option<(String, usize)> {
    let mut slots = Slots::default();
    match target(path, (0, uve), false, &mut slots).ok()? {
        Target::Fields(fields) if fields.len() == 1 => {
            slots.slots.first().map(|slot| (slot.attribute.to_string(), slot.field))
        }
        Target::Fields(_) | Target::Keys(_) | Target::Size(_) => None,
    }
}

impl Slots {
    fn add(&mut self, type_index: usize, attribute: &AttributeDescription<'_>, field: usize) -> usize {
        let (name, window) = (attribute.name, attribute.window.unwrap_or(0));
        let is_it = |slot: &Slot| slot.type_index == type_index && *slot.attribute == *name && slot.field == field;
        self.slots.iter().position(is_it).unwrap_or_else(|| {
            self.slots.push(Slot { type_index, attribute: name.into(), window, field, is_there: false, value: None });
            self.slots.len() - 1
        })
    }

    /// Forgets the values.
    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| (slot.is_there, slot.value) = (false, None));
    }

    /// Takes the values of an attribute of a proxy type.
    pub(crate) fn take(&mut self, type_index: usize, attribute: &str, output: &Output<'_>) {
        let is_its = |slot: &&mut Slot| slot.type_index == type_index && *slot.attribute == *attribute;
        for slot in self.slots.iter_mut().filter(is_its) {
            slot.is_there = true;
            let field = output.description().fields().get(slot.field);
            slot.value = field.and_then(|field| field.value_in(output.record())).and_then(Scalar::of);
        }
    }

    /// Sets the end of the window that is evaluated, in microseconds.
    pub(crate) fn set_end(&mut self, end: u64) {
        self.end = end;
    }

    /// Whether an attribute has a result.
    pub(crate) fn has_values(&self) -> bool {
        self.slots.iter().any(|slot| slot.is_there)
    }

    /// Takes the values out, each with the number of its slot. A field without a value is there if its attribute has a
    /// result.
    pub(crate) fn take_values(&mut self) -> Vec<(usize, Option<Scalar>)> {
        let slots = self.slots.iter_mut().enumerate();
        slots
            .filter_map(|(index, slot)| std::mem::take(&mut slot.is_there).then(|| (index, slot.value.take())))
            .collect()
    }

    /// Sets values that were taken out.
    pub(crate) fn set_values(&mut self, values: Vec<(usize, Option<Scalar>)>) {
        self.clear();
        for (index, value) in values {
            if let Some(slot) = self.slots.get_mut(index) {
                (slot.is_there, slot.value) = (true, value);
            }
        }
    }

    fn operand(&self, target: &Target) -> Operand {
        let of = |slots: &[usize]| slots.iter().filter_map(|slot| self.slots.get(*slot)).collect::<Vec<_>>();
        let text = |text: &str| Scalar::Text(text.into());
        match target {
            Target::Keys(names) => Operand::Values(names.iter().map(|name| text(name)).collect()),
            Target::Fields(slots) | Target::Size(slots) => {
                let slots = of(slots);
                if !slots.iter().any(|slot| slot.is_there) {
                    // Windows of an attribute over several periods are aligned to the epoch.
                    let is_due = |slot: &&Slot| slot.window == 0 || self.end.is_multiple_of(slot.window);
                    return if slots.iter().any(is_due) { Operand::Absent } else { Operand::Open };
                }
                let values: Vec<_> = slots.iter().filter_map(|slot| slot.value.clone()).collect();
                match target {
                    Target::Size(_) => {
                        let size = derived_stats::Number::U64(values.len() as u64);
                        Operand::Values(vec![Scalar::Number(size)])
                    }
                    _ if values.is_empty() => Operand::Null,
                    _ => Operand::Values(values),
                }
            }
        }
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
            (Right::Constant(value), _) => compare(term.operation, &left, value, absent),
            (Right::Path(_), Some(right)) => compare_both(term.operation, &left, &slots.operand(right), absent),
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
        compare(wrong_side, &left, &serde_json::json!(bound), Absent::Unknown).map(|any| !any)
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
    Ok(CompiledTerm { left, right, variables })
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
            let slot = |(field, value): (usize, Option<u64>)| {
                let value = value.map(|value| Scalar::Number(Number::U64(value)));
                Slot { type_index: 0, attribute: "value".into(), field, is_there: true, window: 0, value }
            };
            let slots = Slots { slots: values.into_iter().enumerate().map(slot).collect(), end: 0 };
            let term = CompiledTerm { left: Target::Fields(vec![0, 1]), right: None, variables: Vec::new() };
            let rule = Arc::new(text::rule(rule).unwrap_or_else(|error| panic!("{error}")));
            let truth = Compiled { rule, lists: vec![vec![term]], text: Vec::new() }.truth(&slots);
            assert_eq!((truth.raises, truth.clears), (raises, clears), "{values:?}");
        }
    }
}
