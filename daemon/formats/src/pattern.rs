//! Patterns for names of metrics, and for the values of labels and fields.

use std::fmt;

use regex::{Regex, RegexBuilder};

/// The most memory of a compiled expression: far more than a list of a hundred names takes.
const MAX_BYTES: usize = 1 << 20;

/// A pattern, which a text matches as a whole.
#[derive(Clone, Debug)]
pub struct Pattern {
    written: String,
    /// `None` if the pattern is the text itself.
    expression: Option<Regex>,
}

impl Pattern {
    /// The text and no other.
    pub fn exact(text: &str) -> Self {
        Self { written: text.to_owned(), expression: None }
    }

    /// A glob: `*` stands for any characters, `?` for one.
    ///
    /// # Errors
    ///
    /// A text with the remedy, if the glob is too long.
    pub fn glob(text: &str) -> Result<Self, String> {
        let parts = text.chars().map(|character| match character {
            '*' => ".*".to_owned(),
            '?' => ".".to_owned(),
            other => regex::escape(other.encode_utf8(&mut [0; 4])),
        });
        compiled(&parts.collect::<String>(), text)
    }

    /// An anchored regular expression. One without special characters is compared as a text.
    ///
    /// # Errors
    ///
    /// A text with the reason and the remedy, if it is not an expression or a too large one.
    pub fn expression(text: &str) -> Result<Self, String> {
        if regex::escape(text) == text { Ok(Self::exact(text)) } else { compiled(text, text) }
    }

    /// Whether the whole text matches. The cost is linear in the text.
    pub fn matches(&self, text: &str) -> bool {
        self.expression.as_ref().map_or(self.written == text, |expression| expression.is_match(text))
    }

    /// The text, if the pattern is one.
    pub fn exact_text(&self) -> Option<&str> {
        self.expression.is_none().then_some(&self.written)
    }
}

/// Patterns that are written alike match the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.written == other.written && self.expression.is_some() == other.expression.is_some()
    }
}

impl Eq for Pattern {}

/// As written.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

fn compiled(expression: &str, written: &str) -> Result<Pattern, String> {
    // An expression of its own must be valid as such: in the group, a `)` too many would close that.
    let alone = RegexBuilder::new(expression).size_limit(MAX_BYTES).build();
    let anchored = alone.and_then(|_| {
        RegexBuilder::new(&format!("^(?:{expression})$")).size_limit(MAX_BYTES).dot_matches_new_line(true).build()
    });
    match anchored {
        Ok(expression) => Ok(Pattern { written: written.to_owned(), expression: Some(expression) }),
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(format!("{written:?} is not a regular expression: {reason}; correct it, or escape with `\\\\`"))
        }
    }
}
