//! The section `[shutdown]`.

use std::time::Duration;

use daemon_base::setting::duration;
use serde::Deserialize;

/// `[shutdown]` bounds the time of a stop.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// The time that the daemon has to finish requests and commit after SIGTERM. Default `"10s"`, at most `"1h"`;
    /// `"0s"` ends at once, which loses no data but makes the next start slower. Keep it below the service manager's
    /// limit.
    #[serde(deserialize_with = "duration::deserialize")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}
