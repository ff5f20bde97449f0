//! `GET /api/v1/history/<type>/<name>`: the results of one object, in the form of series for charts; see
//! [`history`](daemon_view::history) for how they are found.

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
use daemon_view::Filter;
use daemon_view::history::{Wanted, read};

/// The results of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 2000;

/// The most results of a response, and at most one step more.
const MAX_LIMIT: usize = 20_000;

/// The query of a history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryQuery {
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

/// Responds with the recent results of an object.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
) -> Response {
    let (uve_type, name) = match path {
        Ok(Path(path)) => path,
        Err(rejection) => return bad_path(&rejection),
    };
    let query = match query.map_err(|rejection| rejection.body_text()).and_then(|Query(query)| query.checked()) {
        Ok(query) => query,
        Err(text) => {
            let expected = "`from` and `to` are times in microseconds, `before` and `after` are offsets of the results \
                            log, `limit` is 1 to 20000, each given once";
            return problem(StatusCode::BAD_REQUEST, &format!("{text}; {expected}"));
        }
    };
    let tables = shared.view.tables_of(&uve_type);
    let has_object = |table: &&String| shared.view.object(table, &name, &Filter::default()).is_some();
    let Some(table) = tables.iter().find(has_object).or_else(|| tables.first()) else {
        let text = format!("`{uve_type}` is not a UVE type of Contrail, and no object is of it; see /analytics/uves");
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let key = format!("{table}:{name}");
    let permit = match shared.permits.readers.take(client) {
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
    fn checked(self) -> Result<Self, String> {
        match self.limit {
            Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => Err(format!("`limit` is {limit}")),
            _ => Ok(self),
        }
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
