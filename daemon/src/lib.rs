//! The daemon `derived-statsd` and its tools, for a program that adds algorithms, sources or sinks of its own.
//!
//! It is not an API of the daemon's parts: those are private, and the pipelines and tables themselves are the crates
//! `derived-stats` and `proxy-uve`. A [`Daemon`] takes the command line, the configuration and the environment of the
//! shipped binary, and adds the parts of the program to the built-in ones.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use derived_statsd::Daemon;
//! use derived_statsd::source::{Source, SourceContext};
//!
//! struct Mine;
//!
//! impl Source for Mine {
//!     fn name(&self) -> &str {
//!         "mine"
//!     }
//!
//!     fn run(&mut self, _context: &SourceContext<'_>) -> anyhow::Result<()> {
//!         Ok(()) // and samples, with `_context.append`
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     Daemon::builder().source(Mine).run()
//! }
//! ```
//!
//! Complete programs are `examples/own_algorithm` and `examples/own_parts` (a source and a sink).
//!
//! # Process
//!
//! A command reads the environment (`DERIVED_STATSD_…`, `RUST_LOG`), writes to standard output and standard error, and
//! `run`, `demo` and `simulate` handle SIGTERM and SIGINT; at SIGHUP `run` reads its configuration again, and `demo` ignores
//! it with a message. A `tracing`
//! subscriber that the program has installed stays in force; without one, the commands with a configuration install
//! their own.
//!
//! # Exit codes
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped in order |
//! | 1 | the start or the work failed |
//! | 2 | a bad annotation or a wrong argument |
//! | 64 | a bad configuration |
//! | 65 | damaged files, or files of a newer program: the next start would end the same way |
//!
//! # Crate features
//!
//! * `fault-points`: named points at which a test kills the process. Never in a release build.

#![deny(missing_docs)]

mod app;
mod cli;
mod commands;
mod config;
mod engine;
mod extensions;
mod facts;
mod http;
mod logging;
mod program;
mod ready_file;
mod service_manager;
mod settings;
mod telemetry;
mod tokens;

pub use crate::program::{Daemon, DaemonBuilder};

/// The types for a source of an embedding program; see [`Source`](source::Source).
pub mod source {
    pub use daemon_sources::{AppendOutcome, Sample, Source, SourceContext};
}

/// The types for a sink of an embedding program; see [`Sink`](sink::Sink).
pub mod sink {
    pub use daemon_log::{Bounds, Log, LogError, RecordBatch, SinkPosition};
    pub use daemon_results::block::Row;
    pub use daemon_results::record::{RecordReader, Stored};
    pub use daemon_sinks::Sink;
}

/// The examples of the book's page on embedding, `docs/src/guide/embedding.md`, run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/src/guide/embedding.md")]
struct Embedding;
