//! Text to syntax tree: the only file that knows pest.
//!
//! A match of the grammar is turned into the tree. When there is none, the error comes from the
//! diagnosis, not from pest, whose lists of expected tokens help authors of grammars more than users.

use pest::Parser as _;
use pest::iterators::{Pair, Pairs};

use super::ast::{Annotation, Call, Period, Source};
use super::diagnose::diagnose;
use super::error::{AnnotationError, floor_char_boundary};
use super::kind::ErrorKind;
use super::piece::{Arguments, Ident, Span};
use grammar::{Grammar, Rule};

/// What the parser accepts at most.
///
/// Start from the default and change what must differ:
///
/// ```
/// use derived_stats::annotation::{Annotation, Limits};
///
/// let mut limits = Limits::default();
/// limits.max_length = 8;
/// assert!(Annotation::parse_with("raw:DSAvg", &limits).is_err());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Most bytes of one annotation. Default 1024, which is twenty times the longest sensible one.
    ///
    /// 0 refuses everything. Parsing time and the size of errors grow in proportion. Raise it only
    /// for an algorithm of your own that takes long arguments.
    pub max_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_length: 1024 }
    }
}

/// See [`Annotation::parse_with`].
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Annotation, AnnotationError> {
    if text.len() > limits.max_length {
        return Err(too_long(text, limits.max_length));
    }
    matched(text).ok_or_else(|| {
        let (kind, span) = diagnose(text).unwrap_or((ErrorKind::Malformed, Span { start: 0, end: text.len() }));
        AnnotationError::new(kind, text, span)
    })
}

/// Keeps no more of the text than is allowed, so that errors are bounded too.
fn too_long(text: &str, limit: usize) -> AnnotationError {
    let kept = &text[..floor_char_boundary(text, limit)];
    let end = Span { start: kept.len(), end: kept.len() };
    AnnotationError::new(ErrorKind::TooLong { length: text.len(), limit }, kept, end)
}

/// The private parser, so that neither `Rule` nor pest's errors reach the interface.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "annotation/grammar.pest"]
    pub(super) struct Grammar;
}

/// The tree, if the grammar matches and the period fits its type.
fn matched(text: &str) -> Option<Annotation> {
    let mut parts = Grammar::parse(Rule::annotation, text).ok()?.next()?.into_inner().peekable();
    let period = match parts.next_if(|part| part.as_rule() == Rule::period) {
        Some(part) => Some(period(part)?),
        None => None,
    };
    let source = source(parts.next()?.into_inner())?;
    let name = ident(&parts.next()?);
    let arguments = parts
        .next_if(|part| part.as_rule() == Rule::arguments)
        .map_or_else(|| no_arguments(text), |part| arguments(&part));
    Some(Annotation { text: text.into(), period, source, algorithm: Call { name, arguments } })
}

fn period(part: Pair<'_, Rule>) -> Option<Period> {
    let span = span(&part);
    let mut parts = part.into_inner();
    let every = parts.next()?.as_str().parse().ok()?;
    Some(Period { every, pre: parts.next().map(|part| ident(&part)), span })
}

fn source(parts: Pairs<'_, Rule>) -> Option<Source> {
    let mut names = parts.map(|part| ident(&part));
    Some(Source { attribute: names.next()?, component: names.next(), subcomponent: names.next() })
}

fn ident(part: &Pair<'_, Rule>) -> Ident {
    Ident { text: part.as_str().into(), span: span(part) }
}

fn arguments(part: &Pair<'_, Rule>) -> Arguments {
    Arguments { text: part.as_str().into(), span: span(part) }
}

fn no_arguments(text: &str) -> Arguments {
    Arguments { text: "".into(), span: Span { start: text.len(), end: text.len() } }
}

