//! The parser: text to syntax tree. This is the only file that uses pest.
//!
//! The parser makes the tree from a match of the grammar. Without a match, the error comes from the diagnosis, not from
//! pest, whose lists of expected tokens help authors of grammars more than users.

use pest::Parser as _;
use pest::iterators::{Pair, Pairs};

use super::ast::{Annotation, Call, Period, Source};
use super::diagnose::diagnose;
use super::error::AnnotationError;
use super::kind::ErrorKind;
use super::piece::{Arguments, Ident, Span};
use crate::excerpt::floor_char_boundary;
use grammar::{Grammar, Rule};

/// The limits of the parser.
///
/// Start from the default and change single limits:
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
    /// The largest length of an annotation in bytes. Default 1024, twenty times the longest useful one.
    ///
    /// 0 refuses every annotation. Parsing time and the size of errors are proportional to it. Raise it only for a
    /// registered algorithm with long arguments.
    pub max_length: usize,
    /// The largest number of pre-aggregations in the chain of one annotation. Default 4.
    ///
    /// 0 refuses every pre-aggregation. Each one costs memory and time for each object: raise it only for annotations
    /// from a trusted source.
    pub max_chain: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_length: 1024, max_chain: 4 }
    }
}

/// Parses an annotation within `limits`.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<Annotation, AnnotationError> {
    if text.len() > limits.max_length {
        return Err(too_long(text, limits.max_length));
    }
    matched(text, limits.max_chain).ok_or_else(|| {
        let (kind, span) =
            diagnose(text, limits.max_chain).unwrap_or((ErrorKind::Malformed, Span { start: 0, end: text.len() }));
        AnnotationError::new(kind, text, span)
    })
}

/// The error for a text that is too long. It holds only as much text as is allowed, so that the size of errors is
/// bounded too.
fn too_long(text: &str, limit: usize) -> AnnotationError {
    let kept = &text[..floor_char_boundary(text, limit)];
    let end = Span { start: kept.len(), end: kept.len() };
    AnnotationError::new(ErrorKind::TooLong { length: text.len(), limit }, kept, end)
}

/// The generated parser, in a private module, so that `Rule` and the errors of pest are not part of the interface.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "annotation/grammar.pest"]
    pub(super) struct Grammar;
}

/// The tree, if the grammar matches, the period fits its type and the chain is within its limit.
fn matched(text: &str, max_chain: usize) -> Option<Annotation> {
    let mut parts = Grammar::parse(Rule::annotation, text).ok()?.next()?.into_inner().peekable();
    let period = match parts.next_if(|part| part.as_rule() == Rule::period) {
        Some(part) => Some(period(part).filter(|period| period.chain.len() <= max_chain)?),
        None => None,
    };
    let source = source(parts.next()?.into_inner())?;
    let name = ident(&parts.next()?);
    let arguments = parts
        .next_if(|part| part.as_rule() == Rule::arguments)
        .map_or_else(|| no_arguments(text.len()), |part| arguments(&part));
    let span = name.span.to(arguments.span);
    Some(Annotation { text: text.into(), period, source, algorithm: Call { name, arguments, span } })
}

fn period(part: Pair<'_, Rule>) -> Option<Period> {
    let span = span(&part);
    let mut parts = part.into_inner();
    let every = parts.next()?.as_str().parse().ok()?;
    Some(Period { every, chain: parts.map(link).collect::<Option<_>>()?, span })
}

