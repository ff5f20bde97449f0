//! Errors that show the list and underline the error.

use std::fmt;
use std::ops::Range;

use thiserror::Error;

use crate::stream::StreamNameError;
use derived_stats::excerpt::{Excerpt, did_you_mean, quoted};

/// The kind of an error in a list: one variant for each mistake that a user can make.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProxyListErrorKind {
    /// The stream of an entry is not `Struct-attribute`.
    #[error("{0}; write each stream with its types as `Struct-attribute:Type:Type`, with blanks between the streams")]
    BadStream(StreamNameError),
    /// Two entries for one stream.
    #[error("the stream {} has an entry already, at {first}; add its types there", quoted(stream))]
    DuplicateStream {
        /// The stream.
        stream: String,
        /// `line:column` of the other entry.
        first: String,
    },
    /// One type twice in an entry.
    #[error("the type {} appears twice; keep one", quoted(name))]
    DuplicateType {
        /// Its name.
        name: String,
    },
    /// Nothing between two `:`, or after the last.
    #[error("expected the name of a proxy type after the `:`, such as `AggProxySum`")]
    EmptyType,
    /// A type of texts and one of numbers in an entry.
    #[error(
        "the samples of {} are texts, those of {} numbers; give each a stream of its own",
        quoted(texts),
        quoted(numbers)
    )]
    MixedSamples {
        /// The type with a raw field that is a `string`.
        texts: String,
        /// The other one.
        numbers: String,
    },
    /// A stream without types.
    #[error("expected `:` and a proxy type after the stream, such as `:AggProxySum`")]
    MissingType,
    /// A type that the schema does not have.
    #[error("unknown proxy type {}{}", quoted(name), did_you_mean(nearest.as_deref()))]
    UnknownType {
        /// The name as written.
        name: String,
        /// The known name it resembles.
        nearest: Option<String>,
    },
}

/// One error of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyListError {
    kind: ProxyListErrorKind,
    start: usize,
    excerpt: Excerpt,
}

impl ProxyListError {
    pub(super) fn new(kind: ProxyListErrorKind, text: &str, span: Range<usize>) -> Self {
        Self { kind, start: span.start, excerpt: Excerpt::new(text, span) }
    }

    /// The location, as `line:column`.
    pub(super) fn location(text: &str, at: usize) -> String {
        let excerpt = Excerpt::new(text, at..at);
        format!("{}:{}", excerpt.line(), excerpt.column())
    }

    /// What is wrong.
    pub fn kind(&self) -> &ProxyListErrorKind {
        &self.kind
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

impl std::error::Error for ProxyListError {}

impl fmt::Display for ProxyListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "uve_proxy_list error at {}:{}:", self.line(), self.column())?;
        write!(f, "{}{}", self.excerpt, self.kind)
    }
}

/// Every error of a list, in the order of the text. Never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyListErrors(Vec<ProxyListError>);

impl ProxyListErrors {
    /// `Ok` if there are none.
    pub(super) fn check(mut errors: Vec<ProxyListError>) -> Result<(), Self> {
        errors.sort_by_key(|error| error.start);
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The errors.
    pub fn errors(&self) -> &[ProxyListError] {
        &self.0
    }
}

impl std::error::Error for ProxyListErrors {}

/// One after the other, with an empty line between.
impl fmt::Display for ProxyListErrors {
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

impl<'e> IntoIterator for &'e ProxyListErrors {
    type Item = &'e ProxyListError;
    type IntoIter = std::slice::Iter<'e, ProxyListError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
