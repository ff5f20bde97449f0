//! Unknown time: event time without observation of the sources of a stream.

use serde::{Deserialize, Serialize};

use crate::table::{ResultSink, Table};

/// The intervals of event time in which samples may be missing, in microseconds since the epoch, both ends included.
///
/// A window that overlaps one of them is *unknown*: the samples that it has are reported as partial, but they feed no
/// detector, and their absence is not silence: no object ages or is deleted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UnknownTime {
    /// In order, without overlap.
    intervals: Vec<(u64, u64)>,
    /// From this time on the sources are not observed yet; `None` if samples say nothing about their sources.
    observed_until: Option<u64>,
    /// From the first time on records were lost, up to the next sample after the second, which was the newest then.
    lost: Option<(u64, u64)>,
    /// No open window overlaps what ended before this time.
    #[serde(skip)]
    windows_from: u64,
}

/// The most intervals that are kept apart. Beyond, two of them become one.
const MAX_INTERVALS: usize = 64;

impl<S: ResultSink> Table<S> {
    /// Marks the event time from `from_micros` to `until_micros` (both included, microseconds since the epoch) as
    /// *unknown*: the sources were not observed, for example because they did not answer or the process was down.
    /// A window that overlaps unknown time
    ///
    /// * reports the samples that it has as `"partial": true`,
    /// * feeds no detector: a part of a sum is not a value of the series,
    /// * counts as no silence: no object ages, none is deleted, no zero is fed.
    ///
    /// A window that is closed or closing does not change, and a source of a counter that has expired does not come back.
    /// The table keeps 64 intervals and joins the nearest beyond; they
    /// are part of a [`snapshot`](Self::snapshot).
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName, Table, TableSettings};
    /// use derived_stats::Number;
    /// use proxy_uve::{DecodedRecord, Position};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?, &types));
    /// let mut table = Table::new(plan, TableSettings::default());
    /// let (minute, hour, key) = (60_000_000, 3_600_000_000, b"ObjectVNTable:demo");
    /// let sample = |position, at| DecodedRecord { position, arrived: at, key, at, value: Number::U64(18), source: "" };
    /// table.ingest_decoded(&sample(Position::new(0), minute));
    /// table.mark_unknown(2 * minute, hour);
    /// table.ingest_decoded(&sample(Position::new(1), hour + minute));
    /// assert!(table.drain().all(|row| !row.deleted), "an hour of silence would have deleted it");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark_unknown(&mut self, from_micros: u64, until_micros: u64) {
        self.stream.progress.unknown_mut().add(from_micros, until_micros);
    }

    /// The time (microseconds since the epoch) before which unknown time has no effect any more: no window that is open
    /// begins earlier, and no source of a counter whose last sample is older is kept.
    pub fn unknown_time_from(&self) -> u64 {
        let Self { stream, .. } = self;
        let kept = stream.settings.kept_silence(&stream.plan);
        self.watermark().saturating_sub(stream.plan.longest_window()).saturating_sub(kept)
    }

    /// Cuts [unknown](Self::mark_unknown) time that lies after `now_micros` (microseconds since the epoch), which a clock
    /// that was ahead has marked.
    pub fn cut_unknown(&mut self, now_micros: u64) {
        self.stream.progress.unknown_mut().cut_after(now_micros);
    }

    /// Sets the time up to which the sources are observed completely, in microseconds since the epoch: all time from
    /// there on is [unknown](Self::mark_unknown) until a later call changes it. `None`, as at first, for samples
    /// that come by themselves: their absence is silence.
    pub fn set_observed_until(&mut self, micros: Option<u64>) {
        if micros != self.observed_until() {
            self.stream.progress.unknown_mut().set_observed_until(micros);
        }
    }

    /// The time of the last [`set_observed_until`](Self::set_observed_until), also of that before a restore.
    pub fn observed_until(&self) -> Option<u64> {
        self.stream.progress.unknown().observed_until()
    }

    /// Marks records as lost, for example because the log deleted them before they were applied: from the watermark to
    /// the next sample that is newer than all before, all time is [unknown](Self::mark_unknown). Before the first sample
    /// it does nothing.
    pub fn mark_lost(&mut self) {
        self.mark_lost_from(self.watermark());
    }

    /// Marks all time from `from_micros` (microseconds since the epoch) to the next sample that is newer than all
    /// before as [unknown](Self::mark_unknown): no samples could be sent. A sample of an earlier time ends it
    /// without effect. Before the first sample it does nothing.
    pub fn mark_lost_from(&mut self, from_micros: u64) {
        if let Some(newest) = self.newest_timestamp() {
            self.stream.progress.unknown_mut().lose(from_micros, newest);
        }
    }
}

