//! The body of a request: read and decoded within its [`Bounds`].
//!
//! The limit holds for what is received and for what it decodes to, so a request takes at most twice the limit. A
//! request that announces more is refused before its body is read, and the decoder stops at the limit. The window of
//! zstd is bounded as in RFC 9659, and that of the other codings by their formats.

use std::io::Read;
use std::pin::pin;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_base::listener::end_of_reading;
use daemon_base::setting::duration;
use daemon_sources::array::{ArrayError, ArrayLines, is_array};
use daemon_sources::opening::{Foreign, without_mark};
use flate2::{Decompress, FlushDecompress, Status};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;

use crate::http::bodies::{Bounds, PartialBody};
use crate::http::permits::InUse;
use crate::http::{problem_of, refusals};
use crate::telemetry::Refused;

/// The codings that a body may have.
const CODINGS: &str = "gzip, deflate, zstd";

/// The largest window of zstd, as the logarithm of its bytes: 8 MiB, which RFC 9659 sets for HTTP.
const ZSTD_WINDOW_LOG: u32 = 23;

/// The memory that an inflater grows its output by.
const INFLATE_STEP: usize = 64 * 1024;

/// Why a body is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the body could not be read: {0}; send it again")]
    Broken(String),
    #[error("Content-Encoding is {found:?}; this server decodes one of gzip, deflate, zstd, or a body without it")]
    Coding { found: String },
    #[error("the body looks like {}: {}", .0.name(), remedy(*.0))]
    Foreign(Foreign),
    #[error("the body is not valid {coding}, as its Content-Encoding names: {reason}; nothing of it is stored")]
    Invalid { coding: &'static str, reason: String },
    #[error("{0}; nothing of it is stored")]
    MalformedArray(#[from] ArrayError),
    #[error(
        "incomplete bodies {} that http.max_in_flight and http.max_body_bytes allow them; retry after a second",
        match .0 {
            InUse::All => "take all the space",
            InUse::ShareOfClient => "of this address take its share of the space",
        }
    )]
    NoSpace(InUse),
    #[error("the daemon is stopping; send it again in a moment")]
    Stopping,
    #[error("{what} has more than {} bytes, {}", .bounds.bytes, .bounds.large)]
    TooLarge { what: &'static str, bounds: Bounds },
    #[error("the body was not complete after {}, {}", duration::print(.0.time), .0.slow)]
    TooSlow(Bounds),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Broken(_) | Self::Foreign(_) | Self::Invalid { .. } | Self::MalformedArray(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Coding { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NoSpace(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Stopping => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
        };
        let reason = match &self {
            Self::Foreign(_) | Self::MalformedArray(_) => Refused::Format,
            Self::Invalid { .. } => Refused::Coding,
            Self::Broken(_) => Refused::Slow,
            _ => refusals::reason_of(status),
        };
        let response = problem_of(status, &self.to_string(), Some(reason));
        match self {
            // RFC 9110, 12.5.3.
            Self::Coding { .. } => ([(header::ACCEPT_ENCODING, CODINGS)], response).into_response(),
            Self::NoSpace(_) => ([(header::RETRY_AFTER, "1")], response).into_response(),
            _ => response,
        }
    }
}

/// A received body, still in its coding.
#[derive(Debug)]
pub(super) struct Encoded {
    coding: Coding,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum Coding {
    Deflate,
    Gzip,
    Identity,
    Zstd,
}

impl Encoded {
    /// Reads a body within the limit and the space of `whole`; not much longer once `stopping` is true.
    ///
    /// # Errors
    ///
    /// A [`Refusal`], before a byte is read if the headers give reason for it.
    pub(super) async fn read(
        headers: &HeaderMap,
        body: Body,
        mut partial: PartialBody<'_>,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, Refusal> {
        let bounds = partial.bounds;
        let (limit, too_large) = (bounds.bytes, || Refusal::TooLarge { what: "the body", bounds });
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|announced| announced > limit as u64) {
            return Err(too_large());
        }
        let coding = Coding::of(headers)?;
        let mut cut_off = pin!(end_of_reading(stopping));
        let (mut chunks, mut received) = (body.into_data_stream(), 0);
        loop {
            let chunk = tokio::select! {
                chunk = chunks.next() => chunk,
                () = &mut cut_off => return Err(Refusal::Stopping),
            };
            match chunk {
                None => return partial.finish().map(|bytes| Self { coding, bytes }).map_err(Refusal::NoSpace),
                Some(Err(error)) => return Err(Refusal::Broken(error.to_string())),
                Some(Ok(chunk)) if chunk.len() > limit - received => return Err(too_large()),
                Some(Ok(chunk)) => {
                    received += chunk.len();
                    partial.push(&chunk);
                }
            }
        }
    }

    /// Decodes the body to lines.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the body is not in its coding, decodes to more, or has a format that is not one of samples.
    pub(super) fn decode(self, bounds: Bounds) -> Result<Vec<u8>, Refusal> {
        let text = self.text(bounds)?;
        match Foreign::of(&text) {
            Some(format) => Err(Refusal::Foreign(format)),
            None => lines(text),
        }
    }

    /// Decodes the body.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if the body is not in its coding, or decodes to more than its bounds allow.
    pub(super) fn text(self, bounds: Bounds) -> Result<Vec<u8>, Refusal> {
        let Self { coding, bytes } = self;
        match coding {
            Coding::Identity => Ok(bytes),
            Coding::Gzip => read_all("gzip", flate2::bufread::MultiGzDecoder::new(&bytes[..]), bounds),
            Coding::Deflate => inflate(&bytes, bounds),
            Coding::Zstd => {
                let invalid = |error: std::io::Error| Refusal::Invalid { coding: "zstd", reason: error.to_string() };
                let mut decoder = zstd::Decoder::with_buffer(&bytes[..]).map_err(invalid)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(invalid)?;
                read_all("zstd", decoder, bounds)
            }
        }
    }
}

impl Coding {
    /// The coding that the headers name. A chain of codings is refused.
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let named: Vec<_> = headers.get_all(header::CONTENT_ENCODING).iter().collect();
        let text = named.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(", ");
        match text.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            "zstd" => Ok(Self::Zstd),
            _ => Err(Refusal::Coding { found: text }),
        }
    }
}

