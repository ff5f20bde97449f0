//! The daemon with an algorithm of its own, `CountAbove:<limit>`, in all commands.
//!
//! ```text
//! cargo run -p daemon --example own_algorithm -- explain 1-raw:CountAbove:100
//! ```

mod count_above;

use std::process::ExitCode;

use derived_stats::Registry;
use derived_statsd::Daemon;

fn main() -> ExitCode {
    let mut registry = Registry::new();
    if let Err(error) = registry.register(&count_above::ENTRY) {
        eprintln!("error: register the algorithm: {error}");
        return ExitCode::FAILURE;
    }
    Daemon::builder().registry(registry).run()
}
