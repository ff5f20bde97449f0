//! OTLP metrics, as OpenTelemetry's SDKs and collectors export them over HTTP, in protobuf and in JSON.
//!
//! * <https://opentelemetry.io/docs/specs/otlp/#otlphttp>
//! * <https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto>
//!
//! A request is read point by point, so that it takes the memory of its body, of one resource and scope, and of one
//! point. An attribute that is encoded in more than four times the longest value of a label is refused and not decoded.
//! Names are those that Prometheus gives, see [`names`]; each point is a series with one sample:
//!
//! | metric | series |
//! |---|---|
//! | gauge `g` | `g` |
//! | sum `s` | `s`, with `_total` if it is monotonic |
//! | histogram, exponential histogram, summary `h` | `h_count` and `h_sum`; buckets, quantiles, minimum and maximum are left out |
//!
//! The labels are the attributes of the resource, of the scope and of the point; see [`labels`]. A point with the flag for
//! no recorded value is the marker of the end of its series. Exemplars are left out. Integers are exact up to 2^53. Times
//! are cut to milliseconds.

pub mod answer;
mod attributes;
mod json;
pub mod labels;
pub mod names;
mod points;
mod protobuf;
pub mod sent;

use self::points::Points;
use crate::{Limits, Series, SeriesError};

/// The encoding of a request, which the content type names. The answer has the same.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Encoding {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

impl Encoding {
    /// The encoding of a content type, whatever its parameters are; `None` for another type.
    ///
    /// ```
    /// use daemon_formats::otlp::Encoding;
    ///
    /// assert_eq!(Encoding::of_content_type("application/json; charset=utf-8"), Some(Encoding::Json));
    /// assert_eq!(Encoding::of_content_type("text/plain"), None);
    /// ```
    pub fn of_content_type(text: &str) -> Option<Self> {
        let name = text.split(';').next()?.trim();
        [Self::Json, Self::Protobuf].into_iter().find(|encoding| name.eq_ignore_ascii_case(encoding.content_type()))
    }

    /// Its content type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// Why a request is refused as a whole. It can never be taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is not JSON of the message.
    #[error("the body is not an ExportMetricsServiceRequest in JSON: {reason}; send it, or another Content-Type")]
    NotJson {
        /// What was found where.
        reason: String,
    },
    /// The body is not protobuf of the message.
    #[error("the body is not an ExportMetricsServiceRequest in protobuf: {reason}; send it, or another Content-Type")]
    NotProtobuf {
        /// What was found where.
        reason: String,
    },
    /// More of something than a request may have.
    #[error("the request has more than {limit} {what}; lower the batch size of the exporter")]
    TooMany {
        /// Metrics or points.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Calls `take` with the series of every point, or with why it is not one, in the order of the request.
///
/// # Errors
///
/// A [`RequestError`]: `take` may have been called before. What it made of the series must be dropped.
pub fn read(
    encoding: Encoding,
    body: &[u8],
    limits: &Limits,
    mut take: impl FnMut(Result<Series<'_>, SeriesError>),
) -> Result<(), RequestError> {
    let mut points = Points::new(limits, &mut take);
    match encoding {
        Encoding::Json => json::read(body, &mut points),
        Encoding::Protobuf => protobuf::read(body, &mut points),
    }
}

#[cfg(test)]
mod tests;
