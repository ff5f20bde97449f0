//! Who may do what: the check of tokens before every route but the probes.
//!
//! A client sends its token as `Authorization: Bearer TOKEN`, as `Authorization: Token TOKEN` if it is one of InfluxDB, or
//! as the password of basic authentication. A browser has the cookie of a [session](super::sessions). The file of tokens
//! is read again when it changes, so that a token is replaced without a restart; a response that is a stream ends then,
//! if its token is not there any more.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use daemon_base::clock::Clock;
use daemon_base::setting::file;
use daemon_base::stop::Stop;
use tracing::{error, info};

use crate::http::sessions::{Sessions, id_of};
use crate::http::{Shared, login, origin, problem, until};
use crate::tokens::{Scope, TokenHash, Tokens, Verdict, hash_of};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The paths that need no token: a probe may have none, and the answers contain no data.
pub(super) const PROBES: [&str; 4] = ["/health", "/healthz", "/ping", "/readyz"];

/// The paths that check a token themselves.
const LOGIN: [&str; 2] = ["/login", "/logout"];

/// The responses without an end.
const STREAMS: [&str; 2] = ["/api/v1/results/stream", "/api/v1/tap"];

/// The paths whose POST only asks.
const READ_BY_POST: [&str; 2] = ["/analytics/", "/api/v1/annotations/"];

/// The path, and the beginning of paths, whose POST changes what the daemon does.
const CONFIGURATION: &str = "/api/v1/config";

/// The right to use the server.
#[derive(Debug, Default)]
pub(crate) struct Access(Option<Guard>);

#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
    /// Why the file cannot be used now.
    problem: Mutex<Option<String>>,
    pub(super) sessions: Sessions,
}

/// What a request brings.
enum Credential {
    Token(TokenHash),
    /// The hash of a session's cookie.
    Session(TokenHash),
}

impl Access {
    /// Of clients with a token of this file; without a file of everybody.
    ///
    /// # Errors
    ///
    /// As [`Tokens::read`].
    pub(crate) fn new(path: Option<PathBuf>) -> Result<Self, String> {
        let guard = path.map(|path| {
            let tokens = RwLock::new(Arc::new(Tokens::read(&path)?));
            Ok::<_, String>(Guard { path, tokens, problem: Mutex::default(), sessions: Sessions::default() })
        });
        guard.transpose().map(Self)
    }

    /// What checks tokens; `None` if everybody may use the server.
    pub(super) fn guard(&self) -> Option<&Guard> {
        self.0.as_ref()
    }

    /// Whether requests need a token.
    pub(crate) fn is_guarded(&self) -> bool {
        self.0.is_some()
    }

