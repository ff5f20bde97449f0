//! What an alarm shows: its text, and what was true with the values, in the form of Contrail.

use super::{Compiled, CompiledTerm, Part, Slots, all};
use crate::escape::escaped;
use crate::operand::{Operand, Scalar};
use crate::rule::{Condition, Term};

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
