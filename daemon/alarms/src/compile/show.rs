//! What an alarm shows: its text, and what was true with the values, in the form of Contrail.

use super::{Compiled, CompiledTerm, Part, Slots, all};
use crate::escape::escaped;
use crate::operand::{Operand, Scalar, Side, matching};
use crate::rule::{Absent, Condition, Operation, Path, Right, Term};

impl Compiled {
    /// The text of an alarm of an object.
    pub(crate) fn text(&self, key: &str, slots: &Slots) -> String {
        let mut text = String::new();
        for part in &self.text {
            match part {
                Part::Key => text.push_str(&escaped(key)),
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

    /// Appends `alarm_rules`: the lists of terms that are true, with the values, in the form of `AlarmRules` of
    /// `sandesh_alarm_base.sandesh`
    /// (<https://github.com/tungstenfabric/tf-analytics/tree/master/contrail-opserver>); `text` of each term is ours.
    pub(crate) fn write_matches(&self, uve: &str, slots: &Slots, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"or_list\":[");
        let Condition::Terms(lists) = &self.rule.condition else {
            // Contrail's rules about a node that is silent compare its UVE with null.
            out.extend_from_slice(b"{\"and_list\":[");
            write_condition(Operation::Equal, uve, ("json_value", "null"), &[], out);
            out.extend_from_slice(b",\"match\":[{\"json_operand1_value\":\"null\",\"json_variables\":{}}],");
            write("text", &self.rule.condition.to_string(), out);
            return out.extend_from_slice(b"}]}]}");
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
                write_term(term, compiled, self.rule.absent, slots, out);
            }
            out.extend_from_slice(b"]}");
        }
        out.extend_from_slice(b"]}");
    }
}

/// Appends a name and a text.
fn write(name: &str, text: &str, out: &mut Vec<u8>) {
    proxy_uve::json::write_text(name, out);
    out.push(b':');
    proxy_uve::json::write_text(text, out);
}

/// Appends a term that is true: the condition, and each pair of values that satisfies it.
fn write_term(term: &Term, compiled: &CompiledTerm, absent: Absent, slots: &Slots, out: &mut Vec<u8>) {
    let names = &compiled.names;
    let constant = match &term.right {
        Right::Constant(value) => value.to_string(),
        Right::Path(_) => String::new(),
    };
    let right = names.right.as_deref().map_or(("json_value", constant.as_str()), |path| ("uve_attribute", path));
    write_condition(term.operation, &names.left, right, &names.variables, out);
    out.extend_from_slice(b",\"match\":[");
    let left = slots.operand(&compiled.left);
    let other = compiled.right.as_ref().map(|right| slots.operand(right));
    let side = match (&term.right, &other) {
        (Right::Constant(value), _) => Side::Constant(value),
        (Right::Path(_), other) => Side::Operand(other.as_ref().unwrap_or(&Operand::Null)),
    };
    for (position, (one, another)) in matching(term.operation, &left, side, absent).into_iter().enumerate() {
        out.extend_from_slice(if position > 0 { b",{" } else { b"{" });
        write("json_operand1_value", &loaded_json(left.get(one)), out);
        if let Some(other) = &other {
            out.push(b',');
            write("json_operand2_value", &loaded_json(other.get(another)), out);
        }
        out.extend_from_slice(b",\"json_variables\":{");
        for (index, (path, target)) in term.variables.iter().zip(&compiled.variables).enumerate() {
            let name = slots.name_of(&compiled.left, one).filter(|_| is_of_one_level(path, &term.left));
            let value = name.map_or_else(|| slots.operand(target), |name| slots.named(target, name));
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            write(names.variables.get(index).map_or("", String::as_str), &variable_json(&value), out);
        }
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b"],");
    write("text", &term.to_string(), out);
    out.push(b'}');
}

/// Appends the brace that opens a term, and its `condition`.
fn write_condition(
    operation: Operation,
    left: &str,
    (kind, right): (&str, &str),
    variables: &[String],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"condition\":{");
    write("operation", operation.symbol(), out);
    out.push(b',');
    write("operand1", left, out);
    out.extend_from_slice(b",\"operand2\":{");
    write(kind, right, out);
    out.extend_from_slice(b"},\"variables\":[");
    for (index, variable) in variables.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        proxy_uve::json::write_text(variable, out);
    }
    out.extend_from_slice(b"]}");
}

/// Whether two paths name the fields of the same level, or their names.
fn is_of_one_level(one: &Path, other: &Path) -> bool {
    let split = |path: &Path| path.0.split_last().map(|(last, level)| (last.clone(), level.to_vec()));
    let (Some((last, level)), Some((other_last, other_level))) = (split(one), split(other)) else { return false };
    let is_wildcard = |part: &str| matches!(part, "*" | "__value" | "__key");
    level == other_level && is_wildcard(&last) && is_wildcard(&other_last)
}

/// The value as `_get_json_value` of alarmgen.py has it: a text that is JSON as it is.
fn loaded_json(value: Option<&Scalar>) -> String {
    match value {
        None => "null".to_owned(),
        Some(Scalar::Text(text)) if serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() => text.to_string(),
        Some(value) => json_of(&Operand::Values(vec![value.clone()])),
    }
}

/// The same of a variable, which may have several values.
fn variable_json(value: &Operand) -> String {
    match value {
        Operand::Values(values) if values.len() != 1 => json_of(value),
        value => loaded_json(value.get(0)),
    }
}

/// The text of JSON of an operand.
fn json_of(operand: &Operand) -> String {
    let mut out = Vec::new();
    match operand {
        Operand::Absent | Operand::Null | Operand::Open => out.extend_from_slice(b"null"),
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
            format!("{value:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Scalar::Number(_) => json_of(&Operand::Values(vec![value.clone()])),
        Scalar::Text(text) => escaped(text).into_owned(),
    };
    match operand {
        Operand::Absent | Operand::Null | Operand::Open => "no value".to_owned(),
        Operand::Values(values) => values.iter().map(one).collect::<Vec<_>>().join(" "),
    }
}