    /// Why the file of tokens cannot be used now, so that those before it stay valid.
    pub(super) fn problem(&self) -> Option<String> {
        self.0.as_ref()?.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again whenever it changes, until the stop. A file that cannot be used leaves the tokens as they are.
    pub(crate) fn reload_on_change(&self, stop: &Stop) {
        let Some(guard) = &self.0 else { return };
        let mut read = None;
        while stop.rest(INTERVAL) {
            let version = file::version(&guard.path);
            if version.is_some() && version == read {
                continue;
            }
            match Tokens::read(&guard.path) {
                Ok(tokens) => {
                    read = version;
                    guard.set_problem(None);
                    if *guard.tokens() != tokens {
                        guard.replace(tokens);
                        info!(file = %guard.path.display(), "The tokens of clients have changed.");
                    }
                }
                Err(reason) => {
                    if guard.set_problem(Some(reason.clone())) {
                        error!(%reason, "The file of tokens cannot be used; the tokens before it stay valid.");
                    }
                }
            }
        }
    }
}

impl Guard {
    pub(super) fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the tokens, and ends the sessions of those that are gone.
    fn replace(&self, tokens: Tokens) {
        let is_there = |token: &TokenHash| tokens.check(token, Scope::Read) != Verdict::Unknown;
        self.sessions.retain(is_there);
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Sets why the file cannot be used; returns whether that is another reason than before.
    fn set_problem(&self, problem: Option<String>) -> bool {
        let mut known = self.problem.lock().unwrap_or_else(PoisonError::into_inner);
        let is_other = *known != problem;
        *known = problem;
        is_other
    }

    /// What a credential allows at monotonic time `now`.
    fn check(&self, credential: &Credential, scope: Scope, now: Duration) -> Verdict {
        match credential {
            Credential::Token(hash) => self.tokens().check(hash, scope),
            Credential::Session(id) => match self.sessions.token(id, now) {
                Some(hash) => self.tokens().check(&hash, scope),
                None => Verdict::Unknown,
            },
        }
    }
}

/// Refuses a request without a token that allows it.
pub(super) async fn authorize(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(guard) = shared.access.guard() else { return next.run(request).await };
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    if PROBES.contains(&&*path) || LOGIN.contains(&&*path) {
        return next.run(request).await;
    }
    let scope = scope_of(request.method(), &path);
    let credential = credential(request.headers());
    let verdict = credential.as_ref().map(|credential| guard.check(credential, scope, shared.clock.monotonic()));
    let credential = match (credential, verdict) {
        (Some(credential), Some(Verdict::Allowed)) => credential,
        (credential, verdict) => return refusal(&request, &path, scope, credential, verdict),
    };
    let is_session = matches!(credential, Credential::Session(_));
    if is_session && !request.method().is_safe() && !is_same_origin(&request) {
        return other_origin();
    }
    let response = next.run(request).await;
    if !STREAMS.contains(&&*path) {
        return response;
    }
    let (access, clock) = (Arc::clone(&shared.access), Arc::clone(&shared.clock));
    response.map(|body| until::ended(body, withdrawn(access, clock, credential, scope)))
}

fn is_same_origin(request: &Request) -> bool {
    origin::is_same_origin(request.headers(), origin::is_tls(request.extensions()))
}

/// The response to a request with a cookie that no page of this server sends.
pub(super) fn other_origin() -> Response {
    let text = "a request with the cookie of a session needs the header Origin with the address of this server";
    problem(StatusCode::FORBIDDEN, text)
}

/// The response to a request whose credential does not allow it.
fn refusal(
    request: &Request,
    path: &str,
    scope: Scope,
    credential: Option<Credential>,
    verdict: Option<Verdict>,
) -> Response {
    if let Some(Verdict::Lacks(name)) = verdict {
        let text = format!("the token of {name} lacks the scope `{}`, which this request needs", scope.name());
        return problem(StatusCode::FORBIDDEN, &text);
    }
    if login::is_for_page(request, path) {
        return login::redirect();
    }
    let text = match credential {
        None if is_of_script(request.headers()) => {
            "there is no session: it has ended, or was logged out; log in again at /login"
        }
        None => {
            "a token is needed: `Authorization: Bearer TOKEN`, or as the password of basic authentication; a browser logs \
             in at /login"
        }
        Some(Credential::Session(_)) => "the session has ended; log in again at /login",
        Some(Credential::Token(_)) => "the token is not known; it is in the file http.tokens_file no more, or not yet",
    };
    unauthorized(text, request.headers())
}

/// Waits until a credential allows nothing more.
async fn withdrawn(access: Arc<Access>, clock: Arc<dyn Clock>, credential: Credential, scope: Scope) {
    let is_allowed = || {
        let guard = access.guard()?;
        Some(guard.check(&credential, scope, clock.monotonic()) == Verdict::Allowed)
    };
    while is_allowed() == Some(true) {
        tokio::time::sleep(INTERVAL).await;
    }
}

fn scope_of(method: &Method, path: &str) -> Scope {
    if path.starts_with(CONFIGURATION) && !matches!(*method, Method::GET | Method::HEAD) {
        return Scope::Admin;
    }
    let asks =
        matches!(*method, Method::GET | Method::HEAD) || READ_BY_POST.iter().any(|asked| path.starts_with(asked));
    if asks { Scope::Read } else { Scope::Write }
}

/// The credential that a request brings. A token counts before a cookie.
fn credential(headers: &HeaderMap) -> Option<Credential> {
    let token = token(headers).map(|token| Credential::Token(hash_of(&token)));
    token.or_else(|| id_of(headers).map(Credential::Session))
}

/// The token that a request brings.
fn token(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token") {
        return Some(credentials.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(BASE64_STANDARD.decode(credentials).ok()?).ok()?;
    pair.split_once(':').map(|(_, password)| password.to_owned())
}

/// Whether a script of a page sends a request.
fn is_of_script(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-dest").is_some_and(|destination| destination == "empty")
}

/// The response without a credential that counts. A script of the page gets no challenge: the browser would ask for a
/// password in place of the page.
fn unauthorized(text: &str, headers: &HeaderMap) -> Response {
    let response = problem(StatusCode::UNAUTHORIZED, text);
    if is_of_script(headers) {
        return response;
    }
    let challenge = r#"Basic realm="derived-statsd", charset="UTF-8""#;
    ([(header::WWW_AUTHENTICATE, challenge)], response).into_response()
}
