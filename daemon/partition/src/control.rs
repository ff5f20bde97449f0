//! The flags by which the owner of the workers stops them.

use std::sync::atomic::AtomicBool;

use daemon_base::stop::Stop;

/// The flags that all workers of an engine watch.
#[derive(Debug, Default)]
pub struct Control {
    /// Makes every worker commit and end.
    pub stop: Stop,
    /// Makes every worker, before it ends, apply the rest of the input and close every window that has samples.
    pub close_windows: AtomicBool,
}
