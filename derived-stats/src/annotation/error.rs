//! An error that shows the annotation and underlines the fault.
//!
//! The kind says what is wrong, the span says where, and the text is kept so that the two can be shown
//! together long after the annotation was read:
//!
//! ```text
//! annotation error:
//!     1,DSSum-raw:DSSum
//!     ^^^^^^^
//! the text before the first `-` is the period and must be digits such as `1`, found `1,DSSum`; …
//! ```
//!
//! The first line keeps the columns right when a caller puts context in front of the message. One
//! column is one character shown, after escaping; a fault without width (something is missing) gets
//! one caret where the missing text belongs. Of a long annotation only the surroundings are shown.

use alloc::boxed::Box;
use core::fmt;

use super::kind::ErrorKind;
use super::piece::Span;
use crate::excerpt::{Excerpt, floor_char_boundary};

/// Why an annotation was refused, and where in it the fault lies.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AnnotationError {
    kind: Box<ErrorKind>,
    input: Box<str>,
    span: Span,
}

impl AnnotationError {
    /// An error at `span` of `input`; a span that sticks out or cuts a character is made to fit.
    pub(super) fn new(kind: ErrorKind, input: &str, span: Span) -> Self {
        let end = floor_char_boundary(input, span.end);
        let start = floor_char_boundary(input, span.start.min(end));
        Self { kind: Box::new(kind), input: input.into(), span: Span { start, end } }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// The annotation; of one that is [too long](ErrorKind::TooLong), as much as is allowed.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// Where the fault lies, in bytes of [`input`](Self::input), on character boundaries.
    ///
    /// Empty where something is missing.
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
    fn carets_stand_under_the_span_whatever_the_width_of_the_characters() {
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
