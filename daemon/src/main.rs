//! `derived-statsd`, the daemon with the built-in algorithms; everything else is in the library of the same name.

use std::process::ExitCode;

use derived_statsd::Daemon;

fn main() -> ExitCode {
    Daemon::builder().run()
}
