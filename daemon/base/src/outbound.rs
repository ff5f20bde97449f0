//! HTTP clients: the common parts of all requests that the daemon makes.

mod authorization;
mod tls;

use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

pub use self::authorization::Authorization;
pub use self::tls::{ClientTls, ClientTlsFiles, TLS_FILE_KEYS, TlsFileProblem, certificate_hint};

/// Returns the configuration of an HTTP client whose `timeout` covers a whole request, from name resolution to the last
/// byte. The client follows no redirect and uses no proxy of the environment: it connects to configured servers only.
pub fn agent_config(timeout: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0).proxy(None)
}

/// The bytes that are percent-encoded in a part of a URL or a form: all but the unreserved ones of RFC 3986, section 2.3.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// [`RESERVED`] without the colon, which stands for itself within a path and a query.
pub const RESERVED_BUT_COLON: &AsciiSet = &RESERVED.remove(b':');

/// Encodes a text as a part of a URL or a form: the bytes in `reserved`, and those beyond ASCII, are percent-encoded.
pub fn percent_encoded(text: &str, reserved: &'static AsciiSet) -> String {
    utf8_percent_encode(text, reserved).to_string()
}

/// Decodes what [`percent_encoded`] encodes. A percent sign without two digits stands for itself, and bytes that are
/// not UTF-8 are replaced.
pub fn percent_decoded(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_for_itself_is_left() {
        assert_eq!(percent_encoded("a b&c=d/é~-._", RESERVED), "a%20b%26c%3Dd%2F%C3%A9~-._");
        assert_eq!(percent_decoded("a%20b%26c%3Dd%2F%C3%A9~-._"), "a b&c=d/é~-._");
        assert_eq!(percent_decoded("11%2e1%zz%"), "11.1%zz%");
        assert_eq!([RESERVED, RESERVED_BUT_COLON].map(|set| percent_encoded("a:b", set)), ["a%3Ab", "a:b"]);
    }
}
