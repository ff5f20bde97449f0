//! One sample as text, as people and Prometheus' text format write it: `http_requests_total{job="a",code="200"} 3`.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//!
//! The value may be left out; a time in milliseconds since 1970 may follow it. In the braces names may have quotes, and
//! one of them without a value is the name of the metric: `{"http.requests","http.method"="GET"} 3`. `\\`, `\"` and `\n`
//! between quotes stand for a backslash, a quote and a line feed.

use std::iter::Peekable;
use std::str::{CharIndices, FromStr};

use crate::METRIC_NAME;

/// A sample: labels as written, the name of the metric among them, and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSample {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The value, if there is one.
    pub value: Option<f64>,
    /// The time in milliseconds since 1970, if there is one.
    pub timestamp_ms: Option<i64>,
}

/// Why a text is not a sample.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("column {column}: expected {expected}, found {found}; write it as `http_requests_total{{job=\"a\"}} 3`")]
pub struct TextError {
    /// From 1.
    pub column: usize,
    /// What was expected.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
}

/// Parses one sample.
///
/// ```
/// use daemon_formats::text;
///
/// let sample = text::parse(r#"http_requests_total{job="a"} 3"#)?;
/// assert_eq!(sample.labels[1], ("job".to_owned(), "a".to_owned()));
/// assert_eq!(sample.value, Some(3.0));
/// assert_eq!(text::parse("up{job=a}").unwrap_err().column, 8);
/// # Ok::<(), text::TextError>(())
/// ```
///
/// # Errors
///
/// A [`TextError`] with the column.
pub fn parse(text: &str) -> Result<TextSample, TextError> {
    let mut parser = Parser { text, rest: text.char_indices().peekable() };
    parser.skip_blanks();
    let mut labels = Vec::new();
    if !parser.is_at('{') {
        labels.push((METRIC_NAME.to_owned(), parser.word("the name of a metric or `{`")?));
        parser.skip_blanks();
    }
    if parser.skip('{') {
        parser.labels(&mut labels)?;
    }
    let value = parser.number("a number")?;
    let timestamp_ms = parser.number("a time in whole milliseconds since 1970, or nothing")?;
    parser.skip_blanks();
    match parser.rest.peek() {
        None => Ok(TextSample { labels, value, timestamp_ms }),
        Some(_) => Err(parser.expected("nothing more")),
    }
}

struct Parser<'t> {
    text: &'t str,
    rest: Peekable<CharIndices<'t>>,
}

