//! `GET /api/v1/config` shows the configuration in force, and `POST /api/v1/config` replaces it.
//!
//! The body of a POST is the whole file. It is checked as `derived-statsd validate` does; a fault changes nothing.
//! The response comes once the change is in force, or with every reason why it is not.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::http::{Shared, json, problem};

/// The configuration that the handlers show and replace.
#[derive(Clone)]
pub(crate) struct Configuration {
    /// The response of `GET`: nothing in it is secret.
    pub shown: Arc<Value>,
    /// Takes the requests for a change.
    pub changes: mpsc::Sender<Change>,
}

/// A request to read the configuration again.
pub(crate) struct Change {
    /// The new text of the configuration file; without one, the file is read.
    pub text: Option<String>,
    /// Takes the outcome.
    pub answer: Option<oneshot::Sender<Outcome>>,
}

/// What became of a [`Change`].
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is in force, with a report; or nothing had changed.
    Applied(Value),
    /// The configuration has these faults.
    Invalid(Vec<String>),
    /// It cannot be put in force in this process, for these reasons.
    Refused(Vec<String>),
    /// It cannot be put in force now.
    Unavailable(String),
}

/// Shows the configuration.
pub(super) async fn get(State(shared): State<Arc<Shared>>) -> Response {
    match &shared.configuration {
        Some(configuration) => json(StatusCode::OK, &*configuration.shown),
        None => none(),
    }
}

/// Replaces the configuration file and puts it in force.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(configuration) = &shared.configuration else { return none() };
    if !shared.access.is_guarded() {
        let text = "a change over HTTP needs a token with the scope `admin`, and http.tokens_file is not set; set it, or \
                    edit the file and send SIGHUP";
        return problem(StatusCode::FORBIDDEN, text);
    }
    let bounds = shared.bodies.configuration;
    let encoded = shared.bodies.read(bounds, client, &headers, body, shared.stopping.clone()).await;
    let text = match encoded.and_then(|encoded| encoded.text(bounds)) {
        Ok(text) => text,
        Err(refusal) => return refusal.into_response(),
    };
    let Ok(text) = String::from_utf8(text) else {
        return problem(StatusCode::BAD_REQUEST, "the body is not UTF-8; send the configuration file as it is");
    };
    let (answer, outcome) = oneshot::channel();
    let change = Change { text: Some(text), answer: Some(answer) };
    if configuration.changes.try_send(change).is_err() {
        return unavailable("another change of the configuration is being applied");
    }
    match outcome.await {
        Ok(outcome) => outcome.into_response(),
        Err(_) => unavailable("the daemon stops"),
    }
}

impl Outcome {
    /// The name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::Invalid(_) => "invalid",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn into_response(self) -> Response {
        let refused = |error: &str, problems: Vec<String>| json!({ "error": error, "problems": problems });
        match self {
            Self::Applied(report) => json(StatusCode::OK, &report),
            Self::Invalid(problems) => {
                let body = refused("the configuration is not valid; nothing has changed", problems);
                json(StatusCode::BAD_REQUEST, &body)
            }
            Self::Refused(reasons) => {
                let body =
                    refused("the configuration cannot be applied to a running daemon; nothing has changed", reasons);
                json(StatusCode::CONFLICT, &body)
            }
            Self::Unavailable(reason) => unavailable(&reason),
        }
    }
}

fn none() -> Response {
    problem(StatusCode::NOT_FOUND, "this daemon has no configuration that can be read or replaced: it is a demo")
}

fn unavailable(reason: &str) -> Response {
    let response = problem(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}; nothing has changed"));
    ([(header::RETRY_AFTER, "1")], response).into_response()
}
