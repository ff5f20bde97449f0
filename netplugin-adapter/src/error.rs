//! Why a whole body or one endpoint of it is rejected.
//!
//! Both errors have a `kind`, a word from a fixed set: a metric can count them without text from a node in a label.

/// Why a whole body is rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body begins with a byte order mark. JSON has none.
    #[error(
        "the body begins with a byte order mark of {encoding}, expected `{{`, `[` or `null` in UTF-8; remove what adds \
         the mark, such as a proxy or a file that an editor wrote"
    )]
    ByteOrderMark {
        /// The encoding that the mark stands for.
        encoding: &'static str,
    },
    /// The body is not complete JSON, or is neither an object, a list nor `null`. The source has line and column.
    #[error(
        "the body is not a JSON object or list of endpoints; check that the address is Netplugin's and the answer complete"
    )]
    Json(#[source] serde_json::Error),
    /// The body is longer than [`Limits::body_bytes`](crate::Limits::body_bytes).
    #[error("the body has {actual} bytes, the limit is {limit}; raise the limit if a node can be that large")]
    TooLarge {
        /// Length of the body in bytes.
        actual: usize,
        /// The limit that is exceeded.
        limit: usize,
    },
    /// The body holds more services and entries than [`Limits::entries`](crate::Limits::entries).
    #[error(
        "the body has more than {limit} services and entries; check that the address is Netplugin's, or raise the limit \
         and that of the body's size if a node can be that large"
    )]
    TooManyEntries {
        /// The limit that is exceeded.
        limit: usize,
    },
    /// The body holds more endpoints than [`Limits::endpoints`](crate::Limits::endpoints).
    #[error("the body has more than {limit} endpoints; raise the limit if a node can be that large")]
    TooManyEndpoints {
        /// The limit that is exceeded.
        limit: usize,
    },
}

impl DecodeError {
    /// Returns the error as one word: `json`, `too_large`, `too_many_endpoints` or `too_many_entries`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ByteOrderMark { .. } | Self::Json(_) => "json",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyEndpoints { .. } => "too_many_endpoints",
            Self::TooManyEntries { .. } => "too_many_entries",
        }
    }
}

/// A rejected endpoint; none of its services is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its address if it has a readable one, truncated when long; else its index in the body, such as `[3]`.
    pub endpoint: String,
    /// Why it is rejected.
    pub reason: Reason,
}

/// Why one endpoint is rejected.
///
/// `location` is the invalid value: `the endpoint`, `service 100.1.1.3`, `service 100.1.1.3, provider 10.1.1.7`. Texts
/// from the body are truncated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// An address is missing, longer than 64 bytes or not visible ASCII.
    #[error(
        "{location} has the address `{found}`, expected 1 to {max} visible ASCII characters, no quote or backslash",
        max = crate::MAX_ADDRESS_LENGTH
    )]
    Address {
        /// The invalid value.
        location: String,
        /// The text found, empty when there is none.
        found: String,
    },
    /// A service has counters in the form of two versions of Netplugin.
    #[error("{location} has both ProvStats and Stats with counters, expected one of them")]
    Ambiguous {
        /// The service.
        location: String,
    },
    /// The endpoint's key and its `EndpointIP` are different addresses.
    #[error("the endpoint has the key `{key}` and the EndpointIP `{field}`, expected the same address")]
    Conflict {
        /// The key in the body.
        key: String,
        /// The endpoint's own `EndpointIP`.
        field: String,
    },
    /// A counter is not an unsigned integer of 64 bits.
    #[error("{location} has {field} `{found}`, expected an integer from 0 to 18446744073709551615")]
    Counter {
        /// The invalid value.
        location: String,
        /// The counter's name in the body.
        field: &'static str,
        /// Its JSON text.
        found: String,
    },
    /// Two endpoints, two services of an endpoint or two providers of a service have the same address.
    #[error("{location} appears twice, expected every address once")]
    Duplicate {
        /// The second occurrence.
        location: String,
    },
    /// An object has fields that say of which values it is, and none of those values.
    #[error("{location} has `{found}`, but none of {expected}; check that the address is Netplugin's, and its version")]
    Missing {
        /// The object.
        location: String,
        /// The first of its fields.
        found: &'static str,
        /// The fields of which one is expected.
        expected: String,
    },
    /// A merged counter would overflow 64 bits.
    #[error(
        "{location} has two {field} counters that overflow when merged, expected a sum of at most 18446744073709551615"
    )]
    Overflow {
        /// The service.
        location: String,
        /// The counter's name in the body.
        field: &'static str,
    },
    /// A value is neither an object nor `null`, where an object is expected.
    #[error("{location} is not an object: {found}")]
    Shape {
        /// The invalid value.
        location: String,
        /// The JSON parser's message: found and expected type, line and column in the endpoint's JSON.
        found: String,
    },
    /// A service has more entries than [`Limits::providers_per_service`](crate::Limits::providers_per_service).
    #[error("{location} has more than {limit} providers; raise the limit if a service can have as many")]
    TooManyProviders {
        /// The service.
        location: String,
        /// The limit that is exceeded.
        limit: usize,
    },
    /// The endpoint has more services than [`Limits::services_per_endpoint`](crate::Limits::services_per_endpoint).
    #[error("the endpoint has more than {limit} services; raise the limit if an endpoint can have as many")]
    TooManyServices {
        /// The limit that is exceeded.
        limit: usize,
    },
    /// An object has unknown fields and none that could be read, or a field in another letter case.
    #[error(
        "{location} has the unknown field `{found}`, expected {expected}; check that the address is Netplugin's, and \
         its version"
    )]
    Unknown {
        /// The object.
        location: String,
        /// The first unknown field.
        found: String,
        /// The fields of which one is expected.
        expected: String,
    },
}

impl Reason {
    /// All words that [`kind`](Self::kind) returns.
    pub const KINDS: [&'static str; 11] = [
        "address",
        "ambiguous",
        "conflict",
        "counter",
        "duplicate",
        "missing",
        "overflow",
        "shape",
        "too_many_providers",
        "too_many_services",
        "unknown",
    ];

    /// Returns the reason as one word, the variant's name in snake case, one of [`KINDS`](Self::KINDS).
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Conflict { .. } => "conflict",
            Self::Counter { .. } => "counter",
            Self::Duplicate { .. } => "duplicate",
            Self::Missing { .. } => "missing",
            Self::Overflow { .. } => "overflow",
            Self::Shape { .. } => "shape",
            Self::TooManyProviders { .. } => "too_many_providers",
            Self::TooManyServices { .. } => "too_many_services",
            Self::Unknown { .. } => "unknown",
        }
    }
}
