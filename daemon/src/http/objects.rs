//! One page of the table of proxy UVEs, searched, filtered and sorted: `GET /api/v1/objects`.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use serde::Deserialize;

use crate::http::chunks::whole;
use crate::http::{Shared, problem};
use daemon_view::{AlarmQuery, RowQuery, SortBy};

/// The rows of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 100;

/// The most rows of a response.
const MAX_LIMIT: usize = 1000;

/// The columns by which rows are sorted.
const COLUMNS: [(&str, SortBy); 6] = [
    ("alarm", SortBy::Alarm),
    ("expected", SortBy::Expected),
    ("name", SortBy::Name),
    ("score", SortBy::Score),
    ("uve", SortBy::Uve),
    ("value", SortBy::Value),
];

/// The query of a page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectsQuery {
    #[serde(rename = "type")]
    uve_type: String,
    uve: Option<String>,
    #[serde(default)]
    search: String,
    #[serde(default)]
    anomaly: bool,
    alarm: Option<String>,
    rule: Option<String>,
    sort: Option<String>,
    #[serde(default)]
    offset: usize,
    limit: Option<usize>,
}

impl ObjectsQuery {
    /// The query of rows of a table.
    fn checked(self, table: String) -> Result<RowQuery, String> {
        let limit = self.limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(format!("`limit` is {limit}; expected a number of rows, 1 to {MAX_LIMIT}"));
        }
        let state = match self.alarm.as_deref() {
            None | Some("any") => None,
            Some("firing" | "pending") => self.alarm.clone(),
            Some(other) => return Err(format!("`alarm` is {other:?}; expected any, firing or pending")),
        };
        let is_by_alarm = self.alarm.is_some() || self.rule.is_some();
        let alarms = is_by_alarm.then(|| AlarmQuery { rule: self.rule, state, ..AlarmQuery::default() });
        let sort = self.sort.as_deref().unwrap_or("name");
        let (is_descending, column) = sort.strip_prefix('-').map_or((false, sort), |column| (true, column));
        let Some((_, sort)) = COLUMNS.iter().find(|(name, _)| *name == column) else {
            let names = COLUMNS.map(|(name, _)| name).join(", ");
            return Err(format!(
                "`sort` is {sort:?}; expected one of {names}, with `-` before it for the largest first"
            ));
        };
        Ok(RowQuery {
            table,
            uve: self.uve,
            search: self.search,
            anomalies_only: self.anomaly,
            alarms,
            sort: *sort,
            is_descending,
            offset: self.offset,
            limit,
        })
    }
}

/// The type and the rows that a request selects, or the response to one that cannot be answered.
fn selected(
    shared: &Shared,
    query: Result<Query<ObjectsQuery>, QueryRejection>,
) -> Result<(String, RowQuery), Box<Response>> {
    let Query(query) = query.map_err(|rejection| {
        let text = format!(
            "{}; the parameters, each at most once, are type (required), uve, search, anomaly (true or false), alarm, \
             rule, sort, offset and limit",
            rejection.body_text()
        );
        problem(StatusCode::BAD_REQUEST, &text)
    })?;
    let uve_type = query.uve_type.clone();
    let Some(table) = shared.view.tables_of(&uve_type).into_iter().next() else {
        let text = format!(
            "`type` is {uve_type:?}, of which there is no object and no alarm; GET /analytics/uves lists the types, in the \
             plural: `virtual-networks` is the list of `virtual-network`"
        );
        return Err(Box::new(problem(StatusCode::NOT_FOUND, &text)));
    };
    let query = query.checked(table).map_err(|text| problem(StatusCode::BAD_REQUEST, &text))?;
    Ok((uve_type, query))
}

/// Responds with a page.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    query: Result<Query<ObjectsQuery>, QueryRejection>,
) -> Response {
    let (uve_type, query) = match selected(&shared, query) {
        Ok(selected) => selected,
        Err(refusal) => return *refusal,
    };
    let permit = match shared.permits.readers.wait(client).await {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // Dropped with this future when the client is gone; the work ends soon after, and its permit with it.
    let request = Arc::new(());
    let wanted = Arc::downgrade(&request);
    let made = tokio::task::spawn_blocking(move || {
        let mut page = shared.view.rows(&query, || wanted.strong_count() > 0);
        for alarm in page.rows.iter_mut().flat_map(|row| &mut row.alarms) {
            alarm.uve_type.clone_from(&uve_type);
        }
        (serde_json::to_vec(&page), permit)
    });
    let made = made.await;
    drop(request);
    match made {
        Ok((Ok(body), permit)) => ([(header::CONTENT_TYPE, "application/json")], whole(body, permit)).into_response(),
        _ => problem(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made"),
    }
}
