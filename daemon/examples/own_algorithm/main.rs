//! The daemon with the further algorithm `CountAbove:<limit>` in all commands.
//!
//! ```text
//! cargo run -p daemon --example own_algorithm -- explain 1-raw:CountAbove:100
//! ```

mod count_above;

use std::process::ExitCode;

use derived_statsd::Daemon;

fn main() -> ExitCode {
    Daemon::builder().register(&count_above::ENTRY).run()
}
