//! Why a text is not an annotation: the first fault from the left.
//!
//! The grammar answers yes or no and, on no, lists every token that could have come next. What the user
//! needs is which part is wrong and what to write instead, so on no the text is cut at its separators,
//! as a reader would do, and each part is checked for the slips people make. That costs nothing for
//! annotations that are right, and keeps the grammar free of rules for wrong ones. A property test
//! holds the two together: a fault is found here exactly if the grammar does not match.

use super::fault::{NameFault, PeriodFault};
use super::kind::ErrorKind;
use super::piece::Span;

/// A mistake and its place.
pub(super) type Fault = (ErrorKind, Span);

/// Characters written by mistake for the `:` after the attribute.
const MISTAKEN_FOR_COLON: [char; 3] = [';', '=', ' '];
/// The `.` after the period and characters written by mistake for it.
const DOT_OR_LIKE_IT: [char; 6] = ['.', ',', ';', '_', '/', ' '];
/// The algorithms of the fixed menu all start so, which tells them from attributes.
const ALGORITHM_PREFIX: &str = "DS";

/// The first fault, or `None` when the form is right.
pub(super) fn diagnose(text: &str) -> Option<Fault> {
    if text.trim().is_empty() {
        return Some((ErrorKind::Empty, Span { start: 0, end: text.len() }));
    }
    let whole = Part { text, start: 0 };
    let Some((attribute, call)) = whole.split_once(':') else {
        return control_character(whole).or_else(|| Some(missing_algorithm(whole)));
    };
    control_character(whole)
        .or_else(|| pre_with_arguments(attribute, call))
        .or_else(|| attribute_part(attribute))
        .or_else(|| algorithm(call.split_once(':').map_or(call, |(name, _)| name)))
}

/// A piece of the text that knows where it stands.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Part<'a> {
    fn span(self) -> Span {
        Span { start: self.start, end: self.start + self.text.len() }
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.cut(0, at), self.cut(at + separator.len_utf8(), self.text.len())))
    }

    fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let part = Part { text, start };
            start += text.len() + separator.len_utf8();
            part
        })
    }

    /// The bytes from `start` to `end`, which must be character boundaries of this part.
    fn cut(self, start: usize, end: usize) -> Self {
        Self { text: &self.text[start..end], start: self.start + start }
    }

    /// The run of characters like the first one that `is_meant`, as a span.
    fn first_run(self, is_meant: impl Fn(char) -> bool) -> Option<Span> {
        let at = self.text.find(&is_meant)?;
        let rest = &self.text[at..];
        let length = rest.find(|character| !is_meant(character)).unwrap_or(rest.len());
        Some(self.cut(at, at + length).span())
    }
}

fn control_character(text: Part<'_>) -> Option<Fault> {
    let (at, character) = text.text.char_indices().find(|(_, character)| character.is_control())?;
    let span = text.cut(at, at + character.len_utf8()).span();
    Some((ErrorKind::ControlCharacter { character }, span))
}

/// No `:`; points at what was probably meant as one, else at the end.
fn missing_algorithm(text: Part<'_>) -> Fault {
    let end = Span { start: text.text.len(), end: text.text.len() };
    let trimmed = text.text.trim();
    let mistaken = (trimmed.len() == text.text.len())
        .then(|| text.first_run(|character| MISTAKEN_FOR_COLON.contains(&character)))
        .flatten();
    (ErrorKind::MissingAlgorithm, mistaken.unwrap_or(end))
}

/// `1.DSSum:60-raw:…`: the `:` that was to give the pre-aggregation an argument ends the attribute.
fn pre_with_arguments(attribute: Part<'_>, call: Part<'_>) -> Option<Fault> {
    let (every, pre) = attribute.split_once('.')?;
    let (arguments, _) = call.split_once(':').map_or(call, |(first, _)| first).split_once('-')?;
    let is_pre = !pre.text.is_empty() && name_fault(pre).is_none();
    if !(is_digits(every.text) && is_pre) {
        return None;
    }
    let kind = ErrorKind::PreHasArguments { pre: pre.text.to_owned(), arguments: arguments.text.to_owned() };
    let span = Span { start: attribute.span().end, end: arguments.span().end };
    Some((kind, span))
}

/// `[period[.PRE]-]attribute[.component[.subcomponent]]`
fn attribute_part(part: Part<'_>) -> Option<Fault> {
    match part.split_once('-') {
        Some((prefix, path)) => period(prefix).or_else(|| source(path)),
        None => source(part),
    }
}

