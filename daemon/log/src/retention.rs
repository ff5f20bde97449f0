//! The rules of retention, as pure functions without the store.
//!
//! The log keeps input until it is applied, and then within an age and a size so that a damaged state can be replayed.
//! It keeps results until every registered sink has read them, unless they exceed the hard limit. Retention deletes
//! whole files, the oldest first.

use crate::config::{LogConfig, is_older};

/// The age and end of a log's records in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Oldest {
    pub written_at: u64,
    /// The offset after its last record.
    pub end: u64,
}

/// Whether the input in a file may be deleted: all input has `total_bytes`, and offsets before `applied` are applied.
pub(super) fn input_is_deletable(oldest: Oldest, applied: u64, total_bytes: u64, now: u64, config: &LogConfig) -> bool {
    oldest.end <= applied
        && (total_bytes > config.max_input_bytes || is_older(oldest.written_at, config.max_input_age_seconds, now))
}

/// Whether the results in a file may be deleted: all results have `total_bytes`, and every sink has read those before
/// `unread`.
pub(super) fn results_are_deletable(
    oldest: Oldest,
    unread: u64,
    total_bytes: u64,
    now: u64,
    config: &LogConfig,
) -> bool {
    let read = oldest.end <= unread
        && (total_bytes > config.max_results_bytes || is_older(oldest.written_at, config.max_results_age_seconds, now));
    read || total_bytes > hard_limit(config)
}

/// The size of all results beyond which the oldest ones are deleted, also if a sink has not read them.
pub(super) fn hard_limit(config: &LogConfig) -> u64 {
    config.results_hard_limit_bytes.max(config.max_results_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: LogConfig = LogConfig {
        max_input_bytes: 100,
        max_input_age_seconds: 10,
        max_results_bytes: 100,
        max_results_age_seconds: 10,
        results_hard_limit_bytes: 1_000,
        max_backlog_bytes: 100,
        full_retry_after_seconds: 1,
        idempotency_age_seconds: 10,
        max_idempotency_keys: 10,
    };

    #[test]
    fn a_frame_is_deletable_when_it_is_consumed_and_over_its_age_or_size_limit() {
        let second = 1_000_000;
        // name, end of the frame, consumed up to, total bytes, seconds since it was written: input, results
        let cases = [
            ("consumed, young, few", 5, 5, 100, 10, false, false),
            ("consumed, young, many", 5, 5, 101, 0, true, true),
            ("consumed, old, few", 5, 5, 1, 11, true, true),
            ("partly consumed, old, many", 5, 4, 101, 11, false, false),
            ("not consumed, over the hard limit", 5, 0, 1_001, 0, false, true),
        ];
        for (name, end, consumed, total, age, input, results) in cases {
            let (oldest, now) = (Oldest { written_at: 50, end }, 50 + age * second);
            assert_eq!(input_is_deletable(oldest, consumed, total, now, &CONFIG), input, "input: {name}");
            assert_eq!(results_are_deletable(oldest, consumed, total, now, &CONFIG), results, "results: {name}");
        }
    }

    #[test]
    fn a_clock_that_steps_back_makes_no_frame_old() {
        let oldest = Oldest { written_at: u64::MAX, end: 1 };
        assert!(!input_is_deletable(oldest, 1, 1, 0, &CONFIG));
    }
}
