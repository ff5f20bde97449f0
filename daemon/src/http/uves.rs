//! The UVE API in the form of Contrail's analytics API.
//!
//! `GET /analytics/uves` lists the types, `/analytics/uves/virtual-networks` (a type in the plural) the objects of a
//! type, `/analytics/uves/virtual-network/<name>` the structures of one object; a name that ends in `*` selects all
//! objects with that prefix. `?cfilt=Structure:attribute,…` filters structures and attributes. `?flat` is accepted and
//! has no effect: a proxy UVE has one source, so the flat form is the only one.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use proxy_uve::{table_of_uve_type, uve_type_of_table};
use serde::{Deserialize, Serialize};

use crate::http::{Shared, bad_path, json, problem};
use crate::view::{Filter, UveDocument};

/// The query parameters of all UVE routes; others are ignored, as in Contrail.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UveQuery {
    #[serde(default)]
    cfilt: String,
}

/// An entry of a list.
#[derive(Serialize)]
struct Link {
    href: String,
    name: String,
}

/// An entry of a response with several objects.
#[derive(Serialize)]
struct Named {
    name: Box<str>,
    value: UveDocument,
}

/// Lists the types that have objects.
pub(super) async fn types(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let base = base(&headers);
    let types = shared.view.tables().into_iter().map(|table| {
        let name = format!("{}s", uve_type_of_table(&table));
        Link { href: format!("{base}/analytics/uves/{name}"), name }
    });
    json(StatusCode::OK, &types.collect::<Vec<_>>())
}

/// Lists the objects of a type, which the path names in the plural.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
) -> Response {
    let Path(plural) = match path {
        Ok(path) => path,
        Err(rejection) => return bad_path(&rejection),
    };
    let Some(uve_type) = plural.strip_suffix('s') else {
        let text = format!("`{plural}` is not a list; request /analytics/uves/{plural}s, or one object by name");
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let base = base(&headers);
    let links = shared.view.names(&table(&shared, uve_type)).into_iter().map(|name| {
        let href = format!("{base}/analytics/uves/{uve_type}/{name}?flat");
        Link { href, name: name.into() }
    });
    json(StatusCode::OK, &links.collect::<Vec<_>>())
}

/// Responds with one object, or with all objects of a name prefix.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<UveQuery>, QueryRejection>,
) -> Response {
    let (Path((uve_type, name)), Query(query)) = match (path, query) {
        (Ok(path), Ok(query)) => (path, query),
        (Err(rejection), _) => return bad_path(&rejection),
        (_, Err(rejection)) => {
            let text = format!("{}; `cfilt` is given once, as Structure:attribute,…", rejection.body_text());
            return problem(StatusCode::BAD_REQUEST, &text);
        }
    };
    let (table, filter) = (table(&shared, &uve_type), Filter::parse(&query.cfilt));
    if let Some(prefix) = name.strip_suffix('*') {
        let objects = shared.view.objects(&table, prefix, &filter);
        let value: Vec<_> = objects.into_iter().map(|(name, value)| Named { name, value }).collect();
        return json(StatusCode::OK, &serde_json::json!({ "value": value }));
    }
    match shared.view.object(&table, &name, &filter) {
        Some(document) => json(StatusCode::OK, &document),
        None => {
            let text = format!(
                "no proxy UVE of {uve_type} `{name}`; the object may have no samples yet, be in its warm-up, or be misspelt"
            );
            problem(StatusCode::NOT_FOUND, &text)
        }
    }
}

/// The table of a UVE type: that of a Contrail type, or the one whose generic type name this is.
fn table(shared: &Shared, uve_type: &str) -> String {
    if let Some(table) = table_of_uve_type(uve_type) {
        return table.to_owned();
    }
    let tables = shared.view.tables();
    let named = tables.into_iter().find(|table| uve_type_of_table(table) == uve_type);
    named.map_or_else(|| uve_type.to_owned(), Into::into)
}

/// The base URL of links: the server under the name that the client used.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}
