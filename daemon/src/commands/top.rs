//! `top`: where the partitions of a daemon, or of the group it belongs to, stand, drawn again and again.
//!
//! It asks `GET /api/v1/partitions` as anybody may. The table is drawn over the one before by going up as many lines as
//! that had; no mode of the terminal is changed, so there is nothing to undo when Ctrl-C ends it at any moment.

mod look;
mod table;
mod utc;

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use daemon_base::clock::{Clock, SystemClock};
use daemon_base::setting::duration;
use look::Source;
use table::{Size, lines};

/// More often, the daemon would be kept busy with answers.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Arguments of `top`.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// Where a daemon's HTTP server is.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081")]
    pub(crate) url: String,
    /// How often to look, at least 100ms.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration::parse)]
    pub(crate) interval: Duration,
    /// Print one table and stop.
    #[arg(long)]
    pub(crate) once: bool,
    /// All partitions, not only as many as the terminal has lines for.
    #[arg(long)]
    pub(crate) all: bool,
}

/// Shows the table until Ctrl-C, or once.
///
/// # Errors
///
/// When standard output cannot be written; with `--once` also when the daemon does not answer.
pub(crate) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let source = Source::new(&args.url);
    let clock = SystemClock::new();
    if args.once {
        let look = source.look(&clock)?;
        super::print::print(&text(&lines(None, Some(&look), None, size(args.all))))
            .context("write to standard output")?;
        return Ok(ExitCode::SUCCESS);
    }
    watch(&source, &clock, args)
}

fn watch(source: &Source, clock: &dyn Clock, args: &TopArgs) -> anyhow::Result<ExitCode> {
    let is_terminal = io::stdout().is_terminal();
    let interval = args.interval.max(SHORTEST_INTERVAL);
    let (mut before, mut newest) = (None, None);
    let mut drawn = 0;
    loop {
        let problem = match source.look(clock) {
            Ok(look) => {
                before = newest.replace(look);
                None
            }
            Err(error) => Some(format!("{error:#}")),
        };
        let lines = lines(before.as_ref(), newest.as_ref(), problem.as_deref(), size(args.all));
        let frame = if is_terminal { over(drawn, &lines) } else { text(&lines) };
        drawn = lines.len();
        // Unlike the tools that end by themselves, this one must end when nobody reads on.
        match io::Write::write_all(&mut io::stdout().lock(), frame.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written.context("write to standard output")?,
        }
        thread::sleep(interval);
    }
}

/// What a terminal has room for; all of it, if standard output is none.
fn size(all: bool) -> Size {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            Size { width: Some(size.ws_col.into()), height: (!all).then_some(size.ws_row.into()) }
        }
        _ => Size { width: None, height: None },
    }
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The lines in place of the `drawn` lines above the cursor.
fn over(drawn: usize, lines: &[String]) -> String {
    let mut frame = String::new();
    if drawn > 0 {
        let _ = write!(frame, "\x1b[{drawn}A");
    }
    frame + "\r\x1b[J" + &text(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(over(0, &lines), "\r\x1b[Ja\nb\n");
        assert_eq!(over(3, &lines), "\x1b[3A\r\x1b[Ja\nb\n");
    }
}
