//! How the owner of the workers stops them.

use std::sync::atomic::AtomicBool;

/// The flags that all workers of an engine watch.
#[derive(Debug, Default)]
pub struct Control {
    /// Commit and end.
    pub stop: AtomicBool,
    /// Before that, apply the rest of the input and close every window that has samples.
    pub close_windows: AtomicBool,
}
