//! The tools beside the daemon. They open no log, and but for `simulate` no port.

pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod simulate;
pub(crate) mod telegraf_config;
pub(crate) mod top;
pub(crate) mod validate;

use std::io::{self, Write};
use std::process::ExitCode;

use derived_stats::AnnotationError;

/// The exit code for a bad annotation, the same as for any other wrong argument.
const USAGE: u8 = 2;

/// Shows a bad annotation with its caret on standard error.
fn refuse(error: &AnnotationError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(USAGE)
}

/// Prints a text; a reader that has gone away (`| head`) is not an error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    quiet_if_closed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

fn quiet_if_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
