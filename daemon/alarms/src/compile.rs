//! Rules bound to the results of one proxy type: paths become fields.

use std::sync::Arc;

use derived_stats::annotation::nearest;
use derived_stats::entry::{ResultType, Role};
use derived_stats::{DescribedField, Output};
use proxy_uve::{AttributeDescription, UveDescription};

use crate::life::{Periods, Truth};
use crate::operand::{Operand, Scalar, compare, compare_both};
use crate::rule::{Absent, ClearBound, Condition, Operation, Path, Right, Rule, Term};

/// A rule for one proxy type of one stream.
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

/// The fields of one proxy type that rules need, and their values in the window that is evaluated.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    attribute: Box<str>,
    /// The index in the fields of the attribute.
    field: usize,
    /// Whether the attribute has a result.
    is_there: bool,
    value: Option<Scalar>,
}

impl Slots {
    fn add(&mut self, attribute: &str, field: usize) -> usize {
        let known = self.slots.iter().position(|slot| *slot.attribute == *attribute && slot.field == field);
        known.unwrap_or_else(|| {
            self.slots.push(Slot { attribute: attribute.into(), field, is_there: false, value: None });
            self.slots.len() - 1
        })
    }

    /// Forgets the values.
    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| (slot.is_there, slot.value) = (false, None));
    }

    /// Takes the values of an attribute.
    pub(crate) fn take(&mut self, attribute: &str, output: &Output<'_>) {
        for slot in self.slots.iter_mut().filter(|slot| *slot.attribute == *attribute) {
            slot.is_there = true;
            let field = output.description().fields().get(slot.field);
            slot.value = field.and_then(|field| field.value_in(output.record())).and_then(Scalar::of);
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
                    return Operand::Absent;
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
    /// Binds a rule to a proxy type, whose fields it adds to `slots`.
    ///
    /// # Errors
    ///
    /// What the type does not have, with what it has.
    pub(crate) fn new(rule: &Arc<Rule>, uve: &UveDescription<'_>, slots: &mut Slots) -> Result<Self, String> {
        let lists = match &rule.condition {
            Condition::NoData(_) => Vec::new(),
            Condition::Terms(lists) => {
                let list = |terms: &Vec<Term>| terms.iter().map(|term| compile_term(term, uve, slots)).collect();
                lists.iter().map(list).collect::<Result<Vec<_>, String>>()?
            }
        };
        let text = parts(&rule.text, uve, slots)?;
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
        let (operation, bound) = match bound {
            ClearBound::Above(bound) => (Operation::Greater, bound),
            ClearBound::Below(bound) => (Operation::Less, bound),
        };
        let left = slots.operand(&self.lists.first()?.first()?.left);
        compare(operation, &left, &serde_json::json!(bound), Absent::Unknown)
    }

    /// The periods that the rule demands.
    pub(crate) fn periods(&self) -> Periods {
        Periods { raise: self.rule.periods, clear: self.rule.clear.periods }
    }

    /// The text of an alarm of an object.
    pub(crate) fn text(&self, key: &str, slots: &Slots) -> String {
        let mut text = String::new();
        for part in &self.text {
            match part {
                Part::Key => text.push_str(key),
                Part::Rule => text.push_str(&self.rule.name),
                Part::Text(part) => text.push_str(part),
                Part::Value(target) => text.push_str(&printed(&slots.operand(target))),
            }
        }
        if !text.is_empty() {
            return text;
        }
        let values = self.lists.iter().flatten().map(|term| printed(&slots.operand(&term.left)));
        let values: Vec<_> = values.collect();
        match values.as_slice() {
            [] => self.rule.condition.to_string(),
            values => format!("{} (now {})", self.rule.condition, values.join(", ")),
        }
    }

    /// Appends `alarm_rules` in the form of Contrail: the lists of terms that are true, with the values.
    pub(crate) fn write_matches(&self, slots: &Slots, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"or_list\":[");
        let Condition::Terms(lists) = &self.rule.condition else {
            let condition = self.rule.condition.to_string();
            out.extend_from_slice(b"{\"and_list\":[{\"condition\":");
            proxy_uve::json::write_text(&condition, out);
            return out.extend_from_slice(b",\"match\":[]}]}]}");
        };
        let mut is_first = true;
        for (terms, compiled) in lists.iter().zip(&self.lists) {
            let terms = || terms.iter().zip(compiled);
            if all(terms().map(|(term, compiled)| self.term(term, compiled, slots))) != Some(true) {
                continue;
            }
            out.extend_from_slice(if is_first { b"{\"and_list\":[" } else { b",{\"and_list\":[" });
            is_first = false;
            for (index, (term, compiled)) in terms().enumerate() {
                out.extend_from_slice(if index > 0 { b"," } else { b"" });
                write_match(term, compiled, slots, out);
            }
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(b"]}");
    }
}

fn write_match(term: &Term, compiled: &CompiledTerm, slots: &Slots, out: &mut Vec<u8>) {
    let write = |name: &str, text: &str, out: &mut Vec<u8>| {
        proxy_uve::json::write_text(name, out);
        out.push(b':');
        proxy_uve::json::write_text(text, out);
    };
    out.push(b'{');
    write("condition", &term.to_string(), out);
    out.extend_from_slice(b",\"match\":[{");
    write("json_operand1_value", &json_of(&slots.operand(&compiled.left)), out);
    if let Some(right) = &compiled.right {
        out.push(b',');
        write("json_operand2_value", &json_of(&slots.operand(right)), out);
    }
    out.extend_from_slice(b",\"json_variables\":{");
    for (index, (path, target)) in term.variables.iter().zip(&compiled.variables).enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        write(&path.to_string(), &json_of(&slots.operand(target)), out);
    }
    out.extend_from_slice(b"}}]}");
}

