//! The settings of a worker.

use std::sync::Arc;
use std::time::Duration;

use proxy_uve::{Plan, TableSettings};

/// What workers need to know of the configuration.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Limits of each partition's table.
    pub table: TableSettings,
    /// A partition whose log was read to its end, and that got nothing for this long, is idle: from then on its windows
    /// close as the clock goes on.
    pub idle_timeout: Duration,
    /// A partition whose cursor moved commits at least this often.
    pub commit_interval: Duration,
}

/// One stream and what is computed of it.
#[derive(Debug)]
pub struct StreamPlan {
    /// Its name, `Struct-attribute`.
    pub name: String,
    pub plan: Arc<Plan>,
}
