//! The sections that the daemon itself defines; the others belong to the crates that they configure.

mod aggregation;
mod http;
mod listener;
mod log;
mod logging;
mod shutdown;
mod sinks;
mod workers;

pub(crate) use self::aggregation::Aggregation;
pub(crate) use self::http::Http;
pub(crate) use self::listener::{ListenAddress, ListenerConfig, Role};
pub(crate) use self::log::{LogKind, LogSection};
pub(crate) use self::logging::{LogFormat, Logging};
pub(crate) use self::shutdown::Shutdown;
pub(crate) use self::sinks::Sinks;
pub(crate) use self::workers::Workers;