/// The text of JSON of an operand.
fn json_of(operand: &Operand) -> String {
    let mut out = Vec::new();
    match operand {
        Operand::Absent | Operand::Null => out.extend_from_slice(b"null"),
        Operand::Values(values) => match values.as_slice() {
            [value] => value.write_json(&mut out),
            values => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    out.extend_from_slice(if index > 0 { b"," } else { b"" });
                    value.write_json(&mut out);
                }
                out.push(b']');
            }
        },
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// An operand in a text for people: without quotes, and doubles with few digits.
fn printed(operand: &Operand) -> String {
    let one = |value: &Scalar| match value {
        Scalar::Number(derived_stats::Number::F64(value)) => {
            format!("{:.4}", value).trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Scalar::Number(_) => json_of(&Operand::Values(vec![value.clone()])),
        Scalar::Text(text) => text.to_string(),
    };
    match operand {
        Operand::Absent | Operand::Null => "no value".to_owned(),
        Operand::Values(values) => values.iter().map(one).collect::<Vec<_>>().join(" "),
    }
}

/// True if one is, else unknown if one is.
fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    truths.fold(Some(false), |found, truth| match (found, truth) {
        (Some(true), _) | (_, Some(true)) => Some(true),
        (None, _) | (_, None) => None,
        _ => Some(false),
    })
}

/// False if one is, else unknown if one is.
fn all(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(truths.map(|truth| truth.map(|truth| !truth))).map(|is_one_false| !is_one_false)
}

fn compile_term(term: &Term, uve: &UveDescription<'_>, slots: &mut Slots) -> Result<CompiledTerm, String> {
    let is_size = matches!(term.operation, Operation::SizeEqual | Operation::SizeNotEqual);
    let left = target(&term.left, uve, is_size, slots)?;
    let right = match &term.right {
        Right::Constant(_) => None,
        Right::Path(path) => Some(target(path, uve, false, slots)?),
    };
    let variables = term.variables.iter().map(|path| target(path, uve, false, slots)).collect::<Result<_, _>>()?;
    Ok(CompiledTerm { left, right, variables })
}

