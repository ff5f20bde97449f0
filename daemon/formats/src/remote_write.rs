//! Prometheus remote write: a snappy-compressed protobuf message with series and their samples.
//!
//! * version 1: <https://prometheus.io/docs/specs/prw/remote_write_spec/>
//! * version 2: <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>
//!
//! A request is decompressed within [`Limits::body_bytes`] and then decoded series by series, so that it takes the memory
//! of its body and of one series, whatever it claims to contain. What is wrong with one series is the [`SeriesError`] of
//! that series; a message that is not a request at all is a [`RequestError`], and then nothing of it is passed on.
//!
//! Exemplars, metadata and the buckets of native histograms are skipped.
//!
//! [`sent`] encodes the series of requests that the daemon itself sends.

mod decoded;
#[cfg(any(test, feature = "test-util"))]
pub mod encode;
#[cfg(any(test, feature = "test-util"))]
mod message;
pub mod sent;

use self::decoded::Decoded;
use crate::protobuf::{Fields, ProtobufError};
use crate::series::shortened;
use crate::{Limits, Series, SeriesError, SeriesFault};

/// The version of the protocol, which the content type names.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// The version of a content type; without one it is 1. `None` for another type.
    ///
    /// ```
    /// use daemon_formats::remote_write::Version;
    ///
    /// let of = Version::of_content_type;
    /// assert_eq!(of("application/x-protobuf"), Some(Version::V1));
    /// assert_eq!(of("application/x-protobuf;proto=io.prometheus.write.v2.Request"), Some(Version::V2));
    /// assert_eq!(of("application/json"), None);
    /// ```
    pub fn of_content_type(text: &str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        match parts.next()?.to_ascii_lowercase().as_str() {
            "" | "application/x-protobuf" => {}
            _ => return None,
        }
        let message =
            parts.filter_map(|part| part.split_once('=')).find(|(name, _)| name.eq_ignore_ascii_case("proto"));
        match message.map(|(_, message)| message.trim_matches('"')) {
            None => Some(Self::V1),
            Some(message) => [Self::V1, Self::V2].into_iter().find(|version| version.message() == message),
        }
    }

    /// The name of the protobuf message of a request.
    pub fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    fn other(self) -> Self {
        match self {
            Self::V1 => Self::V2,
            Self::V2 => Self::V1,
        }
    }

    /// The field of a request that holds the series. The versions use different ones, so that a request under the wrong
    /// content type is noticed.
    fn series_field(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => 5,
        }
    }
}

/// The field of a request of version 2 that holds the symbols.
const SYMBOLS_FIELD: u32 = 4;

/// Why a request is refused as a whole. It can never be taken.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The body is not a message of the protocol.
    #[error("the body is not a protobuf message of the version that its Content-Type names: {reason}")]
    NotProtobuf {
        /// What was found where.
        reason: String,
    },
    /// The body is not compressed as the protocol prescribes.
    #[error("the body is not in the block format of snappy, which remote write prescribes: {reason}")]
    NotSnappy {
        /// The error of the decoder.
        reason: String,
    },
    /// The body is of the other version.
    #[error(
        "the Content-Type names {}, but the body is {}; send the Content-Type of the message",
        .0.message(),
        .0.other().message()
    )]
    OtherVersion(Version),
    /// The body is too large.
    #[error("the body has {found} bytes decompressed, at most {limit} are taken; lower `max_samples_per_send`")]
    TooLarge {
        /// Its length as it claims.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// More of something than a request may have.
    #[error("the request has more than {limit} {what}; lower `max_samples_per_send`")]
    TooMany {
        /// Series, samples or symbols.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Decompresses a body. Its length is checked before memory is taken.
///
/// # Errors
///
/// [`RequestError::NotSnappy`], [`RequestError::TooLarge`].
pub fn decompress(body: &[u8], limits: &Limits) -> Result<Vec<u8>, RequestError> {
    let invalid = |error: snap::Error| RequestError::NotSnappy { reason: error.to_string() };
    let found = snap::raw::decompress_len(body).map_err(invalid)?;
    if found > limits.body_bytes {
        return Err(RequestError::TooLarge { found, limit: limits.body_bytes });
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(invalid)
}

/// Checks a decompressed request. [`series`](Request::series) then reads one series at a time.
///
/// # Errors
///
/// A [`RequestError`].
pub fn decode(version: Version, body: &[u8], limits: Limits) -> Result<Request<'_>, RequestError> {
    let mut request = Request { version, limits, symbols: Vec::new(), series: Vec::new() };
    let invalid = |error: ProtobufError| RequestError::NotProtobuf { reason: error.to_string() };
    for field in Fields::of(body) {
        let field = field.map_err(invalid)?;
        let Ok(content) = field.bytes() else { continue };
        match field.number {
            number if number == version.series_field() => request.add_series(content)?,
            SYMBOLS_FIELD if version == Version::V2 => request.add_symbol(content)?,
            number if number == version.other().series_field() => return Err(RequestError::OtherVersion(version)),
            _ => {}
        }
    }
    Ok(request)
}

/// A request whose outer message is valid.
#[derive(Clone, Debug)]
pub struct Request<'b> {
    version: Version,
    limits: Limits,
    /// `None` for one that is not UTF-8.
    symbols: Vec<Option<&'b str>>,
    /// The encoded series.
    series: Vec<&'b [u8]>,
}

impl<'b> Request<'b> {
    /// Calls `take` with every series, or with why it is not one, in the order of the request.
    ///
    /// # Errors
    ///
    /// A [`RequestError`] if a series is not a message, or there are more samples than allowed: `take` may have been
    /// called before. What it made of the series must be dropped.
    pub fn series(&self, mut take: impl FnMut(Result<Series<'_>, SeriesError>)) -> Result<(), RequestError> {
        let (mut samples, mut decoded) = (0, Decoded::default());
        let limit = self.limits.series_bytes;
        for (index, encoded) in self.series.iter().enumerate() {
            if encoded.len() > limit {
                // Not decoded: what it takes would not be bounded.
                let series = shortened(decoded::metric(self.version, encoded, &self.symbols, limit));
                take(Err(SeriesError { series, fault: SeriesFault::TooLarge { length: encoded.len(), limit } }));
                continue;
            }
            let read = decoded.read(self.version, encoded, &self.symbols);
            read.map_err(|error| RequestError::NotProtobuf { reason: format!("series {}: {error}", index + 1) })?;
            samples += decoded.pass(&self.limits, &mut take);
            if samples > self.limits.samples {
                return Err(RequestError::TooMany { what: "samples", limit: self.limits.samples });
            }
        }
        Ok(())
    }

    fn add_series(&mut self, encoded: &'b [u8]) -> Result<(), RequestError> {
        if self.series.len() >= self.limits.series {
            return Err(RequestError::TooMany { what: "series", limit: self.limits.series });
        }
        self.series.push(encoded);
        Ok(())
    }

    fn add_symbol(&mut self, symbol: &'b [u8]) -> Result<(), RequestError> {
        if self.symbols.len() >= self.limits.symbols {
            return Err(RequestError::TooMany { what: "symbols", limit: self.limits.symbols });
        }
        self.symbols.push(std::str::from_utf8(symbol).ok());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
