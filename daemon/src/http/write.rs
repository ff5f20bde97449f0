//! `POST /api/v1/write` takes samples by Prometheus remote write, versions 1 and 2.
//!
//! * <https://prometheus.io/docs/specs/prw/remote_write_spec/>
//! * <https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>
//!
//! [`[[streams]]`](daemon_sources::mapping) decides what becomes of a series. The response follows once all accepted
//! samples are on disk. Senders retry after 5xx and drop the request after 4xx, so those mean that the data can never
//! be taken:
//!
//! | status | meaning |
//! |---|---|
//! | 204 | all samples are durable, or of series that no stream takes |
//! | 400 | not a message of the protocol; or some samples can never be taken, and all others are durable |
//! | 413 | the body is above `http.max_body_bytes`; its samples, each with its key and labels, above four times that and 16 MiB |
//! | 415 | another content type than that of the two messages, or another coding than snappy |
//! | 503 | the backlog or the requests in flight are at their limit, the body came too slowly, the write to the log failed, or the daemon is stopping |
//!
//! A sender that got no response sends the same body again. Its digest is the idempotency key of the write, so that the
//! samples count once; Kafka's log has no such keys, and there the readings of counters alone can be repeated.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_base::listener::Client;
use daemon_formats::Limits;
use daemon_formats::remote_write::{self, Version};
use daemon_sources::mapping::Tally;

use crate::http::body::Encoded;
use crate::http::ingest::{self, Failure};
use crate::http::series::{self, Identity};
use crate::http::{Shared, problem, problem_of};

/// The name of the format in metrics.
const FORMAT: &str = "remote_write";

/// What version 2 reports as written, by header.
const WRITTEN: [HeaderName; 3] = [
    HeaderName::from_static("x-prometheus-remote-write-samples-written"),
    HeaderName::from_static("x-prometheus-remote-write-histograms-written"),
    HeaderName::from_static("x-prometheus-remote-write-exemplars-written"),
];

/// Ingests a request.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let (mut head, body) = request.into_parts();
    let version = match version(&head.headers) {
        Ok(version) => version,
        Err(response) => return *response,
    };
    // The body stays as it is: the coding is that of the protocol, not one of HTTP.
    head.headers.remove(header::CONTENT_ENCODING);
    let work = move |shared: &Shared, encoded| store(shared, encoded, (version, client));
    let (mut response, written) = match ingest::run(&shared, client, &head.headers, body, work).await {
        Ok(tally) => (answer(&tally), written(&tally)),
        Err(response) => (*response, [0; 3]),
    };
    if [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&response.status()) {
        // After 408 a sender would drop what it can send again, and so does Prometheus after 429 unless it is configured
        // with `retry_on_http_429`.
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    if version == Version::V2 {
        response.headers_mut().extend(WRITTEN.into_iter().zip(written.map(HeaderValue::from)));
    }
    response
}

/// The version that the headers name.
fn version(headers: &HeaderMap) -> Result<Version, Box<Response>> {
    let text = |name| {
        let values = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.collect::<Vec<_>>().join(", ")
    };
    let coding = text(header::CONTENT_ENCODING);
    // Senders older than the specification leave it out.
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("snappy") {
        let problem = unsupported(&format!("Content-Encoding is {coding:?}; remote write prescribes snappy"));
        return Err(Box::new(([(header::ACCEPT_ENCODING, "snappy")], problem).into_response()));
    }
    let content_type = text(header::CONTENT_TYPE);
    Version::of_content_type(&content_type).ok_or_else(|| {
        Box::new(unsupported(&format!(
            "Content-Type is {content_type:?}; this path takes application/x-protobuf of {} or {}",
            Version::V1.message(),
            Version::V2.message()
        )))
    })
}

fn unsupported(text: &str) -> Response {
    problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}

fn store(shared: &Shared, encoded: Encoded, (version, client): (Version, Client)) -> Result<Tally, Failure> {
    let bounds = shared.bodies.samples;
    let limits = Limits { body_bytes: bounds.bytes, ..Limits::default() };
    let bytes = encoded.text(bounds).map_err(Failure::Refused)?;
    let body = remote_write::decompress(&bytes, &limits).map_err(Failure::of_format)?;
    let stored = series::store(shared, (FORMAT, client), |writer| {
        let request = remote_write::decode(version, &body, limits).map_err(Failure::of_format)?;
        let read = request.series(|series| match series {
            Ok(series) => writer.push(&series),
            Err(error) => writer.tally.reject(error.to_string()),
        });
        read.map_err(Failure::of_format)?;
        Ok(Some(Identity::of_body("", &bytes)))
    });
    Ok(stored?.tally)
}

fn answer(tally: &Tally) -> Response {
    match series::rejections(tally, tally.rejected) {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(text) => problem_of(StatusCode::BAD_REQUEST, &text, None),
    }
}

/// The samples, histograms and exemplars that are taken. Those of series that no stream takes are: nothing is wrong with
/// them. Exemplars are not stored.
fn written(tally: &Tally) -> [u64; 3] {
    [tally.samples - tally.rejected_samples, tally.histograms - tally.rejected_histograms, 0]
}
