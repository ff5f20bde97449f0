//! `GET /api/v1/openapi.json`: the description of this API for programs, in OpenAPI 3.1.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};

/// Written by hand; a test compares its paths with the routes, and another asks the daemon by it.
const DOCUMENT: &str = include_str!("../../../docs/schema/openapi.json");

/// The document.
pub(super) async fn get() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
