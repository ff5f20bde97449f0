//! The UVE API, as Contrail's analytics API answers it.
//!
//! `GET /analytics/uves` lists the types, `/analytics/uves/virtual-networks` (a type in the plural) the objects of a
//! type, `/analytics/uves/virtual-network/<name>` one object's structures; a name that ends in `*` gives all that
//! begin so. `?cfilt=Structure:attribute,…` cuts the answer down, `?flat` is accepted and changes nothing: what is
//! here has one source, so the flat form is the only one.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use proxy_uve::{table_of_uve_type, uve_type_of_table};
use serde::{Deserialize, Serialize};

use crate::http::{Shared, json, problem};
use crate::view::{Filter, UveDocument};

/// The query of all UVE routes; others are ignored, as in the original.
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

/// An entry of an answer with many objects.
#[derive(Serialize)]
struct Named {
    name: Box<str>,
    value: UveDocument,
}

/// The types that have objects.
pub(super) async fn types(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let base = base(&headers);
    let types = shared.view.tables().into_iter().map(|table| {
        let name = format!("{}s", uve_type_of_table(&table));
        Link { href: format!("{base}/analytics/uves/{name}"), name }
    });
    json(StatusCode::OK, &types.collect::<Vec<_>>())
}

/// The objects of a type, given in the plural.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Path(plural): Path<String>,
    headers: HeaderMap,
) -> Response {
    let Some(uve_type) = plural.strip_suffix('s') else {
        let text = format!("`{plural}` is no list; ask for /analytics/uves/{plural}s, or for one object by name");
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let base = base(&headers);
    let links = shared.view.names(&table(&shared, uve_type)).into_iter().map(|name| {
        let href = format!("{base}/analytics/uves/{uve_type}/{name}?flat");
        Link { href, name: name.into() }
    });
    json(StatusCode::OK, &links.collect::<Vec<_>>())
}

/// One object, or all whose names begin as asked.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path((uve_type, name)): Path<(String, String)>,
    Query(query): Query<UveQuery>,
) -> Response {
    let (table, filter) = (table(&shared, &uve_type), Filter::parse(&query.cfilt));
    if let Some(prefix) = name.strip_suffix('*') {
        let objects = shared.view.objects(&table, prefix, &filter);
        let value: Vec<_> = objects.into_iter().map(|(name, value)| Named { name, value }).collect();
        return json(StatusCode::OK, &serde_json::json!({ "value": value }));
    }
    match shared.view.object(&table, &name, &filter) {
        Some(document) => json(StatusCode::OK, &document),
        None => {
            let text = format!("no proxy UVE of {uve_type} `{name}`; it may be silent, not warmed up, or misspelt");
            problem(StatusCode::NOT_FOUND, &text)
        }
    }
}

/// The table behind a UVE type: a known one, or the one whose generic name this is.
fn table(shared: &Shared, uve_type: &str) -> String {
    if let Some(table) = table_of_uve_type(uve_type) {
        return table.to_owned();
    }
    let tables = shared.view.tables();
    let named = tables.into_iter().find(|table| uve_type_of_table(table) == uve_type);
    named.map_or_else(|| uve_type.to_owned(), Into::into)
}

/// What the client calls this server, for links.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}
