//! The HTTP server, which ingests samples and serves proxy UVEs, results, health and metrics.
//!
//! | route | response |
//! |---|---|
//! | `POST /api/v1/samples` | ingests samples; responds once they are durable ([`samples`]) |
//! | `POST /api/v1/partials` | the same for what edges have aggregated |
//! | `POST /api/v1/write` | Prometheus remote write ([`write`](mod@write)) |
//! | `POST /write`, `/api/v2/write` | InfluxDB line protocol ([`influx`]) |
//! | `/ping`, `/health`, `/query` | what clients of InfluxDB ask before they write ([`influx`]) |
//! | `POST /v1/metrics` | OTLP metrics ([`otlp`]) |
//! | `GET /api/v1/results/stream` | results as server-sent events ([`stream`]) |
//! | `GET /api/v1/results/metrics` | the newest results as metrics, for a scrape ([`results_metrics`]) |
//! | `GET /api/v1/partitions` | the status of each partition ([`status`]) |
//! | `GET /api/v1/alarms` | the alarms that fire or are pending ([`alarms`]) |
//! | `GET /api/v1/status`, `/api/v1/loudest`, `/api/v1/proxies` | the state of the daemon, the loudest objects, the configured UVEs ([`overview`]) |
//! | `GET /api/v1/objects` | a page of the table of proxy UVEs ([`objects`]) |
//! | `GET /api/v1/history` and below | the recent results of an object ([`history`]) |
//! | `GET /api/v1/annotations` and below | what an annotation means and computes ([`annotations`]) |
//! | `GET /` and `/assets` | the page ([`page`]) |
//! | `/login`, `POST /logout` | the session of a browser ([`login`]) |
//! | `GET /analytics/uves` and below | the UVEs in the form of Contrail's analytics API ([`uves`]) |
//! | `GET`, `POST /api/v1/config` | the configuration in force; replaces it ([`configuration`]) |
//! | `POST`, `DELETE /api/v1/config/streams/NAME` | replaces or removes one stream of it ([`configuration`]) |
//! | `GET /api/v1/tap` | samples with their outcomes, and results, live ([`tap`]) |
//! | `GET /healthz`, `/readyz`, `/metrics` | liveness, readiness and metrics ([`status`]) |

mod access;
mod alarms;
mod annotations;
mod bodies;
mod body;
mod chunks;
mod configuration;
mod current;
mod history;
mod influx;
mod ingest;
mod listeners;
mod listing;
mod login;
mod objects;
mod openapi;
mod origin;
mod otlp;
mod overview;
mod page;
mod permits;
mod queue;
mod rate;
mod refusals;
mod results_metrics;
mod router;
mod samples;
mod series;
mod sessions;
mod status;
mod stream;
mod tap;
mod until;
mod uves;
mod write;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_base::clock::Clock;
use daemon_base::listener::Limits;
use daemon_log::Log;
use daemon_partition::{StatusSource, Taps};
use daemon_results::object_labels::ObjectLabels;
use daemon_sources::intake::Intake;
use daemon_sources::mapping::{Elections, Mapping, Processes};
use daemon_sources::timestamp::TimeUnit;
use derived_stats::Registry as Algorithms;
use prometheus_client::registry::Registry;
use proxy_uve::Plan;
use tokio::sync::watch;

use crate::engine::ReadyState;
use crate::telemetry::{Refused, Telemetry};
use daemon_view::EventHub;
use daemon_view::UveView;

pub(crate) use self::access::Access;
pub(crate) use self::bodies::Bodies;
pub(crate) use self::configuration::{Change, Configuration, Outcome, Wanted};
pub(crate) use self::current::Current;
pub(crate) use self::listeners::{Certificates, ListenerSettings, Server};
pub(crate) use self::permits::{Permits, blocking_threads};

/// The state that all handlers share.
pub(crate) struct Shared {
    pub log: Arc<dyn Log>,
    pub status: Arc<dyn StatusSource>,
    pub clock: Arc<dyn Clock>,
    pub intake: Intake,
    /// The streams of labelled series.
    pub mapping: Mapping,
    /// The labels that make the names of their objects.
    pub objects: ObjectLabels,
    /// Whether the log remembers idempotency keys.
    pub remembers_keys: bool,
    pub view: Arc<UveView>,
    pub events: Arc<EventHub>,
    pub telemetry: Arc<Telemetry>,
    pub registry: Registry,
    /// The algorithms of the embedding program.
    pub algorithms: Arc<Algorithms>,
    /// What is computed, by stream.
    pub plans: Vec<Arc<Plan>>,
    pub ready: ReadyState,
    /// True once the process stops.
    pub stopping: watch::Receiver<bool>,
    pub permits: Arc<Permits>,
    pub bodies: Arc<Bodies>,
    /// Who may use the server.
    pub access: Arc<Access>,
    pub certificates: Certificates,
    /// Who looks at the records.
    pub taps: Taps,
    /// The configuration in force; `None` if it has no file.
    pub configuration: Option<Configuration>,
}

