//! `/login` and `/logout`: a browser exchanges a token for the cookie of a [session](super::sessions).
//!
//! `POST /login` takes the token as the field `token` of a form or of a JSON object. A form comes from `GET /login`, whose
//! response to it leads to the page; JSON gets status 204. Both set the cookie.

use std::sync::Arc;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_base::outbound::percent_decoded;
use serde::Deserialize;
use tokio::time::timeout;

use crate::http::access::{Guard, other_origin};
use crate::http::listeners::ListenerInfo;
use crate::http::origin::is_same_origin;
use crate::http::sessions::id_of;
use crate::http::{Shared, problem};
use crate::tokens::hash_of;

/// The parameter of the form to which a logout leads.
pub(super) const LOGGED_OUT: &str = "logged_out";

/// The largest body: a token has 64 characters.
const MAX_BYTES: usize = 4096;

/// The time for the body.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// The policy of the form: nothing is loaded, and it goes to this server only.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// The body in JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login {
    token: String,
}

/// Whether a browser wants to show the page, and not a file or data of it.
pub(super) fn is_for_page(request: &Request, path: &str) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    path == "/" && request.method() == Method::GET && accept.is_some_and(|accept| accept.contains("text/html"))
}

/// Leads a browser to the form. All paths of the page are relative: a proxy may have the page below a path of its own.
pub(super) fn redirect() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, "login"), (header::CACHE_CONTROL, "no-store")]).into_response()
}

/// The name of the token of a browser that is logged in.
pub(super) fn name_of_session(shared: &Shared, headers: &HeaderMap) -> Option<String> {
    let guard = shared.access.guard()?;
    let token = guard.sessions.token(&id_of(headers)?, shared.clock.monotonic())?;
    guard.tokens().name_of(&token).map(str::to_owned)
}

/// Shows the form, after a logout with a text about it, or who is logged in and the button that ends the session.
pub(super) async fn form(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    if shared.access.guard().is_none() {
        return no_tokens();
    }
    match name_of_session(&shared, &headers) {
        // A name has letters, digits and -_.@ only if `token` has made it.
        Some(name) => {
            let name: String = name.chars().filter(|letter| !"<>&".contains(*letter)).collect();
            let text = format!(
                "<p>Logged in as <b>{name}</b>. <a href=\"./\">The page</a></p><form method=\"post\" \
                 action=\"logout\"><button id=\"logout\">Log out</button></form>"
            );
            html(StatusCode::OK, &text)
        }
        None if query.as_deref() == Some(LOGGED_OUT) => {
            let text = "You are logged out in this browser. To log in again, enter your token and choose Log in.";
            html(StatusCode::OK, &login_form(text))
        }
        None => html(StatusCode::OK, &login_form("")),
    }
}

/// Begins a session.
pub(super) async fn login(
    State(shared): State<Arc<Shared>>,
    Extension(listener): Extension<Arc<ListenerInfo>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some(guard) = shared.access.guard() else { return no_tokens() };
    let is_form = is_form(&headers);
    let bytes = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BYTES)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body of a login is a token; it has 4 KiB at most");
        }
        Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the body of the login did not come within 10 s"),
    };
    let token =
        if is_form { of_form(&bytes) } else { serde_json::from_slice(&bytes).ok().map(|Login { token }| token) };
    let Some(token) = token else {
        return problem(StatusCode::BAD_REQUEST, r#"expected {"token": "…"}, or a form with the field `token`"#);
    };
    begin(guard, token.trim(), &shared, &listener, is_form)
}

fn begin(guard: &Guard, token: &str, shared: &Shared, listener: &ListenerInfo, is_form: bool) -> Response {
    let hash = hash_of(token);
    if guard.tokens().name_of(&hash).is_none() {
        let text = "the token is not known; `derived-statsd token NAME` makes one";
        return if is_form {
            html(StatusCode::UNAUTHORIZED, &login_form(text))
        } else {
            problem(StatusCode::UNAUTHORIZED, text)
        };
    }
    match guard.sessions.begin(hash, shared.clock.monotonic(), listener.is_tls) {
        Ok(cookie) => done(cookie, is_form, "./"),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("no random bytes for the session: {error}")),
    }
}

/// Ends a session.
pub(super) async fn logout(
    State(shared): State<Arc<Shared>>,
    Extension(listener): Extension<Arc<ListenerInfo>>,
    headers: HeaderMap,
) -> Response {
    let Some(guard) = shared.access.guard() else { return no_tokens() };
    let session = id_of(&headers);
    if session.is_some() && !is_same_origin(&headers, listener.is_tls) {
        return other_origin();
    }
    let cookie = guard.sessions.end(session.as_ref(), listener.is_tls);
    done(cookie, is_form(&headers), "login?logged_out")
}

fn done(cookie: String, is_form: bool, location: &'static str) -> Response {
    let common = [(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())];
    if is_form {
        return (StatusCode::SEE_OTHER, common, [(header::LOCATION, location)]).into_response();
    }
    (StatusCode::NO_CONTENT, common).into_response()
}

fn no_tokens() -> Response {
    problem(
        StatusCode::NOT_FOUND,
        "there is nothing to log in to: http.tokens_file is not set, and requests need no token",
    )
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.starts_with("application/x-www-form-urlencoded")
}

/// The token of a form.
fn of_form(body: &[u8]) -> Option<String> {
    let body = std::str::from_utf8(body).ok()?;
    let mut fields = body.split('&').filter_map(|field| field.split_once('='));
    fields.find(|(name, _)| *name == "token").map(|(_, token)| percent_decoded(&token.replace('+', " ")).into_owned())
}

/// The form posts to the address that shows it: a browser keeps the part behind `#`, which names what a link leads to.
fn login_form(problem: &str) -> String {
    format!(
        "<form method=\"post\"><p role=\"alert\">{problem}</p><p><label for=\"token\">Token</label> \
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus></p>\
         <p><button id=\"login\">Log in</button></p></form>"
    )
}

fn html(status: StatusCode, content: &str) -> Response {
    let document = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" \
         content=\"light dark\"><title>derived-statsd: log in</title></head>\n\
         <body><main><h1>derived-statsd</h1>{content}</main></body>\n</html>\n"
    );
    let head = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // A form without it would send no Origin.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, head, document).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_the_token_as_one_of_its_fields() {
        assert_eq!(of_form(b"a=b&token=x%2By+z").as_deref(), Some("x+y z"));
        for other in [&b""[..], b"token", b"tokens=x", b"\xff"] {
            assert_eq!(of_form(other), None, "{other:?}");
        }
    }
}
