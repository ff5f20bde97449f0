//! Which messages a stream takes: conditions on their fields.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::{Message, Path};
use crate::pattern::Pattern;
use crate::series::shortened;

/// Conditions on the fields of a message, all of which must hold. Without any, each message is selected.
///
/// A text, a number, `true` and `false` are compared as a text. A field that is missing or something else is an empty
/// text, as a missing label is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Selection(Vec<(Path, Pattern)>);

impl Selection {
    /// Compiles conditions: a path, and a regular expression for the whole text of the field.
    ///
    /// # Errors
    ///
    /// A text for each condition with a problem, with the remedy.
    pub fn compile(conditions: &BTreeMap<String, String>) -> Result<Self, Vec<String>> {
        let (mut compiled, mut problems) = (Vec::new(), Vec::new());
        for (path, text) in conditions {
            match Path::parse(path).and_then(|path| Ok((path, Pattern::expression(text)?))) {
                Ok(condition) => compiled.push(condition),
                Err(error) => problems.push(format!("the condition on `{path}`: {error}")),
            }
        }
        if problems.is_empty() { Ok(Self(compiled)) } else { Err(problems) }
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the message is selected.
    pub fn takes(&self, message: &Message) -> bool {
        self.0.iter().all(|(path, pattern)| pattern.matches(&text(path, message)))
    }

    /// Why the message is not selected: the first condition that it does not fulfil. `None` if it is.
    pub fn refusal(&self, message: &Message) -> Option<String> {
        let missed = self.0.iter().find(|(path, pattern)| !pattern.matches(&text(path, message)));
        missed.map(|(path, pattern)| {
            format!("`{}` is \"{}\", not `{pattern}`", path.text, shortened(&text(path, message)))
        })
    }

    /// The conditions: each path with its expression, as written.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &Pattern)> {
        self.0.iter().map(|(path, pattern)| (path.text.as_str(), pattern))
    }
}

/// The text of a field.
fn text<'m>(path: &Path, Message(message): &'m Message) -> Cow<'m, str> {
    match path.find(message) {
        Ok(Value::String(text)) => Cow::Borrowed(text),
        Ok(Value::Number(number)) => Cow::Owned(number.to_string()),
        Ok(Value::Bool(flag)) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        _ => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(conditions: &[(&str, &str)]) -> Result<Selection, Vec<String>> {
        let conditions = conditions.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Selection::compile(&conditions.collect())
    }

    #[test]
    fn a_message_is_selected_if_all_conditions_hold_for_the_whole_text() {
        let cases = [
            (&[][..], true),
            (&[("type", "load")], true),
            (&[("type", "loa")], false),
            (&[("type", "loa.")], true),
            (&[("type", "oad?")], false),
            (&[("type", "cpu|load"), ("host.env", "prod")], true),
            (&[("type", "load"), ("host.env", "test")], false),
            (&[("code", "5..")], true),
            (&[("up", "true")], true),
            (&[("tags.1", "b")], true),
            (&[("missing", "")], true),
            (&[("none", "")], true),
            (&[("host", "")], true),
            (&[("missing", ".+")], false),
            (&[(r"a\.b", "dot")], true),
        ];
        let message =
            br#"{"type":"load","host":{"env":"prod"},"code":503,"up":true,"tags":["a","b"],"none":null,"a.b":"dot"}"#;
        let message = Message::parse(message).unwrap();
        for (conditions, expected) in cases {
            let selection = compiled(conditions).unwrap();
            assert_eq!(selection.takes(&message), expected, "{conditions:?}");
            assert_eq!(selection.refusal(&message).is_none(), expected, "{conditions:?}");
        }
        let refusal = compiled(&[("host.env", "t.*")]).unwrap().refusal(&message);
        assert_eq!(refusal.as_deref(), Some("`host.env` is \"prod\", not `t.*`"));
    }

    #[test]
    fn a_condition_with_a_problem_is_named() {
        let problems = compiled(&[("a..b", "x"), ("c", "5("), ("d", "x")]).unwrap_err();
        let [path, expression] = &problems[..] else { panic!("{problems:?}") };
        assert!(path.contains("`a..b`") && path.contains("empty name"), "{path}");
        assert!(expression.contains("`c`") && expression.contains("unclosed group"), "{expression}");
    }
}
