//! The page at `/`, and its files below `/assets`.

use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use daemon_page::{CONTENT_SECURITY_POLICY, File};

use crate::http::not_found;

/// The header that has browsers take the type that is stated.
const NOSNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");

/// Responds with the page, or one of its files.
pub(super) async fn get(uri: Uri, headers: HeaderMap) -> Response {
    let Some(file) = daemon_page::find(uri.path()) else { return not_found().await };
    let common = [
        (header::CACHE_CONTROL, file.cache_control),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::VARY, "accept-encoding"),
        NOSNIFF,
    ];
    let is_gzip = accepts_gzip(&headers);
    let etag = etag(file, is_gzip);
    if headers.get_all(header::IF_NONE_MATCH).iter().any(|tags| tags.to_str().is_ok_and(|tags| matches(tags, &etag))) {
        return (StatusCode::NOT_MODIFIED, common, [(header::ETAG, etag)]).into_response();
    }
    let own = [(header::CONTENT_TYPE, file.content_type), (header::ETAG, &*etag)];
    if is_gzip {
        return (common, own, [(header::CONTENT_ENCODING, "gzip")], &file.gzip[..]).into_response();
    }
    (common, own, &file.body[..]).into_response()
}

/// The tag of the representation: that in gzip has one of its own (RFC 9110, 8.8.3.3).
fn etag(file: &File, is_gzip: bool) -> String {
    let tag = file.etag.trim_matches('"');
    if is_gzip { format!("\"{tag}-gzip\"") } else { file.etag.clone() }
}

/// Whether a list of tags in `If-None-Match` has this one.
fn matches(tags: &str, etag: &str) -> bool {
    tags.split(',').map(|tag| tag.trim().trim_start_matches("W/")).any(|tag| tag == "*" || tag == etag)
}

/// Whether the client takes gzip (RFC 9110, 12.5.3). A quality of 0 refuses it.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = texts.flat_map(|text| text.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_gzip && quality.is_none_or(|quality| quality.parse::<f64>().is_ok_and(|quality| quality > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        let accepts = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, text.parse().expect("a header"));
            accepts_gzip(&headers)
        };
        for text in ["gzip", "br, GZIP;q=0.5", "deflate, gzip ; q=1"] {
            assert!(accepts(text), "{text}");
        }
        for text in ["", "br", "gzip;q=0", "gzip;q=0.0, br", "xgzip"] {
            assert!(!accepts(text), "{text}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn a_tag_is_found_in_a_list_of_tags() {
        assert!(matches("\"a\", W/\"b\"", "\"b\"") && matches("*", "\"b\""));
        assert!(!matches("\"a\"", "\"b\""));
    }
}
