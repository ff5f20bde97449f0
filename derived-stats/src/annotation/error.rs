//! An error that prints the annotation and underlines the mistake.
//!
//! An error holds the kind of the mistake, its span and the text of the annotation:
//!
//! ```text
//! annotation error:
//!     1,DSSum-raw:DSSum
//!     ^^^^^^^
//! the text before the first `-` is the period and must be digits such as `1`, found `1,DSSum`; …
//! ```
//!
//! Because of the first line, the carets stay aligned when a caller prints context before the message. One column is
//! one printed character, after escaping. A span without width (for missing text) gets one caret. Of a long annotation
//! only the text around the mistake is printed.

use alloc::boxed::Box;
use core::fmt;

use super::kind::ErrorKind;
use super::piece::Span;
use crate::excerpt::{Excerpt, floor_char_boundary};

/// The reason why an annotation was refused, with the span of the mistake.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnnotationError {
    kind: Box<ErrorKind>,
    input: Box<str>,
    span: Span,
}

impl AnnotationError {
    /// An error at `span` of `input`. The span is cut to the input and to character boundaries.
    pub(super) fn new(kind: ErrorKind, input: &str, span: Span) -> Self {
        let end = floor_char_boundary(input, span.end);
        let start = floor_char_boundary(input, span.start.min(end));
        Self { kind: Box::new(kind), input: input.into(), span: Span { start, end } }
    }

    /// The kind of the mistake.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The annotation; if it is [too long](ErrorKind::TooLong), as many bytes of it as are allowed.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The span of the mistake, in bytes of [`input`](Self::input), on character boundaries.
    ///
    /// Empty if text is missing.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

impl core::error::Error for AnnotationError {}

impl fmt::Display for AnnotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "annotation error:")?;
        write!(f, "{}", Excerpt::of_one_line(&self.input, self.span.range()))?;
        write!(f, "{}", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn underlined(input: &str, start: usize, end: usize) -> String {
        let error = AnnotationError::new(ErrorKind::Malformed, input, Span { start, end });
        let text = error.to_string();
        let lines: Vec<_> = text.lines().skip(1).take(2).collect();
        format!("{}\n{}", lines[0], lines[1])
    }

    #[test]
    fn carets_are_under_the_span_for_all_widths_of_characters() {
        let cases = [
            ("raw:DSSum", 4, 9, "    raw:DSSum\n        ^^^^^"),
            ("é:ü", 3, 5, "    é:ü\n      ^"),
            ("raw:", 4, 4, "    raw:\n        ^"),
            ("", 0, 0, "    \n    ^"),
            ("a\tb", 1, 2, "    a\\tb\n     ^^"),
            ("a\tb", 2, 3, "    a\\tb\n       ^"),
        ];
        for (input, start, end, expected) in cases {
            assert_eq!(underlined(input, start, end), expected, "{input:?} {start}..{end}");
        }
    }

    #[test]
    fn a_span_that_does_not_fit_is_made_to_fit() {
        let cases = [((0, 99), (0, 5)), ((7, 9), (5, 5)), ((2, 4), (1, 3)), ((4, 1), (1, 1))];
        for ((start, end), (fitting_start, fitting_end)) in cases {
            let error = AnnotationError::new(ErrorKind::Malformed, "aéß", Span { start, end });
            assert_eq!(error.span(), Span { start: fitting_start, end: fitting_end }, "{start}..{end}");
        }
    }

    proptest! {
        #[test]
        fn property_any_span_of_any_text_can_be_shown(input in any::<String>(), start: usize, end: usize) {
            for span in [Span { start, end }, Span { start: start % 50, end: end % 50 }] {
                let error = AnnotationError::new(ErrorKind::Malformed, &input, span);
                prop_assert!(input.get(error.span().range()).is_some());
                prop_assert_eq!(error.to_string().lines().count(), 4);
            }
        }
    }
}
