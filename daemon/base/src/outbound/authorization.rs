//! Credentials as the value of a header.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value of the header `Authorization`, which no debug text shows.
#[derive(Clone)]
pub struct Authorization(String);

impl Authorization {
    /// Returns the value for a user and a password, by HTTP basic authentication (RFC 7617).
    pub fn basic(user: &str, password: &str) -> Self {
        Self(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// Returns the value for a token, in the scheme of InfluxDB.
    pub fn token(token: &str) -> Self {
        Self(format!("Token {token}"))
    }

    /// Returns the value itself; only a request may contain it.
    pub fn header(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basic_header_is_standard_base64_with_padding() {
        let cases = [
            ("", "", "Basic Og=="),
            ("f", "o", "Basic Zjpv"),
            ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("\u{ff}", "~\u{ff}\u{3ff}", "Basic w786fsO/z78="),
        ];
        for (user, password, expected) in cases {
            assert_eq!(Authorization::basic(user, password).header(), expected, "{user}:{password}");
        }
    }
}
