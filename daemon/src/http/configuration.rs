//! `GET /api/v1/config` shows the configuration in force, and `POST /api/v1/config` replaces it.
//!
//! The body of a POST is the whole file, or below `/api/v1/config/streams/NAME` the keys of one stream. The new file is
//! checked as `derived-statsd validate` does; a fault changes nothing. The response comes once the change is in force,
//! or with every reason why it is not.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use daemon_partition::MemberStatus;
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
    pub wanted: Wanted,
    /// Takes the outcome.
    pub answer: Option<oneshot::Sender<Outcome>>,
}

/// The configuration that a change shall lead to.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// That of the sources as they are now.
    Sources,
    /// The same with one stream replaced by one with these keys; removed without keys.
    Stream { name: String, keys: Option<String> },
    /// The same with another text of the file.
    Text(String),
}

/// What became of a [`Change`].
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is in force, with a report; or nothing had changed.
    Applied(Value),
    /// This daemon has taken it over, and it is in force once the group agrees on it; with a report.
    Accepted(Value),
    /// No daemon can start with it, for these reasons; the one before is in force again.
    Failed(Vec<String>),
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
        Some(configuration) => json(StatusCode::OK, &with_group(&configuration.shown, shared.status.members())),
        None => none(),
    }
}

/// The configuration with the group that agrees on it, where daemons share a log.
fn with_group(shown: &Value, members: Option<Vec<MemberStatus>>) -> Value {
    let mut shown = shown.clone();
    if let (Some(members), Some(fields)) = (members, shown.as_object_mut()) {
        let in_force = members.iter().filter(|member| member.works).filter_map(|member| member.generation).max();
        let member =
            |it: &MemberStatus| json!({ "instance": it.instance, "generation": it.generation, "works": it.works });
        let members: Vec<_> = members.iter().map(member).collect();
        fields.insert("group".to_owned(), json!({ "generation": in_force, "members": members }));
    }
    shown
}

/// Replaces the configuration file and puts it in force.
pub(super) async fn post(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match body_text(&shared, client, &headers, body).await {
        Ok(text) => change(&shared, Wanted::Text(text)).await,
        Err(refusal) => refusal,
    }
}

/// Replaces one stream of the configuration file, or adds it.
pub(super) async fn post_stream(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    match body_text(&shared, client, &headers, body).await {
        Ok(keys) => change(&shared, Wanted::Stream { name, keys: Some(keys) }).await,
        Err(refusal) => refusal,
    }
}

/// Removes one stream from the configuration file.
pub(super) async fn delete_stream(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    change(&shared, Wanted::Stream { name, keys: None }).await
}

/// The text of a body, if the configuration may be changed by a request.
async fn body_text(shared: &Shared, client: Client, headers: &HeaderMap, body: Body) -> Result<String, Response> {
    // Before the body is read.
    if let Some(refusal) = refusal(shared) {
        return Err(refusal);
    }
    let bounds = shared.bodies.configuration;
    let encoded = shared.bodies.read(bounds, client, headers, body, shared.stopping.clone()).await;
    let text = encoded.and_then(|encoded| encoded.text(bounds)).map_err(|refusal| refusal.into_response())?;
    String::from_utf8(text)
        .map_err(|_| problem(StatusCode::BAD_REQUEST, "the body is not UTF-8; send the configuration file as it is"))
}

/// Why no request may change the configuration, if none may.
fn refusal(shared: &Shared) -> Option<Response> {
    if shared.configuration.is_none() {
        return Some(none());
    }
    if shared.access.is_guarded() {
        return None;
    }
    let text = "a change over HTTP needs a token with the scope `admin`, and http.tokens_file is not set; set it, or \
                edit the file and send SIGHUP";
    Some(problem(StatusCode::FORBIDDEN, text))
}

/// Requests a change, and waits for its outcome.
async fn change(shared: &Shared, wanted: Wanted) -> Response {
    if let Some(refusal) = refusal(shared) {
        return refusal;
    }
    let Some(configuration) = &shared.configuration else { return none() };
    let (answer, outcome) = oneshot::channel();
    if configuration.changes.try_send(Change { wanted, answer: Some(answer) }).is_err() {
        return unavailable("another change of the configuration is being applied");
    }
    match outcome.await {
        Ok(outcome) => outcome.into_response(),
        Err(_) => unavailable("the daemon stops"),
    }
}

impl Outcome {
    /// The outcome of a change with which the daemon has started; `generation` is the version by which a group agrees.
    pub(crate) fn started(mut report: Value, generation: Option<u64>) -> Self {
        let Some(generation) = generation else { return Self::Applied(report) };
        if let Some(fields) = report.as_object_mut() {
            fields.insert("generation".to_owned(), generation.into());
            fields.insert("in_force".to_owned(), "see group in GET /api/v1/config".into());
        }
        Self::Accepted(report)
    }

    /// The name in metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Applied(_) | Self::Accepted(_) => "applied",
            Self::Failed(_) => "failed",
            Self::Invalid(_) => "invalid",
            Self::Refused(_) => "refused",
            Self::Unavailable(_) => "unavailable",
        }
    }

    fn into_response(self) -> Response {
        let refused = |error: &str, problems: Vec<String>| json!({ "error": error, "problems": problems });
        match self {
            Self::Applied(report) => json(StatusCode::OK, &report),
            Self::Accepted(report) => json(StatusCode::ACCEPTED, &report),
            Self::Failed(reasons) => {
                let body =
                    refused("the daemon cannot start with it; the configuration before is in force again", reasons);
                json(StatusCode::INTERNAL_SERVER_ERROR, &body)
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_group_is_accepted_with_its_generation_and_one_of_a_single_daemon_is_in_force() {
        let report = json!({ "changed": true });
        let alone = Outcome::started(report.clone(), None);
        assert!(matches!(&alone, Outcome::Applied(shown) if *shown == report), "{alone:?}");
        let of_group = Outcome::started(report, Some(7));
        assert!(matches!(&of_group, Outcome::Accepted(shown) if shown["generation"] == 7), "{of_group:?}");
        assert_eq!((of_group.name(), of_group.into_response().status()), ("applied", StatusCode::ACCEPTED));
        assert_eq!(alone.into_response().status(), StatusCode::OK);
    }

    #[test]
    fn the_generation_in_force_is_the_newest_of_those_that_work() {
        let member =
            |instance: &str, generation, works| MemberStatus { instance: instance.to_owned(), generation, works };
        let members = vec![member("a", Some(3), true), member("b", Some(4), false), member("c", None, true)];
        let shown = with_group(&json!({ "file": null }), Some(members));
        assert_eq!(shown["group"]["generation"], 3);
        assert_eq!(shown["group"]["members"][1], json!({ "instance": "b", "generation": 4, "works": false }));
        assert_eq!(with_group(&json!({ "file": null }), None), json!({ "file": null }));
    }
}
