//! `[shutdown]`.

use std::time::Duration;

use daemon_base::setting::duration;
use serde::Deserialize;

/// `[shutdown]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// How long the daemon may take to finish requests and commit after SIGTERM. Default `"10s"`, at most `"1h"`;
    /// `"0s"` ends at once, which loses nothing but time at the next start. Keep it below the service manager's limit.
    #[serde(deserialize_with = "duration::deserialize")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}
