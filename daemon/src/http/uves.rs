//! The UVE API in the form of Contrail's analytics API.
//!
//! `GET /analytics/uves` lists the types, `/analytics/uves/virtual-networks` (a type in the plural) the objects of a
//! type, `/analytics/uves/virtual-network/<name>` the structures of one object; a name that ends in `*` selects all
//! objects with that prefix. `?cfilt=Structure:attribute,…` filters structures and attributes. `?flat` is accepted and
//! has no effect: a proxy UVE has one source, so the flat form is the only one. Lists are [`listing`]s, which `?limit=`
//! and `?after=` cut into pages.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use proxy_uve::{table_of_uve_type, uve_type_of_table};
use serde::Deserialize;

use crate::http::listing::{self, Form, Listing, Selection};
use crate::http::{Shared, bad_path, json, problem};
use crate::view::{Filter, Walk};

/// The query parameters of all UVE routes; others are ignored, as in Contrail.
#[derive(Debug, Default, Deserialize)]
pub(super) struct UveQuery {
    #[serde(default)]
    cfilt: String,
    limit: Option<String>,
    after: Option<String>,
}

impl UveQuery {
    fn selection(self) -> Result<Selection, String> {
        let Self { cfilt, limit, after } = self;
        let limit = limit.map(|text| match text.parse() {
            Ok(limit @ 1..) => Ok(limit),
            _ => Err(format!("`limit` is {text:?}; expected a whole number, 1 or more, of objects in the response")),
        });
        Ok(Selection { limit: limit.transpose()?, after, cfilt })
    }
}

/// Lists the types that have objects.
pub(super) async fn types(State(shared): State<Arc<Shared>>, headers: HeaderMap, uri: Uri) -> Response {
    let form = Form::Types(format!("{}/analytics/uves/", base(&headers)));
    let listing = Listing::new(Arc::clone(&shared.view), Walk::tables(), form);
    listing::answer(&shared, listing, &uri, &Selection::default()).await
}

/// Lists the objects of a type, which the path names in the plural.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<UveQuery>, QueryRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let (Path(plural), Query(query)) = match (path, query) {
        (Ok(path), Ok(query)) => (path, query),
        (Err(rejection), _) => return bad_path(&rejection),
        (_, Err(rejection)) => return bad_query(&rejection),
    };
    let Some(uve_type) = plural.strip_suffix('s') else {
        let text = format!("`{plural}` is not a list; request /analytics/uves/{plural}s, or one object by name");
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let form = Form::Links(format!("{}/analytics/uves/{uve_type}/", base(&headers)));
    listed(&shared, (uve_type, ""), form, query, &uri).await
}

/// Responds with one object, or with all objects of a name prefix.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<UveQuery>, QueryRejection>,
    uri: Uri,
) -> Response {
    let (Path((uve_type, name)), Query(query)) = match (path, query) {
        (Ok(path), Ok(query)) => (path, query),
        (Err(rejection), _) => return bad_path(&rejection),
        (_, Err(rejection)) => return bad_query(&rejection),
    };
    if let Some(prefix) = name.strip_suffix('*') {
        return listed(&shared, (&uve_type, prefix), Form::Structures, query, &uri).await;
    }
    match shared.view.object(&table(&shared, &uve_type), &name, &Filter::parse(&query.cfilt)) {
        Some(document) => json(StatusCode::OK, &document),
        None => {
            let text = format!(
                "no proxy UVE of {uve_type} `{name}`; the object may have no samples yet, be in its warm-up, or be misspelt"
            );
            problem(StatusCode::NOT_FOUND, &text)
        }
    }
}

/// Responds with the objects of a type whose names have a prefix.
async fn listed(shared: &Shared, (uve_type, prefix): (&str, &str), form: Form, query: UveQuery, uri: &Uri) -> Response {
    let selection = match query.selection() {
        Ok(selection) => selection,
        Err(text) => return problem(StatusCode::BAD_REQUEST, &text),
    };
    let filter = matches!(form, Form::Structures).then(|| Filter::parse(&selection.cfilt));
    let walk = Walk::new(table(shared, uve_type), prefix, selection.after.as_deref(), filter);
    listing::answer(shared, Listing::new(Arc::clone(&shared.view), walk, form), uri, &selection).await
}

/// The response to a query that cannot be read.
fn bad_query(rejection: &QueryRejection) -> Response {
    let text = format!(
        "{}; `cfilt` (Structure:attribute,…), `limit` and `after` are given once each, in percent-encoded UTF-8",
        rejection.body_text()
    );
    problem(StatusCode::BAD_REQUEST, &text)
}

/// The table of a UVE type: that of a Contrail type, or the one whose generic type name this is.
fn table(shared: &Shared, uve_type: &str) -> String {
    if let Some(table) = table_of_uve_type(uve_type) {
        return table.to_owned();
    }
    let named = shared.view.table(|table| uve_type_of_table(table) == uve_type);
    named.map_or_else(|| uve_type.to_owned(), Into::into)
}

/// The base URL of links: the server under the name that the client used.
fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}
