//! The check of the timestamps of samples when they arrive.

/// The latest timestamp that a table accepts, in microseconds.
const LATEST: u64 = i64::MAX as u64;

/// Why a timestamp is rejected. The text names the remedy.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// It is further ahead of the arrival than the allowed skew.
    #[error(
        "the timestamp {found} is {ahead_seconds} s ahead of the arrival at {arrived} where aggregation.allowed_skew \
         allows {allowed_seconds} s; write microseconds since 1970, and check the clocks of the sender and of this machine"
    )]
    Future {
        /// The timestamp, in microseconds.
        found: u64,
        /// The arrival, in microseconds.
        arrived: u64,
        /// How far it is ahead, in whole seconds, rounded up.
        ahead_seconds: u64,
        /// The allowed skew, in seconds.
        allowed_seconds: f64,
    },
}

/// Checks a timestamp against the arrival, as the tables do. All times are in microseconds.
#[inline]
pub(crate) fn check(timestamp: u64, arrived: u64, allowed_skew: u64) -> Result<(), TimestampError> {
    if timestamp > arrived.saturating_add(allowed_skew).min(LATEST) {
        return Err(future(timestamp, arrived, allowed_skew));
    }
    Ok(())
}

#[cold]
fn future(found: u64, arrived: u64, allowed_skew: u64) -> TimestampError {
    let ahead_seconds = found.saturating_sub(arrived).div_ceil(1_000_000);
    TimestampError::Future { found, arrived, ahead_seconds, allowed_seconds: allowed_skew as f64 / 1e6 }
}
