//! The location of an error in an endpoint, and the length of its quotations.

use std::fmt;

use super::MAX_ADDRESS_LENGTH;

/// Characters of a text from the body that an error quotes.
const QUOTE_LENGTH: usize = MAX_ADDRESS_LENGTH;

/// Characters of a JSON parser's message that an error keeps: the message quotes text from the body.
pub(super) const MESSAGE_LENGTH: usize = 2 * QUOTE_LENGTH;

/// A value in an endpoint.
#[derive(Debug, Clone, Copy)]
pub(super) enum Location<'a> {
    Endpoint,
    /// `ProvStats` of a service.
    Entries {
        service_ip: &'a str,
    },
    /// A member of `ProvStats`.
    Entry {
        service_ip: &'a str,
        ip: &'a str,
    },
    /// A member of `SvcStats`.
    Service {
        service_ip: &'a str,
    },
    /// `SvcStats` of the endpoint.
    Services,
    /// `Stats` of a service.
    Stats {
        service_ip: &'a str,
    },
}

impl fmt::Display for Location<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint => f.write_str("the endpoint"),
            Self::Entries { service_ip } => write!(f, "ProvStats of service {service_ip}"),
            Self::Entry { service_ip, ip } => write!(f, "service {service_ip}, provider {ip}"),
            Self::Service { service_ip } => write!(f, "service {service_ip}"),
            Self::Services => f.write_str("SvcStats of the endpoint"),
            Self::Stats { service_ip } => write!(f, "Stats of service {service_ip}"),
        }
    }
}

/// Truncates a text from the body for an error.
pub(super) fn quote(text: &str) -> String {
    cut(text, QUOTE_LENGTH)
}

/// Truncates a text to `length` characters, with an ellipsis when it is longer.
pub(super) fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
