//! The trace of requests with samples that are refused as a whole: each is counted by input and reason, and logged unless
//! its client sends it again.

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use daemon_base::listener::Client;
use daemon_base::one_line::one_line;
use tracing::warn;

use crate::http::Problem;
use crate::telemetry::{HttpTelemetry, Refused, input_of};

/// The most characters of an error that a message has: the beginning of what the client sent is enough, which may have a
/// name of any length.
pub(super) const MAX_LOGGED: usize = 300;

/// Answers a request; a refusal of samples leaves its trace. `path` is that of the route.
pub(super) async fn traced(telemetry: &HttpTelemetry, path: &str, request: Request, next: Next) -> Response {
    // Another method, as a probe of the path has it, has no samples.
    let input = input_of(path).filter(|_| request.method() == Method::POST);
    let client = request.extensions().get::<Client>().copied();
    let response = next.run(request).await;
    let problem = response.extensions().get::<Problem>();
    if let (Some(input), Some(Problem { text, refused: Some(reason) })) = (input, problem) {
        telemetry.refused(input, *reason);
        if !is_temporary(response.status()) {
            let client = client.map(|Client(address)| address.to_string()).unwrap_or_default();
            let (status, text) = (response.status().as_u16(), one_line(text, MAX_LOGGED));
            warn!(input, %client, status, reason = %text, "A request with samples was refused as a whole.");
        }
    }
    response
}

/// Whether clients send the same request again after this status, so that nothing is lost by the refusal.
fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// The reason of an error response with this status.
pub(super) fn reason_of(status: StatusCode) -> Refused {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Refused::Access,
        StatusCode::REQUEST_TIMEOUT => Refused::Slow,
        StatusCode::PAYLOAD_TOO_LARGE => Refused::Size,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refused::Coding,
        StatusCode::TOO_MANY_REQUESTS => Refused::Busy,
        status if status.is_client_error() => Refused::Request,
        _ => Refused::Unavailable,
    }
}