/// The fields of a path whose first part is this UVE.
pub(crate) fn target(
    path: &Path,
    uve: &UveDescription<'_>,
    is_size: bool,
    slots: &mut Slots,
) -> Result<Target, String> {
    let (Some(name), rest) = (path.0.get(1), path.0.get(2..).unwrap_or_default()) else {
        return Err(format!("`{path}` names no attribute; write one behind a dot: {}", names(uve)));
    };
    let mut attributes = uve.attributes();
    let Some(attribute) = attributes.find(|attribute| attribute.name == name.as_str()) else {
        let known: Vec<_> = uve.attributes().map(|attribute| attribute.name).collect();
        let meant = nearest(name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`? "));
        let meant = meant.unwrap_or_default();
        return Err(format!("`{path}`: {} has no attribute `{name}`; {meant}it has {}", uve.name(), names(uve)));
    };
    if attribute.inline {
        return Err(format!(
            "`{path}`: the attribute `{name}` has a result for each sample, and rules are evaluated when a window \
             closes; name an attribute of a window"
        ));
    }
    fields(path, rest, &attribute, is_size, slots)
}

fn fields(
    path: &Path,
    rest: &[String],
    attribute: &AttributeDescription<'_>,
    is_size: bool,
    slots: &mut Slots,
) -> Result<Target, String> {
    let all = attribute.description.fields();
    let is_number = matches!(attribute.description.result_type(), ResultType::Number);
    let group_of = |field: &DescribedField| field.field().group().map(str::to_owned);
    let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
    let mut slots_of = |wanted: &dyn Fn(&DescribedField) -> bool| -> Vec<usize> {
        let found = all.iter().enumerate().filter(|(_, field)| wanted(field)).map(|(index, _)| index);
        found.collect::<Vec<_>>().into_iter().map(|index| slots.add(attribute.name, index)).collect()
    };
    let is_value = |field: &DescribedField| field.field().role() == Some(Role::Value);
    let found = match rest.as_slice() {
        [] if is_size => return Ok(Target::Size(slots_of(&|field| group_of(field).is_none()))),
        [] => slots_of(&is_value),
        ["value"] if is_number => slots_of(&is_value),
        ["*" | "__value"] => slots_of(&|field| group_of(field).is_none()),
        ["__key"] => return Ok(Target::Keys(level(all, None))),
        [group, "*" | "__value"] => slots_of(&|field| group_of(field).as_deref() == Some(*group)),
        [group, "__key"] => return Ok(Target::Keys(level(all, Some(group)))),
        [group] if is_size => return Ok(Target::Size(slots_of(&|field| group_of(field).as_deref() == Some(*group)))),
        [name] => slots_of(&|field| group_of(field).is_none() && field.name() == *name),
        [group, name] => slots_of(&|field| group_of(field).as_deref() == Some(*group) && field.name() == *name),
        _ => Vec::new(),
    };
    if !found.is_empty() {
        return Ok(Target::Fields(found));
    }
    let known: Vec<_> = all.iter().map(|field| path_of(attribute.name, field, is_number)).collect();
    let tail = path.0.get(1..).unwrap_or_default().join(".");
    let meant = nearest(&tail, known.iter().map(String::as_str)).map(|meant| format!("did you mean `{meant}`? "));
    let meant = meant.unwrap_or_default();
    Err(format!("`{path}`: the result has no field `{tail}`; {meant}it has {}", known.join(", ")))
}

/// The names of one level of a result.
fn level(fields: &[DescribedField], group: Option<&str>) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = Vec::new();
    for field in fields {
        let own = field.field().group();
        let name = if group.is_none() { own.unwrap_or(field.name()) } else { field.name() };
        if (group.is_none() || own == group) && !names.iter().any(|known| **known == *name) {
            names.push(name.into());
        }
    }
    names
}

fn path_of(attribute: &str, field: &DescribedField, is_number: bool) -> String {
    match field.field().group() {
        _ if is_number => format!("{attribute}.value"),
        Some(group) => format!("{attribute}.{group}.{}", field.name()),
        None => format!("{attribute}.{}", field.name()),
    }
}

fn names(uve: &UveDescription<'_>) -> String {
    uve.attributes().map(|attribute| attribute.name).collect::<Vec<_>>().join(", ")
}

/// The parts of a text with `{…}`.
fn parts(text: &str, uve: &UveDescription<'_>, slots: &mut Slots) -> Result<Vec<Part>, String> {
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
                let path = Path::parse(&format!("{}.{path}", uve.name()));
                Part::Value(target(&path, uve, false, slots).map_err(|problem| format!("the text: {problem}"))?)
            }
        });
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}
