//! The book: each block of commands runs as it is printed, or has the reason why it does not.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};

/// Runs `docs/commands`, which has the rules.
fn commands(arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands");
    Command::new(script).args(arguments).output().unwrap()
}

#[test]
fn each_block_of_commands_runs_as_printed_or_has_the_reason_why_not() {
    let output = commands(&["--run", env!("CARGO_BIN_EXE_derived-statsd")]);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
}
