//! The endpoints for liveness, readiness, metrics and partition status.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use daemon_base::listener::Client;
use daemon_partition::PartitionStatus;

use crate::http::chunks::whole;
use crate::http::{Shared, problem};
use crate::telemetry::Exposition;

/// The liveness probe: 503 when only a restart can help. What is wrong and stops nothing is named in further lines.
pub(super) async fn healthz(State(shared): State<Arc<Shared>>) -> Response {
    match shared.log.outage().filter(|outage| outage.needs_restart) {
        Some(outage) => unavailable(&outage.reason),
        None => format!("ok\n{}", shared.certificates.warnings()).into_response(),
    }
}

/// The readiness probe: 503 with the reason while the daemon [is not ready](crate::engine::ReadyState) or stops.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>) -> Response {
    if *shared.stopping.borrow() {
        return unavailable("stopping");
    }
    match shared.ready.not_ready_reason() {
        None => format!("ready\n{}", shared.certificates.warnings()).into_response(),
        Some(reason) => unavailable(&reason),
    }
}

fn unavailable(reason: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response()
}

/// The metrics in the format that the client asks for.
pub(super) async fn metrics(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Response {
    let accept: Vec<_> = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Exposition::accepted(&accept.join(","));
    let permit = match shared.permits.metrics.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // The collector of log sizes reads the disk.
    let encoded = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        // With the permit: the work goes on when its client is gone.
        prometheus_client::encoding::text::encode(&mut text, &shared.registry).map(|()| (format.of(text), permit))
    });
    match encoded.await {
        Ok(Ok((text, permit))) => {
            let head = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "accept")];
            (head, whole(text.into(), permit)).into_response()
        }
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be encoded"),
    }
}

/// The status of each partition.
pub(super) async fn partitions(State(shared): State<Arc<Shared>>, Extension(client): Extension<Client>) -> Response {
    let permit = match shared.permits.partitions.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // On Kafka this waits for the brokers, for a moment.
    let read = tokio::task::spawn_blocking(move || {
        let partitions = shared.status.partitions()?;
        let partitions: Vec<_> = partitions.iter().map(PartitionStatus::to_json).collect();
        // With the permit: the work goes on when its client is gone.
        anyhow::Ok((serde_json::to_vec(&partitions)?, permit))
    });
    match read.await {
        Ok(Ok((body, permit))) => ([(header::CONTENT_TYPE, "application/json")], whole(body, permit)).into_response(),
        Ok(Err(error)) => problem(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the partitions could not be read"),
    }
}