impl UnknownTime {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.intervals.is_empty() && self.observed_until.is_none() && self.lost.is_none()
    }

    /// Adds an interval. One that ends before it starts is none.
    pub(super) fn add(&mut self, from: u64, until: u64) {
        if until < from {
            return;
        }
        let joined = |&(start, end): &(u64, u64)| start <= until.saturating_add(1) && from <= end.saturating_add(1);
        let (mut start, mut end) = (from, until);
        for interval in self.intervals.iter().filter(|interval| joined(interval)) {
            (start, end) = (start.min(interval.0), end.max(interval.1));
        }
        self.intervals.retain(|interval| !joined(interval));
        let index = self.intervals.partition_point(|interval| interval.0 < start);
        self.intervals.insert(index, (start, end));
        if self.intervals.len() > MAX_INTERVALS {
            self.join_two();
        }
    }

    /// Whether the intervals are as [`add`](Self::add) leaves them: those of a snapshot may be anything.
    pub(super) fn is_valid(&self) -> bool {
        let in_order = self.intervals.windows(2).all(|pair| pair[0].1 < pair[1].0);
        self.intervals.len() <= MAX_INTERVALS && in_order && self.intervals.iter().all(|(from, until)| from <= until)
    }

    /// Sets the time up to which the sources are observed; `None` if nothing states it.
    pub(super) fn set_observed_until(&mut self, time: Option<u64>) {
        self.observed_until = time;
    }

    pub(super) fn observed_until(&self) -> Option<u64> {
        self.observed_until
    }

    /// Begins an interval that ends before the next sample after `newest`.
    pub(super) fn lose(&mut self, from: u64, newest: u64) {
        self.lost = Some(self.lost.map_or((from, newest), |(earlier, last)| (earlier.min(from), last.max(newest))));
    }

    /// Adds what is unknown in another table.
    pub(super) fn take(&mut self, other: &Self) {
        other.intervals.iter().for_each(|&(from, until)| self.add(from, until));
        self.observed_until = self.observed_until.into_iter().chain(other.observed_until).min();
        if let Some((from, newest)) = other.lost {
            self.lose(from, newest);
        }
    }

    /// Whether a sample may end an interval.
    #[inline]
    pub(super) fn awaits_sample(&self) -> bool {
        self.lost.is_some()
    }

    /// Ends the interval of lost records with a sample of time `at`.
    pub(super) fn end_with_sample(&mut self, at: u64) {
        if let Some((from, _)) = self.lost.take_if(|(_, newest)| at > *newest) {
            self.add(from, at - 1);
        }
    }

    /// Cuts what is after `now`: it was marked by a clock that was ahead.
    pub(super) fn cut_after(&mut self, now: u64) {
        self.intervals.retain_mut(|(from, until)| {
            *until = now.min(*until);
            from <= until
        });
    }

    /// Whether a part of the window from `start` to `end` (exclusive) is unknown.
    pub(super) fn overlaps(&self, start: u64, end: u64) -> bool {
        self.open_from().is_some_and(|from| from < end)
            || self.intervals.iter().any(|&(from, until)| from < end && start <= until)
    }

    /// The end of the unknown time that contains `time`, included; `None` if the time is known.
    pub(super) fn end_of(&self, time: u64) -> Option<u64> {
        let open = self.open_from().is_some_and(|from| from <= time).then_some(u64::MAX);
        open.or_else(|| self.intervals.iter().find(|&&(from, until)| from <= time && time <= until).map(|it| it.1))
    }

    /// The start of the first unknown time that begins at `time` or later.
    pub(super) fn next_from(&self, time: u64) -> Option<u64> {
        let starts = self.intervals.iter().map(|&(from, _)| from).chain(self.open_from());
        starts.filter(|&from| from >= time).min()
    }

    /// Drops what ended before `time`, except for what ended less than `keep` of known time before.
    pub(super) fn forget_before(&mut self, time: u64, keep: u64) {
        let is_over = |&(_, until): &(u64, u64)| {
            until < time && (keep == 0 || self.known_between(until.saturating_add(1), time) > keep)
        };
        let over = self.intervals.partition_point(is_over);
        self.intervals.drain(..over);
        self.windows_from = time;
    }

    /// How much of the time from `from` to `until` (exclusive) is known.
    pub(super) fn known_between(&self, from: u64, until: u64) -> u64 {
        // What is open is unknown from there on.
        let until = self.open_from().map_or(until, |open| until.min(open.max(from)));
        let overlap = |&(start, end): &(u64, u64)| until.min(end.saturating_add(1)).saturating_sub(start.max(from));
        let unknown: u64 = self.intervals.iter().map(overlap).fold(0, u64::saturating_add);
        until.saturating_sub(from).saturating_sub(unknown)
    }

    /// The start of the unknown time without an end yet.
    fn open_from(&self) -> Option<u64> {
        self.observed_until.into_iter().chain(self.lost.map(|(from, _)| from)).min()
    }

    /// Joins the two oldest intervals, if only counters need them, else the two that are nearest.
    fn join_two(&mut self) {
        let is_old = self.intervals.get(1).is_some_and(|&(_, until)| until < self.windows_from);
        if is_old {
            let (from, _) = self.intervals.remove(0);
            self.intervals[0].0 = from;
            return;
        }
        let gaps = self.intervals.windows(2).map(|pair| pair[1].0 - pair[0].1).enumerate();
        if let Some((index, _)) = gaps.min_by_key(|&(_, gap)| gap) {
            let (_, until) = self.intervals.remove(index + 1);
            self.intervals[index].1 = until;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_touch_become_one_and_others_stay_apart() {
        let mut unknown = UnknownTime::default();
        for (from, until) in [(50, 59), (10, 20), (70, 60), (21, 30), (100, 110), (25, 49)] {
            unknown.add(from, until);
        }
        assert_eq!(unknown.intervals, [(10, 59), (100, 110)]);
    }

    #[test]
    fn a_window_is_unknown_if_any_time_of_it_is() {
        let mut unknown = UnknownTime::default();
        unknown.add(10, 20);
        let overlaps =
            [(0, 10), (0, 11), (12, 13), (20, 30), (21, 30)].map(|(start, end)| unknown.overlaps(start, end));
        assert_eq!(overlaps, [false, true, true, true, false]);
        assert_eq!([9, 10, 20, 21].map(|time| unknown.end_of(time)), [None, Some(20), Some(20), None]);
        assert_eq!([10, 11].map(|time| unknown.next_from(time)), [Some(10), None]);
    }

    #[test]
    fn what_is_not_observed_yet_is_unknown() {
        let mut unknown = UnknownTime::default();
        unknown.set_observed_until(Some(100));
        assert!(!unknown.overlaps(50, 100) && unknown.overlaps(50, 101));
        assert_eq!((unknown.end_of(99), unknown.end_of(100), unknown.next_from(5)), (None, Some(u64::MAX), Some(100)));
        unknown.set_observed_until(None);
        assert!(unknown.is_empty());
    }

    #[test]
    fn a_sample_ends_the_time_of_lost_records() {
        let mut unknown = UnknownTime::default();
        unknown.lose(30, 50);
        unknown.lose(40, 60);
        assert!(unknown.awaits_sample() && unknown.overlaps(1_000, 1_001));
        unknown.end_with_sample(60);
        assert!(unknown.awaits_sample(), "it is older than what was lost");
        unknown.end_with_sample(76);
        assert_eq!((unknown.intervals.as_slice(), unknown.awaits_sample()), (&[(30, 75)][..], false));
        unknown.forget_before(75, 0);
        assert!(unknown.overlaps(75, 76));
        unknown.forget_before(76, 0);
        assert!(unknown.is_empty());
    }

    #[test]
    fn time_that_a_clock_ahead_has_marked_is_cut() {
        let mut unknown = UnknownTime::default();
        [(10, 20), (30, 1_000), (2_000, 3_000)].into_iter().for_each(|(from, until)| unknown.add(from, until));
        unknown.cut_after(100);
        assert_eq!(unknown.intervals, [(10, 20), (30, 100)]);
    }

    #[test]
    fn intervals_that_only_counters_need_are_joined_first() {
        let mut unknown = UnknownTime::default();
        (0..60).for_each(|number| unknown.add(number * 100, number * 100 + 9));
        unknown.forget_before(5_000, u64::MAX);
        (0..40).for_each(|number| unknown.add(10_000 + number * 3, 10_000 + number * 3));
        assert_eq!(unknown.intervals.len(), MAX_INTERVALS);
        assert!(!unknown.overlaps(10_001, 10_003), "the newest are apart");
        assert!(unknown.overlaps(150, 160) && unknown.is_valid());
    }

    #[test]
    fn intervals_that_overlap_or_go_back_are_not_valid() {
        for intervals in [vec![(0, u64::MAX), (0, u64::MAX)], vec![(5, 4)], vec![(10, 20), (0, 5)]] {
            let unknown = UnknownTime { intervals, ..UnknownTime::default() };
            assert!(!unknown.is_valid(), "{unknown:?}");
            // And no arithmetic of it overflows.
            unknown.known_between(0, u64::MAX);
        }
    }

    #[test]
    fn the_known_time_since_an_interval_decides_how_long_it_is_kept() {
        let mut unknown = UnknownTime::default();
        [(10, 19), (30, 49), (60, 99)].into_iter().for_each(|(from, until)| unknown.add(from, until));
        let known = [(0, 10), (0, 15), (0, 30), (15, 40), (35, 45), (0, 120), (120, 100)];
        let known = known.map(|(from, until)| unknown.known_between(from, until));
        assert_eq!(known, [10, 10, 20, 10, 0, 50, 0]);
        unknown.forget_before(120, 39);
        assert_eq!(unknown.intervals, [(30, 49), (60, 99)], "40 of known time from 20 to 120, and 30 from 50 on");
        unknown.forget_before(121, 30);
        assert_eq!(unknown.intervals, [(60, 99)]);
        unknown.set_observed_until(Some(110));
        assert_eq!(unknown.known_between(90, 200), 10);
    }

    #[test]
    fn the_number_of_intervals_is_bounded_and_nothing_unknown_becomes_known() {
        let mut unknown = UnknownTime::default();
        let from = |number: u64| number * number * 10;
        (1..=200).for_each(|number| unknown.add(from(number), from(number) + 3));
        assert_eq!(unknown.intervals.len(), MAX_INTERVALS);
        assert!((1..=200).all(|number| unknown.overlaps(from(number), from(number) + 1)));
        assert!(!unknown.overlaps(from(199) + 4, from(200)), "the widest gap is kept");
    }
}
