//! Where samples come from: the trait [`Source`] and the daemon's own sources.
//!
//! | module | source |
//! |---|---|
//! | [`intake`] | lines and single samples of any source, checked and turned into records of the log |
//! | [`opserver`] | Contrail's analytics API, polled for the attributes of UVEs |
//! | [`contiv`] | Contiv's nodes, whose Netplugin is scraped for the traffic of endpoints; also the pages of Contiv's own backend |

pub mod contiv;
#[cfg(test)]
mod fake_server;
pub mod intake;
pub mod opserver;
mod source;

pub use self::source::{AppendOutcome, Sample, Source, SourceContext, SourceTelemetry, run};
