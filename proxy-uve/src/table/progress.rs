//! Progress of a stream: in its log, in event time, and in the counts of outcomes.

use crate::position::Position;
use crate::table::plan::Plan;
use crate::table::settings::micros;
use crate::table::unknown::UnknownTime;
use crate::table::window::{window_end, window_start};
use crate::table::{DecodedRecord, Fate, Fates, TableSettings};

/// The position of a stream in its log and in event time, the outcomes of its records, and where some may be missing.
///
/// Every rule about time is here: what is new, what is of the future, what is late, when a window is due.
#[derive(Debug)]
pub(super) struct Progress {
    saved: SavedProgress,
    unknown: UnknownTime,
    /// Every group's window that contains this time or a later one is open.
    open_from: u64,
    /// The first end of a window after the watermark; earlier while nothing has closed since the table was made.
    next_end: u64,
    /// The settings of these names, in microseconds.
    allowed_lateness: u64,
    allowed_skew: u64,
}

/// The part of the progress that a snapshot contains.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct SavedProgress {
    /// The newest position applied.
    pub(super) position: Option<Position>,
    /// The newest timestamp accepted.
    pub(super) newest: Option<u64>,
    /// Every window that ends at or before this is closed.
    pub(super) watermark: u64,
    /// Records were read without a gap from this time on; windows that start earlier are partial.
    pub(super) covered_from: u64,
    pub(super) fates: Fates,
}

/// A run of consecutive records that the fast path can apply: all are new, in open windows, and make no window due.
#[derive(Debug)]
pub(super) struct Run<'p> {
    progress: &'p Progress,
    position: Position,
    newest: u64,
}

/// The latest timestamp accepted, in microseconds: in the year 294,247. No window that contains it is cut short by the
/// range of 64 bits.
const LATEST: u64 = i64::MAX as u64;

impl Progress {
    pub(super) fn new(settings: &TableSettings) -> Self {
        Self {
            saved: SavedProgress::default(),
            unknown: UnknownTime::default(),
            open_from: 0,
            next_end: 0,
            allowed_lateness: micros(settings.allowed_lateness),
            allowed_skew: micros(settings.allowed_skew),
        }
    }

    /// Continues from a snapshot. The windows that are due are found when the watermark moves next.
    pub(super) fn restore(&mut self, plan: &Plan, saved: SavedProgress, unknown: UnknownTime) {
        self.saved = saved;
        self.unknown = unknown;
        self.open_from = open_from(plan, saved.watermark);
    }

    pub(super) fn saved(&self) -> SavedProgress {
        self.saved
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.saved.position
    }

    pub(super) fn newest(&self) -> Option<u64> {
        self.saved.newest
    }

    pub(super) fn watermark(&self) -> u64 {
        self.saved.watermark
    }

    pub(super) fn covered_from(&self) -> u64 {
        self.saved.covered_from
    }

    /// The time in which samples may be missing.
    pub(super) fn unknown(&self) -> &UnknownTime {
        &self.unknown
    }

    pub(super) fn unknown_mut(&mut self) -> &mut UnknownTime {
        &mut self.unknown
    }

    pub(super) fn fates(&self) -> &Fates {
        &self.saved.fates
    }

    /// Forgets the counts of the outcomes.
    pub(super) fn forget_counts(&mut self) {
        self.saved.fates = Fates::default();
    }

    /// Counts records by their outcome.
    #[inline]
    pub(super) fn count(&mut self, fate: Fate, records: u64) {
        self.saved.fates.add(fate, records);
    }

    /// Moves on to a position. False if it was applied before: then the record is a duplicate.
    #[inline]
    pub(super) fn advance_to(&mut self, position: Position) -> bool {
        let new = self.saved.position.is_none_or(|newest| position > newest);
        if new {
            self.saved.position = Some(position);
        }
        new
    }

    /// Whether the timestamp is further ahead of the arrival than the allowed skew, or out of range.
    #[inline]
    pub(super) fn is_future(&self, at: u64, arrived: u64) -> bool {
        at > arrived.saturating_add(self.allowed_skew).min(LATEST)
    }

    /// Whether the window of `period` that contains `at` is not closed.
    pub(super) fn is_open(&self, at: u64, period: u64) -> bool {
        // Most samples are of a time at which every window is open: no division for them.
        at >= self.open_from || window_end(at, period) > self.saved.watermark
    }

    /// Whether a window may end between the watermark and `stream_time`: every one that ended before is closed.
    #[inline]
    pub(super) fn makes_due(&self, stream_time: u64) -> bool {
        stream_time > self.saved.watermark && stream_time >= self.next_end
    }

    /// Moves event time on to a timestamp. The watermark that follows from it; `None` if a newer timestamp was accepted
    /// before.
    pub(super) fn accept_time(&mut self, at: u64) -> Option<u64> {
        self.unknown.end_with_sample(at);
        match self.saved.newest {
            Some(newest) if newest >= at => return None,
            Some(_) => {}
            None => self.mark_gap(at),
        }
        self.saved.newest = Some(at);
        Some(self.watermark_at(at))
    }

    /// Moves the watermark forward.
    pub(super) fn move_watermark(&mut self, plan: &Plan, stream_time: u64) {
        let is_due = self.makes_due(stream_time);
        self.saved.watermark = self.saved.watermark.max(stream_time);
        if is_due {
            self.next_end = plan.next_window_end(self.saved.watermark);
            self.open_from = open_from(plan, self.saved.watermark);
        }
    }

    /// Marks records up to a time as possibly missing.
    pub(super) fn mark_gap(&mut self, until: u64) {
        self.saved.covered_from = self.saved.covered_from.max(until);
    }

    /// An empty run of records; `None` before the first record, also of those after lost ones.
    #[inline]
    pub(super) fn run(&self) -> Option<Run<'_>> {
        if self.unknown.awaits_sample() {
            return None;
        }
        Some(Run { progress: self, position: self.saved.position?, newest: self.saved.newest? })
    }

    /// Moves on past a run of which `position` and `newest` are the newest.
    #[inline]
    pub(super) fn apply_run(&mut self, (position, newest): (Position, u64)) {
        self.saved.position = Some(position);
        self.saved.newest = Some(newest);
        self.saved.watermark = self.saved.watermark.max(self.watermark_at(newest));
    }

    #[inline]
    fn watermark_at(&self, newest: u64) -> u64 {
        newest.saturating_sub(self.allowed_lateness)
    }
}

impl Run<'_> {
    /// Adds a record, unless it is a duplicate, of the future, or in a closed window.
    #[inline]
    pub(super) fn add(&mut self, record: &DecodedRecord<'_>) -> bool {
        let fits = record.position > self.position
            && record.at >= self.progress.open_from
            && !self.progress.is_future(record.at, record.arrived);
        self.position = record.position;
        self.newest = self.newest.max(record.at);
        fits
    }

    /// The newest position and timestamp of a run to whose records all applies; `None` if it makes a window due.
    #[inline]
    pub(super) fn end(self) -> Option<(Position, u64)> {
        let makes_due = self.progress.makes_due(self.progress.watermark_at(self.newest));
        (!makes_due).then_some((self.position, self.newest))
    }
}

/// The time from which on every group's window is open.
fn open_from(plan: &Plan, watermark: u64) -> u64 {
    let starts = plan.groups.iter().map(|group| window_start(watermark, group.period));
    starts.max().unwrap_or(watermark)
}
