//! `[logging]`.

use serde::Deserialize;

/// `[logging]`: the daemon's own messages, on standard error. Which ones is said by `RUST_LOG` (default `info`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logging {
    /// `"text"` for people, `"json"` for collectors of logs. Default `"text"`.
    pub format: LogFormat,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One line of text.
    #[default]
    Text,
}
