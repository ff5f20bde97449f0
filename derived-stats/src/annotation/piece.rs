//! Pieces of an annotation's text that know where they stand: spans, names, arguments.
//!
//! Equality of names and arguments is that of their text; where it stands does not matter.

use std::fmt;
use std::ops::Range;

/// A part of the annotation's text, in bytes, end excluded.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte; equal to `start` where something is missing.
    pub end: usize,
}

impl Span {
    /// The span as a range, to cut the text with.
    #[must_use]
    pub fn range(self) -> Range<usize> {
        self.start..self.end
    }

    /// Whether it covers no text, only a place in it.
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

    /// Where it stands.
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

/// The arguments of an algorithm, or a part of them. Equality ignores the span.
///
/// Raw text without control characters; the algorithm gives it meaning.
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

    /// Where it stands; the end of the annotation when there is none.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The text before the first `:` and, if there is a `:`, the text after it, both with their spans.
    ///
    /// ```
    /// use derived_stats::annotation::Annotation;
    ///
    /// let annotation = Annotation::parse("raw:DSAnomaly:EWM:0.1")?;
    /// let (detector, alpha) = annotation.algorithm().arguments().split_first();
    /// assert_eq!(detector.as_str(), "EWM");
    /// assert_eq!(alpha.map(|alpha| alpha.span().range()), Some(18..21));
    /// # Ok::<(), derived_stats::annotation::AnnotationError>(())
    /// ```
    #[must_use]
    pub fn split_first(&self) -> (Self, Option<Self>) {
        let Some((first, rest)) = self.text.split_once(':') else {
            return (self.clone(), None);
        };
        let Span { start, end } = self.span;
        let first_end = start + first.len();
        (
            Self { text: first.into(), span: Span { start, end: first_end } },
            Some(Self { text: rest.into(), span: Span { start: end - rest.len(), end } }),
        )
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
mod tests {
    use super::*;
    use crate::annotation::Annotation;

    #[test]
    fn arguments_split_at_their_first_colon() {
        let cases = [
            ("", "", None),
            ("EWM", "EWM", None),
            ("EWM:", "EWM", Some("")),
            (":0.1", "", Some("0.1")),
            ("é:0.1:x", "é", Some("0.1:x")),
        ];
        for (arguments, first, rest) in cases {
            let annotation = Annotation::parse(&format!("raw:DSAnomaly:{arguments}")).unwrap();
            let cut = |part: &Arguments| annotation.text()[part.span().range()].to_owned();
            let (found, tail) = annotation.algorithm().arguments().split_first();
            assert_eq!(found.as_str(), first, "{arguments}");
            assert_eq!(cut(&found), first, "{arguments}");
            assert_eq!(tail.as_ref().map(Arguments::as_str), rest, "{arguments}");
            assert_eq!(tail.as_ref().map(cut).as_deref(), rest, "{arguments}");
        }
    }
}
