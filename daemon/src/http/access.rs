//! Who may do what: the check of tokens before every route but the probes.
//!
//! A client sends its token as `Authorization: Bearer TOKEN`, as `Authorization: Token TOKEN` if it is one of InfluxDB, or
//! as the password of basic authentication, for which a browser asks. The file of tokens is read again when it changes, so that a token is replaced without a restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use daemon_base::stop::Stop;
use tracing::{error, info};

use crate::http::{Shared, problem};
use crate::tokens::{Scope, Tokens, Verdict};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The paths that need no token: a probe may have none, and the answers contain no data.
const PROBES: [&str; 4] = ["/health", "/healthz", "/ping", "/readyz"];

/// The paths whose POST only asks.
const READ_BY_POST: [&str; 2] = ["/analytics/", "/api/v1/annotations/"];

/// The path, and the beginning of paths, whose POST changes what the daemon does.
const CONFIGURATION: &str = "/api/v1/config";

/// The right to use the server.
#[derive(Debug, Default)]
pub(crate) struct Access(Option<Guard>);

#[derive(Debug)]
struct Guard {
    path: PathBuf,
    tokens: RwLock<Arc<Tokens>>,
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
            Ok::<_, String>(Guard { path, tokens })
        });
        guard.transpose().map(Self)
    }

    /// Whether requests need a token.
    pub(crate) fn is_guarded(&self) -> bool {
        self.0.is_some()
    }

    /// Reads the file again whenever it changes, until the stop. A file that cannot be used leaves the tokens as they are.
    pub(crate) fn reload_on_change(&self, stop: &Stop) {
        let Some(guard) = &self.0 else { return };
        let (mut read, mut reported) = (None, None);
        while stop.rest(INTERVAL) {
            let version = version(&guard.path);
            if version.is_some() && version == read {
                continue;
            }
            match Tokens::read(&guard.path) {
                Ok(tokens) => {
                    (read, reported) = (version, None);
                    if *guard.tokens() != tokens {
                        *guard.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
                        info!(file = %guard.path.display(), "The tokens of clients have changed.");
                    }
                }
                Err(reason) if reported.as_ref() != Some(&reason) => {
                    error!(%reason, "The file of tokens cannot be used; the tokens before it stay valid.");
                    reported = Some(reason);
                }
                Err(_) => {}
            }
        }
    }
}

/// What changes with a file's content, owner or permissions; `None` if there is no file.
fn version(path: &Path) -> Option<(i64, i64, u64, u64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ctime(), file.ctime_nsec(), file.ino(), file.len()))
}

impl Guard {
    fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Refuses a request without a token that allows it.
pub(super) async fn authorize(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Some(guard) = &shared.access.0 else { return next.run(request).await };
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    if PROBES.contains(&path) {
        return next.run(request).await;
    }
    let scope = scope_of(request.method(), path);
    let verdict = token(request.headers()).map(|token| guard.tokens().check(&token, scope));
    match verdict {
        Some(Verdict::Allowed) => next.run(request).await,
        Some(Verdict::Lacks(name)) => {
            let text = format!("the token of {name} lacks the scope `{}`, which this request needs", scope.name());
            problem(StatusCode::FORBIDDEN, &text)
        }
        Some(Verdict::Unknown) => {
            unauthorized("the token is not known; it is in the file http.tokens_file no more, or not yet")
        }
        None => {
            unauthorized("a token is needed: `Authorization: Bearer TOKEN`, or as the password of basic authentication")
        }
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

fn unauthorized(text: &str) -> Response {
    let challenge = r#"Basic realm="derived-statsd", charset="UTF-8""#;
    ([(header::WWW_AUTHENTICATE, challenge)], problem(StatusCode::UNAUTHORIZED, text)).into_response()
}
