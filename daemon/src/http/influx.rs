//! `POST /write` and `POST /api/v2/write` take points in InfluxDB's line protocol, as Telegraf and InfluxDB's clients send
//! them, and the routes beside them answer what such clients ask first.
//!
//! * <https://docs.influxdata.com/influxdb/v1/tools/api/#write-http-endpoint>
//! * <https://docs.influxdata.com/influxdb/v2/api/#operation/PostWrite>
//!
//! [`[[streams]]`](daemon_sources::mapping) decides what becomes of a field. The response follows once all accepted fields
//! are on disk. Telegraf drops a batch after 400 and sends it again after 429 and 5xx:
//!
//! | status | meaning |
//! |---|---|
//! | 204 | all fields are durable, texts, or of series that no stream takes |
//! | 400 | some lines can never be taken, and all others are durable; or `precision` is wrong |
//! | 413, 415, 429, 503 | as for samples; a body that was too slow gets 503, so that it is sent again |
//!
//! The same body counts once if every point has a time and the log is the embedded one, also as the [first
//! part](growing) of a later one: on Kafka each body counts. A point without a time has that of its arrival.

mod growing;

use std::sync::{Arc, Once};

use axum::extract::{Extension, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use daemon_base::listener::Client;
use daemon_formats::Limits;
use daemon_formats::line_protocol::{self, Precision};
use daemon_sources::mapping::Tally;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tracing::info;

use crate::http::body::{Encoded, Refusal};
use crate::http::ingest::{self, Failure};
use crate::http::series;
use crate::http::{Shared, json, problem, problem_of, reworded};

/// The name of the format in metrics.
const FORMAT: &str = "influx";

/// The parameters of both versions. All but `precision` name a place to store, which the streams decide here.
const PARAMETERS: [&str; 9] = ["bucket", "consistency", "db", "org", "orgID", "p", "precision", "rp", "u"];

/// The statements by which a client makes sure that there is a database.
const HARMLESS: [&str; 3] = ["CREATE DATABASE ", "CREATE RETENTION POLICY ", "SHOW DATABASES"];

type Parameters = Query<Vec<(String, String)>>;

/// Takes points by the API of version 1.
pub(super) async fn post_1(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Query(parameters): Parameters,
    request: Request,
) -> Response {
    // The error response of all other routes is that of InfluxDB 1.
    post(shared, client, &parameters, request).await
}

/// Takes points by the API of version 2.
pub(super) async fn post_2(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Query(parameters): Parameters,
    request: Request,
) -> Response {
    let response = post(shared, client, &parameters, request).await;
    reworded(response, |status, text| json(status, &json!({"code": code(status), "message": text})))
}

async fn post(shared: Arc<Shared>, client: Client, parameters: &[(String, String)], request: Request) -> Response {
    let precision = match precision(parameters) {
        Ok(precision) => precision,
        Err(text) => return problem(StatusCode::BAD_REQUEST, &text),
    };
    let (head, body) = request.into_parts();
    let work = move |shared: &Shared, encoded| store(shared, encoded, (precision, client));
    let mut response = match ingest::run(&shared, client, &head.headers, body, work).await {
        Ok(tally) => answer(&tally),
        Err(response) => *response,
    };
    if response.status() == StatusCode::REQUEST_TIMEOUT {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Logs the first parameter that a write does not have, once. It is ignored, as by InfluxDB: some clients send parameters of
/// their own.
fn log_unknown(parameters: &[(String, String)]) {
    static LOGGED: Once = Once::new();
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !PARAMETERS.contains(&name.as_str())) {
        LOGGED.call_once(|| {
            info!(parameter = %format_args!("{name:.100}"), "A write has an unknown parameter, which is ignored.");
        });
    }
}

fn precision(parameters: &[(String, String)]) -> Result<Precision, String> {
    log_unknown(parameters);
    let named = parameters.iter().find(|(name, value)| name == "precision" && !value.is_empty());
    let named = named.map_or("ns", |(_, value)| value);
    Precision::of(named).ok_or_else(|| format!("precision is {named:?}; write ns, us, ms, s, m or h"))
}

fn store(shared: &Shared, encoded: Encoded, (precision, client): (Precision, Client)) -> Result<Tally, Failure> {
    let bounds = shared.bodies.samples;
    let body = encoded.text(bounds).map_err(Failure::Refused)?;
    let limits = Limits { body_bytes: bounds.bytes, ..Limits::default() };
    let now_ms = i64::try_from(shared.clock.now_micros() / 1000).unwrap_or(i64::MAX);
    let parameters = growing::Parameters::new(precision);
    growing::store(&body, |body, identity| {
        series::store(shared, (FORMAT, client), |writer| {
            let request = line_protocol::Request { body, precision, now_ms, limits };
            let read = request.series(|series| match series {
                Ok(series) => writer.push(&series),
                Err(fault) => writer.tally.reject(fault.to_string()),
            });
            let summary = read.map_err(Failure::of_format)?;
            writer.tally.texts += summary.texts;
            let has_times = summary.without_time == 0;
            Ok(has_times.then(|| identity.of(body, &parameters)))
        })
    })
}

fn answer(tally: &Tally) -> Response {
    match series::rejections(tally, tally.rejected) {
        None => StatusCode::NO_CONTENT.into_response(),
        // The words by which clients know that the rest is stored.
        Some(text) => {
            let text = format!("partial write: {text} dropped={}", tally.rejected);
            problem_of(StatusCode::BAD_REQUEST, &text, None)
        }
    }
}

/// The code of an error of version 2.
fn code(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "invalid",
        StatusCode::PAYLOAD_TOO_LARGE => "request too large",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        StatusCode::TOO_MANY_REQUESTS => "too many requests",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported media type",
        _ => "internal error",
    }
}

/// Answers a client that looks for a server.
pub(super) async fn ping() -> Response {
    let version = concat!("derived-statsd-", env!("CARGO_PKG_VERSION"));
    ([("x-influxdb-version", version)], StatusCode::NO_CONTENT).into_response()
}

/// Answers a client of version 2 that looks for a server.
pub(super) async fn health() -> Response {
    let health = json!({
        "name": "derived-statsd", "status": "pass", "message": "takes writes", "checks": [],
        "version": env!("CARGO_PKG_VERSION"),
    });
    json(StatusCode::OK, &health)
}

/// Answers the statements of version 1 by which a client makes sure that there is a database; there is one of any name.
/// All others are refused: there is nothing to query.
pub(super) async fn query(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Query(parameters): Parameters,
    request: Request,
) -> Response {
    let named = parameters.iter().find(|(name, _)| name == "q").map(|(_, value)| value.clone());
    let statement = match named {
        Some(statement) => statement,
        None => match posted_statement(&shared, client, request).await {
            Ok(statement) => statement,
            Err(refusal) => return refusal.into_response(),
        },
    };
    let begins = |word: &&str| statement.trim_start().get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
    if !HARMLESS.iter().any(begins) {
        let text = "this server takes writes and CREATE DATABASE, and has no queries; results are at /analytics/uves";
        return problem(StatusCode::BAD_REQUEST, text);
    }
    json(StatusCode::OK, &json!({"results": [{"statement_id": 0}]}))
}

/// The parameter `q` of a posted form; empty if there is none. The form is read within the bounds of a query.
async fn posted_statement(shared: &Shared, client: Client, request: Request) -> Result<String, Refusal> {
    let (bounds, (head, body)) = (shared.bodies.query, request.into_parts());
    let encoded = shared.bodies.read(bounds, client, &head.headers, body, shared.stopping.clone()).await?;
    let body = encoded.text(bounds)?;
    let form = String::from_utf8_lossy(&body).replace('+', " ");
    let found = form.split('&').find_map(|field| field.strip_prefix("q=")).unwrap_or_default();
    Ok(percent_decode_str(found).decode_utf8_lossy().into_owned())
}
