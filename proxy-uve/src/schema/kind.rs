//! The kinds of errors in a definition: one variant for each mistake that a user can make.
//!
//! The `Display` of a kind is the sentence under the carets; it names what was expected or the remedy.

use derived_stats::annotation::ErrorKind;
use thiserror::Error;

use super::proxy_type::ProxyTypeErrorKind;
use derived_stats::excerpt::{did_you_mean, quoted};

/// The mistake in a definition, with the data to act on it.
///
/// In the order in which a reader of the file meets them.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum SchemaErrorKind {
    /// A file beyond the limit.
    #[error("the file has {length} bytes where at most {limit} are allowed; split it")]
    TooLong {
        /// Length of the file in bytes.
        length: usize,
        /// The most that is allowed, in bytes.
        limit: usize,
    },
    /// Text that is not a definition, or that does not belong here.
    #[error("expected {expected}, found {}", or_nothing(found))]
    Syntax {
        /// What is allowed here.
        expected: String,
        /// What was found.
        found: String,
    },
    /// A `/*` without its `*/`.
    #[error("the comment has no end; add `*/`")]
    UnclosedComment,
    /// A struct without its `}`.
    #[error("the struct {} has no end; add `}}` after its last field", quoted(name))]
    UnclosedStruct {
        /// Name of the struct.
        name: String,
    },
    /// Two types of one name, in one file or in two.
    #[error("the type {} is defined already, at {first}; rename one of them", quoted(name))]
    DuplicateType {
        /// Name of the type.
        name: String,
        /// `file:line:column` of the other one.
        first: String,
    },
    /// Two fields of one name.
    #[error("the struct has a field {} already; rename one of them", quoted(name))]
    DuplicateField {
        /// Name of the field.
        name: String,
    },
    /// Two fields of one number.
    #[error("the number {number} belongs to the field {} already; number each field once", quoted(name))]
    DuplicateNumber {
        /// The number.
        number: u16,
        /// The field that has it.
        name: String,
    },
    /// A number outside the range of the original's wire format.
    #[error("a field is numbered from 1 to 32767, found {}", quoted(text))]
    BadNumber {
        /// The number as written.
        text: String,
    },
    /// A type that is not defined.
    #[error("unknown type {}{}", quoted(name), did_you_mean(nearest.as_deref()))]
    UnknownType {
        /// The name as written.
        name: String,
        /// The known name it resembles.
        nearest: Option<String>,
    },
    /// An annotation that is not allowed here.
    #[error("unknown annotation {}; expected {expected}{}", quoted(name), did_you_mean(nearest.as_deref()))]
    UnknownAnnotation {
        /// The name as written.
        name: String,
        /// The annotations that are allowed here.
        expected: &'static str,
        /// The known name it resembles.
        nearest: Option<String>,
    },
    /// An annotation that appears twice on one field or struct.
    #[error("the annotation {} appears twice; keep one", quoted(name))]
    DuplicateAnnotation {
        /// Its name.
        name: String,
    },
    /// An annotation without the value that it needs.
    #[error("the annotation {} needs a value; write `{example}`", quoted(name))]
    MissingValue {
        /// Its name.
        name: String,
        /// One that would do.
        example: &'static str,
    },
    /// An annotation on a field that cannot have it.
    #[error("the annotation {} belongs on {place}; remove it here", quoted(name))]
    MisplacedAnnotation {
        /// Its name.
        name: String,
        /// Where it belongs.
        place: &'static str,
    },
    /// A value that the annotation does not take.
    #[error("expected {expected}, found {}{}", or_nothing(text), did_you_mean(nearest.as_deref()))]
    BadValue {
        /// What the annotation takes.
        expected: &'static str,
        /// The value as written.
        text: String,
        /// The known value it resembles.
        nearest: Option<String>,
    },
    /// `timeout` or `silence` in a struct without `period`: both count periods.
    #[error("{} counts periods, and the struct has none; add `period=\"60\"` or remove it", quoted(name))]
    NeedsPeriod {
        /// The annotation.
        name: String,
    },
    /// No field with `key`.
    #[error("the struct has no key; add `1: string name (key=\"\")`")]
    MissingKey,
    /// More than one field with `key`.
    #[error("the key is the field {} already; remove the annotation here", quoted(first))]
    SeveralKeys {
        /// The first one.
        first: String,
    },
    /// A field that every proxy type has is missing or has another type.
    #[error("expected the field `{field}`, which every proxy type has; add it in this form")]
    MissingField {
        /// The field as it must be.
        field: &'static str,
    },
    /// A field that every proxy type has, but of another type.
    #[error("the field {} must be `{expected}`", quoted(name))]
    WrongType {
        /// Name of the field.
        name: String,
        /// The type it must have.
        expected: &'static str,
    },
    /// No field for the raw value.
    #[error("the struct has no raw value; add a hidden number such as `4: optional u64 raw (hidden=\"yes\")`")]
    MissingRaw,
    /// More than one field for the raw value.
    #[error("the raw value is the field {} already; a proxy type has one, so remove this one", quoted(first))]
    SeveralRaws {
        /// The first one.
        first: String,
    },
    /// A raw value that results would show.
    #[error("the raw value {} is not part of the results; add `(hidden=\"yes\")`", quoted(name))]
    RawNotHidden {
        /// Name of the field.
        name: String,
    },
    /// A map as the raw value, or `mstats`.
    #[error("proxy types take a scalar raw value for now, not a map; use a number and `stats`")]
    MapRaw,
    /// A field that nothing fills.
    #[error("nothing would ever fill the field {}; give it `stats`, or remove it", quoted(name))]
    UnusedField {
        /// Name of the field.
        name: String,
    },
    /// Nothing to compute.
    #[error("the struct has no result; add a field such as `5: optional u64 value (stats=\"1-raw:DSSum\")`")]
    NoResults,
    /// A tag that is not a text field of the struct.
    #[error("{} is not a string field of this struct, so it cannot be a tag{}", quoted(name), did_you_mean(nearest.as_deref()))]
    UnknownTag {
        /// The name as written.
        name: String,
        /// The field it resembles.
        nearest: Option<String>,
    },
    /// A result whose type cannot hold what the algorithm gives.
    #[error("{algorithm} gives {expected}, which the type {} cannot hold", quoted(found))]
    WrongResult {
        /// The algorithm.
        algorithm: String,
        /// What it gives.
        expected: String,
        /// The type as written.
        found: String,
    },
    /// A result every so many periods that they make more than 4294967295 seconds, 136 years.
    #[error("every {every} periods of {seconds} s is more than 136 years; lower one of them")]
    PeriodsTooLong {
        /// The period of the annotation.
        every: u32,
        /// The period of the struct, in seconds.
        seconds: u32,
    },
    /// An error that the checks of every proxy type find, also of one that is built in code.
    #[error("{0}")]
    ProxyType(Box<ProxyTypeErrorKind>),
    /// An error in the text of `stats`, as the compiler of annotations reports it.
    #[error("{0}")]
    Annotation(Box<ErrorKind>),
}

fn or_nothing(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { quoted(text) }
}
