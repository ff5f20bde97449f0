//! The settings of the log, with one default each.

const MIB: u64 = 1024 * 1024;
const DAY_SECONDS: u64 = 24 * 3600;

/// The limits of the log: sizes and ages of retention, the backlog, and idempotency keys.
///
/// The sizes of input and results are those of their files, which are deleted as a whole; the backlog is that of the
/// records. Sizes go up to 1 PiB, ages to a hundred years, also where no limit is named.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Retention deletes applied input, oldest first, while all input is larger than this. Default 1 GiB. 0 keeps only
    /// input that is not applied. A larger value allows a longer replay after a damaged state.
    pub max_input_bytes: u64,
    /// Retention deletes applied input that is older than this. Default 1 day.
    pub max_input_age_seconds: u64,
    /// Retention deletes results that every sink has read, oldest first, while all results are larger than this.
    /// Default 1 GiB.
    pub max_results_bytes: u64,
    /// Retention deletes results that every sink has read and that are older than this. Default 1 day.
    pub max_results_age_seconds: u64,
    /// Retention deletes the oldest results beyond this size even if a sink has not read them, and counts them as
    /// dropped. It bounds the disk space that a failed sink uses. Default 4 GiB; not below `max_results_bytes`.
    pub results_hard_limit_bytes: u64,
    /// An append fails with [`Full`](super::LogError::Full) while the backlog, the input that no commit covers, is
    /// larger. Default 1 GiB.
    pub max_backlog_bytes: u64,
    /// The wait that `Full` recommends to the caller. Default 1 s.
    pub full_retry_after_seconds: u64,
    /// The age at which an idempotency key expires. Default 1 day; 0 keeps none beyond the next retention pass.
    pub idempotency_age_seconds: u64,
    /// The largest number of idempotency keys; the log deletes the oldest beyond it. Default 100,000, about 20 MB of
    /// memory. From 1 to 10,000,000.
    pub max_idempotency_keys: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            max_input_bytes: 1024 * MIB,
            max_input_age_seconds: DAY_SECONDS,
            max_results_bytes: 1024 * MIB,
            max_results_age_seconds: DAY_SECONDS,
            results_hard_limit_bytes: 4096 * MIB,
            max_backlog_bytes: 1024 * MIB,
            full_retry_after_seconds: 1,
            idempotency_age_seconds: DAY_SECONDS,
            max_idempotency_keys: 100_000,
        }
    }
}

/// Whether a record of time `at` is older than `age_seconds` at `now`, both in µs UTC.
///
/// A `now` before `at` (the clock stepped back) gives `false`.
pub(super) fn is_older(at: u64, age_seconds: u64, now: u64) -> bool {
    now.saturating_sub(at) > age_seconds.saturating_mul(1_000_000)
}
