//! `[[alarms]]` of the configuration: a rule in the short form, a rule in fields, or a file of Contrail's alarms.

use std::path::PathBuf;

use serde::Deserialize;

use crate::rule::{Clear, MAX_PERIODS, Rule, Severity};
use crate::text;

/// One table of `[[alarms]]`: `rule` alone, `file` alone, or `name`, `when` and the fields that go with them.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AlarmConfig {
    /// The whole rule in the short form. Default unset.
    pub rule: Option<String>,
    /// The name of the alarm. Required with `when`.
    pub name: Option<String>,
    /// The condition in the short form, such as `"AggProxySum.value > 1000"`. Default unset.
    pub when: Option<String>,
    /// The consecutive periods in which the condition must be true. Default 1, up to 10,000.
    #[serde(rename = "for")]
    pub periods: Option<u32>,
    /// What ends the alarm, such as `"below 2 for 5 periods"`. Default: one period in which the condition is false.
    pub clear: Option<String>,
    /// `"critical"`, `"major"` or `"minor"`. Default `"major"`.
    pub severity: Option<Severity>,
    /// The text of the alarm. Default: the condition and its values.
    pub text: Option<String>,
    /// Patterns of keys with `*` and `?`. Default: all objects.
    pub keys: Vec<String>,
    /// A file with alarm objects of Contrail, in JSON. Default unset.
    pub file: Option<PathBuf>,
}

/// What is wrong with a table of `[[alarms]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The key.
    pub key: &'static str,
    /// What was found, what was expected, and what to do.
    pub message: String,
}

impl Problem {
    fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self { key, message: message.into() }
    }
}

impl AlarmConfig {
    /// The rule; `None` for a file.
    ///
    /// # Errors
    ///
    /// Every problem with the table.
    pub fn compile(&self) -> Result<Option<Rule>, Vec<Problem>> {
        let forms = [("rule", self.rule.is_some()), ("when", self.when.is_some()), ("file", self.file.is_some())];
        let given: Vec<_> = forms.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key).collect();
        match given.as_slice() {
            [] => Err(vec![Problem::new("rule", "the table has no rule; set `rule`, or `name` and `when`, or `file`")]),
            ["when"] => self.fields().map(Some),
            [form] => self.alone(form),
            [_, second, ..] => {
                Err(vec![Problem::new(second, "`rule`, `when` and `file` exclude each other; keep one in each table")])
            }
        }
    }

    /// A form that has no further fields.
    fn alone(&self, form: &str) -> Result<Option<Rule>, Vec<Problem>> {
        let others = [
            ("name", self.name.is_some()),
            ("for", self.periods.is_some()),
            ("clear", self.clear.is_some()),
            ("severity", self.severity.is_some()),
            ("text", self.text.is_some()),
            ("keys", !self.keys.is_empty()),
        ];
        let others: Vec<_> = others.into_iter().filter(|(_, is_given)| *is_given).collect();
        if !others.is_empty() {
            let problem = |(key, _): &(&'static str, bool)| {
                Problem::new(key, format!("it goes with `when` only; write it into `{form}`, or remove it"))
            };
            return Err(others.iter().map(problem).collect());
        }
        let Some(rule) = &self.rule else { return Ok(None) };
        text::rule(rule).map(Some).map_err(|error| vec![Problem::new("rule", error.to_string())])
    }

    fn fields(&self) -> Result<Rule, Vec<Problem>> {
        let mut problems = Vec::new();
        let name = self.name.as_deref().unwrap_or_default().trim();
        if name.is_empty() {
            problems.push(Problem::new("name", "a rule needs a name; set one, unique among all rules"));
        }
        let condition = text::condition(self.when.as_deref().unwrap_or_default());
        let condition = condition.map_err(|error| problems.push(Problem::new("when", error.to_string())));
        let clear = self.clear.as_deref().map(text::clear).transpose();
        let clear = clear.map_err(|error| problems.push(Problem::new("clear", error.to_string())));
        let periods = self.periods.unwrap_or(1);
        if !(1..=MAX_PERIODS).contains(&periods) {
            problems.push(Problem::new("for", format!("found {periods} periods; expected 1 to {MAX_PERIODS}")));
        }
        match (condition, clear) {
            (Ok(condition), Ok(clear)) if problems.is_empty() => Ok(Rule {
                periods,
                clear: clear.unwrap_or(Clear { bound: None, periods: 1 }),
                severity: self.severity.unwrap_or_default(),
                text: self.text.clone().unwrap_or_default(),
                keys: self.keys.clone(),
                ..Rule::new(name, condition)
            }),
            _ => Err(problems),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(text: &str) -> Result<Option<Rule>, Vec<Problem>> {
        toml::from_str::<AlarmConfig>(text).unwrap().compile()
    }

    #[test]
    fn fields_and_the_short_form_give_the_same_rule() {
        let fields = compiled(
            "name = \"a\"\nwhen = \"T.v > 2.5\"\nfor = 3\nclear = \"below 2 for 5\"\nseverity = \"minor\"\nkeys = [\"T:*\"]\ntext = \"x\"",
        );
        let short = compiled(
            r#"rule = 'alarm "a" when T.v > 2.5 for 3 periods, clear below 2 for 5 severity minor on "T:*" text "x"'"#,
        );
        assert_eq!(fields, short);
        assert!(fields.is_ok_and(|rule| rule.is_some()));
    }

    #[test]
    fn a_table_has_one_form_and_what_goes_with_it() {
        let cases = [
            ("", "rule"),
            ("when = \"T.v > 1\"", "name"),
            ("name = \"a\"\nwhen = \"T.v >\"", "when"),
            ("name = \"a\"\nwhen = \"T.v > 1\"\nclear = \"under 3\"", "clear"),
            ("rule = 'alarm \"a\" when T.v > 1'\nfor = 3", "for"),
            ("name = \"a\"\nwhen = \"T.v > 1\"\nfor = 20000", "for"),
            ("name = \"a\"\nwhen = \"T.v > 1\"\nfor = 0", "for"),
            ("file = \"a.json\"\nwhen = \"T.v > 1\"", "file"),
            ("file = \"a.json\"\nseverity = \"minor\"", "severity"),
        ];
        for (text, key) in cases {
            let problems = compiled(text).expect_err(text);
            assert_eq!(problems.iter().map(|problem| problem.key).collect::<Vec<_>>(), [key], "{text}: {problems:?}");
        }
        let both = compiled("name = \"a\"\nwhen = \"T.v >\"\nfor = 20000").expect_err("two problems");
        assert_eq!(both.iter().map(|problem| problem.key).collect::<Vec<_>>(), ["when", "for"]);
    }
}