impl Parser<'_> {
    fn labels(&mut self, labels: &mut Vec<(String, String)>) -> Result<(), TextError> {
        loop {
            self.skip_blanks();
            if self.skip('}') {
                return Ok(());
            }
            labels.push(self.label(labels)?);
            self.skip_blanks();
            if !self.skip(',') {
                return self.require('}', "`,` or `}`");
            }
        }
    }

    /// A label with its value, or the name of the metric between quotes.
    fn label(&mut self, before: &[(String, String)]) -> Result<(String, String), TextError> {
        let is_quoted = self.skip('"');
        let name = if is_quoted { self.quoted()? } else { self.word("the name of a label or `}`")? };
        self.skip_blanks();
        let is_metric = is_quoted && !self.is_at('=') && before.iter().all(|(name, _)| name != METRIC_NAME);
        if is_metric {
            return Ok((METRIC_NAME.to_owned(), name));
        }
        self.require('=', "`=`")?;
        self.skip_blanks();
        self.require('"', "`\"`")?;
        Ok((name, self.quoted()?))
    }

    /// The text up to the closing quote.
    fn quoted(&mut self) -> Result<String, TextError> {
        let mut value = String::new();
        while let Some((at, character)) = self.rest.next() {
            match character {
                '"' => return Ok(value),
                '\\' => match self.rest.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, character @ ('\\' | '"'))) => value.push(character),
                    _ => return Err(self.expected_at(at, "`\\\\`, `\\\"` or `\\n`")),
                },
                character => value.push(character),
            }
        }
        Err(self.expected("`\"` at the end of the text"))
    }

    /// A number up to the next blank; `None` at the end.
    fn number<T: FromStr>(&mut self, expected: &'static str) -> Result<Option<T>, TextError> {
        self.skip_blanks();
        let start = self.offset();
        while self.rest.next_if(|(_, character)| !character.is_whitespace()).is_some() {}
        let number = self.text.get(start..self.offset()).unwrap_or_default();
        if number.is_empty() {
            return Ok(None);
        }
        number.parse().map(Some).map_err(|_| self.expected_at(start, expected))
    }

    /// A name: letters of any script, digits, `_`, `:` and `.`.
    fn word(&mut self, expected: &'static str) -> Result<String, TextError> {
        let mut word = String::new();
        while let Some((_, character)) = self.rest.next_if(|(_, it)| it.is_alphanumeric() || "_:.".contains(*it)) {
            word.push(character);
        }
        if word.is_empty() { Err(self.expected(expected)) } else { Ok(word) }
    }

    fn skip_blanks(&mut self) {
        while self.rest.next_if(|(_, character)| character.is_whitespace()).is_some() {}
    }

    fn is_at(&mut self, character: char) -> bool {
        self.rest.peek().is_some_and(|(_, next)| *next == character)
    }

    fn skip(&mut self, character: char) -> bool {
        self.rest.next_if(|(_, next)| *next == character).is_some()
    }

    fn require(&mut self, character: char, expected: &'static str) -> Result<(), TextError> {
        if self.skip(character) { Ok(()) } else { Err(self.expected(expected)) }
    }

    fn offset(&mut self) -> usize {
        self.rest.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn expected(&mut self, expected: &'static str) -> TextError {
        let offset = self.offset();
        self.expected_at(offset, expected)
    }

    fn expected_at(&self, offset: usize, expected: &'static str) -> TextError {
        let (before, rest) = self.text.split_at_checked(offset).unwrap_or((self.text, ""));
        let found =
            if rest.is_empty() { "the end".to_owned() } else { format!("`{}`", crate::series::shortened(rest)) };
        TextError { column: before.chars().count() + 1, expected, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_value_are_read() {
        let sample = parse(r#" a:b { x = "1" , y="q\"\\\n" , } -2.5e3 "#).unwrap();
        let labels: Vec<_> = sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(labels, [(METRIC_NAME, "a:b"), ("x", "1"), ("y", "q\"\\\n")]);
        assert_eq!(sample.value, Some(-2500.0));
        assert_eq!(parse("up").unwrap().value, None);
        assert_eq!(parse("up 1").unwrap().labels.len(), 1);
        assert_eq!(parse("{__name__=\"up\"}").unwrap().labels, [(METRIC_NAME.to_owned(), "up".to_owned())]);
    }

    #[test]
    fn names_may_have_quotes_and_a_time_may_follow_the_value() {
        let quoted = [(METRIC_NAME, "http.requests"), ("http.method", "G\"T"), ("a", "b")];
        let quoted = quoted.map(|(name, value)| (name.to_owned(), value.to_owned()));
        for text in [
            r#"{"http.requests","http.method"="G\"T",a="b"} 3 1488000000000"#,
            r#" { "http.requests" , "http.method" = "G\"T" , a = "b" , } 3  1488000000000 "#,
            r#"http.requests{"http.method"="G\"T","a"="b"} 3 1488000000000"#,
        ] {
            let sample = parse(text).unwrap();
            assert_eq!(sample.labels, quoted, "{text}");
            assert_eq!((sample.value, sample.timestamp_ms), (Some(3.0), Some(1_488_000_000_000)), "{text}");
        }
        assert_eq!(parse("up 1 -1").unwrap().timestamp_ms, Some(-1));
        assert_eq!(parse(r#"{"größe in °C"} +Inf"#).unwrap().value, Some(f64::INFINITY));
    }

    #[test]
    fn an_error_has_column_expectation_and_finding() {
        let cases = [
            ("", 1, "the name of a metric or `{`", "the end"),
            ("\"up\" 1", 1, "the name of a metric or `{`", "`\"up\" 1`"),
            ("{\"up\",\"b\"}", 10, "`=`", "`}`"),
            ("up{\"b\"}", 7, "`=`", "`}`"),
            ("{\"up\"=}", 7, "`\"`", "`}`"),
            ("{\"up", 5, "`\"` at the end of the text", "the end"),
            ("up 1 1.5", 6, "a time in whole milliseconds since 1970, or nothing", "`1.5`"),
            ("up 1 # {}", 6, "a time in whole milliseconds since 1970, or nothing", "`# {}`"),
            ("up 1 2 3", 8, "nothing more", "`3`"),
            ("up{", 4, "the name of a label or `}`", "the end"),
            ("up{job=a}", 8, "`\"`", "`a}`"),
            ("up{job=\"a}", 11, "`\"` at the end of the text", "the end"),
            ("up{job=\"a\" b", 12, "`,` or `}`", "`b`"),
            ("up{} x", 6, "a number", "`x`"),
        ];
        for (text, column, expected, found) in cases {
            assert_eq!(parse(text), Err(TextError { column, expected, found: found.to_owned() }), "{text}");
        }
    }
}