/// `period[.PRE]`
fn period(prefix: Part<'_>) -> Option<Fault> {
    let (every, pre) = prefix.split_once('.').map_or((prefix, None), |(every, pre)| (every, Some(pre)));
    let fault = match every.text {
        "" => Some(PeriodFault::Missing),
        text if !is_digits(text) => Some(PeriodFault::NotDecimal),
        text if text.parse::<u32>().is_err() => Some(PeriodFault::TooLarge),
        _ => None,
    };
    if let Some(fault) = fault {
        let suggestion = (fault == PeriodFault::NotDecimal).then(|| meant_prefix(prefix.text)).flatten();
        let kind = ErrorKind::BadPeriod { text: every.text.to_owned(), fault, suggestion };
        return Some((kind, every.span()));
    }
    pre.and_then(|pre| pre_aggregation(every, pre))
}

fn pre_aggregation(every: Part<'_>, pre: Part<'_>) -> Option<Fault> {
    if pre.text.is_empty() {
        return Some((ErrorKind::EmptyPre { period: every.text.to_owned() }, pre.span()));
    }
    // The whole text is underlined: in `1.5-` or `1.DSSum.x-` no single character is the mistake.
    let (fault, _) = name_fault(pre)?;
    Some((ErrorKind::BadPre { text: pre.text.to_owned(), fault }, pre.span()))
}

/// The prefix that was probably meant: `1.DSSum-` for `1,DSSum`, `DSSum` or `1DSSum`, `1-` for ` 1`.
fn meant_prefix(text: &str) -> Option<String> {
    let text = text.trim().trim_start_matches('+');
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (every, rest) = text.split_at(digits);
    let pre = rest.trim_start_matches(DOT_OR_LIKE_IT);
    if pre.is_empty() && every.parse::<u32>().is_ok() {
        return Some(format!("{every}-"));
    }
    let is_algorithm =
        pre.get(..ALGORITHM_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(ALGORITHM_PREFIX))
            && name_fault(Part { text: pre, start: 0 }).is_none();
    let every = if every.is_empty() { "1" } else { every };
    (is_algorithm && every.parse::<u32>().is_ok()).then(|| format!("{every}.{pre}-"))
}

/// `attribute[.component[.subcomponent]]`
fn source(path: Part<'_>) -> Option<Fault> {
    for (depth, part) in path.split('.').enumerate() {
        if depth == 3 {
            let kind = ErrorKind::TooManyComponents { found: path.split('.').count() };
            // From the dot on: that is what has to go.
            return Some((kind, Span { start: part.start - 1, end: path.span().end }));
        }
        if part.text.is_empty() {
            let kind = if depth == 0 { ErrorKind::EmptyAttribute } else { ErrorKind::EmptyComponent };
            return Some((kind, part.span()));
        }
        if let Some((fault, span)) = name_fault(part) {
            return Some((ErrorKind::BadAttribute { name: part.text.to_owned(), fault }, span));
        }
    }
    None
}

fn algorithm(name: Part<'_>) -> Option<Fault> {
    if name.text.is_empty() {
        return Some((ErrorKind::EmptyAlgorithm, name.span()));
    }
    let (fault, span) = name_fault(name)?;
    Some((ErrorKind::BadAlgorithm { name: name.text.to_owned(), fault }, span))
}

