//! What is refused: a whole body, or one endpoint of it.
//!
//! Both have a `kind`, a word from a fixed set, so that errors can be counted without putting a node's text in a label.

/// Why a whole body was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not JSON to its end, or is neither an object, a list nor `null`. The source has line and column.
    #[error(
        "the body is no JSON object or list of endpoints; check that the address is Netplugin's and the answer whole"
    )]
    Json(#[source] serde_json::Error),
    /// The body is longer than [`Limits::body_bytes`](crate::Limits::body_bytes).
    #[error("the body has {actual} bytes, the limit is {limit}; raise the limit if the node is really that large")]
    TooLarge {
        /// Length of the body.
        actual: usize,
        /// The limit it passes.
        limit: usize,
    },
    /// The body holds more endpoints than [`Limits::endpoints`](crate::Limits::endpoints).
    #[error("the body has more than {limit} endpoints; raise the limit if the node is really that large")]
    TooManyEndpoints {
        /// The limit it passes.
        limit: usize,
    },
}

impl DecodeError {
    /// The error as one word: `json`, `too_large` or `too_many_endpoints`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyEndpoints { .. } => "too_many_endpoints",
        }
    }
}

/// An endpoint that was set aside, none of its services kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Its address as far as it can be read, cut short when long; else its place in the body from 0, such as `[3]`.
    pub endpoint: String,
    /// Why.
    pub reason: Reason,
}

/// Why one endpoint was refused.
///
/// `place` names where in the endpoint: `the endpoint`, `service 100.1.1.3`, `service 100.1.1.3, provider 10.1.1.7`.
/// Texts from the body are cut short.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// An address is missing, too long or not plain text.
    #[error(
        "{place} has the address `{found}`, expected 1 to {max} visible ASCII characters, no quote or backslash",
        max = crate::MAX_ADDRESS_LENGTH
    )]
    Address {
        /// Where.
        place: String,
        /// The text found, empty when there is none.
        found: String,
    },
    /// The endpoint's key and its `EndpointIP` are different addresses.
    #[error("the endpoint is listed under `{key}` but calls itself `{field}`, expected the same address")]
    Conflict {
        /// The key in the body.
        key: String,
        /// The endpoint's own `EndpointIP`.
        field: String,
    },
    /// A counter is not a whole number of 64 bits.
    #[error("{place} has {field} `{found}`, expected a whole number from 0 to 18446744073709551615")]
    Counter {
        /// Where.
        place: String,
        /// The counter's name in the body.
        field: &'static str,
        /// Its JSON text.
        found: String,
    },
    /// Two endpoints, two services of an endpoint or two providers of a service have the same address.
    #[error("{place} is listed twice, expected every address once")]
    Duplicate {
        /// Which.
        place: String,
    },
    /// A merged counter would leave 64 bits.
    #[error("{place} has two counts of {field} whose sum is above 18446744073709551615, expected real traffic")]
    Overflow {
        /// The service.
        place: String,
        /// The counter's name in the body.
        field: &'static str,
    },
    /// A value that holds others is neither an object nor `null`.
    #[error("{place} is not an object: {found}")]
    Shape {
        /// Where.
        place: String,
        /// The JSON parser's message: the type it found and expected, with line and column in the endpoint's JSON.
        found: String,
    },
    /// A service has more entries than [`Limits::providers_per_service`](crate::Limits::providers_per_service).
    #[error("{place} has more than {limit} providers; raise the limit if that is true")]
    TooManyProviders {
        /// The service.
        place: String,
        /// The limit it passes.
        limit: usize,
    },
    /// The endpoint has more services than [`Limits::services_per_endpoint`](crate::Limits::services_per_endpoint).
    #[error("the endpoint has more than {limit} services; raise the limit if that is true")]
    TooManyServices {
        /// The limit it passes.
        limit: usize,
    },
}

impl Reason {
    /// The reason as one word, the variant's name in snake case: `address`, `conflict`, `counter`, `duplicate`,
    /// `overflow`, `shape`, `too_many_providers` or `too_many_services`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Conflict { .. } => "conflict",
            Self::Counter { .. } => "counter",
            Self::Duplicate { .. } => "duplicate",
            Self::Overflow { .. } => "overflow",
            Self::Shape { .. } => "shape",
            Self::TooManyProviders { .. } => "too_many_providers",
            Self::TooManyServices { .. } => "too_many_services",
        }
    }
}
