//! One sample as text, as people and Prometheus' text format write it: `http_requests_total{job="a",code="200"} 3`.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//!
//! The value may be left out. `\\`, `\"` and `\n` in a value of a label stand for a backslash, a quote and a line feed.

use std::iter::Peekable;
use std::str::CharIndices;

use crate::METRIC_NAME;

/// A sample: labels as written, with the name of the metric first, and a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TextSample {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The value, if there is one.
    pub value: Option<f64>,
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
    let mut labels = vec![(METRIC_NAME.to_owned(), parser.word("the name of a metric")?)];
    parser.skip_blanks();
    if parser.skip('{') {
        parser.labels(&mut labels)?;
    }
    parser.skip_blanks();
    let start = parser.offset();
    let number = text.get(start..).unwrap_or_default().trim();
    if number.is_empty() {
        return Ok(TextSample { labels, value: None });
    }
    match number.parse() {
        Ok(value) => Ok(TextSample { labels, value: Some(value) }),
        Err(_) => Err(parser.expected_at(start, "a number")),
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
            let name = self.word("the name of a label or `}`")?;
            self.skip_blanks();
            self.require('=', "`=`")?;
            self.skip_blanks();
            self.require('"', "`\"`")?;
            labels.push((name, self.quoted()?));
            self.skip_blanks();
            if !self.skip(',') {
                return self.require('}', "`,` or `}`");
            }
        }
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
        Err(self.expected("`\"` at the end of the value"))
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
    }

    #[test]
    fn an_error_has_column_expectation_and_finding() {
        let cases = [
            ("", 1, "the name of a metric", "the end"),
            ("{a=\"b\"}", 1, "the name of a metric", "`{a=\"b\"}`"),
            ("up{", 4, "the name of a label or `}`", "the end"),
            ("up{job=a}", 8, "`\"`", "`a}`"),
            ("up{job=\"a}", 11, "`\"` at the end of the value", "the end"),
            ("up{job=\"a\" b", 12, "`,` or `}`", "`b`"),
            ("up{} x", 6, "a number", "`x`"),
        ];
        for (text, column, expected, found) in cases {
            assert_eq!(parse(text), Err(TextError { column, expected, found: found.to_owned() }), "{text}");
        }
    }
}
