//! Where samples come from: the trait [`Source`] and the daemon's own sources.
//!
//! | module | source |
//! |---|---|
//! | [`intake`] | checks lines and single samples of every source and makes records of the log of them |
//! | [`mod@array`], [`opening`] | what bodies and files hold besides lines: an array of samples, other formats |
//! | [`mapping`] | makes samples of objects of labelled series |
//! | [`opserver`] | polls Contrail's analytics API for attributes of UVEs |
//! | [`contiv`] | scrapes Contiv's nodes for the traffic of endpoints; also serves the pages of Contiv's own backend |

#![deny(missing_docs)]

mod append;
pub mod array;
pub mod contiv;
#[cfg(test)]
mod fake_server;
pub mod intake;
pub mod mapping;
pub mod opening;
pub mod opserver;
mod source;
pub mod timestamp;

pub use self::append::append_when_room;
pub use self::source::{AppendOutcome, Sample, Source, SourceContext, SourceTelemetry, run};
