//! The settings of the log, with one default each.

const MIB: u64 = 1024 * 1024;
const DAY_SECONDS: u64 = 24 * 3600;

/// How much the log keeps and when it refuses. Sizes count the records as stored, before the store's own overhead.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// Applied input is deleted, oldest first, while all input is larger than this. Default 1 GiB. 0 keeps only what is
    /// not applied. Raise it to be able to replay further back after a damaged state.
    pub max_input_bytes: u64,
    /// Applied input older than this is deleted. Default 1 day.
    pub max_input_age_seconds: u64,
    /// Results that every sink has read are deleted, oldest first, while all results are larger than this. Default 1
    /// GiB.
    pub max_results_bytes: u64,
    /// Results that every sink has read are deleted when older than this. Default 1 day.
    pub max_results_age_seconds: u64,
    /// Beyond this the oldest results are deleted even if a sink has not read them; they are counted as dropped. It
    /// bounds what a dead sink can cost. Default 4 GiB; not below `max_results_bytes`.
    pub results_hard_limit_bytes: u64,
    /// While more input than this waits to be applied, `append` answers [`Full`](super::LogError::Full). Default 1 GiB.
    pub max_backlog_bytes: u64,
    /// What `Full` asks the caller to wait. Default 1 s.
    pub full_retry_after_seconds: u64,
    /// How long an idempotency key is remembered. Default 1 day; 0 remembers none beyond the next retention pass.
    pub idempotency_age_seconds: u64,
    /// How many idempotency keys are remembered at most; beyond it the oldest are forgotten. Default 100,000, about
    /// 10 MB on disk. At least 1.
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

/// Whether something written at `at` is older than `age_seconds` at `now`; both in µs UTC. A `now` before `at` (the
/// clock stepped back) makes nothing old.
pub(super) fn is_older(at: u64, age_seconds: u64, now: u64) -> bool {
    now.saturating_sub(at) > age_seconds.saturating_mul(1_000_000)
}