/// The text without a byte order mark, and with an array as lines.
fn lines(mut text: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let mark = text.len() - without_mark(&text).len();
    text.drain(..mark);
    if !is_array(&text) {
        return Ok(text);
    }
    let (mut lines, mut array) = (Vec::with_capacity(text.len()), ArrayLines::default());
    array.convert(&text, &mut lines)?;
    array.finish()?;
    Ok(lines)
}

fn remedy(format: Foreign) -> &'static str {
    match format {
        Foreign::Bzip2 | Foreign::Xz => "send the plain lines, or with Content-Encoding gzip, deflate or zstd",
        Foreign::Gzip => "compress it once, and name that with the header `Content-Encoding: gzip`",
        Foreign::PrettyJson => "write each sample on one line, or send an array of samples",
        Foreign::Utf16 => "send UTF-8",
        Foreign::Zstd => "compress it once, and name that with the header `Content-Encoding: zstd`",
    }
}

/// Reads a decoder to its end.
fn read_all(coding: &'static str, decoder: impl Read, bounds: Bounds) -> Result<Vec<u8>, Refusal> {
    let mut text = Vec::new();
    let read = decoder.take(bounds.bytes as u64 + 1).read_to_end(&mut text);
    if text.len() > bounds.bytes {
        return Err(Refusal::TooLarge { what: "the decoded body", bounds });
    }
    read.map_err(|error| Refusal::Invalid { coding, reason: error.to_string() })?;
    Ok(text)
}

