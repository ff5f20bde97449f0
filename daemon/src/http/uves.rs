//! The UVE API in the form of Contrail's analytics API.
//!
//! `GET /analytics/uves` lists the types, `/analytics/uves/virtual-networks` (a type in the plural) the objects of a
//! type, `/analytics/uves/virtual-network/<name>` the structures of one object, as does
//! `/analytics/uves/virtual-network?name=<name>`; a name in the path that ends in `*` selects all objects with that prefix. `POST /analytics/uves/virtual-network` has the filters in a JSON body, as Contrail's web
//! interface sends them.
//!
//! `?cfilt=Structure:attribute,…` filters structures and attributes, `?kfilt=name,prefix*` names. `?flat` is accepted and
//! has no effect: a proxy UVE has one source, so the flat form is the only one. For the same reason `sfilt` and `mfilt`
//! are refused, as is every unknown parameter. Lists are [`listing`]s, which `?limit=` and `?after=` cut into pages.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::listener::Client;
use daemon_base::outbound::{RESERVED_BUT_COLON, percent_encoded};
use daemon_sources::opening::without_mark;
use percent_encoding::NON_ALPHANUMERIC;
use serde::Deserialize;

use crate::http::body::Refusal;
use crate::http::listeners::ListenerInfo;
use crate::http::listing::{self, Form, Listing, Requester, Selection};
use crate::http::{Shared, bad_path, json, problem};
use daemon_view::{Filter, Names, Walk};

/// The query parameters of all UVE routes.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UveQuery {
    cfilt: String,
    kfilt: Option<String>,
    sfilt: String,
    mfilt: String,
    #[serde(rename = "flat")]
    _flat: String,
    limit: Option<String>,
    after: Option<String>,
    name: Option<String>,
}

/// The filters of a posted query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PostedQuery {
    cfilt: Option<Vec<String>>,
    kfilt: Option<Vec<String>>,
    sfilt: Option<String>,
    mfilt: Option<String>,
}

impl UveQuery {
    fn selection(self) -> Result<Selection, String> {
        let Self { cfilt, kfilt, sfilt, mfilt, limit, after, name, .. } = self;
        refuse_sources(&sfilt, &mfilt)?;
        let limit = limit.map(|text| match text.parse() {
            Ok(limit @ 1..) => Ok(limit),
            _ => Err(format!("`limit` is {text:?}; expected a whole number, 1 or more, of objects in the response")),
        });
        // In Contrail, too, a parameter without a value is none, and a posted list without names selects none.
        let kfilt = kfilt.filter(|text| !text.is_empty()).map(|text| Names::split(&text));
        Ok(Selection { limit: limit.transpose()?, after, cfilt, kfilt, name })
    }
}

impl PostedQuery {
    fn parse(body: &[u8]) -> Result<Self, String> {
        // A structure would be read from an array, too.
        let is_object = body.trim_ascii_start().first() == Some(&b'{');
        let parsed = if is_object {
            serde_json::from_slice(body).map_err(|error| error.to_string())
        } else {
            Err("it is not an object".to_owned())
        };
        parsed.map_err(|reason| {
            format!(
                "the query is not valid: {reason}; expected {{\"kfilt\": [\"name\", \"prefix*\"], \"cfilt\": \
                 [\"Structure\"]}}, each at most once"
            )
        })
    }

    fn selection(self) -> Result<Selection, String> {
        let Self { cfilt, kfilt, sfilt, mfilt } = self;
        refuse_sources(&sfilt.unwrap_or_default(), &mfilt.unwrap_or_default())?;
        Ok(Selection { cfilt: cfilt.unwrap_or_default().join(","), kfilt, ..Selection::default() })
    }
}

/// Filters of sources cannot be honoured.
fn refuse_sources(sfilt: &str, mfilt: &str) -> Result<(), String> {
    for (name, text) in [("sfilt", sfilt), ("mfilt", mfilt)] {
        if !text.is_empty() {
            return Err(format!(
                "`{name}` is {text:?}; a proxy UVE is computed from the samples of all sources and has none of its own; \
                 leave `{name}` out"
            ));
        }
    }
    Ok(())
}

