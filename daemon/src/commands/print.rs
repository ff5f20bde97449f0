//! Output of the commands on standard output and standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use derived_stats::AnnotationError;

/// The exit code for a bad annotation, the same as for any other wrong argument.
const USAGE: u8 = 2;

/// Prints the error of a bad annotation with its caret on standard error.
pub(super) fn refuse(error: &AnnotationError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(USAGE)
}

/// Prints a text. A closed pipe (`| head`) is not an error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    quiet_if_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The result of a write to standard output, where a closed pipe is not an error.
pub(super) fn quiet_if_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
