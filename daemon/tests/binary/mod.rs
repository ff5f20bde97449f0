//! The real binary as a child process.

#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use std::io::Write;
use std::process::{Command, Stdio};

/// The exit code and the output of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The command of the binary, in an environment without its variables.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_derived-statsd"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DERIVED_STATSD_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// Runs the binary until it exits, with `input` on standard input.
pub(crate) fn run(arguments: &[&str], input: impl Into<Vec<u8>>) -> Run {
    finish(command(arguments), input)
}

/// Runs a prepared command until it exits.
pub(crate) fn finish(mut command: Command, input: impl Into<Vec<u8>>) -> Run {
    let input = input.into();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // A separate thread writes the input, because both pipes would fill up otherwise. A binary that exits early closes
    // its pipe, so errors are ignored.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("the binary ends");
    let _ = writer.join().expect("the writer does not panic");
    let text = |bytes| String::from_utf8(bytes).expect("the output is UTF-8");
    Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}