/// Lists the types that have objects.
pub(super) async fn types(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    Extension(client): Extension<Client>,
    Extension(listener): Extension<Arc<ListenerInfo>>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if let Some(refusal) = unless_flat(query, "the list of types takes none") {
        return refusal;
    }
    let form = Form::Types(format!("{}/analytics/uves/", base(&headers, &listener)));
    let listing = Listing::new(Arc::clone(&shared.view), Walk::tables(), form);
    listing::answer(&shared, listing, Requester { client, uri: &uri }, &Selection::default()).await
}

/// Lists the objects of a type, which the path names in the plural; with `?name=`, responds with one object of the type
/// that the path names.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<UveQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
    Extension(listener): Extension<Arc<ListenerInfo>>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let (plural, selection) = match selected(path, query) {
        Ok(selected) => selected,
        Err(refusal) => return *refusal,
    };
    if let Some(name) = &selection.name {
        // Where both are types, it is the one that the path has.
        let is_type = || !shared.view.tables_of(&plural).is_empty();
        let uve_type = singular(&shared, &plural).filter(|_| !is_type()).unwrap_or(&plural);
        return object(&shared, uve_type, name, &selection);
    }
    let Some(uve_type) = plural.strip_suffix('s') else {
        let text = format!("`{plural}` is not a list; request /analytics/uves/{plural}s, or one object by name");
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let encoded = percent_encoded(uve_type, RESERVED_BUT_COLON);
    let form =
        Form::Links(format!("{}/analytics/uves/{encoded}/", base(&headers, &listener)), link_query(&selection.cfilt));
    listed(&shared, (uve_type, ""), form, &selection, Requester { client, uri: &uri }).await
}

/// Responds with one object, or with all objects of a name prefix.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<UveQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
    uri: Uri,
) -> Response {
    let ((uve_type, name), selection) = match selected(path, query) {
        Ok(selected) => selected,
        Err(refusal) => return *refusal,
    };
    if selection.name.is_some() {
        return problem(StatusCode::BAD_REQUEST, "the path has the name of the object; leave `name` out");
    }
    if let Some(prefix) = name.strip_suffix('*') {
        return listed(&shared, (&uve_type, prefix), Form::Structures, &selection, Requester { client, uri: &uri })
            .await;
    }
    object(&shared, &uve_type, &name, &selection)
}

/// Responds with the structures of one object.
fn object(shared: &Shared, uve_type: &str, name: &str, selection: &Selection) -> Response {
    let tables = match tables(shared, uve_type) {
        Ok(tables) => tables,
        Err(unknown) => return *unknown,
    };
    let is_selected = selection.names("").contains(name);
    let filter = Filter::parse(&selection.cfilt);
    let document = || tables.iter().find_map(|table| shared.view.object(table, name, &filter));
    match is_selected.then(document).flatten() {
        Some(document) => json(StatusCode::OK, &document),
        None => {
            let text = format!(
                "no proxy UVE of {uve_type} `{name}`; the object may have no samples yet, be in its warm-up, or be misspelt"
            );
            problem(StatusCode::NOT_FOUND, &text)
        }
    }
}

/// The path of a request and what its query selects, or the response to one that cannot be read.
fn selected<P>(
    path: Result<Path<P>, PathRejection>,
    query: Result<Query<UveQuery>, QueryRejection>,
) -> Result<(P, Selection), Box<Response>> {
    let Path(path) = path.map_err(|rejection| bad_path(&rejection))?;
    let Query(query) = query.map_err(|rejection| bad_query(&rejection))?;
    let selection = query.selection().map_err(|text| problem(StatusCode::BAD_REQUEST, &text))?;
    Ok((path, selection))
}

/// The response to a query with another parameter than `flat`; `remedy` is the advice in the text.
fn unless_flat(query: Result<Query<BTreeMap<String, String>>, QueryRejection>, remedy: &str) -> Option<Response> {
    // Of a query that cannot be read, the middleware has refused the only kind there is: it is not UTF-8.
    let name = query.ok()?.0.into_keys().find(|name| name != "flat")?;
    Some(problem(StatusCode::BAD_REQUEST, &format!("unknown parameter `{name}`; {remedy}")))
}

