//! Reads up to damage.

use daemon_log::{Log, LogError, RecordBatch};

/// Reads results as [`Log::read_results`], but only up to damage behind `from`: the error of damage is that of the record
/// at `from`.
///
/// It halves the size of the read until there is no damage in it, so that records in front of damage cost few reads.
///
/// # Errors
///
/// Those of `read_results`; `is_damage` decides which of them a smaller read may avoid.
pub fn read_before_damage(
    log: &dyn Log,
    from: u64,
    max_bytes: usize,
    is_damage: impl Fn(&LogError) -> bool,
) -> Result<RecordBatch, LogError> {
    let mut size = max_bytes;
    loop {
        match log.read_results(from, size) {
            Err(error) if is_damage(&error) && size > 1 => size /= 2,
            read => return read,
        }
    }
}
