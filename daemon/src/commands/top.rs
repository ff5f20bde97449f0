//! `top` polls the partition status of a daemon, or of its Kafka group, and draws it as a table.
//!
//! It polls `GET /api/v1/partitions`. Each table overwrites the previous one: the cursor moves up by the number of its
//! lines. No terminal mode changes, so Ctrl-C needs no cleanup.

mod request;
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
use request::Client;
use table::{Size, lines};

use super::client::{ClientOptions, DaemonUrl};
use crate::config::Role;

/// The shortest poll interval, which limits the load on the daemon.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Arguments of `top`.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    pub(crate) daemon: DaemonUrl,
    /// The poll interval, at least 100ms.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval, conflicts_with = "once")]
    pub(crate) interval: Duration,
    /// Poll once, print one table and stop.
    #[arg(long)]
    pub(crate) once: bool,
    /// Show all partitions instead of as many as fit on the terminal.
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) client: ClientOptions,
}

/// Prints the table once, or draws it at each poll until Ctrl-C.
///
/// # Errors
///
/// Fails if standard output cannot be written; with `--once` also if the daemon does not respond.
pub(crate) fn run(args: &TopArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.daemon.url(Role::Query), &args.client)?;
    let clock = SystemClock::new();
    if args.once {
        let snapshot = client.poll(&clock)?;
        super::print::print(&text(&lines(None, Some(&snapshot), None, size(args.all))))
            .context("write to standard output")?;
        return Ok(ExitCode::SUCCESS);
    }
    watch(&client, &clock, args)
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text)?;
    let expected = || format!("expected at least \"100ms\", found {text:?}");
    (interval >= SHORTEST_INTERVAL).then_some(interval).ok_or_else(expected)
}

fn watch(client: &Client, clock: &dyn Clock, args: &TopArgs) -> anyhow::Result<ExitCode> {
    let is_terminal = io::stdout().is_terminal();
    let (mut before, mut newest) = (None, None);
    let mut drawn = 0;
    loop {
        let problem = match client.poll(clock) {
            Ok(snapshot) => {
                before = newest.replace(snapshot);
                None
            }
            Err(error) => Some(format!("{error:#}")),
        };
        let lines = lines(before.as_ref(), newest.as_ref(), problem.as_deref(), size(args.all));
        let frame = if is_terminal { over(drawn, &lines) } else { text(&lines) };
        drawn = lines.len();
        // This loop has no other end, so it must stop when the pipe is closed.
        match io::Write::write_all(&mut io::stdout().lock(), frame.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written.context("write to standard output")?,
        }
        thread::sleep(args.interval);
    }
}

/// The size of the terminal; unlimited if standard output is not a terminal.
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

/// The lines as text that overwrites the `drawn` lines above the cursor.
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
    fn a_table_overwrites_the_previous_one() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(over(0, &lines), "\r\x1b[Ja\nb\n");
        assert_eq!(over(3, &lines), "\x1b[3A\r\x1b[Ja\nb\n");
    }
}
