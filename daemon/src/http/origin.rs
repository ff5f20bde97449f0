//! The refusal of requests that a browser sends for a page of another site.
//!
//! A page may make a browser post `text/plain` to any address that the browser reaches, also to this machine, without a
//! preflight request. The browser names the page's origin in `Origin` (RFC 6454), and the page cannot change that. An
//! origin is this server's own if it equals `Host`, and if that is an address or `localhost`: a name of another site may
//! resolve to this machine (DNS rebinding).

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::problem;

/// Responds with 403 to a request that may change something and has an origin other than this server.
pub(super) async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = headers.get(header::HOST);
    let other = headers.get_all(header::ORIGIN).iter().find(|origin| !is_own(origin, host));
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

/// Whether host and port are the same, and the host is an address or `localhost`. A missing port is that of the
/// origin's scheme.
fn is_own(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let parts = || {
        let origin: Uri = origin.to_str().ok()?.parse().ok()?;
        let host: Authority = host?.to_str().ok()?.parse().ok()?;
        let port = match origin.scheme_str()? {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let name = host.host();
        let is_local = name.eq_ignore_ascii_case("localhost")
            || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
        let is_host = origin.host()?.eq_ignore_ascii_case(name);
        Some(is_local && is_host && origin.port_u16().unwrap_or(port) == host.port_u16().unwrap_or(port))
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
            assert_eq!(is_own(&HeaderValue::from_static(origin), host.as_ref()), expected, "{origin} {host:?}");
        }
    }
}
