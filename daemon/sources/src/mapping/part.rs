//! The numbers of a native histogram that become samples.

use daemon_formats::{HistogramPoint, Point, is_stale_marker};

/// A number of a histogram.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Count,
    Sum,
}

impl Part {
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Count => "_count",
            Self::Sum => "_sum",
        }
    }

    /// The number as a sample. The marker of the end is in the sum, and ends both.
    pub(super) fn of(self, histogram: &HistogramPoint) -> Point {
        let HistogramPoint { timestamp_ms, start_ms, count, sum } = *histogram;
        let value = match self {
            Self::Count if !is_stale_marker(sum) => count,
            _ => sum,
        };
        Point { timestamp_ms, start_ms, value, integer: None }
    }
}