fn link(part: Pair<'_, Rule>) -> Option<Call> {
    let span = span(&part);
    let mut parts = part.into_inner();
    let name = ident(&parts.next()?);
    let arguments = parts.next().map_or_else(|| no_arguments(span.end), |part| arguments(&part));
    Some(Call { name, arguments, span })
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

fn no_arguments(end: usize) -> Arguments {
    Arguments { text: "".into(), span: Span { start: end, end } }
}

fn span(part: &Pair<'_, Rule>) -> Span {
    let span = part.as_span();
    Span { start: span.start(), end: span.end() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `period.pre|attribute.component.subcomponent|algorithm|arguments`, each part as parsed.
    fn parts(text: &str) -> String {
        let annotation = Annotation::parse(text).unwrap();
        let period = annotation.period().map(ToString::to_string).unwrap_or_default();
        let Call { name, arguments, .. } = annotation.algorithm();
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
            ("raw:Mine:(a", "|raw|Mine|(a"),
            ("1.DSPercentile(99)-raw:DSAnomaly:EWM:0.1", "1.DSPercentile(99)|raw|DSAnomaly|EWM:0.1"),
            ("1.DSSum.DSChange-raw:DSAnomaly:EWM:0.1", "1.DSSum.DSChange|raw|DSAnomaly|EWM:0.1"),
            ("1.DSX(a:b).DSSum-raw:DSSum", "1.DSX(a:b).DSSum|raw|DSSum|"),
            ("1.DSSum()-raw:DSSum", "1.DSSum|raw|DSSum|"),
            ("1.X( a-b.c:1,é ).Y()-raw:Mine:f(x)", "1.X( a-b.c:1,é ).Y|raw|Mine|f(x)"),
        ];
        for (text, expected) in cases {
            assert_eq!(parts(text), expected, "{text}");
        }
    }

    #[test]
    fn spans_cut_each_part_out_of_the_text() {
        let text = "12.DSSum.DSX(é:-1).DSY()-fz.inner.value:DSAnomaly:EWM:é";
        let annotation = Annotation::parse(text).unwrap();
        let period = annotation.period().unwrap();
        let (source, call) = (annotation.source(), annotation.algorithm());
        let cases = [
            (period.span(), "12.DSSum.DSX(é:-1).DSY()"),
            (period.chain()[0].span(), "DSSum"),
            (period.chain()[0].name().span(), "DSSum"),
            (period.chain()[1].span(), "DSX(é:-1)"),
            (period.chain()[1].name().span(), "DSX"),
            (period.chain()[1].arguments().span(), "é:-1"),
            (period.chain()[2].span(), "DSY()"),
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
    fn absent_arguments_have_a_span_at_the_end() {
        for text in ["raw:DSSum", "raw:DSSum:"] {
            let annotation = Annotation::parse(text).unwrap();
            let end = Span { start: text.len(), end: text.len() };
            assert_eq!(annotation.algorithm().arguments().span(), end, "{text}");
        }
    }

    #[test]
    fn absent_arguments_of_a_link_have_a_span_after_its_name_or_between_its_parentheses() {
        let annotation = Annotation::parse("1.A.B()-raw:DSSum").unwrap();
        let spans = annotation.period().unwrap().chain().iter().map(|link| link.arguments().span());
        assert_eq!(spans.collect::<Vec<_>>(), [Span { start: 3, end: 3 }, Span { start: 6, end: 6 }]);
    }

    #[test]
    fn the_chain_limit_counts_links() {
        let text = "1.A.B(x.y)-raw:DSSum";
        for max_chain in 0..4 {
            let limits = Limits { max_chain, ..Limits::default() };
            let parsed = Annotation::parse_with(text, &limits);
            assert_eq!(parsed.is_ok(), max_chain >= 2, "{max_chain}");
            let surplus = [1..10, 3..10];
            if let Err(error) = parsed {
                assert_eq!(error.kind(), &ErrorKind::ChainTooLong { found: 2, limit: max_chain });
                assert_eq!(error.span().range(), surplus[max_chain], "{max_chain}");
            }
        }
        assert!(Annotation::parse("1.A.B.C.D-raw:DSSum").is_ok());
        assert!(Annotation::parse("1.A.B.C.D.E-raw:DSSum").is_err());
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let limits = Limits { max_length: 1_000_000, max_chain: 100_000 };
        let text = format!("1{}-raw:DSSum", ".A(1)".repeat(100_000));
        let annotation = Annotation::parse_with(&text, &limits).unwrap();
        assert_eq!(annotation.period().unwrap().chain().len(), 100_000);
        let open = format!("1{}-raw:DSSum", ".A(".repeat(100_000));
        assert_eq!(Annotation::parse_with(&open, &limits).unwrap_err().span().range(), 6..7);
        let surplus = Limits { max_chain: 99_999, ..limits };
        assert_eq!(Annotation::parse_with(&text, &surplus).unwrap_err().span().range(), 499_996..500_001);
    }

    #[test]
    fn the_length_limit_counts_bytes_and_bounds_the_error() {
        let limits = Limits { max_length: 11, ..Limits::default() };
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

    fn any_ident() -> impl Strategy<Value = Ident> {
        "[A-Za-z_][A-Za-z0-9_]{0,12}".prop_map(|text| Ident::new(&text).unwrap())
    }

    fn any_call(arguments: &'static str) -> impl Strategy<Value = Call> {
        (any_ident(), arguments).prop_map(|(name, text)| Call::new(name, Arguments::new(&text).unwrap()))
    }

    fn any_annotation() -> impl Strategy<Value = Annotation> {
        let links = proptest::collection::vec(any_call("[:\\-. a-z0-9éß]{0,8}|[^\\p{C}()]{0,8}"), 0..=4);
        let period = (any::<u32>(), links).prop_map(|(every, chain)| Period::new(every, chain).unwrap());
        let source = proptest::collection::vec(any_ident(), 1..=3).prop_map(|names| Source::new(names).unwrap());
        let call = any_call("[:\\-.() a-z0-9éß\u{301}]{0,20}|\\PC{0,20}");
        (proptest::option::of(period), source, call)
            .prop_map(|(period, source, algorithm)| Annotation::new(period, source, algorithm))
    }

    /// Text that is nearly an annotation, so that every branch of the parser is met.
    fn almost_an_annotation() -> impl Strategy<Value = String> {
        "([0-9]{0,11}|DSSum|[ +]1|1[,_. ]DSSum)(\\.|\\.DSSum|\\.5|\\.[a-z]{0,2}\\(?[a-z:.\\-()]{0,4}\\)?){0,6}-?[a-zé .\\-1]{0,6}(\\.[a-z]{0,2}){0,4}:?[ A-Za-z0-9]{0,6}(:[0-9:.\\- \n\u{85}]{0,5})?"
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

    /// Every text of up to `length` characters out of those that mean something to the grammar.
    fn short_texts(length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        let mut from = 0;
        for _ in 0..length {
            let longer = |text: &String| ["1", "a", ".", "-", ":", " ", "(", ")"].map(|next| format!("{text}{next}"));
            let next: Vec<_> = all[from..].iter().flat_map(longer).collect();
            from = all.len();
            all.extend(next);
        }
        all
    }

    #[test]
    fn grammar_and_diagnosis_agree_on_every_short_text() {
        let texts = short_texts(6);
        assert_eq!(texts.len(), 299_593);
        for text in texts {
            assert_eq!(matched(&text, 1).is_none(), diagnose(&text, 1).is_some(), "{text:?}");
        }
    }

    /// The texts above are too short for a chain in a whole annotation.
    #[test]
    fn grammar_and_diagnosis_agree_on_every_short_chain() {
        let mut accepted = 0;
        for text in short_texts(5) {
            for text in [format!("1.a{text}-a:a"), format!("1.a(1{text}a:a:1)")] {
                let tree = matched(&text, 2);
                assert_eq!(tree.is_none(), diagnose(&text, 2).is_some(), "{text:?}");
                accepted += usize::from(tree.is_some());
            }
        }
        assert!(accepted > 500, "only {accepted} of the texts have the right form");
    }

    proptest! {
        #[test]
        fn property_printing_then_parsing_gives_the_same_annotation(annotation in any_annotation()) {
            prop_assert_eq!(Annotation::parse(&annotation.to_string()), Ok(annotation));
        }

        /// `Debug` shows text and spans, which equality ignores.
        #[test]
        fn property_a_built_annotation_is_its_text_parsed_spans_included(annotation in any_annotation()) {
            prop_assert_eq!(annotation.text(), annotation.to_string());
            let parsed = Annotation::parse(annotation.text()).unwrap();
            prop_assert_eq!(format!("{annotation:?}"), format!("{parsed:?}"));
        }

        #[test]
        fn property_any_text_parses_or_gives_an_error_whose_span_is_inside_it(
            text in any::<String>(),
            almost in almost_an_annotation(),
        ) {
            parses_or_explains(&text)?;
            parses_or_explains(&almost)?;
        }

        #[test]
        fn property_a_mistake_is_diagnosed_exactly_if_the_grammar_does_not_match(
            text in any::<String>(),
            almost in almost_an_annotation(),
        ) {
            for text in [text, almost] {
                prop_assert_eq!(matched(&text, 2).is_none(), diagnose(&text, 2).is_some(), "{:?}", text);
            }
        }
    }
}
