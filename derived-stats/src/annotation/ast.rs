//! The parts of an annotation, each with its span in the text.
//!
//! **Equality ignores spans and the original text**: annotations with the same meaning are equal, so `raw:DSSum:`
//! equals `raw:DSSum` and `01-raw:DSSum` equals `1-raw:DSSum`. `Display` prints the canonical form (no leading zeros,
//! no trailing `:`), and parsing that form gives an equal annotation.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "parser")]
use core::str::FromStr;

use super::error::AnnotationError;
use super::kind::ErrorKind;
#[cfg(feature = "parser")]
use super::parse::{self, Limits};
use super::piece::{Arguments, Ident, Span};

/// An annotation of the right form: `[period[.PRE]…-]attribute…:ALGORITHM[:arguments]`.
///
/// Its names and arguments are checked when it is compiled. Equality ignores spans and the text.
#[derive(Clone, Debug)]
pub struct Annotation {
    pub(super) text: Box<str>,
    pub(super) period: Option<Period>,
    pub(super) source: Source,
    pub(super) algorithm: Call,
}

impl Annotation {
    /// Parses an annotation of at most 1024 bytes.
    ///
    /// # Errors
    ///
    /// The first mistake from the left, as one of the kinds in the first half of [`ErrorKind`].
    #[cfg(feature = "parser")]
    pub fn parse(text: &str) -> Result<Self, AnnotationError> {
        Self::parse_with(text, &Limits::default())
    }

    /// Parses an annotation within other limits.
    ///
    /// # Errors
    ///
    /// As [`parse`](Self::parse).
    #[cfg(feature = "parser")]
    pub fn parse_with(text: &str, limits: &Limits) -> Result<Self, AnnotationError> {
        parse::parse(text, limits)
    }

    /// The text as written; every span is a range of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The period; `None` if it is left out, and the default of the struct applies.
    #[must_use]
    pub fn period(&self) -> Option<&Period> {
        self.period.as_ref()
    }

    /// The attribute or component with the samples.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The algorithm that is computed.
    #[must_use]
    pub fn algorithm(&self) -> &Call {
        &self.algorithm
    }

    /// An error in this annotation, for mistakes that are found after parsing.
    ///
    /// A span that does not fit the text is cut.
    ///
    /// ```
    /// use derived_stats::annotation::{Annotation, ErrorKind};
    ///
    /// let annotation = Annotation::parse("raw:DSSum:abc")?;
    /// let arguments = annotation.algorithm().arguments();
    /// let expected = "a range in seconds".to_owned();
    /// let kind = ErrorKind::BadArgument { expected, text: arguments.as_str().to_owned() };
    /// assert_eq!(annotation.error_at(arguments.span(), kind).span().range(), 10..13);
    /// # Ok::<(), derived_stats::annotation::AnnotationError>(())
    /// ```
    #[must_use]
    pub fn error_at(&self, span: Span, kind: ErrorKind) -> AnnotationError {
        AnnotationError::new(kind, &self.text, span)
    }
}

#[cfg(feature = "parser")]
impl FromStr for Annotation {
    type Err = AnnotationError;

    fn from_str(text: &str) -> Result<Self, AnnotationError> {
        Self::parse(text)
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(period) = &self.period {
            write!(f, "{period}-")?;
        }
        write!(f, "{}:{}", self.source, self.algorithm)
    }
}

impl PartialEq for Annotation {
    fn eq(&self, other: &Self) -> bool {
        (&self.period, &self.source, &self.algorithm) == (&other.period, &other.source, &other.algorithm)
    }
}

impl Eq for Annotation {}

/// The prefix `period[.PRE]…`. Equality ignores the span.
#[derive(Clone, Debug)]
pub struct Period {
    pub(super) every: u32,
    pub(super) chain: Vec<Call>,
    pub(super) span: Span,
}

impl Period {
    /// Act at every n-th period of the struct; 0 means at every sample.
    #[must_use]
    pub fn every(&self) -> u32 {
        self.every
    }

    /// The aggregations inside one period, in order: each takes the values of the previous one.
    ///
    /// ```
    /// use derived_stats::annotation::Annotation;
    ///
    /// let annotation = Annotation::parse("1.DSPercentile(99).DSChange-raw:DSAnomaly:EWM:0.1")?;
    /// let [percentile, change] = annotation.period().expect("it has a period").chain() else { unreachable!() };
    /// assert_eq!((percentile.name().as_str(), percentile.arguments().as_str()), ("DSPercentile", "99"));
    /// assert!(change.arguments().is_empty());
    /// # Ok::<(), derived_stats::annotation::AnnotationError>(())
    /// ```
    #[must_use]
    pub fn chain(&self) -> &[Call] {
        &self.chain
    }

    /// The prefix without its `-`.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.every)?;
        self.chain.iter().try_for_each(|Call { name, arguments, .. }| match arguments.as_str() {
            "" => write!(f, ".{name}"),
            arguments => write!(f, ".{name}({arguments})"),
        })
    }
}

impl PartialEq for Period {
    fn eq(&self, other: &Self) -> bool {
        (self.every, &self.chain) == (other.every, &other.chain)
    }
}

