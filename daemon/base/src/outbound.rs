//! What the requests that this daemon makes have in common.

mod authorization;

use std::fmt::Write as _;
use std::time::Duration;

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;

pub use self::authorization::Authorization;

/// The timeout is for all of a request, from the look-up of the name to the last byte. No redirect is followed and no
/// proxy of the environment is asked: the server is one of the configured, or none.
pub fn agent_config(timeout: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder().timeout_global(Some(timeout)).max_redirects(0).proxy(None)
}

/// A text as a part of a URL or a form: what is neither unreserved (RFC 3986, section 2.3) nor among `literal` is
/// percent-encoded.
pub fn percent_encoded(text: &str, literal: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || literal.contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to memory has no way to fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_for_itself_is_left() {
        assert_eq!(percent_encoded("a b&c=d/é~", b""), "a%20b%26c%3Dd%2F%C3%A9~");
        assert_eq!([percent_encoded("a:b", b""), percent_encoded("a:b", b":")], ["a%3Ab", "a:b"]);
    }
}
