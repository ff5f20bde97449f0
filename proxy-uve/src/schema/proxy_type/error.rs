//! Why parts do not make a proxy type.

use std::fmt;
use std::time::Duration;

use derived_stats::AnnotationError;
use thiserror::Error;

use derived_stats::excerpt::quoted;

/// A proxy type that cannot be built: its name and the first error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProxyTypeError {
    proxy_type: String,
    kind: Box<ProxyTypeErrorKind>,
}

/// The kind of error in a proxy type. The text names the part, what is expected of it and the remedy.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum ProxyTypeErrorKind {
    /// An annotation that does not compile.
    #[error("the annotation of the result {} is wrong: {error}", quoted(result))]
    Annotation {
        /// The result.
        result: String,
        /// Its error, with the range in the text.
        #[source]
        error: AnnotationError,
    },
    /// A name that is not an identifier.
    #[error(
        "{part} is named {}, which is not an identifier; use letters, digits and `_`, not starting with a digit",
        quoted(name)
    )]
    BadName {
        /// The part that has the name.
        part: &'static str,
        /// The name.
        name: String,
    },
    /// A period that is not whole seconds, or out of range.
    #[error("the period is {period:?}; expected whole seconds, 1 to 86400")]
    BadPeriod {
        /// The period.
        period: Duration,
    },
    /// Texts that are declared as a counter or as differences.
    #[error(
        "the samples of {} are texts, which have no `metric`; remove it, or declare the field as a number",
        quoted(raw)
    )]
    CountersOfTexts {
        /// The raw field.
        raw: String,
    },
    /// Two results of one name, or a result with the name of the raw field.
    #[error("two fields are named {}; rename one of them", quoted(name))]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A timeout or a rule for silence without a period: both count periods.
    #[error("{setting} counts periods, and the type has none; set a period or remove it")]
    NeedsPeriod {
        /// What is set.
        setting: &'static str,
    },
    /// An algorithm that computes with numbers, for samples that are texts.
    #[error(
        "the result {} computes {algorithm} of texts, which takes numbers; use `DSCategory`, `DSDistinct` or `DSCount`, \
         or declare {} as a number",
        quoted(result),
        quoted(raw)
    )]
    NeedsNumbers {
        /// The result.
        result: String,
        /// The algorithm.
        algorithm: &'static str,
        /// The raw field.
        raw: String,
    },
    /// Nothing to compute.
    #[error("the type has no result; add one such as `value` with `1-raw:DSSum`")]
    NoResults,
    /// A result that is not computed from the raw field.
    #[error(
        "the result {} reads {}, but samples fill {}; write {} in its annotation",
        quoted(result),
        quoted(read),
        quoted(raw),
        quoted(raw)
    )]
    OtherSource {
        /// The result.
        result: String,
        /// What its annotation reads.
        read: String,
        /// The raw field.
        raw: String,
    },
    /// A result with the name of a member that every result's JSON object has.
    #[error(
        "a result cannot be named {}: `deleted`, `partial` and `proxy` are part of every result; rename it",
        quoted(name)
    )]
    ReservedName {
        /// The name.
        name: String,
    },
    /// A window whose length in seconds does not fit 32 bits.
    #[error(
        "the window of the result {} is {every} periods of {seconds} s, more than 136 years; lower one of them",
        quoted(result)
    )]
    WindowTooLong {
        /// The result.
        result: String,
        /// The periods of a window.
        every: u32,
        /// The period in seconds.
        seconds: u32,
    },
}

impl ProxyTypeErrorKind {
    /// The result that is wrong; `None` for an error of the type itself.
    pub fn result(&self) -> Option<&str> {
        match self {
            Self::Annotation { result, .. }
            | Self::NeedsNumbers { result, .. }
            | Self::OtherSource { result, .. }
            | Self::WindowTooLong { result, .. } => Some(result),
            Self::DuplicateName { name } | Self::ReservedName { name } => Some(name),
            Self::BadName { .. }
            | Self::BadPeriod { .. }
            | Self::CountersOfTexts { .. }
            | Self::NeedsPeriod { .. }
            | Self::NoResults => None,
        }
    }
}

impl ProxyTypeError {
    pub(super) fn new(proxy_type: String, kind: ProxyTypeErrorKind) -> Self {
        Self { proxy_type, kind: Box::new(kind) }
    }

    /// The name of the proxy type.
    pub fn proxy_type(&self) -> &str {
        &self.proxy_type
    }

    /// What is wrong.
    pub fn kind(&self) -> &ProxyTypeErrorKind {
        &self.kind
    }
}

impl std::error::Error for ProxyTypeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.kind)
    }
}

impl fmt::Display for ProxyTypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proxy type {}: {}", quoted(&self.proxy_type), self.kind)
    }
}
