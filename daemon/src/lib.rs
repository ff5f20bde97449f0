//! The daemon `derived-statsd` and its tools, for a program that adds algorithms of its own.
//!
//! It is not an API of the daemon's parts: those are private, and the pipelines and tables themselves are the crates
//! `derived-stats` and `proxy-uve`. A [`Daemon`] takes the command line, the configuration and the environment of the
//! shipped binary, and adds the algorithms of a [`Registry`](derived_stats::Registry) to the built-in ones.
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use derived_statsd::Daemon;
//! use derived_stats::Registry;
//!
//! fn main() -> ExitCode {
//!     let registry = Registry::new(); // and the program's own algorithms in it
//!     Daemon::builder().registry(registry).run()
//! }
//! ```
//!
//! `examples/own_algorithm` is a complete program.
//!
//! # Process
//!
//! A command reads the environment (`DERIVED_STATSD_…`, `RUST_LOG`), writes to standard output and standard error, and
//! `run` and `demo` handle SIGTERM and SIGINT. A `tracing` subscriber that the program has installed stays in force;
//! without one, the commands with a configuration install their own.
//!
//! # Exit codes
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done, or stopped in order |
//! | 1 | the start or the work failed |
//! | 2 | a bad annotation or a wrong argument |
//! | 64 | a bad configuration |
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
mod http;
mod logging;
mod program;
mod settings;
mod telemetry;
mod view;

pub use crate::program::{Daemon, DaemonBuilder};
