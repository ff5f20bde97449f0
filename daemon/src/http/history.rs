//! `GET /api/v1/history/<type>?name=<name>` and `GET /api/v1/history/<type>/<name>`: the results of one object, in the form
//! of series for charts; see [`history`](daemon_view::history) for how they are found. Browsers and proxies change a path
//! with the name `..`, but no query.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use daemon_log::LogError;
use serde::Deserialize;

use crate::http::chunks::whole;
use crate::http::{Shared, bad_path, problem};
use daemon_view::history::{Wanted, read};

/// The results of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 2000;

/// The most results of a response, and at most one step more.
const MAX_LIMIT: usize = 20_000;

/// The query of a history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryQuery {
    /// The name of the object, if the path has none.
    name: Option<String>,
    /// The results of windows that start at this time or later, in microseconds.
    from: Option<u64>,
    /// The results of windows that start before this time, in microseconds.
    to: Option<u64>,
    /// The results from this offset of the log on.
    after: Option<u64>,
    /// The results before this offset of the log.
    before: Option<u64>,
    limit: Option<usize>,
}

/// Responds with the recent results of an object that the path names.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
) -> Response {
    match (path, HistoryQuery::checked(query)) {
        (Ok(_), Ok(HistoryQuery { name: Some(_), .. })) => {
            problem(StatusCode::BAD_REQUEST, "the path has the name of the object; leave `name` out")
        }
        (Ok(Path((uve_type, name))), Ok(query)) => answer(shared, client, uve_type, name, query).await,
        (Ok(_), Err(text)) => problem(StatusCode::BAD_REQUEST, &text),
        (Err(rejection), _) => bad_path(&rejection),
    }
}

/// Responds with the recent results of an object that the query names.
pub(super) async fn get_by_query(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
) -> Response {
    match (path, HistoryQuery::checked(query)) {
        (Ok(Path(uve_type)), Ok(mut query)) => match query.name.take() {
            Some(name) => answer(shared, client, uve_type, name, query).await,
            None => problem(StatusCode::BAD_REQUEST, "`name` is missing; expected the name of an object"),
        },
        (Ok(_), Err(text)) => problem(StatusCode::BAD_REQUEST, &text),
        (Err(rejection), _) => bad_path(&rejection),
    }
}

async fn answer(shared: Arc<Shared>, client: Client, uve_type: String, name: String, query: HistoryQuery) -> Response {
    let Some(table) = shared.view.table_of_object(&uve_type, &name) else {
        let text = format!(
            "`{uve_type}` is not a UVE type of Contrail, and no object or alarm is of it; see /analytics/uves. The history \
             of an object that is gone is under the name of its table, with its capitals"
        );
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let key = format!("{table}:{name}");
    let permit = match shared.permits.readers.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // With the permit: the work goes on when its client is gone.
    let read = tokio::task::spawn_blocking(move || {
        let history = read(&*shared.log, &shared.view, &shared.plans, query.wanted(key))?;
        shared.telemetry.http.history_read(history.read_bytes);
        anyhow::Ok((serde_json::to_vec(&history)?, permit))
    });
    match read.await {
        Ok(Ok((body, permit))) => ([(header::CONTENT_TYPE, "application/json")], whole(body, permit)).into_response(),
        Ok(Err(error)) if is_damage(&error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
        Ok(Err(error)) => problem(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}; retry in a moment")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the results could not be read"),
    }
}

/// Whether no retry reads what could not be read.
fn is_damage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LogError>().is_some_and(LogError::is_permanent)
}

impl HistoryQuery {
    fn checked(query: Result<Query<Self>, QueryRejection>) -> Result<Self, String> {
        let problem = match query {
            Ok(Query(query)) => match query.limit {
                Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => format!("`limit` is {limit}"),
                _ => return Ok(query),
            },
            Err(rejection) => rejection.body_text(),
        };
        Err(format!(
            "{problem}; `from` and `to` are times in microseconds, `before` and `after` are offsets of the results log, \
             `limit` is 1 to 20000, each given once"
        ))
    }

    fn wanted(&self, key: String) -> Wanted {
        Wanted {
            key,
            starts: self.from.unwrap_or(0)..self.to.unwrap_or(u64::MAX),
            offsets: self.after.unwrap_or(0)..self.before.unwrap_or(u64::MAX),
            limit: self.limit.unwrap_or(DEFAULT_LIMIT),
        }
    }
}
