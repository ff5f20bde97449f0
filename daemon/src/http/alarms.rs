//! The alarms of all objects: `GET /api/v1/alarms`.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::http::{Shared, json, problem};
use daemon_view::{AlarmQuery, split_key};

/// The objects of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 100;

/// The most objects of a response.
const MAX_LIMIT: usize = 1000;

/// The query of the alarms.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlarmsQuery {
    rule: Option<String>,
    table: Option<String>,
    state: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
    sort: Option<String>,
}

/// The order of the alarms.
#[derive(Clone, Copy)]
enum Order {
    Key,
    Severity,
}

impl AlarmsQuery {
    /// What is asked for, and in which order.
    fn checked(self) -> Result<(AlarmQuery, Order), String> {
        let Self { rule, table, state, after, limit, sort } = self;
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(format!("`limit` is {limit}; expected a number of objects, 1 to {MAX_LIMIT}"));
        }
        if let Some(state) = state.as_deref().filter(|state| !matches!(*state, "firing" | "pending")) {
            return Err(format!("`state` is {state:?}; expected firing or pending"));
        }
        let order = match sort.as_deref() {
            None | Some("key") => Order::Key,
            Some("severity") if after.is_none() => Order::Severity,
            Some("severity") => {
                let text = "`after` goes with the order of keys only; leave it out, or `sort=severity`";
                return Err(text.to_owned());
            }
            Some(other) => return Err(format!("`sort` is {other:?}; expected key or severity")),
        };
        Ok((AlarmQuery { rule, table, state, after, limit }, order))
    }
}

/// The alarms that the query selects, by object or the worst first, and the numbers of alarms by rule and table.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<AlarmsQuery>, QueryRejection>,
) -> Response {
    let query = match query {
        Ok(Query(query)) => query,
        Err(rejection) => {
            let text = format!(
                "{}; the parameters, each at most once, are rule, table, state, sort, after and limit",
                rejection.body_text()
            );
            return problem(StatusCode::BAD_REQUEST, &text);
        }
    };
    let (query, order) = match query.checked() {
        Ok(checked) => checked,
        Err(text) => return problem(StatusCode::BAD_REQUEST, &text),
    };
    // The lock is held for the list only.
    let (groups, (mut alarms, next)) = {
        let view = shared.view.alarms();
        let list = match order {
            Order::Key => view.list(&query),
            Order::Severity => (view.worst(&query), None),
        };
        (view.groups(), list)
    };
    for alarm in &mut alarms {
        alarm.uve_type = shared.view.type_of(split_key(&alarm.key).0);
    }
    let groups = groups.into_iter().map(|((rule, table, severity), (firing, pending))| {
        let uve_type = shared.view.type_of(&table);
        json!({
            "rule": rule, "table": table, "uve_type": uve_type, "severity": severity, "firing": firing,
            "pending": pending,
        })
    });
    let groups: Vec<_> = groups.collect();
    json(StatusCode::OK, &json!({ "groups": groups, "alarms": alarms, "next": next }))
}
