//! Health, readiness, metrics, partitions.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use proxy_uve::Fate;
use serde_json::{Map, Value};

use crate::http::{Shared, json, problem};

/// The process lives.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The process can do its work: partitions are restored, the view has caught up, and it is not stopping.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if *shared.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if *shared.ready.borrow() {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "restoring\n").into_response()
    }
}

/// Prometheus' scrape.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    // The log's sizes are read from disk.
    let encoded = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &shared.registry).map(|()| text)
    });
    match encoded.await {
        Ok(Ok(text)) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be encoded"),
    }
}

/// Where each partition stands.
pub(super) async fn partitions(State(shared): State<Arc<Shared>>) -> Response {
    let partitions: Vec<Value> = shared
        .telemetry
        .partitions()
        .into_iter()
        .map(|(id, status)| {
            let next = shared.log.bounds(id).map_or(status.cursor, |bounds| bounds.next);
            let fates: Map<_, _> =
                Fate::ALL.iter().map(|&fate| (fate.name().to_owned(), status.fates.count(fate).into())).collect();
            serde_json::json!({
                "stream": status.stream,
                "partition": id.partition,
                "cursor": status.cursor,
                "lag": next.saturating_sub(status.cursor),
                "closing": status.closing,
                "watermark": status.watermark,
                "objects": status.objects,
                "records": fates,
            })
        })
        .collect();
    json(StatusCode::OK, &partitions)
}
