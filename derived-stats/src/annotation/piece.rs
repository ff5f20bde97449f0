//! The parts of an annotation's text that have a span: names and arguments.
//!
//! Names and arguments are equal if their texts are; equality ignores the span.

use alloc::boxed::Box;
use core::fmt;
use core::ops::Range;

/// A part of the annotation's text, in bytes, end excluded.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte; equal to `start` for missing text.
    pub end: usize,
}

impl Span {
    /// The span as a range, to cut the text with.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether the span contains no text, only a position.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// From the start of this span to the end of the other.
    pub(super) fn to(self, last: Self) -> Self {
        Self { start: self.start, end: last.end }
    }
}

/// A name, `[A-Za-z_][A-Za-z0-9_]*`. Equality ignores the span.
#[derive(Clone, Debug)]
pub struct Ident {
    pub(super) text: Box<str>,
    pub(super) span: Span,
}

impl Ident {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The span of the name.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

impl fmt::Display for Ident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Ident {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Ident {}

/// The arguments of a call, or a part of them. Equality ignores the span.
///
/// Raw text without control characters, which the algorithm parses.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub(super) text: Box<str>,
    pub(super) span: Span,
}

impl Arguments {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The span of the text; if it is empty, a position: the end of the name or of the annotation, or between the
    /// parentheses.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Whether the text is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The parts between `:`, each with its own span; an empty text has none.
    ///
    /// ```
    /// use derived_stats::annotation::Annotation;
    ///
    /// let annotation = Annotation::parse("raw:DSAnomaly:EWM:0.1")?;
    /// let parts: Vec<_> = annotation.algorithm().arguments().parts().collect();
    /// assert_eq!(parts.len(), 2);
    /// assert_eq!(parts[0].as_str(), "EWM");
    /// assert_eq!((parts[1].as_str(), parts[1].span().range()), ("0.1", 18..21));
    /// # Ok::<(), derived_stats::annotation::AnnotationError>(())
    /// ```
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        let mut start = self.span.start;
        self.text.split(':').filter(|_| !self.is_empty()).map(move |text| {
            let span = Span { start, end: start + text.len() };
            start = span.end + 1;
            Self { text: text.into(), span }
        })
    }
}

/// No arguments.
impl Default for Arguments {
    fn default() -> Self {
        Self { text: "".into(), span: Span { start: 0, end: 0 } }
    }
}

impl fmt::Display for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Arguments {}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::*;
    use crate::annotation::Annotation;

    #[test]
    fn arguments_split_into_the_parts_between_colons() {
        let cases: [(&str, &[&str]); 7] = [
            ("", &[]),
            ("EWM", &["EWM"]),
            ("EWM:", &["EWM", ""]),
            (":0.1", &["", "0.1"]),
            (":", &["", ""]),
            ("é:0.1:x", &["é", "0.1", "x"]),
            ("a::b", &["a", "", "b"]),
        ];
        for (arguments, expected) in cases {
            let annotation = Annotation::parse(&format!("raw:DSAnomaly:{arguments}")).unwrap();
            let parts: Vec<_> = annotation.algorithm().arguments().parts().collect();
            let texts: Vec<_> = parts.iter().map(Arguments::as_str).collect();
            let cuts: Vec<_> = parts.iter().map(|part| &annotation.text()[part.span().range()]).collect();
            assert_eq!(texts, expected, "{arguments:?}");
            assert_eq!(cuts, expected, "{arguments:?}");
        }
    }
}