fn span(part: &Pair<'_, Rule>) -> Span {
    let span = part.as_span();
    Span { start: span.start(), end: span.end() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `period.pre|attribute.component.subcomponent|algorithm|arguments`, each part as it was read.
    fn parts(text: &str) -> String {
        let annotation = Annotation::parse(text).unwrap();
        let period = annotation.period().map(ToString::to_string).unwrap_or_default();
        let Call { name, arguments } = annotation.algorithm();
        format!("{period}|{}|{name}|{arguments}", annotation.source())
    }

    #[test]
    fn every_part_is_found_and_the_optional_ones_may_be_left_out() {
        let cases = [
            ("raw:DSSum", "|raw|DSSum|"),
            ("raw:DSSum:", "|raw|DSSum|"),
            ("raw:DSSum:3600", "|raw|DSSum|3600"),
            ("raw:DSSum::", "|raw|DSSum|:"),
            ("1-raw:DSSum", "1|raw|DSSum|"),
            ("0-raw:DSSum", "0|raw|DSSum|"),
            ("007-raw:DSSum", "7|raw|DSSum|"),
            ("4294967295-raw:DSSum", "4294967295|raw|DSSum|"),
            ("2.DSSum-fz.inner.value:DSAnomaly:EWM:0.2", "2.DSSum|fz.inner.value|DSAnomaly|EWM:0.2"),
            ("fz.count:DSNon0", "|fz.count|DSNon0|"),
            ("_a1.B_2:Z_9", "|_a1.B_2|Z_9|"),
            ("raw:Mine: a-b.c:1,é", "|raw|Mine| a-b.c:1,é"),
        ];
        for (text, expected) in cases {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn spans_cut_each_part_out_of_the_text() {
        let text = "12.DSSum-fz.inner.value:DSAnomaly:EWM:é";
        let annotation = Annotation::parse(text).unwrap();
        let period = annotation.period().unwrap();
        let (source, call) = (annotation.source(), annotation.algorithm());
        let cases = [
            (period.span(), "12.DSSum"),
            (period.pre().unwrap().span(), "DSSum"),
            (source.span(), "fz.inner.value"),
            (source.attribute().span(), "fz"),
            (source.component().unwrap().span(), "inner"),
            (source.subcomponent().unwrap().span(), "value"),
            (call.span(), "DSAnomaly:EWM:é"),
            (call.name().span(), "DSAnomaly"),
            (call.arguments().span(), "EWM:é"),
        ];
        for (span, expected) in cases {
            assert_eq!(&text[span.range()], expected);
        }
        assert_eq!(annotation.text(), text);
    }

    #[test]
    fn absent_arguments_stand_at_the_end() {
        for text in ["raw:DSSum", "raw:DSSum:"] {
            let annotation = Annotation::parse(text).unwrap();
            let end = Span { start: text.len(), end: text.len() };
            assert_eq!(annotation.algorithm().arguments().span(), end, "{text}");
        }
    }

    #[test]
    fn the_length_limit_counts_bytes_and_bounds_the_error() {
        let limits = Limits { max_length: 11 };
        assert!(Annotation::parse_with("raw:Mine:é", &limits).is_ok());
        let error = Annotation::parse_with("raw:Mine:éé", &limits).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::TooLong { length: 13, limit: 11 });
        assert_eq!(error.input(), "raw:Mine:é");
        let error = Annotation::parse_with("raw:Mine:aéé", &limits).unwrap_err();
        assert_eq!(error.input(), "raw:Mine:a", "a character is not cut in two");
        assert_eq!(error.span(), Span { start: 10, end: 10 });
    }

    #[test]
    fn the_default_limit_is_1024_bytes() {
        let longest = format!("{}:DSSum", "a".repeat(1018));
        assert!(Annotation::parse(&longest).is_ok());
        assert!(Annotation::parse(&format!("a{longest}")).is_err());
    }

    fn here(text: String) -> Ident {
        Ident { text: text.into(), span: Span { start: 0, end: 0 } }
    }

    fn any_ident() -> impl Strategy<Value = Ident> {
        "[A-Za-z_][A-Za-z0-9_]{0,12}".prop_map(here)
    }

    fn any_annotation() -> impl Strategy<Value = Annotation> {
        let nowhere = Span { start: 0, end: 0 };
        let period = (any::<u32>(), proptest::option::of(any_ident())).prop_map(move |(every, pre)| Period {
            every,
            pre,
            span: nowhere,
        });
        let components = proptest::option::of((any_ident(), proptest::option::of(any_ident())));
        let source = (any_ident(), components).prop_map(|(attribute, components)| {
            let (component, subcomponent) = components.unzip();
            Source { attribute, component, subcomponent: subcomponent.flatten() }
        });
        let call = (any_ident(), "[:\\-. a-z0-9éß\u{301}]{0,20}|\\PC{0,20}")
            .prop_map(move |(name, text)| Call { name, arguments: Arguments { text: text.into(), span: nowhere } });
        (proptest::option::of(period), source, call).prop_map(|(period, source, algorithm)| Annotation {
            text: "".into(),
            period,
            source,
            algorithm,
        })
    }

    /// Text that is nearly an annotation, so that every branch of the parser is met.
    fn almost_an_annotation() -> impl Strategy<Value = String> {
        "([0-9]{0,11}|DSSum|[ +]1|1[,_. ]DSSum)(\\.|\\.DSSum|\\.5)?-?[a-zé .\\-1]{0,6}(\\.[a-z]{0,2}){0,4}:?[ A-Za-z0-9]{0,6}(:[0-9:.\\- \n\u{85}]{0,5})?"
    }

    fn parses_or_explains(text: &str) -> Result<(), TestCaseError> {
        match Annotation::parse(text) {
            Ok(annotation) => {
                prop_assert_eq!(Annotation::parse(&annotation.to_string()), Ok(annotation));
            }
            Err(error) => {
                prop_assert_ne!(error.kind(), &ErrorKind::Malformed);
                prop_assert!(error.input().get(error.span().range()).is_some());
                prop_assert!(text.starts_with(error.input()));
                prop_assert_eq!(error.to_string().lines().count(), 4);
            }
        }
        Ok(())
    }

    /// Every text of up to six characters out of those that mean something to the grammar.
    #[test]
    fn grammar_and_diagnosis_agree_on_every_short_text() {
        let mut texts = vec![String::new()];
        for length in 0..=6 {
            for text in &texts {
                assert_eq!(matched(text).is_none(), diagnose(text).is_some(), "{text:?}");
            }
            if length < 6 {
                let longer = |text: &String| ["1", "a", ".", "-", ":", " "].map(|next| format!("{text}{next}"));
                texts = texts.iter().flat_map(longer).collect();
            }
        }
        assert_eq!(texts.len(), 46_656);
    }

    proptest! {
        #[test]
        fn property_printing_then_parsing_gives_the_same_annotation(annotation in any_annotation()) {
            prop_assert_eq!(Annotation::parse(&annotation.to_string()), Ok(annotation));
        }

        #[test]
        fn property_any_text_parses_or_gives_an_error_whose_span_lies_inside_it(
            text in any::<String>(),
            almost in almost_an_annotation(),
        ) {
            parses_or_explains(&text)?;
            parses_or_explains(&almost)?;
        }

        #[test]
        fn property_a_fault_is_diagnosed_exactly_if_the_grammar_does_not_match(
            text in any::<String>(),
            almost in almost_an_annotation(),
        ) {
            for text in [text, almost] {
                prop_assert_eq!(matched(&text).is_none(), diagnose(&text).is_some(), "{:?}", text);
            }
        }
    }
}
