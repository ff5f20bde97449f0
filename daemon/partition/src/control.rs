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
    /// Whether other workers continue in this process. Each worker then also closes the rest of a window that is closing,
    /// and a last commit that failed is not an error: the next worker reads its input again.
    pub is_replaced: AtomicBool,
}
