//! The endpoints for liveness, readiness, metrics and partition status.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_kafka::RestoreTotals;
use daemon_partition::PartitionStatus;

use crate::http::{Shared, json, problem};

/// The liveness probe: it responds if the process runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The readiness probe: partitions are restored, the view has caught up, and the process is not stopping.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if *shared.stopping.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    let restores = shared.telemetry.group.restores();
    if *shared.ready.borrow() && restores.is_none() {
        return "ready\n".into_response();
    }
    let text = match restores {
        None => "starting\n".to_owned(),
        Some(RestoreTotals { done, partitions, records, expected }) => {
            format!("restoring: {done} of {partitions} partitions, {records} of at most {expected} state records\n")
        }
    };
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

/// The metrics in OpenMetrics text format.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    // The collector of log sizes reads the disk.
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

/// The status of each partition.
pub(super) async fn partitions(State(shared): State<Arc<Shared>>) -> Response {
    // On Kafka this sends requests to the brokers.
    match tokio::task::spawn_blocking(move || shared.status.partitions()).await {
        Ok(Ok(partitions)) => {
            json(StatusCode::OK, &partitions.iter().map(PartitionStatus::to_json).collect::<Vec<_>>())
        }
        Ok(Err(error)) => problem(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the partitions could not be read"),
    }
}
