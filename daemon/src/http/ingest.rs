//! What all requests with samples have in common: the body is read, then decoded and written to the log on a thread that
//! may block, within the permits and the time of such requests.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_base::listener::Client;
use daemon_log::LogError;
use tokio::time::timeout;

use crate::http::body::{Encoded, Refusal};
use crate::http::{Shared, problem, problem_of};
use crate::telemetry::Refused;

/// How long a request waits for the log. Its permit is in use until the log is done with it.
const LOG_TIMEOUT: Duration = Duration::from_secs(60);

/// Why a batch is not ingested.
pub(super) enum Failure {
    /// The request is not of its format; what was found, and the remedy.
    Format(String),
    Log(LogError),
    Refused(Refusal),
}

impl Failure {
    /// The failure of a decoder.
    pub(super) fn of_format(error: impl Display) -> Self {
        Self::Format(error.to_string())
    }
}

/// Reads the body of a request and passes it to `work`, which may block.
///
/// # Errors
///
/// The response to a request that is not ingested.
pub(super) async fn run<T: Send + 'static>(
    shared: &Arc<Shared>,
    client: Client,
    headers: &HeaderMap,
    body: Body,
    work: impl FnOnce(&Shared, Encoded) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Box<Response>> {
    let (bounds, stopping) = (shared.bodies.samples, shared.stopping.clone());
    let encoded = shared.bodies.read(bounds, client, headers, body, stopping).await;
    let encoded = encoded.map_err(|refusal| Box::new(refusal.into_response()))?;
    let permit = shared.permits.samples.take(client)?;
    if *shared.stopping.borrow() {
        return Err(Box::new(Refusal::Stopping.into_response()));
    }
    let for_log = Arc::clone(shared);
    let done = tokio::task::spawn_blocking(move || {
        let _held = permit;
        work(&for_log, encoded)
    });
    let response = match timeout(LOG_TIMEOUT, done).await {
        Ok(Ok(Ok(outcome))) => return Ok(outcome),
        Ok(Ok(Err(failure))) => failure.into_response(),
        Ok(Err(_)) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the batch could not be processed, and may be stored; send it again with an Idempotency-Key",
        ),
        Err(_) => problem(
            StatusCode::SERVICE_UNAVAILABLE,
            "the log did not store the batch within a minute, and still may; send it again with an Idempotency-Key",
        ),
    };
    Err(Box::new(response))
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Format(error) => {
                let text = format!("{error}; nothing of it is stored");
                problem_of(StatusCode::BAD_REQUEST, &text, Some(Refused::Format))
            }
            Self::Log(error) => failed(&error),
            Self::Refused(refusal) => refusal.into_response(),
        }
    }
}

fn failed(error: &LogError) -> Response {
    let (status, retry_after) = match error {
        LogError::Full { retry_after, .. } => (StatusCode::TOO_MANY_REQUESTS, retry_after.as_secs().max(1)),
        LogError::IdempotencyConflict { .. } => (StatusCode::CONFLICT, 0),
        LogError::InvalidArgument { .. } => (StatusCode::BAD_REQUEST, 0),
        error if error.is_temporary() => (StatusCode::SERVICE_UNAVAILABLE, 1),
        // Until an operator acts: no time to retry at.
        error if error.remedy().is_some() => (StatusCode::SERVICE_UNAVAILABLE, 0),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, 0),
    };
    let response = problem(status, &error.to_string());
    if retry_after == 0 {
        return response;
    }
    ([(header::RETRY_AFTER, retry_after.to_string())], response).into_response()
}
