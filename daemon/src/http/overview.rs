//! What the page needs beside UVEs and partitions: `GET /api/v1/loudest`, `/api/v1/status` and `/api/v1/proxies`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use derived_stats::entry::{ResultType, Role};
use proxy_uve::AttributeDescription;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::chunks::whole;
use crate::http::{Shared, json, login, problem};
use daemon_view::{Loud, UveView, split_key};

/// The objects of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 20;

/// The most objects of a response.
const MAX_LIMIT: usize = 200;

/// The query of the loudest objects.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoudestQuery {
    limit: Option<usize>,
}

/// One object in the response.
#[derive(Serialize)]
struct Shown<'e> {
    key: &'e str,
    #[serde(rename = "type")]
    uve_type: String,
    name: &'e str,
    uve: &'e str,
    proxy: &'e str,
    attribute: &'e str,
    value: Option<f64>,
    score: Option<f64>,
    expected: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    anomaly: bool,
    since: Option<u64>,
    start: u64,
    end: u64,
    partial: bool,
    values: Vec<f64>,
}

impl<'e> Shown<'e> {
    fn of(entry: &'e Loud, view: &UveView) -> Self {
        let (table, name) = split_key(&entry.key);
        let reading = entry.reading;
        Self {
            key: &entry.key,
            uve_type: view.type_of(table),
            name,
            uve: &entry.uve,
            proxy: &entry.proxy,
            attribute: &entry.attribute,
            value: reading.value,
            score: reading.score,
            expected: reading.expected,
            low: reading.low,
            high: reading.high,
            anomaly: reading.is_anomaly,
            since: entry.since,
            start: entry.start,
            end: entry.end,
            partial: entry.partial,
            values: entry.values.iter().copied().collect(),
        }
    }
}

/// The objects with the highest scores.
pub(super) async fn loudest(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<LoudestQuery>, QueryRejection>,
) -> Response {
    let limit = match query {
        Ok(Query(LoudestQuery { limit })) => limit.unwrap_or(DEFAULT_LIMIT),
        Err(rejection) => {
            let text = format!("{}; `limit`, given once, is a number of objects, 1 to 200", rejection.body_text());
            return problem(StatusCode::BAD_REQUEST, &text);
        }
    };
    if !(1..=MAX_LIMIT).contains(&limit) {
        let text = format!("`limit` is {limit}; expected a number of objects, 1 to {MAX_LIMIT}");
        return problem(StatusCode::BAD_REQUEST, &text);
    }
    // In a statement of its own: the lock must not be held while the types are looked up.
    let top = shared.view.loudest().top(limit);
    let shown: Vec<_> = top.iter().map(|entry| Shown::of(entry, &shared.view)).collect();
    json(StatusCode::OK, &shown)
}

/// The state of the whole daemon, with the reasons for what is wrong.
pub(super) async fn status(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let session = login::name_of_session(&shared, &headers);
    let permit = match shared.permits.partitions.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // On Kafka the bounds are read from the brokers.
    let read = tokio::task::spawn_blocking(move || (serde_json::to_vec(&status_of(&shared, session)), permit));
    match read.await {
        Ok((Ok(body), permit)) => {
            ([(axum::http::header::CONTENT_TYPE, "application/json")], whole(body, permit)).into_response()
        }
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "the status could not be read"),
    }
}

fn status_of(shared: &Shared, session: Option<String>) -> serde_json::Value {
    let stopping = shared.stopping.borrow().then(|| "stopping".to_owned());
    let reason = stopping.or_else(|| shared.ready.not_ready_reason());
    let outage = shared.log.outage().filter(|outage| outage.needs_restart).map(|outage| outage.reason);
    let bounds = shared.log.results_bounds().ok();
    let sinks = shared.telemetry.sinks.all().into_iter().map(|(name, sink)| {
        let lag = bounds.zip(sink.next).map(|(bounds, next)| bounds.next.saturating_sub(next));
        let problem = shared.telemetry.problem_of(&name);
        json!({ "name": name, "lag": lag, "durable": sink.is_durable, "problem": problem })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": shared.clock.now_micros(),
        "ready": reason.is_none(),
        "reason": reason,
        "needs_restart": outage,
        "warnings": shared.certificates.problems().map(|(_, reason)| reason).chain(shared.access.problem()).collect::<Vec<_>>(),
        "results": bounds.map(|bounds| json!({ "first": bounds.first, "next": bounds.next })),
        "sinks": sinks.collect::<Vec<_>>(),
        "session": session,
    })
}

/// The proxy UVEs that are configured, with the fields of their results.
pub(super) async fn proxies(State(shared): State<Arc<Shared>>) -> Response {
    let uves = shared.plans.iter().flat_map(|plan| {
        plan.uves().map(|uve| {
            json!({
                "uve": uve.name(),
                "stream": plan.stream().to_string(),
                "attributes": uve.attributes().map(|attribute| described(&attribute)).collect::<Vec<_>>(),
            })
        })
    });
    json(StatusCode::OK, &uves.collect::<Vec<_>>())
}

fn described(attribute: &AttributeDescription<'_>) -> serde_json::Value {
    let description = attribute.description;
    let fields = description.fields().iter().map(|described| {
        let field = described.field();
        json!({
            "name": described.name(),
            "group": field.group(),
            "role": field.role().map(role_name),
            "unit": field.unit().name(),
            "meaning": field.meaning(),
        })
    });
    json!({
        "name": attribute.name,
        "algorithm": description.algorithm(),
        "window": attribute.window,
        "number": matches!(description.result_type(), ResultType::Number),
        "fields": fields.collect::<Vec<_>>(),
    })
}

/// The name of a role in JSON.
pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Alarm => "alarm",
        Role::Expected => "expected",
        Role::High => "high",
        Role::Low => "low",
        Role::Score => "score",
        Role::Value => "value",
        // The roles of a later version of the library.
        _ => "other",
    }
}
