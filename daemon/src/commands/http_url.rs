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
    }
}
