//! The routes, and what every request passes on its way to them.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use percent_encoding::percent_decode_str;

use crate::http::listeners::ListenerInfo;
use crate::http::{
    Current, Shared, access, alarms, annotations, configuration, history, influx, listeners, login, not_found, objects,
    openapi, origin, otlp, overview, page, problem, rate, refusals, results_metrics, samples, status, stream, tap,
    uves, write,
};

/// The routes, as they are served on a listener.
pub(super) fn router(current: Current, listener: &Arc<ListenerInfo>) -> Router {
    Router::new()
        .route("/api/v1/samples", post(samples::post).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/partials", post(samples::post_partials).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/write", post(write::post).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/v1/metrics", post(otlp::post).route_layer(middleware::from_fn(refuse_parameters)))
        .merge(influx_routes())
        .merge(page_routes())
        .route("/api/v1/results/stream", get(stream::get))
        .route("/api/v1/results/metrics", get(results_metrics::get))
        .route("/api/v1/tap", get(tap::get))
        .merge(configuration_routes())
        .route("/api/v1/partitions", get(status::partitions).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/status", get(overview::status).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/proxies", get(overview::proxies).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/alarms", get(alarms::get))
        .route("/api/v1/loudest", get(overview::loudest))
        .route("/api/v1/objects", get(objects::get))
        .route("/api/v1/history/{uve_type}", get(history::get_by_query))
        .route("/api/v1/history/{uve_type}/{*name}", get(history::get))
        .route("/api/v1/openapi.json", get(openapi::get).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/annotations/menu", get(annotations::menu).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/api/v1/annotations/explain", get(annotations::explain))
        .route("/api/v1/annotations/run", post(annotations::run))
        .route("/analytics/uves", get(uves::types))
        .route("/analytics/uves/{uve_type}", get(uves::list).post(uves::posted))
        .route("/analytics/uves/{uve_type}/{*name}", get(uves::one))
        .route("/healthz", get(status::healthz))
        .route("/readyz", get(status::readyz))
        .route("/metrics", get(status::metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(refuse_query_not_utf8))
        .layer(middleware::from_fn_with_state(current.clone(), access::authorize))
        .layer(middleware::from_fn_with_state(current.clone(), rate::limit))
        .layer(middleware::from_fn_with_state(current.clone(), origin::refuse_other_sites))
        .layer(middleware::from_fn_with_state(Arc::clone(listener), listeners::refuse_other_roles))
        .layer(Extension(Arc::clone(listener)))
        .layer(middleware::from_fn_with_state(current.clone(), count))
        .with_state(current)
}

/// The routes of the page, and of the session of its browser.
fn page_routes() -> Router<Current> {
    Router::new()
        .route("/", get(page::get).route_layer(middleware::from_fn(refuse_parameters)))
        .route("/assets/{file}", get(page::get).route_layer(middleware::from_fn(refuse_parameters)))
        .route(
            "/login",
            get(login::form).post(login::login).route_layer(middleware::from_fn(|request: Request, next: Next| {
                refuse_other_parameters(login::LOGGED_OUT, request, next)
            })),
        )
        .route("/logout", post(login::logout).route_layer(middleware::from_fn(refuse_parameters)))
}

/// The routes of the configuration.
fn configuration_routes() -> Router<Current> {
    Router::new()
        .route(
            "/api/v1/config",
            get(configuration::get).post(configuration::post).route_layer(middleware::from_fn(refuse_parameters)),
        )
        .route(
            "/api/v1/config/streams/{name}",
            post(configuration::post_stream)
                .delete(configuration::delete_stream)
                .route_layer(middleware::from_fn(refuse_parameters)),
        )
}

/// The routes of InfluxDB's clients.
fn influx_routes() -> Router<Current> {
    Router::new()
        .route("/write", post(influx::post_1))
        .route("/api/v2/write", post(influx::post_2))
        .route("/ping", get(influx::ping).post(influx::ping))
        .route("/health", get(influx::health))
        .route("/query", get(influx::query).post(influx::query))
}

/// Counts the request by route and status.
async fn count(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let response = refusals::traced(&shared.telemetry.http, &path, request, next).await;
    shared.telemetry.http.answered(&path, response.status().as_u16());
    response
}

/// Refuses a query whose percent-encoding is not UTF-8, of which the handlers would get other characters.
async fn refuse_query_not_utf8(request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match percent_decode_str(query).decode_utf8() {
        Ok(_) => next.run(request).await,
        Err(error) => {
            let text = format!("the query is not UTF-8 ({error}); write parameters in percent-encoded UTF-8");
            problem(StatusCode::BAD_REQUEST, &text)
        }
    }
}

/// Refuses the parameters of a request to a route that has none: what they ask for would be left out in silence. The
/// probes and the metrics take any, as those who ask for them may not choose.
async fn refuse_parameters(request: Request, next: Next) -> Response {
    refuse_other_parameters("", request, next).await
}

/// Refuses every parameter but one without a value.
async fn refuse_other_parameters(known: &str, request: Request, next: Next) -> Response {
    let query = request.uri().query().unwrap_or_default();
    match query.split('&').find(|parameter| !parameter.is_empty() && *parameter != known) {
        None => next.run(request).await,
        Some(parameter) => {
            let name = parameter.split('=').next().unwrap_or(parameter);
            let text = format!("unknown parameter `{name}`; {} takes none", request.uri().path());
            problem(StatusCode::BAD_REQUEST, &text)
        }
    }
}

async fn method_not_allowed(method: Method, uri: Uri) -> Response {
    let text = format!("{method} is not possible at {}; the header Allow has the methods that are", uri.path());
    problem(StatusCode::METHOD_NOT_ALLOWED, &text)
}
