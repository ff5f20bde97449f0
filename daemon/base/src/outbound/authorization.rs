//! What lets us in, as the header that says it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value of the header `Authorization`. Never shown.
#[derive(Clone)]
pub struct Authorization(String);

impl Authorization {
    /// A user and a password, by HTTP's basic authentication (RFC 7617).
    pub fn basic(user: &str, password: &str) -> Self {
        Self(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// A token, as InfluxDB has it.
    pub fn token(token: &str) -> Self {
        Self(format!("Token {token}"))
    }

    /// The value of the header, for the request alone.
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
