//! Errors that show the line of the file and underline the mistake; all errors of a file are reported at once.
//!
//! ```text
//! schema error at my.sandesh:2:19:
//!     1: string name (kee="")
//!                     ^^^
//! unknown annotation `kee`; expected …; did you mean `key`?
//! ```

use std::fmt;
use std::ops::Range;

use super::kind::SchemaErrorKind;
use derived_stats::excerpt::Excerpt;

/// One error in a file of definitions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SchemaError {
    kind: Box<SchemaErrorKind>,
    file: Box<str>,
    start: usize,
    excerpt: Excerpt,
}

impl SchemaError {
    pub(super) fn new(kind: SchemaErrorKind, file: &str, text: &str, span: Range<usize>) -> Self {
        Self { kind: Box::new(kind), file: file.into(), start: span.start, excerpt: Excerpt::new(text, span) }
    }

    /// What is wrong.
    pub fn kind(&self) -> &SchemaErrorKind {
        &self.kind
    }

    /// The file, as its name was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line of the error, from 1.
    pub fn line(&self) -> usize {
        self.excerpt.line()
    }

    /// The column of the error, from 1, in characters.
    pub fn column(&self) -> usize {
        self.excerpt.column()
    }
}

impl std::error::Error for SchemaError {}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schema error at {}:{}:{}:", self.file, self.line(), self.column())?;
        write!(f, "{}{}", self.excerpt, self.kind)
    }
}

/// Every error of one file, in the order of the text. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SchemaErrors(Vec<SchemaError>);

impl SchemaErrors {
    /// `Ok` if there are none.
    pub(super) fn check(mut errors: Vec<SchemaError>) -> Result<(), Self> {
        if errors.is_empty() {
            return Ok(());
        }
        errors.sort_by(|one, other| (&one.file, one.start).cmp(&(&other.file, other.start)));
        Err(Self(errors))
    }

    /// The errors.
    pub fn errors(&self) -> &[SchemaError] {
        &self.0
    }
}

impl std::error::Error for SchemaErrors {}

/// One after the other, with an empty line between.
impl fmt::Display for SchemaErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl<'e> IntoIterator for &'e SchemaErrors {
    type Item = &'e SchemaError;
    type IntoIter = std::slice::Iter<'e, SchemaError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