/// What the handlers share under every configuration.
#[derive(Clone)]
pub(crate) struct Common {
    pub clock: Arc<dyn Clock>,
    pub stopping: watch::Receiver<bool>,
    /// The unit of the timestamps of samples.
    pub time_unit: TimeUnit,
    pub permits: Arc<Permits>,
    pub bodies: Arc<Bodies>,
    pub access: Arc<Access>,
    pub certificates: Certificates,
    /// The replicas that count.
    pub elections: Arc<Elections>,
    /// The processes that count.
    pub processes: Arc<Processes>,
}

impl Common {
    /// The permits and the space for bodies that the settings allow.
    pub(crate) fn new(
        settings: &HttpSettings,
        clock: Arc<dyn Clock>,
        stopping: watch::Receiver<bool>,
        access: Arc<Access>,
        (certificates, elections): (Certificates, Arc<Elections>),
    ) -> Self {
        let (permits, bodies) = (Arc::new(Permits::new(settings)), Arc::new(Bodies::new(settings)));
        let (time_unit, processes) = (settings.time_unit, Arc::default());
        Self { clock, stopping, time_unit, permits, bodies, access, certificates, elections, processes }
    }
}

/// The listeners and the limits of the server.
#[derive(Clone, Debug)]
pub(crate) struct HttpSettings {
    pub listeners: Vec<ListenerSettings>,
    /// The largest request body, in bytes.
    pub max_body_bytes: usize,
    /// The maximum number of concurrent requests with samples.
    pub max_in_flight: usize,
    /// The unit of the timestamps of samples.
    pub time_unit: TimeUnit,
    /// The maximum number of concurrent lists of UVEs; a client has half at most, as of event streams.
    pub max_readers: usize,
    /// The maximum number of concurrent event streams.
    pub max_streams: usize,
    /// The maximum number of requests a second of one client; 0 is no limit.
    pub max_requests_per_second: u32,
    /// The limits of the connections of each listener.
    pub limits: Limits,
    /// The time for the whole body of a request with samples.
    pub body_timeout: Duration,
}

impl HttpSettings {
    /// The settings with the connections that the limit of open files allows. One further server has the same limits.
    pub(crate) fn within_open_files(self) -> Self {
        Self { limits: self.limits.within_open_files(self.listeners.len() + 1), ..self }
    }
}

/// The response to a path that does not exist.
async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "this path does not exist; see /, /analytics/uves and /api/v1/samples")
}

/// The response to a path whose percent-encoding is not UTF-8.
fn bad_path(rejection: &PathRejection) -> Response {
    let text = format!("{}; write the path in percent-encoded UTF-8", rejection.body_text());
    problem(StatusCode::BAD_REQUEST, &text)
}

/// What an error response has beside its body: for formats whose errors have another form, and for the log.
#[derive(Clone)]
struct Problem {
    text: String,
    /// Why the whole request is refused; `None` if only parts of it are.
    refused: Option<Refused>,
}

/// An error response: `{"error": …}`.
fn problem(status: StatusCode, text: &str) -> Response {
    problem_of(status, text, Some(refusals::reason_of(status)))
}

/// The same for a request that is refused for this reason; `None` if only parts of it are refused.
fn problem_of(status: StatusCode, text: &str, refused: Option<Refused>) -> Response {
    let mut response = json(status, &serde_json::json!({ "error": text }));
    response.extensions_mut().insert(Problem { text: text.to_owned(), refused });
    response
}

/// An error response with the body that `form` makes of its text, and its own headers. Other responses stay as they are.
fn reworded(response: Response, form: impl FnOnce(StatusCode, &str) -> Response) -> Response {
    let Some(problem) = response.extensions().get::<Problem>() else { return response };
    let mut other = form(response.status(), &problem.text);
    other.extensions_mut().insert(problem.clone());
    for (name, value) in response.headers() {
        if *name != header::CONTENT_TYPE && *name != header::CONTENT_LENGTH {
            other.headers_mut().append(name, value.clone());
        }
    }
    other
}

/// The response to a request beyond a limit.
fn busy(reason: &str) -> Response {
    let response = problem(StatusCode::TOO_MANY_REQUESTS, &format!("{reason}; retry after a second"));
    ([(header::RETRY_AFTER, "1")], response).into_response()
}

fn json(status: StatusCode, value: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
