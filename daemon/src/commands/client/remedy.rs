//! What to change when a request to a daemon fails for one of the usual reasons.

use std::io::{self, ErrorKind};

use ureq::http::StatusCode;

/// Texts of errors of TLS and HTTP in lower case, each with the remedy. The first that is found counts.
const REMEDIES: [(&str, &str); 10] = [
    ("unknownissuer", "name the authority of its certificate by --ca FILE"),
    (
        "causedasendentity",
        "its certificate calls itself an authority: make it again with -addext basicConstraints=CA:FALSE, or have it signed",
    ),
    ("not valid for name", "use a name or address of its certificate in the URL"),
    (
        "certificaterequired",
        "its listener has client_ca: name a certificate of that authority by --certificate and --key",
    ),
    ("unknownca", "its client_ca has not signed --certificate; name another one"),
    ("certificate: expired", "the certificate of the server has expired: replace it"),
    ("certificateexpired", "replace the certificate that --certificate names, which has expired"),
    ("invalidcontenttype", "this listener has no TLS; use http:// in place of https://"),
    (
        "http parse fail",
        "if this listener has TLS, use https:// in place of http://; else something else listens there",
    ),
    ("failed to lookup address", "check the name in the URL"),
];

/// Returns the end of a message about a request without a response: the remedy, or nothing where none is known.
pub(super) fn of_error(error: &ureq::Error) -> String {
    let remedy = match error {
        ureq::Error::Timeout(_) => Some("check the address, a firewall between, and whether the daemon is overloaded"),
        ureq::Error::Io(error) => of_io(error),
        _ => None,
    };
    let text = error.to_string().to_ascii_lowercase();
    let of_text = || REMEDIES.iter().find(|(part, _)| text.contains(part)).map(|(_, remedy)| *remedy);
    remedy.or_else(of_text).map(|remedy| format!("; {remedy}")).unwrap_or_default()
}

fn of_io(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Some(
            "check that the daemon runs and has this listener; --url names another one, --config its configuration",
        ),
        ErrorKind::PermissionDenied => Some("run this as a user to whom the `mode` of the socket gives the right"),
        _ => None,
    }
}

/// Returns the end of a message about a response: the remedy of one that refuses the token, else nothing. The text of the
/// response has the scope that is missing. `has_token` is whether the request had a token.
pub(super) fn of_status(status: StatusCode, has_token: bool) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED if has_token => {
            "; name the file of a token by --token-file whose hash is in http.tokens_file (`derived-statsd token` makes one)"
        }
        StatusCode::UNAUTHORIZED => "; name the file of a token by --token-file (`derived-statsd token` makes one)",
        StatusCode::FORBIDDEN => "; name the file of a token with this scope by --token-file",
        _ => "",
    }
}
