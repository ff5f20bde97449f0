//! The daemon's own messages, on standard error: results on standard output stay clean.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;

/// What is printed when `RUST_LOG` says nothing.
const DEFAULT_FILTER: &str = "info";

/// Starts printing messages, as `RUST_LOG` filters them.
///
/// # Errors
///
/// When `RUST_LOG` is not a filter.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text)
            .with_context(|| format!("environment variable RUST_LOG: `{text}` is not a filter such as `info`"))?,
        _ => EnvFilter::new(DEFAULT_FILTER),
    };
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => subscriber.json().init(),
        LogFormat::Text => subscriber.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init(),
    }
    Ok(())
}
