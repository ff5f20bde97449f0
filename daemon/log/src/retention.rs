//! What may be deleted: pure rules, no store.
//!
//! Input is needed until it is applied; after that it is only kept so that a damaged state can be replayed, within
//! an age and a size. Results are needed until every registered sink has read them, unless they outgrow the hard
//! limit. Frames go oldest first, whole frames only.

use crate::config::{LogConfig, is_older};

/// The oldest frame of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Oldest {
    pub written_at: u64,
    /// The offset after its last record.
    pub end: u64,
}

/// Whether an input frame may go, when all input takes `total_bytes` and all before `applied` is applied.
pub(super) fn input_is_spent(oldest: Oldest, applied: u64, total_bytes: u64, now: u64, config: &LogConfig) -> bool {
    oldest.end <= applied
        && (total_bytes > config.max_input_bytes || is_older(oldest.written_at, config.max_input_age_seconds, now))
}

/// Whether a frame of results may go, when all results take `total_bytes` and every sink has read all before `unread`.
pub(super) fn results_are_spent(oldest: Oldest, unread: u64, total_bytes: u64, now: u64, config: &LogConfig) -> bool {
    let hard_limit = config.results_hard_limit_bytes.max(config.max_results_bytes);
    let read = oldest.end <= unread
        && (total_bytes > config.max_results_bytes || is_older(oldest.written_at, config.max_results_age_seconds, now));
    read || total_bytes > hard_limit
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
    fn frames_go_when_they_are_used_up_and_old_or_too_many() {
        let second = 1_000_000;
        // name, end of the frame, used up to, total bytes, seconds since it was written: input, results
        let cases = [
            ("used, young, few", 5, 5, 100, 10, false, false),
            ("used, young, many", 5, 5, 101, 0, true, true),
            ("used, old, few", 5, 5, 1, 11, true, true),
            ("half used, old, many", 5, 4, 101, 11, false, false),
            ("unused, over the hard limit", 5, 0, 1_001, 0, false, true),
        ];
        for (name, end, used, total, age, input, results) in cases {
            let (oldest, now) = (Oldest { written_at: 50, end }, 50 + age * second);
            assert_eq!(input_is_spent(oldest, used, total, now, &CONFIG), input, "input: {name}");
            assert_eq!(results_are_spent(oldest, used, total, now, &CONFIG), results, "results: {name}");
        }
    }

    #[test]
    fn a_clock_that_stepped_back_makes_nothing_old() {
        let oldest = Oldest { written_at: u64::MAX, end: 1 };
        assert!(!input_is_spent(oldest, 1, 1, 0, &CONFIG));
    }
}
