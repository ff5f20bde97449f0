//! The short form of a rule.
//!
//! ```text
//! rule      := "alarm" TEXT "when" condition modifier*
//! condition := "no" "data" "in" TYPE | terms ("or" terms)*
//! terms     := term ("and" term)*
//! term      := PATH operation (NUMBER | TEXT | LIST | PATH)
//! operation := "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in" | "range" | "size==" | "size!="
//! modifier  := ","? ("for" N "periods" | "clear" bound? ("for" N "periods")? | "on" TEXT | "severity" NAME | "text" TEXT)
//! bound     := ("below" | "above") NUMBER
//! ```
//!
//! A `PATH` begins with a proxy type, or with the full name of a UVE, and goes on with an attribute and fields:
//! `AggProxySumAnomalyEWM01.value.sigma`. A `TEXT` is quoted as in JSON; `LIST` is a list of JSON.

mod lexer;
mod parser;

use std::fmt;
use std::ops::Range;

use self::parser::Parser;
pub(crate) use self::parser::operand_fits;
use crate::rule::{Clear, Condition, Rule};

/// Why a text is not a rule.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TextError {
    text: String,
    span: Range<usize>,
    message: String,
}

impl TextError {
    /// The wrong part, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// What is wrong, without the text.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl std::error::Error for TextError {}

impl fmt::Display for TextError {
    /// The sentence, the text, and carets under the wrong part.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: String = self.text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        let before = self.text.get(..self.span.start).map_or(0, |before| before.chars().count());
        let marked = self.text.get(self.span.clone()).map_or(0, |part| part.chars().count()).max(1);
        write!(f, "{}\n  {shown}\n  {}{}", self.message, " ".repeat(before), "^".repeat(marked))
    }
}

/// Parses a rule.
///
/// ```
/// use daemon_alarms::text;
///
/// let rule = text::rule(
///     r#"alarm "vn flows" when AggProxySeasonal.value.alarm > 0 for 3 periods, clear for 5 periods, severity major"#,
/// )?;
/// assert_eq!((rule.name.as_str(), rule.periods, rule.clear.periods), ("vn flows", 3, 5));
/// let error = text::rule(r#"alarm "vn flows" if a.b > 2"#).expect_err("it says `if`");
/// assert!(error.message().starts_with("expected `when`, found `if`"));
/// # Ok::<(), text::TextError>(())
/// ```
///
/// # Errors
///
/// Where the text is wrong, what was found and what was expected.
pub fn rule(text: &str) -> Result<Rule, TextError> {
    Parser::new(text)?.rule()
}

/// Parses a condition alone.
///
/// # Errors
///
/// As [`rule`].
pub fn condition(text: &str) -> Result<Condition, TextError> {
    let mut parser = Parser::new(text)?;
    let condition = parser.condition()?;
    parser.end_of_key().map(|()| condition)
}

/// Parses what follows `clear`: `below 2 for 5 periods`.
///
/// # Errors
///
/// As [`rule`].
pub fn clear(text: &str) -> Result<Clear, TextError> {
    let mut parser = Parser::new(text)?;
    let clear = parser.clear()?;
    parser.end_of_key().map(|()| clear)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{ClearBound, Operation, Severity};

    #[test]
    fn every_part_of_the_short_form_is_read() {
        let rule = rule(
            r#"alarm "a \"b\"" when T.value > 2.5 and T.count range [1, 5] or T-S-a.value in ["x"] for 3 periods, clear below 2 for 5 periods on "Object*:x" severity minor text "at {key}""#,
        )
        .unwrap();
        assert_eq!(rule.name, "a \"b\"");
        assert_eq!(rule.condition.to_string(), r#"T.value > 2.5 and T.count range [1,5] or T-S-a.value in ["x"]"#);
        assert_eq!((rule.periods, rule.clear), (3, Clear { bound: Some(ClearBound::Below(2.0)), periods: 5 }));
        assert_eq!(
            (rule.severity, rule.keys, rule.text.as_str()),
            (Severity::Minor, vec!["Object*:x".into()], "at {key}")
        );
    }

    #[test]
    fn a_printed_condition_is_read_as_the_same() {
        let mut count = 0;
        for (operation, symbol) in Operation::ALL {
            let right = match operation {
                Operation::In | Operation::NotIn | Operation::Range => "[1,2.5]",
                _ => "-3",
            };
            let text = format!("A.b.c {symbol} {right} and A.d == A.e or A.f == \"é\"");
            let parsed = condition(&text).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parsed.to_string(), text);
            count += 1;
        }
        assert_eq!(count, 11);
        assert_eq!(condition("no data in AggProxySum").unwrap(), Condition::NoData("AggProxySum".to_owned()));
    }

    #[test]
    fn in_a_text_that_is_a_key_of_its_own_the_other_keys_are_named() {
        let of_condition = |text: &str| condition(text).expect_err(text).message().to_owned();
        let of_clear = |text: &str| clear(text).expect_err(text).message().to_owned();
        let found = "expected the end; here it is a key of its own: ";
        assert_eq!(of_condition("T.v > 3 for 2 periods"), format!("{found}`for = 2`, found `for`"));
        assert_eq!(of_condition("T.v > 3 on \"a\""), format!("{found}`keys = [\"PATTERN\"]`, found `on`"));
        assert_eq!(of_clear("below 2 severity minor"), format!("{found}`severity = \"major\"`, found `severity`"));
        assert_eq!(of_condition("T.v > 3 7"), "expected the end, found `7`");
    }

    #[test]
    fn an_error_marks_the_wrong_part_and_names_what_was_expected() {
        let cases = [
            ("alarm", "expected the name in quotes, found the end", 5..5),
            (r#"alarm "a" when T.v > "#, "expected a number, a text, a list or a path, found the end", 21..21),
            (
                r#"alarm "a" when T.v ~ 2"#,
                "`~` begins nothing; expected a word, a number, a text or a comparison",
                19..20,
            ),
            (r#"alarm "a" when T.v > 2 for 0 periods"#, "expected a number of periods, 1 to 10000, found `0`", 27..28),
            (r#"alarm "a" when T.v > 2 severity bad"#, "expected critical, major or minor, found `bad`", 32..35),
            (r#"alarm "a" when T.v > 2 for 2 periods for 3 periods"#, "`for` is there twice; keep one", 37..40),
            (r#"alarm "a when"#, "the text has no closing quote", 6..13),
            (r#"alarm "a" when T > 2"#, "expected a path such as AggProxySum.value, found `T`", 15..16),
            (
                r#"alarm "a" when T.v range [2, 1]"#,
                "expected a list of two numbers, the lower one first, found `[2,1]`",
                25..31,
            ),
            (r#"alarm "" when T.v > 2"#, "the name is empty", 6..8),
            (
                r#"alarm "a" when T.v "not in" [5, 7]"#,
                "expected a comparison, one of ==, !=, <=, >=, <, >, not in, in, range, size==, size!=, without quotes, \
                 found `\"not in\"`",
                19..27,
            ),
        ];
        for (text, message, span) in cases {
            let error = rule(text).expect_err(text);
            assert_eq!((error.message(), error.span()), (message, span), "{error}");
        }
        let shown = rule(r#"alarm "a" when T.v ~ 2"#).expect_err("it is wrong").to_string();
        assert!(shown.ends_with("\n  alarm \"a\" when T.v ~ 2\n                     ^"), "{shown}");
    }
}