/// What keeps a text that is not empty from being a name, and where.
fn name_fault(part: Part<'_>) -> Option<(NameFault, Span)> {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if part.text.starts_with(|character: char| character.is_ascii_digit()) {
        return Some((NameFault::LeadingDigit, part.first_run(|digit| digit.is_ascii_digit())?));
    }
    let (at, character) = part.text.char_indices().find(|&(_, character)| !is_legal(character))?;
    if character.is_whitespace() {
        return Some((NameFault::Blank, part.first_run(char::is_whitespace)?));
    }
    let span = part.cut(at, at + character.len_utf8()).span();
    Some((NameFault::IllegalCharacter(character), span))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::annotation::Annotation;

    fn refusal(text: &str) -> String {
        Annotation::parse(text).unwrap_err().to_string()
    }

    fn suggestion(text: &str) -> Option<String> {
        match Annotation::parse(text).unwrap_err().kind() {
            ErrorKind::BadPeriod { suggestion, .. } => suggestion.clone(),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_missing_part_is_asked_for_where_it_belongs() {
        insta::assert_snapshot!(refusal("raw"), @r"
        annotation error:
            raw
               ^
        expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`
        ");
        insta::assert_snapshot!(refusal("raw:"), @r"
        annotation error:
            raw:
                ^
        expected the name of an algorithm after the `:`, such as `DSSum`
        ");
        insta::assert_snapshot!(refusal("raw::EWM:0.1"), @r"
        annotation error:
            raw::EWM:0.1
                ^
        expected the name of an algorithm after the `:`, such as `DSSum`
        ");
        insta::assert_snapshot!(refusal("-1-raw:DSSum"), @r"
        annotation error:
            -1-raw:DSSum
            ^
        expected a period before the first `-`, digits such as `1`; without one, remove the `-`
        ");
        insta::assert_snapshot!(refusal("1.-raw:DSAnomaly:EWM:0.1"), @r"
        annotation error:
            1.-raw:DSAnomaly:EWM:0.1
              ^
        expected the name of a pre-aggregation between `.` and `-`, as in `1.DSSum-`; without one, write `1-`
        ");
    }

    #[test]
    fn a_missing_name_is_asked_for_where_it_belongs() {
        insta::assert_snapshot!(refusal(":DSSum"), @r"
        annotation error:
            :DSSum
            ^
        expected the name of an attribute here, as in `raw:DSSum`
        ");
        insta::assert_snapshot!(refusal("1-:DSSum"), @r"
        annotation error:
            1-:DSSum
              ^
        expected the name of an attribute here, as in `raw:DSSum`
        ");
        insta::assert_snapshot!(refusal(".count:DSSum"), @r"
        annotation error:
            .count:DSSum
            ^
        expected the name of an attribute here, as in `raw:DSSum`
        ");
        insta::assert_snapshot!(refusal("fz.:DSSum"), @r"
        annotation error:
            fz.:DSSum
               ^
        expected the name of a component after the `.`; without one, remove the `.`
        ");
    }

    #[test]
    fn a_wrong_separator_is_pointed_at() {
        insta::assert_snapshot!(refusal("raw;DSSum"), @r"
        annotation error:
            raw;DSSum
               ^
        expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`
        ");
        insta::assert_snapshot!(refusal("1,DSSum-raw:DSAnomaly:EWM:0.1"), @r"
        annotation error:
            1,DSSum-raw:DSAnomaly:EWM:0.1
            ^^^^^^^
        the text before the first `-` is the period and must be digits such as `1`, found `1,DSSum`; did you mean `1.DSSum-`?
        ");
    }

    #[test]
    fn a_blank_is_to_be_removed() {
        insta::assert_snapshot!(refusal(" raw:DSSum"), @r"
        annotation error:
             raw:DSSum
            ^
        ` raw` is not the name of an attribute or component: remove the blank
        ");
        insta::assert_snapshot!(refusal("raw: DSSum"), @r"
        annotation error:
            raw: DSSum
                ^
        ` DSSum` is not the name of an algorithm: remove the blank
        ");
        insta::assert_snapshot!(refusal("raw:DSSum "), @r"
        annotation error:
            raw:DSSum 
                     ^
        `DSSum ` is not the name of an algorithm: remove the blank
        ");
        insta::assert_snapshot!(refusal("5- raw:DSSum"), @r"
        annotation error:
            5- raw:DSSum
              ^
        ` raw` is not the name of an attribute or component: remove the blank
        ");
    }

    #[test]
    fn text_before_the_first_dash_must_be_a_period() {
        insta::assert_snapshot!(refusal("raw-x:DSSum"), @r"
        annotation error:
            raw-x:DSSum
            ^^^
        the text before the first `-` is the period and must be digits such as `1`, found `raw`
        ");
        insta::assert_snapshot!(refusal("fz.count-x:DSSum"), @r"
        annotation error:
            fz.count-x:DSSum
            ^^
        the text before the first `-` is the period and must be digits such as `1`, found `fz`
        ");
        insta::assert_snapshot!(refusal("DSSum-raw:DSAnomaly:EWM:0.1"), @r"
        annotation error:
            DSSum-raw:DSAnomaly:EWM:0.1
            ^^^^^
        the text before the first `-` is the period and must be digits such as `1`, found `DSSum`; did you mean `1.DSSum-`?
        ");
        insta::assert_snapshot!(refusal("1e2-raw:DSSum"), @r"
        annotation error:
            1e2-raw:DSSum
            ^^^
        the text before the first `-` is the period and must be digits such as `1`, found `1e2`
        ");
        insta::assert_snapshot!(refusal(" 1-raw:DSSum"), @r"
        annotation error:
             1-raw:DSSum
            ^^
        the text before the first `-` is the period and must be digits such as `1`, found ` 1`; did you mean `1-`?
        ");
        insta::assert_snapshot!(refusal("4294967296-raw:DSSum"), @r"
        annotation error:
            4294967296-raw:DSSum
            ^^^^^^^^^^
        period `4294967296` is too large; at most 4294967295 is allowed
        ");
    }

    #[test]
    fn a_pre_aggregation_is_one_name_without_arguments() {
        insta::assert_snapshot!(refusal("1.5-raw:DSSum"), @r"
        annotation error:
            1.5-raw:DSSum
              ^
        `5` is not a pre-aggregation: a name starts with a letter or `_`; expected a whole period, `.` and one name, as in `1.DSSum-`
        ");
        insta::assert_snapshot!(refusal("1.DSSum.x-raw:DSAnomaly:EWM:0.1"), @r"
        annotation error:
            1.DSSum.x-raw:DSAnomaly:EWM:0.1
              ^^^^^^^
        `DSSum.x` is not a pre-aggregation: `.` has no place in it, a name is made of letters, digits and `_`; expected a whole period, `.` and one name, as in `1.DSSum-`
        ");
        insta::assert_snapshot!(refusal("1.DSSum:60-raw:DSAnomaly:EWM:0.1"), @r"
        annotation error:
            1.DSSum:60-raw:DSAnomaly:EWM:0.1
                   ^^^
        a pre-aggregation takes no arguments, it covers one period; remove `:60`
        ");
    }

    #[test]
    fn names_are_letters_digits_and_underscores() {
        insta::assert_snapshot!(refusal("1raw:DSSum"), @r"
        annotation error:
            1raw:DSSum
            ^
        `1raw` is not the name of an attribute or component: a name starts with a letter or `_`
        ");
        insta::assert_snapshot!(refusal("räw:DSSum"), @r"
        annotation error:
            räw:DSSum
             ^
        `räw` is not the name of an attribute or component: `ä` has no place in it, a name is made of letters, digits and `_`
        ");
        insta::assert_snapshot!(refusal("1-raw-x:DSSum"), @r"
        annotation error:
            1-raw-x:DSSum
                 ^
        `raw-x` is not the name of an attribute or component: `-` has no place in it, its one use is to end a period
        ");
        insta::assert_snapshot!(refusal("raw:DS/Sum"), @r"
        annotation error:
            raw:DS/Sum
                  ^
        `DS/Sum` is not the name of an algorithm: `/` has no place in it, a name is made of letters, digits and `_`
        ");
    }

    #[test]
    fn a_path_has_at_most_three_names() {
        insta::assert_snapshot!(refusal("fz.inner.value.deep.er:DSSum"), @r"
        annotation error:
            fz.inner.value.deep.er:DSSum
                          ^^^^^^^^
        the path has 5 names where at most three are allowed, `attribute.component.subcomponent`; remove the rest
        ");
    }

    #[test]
    fn control_characters_are_shown_as_escapes() {
        insta::assert_snapshot!(refusal("raw:DSSum\n"), @r"
        annotation error:
            raw:DSSum\n
                     ^^
        the control character `\n` is not allowed; remove it
        ");
    }

    #[test]
    fn nothing_and_blanks_are_empty() {
        for text in ["", " ", "\t\n", "\u{a0}"] {
            let error = Annotation::parse(text).unwrap_err();
            assert_eq!(error.kind(), &ErrorKind::Empty, "{text:?}");
            assert_eq!(error.span().range(), 0..text.len(), "{text:?}");
        }
    }

    #[test]
    fn the_prefix_that_was_meant_is_suggested() {
        let cases = [
            ("1,DSSum-raw:DSSum", Some("1.DSSum-")),
            ("12_DSSum-raw:DSSum", Some("12.DSSum-")),
            ("1 . DSSum-raw:DSSum", Some("1.DSSum-")),
            ("1DSSum-raw:DSSum", Some("1.DSSum-")),
            ("dssum-raw:DSSum", Some("1.dssum-")),
            (" 1.DSSum-raw:DSSum", Some("1.DSSum-")),
            ("+5-raw:DSSum", Some("5-")),
            ("5 -raw:DSSum", Some("5-")),
            ("raw-x:DSSum", None),
            ("1x-raw:DSSum", None),
            ("1,DS Sum-raw:DSSum", None),
            ("99999999999 -raw:DSSum", None),
            ("99999999999,DSSum-raw:DSSum", None),
            ("é-raw:DSSum", None),
            ("0x2-raw:DSSum", None),
        ];
        for (text, expected) in cases {
            assert_eq!(suggestion(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn the_first_fault_from_the_left_is_reported() {
        let cases = [
            ("x-.:", 0..1),
            ("1.-.:", 2..2),
            ("1-.:", 2..2),
            ("1-a..b.c.d:", 4..4),
            ("1-a.b.c.d:", 7..9),
            ("1-a:", 4..4),
            ("1-a: x:y", 4..5),
            ("raw-:DSSum", 0..3),
            ("1.5:60-raw:DSSum", 0..1),
            ("1.:60-raw:DSSum", 0..1),
            ("x.DSSum:60-raw:DSSum", 8..10),
        ];
        for (text, expected) in cases {
            assert_eq!(Annotation::parse(text).unwrap_err().span().range(), expected, "{text}");
        }
    }
}