impl Eq for Period {}

/// The path `attribute[.component[.subcomponent]]`.
///
/// There is a subcomponent only if there is a component.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    pub(super) attribute: Ident,
    pub(super) component: Option<Ident>,
    pub(super) subcomponent: Option<Ident>,
}

impl Source {
    /// The attribute of the struct.
    #[must_use]
    pub fn attribute(&self) -> &Ident {
        &self.attribute
    }

    /// The component of the attribute.
    #[must_use]
    pub fn component(&self) -> Option<&Ident> {
        self.component.as_ref()
    }

    /// The component of the component.
    #[must_use]
    pub fn subcomponent(&self) -> Option<&Ident> {
        self.subcomponent.as_ref()
    }

    /// The names from the attribute inwards; one to three.
    pub fn names(&self) -> impl Iterator<Item = &Ident> {
        core::iter::once(&self.attribute).chain(&self.component).chain(&self.subcomponent)
    }

    /// The whole path.
    #[must_use]
    pub fn span(&self) -> Span {
        let last = self.subcomponent.as_ref().or(self.component.as_ref());
        self.attribute.span().to(last.unwrap_or(&self.attribute).span())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.attribute)?;
        self.names().skip(1).try_for_each(|name| write!(f, ".{name}"))
    }
}

/// A name and its arguments: the algorithm, `ALGORITHM[:arguments]`, or a link of a chain, `PRE[(arguments)]`.
///
/// `Display` prints the form of the algorithm; [`Period`] prints its links. Equality ignores the span.
#[derive(Clone, Debug)]
pub struct Call {
    pub(super) name: Ident,
    pub(super) arguments: Arguments,
    pub(super) span: Span,
}

impl Call {
    /// The name of the algorithm.
    #[must_use]
    pub fn name(&self) -> &Ident {
        &self.name
    }

    /// The text after the name or between the parentheses; empty if absent.
    #[must_use]
    pub fn arguments(&self) -> &Arguments {
        &self.arguments
    }

    /// Name and arguments, with the parentheses.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.arguments.is_empty() { Ok(()) } else { write!(f, ":{}", self.arguments) }
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.arguments) == (&other.name, &other.arguments)
    }
}

impl Eq for Call {}

#[cfg(test)]
#[cfg(feature = "parser")]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Annotation {
        Annotation::parse(text).unwrap()
    }

    #[test]
    fn equality_compares_names_and_arguments_and_not_their_spans() {
        assert_eq!(parsed("raw:DSSum:"), parsed("raw:DSSum"));
        assert_eq!(parsed("01.DSSum-raw:DSSum"), parsed("1.DSSum-raw:DSSum"));
        assert_eq!(parsed("1.DSSum().DSX(a)-raw:DSSum"), parsed("1.DSSum.DSX(a)-raw:DSSum"));
        let annotation = parsed("1.DSSum-fz.inner.value:DSAnomaly:EWM:0.1");
        let others = [
            "fz.inner.value:DSAnomaly:EWM:0.1",
            "2.DSSum-fz.inner.value:DSAnomaly:EWM:0.1",
            "1-fz.inner.value:DSAnomaly:EWM:0.1",
            "1.DSAvg-fz.inner.value:DSAnomaly:EWM:0.1",
            "1.DSSum(1)-fz.inner.value:DSAnomaly:EWM:0.1",
            "1.DSSum.DSSum-fz.inner.value:DSAnomaly:EWM:0.1",
            "1.DSSum-fy.inner.value:DSAnomaly:EWM:0.1",
            "1.DSSum-fz.value:DSAnomaly:EWM:0.1",
            "1.DSSum-fz.inner.valve:DSAnomaly:EWM:0.1",
            "1.DSSum-fz.inner.value:DSEWM:EWM:0.1",
            "1.DSSum-fz.inner.value:DSAnomaly:EWM:0.10",
        ];
        for other in others {
            assert_ne!(annotation, parsed(other), "{other}");
        }
    }

    #[test]
    fn printing_is_canonical() {
        let cases = [
            ("007.DSSum-a.b.c:DSAnomaly:EWM:0.1", "7.DSSum-a.b.c:DSAnomaly:EWM:0.1"),
            ("0-a:DSSum:", "0-a:DSSum"),
            ("01.X().Y( a:b.c-d )-a:DSSum", "1.X.Y( a:b.c-d )-a:DSSum"),
            ("a:DSSum", "a:DSSum"),
            ("a:Mine: 1", "a:Mine: 1"),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text).to_string(), expected);
        }
    }

    #[test]
    fn later_errors_point_into_the_text_as_written() {
        let annotation = parsed("raw:dssum:");
        let name = annotation.algorithm().name();
        let kind = ErrorKind::UnknownAlgorithm {
            name: name.to_string(),
            nearest: Some("DSSum".to_owned()),
            allowed: Vec::new(),
        };
        insta::assert_snapshot!(annotation.error_at(name.span(), kind), @r"
        annotation error:
            raw:dssum:
                ^^^^^
        unknown algorithm `dssum`; did you mean `DSSum`?
        ");
    }
}
