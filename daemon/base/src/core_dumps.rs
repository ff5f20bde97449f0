//! The process's limit of core dumps.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lowers the limit of core dumps to 0: a dump has all secrets that the process holds. The highest limit that may be set
/// stays, so that somebody who needs a dump can raise it for one process (`prlimit --core`).
pub fn disable() {
    let maximum = getrlimit(Resource::Core).maximum;
    // Lowering is always allowed.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum });
}
