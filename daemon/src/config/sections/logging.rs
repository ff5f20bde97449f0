//! The section `[logging]`.

use serde::Deserialize;

/// `[logging]` sets the form of the daemon's own log messages on standard error. `RUST_LOG` selects them (default
/// `info`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logging {
    /// The form: `"text"` for people, `"json"` for log collectors. Default `"text"`.
    pub format: LogFormat,
}

/// The form of a log message.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One JSON object per line.
    Json,
    /// One line of text.
    #[default]
    Text,
}
