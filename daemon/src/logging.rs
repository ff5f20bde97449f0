//! The daemon's own messages, on standard error: results on standard output stay clean.
//!
//! A message never fails or holds up its caller: a thread of its own writes, and a message that cannot be written (the
//! disk behind standard error is full, its reader is gone or stuck) is dropped and counted. Repeated messages are left
//! out, also with a count.

mod output;
mod repeats;
mod stamp;

use std::sync::Arc;

use anyhow::Context as _;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{self, JsonFields};

use crate::config::LogFormat;

use self::output::Output;
pub(crate) use self::output::dropped;
use self::repeats::{Limited, Repeats, Ticker};
use self::stamp::Stamp;

/// What is printed without `RUST_LOG`.
const DEFAULT_FILTER: &str = "info";

/// Messages that wait to be written at most; further ones are dropped.
const QUEUED_MESSAGES: usize = 8192;

/// Writes what is left when it is dropped, for about a second at most.
#[must_use = "messages are written as long as it lives"]
pub(crate) struct Logging {
    // Before the guard: what it holds is written when it is dropped.
    _ticker: Option<Ticker>,
    _guard: Option<WorkerGuard>,
}

/// Starts printing messages, as `RUST_LOG` filters them. A subscriber that the embedding program has installed stays.
///
/// # Errors
///
/// When `RUST_LOG` is not a filter.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<Logging> {
    if tracing::dispatcher::has_been_set() {
        return Ok(Logging { _ticker: None, _guard: None });
    }
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text)
            .with_context(|| format!("environment variable RUST_LOG: `{text}` is not a filter such as `info`"))?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(QUEUED_MESSAGES);
    let (writer, guard) = builder.thread_name("messages").finish(Output::new(std::io::stderr()));
    output::count_unqueued(writer.error_counter());
    let ansi = matches!(format, LogFormat::Text) && std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (lines, repeats) = (writer.clone(), Repeats::new(Stamp { format, ansi }));
    // Its own errors would be printed on standard error, by a call that panics when that fails.
    let subscriber = tracing_subscriber::fmt().log_internal_errors(false).with_env_filter(filter).with_writer(writer);
    let limited = Arc::clone(&repeats);
    let started = match format {
        LogFormat::Json => {
            let limited = Limited { format: format::json().without_time(), repeats: limited };
            subscriber.fmt_fields(JsonFields::new()).event_format(limited).try_init()
        }
        LogFormat::Text => {
            let format = format::format().without_time().with_ansi(ansi);
            subscriber.event_format(Limited { format, repeats: limited }).try_init()
        }
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))?;
    Ok(Logging { _ticker: Some(Ticker::start(repeats, lines)), _guard: Some(guard) })
}
