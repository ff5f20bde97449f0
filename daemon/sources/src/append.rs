//! Appends that wait for room in the log.

use std::time::Duration;

use daemon_log::{AppendBatch, Appended, Log, LogError};

/// Appends a batch, and tries again while the log is full: before each further try `wait` gets the time that the log
/// asks for, waits as it likes, and returns whether to go on.
///
/// # Errors
/// As [`Log::append`]; [`LogError::Full`], with nothing written, once `wait` has returned `false`.
pub fn append_when_room(
    log: &dyn Log,
    batch: AppendBatch,
    mut wait: impl FnMut(Duration) -> bool,
) -> Result<Appended, LogError> {
    loop {
        match log.append(batch.clone()) {
            Err(LogError::Full { retry_after, .. }) if wait(retry_after) => {}
            result => return result,
        }
    }
}