/// Decodes `deflate`, which is the zlib format (RFC 9110, 8.4.1.2). Deflate data without the zlib header, which some
/// clients send, is refused: almost any text decodes to something as such.
fn inflate(bytes: &[u8], bounds: Bounds) -> Result<Vec<u8>, Refusal> {
    let invalid = |reason: String| Refusal::Invalid { coding: "deflate", reason };
    let (mut state, mut text) = (Decompress::new(true), Vec::new());
    loop {
        text.reserve(INFLATE_STEP);
        let taken = usize::try_from(state.total_in()).unwrap_or(usize::MAX);
        let rest = bytes.get(taken..).unwrap_or_default();
        let status = state.decompress_vec(rest, &mut text, FlushDecompress::None);
        let status = status.map_err(|error| invalid(format!("{error}; deflate is the zlib format")))?;
        if text.len() > bounds.bytes {
            return Err(Refusal::TooLarge { what: "the decoded body", bounds });
        }
        let left = (bytes.len() as u64).saturating_sub(state.total_in());
        match status {
            Status::StreamEnd if left == 0 => return Ok(text),
            Status::StreamEnd => return Err(invalid(format!("{left} bytes follow its end"))),
            Status::Ok | Status::BufError if left == 0 && text.len() < text.capacity() => {
                return Err(invalid("it ends early".to_owned()));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

#[cfg(test)]
#[path = "../../tests/support/encodings.rs"]
#[allow(clippy::unwrap_used, dead_code, reason = "the tests of the binary use all of it, and may panic")]
mod encodings;

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::time::Duration;

    use axum::http::HeaderValue;

    use super::*;

    fn bounds(bytes: usize) -> Bounds {
        Bounds { bytes, time: Duration::ZERO, large: "the limit", slow: "the limit" }
    }

    /// Every coding, with an encoder.
    fn codings() -> [(Coding, encodings::Encode); 4] {
        encodings::all().map(|(name, encode)| {
            let headers = HeaderMap::from_iter([(header::CONTENT_ENCODING, HeaderValue::from_static(name))]);
            (Coding::of(&headers).unwrap(), encode)
        })
    }

    #[test]
    fn what_is_decoded_is_held_to_the_limit_and_to_its_end() {
        let text = vec![b'x'; 1_000_000];
        for (coding, encode) in codings() {
            let bytes = encode(&text);
            let decode = |bytes: &[u8], limit| Encoded { coding, bytes: bytes.to_vec() }.decode(bounds(limit));
            assert!(decode(&bytes, text.len()).unwrap() == text, "{coding:?}");
            assert!(matches!(decode(&bytes, text.len() - 1), Err(Refusal::TooLarge { .. })), "{coding:?}");
            let cut = decode(&bytes[..bytes.len() - 1], text.len());
            assert!(matches!(cut, Err(Refusal::Invalid { .. })), "{coding:?}: {cut:?}");
            let followed = decode(&[&bytes[..], b"abc"].concat(), text.len());
            assert!(matches!(followed, Err(Refusal::Invalid { .. })), "{coding:?}: {:?}", followed.map(|_| ()));
            let other = decode(b"{\"key\":1}", text.len());
            assert!(matches!(other, Err(Refusal::Invalid { .. })), "{coding:?}: {other:?}");
        }
    }

    #[test]
    fn a_window_of_zstd_above_the_bound_is_refused() {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(24).unwrap();
        encoder.write_all(&vec![b'x'; 1 << 20]).unwrap();
        let bytes = encoder.finish().unwrap();
        let refused = Encoded { coding: Coding::Zstd, bytes }.decode(bounds(1 << 30));
        assert!(matches!(refused, Err(Refusal::Invalid { .. })), "{:?}", refused.map(|_| ()));
    }

    #[test]
    fn a_byte_order_mark_is_skipped_and_an_array_becomes_lines() {
        let decode = |text: &str| Encoded { coding: Coding::Identity, bytes: text.into() }.decode(bounds(100));
        assert_eq!(decode("\u{FEFF}{}").unwrap(), b"{}");
        assert_eq!(decode("\u{FEFF}[{},\n{}]").unwrap(), b"{}\n{}\n");
        assert!(matches!(decode("[{}"), Err(Refusal::MalformedArray(ArrayError::NoEnd))));
    }
}