/// Responds with the objects that a JSON body selects: `{"kfilt": ["name", "prefix*"], "cfilt": ["Structure"]}`.
pub(super) async fn posted(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    query: Result<Query<BTreeMap<String, String>>, QueryRejection>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Response {
    if let Some(refusal) = unless_flat(query, "a posted query has `kfilt` and `cfilt` in its body") {
        return refusal;
    }
    let uve_type = match path {
        Ok(Path(uve_type)) => uve_type,
        Err(rejection) => return bad_path(&rejection),
    };
    let body = match read_query(&shared, client, &headers, body).await {
        Ok(body) => body,
        Err(refusal) => return refusal.into_response(),
    };
    match PostedQuery::parse(without_mark(&body)).and_then(PostedQuery::selection) {
        Ok(selection) => {
            listed(&shared, (&uve_type, ""), Form::Structures, &selection, Requester { client, uri: &uri }).await
        }
        Err(text) => problem(StatusCode::BAD_REQUEST, &text),
    }
}

/// Reads and decodes a posted query.
async fn read_query(shared: &Shared, client: Client, headers: &HeaderMap, body: Body) -> Result<Vec<u8>, Refusal> {
    let bounds = shared.bodies.query;
    shared.bodies.read(bounds, client, headers, body, shared.stopping.clone()).await?.text(bounds)
}

/// Responds with the selected objects of a type whose names have a prefix.
async fn listed(
    shared: &Shared,
    (uve_type, prefix): (&str, &str),
    form: Form,
    selection: &Selection,
    requester: Requester<'_>,
) -> Response {
    let table = match tables(shared, uve_type) {
        Ok(tables) => tables.into_iter().next().unwrap_or_default(),
        Err(unknown) => return *unknown,
    };
    let filter = matches!(form, Form::Structures).then(|| Filter::parse(&selection.cfilt));
    let walk = Walk::new(table, selection.names(prefix), selection.after.as_deref(), filter);
    listing::answer(shared, Listing::new(Arc::clone(&shared.view), walk, form), requester, selection).await
}

/// What follows the name in a link of a list: the filter of structures, as in Contrail.
fn link_query(cfilt: &str) -> String {
    if cfilt.is_empty() { "?flat".to_owned() } else { format!("?cfilt={}", percent_encoded(cfilt, NON_ALPHANUMERIC)) }
}

/// The response to a query that cannot be read.
fn bad_query(rejection: &QueryRejection) -> Response {
    let text = format!(
        "{}; `cfilt` (Structure:attribute,…), `kfilt` (name,prefix*), `limit`, `after` and `name` are given once each, \
         in percent-encoded UTF-8",
        rejection.body_text()
    );
    problem(StatusCode::BAD_REQUEST, &text)
}

/// The tables of a UVE type, the one that its list has first. The response 404 for a type that is not one of Contrail
/// and of which no object is.
fn tables(shared: &Shared, uve_type: &str) -> Result<Vec<String>, Box<Response>> {
    let tables = shared.view.tables_of(uve_type);
    if !tables.is_empty() {
        return Ok(tables);
    }
    let text = match singular(shared, uve_type) {
        Some(singular) => format!("`{uve_type}` is a list; request /analytics/uves/{singular}, or GET the list"),
        None => format!(
            "`{uve_type}` is not a UVE type of Contrail, and no object is of it; GET /analytics/uves has the types \
             that have objects"
        ),
    };
    Err(Box::new(problem(StatusCode::NOT_FOUND, &text)))
}

/// The type whose list a path names in the plural; `None` if there is no such type.
fn singular<'p>(shared: &Shared, plural: &'p str) -> Option<&'p str> {
    plural.strip_suffix('s').filter(|singular| !shared.view.tables_of(singular).is_empty())
}

/// The base URL of links: the server under the name that the client used.
fn base(headers: &HeaderMap, listener: &ListenerInfo) -> String {
    let scheme = if listener.is_tls { "https" } else { "http" };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("{scheme}://{host}")
}
