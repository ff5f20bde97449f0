//! The refusal of requests that a browser sends for a page of another site.
//!
//! A page may make a browser post `text/plain` to any address that the browser reaches, also to this machine, without a
//! preflight request. The browser names the page's origin in `Origin` (RFC 6454), and the page cannot change that. An
//! origin is this server's own if its host and port equal `Host`, and if that is an address or `localhost`: a name of
//! another site may resolve to this machine (DNS rebinding). Where requests need a token, a name is as good: such a page has
//! neither a token nor the cookie of a session, which belong to the name that the browser has them from. At a listener with
//! TLS the scheme is `https`: anybody on the network can make a page of `http` with the same host and port. A listener
//! without TLS may be behind a proxy that has it.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::listeners::ListenerInfo;
use crate::http::{Shared, problem};

/// Responds with 403 to a request that may change something and has an origin other than this server.
pub(super) async fn refuse_other_sites(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST);
    let (is_guarded, is_tls) = (shared.access.is_guarded(), is_tls(request.extensions()));
    let other = headers.get_all(header::ORIGIN).iter().find(|origin| !is_own(origin, host, is_guarded, is_tls));
    let Some(other) = other.filter(|_| !request.method().is_safe()) else {
        return next.run(request).await;
    };
    let shown = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let text = format!(
        "a browser sends this for a page of {:?} to {:?}: only pages of this server's own address may do that. A \
         proxy that serves trusted pages removes the header Origin; other clients do not send it",
        shown(other),
        host.map(shown).unwrap_or_default()
    );
    problem(StatusCode::FORBIDDEN, &text)
}

/// Whether the listener of a request has TLS.
pub(super) fn is_tls(extensions: &Extensions) -> bool {
    extensions.get::<Arc<ListenerInfo>>().is_some_and(|listener| listener.is_tls)
}

/// Whether a browser sends a request for a page of this server itself, to a listener with TLS or without.
pub(super) fn is_same_origin(headers: &HeaderMap, is_tls: bool) -> bool {
    let host = headers.get(header::HOST);
    let mut origins = headers.get_all(header::ORIGIN).iter().peekable();
    let is_named = origins.peek().is_some();
    let is_fetched = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
    is_fetched && is_named && origins.all(|origin| is_own(origin, host, true, is_tls))
}

/// Whether host and port are the same, and the host is an address or `localhost`, or `may_be_name`, and the scheme is one
/// of a listener with TLS or without. A missing port is that of the origin's scheme.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>, may_be_name: bool, is_tls: bool) -> bool {
    let parts = || {
        let origin: Uri = origin.to_str().ok()?.parse().ok()?;
        let host: Authority = host?.to_str().ok()?.parse().ok()?;
        let port = match origin.scheme_str()? {
            "http" if !is_tls => 80,
            "https" => 443,
            _ => return None,
        };
        let name = host.host();
        let is_local = name.eq_ignore_ascii_case("localhost")
            || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_host = origin.host()?.eq_ignore_ascii_case(name);
        Some(
            (is_local || may_be_name)
                && is_host
                && origin.port_u16().unwrap_or(port) == host.port_u16().unwrap_or(port),
        )
    };
    parts().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_the_server_by_address_and_port() {
        let cases = [
            ("http://127.0.0.1:8081", Some("127.0.0.1:8081"), true),
            ("http://[::1]:8081", Some("[::1]:8081"), true),
            ("http://10.0.0.5", Some("10.0.0.5"), true),
            ("http://10.0.0.5:80", Some("10.0.0.5"), true),
            ("https://10.0.0.5", Some("10.0.0.5:443"), true),
            ("http://localhost:8081", Some("LOCALHOST:8081"), true),
            ("http://127.0.0.1:8082", Some("127.0.0.1:8081"), false),
            ("https://10.0.0.5", Some("10.0.0.5:80"), false),
            ("http://10.0.0.6", Some("10.0.0.5"), false),
            // A name of another site that resolves to this machine.
            ("http://evil.example:8081", Some("evil.example:8081"), false),
            ("http://127.0.0.1.evil.example", Some("127.0.0.1.evil.example"), false),
            ("http://localhost.evil.example", Some("localhost"), false),
            ("null", Some("null"), false),
            ("file://", Some("127.0.0.1"), false),
            ("", Some("127.0.0.1"), false),
            ("http://127.0.0.1", None, false),
        ];
        for (origin, host, expected) in cases {
            let host = host.map(HeaderValue::from_static);
            let origin = HeaderValue::from_static(origin);
            assert_eq!(is_own(&origin, host.as_ref(), false, false), expected, "{origin:?} {host:?}");
            let by_name =
                expected || origin.as_bytes().strip_prefix(b"http://") == host.as_ref().map(HeaderValue::as_bytes);
            assert_eq!(is_own(&origin, host.as_ref(), true, false), by_name, "{origin:?} {host:?}");
            let with_tls = expected && origin.as_bytes().starts_with(b"https:");
            assert_eq!(is_own(&origin, host.as_ref(), false, true), with_tls, "{origin:?} {host:?}");
        }
    }

    #[test]
    fn a_page_of_this_server_names_its_origin() {
        let is_same = |headers: &[(&'static str, &'static str)]| {
            let of = |(name, value): &(&'static str, &'static str)| (name.parse().unwrap(), value.parse().unwrap());
            is_same_origin(&headers.iter().map(of).collect(), true)
        };
        let (host, origin) = (("host", "stats.example:8443"), ("origin", "https://stats.example:8443"));
        assert!(is_same(&[host, origin]) && is_same(&[host, origin, ("sec-fetch-site", "same-origin")]));
        assert!(!is_same(&[host]), "no browser sends a form without an origin");
        assert!(!is_same(&[host, origin, ("sec-fetch-site", "cross-site")]));
        assert!(!is_same(&[host, ("origin", "https://evil.example:8443")]));
        assert!(!is_same(&[host, ("origin", "http://stats.example:8443")]), "anybody on the way can make such a page");
        assert!(!is_same(&[host, ("origin", "null")]));
    }
}
