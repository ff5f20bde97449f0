//! URLs of servers on the command line.

/// Parses `http://…` or `https://…` with a host and without a query, and removes a trailing slash.
///
/// # Errors
///
/// What was expected and what was found.
pub(crate) fn http_url(text: &str) -> Result<String, String> {
    let uri: Result<axum::http::Uri, _> = text.parse();
    let whole = uri.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    let expected = || format!("expected a URL such as \"http://127.0.0.1:8081\", found {text:?}");
    whole.then(|| text.trim_end_matches('/').to_owned()).ok_or_else(expected)
}

/// Parses the URL of a daemon: as [`http_url`], or `unix:` and the absolute path of a socket.
///
/// # Errors
///
/// What was expected and what was found.
pub(crate) fn daemon_url(text: &str) -> Result<String, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(text.to_owned()),
        Some(_) => Err(format!("expected \"unix:\" and the absolute path of a socket, found {text:?}")),
        None => http_url(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_urls_of_servers_are_accepted() {
        for (text, taken) in
            [("http://a:1", "http://a:1"), ("https://a/x/", "https://a/x"), ("http://[::1]:4000", "http://[::1]:4000")]
        {
            assert_eq!(http_url(text).as_deref(), Ok(taken));
        }
        for text in ["", "a:4000", "ftp://a", "http://", "http://a/?all", "http://a b"] {
            assert!(http_url(text).is_err(), "{text:?} was taken");
        }
        assert_eq!(daemon_url("unix:/run/a.sock").as_deref(), Ok("unix:/run/a.sock"));
        assert_eq!(daemon_url("http://a/").as_deref(), Ok("http://a"));
        for text in ["unix:a.sock", "unix:", "a:1"] {
            assert!(daemon_url(text).is_err(), "{text:?} was taken");
        }
    }
}
