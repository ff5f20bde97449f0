//! `POST /api/v1/samples` ingests a batch of samples, `POST /api/v1/partials` one of partial states.
//!
//! The [`body`](super::body) has one sample per line, in either form of [`intake`](daemon_sources::intake), or is a JSON
//! array of samples; for partial states, the lines are those of `aggregate --partial`. The response follows once all
//! accepted lines are on disk, and lists the rejected lines:
//!
//! ```json
//! {"accepted":2,"rejected":1,"errors":[{"line":3,"error":"no stream `flows` is configured; …"}]}
//! ```
//!
//! | status | meaning |
//! |---|---|
//! | 200 | all lines accepted |
//! | 207 | some lines accepted, some rejected |
//! | 400 | no line accepted, a bad `Idempotency-Key`, a parameter, or a body not in its `Content-Encoding` |
//! | 403 | a browser sends the request for a page of another site |
//! | 408, 413 | body too slow, or above the limit ([`bodies`](super::bodies)) |
//! | 409 | the `Idempotency-Key` was used for another body |
//! | 415 | the body has a `Content-Encoding` other than gzip, deflate or zstd |
//! | 429 | the backlog or the requests in flight are at their limit; retry after `Retry-After` seconds |
//! | 503 | the write to the log failed or took too long, or the daemon is stopping |
//!
//! The write of a batch is atomic. With an `Idempotency-Key` header a client that received no response can send the
//! batch again: it counts once, and the second response equals the first. A batch of which no line was accepted is not
//! remembered: it is checked again, as the configuration may be another one by then.

use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use daemon_base::listener::Client;
use daemon_base::one_line::one_line;
use daemon_log::{AppendBatch, Appended, Idempotency};
use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::http::body::Encoded;
use crate::http::ingest::{self, Failure};
use crate::http::refusals::MAX_LOGGED;
use crate::http::{Shared, json, problem};

/// The most rejected lines that a response lists; further ones are only counted.
const MAX_NAMED: usize = 100;

/// The longest `Idempotency-Key`.
const MAX_KEY_BYTES: usize = 255;

/// The outcome of a batch, which the log stores with the idempotency key if a line was accepted.
#[derive(Debug, Default, Deserialize, Serialize)]
struct Outcome {
    accepted: u64,
    rejected: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Rejection>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Rejection {
    /// The number of the line, or of the element of an array, from 1.
    line: u64,
    error: String,
}

/// What the lines of a batch are.
#[derive(Clone, Copy, Debug)]
enum Lines {
    Partials,
    Samples,
}

impl Lines {
    /// The name of the format in messages.
    fn format(self) -> &'static str {
        match self {
            Self::Partials => "partials",
            Self::Samples => "samples",
        }
    }
}

/// Ingests a batch of samples.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    post_lines(shared, client, request, Lines::Samples).await
}

/// Ingests a batch of partial states.
pub(super) async fn post_partials(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    post_lines(shared, client, request, Lines::Partials).await
}

async fn post_lines(shared: Arc<Shared>, client: Client, request: Request, lines: Lines) -> Response {
    let (head, body) = request.into_parts();
    let key = match idempotency_key(&head.headers) {
        Ok(key) => key,
        Err(response) => return *response,
    };
    let work = move |shared: &Shared, encoded| append(shared, encoded, (client, key), lines);
    match ingest::run(&shared, client, &head.headers, body, work).await {
        Ok(outcome) => answer(&outcome),
        Err(response) => *response,
    }
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Box<Response>> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        let text =
            "the request has several headers Idempotency-Key; send one, the same for each repetition of the batch";
        return Err(Box::new(problem(StatusCode::BAD_REQUEST, text)));
    }
    match value.to_str() {
        Ok(key) if !key.is_empty() && key.len() <= MAX_KEY_BYTES => Ok(Some(key.to_owned())),
        _ => {
            let text = "an Idempotency-Key has 1 to 255 visible ASCII characters; a UUID is a good one";
            Err(Box::new(problem(StatusCode::BAD_REQUEST, text)))
        }
    }
}

fn append(
    shared: &Shared,
    encoded: Encoded,
    (client, key): (Client, Option<String>),
    lines: Lines,
) -> Result<Outcome, Failure> {
    let body = &encoded.decode(shared.bodies.samples).map_err(Failure::Refused)?[..];
    let mut batch = AppendBatch::new(shared.log.arrival(shared.clock.now_micros()));
    let mut outcome = read_lines(shared, body, &mut batch, lines);
    if let Some(key) = key {
        // The serialization of plain data into memory cannot fail.
        let stored = serde_json::to_vec(&outcome).unwrap_or_default();
        batch = batch.idempotent(Idempotency { key, body_crc: crc32fast::hash(body), outcome: stored });
    } else if batch.is_empty() {
        count(shared, client, &outcome, lines);
        return Ok(outcome);
    }
    match shared.log.append(batch).map_err(Failure::Log)? {
        Appended::Written(_) => count(shared, client, &outcome, lines),
        Appended::Duplicate { outcome: stored } => outcome = serde_json::from_slice(&stored).unwrap_or(outcome),
    }
    Ok(outcome)
}

/// Counts the lines of a batch, and logs the first one that is rejected.
fn count(shared: &Shared, client: Client, outcome: &Outcome, lines: Lines) {
    shared.telemetry.http.ingested(outcome.accepted, outcome.rejected);
    if let Some(Rejection { line, error }) = outcome.errors.first() {
        let (format, reason) = (lines.format(), format!("line {line}: {}", one_line(error, MAX_LOGGED)));
        warn!(format, client = %client.0, rejected = outcome.rejected, %reason, "Samples were rejected.");
    }
}

fn read_lines(shared: &Shared, body: &[u8], batch: &mut AppendBatch, lines: Lines) -> Outcome {
    let mut outcome = Outcome::default();
    let mut scratch = Vec::new();
    let (mut rest, mut line) = (body, 1);
    while !rest.is_empty() {
        let (taken, pushed) = match lines {
            Lines::Partials => shared.intake.push_first_partial(rest, batch, &mut scratch),
            Lines::Samples => shared.intake.push_first(rest, batch, &mut scratch),
        };
        match pushed {
            None => {}
            Some(Ok(())) => outcome.accepted += 1,
            Some(Err(error)) => {
                outcome.rejected += 1;
                if outcome.errors.len() < MAX_NAMED {
                    outcome.errors.push(Rejection { line, error: error.to_string() });
                }
            }
        }
        rest = &rest[taken..];
        line += 1;
    }
    outcome
}

fn answer(outcome: &Outcome) -> Response {
    let status = match (outcome.accepted, outcome.rejected) {
        (_, 0) => StatusCode::OK,
        (0, _) => StatusCode::BAD_REQUEST,
        _ => StatusCode::MULTI_STATUS,
    };
    json(status, outcome)
}
