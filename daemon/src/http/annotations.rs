//! What an annotation means, and what it computes: `GET /api/v1/annotations/menu`, `GET /api/v1/annotations/explain` and
//! `POST /api/v1/annotations/run`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use daemon_detect::run::{Detector, Scored};
use daemon_detect::series::Series;
use daemon_results::reading::{LOUD, Reading};
use daemon_sources::opening::without_mark;
use derived_stats::entry::{Argument, Entry};
use derived_stats::{AnnotationError, MetricKind, Registry, Spec, ValueType};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::facts::{self, ASSUMED_PERIOD_SECONDS, Facts};
use crate::http::body::Refusal;
use crate::http::chunks::whole;
use crate::http::overview::role_name;
use crate::http::{Shared, json as respond, problem};

/// The most rows of a series to run on.
const MAX_ROWS: usize = 20_000;

/// The longest period, in seconds: a day.
const MAX_PERIOD_SECONDS: u32 = 86_400;

/// The query of an explanation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    annotation: String,
    #[serde(rename = "type", default = "unsigned")]
    value: ValueType,
    #[serde(default)]
    metric: Metric,
}

fn unsigned() -> ValueType {
    ValueType::U64
}

/// The kinds of metric, as spelled in a query.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Metric {
    Agg,
    Diff,
    #[default]
    Plain,
}

/// The query of a run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunQuery {
    annotation: String,
    period: Option<u32>,
}

/// The menu of algorithms: the built-in ones and those of the embedding program.
pub(super) async fn menu(State(shared): State<Arc<Shared>>) -> Response {
    let entries = derived_stats::menu().iter().copied().chain(shared.algorithms.entries());
    respond(StatusCode::OK, &entries.map(entry).collect::<Vec<_>>())
}

fn entry(entry: &Entry) -> Value {
    let roles = entry.roles();
    json!({
        "name": entry.name(),
        "summary": entry.summary(),
        "roles": {
            "inline": roles.inline,
            "period": roles.period,
            "pre_aggregation": roles.pre_aggregation,
            "detector": roles.detector,
        },
        "arguments": entry.argument_list().iter().map(argument).collect::<Vec<_>>(),
    })
}

fn argument(argument: &Argument) -> Value {
    json!({
        "name": argument.name(),
        "expected": argument.expected(),
        "example": argument.example(),
        "required": argument.is_required(),
        "named": argument.is_named(),
        "default": argument.absent(),
    })
}

/// Explains an annotation. A wrong one is a normal answer: who asks wants to know.
pub(super) async fn explain(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(rejection) => {
            let text = format!(
                "{}; `annotation` is required; `type` is u64, i64 or f64, `metric` is plain, agg or diff, each given \
                 once",
                rejection.body_text()
            );
            return problem(StatusCode::BAD_REQUEST, &text);
        }
    };
    let metric = match query.metric {
        Metric::Agg => MetricKind::Agg,
        Metric::Diff => MetricKind::Diff,
        Metric::Plain => MetricKind::Plain,
    };
    let answer = match facts::compile(&query.annotation, query.value, metric, &shared.algorithms) {
        Ok(spec) => explanation(&spec),
        Err(error) => json!({ "valid": false, "error": mistake(&error) }),
    };
    respond(StatusCode::OK, &answer)
}

fn explanation(spec: &Spec) -> Value {
    let facts = Facts::of(spec, false);
    let fields = spec.description().fields().iter().map(|described| {
        let field = described.field();
        json!({
            "name": described.name(),
            "unit": field.unit().name(),
            "meaning": field.meaning(),
            "role": field.role().map(role_name),
        })
    });
    json!({
        "valid": true,
        "links": facts.links,
        "lines": facts.lines,
        "fields": fields.collect::<Vec<_>>(),
        "facts": facts,
    })
}

fn mistake(error: &AnnotationError) -> Value {
    let span = error.span();
    json!({
        "message": error.kind().to_string(),
        "start": span.start,
        "end": span.end,
        "text": error.to_string(),
    })
}

/// Runs an annotation on the rows `timestamp,value` of the body. As for an explanation, a mistake in either is an answer.
pub(super) async fn run(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<RunQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            let text =
                format!("{}; `annotation` is required, `period` is in seconds, each given once", rejection.body_text());
            return problem(StatusCode::BAD_REQUEST, &text);
        }
    };
    let period = query.period.unwrap_or(ASSUMED_PERIOD_SECONDS);
    if !(1..=MAX_PERIOD_SECONDS).contains(&period) {
        let text = format!("`period` is {period}; expected 1 to {MAX_PERIOD_SECONDS} seconds");
        return problem(StatusCode::BAD_REQUEST, &text);
    }
    let bounds = shared.bodies.series;
    let encoded = match shared.bodies.read(bounds, client, &headers, body, shared.stopping.clone()).await {
        Ok(encoded) => encoded,
        Err(refusal) => return refusal.into_response(),
    };
    let permit = match shared.permits.readers.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    let algorithms = Arc::clone(&shared.algorithms);
    let computed = tokio::task::spawn_blocking(move || {
        let body = encoded.text(bounds)?;
        let outcome = compute(&query.annotation, period, without_mark(&body), &algorithms);
        let outcome = outcome.unwrap_or_else(|text| json!({ "valid": false, "error": { "message": text } }));
        Ok::<_, Refusal>((outcome.to_string().into_bytes(), permit))
    });
    match computed.await {
        Ok(Ok((body, permit))) => ([(header::CONTENT_TYPE, "application/json")], whole(body, permit)).into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the annotation could not be run"),
    }
}

fn compute(annotation: &str, period: u32, body: &[u8], algorithms: &Registry) -> Result<Value, String> {
    let detector = Detector::of_annotation(annotation, period, algorithms).map_err(|error| error.to_string())?;
    let threshold = (!detector.has_alarms()).then_some(LOUD);
    let detector = detector.with_threshold(threshold).map_err(|error| error.to_string())?;
    let mut series = Series::read(body).map_err(|error| error.to_string())?;
    if series.points.len() > MAX_ROWS {
        return Err(format!("the series has {} rows; expected at most {MAX_ROWS}; send a part", series.points.len()));
    }
    series.sort();
    let (scored, refused) = detector.run(&series.points);
    let errors = series.errors.iter().map(|(line, error)| json!({ "line": line, "error": error.to_string() }));
    Ok(json!({
        "valid": true,
        "points": scored.iter().map(|scored| point(scored, threshold.is_some())).collect::<Vec<_>>(),
        "periods": detector.has_periods(),
        "refused": refused,
        "missing": series.missing,
        "bad_lines": series.bad_lines,
        "errors": errors.collect::<Vec<_>>(),
    }))
}

/// Time in microseconds, value, score, expected value, lower and upper bound, 1 for an anomaly.
type Shown = (u64, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, u8);

fn point(scored: &Scored, without_alarms: bool) -> Shown {
    let reading = Reading {
        value: Some(scored.value),
        score: scored.score,
        expected: scored.expected,
        low: scored.low,
        high: scored.high,
        is_anomaly: scored.is_alarm,
    };
    let Reading { value, score, expected, low, high, is_anomaly } =
        if without_alarms { reading.with_band() } else { reading };
    (scored.at, value, score, expected, low, high, u8::from(is_anomaly))
}
