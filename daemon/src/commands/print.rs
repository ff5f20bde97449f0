//! Output of the commands on standard output and standard error.
//!
//! A reader that goes away (`| head`) ends a command quietly, with exit code 0: what it wanted is written. A message on
//! standard error that cannot be written is left out; the exit code remains.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use daemon_base::one_line::is_not_shown;
use derived_stats::AnnotationError;

/// The exit code for a bad annotation, the same as for any other wrong argument.
pub(super) const USAGE: u8 = 2;

/// Prints the error of a bad annotation with its caret on standard error.
pub(super) fn refuse(error: &AnnotationError) -> ExitCode {
    message(format_args!("{error}"));
    ExitCode::from(USAGE)
}

/// Prints a line on standard error. Where that cannot be written the exit code is all that there is.
pub(crate) fn message(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The first `limit` characters of a text from outside, with a mark in place of each that is not shown but could change
/// a terminal.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let plain = |character: char| if is_not_shown(character) { char::REPLACEMENT_CHARACTER } else { character };
    let mut shown: String = text.chars().take(limit).map(plain).collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
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

/// Standard output for a command that prints more than one text, buffered. [`is_reader_gone`] detects its error when the
/// reader goes away, so that the command can pass it on as any other error.
pub(super) fn output() -> impl Write + Send {
    io::BufWriter::new(Output(io::stdout()))
}

/// Whether a command failed because the reader of its [`output`] has gone away.
pub(crate) fn is_reader_gone(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.get_ref().is_some_and(|inner| inner.is::<ReaderGone>()))
}

struct Output(io::Stdout);

/// The cause of an error of [`Output`]: a broken pipe elsewhere, such as that of a connection, is another matter.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has gone away")]
struct ReaderGone;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

fn marked(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ReaderGone),
        _ => error,
    }
}
