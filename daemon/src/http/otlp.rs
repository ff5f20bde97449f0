//! `POST /v1/metrics` takes metrics by OTLP/HTTP, in protobuf and in JSON.
//!
//! <https://opentelemetry.io/docs/specs/otlp/#otlphttp>
//!
//! [`[[streams]]`](daemon_sources::mapping) decides what becomes of a point. The response follows once all accepted points
//! are on disk, in the encoding of the request. Exporters send again after 429 and 503, and drop the request after any
//! other error:
//!
//! | status | meaning |
//! |---|---|
//! | 200 | all points are durable, or of series that no stream takes; with `partial_success`, others can never be taken |
//! | 400 | the body is not an `ExportMetricsServiceRequest`, and nothing of it is stored |
//! | 413, 415, 429, 503 | as for samples; what gets 408 or 500 there gets 503 here, so that it is sent again |
//!
//! The body of an error is a `google.rpc.Status`. The same body counts once if the log is the embedded one: on Kafka
//! each body counts.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_base::listener::Client;
use daemon_formats::Limits;
use daemon_formats::otlp::{self, Encoding, answer};
use daemon_sources::mapping::Tally;

use crate::http::body::Encoded;
use crate::http::ingest::{self, Failure};
use crate::http::series::{self, Identity};
use crate::http::{Shared, problem, reworded};

/// The name of the format in metrics.
const FORMAT: &str = "otlp";

/// Ingests a request.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let encoding = match encoding(&head.headers) {
        Ok(encoding) => encoding,
        // Of a sender of unknown kind: JSON can be read by people.
        Err(response) => return refusal(*response, Encoding::Json),
    };
    let work = move |shared: &Shared, encoded| store(shared, encoded, (encoding, client));
    match ingest::run(&shared, client, &head.headers, body, work).await {
        Ok(stored) => stored.into_response(encoding),
        Err(response) => refusal(*response, encoding),
    }
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Box<Response>> {
    let value = headers.get(header::CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let named = value.unwrap_or_default();
    Encoding::of_content_type(&named).ok_or_else(|| {
        let text = format!("Content-Type is {named:?}; this path takes application/x-protobuf and application/json");
        Box::new(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text))
    })
}

/// What became of a request.
struct Stored {
    tally: Tally,
    /// The points that are not series.
    faults: u64,
}

fn store(shared: &Shared, encoded: Encoded, (encoding, client): (Encoding, Client)) -> Result<Stored, Failure> {
    let bounds = shared.bodies.samples;
    let body = encoded.text(bounds).map_err(Failure::Refused)?;
    let limits = Limits { body_bytes: bounds.bytes, ..Limits::default() };
    let mut faults = 0;
    let stored = series::store(shared, (FORMAT, client), |writer| {
        faults = 0;
        let read = otlp::read(encoding, &body, &limits, |series| match series {
            Ok(series) => writer.push(&series),
            Err(error) => {
                faults += 1;
                writer.tally.reject(error.to_string());
            }
        });
        read.map_err(Failure::of_format)?;
        Ok(Some(Identity::of_body(encoding.content_type(), &body)))
    })?;
    Ok(Stored { tally: stored.tally, faults })
}

impl Stored {
    fn into_response(self, encoding: Encoding) -> Response {
        let points = self.tally.rejected_samples + self.tally.rejected_histograms + self.faults;
        let text = series::rejections(&self.tally, points);
        let body = answer::response(encoding, text.as_deref().map(|text| (points, text)));
        ([(header::CONTENT_TYPE, encoding.content_type())], body).into_response()
    }
}

/// An error in the form of OTLP.
fn refusal(mut response: Response, encoding: Encoding) -> Response {
    if [StatusCode::REQUEST_TIMEOUT, StatusCode::INTERNAL_SERVER_ERROR].contains(&response.status()) {
        // After 408 and 500 an exporter would drop what it can send again.
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    reworded(response, |status, text| {
        let body = answer::status(encoding, code(status), text);
        (status, [(header::CONTENT_TYPE, encoding.content_type())], body).into_response()
    })
}

/// The code of gRPC for a status.
///
/// <https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto>
fn code(status: StatusCode) -> u8 {
    match status {
        StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
        status if status.is_client_error() => 3,
        _ => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_sent_again_gets_a_status_after_which_an_exporter_does_so() {
        let cases = [
            (StatusCode::REQUEST_TIMEOUT, StatusCode::SERVICE_UNAVAILABLE),
            (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE),
            (StatusCode::SERVICE_UNAVAILABLE, StatusCode::SERVICE_UNAVAILABLE),
            (StatusCode::TOO_MANY_REQUESTS, StatusCode::TOO_MANY_REQUESTS),
            (StatusCode::BAD_REQUEST, StatusCode::BAD_REQUEST),
        ];
        for (found, expected) in cases {
            assert_eq!(refusal(problem(found, "why"), Encoding::Json).status(), expected, "{found}");
        }
    }
}
