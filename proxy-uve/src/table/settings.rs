//! Time and size limits that the owner of a table chooses.

use std::time::Duration;

use crate::table::by_source::SourceLimits;
use crate::table::columns::SourceRules;
use crate::table::plan::Plan;
use crate::table::progress::Progress;

/// The most bytes of the sources in a chunk of a snapshot, beside the [granted](GRANTED_SOURCES) ones. Together they fit
/// a message of a log, which has 8 MiB in Kafka.
const MAX_CHUNK_SOURCE_BYTES: usize = 5 << 20;

/// So many sources an object can have, however many its neighbours have.
const GRANTED_SOURCES: usize = 8;

/// Time and size limits of a table.
///
/// ```
/// use std::time::Duration;
///
/// use proxy_uve::TableSettings;
///
/// let settings = TableSettings::default().with_allowed_lateness(Duration::from_secs(5)).with_max_objects(10_000);
/// assert_eq!(settings.watermark(60_000_000), 55_000_000);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TableSettings {
    /// How far behind the newest timestamp a sample may be and still count, in whole microseconds. A window closes this
    /// long after its end, in event time: more forgives slower sources, less gives results sooner. Default 30 s.
    pub allowed_lateness: Duration,
    /// How far ahead of its arrival a timestamp may be, in whole microseconds. Beyond it the record is refused: one
    /// clock that is hours ahead would close every other source's windows. Keep it below the lateness. Default 10 s.
    pub allowed_skew: Duration,
    /// How many objects each record closes while a window is closing, rounded up to 64. A window of a million objects
    /// takes a while to close; spread over the next records, none of them waits for more than its share. The results do
    /// not depend on it, but their order may. Plans with counters (`metric="agg"`), last values of sources or inline
    /// results close a window at once. Default all: every result is there when the call that made its window due returns.
    pub close_per_record: usize,
    /// Objects at most; a further one is refused and counted. Default 1,000,000, about 200 MB.
    pub max_objects: usize,
    /// How many sources an object may have where a proxy type has counters (`metric="agg"`) or counts the last value of
    /// each source (`DSSumLast`), at least 1; a sample of a further one is refused and counted. Each costs about 40 bytes
    /// for each window column with counters, 56 for one with last values, and its name once for all objects. Neighbouring
    /// objects, 256 of them, share 5 MiB for their sources with their names, of which each can have 8 in any case: enough
    /// for 400 sources each with names of 16 bytes. Default 10,000.
    pub max_sources: usize,
    /// How long the source of a counter may be silent until its last reading is forgotten and its next reading is a
    /// baseline, in event time, without [unknown time](crate::Table::mark_unknown). Default 1 hour.
    pub source_timeout: Duration,
    /// Whether a reading of 0 of a counter whose windows are all closed is taken as its start: it adds nothing, and the next
    /// reading of the source counts from it, if it has no newer one. For senders that state when a counter began. It may be
    /// as old as [`source_timeout`](Self::source_timeout). Default `false`: it is late.
    pub late_starts: bool,
    /// The longest key taken, in bytes; at most 16,777,215. Default 1024.
    pub max_key_bytes: usize,
    /// The longest payload taken, in bytes. Default 65,536.
    pub max_payload_bytes: usize,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            allowed_lateness: Duration::from_secs(30),
            allowed_skew: Duration::from_secs(10),
            close_per_record: usize::MAX,
            max_objects: 1_000_000,
            max_sources: 10_000,
            source_timeout: Duration::from_secs(3600),
            late_starts: false,
            max_key_bytes: 1024,
            max_payload_bytes: 64 * 1024,
        }
    }
}

impl TableSettings {
    /// The same with another [`allowed_lateness`](Self::allowed_lateness).
    #[must_use]
    pub const fn with_allowed_lateness(self, allowed_lateness: Duration) -> Self {
        Self { allowed_lateness, ..self }
    }

    /// The same with another [`allowed_skew`](Self::allowed_skew).
    #[must_use]
    pub const fn with_allowed_skew(self, allowed_skew: Duration) -> Self {
        Self { allowed_skew, ..self }
    }

    /// The same with another [`close_per_record`](Self::close_per_record).
    #[must_use]
    pub const fn with_close_per_record(self, close_per_record: usize) -> Self {
        Self { close_per_record, ..self }
    }

    /// The same with another [`max_objects`](Self::max_objects).
    #[must_use]
    pub const fn with_max_objects(self, max_objects: usize) -> Self {
        Self { max_objects, ..self }
    }

    /// The same with another [`max_sources`](Self::max_sources).
    #[must_use]
    pub const fn with_max_sources(self, max_sources: usize) -> Self {
        Self { max_sources, ..self }
    }

    /// The same with another [`source_timeout`](Self::source_timeout).
    #[must_use]
    pub const fn with_source_timeout(self, source_timeout: Duration) -> Self {
        Self { source_timeout, ..self }
    }

    /// The same with another [`late_starts`](Self::late_starts).
    #[must_use]
    pub const fn with_late_starts(self, late_starts: bool) -> Self {
        Self { late_starts, ..self }
    }

    /// The same with another [`max_key_bytes`](Self::max_key_bytes).
    #[must_use]
    pub const fn with_max_key_bytes(self, max_key_bytes: usize) -> Self {
        Self { max_key_bytes, ..self }
    }

    /// The same with another [`max_payload_bytes`](Self::max_payload_bytes).
    #[must_use]
    pub const fn with_max_payload_bytes(self, max_payload_bytes: usize) -> Self {
        Self { max_payload_bytes, ..self }
    }

    /// How long the unknown time since a sample has an effect, in microseconds: a source of counters that has not expired
    /// is kept.
    pub(super) fn kept_silence(&self, plan: &Plan) -> u64 {
        if plan.has_counters() { micros(self.source_timeout) } else { 0 }
    }

    pub(super) fn source_rules<'p>(&self, plan: &Plan, progress: &'p Progress) -> SourceRules<'p> {
        let timeout = micros(self.source_timeout);
        let oldest = progress.watermark().saturating_sub(plan.longest_window());
        let columns = plan.by_source().max(1);
        SourceRules {
            unknown: progress.unknown(),
            timeout,
            watermark: progress.watermark(),
            limits: SourceLimits {
                of_object: self.max_sources.max(1),
                chunk_bytes: MAX_CHUNK_SOURCE_BYTES / columns,
                granted: (GRANTED_SOURCES / columns).max(1),
            },
            oldest: oldest - oldest % (timeout / 8).max(1),
        }
    }

    /// The watermark once the timestamp `newest` was seen: the allowed lateness before it. Both in microseconds.
    pub fn watermark(&self, newest: u64) -> u64 {
        newest.saturating_sub(micros(self.allowed_lateness))
    }
}

/// Whole microseconds; the longest that 64 bits hold for a longer time.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
