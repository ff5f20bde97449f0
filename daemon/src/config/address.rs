//! Addresses to listen on, with an error that shows one.

use std::net::SocketAddr;

use serde::de::{Deserialize, Deserializer, Error};

/// For `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format_args!(
            "expected a numeric address and port such as \"127.0.0.1:8081\" or \"[::1]:8081\", found {text:?}"
        ))
    })
}
