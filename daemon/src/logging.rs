//! The daemon's own messages, on standard error: results on standard output stay clean.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is printed when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// Starts printing messages, as `RUST_LOG` filters them. A subscriber that the embedding program has installed stays.
///
/// # Errors
///
/// When `RUST_LOG` is not a filter.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    if tracing::dispatcher::has_been_set() {
        return Ok(());
    }
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text)
            .with_context(|| format!("environment variable RUST_LOG: `{text}` is not a filter such as `info`"))?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => subscriber.json().try_init(),
        LogFormat::Text => subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))
}
