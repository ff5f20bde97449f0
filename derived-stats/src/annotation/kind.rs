//! The mistakes in annotations: one variant for each mistake that a user can make.
//!
//! `Display` prints the sentence under the carets; it contains the expected text or the remedy.

use alloc::string::String;
use alloc::vec::Vec;

use thiserror::Error;

use super::fault::{NameFault, ParenthesesFault, PeriodFault};
use super::sentence::{
    FORM, at_most, found, in_parentheses, missing_argument, nearest_or_known, nearest_or_taken, not_a_pre,
    unknown_detector, unknown_pre,
};
use crate::excerpt::{did_you_mean, quoted};

/// The mistake in an annotation, with its data.
///
/// The variants have the order of the parts of an annotation: first the mistakes that the parser finds, then those that
/// compiling finds.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing, or only blanks.
    #[error("the annotation is empty; expected {}", FORM)]
    Empty,
    /// More text than `Limits::max_length`.
    #[error("the annotation has {length} bytes where at most {limit} are allowed; shorten it")]
    TooLong {
        /// Length of the text in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A control character anywhere, such as the line break at the end of a line from a file.
    #[error("the control character `{}` is not allowed; remove it", character.escape_default())]
    ControlCharacter {
        /// The first one found.
        character: char,
    },
    /// The text before the first `-` is not a period.
    #[error("{}{}", fault.sentence(text), did_you_mean(suggestion.as_deref()))]
    BadPeriod {
        /// The text at the position of the period.
        text: String,
        /// The mistake in it.
        fault: PeriodFault,
        /// The prefix that was probably meant, such as `1.DSSum-`.
        suggestion: Option<String>,
    },
    /// A `.` after the period and nothing before the `-`: `1.-raw:DSSum`.
    #[error(
        "expected the name of a pre-aggregation between `.` and `-`, as in `{period}.DSSum-`; \
         without one, write `{period}-`"
    )]
    EmptyPre {
        /// The period as written.
        period: String,
    },
    /// No name at the position of a link of a chain: `1.DSSum.-raw:…`, `1.(60)-raw:…`.
    #[error("expected the name of a pre-aggregation after the `.`, as in `1.DSSum.DSChange-`")]
    EmptyLink,
    /// A text after the period's `.` that is not a name: `1.5-raw:DSSum`.
    #[error("{}", not_a_pre(text, *fault))]
    BadPre {
        /// The text at the position of the name.
        text: String,
        /// The mistake in it.
        fault: NameFault,
    },
    /// Wrong parentheses after the name of a pre-aggregation: `1.DSX(60-raw:…`.
    #[error("{}", fault.sentence(link, text))]
    BadParentheses {
        /// Name of the pre-aggregation.
        link: String,
        /// The text that the error points at.
        text: String,
        /// The mistake in them.
        fault: ParenthesesFault,
    },
    /// Arguments of a pre-aggregation after a `:`: `1.DSSum:60-raw:…`.
    #[error("the arguments of a pre-aggregation belong in parentheses; write {}", in_parentheses(prefix, arguments))]
    PreHasArguments {
        /// The text before the `:`, such as `1.DSSum`.
        prefix: String,
        /// The text between the `:` and the `-`.
        arguments: String,
    },
    /// More pre-aggregations than `Limits::max_chain`, or than the algorithm takes.
    #[error("the chain has {found} pre-aggregations and the limit is {limit}; remove the rest")]
    ChainTooLong {
        /// Number of pre-aggregations in the chain.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// No attribute: `:DSSum`, `1-:DSSum`, `.count:DSSum`.
    #[error("expected the name of an attribute here, as in `raw:DSSum`")]
    EmptyAttribute,
    /// An attribute, component or subcomponent that is not a name.
    #[error("{} is not the name of an attribute or component: {fault}", quoted(name))]
    BadAttribute {
        /// The text at the position of the name.
        name: String,
        /// The mistake in it.
        fault: NameFault,
    },
    /// A `.` with no component after it: `fz.:DSSum`.
    #[error("expected the name of a component after the `.`; without one, remove the `.`")]
    EmptyComponent,
    /// More than attribute, component and subcomponent.
    #[error(
        "the path has {found} names where at most three are allowed, \
         `attribute.component.subcomponent`; remove the rest"
    )]
    TooManyComponents {
        /// Number of names in the path.
        found: usize,
    },
    /// No `:`, and therefore no algorithm.
    #[error("expected `:` and the name of an algorithm after the attribute, as in `raw:DSSum`")]
    MissingAlgorithm,
    /// Nothing between the first `:` and the second, or the end.
    #[error("expected the name of an algorithm after the `:`, such as `DSSum`")]
    EmptyAlgorithm,
    /// An algorithm that is not a name, such as one with a blank before it.
    #[error("{} is not the name of an algorithm: {fault}", quoted(name))]
    BadAlgorithm {
        /// The text at the position of the name.
        name: String,
        /// The mistake in it.
        fault: NameFault,
    },
    /// The text does not follow the grammar in a way that no other kind describes.
    ///
    /// It exists so that a later change of the grammar cannot cause a panic.
    #[error("expected {}", FORM)]
    Malformed,
    /// No algorithm has this name.
    #[error("unknown algorithm {}{}", quoted(name), nearest_or_known(nearest.as_deref(), allowed))]
    UnknownAlgorithm {
        /// The name as written.
        name: String,
        /// The most similar known name.
        nearest: Option<String>,
        /// Every name that fits here; listed if none resembles it.
        allowed: Vec<String>,
    },
    /// No algorithm of this name can aggregate inside a period.
    #[error("{}", unknown_pre(name, nearest.as_deref(), allowed))]
    UnknownPre {
        /// The name as written.
        name: String,
        /// The most similar allowed name.
        nearest: Option<String>,
        /// Every name that is allowed.
        allowed: Vec<String>,
    },
    /// A pre-aggregation with period 0: there is no period to aggregate.
    #[error(
        "period 0 acts on every sample, so there is nothing for {} to aggregate; \
         write `1.{pre}-`, or `0-` to act on every sample",
        quoted(pre)
    )]
    PreNeedsPeriod {
        /// Name of the pre-aggregation.
        pre: String,
    },
    /// A pre-aggregation in front of an algorithm that is not a detector.
    #[error(
        "a pre-aggregation feeds only a detector (`DSAnomaly`), not {}; \
         remove the text between the period and the `-`",
        quoted(algorithm)
    )]
    ChainWithoutDetector {
        /// The algorithm as written.
        algorithm: String,
    },
    /// A link that is followed by another link or a detector, and whose result is not a single value.
    #[error("{} gives no single value, so nothing can follow it in a chain; name one that does", quoted(algorithm))]
    NoValue {
        /// The algorithm as written.
        algorithm: String,
    },
    /// DSAnomaly with periods, but without a pre-aggregation that makes one value of each period.
    #[error(
        "DSAnomaly scores one value per period and needs a pre-aggregation to make it; \
         write `{period}.DSSum-` before the attribute"
    )]
    NeedsPre {
        /// The period, which the remedy repeats.
        period: u32,
    },
    /// An algorithm that supports inline pipelines only, in a struct with periods.
    #[error("{} cannot be periodic; write `0-` before the attribute to compute it at every sample", quoted(algorithm))]
    NotPeriodic {
        /// The algorithm as written.
        algorithm: String,
    },
    /// An algorithm that needs a period, without one.
    #[error("{} needs a period; write `1-` before the attribute", quoted(algorithm))]
    NotInline {
        /// The algorithm as written.
        algorithm: String,
    },
    /// A period in a struct that has none.
    #[error(
        "the struct has no period, so period {period} has no meaning; remove the text up to `-`, \
         or give the struct a period"
    )]
    PeriodInPlainStruct {
        /// The period as written.
        period: u32,
    },
    /// The struct has no attribute or component of this name.
    #[error("unknown attribute {}{}", quoted(name), did_you_mean(nearest.as_deref()))]
    UnknownAttribute {
        /// The name as written.
        name: String,
        /// The most similar existing name.
        nearest: Option<String>,
    },
    /// The attribute is a struct; the annotation must contain the name of a number inside it.
    #[error("{} is a struct; name one of its numeric components, as in `{name}.count`", quoted(name))]
    NeedsComponent {
        /// The name as written.
        name: String,
    },
    /// The attribute is a text or has another type that is not numeric.
    #[error("{} is not numeric; name an attribute or component that is", quoted(name))]
    NotNumeric {
        /// The name as written.
        name: String,
    },
    /// The attribute is itself a computed result, which is not sampled.
    #[error("{} is itself a computed result; name an attribute that is sampled", quoted(name))]
    SelfReference {
        /// The name as written.
        name: String,
    },
    /// More arguments than the algorithm takes.
    #[error("{} takes {}; remove {}", quoted(algorithm), at_most(takes), quoted(surplus))]
    UnexpectedArguments {
        /// The algorithm as written.
        algorithm: String,
        /// Names of the arguments that it takes.
        takes: Vec<String>,
        /// The text to remove: the surplus arguments with the `:` before them, or with their parentheses.
        surplus: String,
    },
    /// No arguments for an algorithm that needs some.
    #[error("{}", missing_argument(algorithm, argument, expected, example))]
    MissingArguments {
        /// The algorithm as written.
        algorithm: String,
        /// Name of the first argument that is missing.
        argument: String,
        /// What the argument must be, with its range.
        expected: String,
        /// A complete call in the form of its position, such as `DSEWM:0.1` or, in a chain, `DSX(5)`.
        example: String,
    },
    /// An argument that is not what its position requires, such as an alpha of `2`.
    #[error("expected {expected}, found {}", found(text))]
    BadArgument {
        /// What the argument must be, with its range.
        expected: String,
        /// The argument as written.
        text: String,
    },
    /// A name before a `=` that no argument has: `DSAnomaly:Seasonal:alarm=1`.
    #[error("{} has no argument {}{}", quoted(algorithm), quoted(name), nearest_or_taken(nearest.as_deref(), takes))]
    UnknownArgument {
        /// The algorithm as written.
        algorithm: String,
        /// The name as written.
        name: String,
        /// The most similar name of an argument.
        nearest: Option<String>,
        /// Names of the arguments that it takes.
        takes: Vec<String>,
    },
    /// An argument without the name that it needs: `DSAnomaly:Seasonal:1`.
    #[error("{} lacks the name of its argument; write for example {}", quoted(text), quoted(example))]
    UnnamedArgument {
        /// The argument as written.
        text: String,
        /// The argument with a name, such as `alarms=1`.
        example: String,
    },
    /// The same name twice.
    #[error("the argument {} is written twice; remove one of them", quoted(name))]
    RepeatedArgument {
        /// The name of the argument.
        name: String,
    },
    /// A detector that does not exist.
    #[error("{}", unknown_detector(name, nearest.as_deref(), allowed, example))]
    UnknownDetector {
        /// The name as written.
        name: String,
        /// The most similar allowed name.
        nearest: Option<String>,
        /// Every name that is allowed.
        allowed: Vec<String>,
        /// A complete call, such as `DSAnomaly:EWM:0.1`.
        example: String,
    },
    /// A sliding window that is longer than the period of the struct: it is reset every period and never fills.
    #[error(
        "a window of {range} s never fills, because every period of {period} s starts a new one; \
         use at most {period}, or write `0-` before the attribute to slide over all samples"
    )]
    RangeOverPeriod {
        /// The window in seconds.
        range: u64,
        /// The struct's period in seconds.
        period: u64,
    },
    /// An algorithm that makes the differences of a counter's readings, for a metric whose samples are differences.
    #[error(
        "{algorithm} takes readings, but with `metric=\"{metric}\"` the samples are increases already; \
         write `DSSum` for their sum, or remove `metric=\"{metric}\"`"
    )]
    ReadingsOfDifferences {
        /// The algorithm.
        algorithm: String,
        /// The kind of the metric: `agg` or `diff`.
        metric: &'static str,
    },
    /// A detector that cannot raise as many alarms as it is to.
    #[error(
        "{alarms} alarms a week cannot be reached: a period of {period} s gives too few values a week; write \
         `alarms={most}` or less, or shorten the period"
    )]
    AlarmsOverPeriods {
        /// The number of alarms a week.
        alarms: String,
        /// The time between two values in seconds.
        period: u64,
        /// The largest number of alarms a week.
        most: String,
    },
    /// A detector that needs more values in its season than the period gives.
    #[error(
        "{} with these arguments takes a value every {longest} s at least, and a period of {period} s gives \
         fewer; lengthen its season or span, or shorten the period",
        quoted(detector)
    )]
    PeriodTooLong {
        /// Name of the detector.
        detector: String,
        /// The time between two values in seconds.
        period: u64,
        /// The longest time between two values in seconds.
        longest: u64,
    },
    /// An error of an algorithm that the embedding program registered.
    #[error("{message}")]
    Custom {
        /// One lower-case sentence that names the remedy.
        message: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: &str = "alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`";
    const RANGE: &str = "a range in whole seconds, 0 (no range) to 4294967295";

    fn owned(text: &str) -> String {
        text.to_owned()
    }

    fn sentences(kinds: impl IntoIterator<Item = ErrorKind>) -> String {
        kinds.into_iter().map(|kind| format!("{kind}\n")).collect()
    }

    #[test]
    fn unknown_names_are_quoted_with_the_nearest_known_one() {
        let nearest = Some(owned("DSSum"));
        let allowed = ["DSSum", "DSAvg", "DSNone"].map(owned).to_vec();
        insta::assert_snapshot!(sentences([
            ErrorKind::UnknownAlgorithm { name: owned("dssum"), nearest: nearest.clone(), allowed: vec![] },
            ErrorKind::UnknownAlgorithm { name: owned("xyz"), nearest: None, allowed: allowed.clone() },
            ErrorKind::UnknownPre { name: owned("DSsuum"), nearest, allowed },
            ErrorKind::UnknownPre { name: owned("X"), nearest: None, allowed: vec![owned("DSSum")] },
            ErrorKind::UnknownPre { name: owned("X"), nearest: None, allowed: vec![] },
            ErrorKind::UnknownAttribute { name: owned("rwa"), nearest: Some(owned("raw")) },
            ErrorKind::UnknownDetector {
                name: owned("EMW"),
                nearest: Some(owned("EWM")),
                allowed: vec![owned("EWM"), owned("MAD")],
                example: owned("DSAnomaly:EWM:0.1"),
            },
            ErrorKind::UnknownDetector {
                name: owned("X"),
                nearest: None,
                allowed: vec![],
                example: owned("DSAnomaly:EWM:0.1"),
            },
        ]), @r"
        unknown algorithm `dssum`; did you mean `DSSum`?
        unknown algorithm `xyz`; expected `DSSum`, `DSAvg` or `DSNone`; for an algorithm of your own, register it in the registry of the context (`Context::with_registry`)
        `DSsuum` cannot aggregate a period; expected `DSSum`, `DSAvg` or `DSNone`; did you mean `DSSum`?
        `X` cannot aggregate a period; expected `DSSum`
        `X` cannot aggregate a period; expected no pre-aggregation
        unknown attribute `rwa`; did you mean `raw`?
        unknown detector `EMW`; expected `EWM` or `MAD`, as in `DSAnomaly:EWM:0.1`; did you mean `EWM`?
        unknown detector `X`; expected no detector, as in `DSAnomaly:EWM:0.1`
        ");
    }

    #[test]
    fn a_prefix_that_does_not_suit_names_one_that_does() {
        insta::assert_snapshot!(sentences([
            ErrorKind::PreNeedsPeriod { pre: owned("DSSum") },
            ErrorKind::ChainWithoutDetector { algorithm: owned("DSSum") },
            ErrorKind::NoValue { algorithm: owned("DSEWM") },
            ErrorKind::NeedsPre { period: 2 },
            ErrorKind::NotPeriodic { algorithm: owned("DSNull") },
            ErrorKind::PeriodInPlainStruct { period: 3 },
        ]), @r"
        period 0 acts on every sample, so there is nothing for `DSSum` to aggregate; write `1.DSSum-`, or `0-` to act on every sample
        a pre-aggregation feeds only a detector (`DSAnomaly`), not `DSSum`; remove the text between the period and the `-`
        `DSEWM` gives no single value, so nothing can follow it in a chain; name one that does
        DSAnomaly scores one value per period and needs a pre-aggregation to make it; write `2.DSSum-` before the attribute
        `DSNull` cannot be periodic; write `0-` before the attribute to compute it at every sample
        the struct has no period, so period 3 has no meaning; remove the text up to `-`, or give the struct a period
        ");
    }

    #[test]
    fn an_attribute_that_does_not_suit_names_one_that_does() {
        insta::assert_snapshot!(sentences([
            ErrorKind::NeedsComponent { name: owned("fz") },
            ErrorKind::NotNumeric { name: owned("name") },
            ErrorKind::SelfReference { name: owned("value") },
        ]), @r"
        `fz` is a struct; name one of its numeric components, as in `fz.count`
        `name` is not numeric; name an attribute or component that is
        `value` is itself a computed result; name an attribute that is sampled
        ");
    }

    #[test]
    fn an_error_about_arguments_names_the_expected_ones() {
        insta::assert_snapshot!(sentences([
            ErrorKind::UnexpectedArguments { algorithm: owned("DSNone"), takes: vec![], surplus: owned(":3") },
            ErrorKind::UnexpectedArguments {
                algorithm: owned("DSX"),
                takes: vec![owned("low"), owned("high")],
                surplus: owned(":3"),
            },
            ErrorKind::MissingArguments {
                algorithm: owned("DSEWM"),
                argument: owned("alpha"),
                expected: owned(ALPHA),
                example: owned("DSEWM:0.1"),
            },
            ErrorKind::BadArgument { expected: owned(ALPHA), text: owned("2") },
            ErrorKind::BadArgument { expected: owned(ALPHA), text: owned("") },
            ErrorKind::BadArgument { expected: owned(RANGE), text: owned("-1") },
            ErrorKind::Custom { message: owned("expected two numbers") },
        ]), @r"
        `DSNone` takes no arguments; remove `:3`
        `DSX` takes at most 2 arguments (`low`, `high`); remove `:3`
        `DSEWM` lacks the argument `alpha`; expected alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`; write `DSEWM:0.1`
        expected alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`, found `2`
        expected alpha, a decimal number above 2^-64 (5.4e-20) and at most 1 such as `0.1`, found nothing
        expected a range in whole seconds, 0 (no range) to 4294967295, found `-1`
        expected two numbers
        ");
    }

    #[test]
    fn an_error_about_a_named_argument_names_it() {
        insta::assert_snapshot!(sentences([
            ErrorKind::UnknownArgument {
                algorithm: owned("Seasonal"),
                name: owned("alarm"),
                nearest: Some(owned("alarms")),
                takes: vec![owned("alarms")],
            },
            ErrorKind::UnknownArgument {
                algorithm: owned("Seasonal"),
                name: owned("x"),
                nearest: None,
                takes: vec![owned("alarms"), owned("warmup")],
            },
            ErrorKind::UnnamedArgument { text: owned("5"), example: owned("alarms=5") },
            ErrorKind::RepeatedArgument { name: owned("alarms") },
        ]), @r"
        `Seasonal` has no argument `alarm`; did you mean `alarms`?
        `Seasonal` has no argument `x`; expected `alarms` or `warmup`
        `5` lacks the name of its argument; write for example `alarms=5`
        the argument `alarms` is written twice; remove one of them
        ");
    }
}
