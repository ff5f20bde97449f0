//! The reasons why a line is rejected.

use daemon_base::one_line::one_line;
use daemon_log::LogError;
use derived_stats::{Number, ValueType};
use proxy_uve::wire::{PartialError, PartialSealError, line};
use proxy_uve::{PartialFault, Plan};

use crate::timestamp::TimestampError;

/// The most characters of a name that an error shows.
const SHOWN: usize = 100;

/// Why a line was rejected. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The attribute is in several streams.
    #[error(
        "the attribute `{}` is in more than one stream; say which with \"stream\":\"Struct-attribute\"",
        one_line(.attribute, SHOWN)
    )]
    AmbiguousAttribute {
        /// The attribute.
        attribute: String,
    },
    /// The key is not `table:name`.
    #[error("the key is not `table:name`: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// The line is malformed.
    #[error("{message}")]
    Line {
        /// What is wrong with it, with the unit of the input.
        message: String,
        /// The error of the decoder.
        error: line::LineError,
    },
    /// The record exceeds a limit of the log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The value is not finite.
    #[error("the value {value} is not a finite number; leave the sample out, or send the last value")]
    NotFinite {
        /// The value.
        value: f64,
    },
    /// The line is not a partial state.
    #[error(transparent)]
    Partial(#[from] PartialError),
    /// No proxy type of the stream takes the partial state.
    #[error(transparent)]
    PartialState(#[from] PartialFault),
    /// The line is the last one of an output, but not as it is written.
    #[error(transparent)]
    PartialSeal(#[from] PartialSealError),
    /// Partial states go to a log that others read, too.
    #[error(
        "partial states are for the embedded log, and log.kind is `kafka`, whose topics other programs read; send \
         samples, or merge the states with `derived-statsd merge`"
    )]
    PartialsNotPublished,
    /// The timestamp is not that of a sample that was just taken.
    #[error(transparent)]
    Timestamp(#[from] TimestampError),
    /// The timestamp is not a text of RFC 3339, which the input takes.
    #[error("{reason}")]
    TimestampText {
        /// What is wrong with it.
        reason: String,
    },
    /// The sample exceeds the limit of the tables.
    #[error("the sample has {length} bytes where at most {limit} are allowed; shorten its source")]
    TooLong {
        /// The length of the sample as it is stored, in bytes.
        length: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// No stream has the name or the attribute.
    #[error("no stream `{}` is configured; add it to uve_proxy_list, or correct the name", one_line(.name, SHOWN))]
    UnknownStream {
        /// The name or the attribute.
        name: String,
    },
    /// No proxy type of the stream accepts the value.
    #[error("the value {value} does not fit the stream `{stream}`, which takes {types}; {remedy}")]
    Value {
        /// The value.
        value: Number,
        /// The stream.
        stream: String,
        /// The types that its proxy types accept.
        types: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl LineError {
    /// The error for a value that no proxy type of the stream accepts.
    #[cold]
    pub(super) fn unfit(plan: &Plan, value: Number) -> Self {
        let types = plan.value_types();
        let is_fraction = value.as_f64().fract() != 0.0;
        let remedy = match (is_fraction, types.contains(&ValueType::F64)) {
            (true, false) => "send an integer, or declare the raw field of the proxy type as `double`",
            (false, false) if value.as_f64() < 0.0 && !types.contains(&ValueType::I64) => {
                "send no negative value, or declare the raw field of the proxy type as `i64`"
            }
            _ if is_rounded(value, types) => {
                "a floating-point number from 2^53 on is not an exact integer: send the integer in decimal digits, or \
                 declare the raw field of the proxy type as `double`"
            }
            _ => "send a value in the range of the type, or change the type of the raw field of the proxy type",
        };
        let names: Vec<_> = types.iter().map(ToString::to_string).collect();
        Self::Value { value, stream: plan.stream().to_string(), types: names.join(" or "), remedy }
    }

    /// The same error with the remedy of a stream of series, whose type is a key of its own.
    pub(crate) fn in_series(self) -> Self {
        let Self::Value { value, stream, types, remedy } = self else { return self };
        let value_type =
            [ValueType::F64, ValueType::I64, ValueType::U64].into_iter().find(|it| it.to_string() == types);
        let remedy = value_type.map_or(remedy, |value_type| remedy_in_series(value, value_type));
        Self::Value { value, stream, types, remedy }
    }
}

/// What to do about a value that does not fit a stream of series with a type.
fn remedy_in_series(value: Number, value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::I64 | ValueType::U64 if value.as_f64().fract() != 0.0 => {
            "send an integer, or write type = \"f64\" in the stream"
        }
        ValueType::U64 if value.as_f64() < 0.0 => "send no negative value, or write type = \"i64\" in the stream",
        _ if is_rounded(value, &[value_type]) => {
            "a floating-point number from 2^53 on is not an exact integer: write type = \"f64\" in the stream, or send integers, \
             which OTLP and line protocol have and remote write has not"
        }
        ValueType::I64 if value.as_f64() > 0.0 => "send smaller values, or write type = \"u64\" in the stream",
        _ => "send a value in the range of the type, or write another type in the stream",
    }
}

/// Whether a value is a double of a size from which on it may be a rounded integer, and in the range of one of the types.
fn is_rounded(value: Number, types: &[ValueType]) -> bool {
    let exact = (1_u64 << f64::MANTISSA_DIGITS) as f64;
    let end = if types.contains(&ValueType::U64) { u64::MAX as f64 } else { i64::MAX as f64 };
    value.value_type() == ValueType::F64 && (exact..end).contains(&value.as_f64().abs())
}
