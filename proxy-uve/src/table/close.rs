//! Closing windows.
//!
//! A window that is due leaves the open ones at once, with all that it has, so samples go on into the next. Then its
//! objects are iterated, 64 at a time: idle periods are counted, detectors are fed, results go to the sink. All of that
//! happens in the call that made the window due, or, for [`TableSettings::close_per_record`](super::TableSettings),
//! spread over the records that follow.

use std::sync::Arc;

use derived_stats::column::{Reports, WORD, WindowColumn};
use derived_stats::{Output, Silence};

use crate::table::bits::Bits;
use crate::table::keys::Keys;
use crate::table::plan::{GroupPlan, Plan, Reading};
use crate::table::slots::Slots;
use crate::table::stream_state::StreamState;
use crate::table::{AttributeResult, CHUNK_SLOTS, ResultSink, Subject};

/// With `silence="zero"` every silent window feeds every detector, so none can be skipped. A jump in time closes at
/// most this many of them (a week of minutes); the rest would only repeat what a detector's mean has long reached.
const MAX_ZERO_WINDOWS: u64 = 10_080;

/// The reports of 64 objects for one attribute.
#[derive(Debug, Default)]
pub(super) struct AttributeReports {
    reports: Reports,
    /// Which of the objects had samples in the attribute's window.
    sampled: u64,
}

/// A window on its way out.
#[derive(Debug)]
pub(super) struct Closing {
    group: usize,
    start: u64,
    end: u64,
    /// The start of the longest window that ends here: that of the group, or of a lane of several periods.
    oldest: u64,
    touched: Bits,
    /// The windows of the group's lanes that end here, by lane; a lane without samples has none.
    columns: Vec<(usize, Option<WindowColumn>)>,
    /// The next slots to close, in words of 64.
    next: usize,
    /// Which of the 64 objects at hand had their detector fed, by detector.
    fed: Vec<u64>,
}

impl<S: ResultSink> StreamState<S> {
    /// Moves the watermark forward, and begins to close what that makes due. Whether there is anything to close.
    pub(super) fn move_watermark(&mut self, keys: &mut impl Keys, stream_time: u64) -> bool {
        let makes_due = self.makes_due(stream_time);
        if makes_due {
            // One window at a time.
            self.finish_closing(keys);
        }
        self.progress.watermark = self.progress.watermark.max(stream_time);
        if makes_due {
            self.next_end = self.plan.next_window_end(self.progress.watermark);
            self.begin_next();
        }
        if self.settings.close_per_record == usize::MAX || !self.plan.may_close_in_parts() {
            self.finish_closing(keys);
        }
        self.closing.is_some()
    }

    /// Whether a window may end between the watermark and `stream_time`: every one that ended before is closed.
    pub(super) fn makes_due(&self, stream_time: u64) -> bool {
        stream_time > self.progress.watermark && stream_time >= self.next_end
    }

    /// Closes every window that is due to its end.
    pub(super) fn finish_closing(&mut self, keys: &mut impl Keys) {
        while self.closing.is_some() {
            self.close_words(keys, usize::MAX);
        }
    }

    /// Closes the share of one record.
    pub(super) fn close_some(&mut self, keys: &mut impl Keys) {
        self.close_words(keys, self.settings.close_per_record.div_ceil(WORD).max(1));
    }

    /// Takes the next window that is due out of the open ones, in the order of their ends.
    fn begin_next(&mut self) {
        let plan = Arc::clone(&self.plan);
        match self.next_due(&plan) {
            Some((end, group)) => self.closing = Some(self.begin_close(&plan, group, end)),
            None => {
                let watermark = self.progress.watermark;
                self.lanes.iter_mut().for_each(|lane| lane.discard_until(watermark));
            }
        }
    }

    /// The group whose next window ends first, among those that are due.
    fn next_due(&self, plan: &Plan) -> Option<(u64, usize)> {
        let ends = self
            .groups
            .iter()
            .zip(&plan.groups)
            .enumerate()
            .filter_map(|(index, (group, plan))| Some((group.next_start()?.checked_add(plan.period)?, index)));
        ends.filter(|&(end, _)| end <= self.progress.watermark).min()
    }

    fn begin_close(&mut self, plan: &Plan, group: usize, end: u64) -> Closing {
        let start = end - plan.groups[group].period;
        let touched = self.groups[group].take(start).unwrap_or_default();
        let lanes = plan.groups[group].lanes.iter().copied().filter(|&lane| self.lanes[lane].ends_at(end));
        let lanes: Vec<usize> = lanes.collect();
        let longest = lanes.iter().map(|&lane| plan.lanes[lane].window).max();
        let oldest = longest.map_or(start, |window| start.min(end.saturating_sub(window)));
        let columns = lanes.into_iter().map(|lane| (lane, self.lanes[lane].take_ending(end))).collect();
        self.groups[group].closed_to = Some(end);
        let fed = vec![0; plan.detectors.len()];
        Closing { group, start, end, oldest, touched, columns, next: 0, fed }
    }

    /// Closes up to so many objects of the windows that are due; what is left of the number when all are closed.
    pub(super) fn close_objects(&mut self, keys: &mut impl Keys, objects: usize) -> usize {
        let mut words = objects.div_ceil(WORD);
        while words > 0 && self.closing.is_some() {
            // A window without objects is a step, too.
            words = words.saturating_sub(self.close_words(keys, words).max(1));
        }
        words.saturating_mul(WORD)
    }

    /// Closes the next `words` times 64 objects of the window at hand; after the last one, begins with the next window.
    /// How many words that took.
    fn close_words(&mut self, keys: &mut impl Keys, words: usize) -> usize {
        let Some(mut closing) = self.closing.take() else {
            return 0;
        };
        let plan = Arc::clone(&self.plan);
        let last = keys.slots().len().div_ceil(WORD);
        let from = closing.next;
        for word in from..last.min(from.saturating_add(words)) {
            self.close_word(keys, &plan, &mut closing, word);
            closing.next = word + 1;
            // For the next window, while the cells are at hand.
            for column in closing.columns.iter_mut().filter_map(|(_, column)| column.as_mut()) {
                column.clear_many(word * WORD, WORD);
            }
        }
        let taken = closing.next - from;
        if closing.next < last {
            self.closing = Some(closing);
            return taken;
        }
        let (group, quiet) = (closing.group, closing.touched.is_empty());
        self.finish_close(keys, closing);
        self.groups[group].quiet = if quiet { self.groups[group].quiet.saturating_add(1) } else { 0 };
        self.skip_uneventful(keys.slots(), &plan, group);
        self.begin_next();
        taken
    }

    fn close_word(&mut self, keys: &mut impl Keys, plan: &Plan, closing: &mut Closing, word: usize) {
        let (group, group_plan) = (&mut self.groups[closing.group], &plan.groups[closing.group]);
        let change = group.advance(group_plan, word, closing.touched.word(word));
        let present = change.alive | change.deleted;
        if present == 0 {
            return;
        }
        let first = word * WORD;
        self.dirty.insert(first / CHUNK_SLOTS);
        for (index, detector) in plan.detectors.iter().enumerate() {
            if let Some(running) = column_of(&closing.columns, detector.lane) {
                let detectors = &mut self.detectors[index];
                closing.fed[index] = detectors.close_many(word, change.alive, running, closing.end, group_plan.silence);
            }
        }
        if S::WANTS_RESULTS {
            self.fill_reports(plan, closing, word, change.alive);
        }
        let seen = if S::WANTS_RESULTS { present } else { change.deleted };
        for bit in (0..WORD).filter(|bit| seen >> bit & 1 == 1) {
            match change.alive >> bit & 1 {
                1 => self.send_results(keys.slots().key(first + bit), plan, closing, first + bit),
                _ => self.delete(keys, plan, closing, first + bit),
            }
        }
    }

    /// Makes the reports of 64 objects, attribute by attribute.
    fn fill_reports(&mut self, plan: &Plan, closing: &Closing, word: usize, alive: u64) {
        let types = &plan.groups[closing.group].types;
        for attribute in types.iter().flat_map(|&type_index| &plan.types[type_index].attributes) {
            if attribute.index >= self.reports.len() {
                self.reports.resize_with(attribute.index + 1, AttributeReports::default);
            }
            let AttributeReports { reports, sampled } = &mut self.reports[attribute.index];
            reports.clear();
            let column = closing.column_of(attribute.lane);
            match (column, attribute.reading) {
                (None, _) => {}
                (Some(column), Reading::Lane(_)) => {
                    // Without samples there is no report.
                    *sampled = alive;
                    column.into_iter().for_each(|column| column.reports(word, alive, closing.end, reports));
                }
                (Some(column), Reading::Detector(index)) => {
                    *sampled = column.map_or(0, |column| column.occupied(word, alive));
                    self.detectors[index].reports(word, closing.fed[index], closing.end, reports);
                }
            }
        }
    }

    fn send_results(&mut self, key: &[u8], plan: &Plan, closing: &Closing, slot: usize) {
        for &type_index in &plan.groups[closing.group].types {
            let subject = Subject {
                key,
                type_index,
                proxy: &self.proxy,
                start: closing.start,
                end: closing.end,
                partial: self.may_be_partial(closing) && self.is_partial(plan, closing, type_index),
                deleted: false,
            };
            self.sink.begin(&subject);
            for attribute in &plan.types[type_index].attributes {
                let AttributeReports { reports, sampled } = &self.reports[attribute.index];
                if let Some(report) = reports.get(slot % WORD) {
                    let start = closing.end.saturating_sub(attribute.window);
                    let silent = sampled >> (slot % WORD) & 1 == 0;
                    let report = report.map(|record| Output::new(attribute.description(), record));
                    let (name, template) = (&attribute.name, Some(&attribute.template));
                    let result = AttributeResult { name, report, start, silent, inline: false, template };
                    self.sink.attribute(&subject, &result);
                }
            }
            self.sink.end(&subject);
        }
    }

    /// Whether any window that ends may be partial: the quick answer for all types.
    fn may_be_partial(&self, closing: &Closing) -> bool {
        closing.oldest < self.progress.covered_from.max(self.lanes_covered_from)
    }

    /// Whether any window whose result the type shows now was covered in part only.
    fn is_partial(&self, plan: &Plan, closing: &Closing, type_index: usize) -> bool {
        let mut lanes = plan.types[type_index].attributes.iter().map(|attribute| plan.lane_of(attribute.reading));
        lanes.any(|lane| {
            let covered_from = self.progress.covered_from.max(self.lanes[lane].covered_from);
            let start = closing.end.saturating_sub(plan.lanes[lane].window);
            closing.column_of(lane).is_some() && start < covered_from
        })
    }

    /// Ends an object's proxy UVEs: one last row each, without value, and everything about it is forgotten. One that
    /// has samples in later windows already begins anew with those; what follows the log and not the windows, a
    /// counter's reading and an inline state, goes on.
    fn delete(&mut self, keys: &mut impl Keys, plan: &Plan, closing: &Closing, slot: usize) {
        for &type_index in &plan.groups[closing.group].types {
            let &Closing { start, end, .. } = closing;
            let key = keys.slots().key(slot);
            let subject = Subject { key, type_index, proxy: &self.proxy, start, end, partial: false, deleted: true };
            self.sink.begin(&subject);
            self.sink.end(&subject);
        }
        if self.groups[closing.group].has_open_samples(slot) {
            self.clear_detectors(plan, closing.group, slot);
        } else {
            self.forget(plan, closing.group, slot);
        }
        if !self.holds(slot) {
            keys.free(slot);
        }
    }

    /// Whether the object is alive or has samples in any group.
    pub(super) fn holds(&self, slot: usize) -> bool {
        (0..self.groups.len()).any(|group| !self.group_is_done_with(group, slot))
    }

    /// Whether the object is neither alive in a group nor has samples there, not even in the window that is closing.
    pub(super) fn group_is_done_with(&self, group: usize, slot: usize) -> bool {
        let waits =
            |closing: &Closing| closing.group == group && slot / WORD >= closing.next && closing.touched.contains(slot);
        self.groups[group].is_done_with(slot) && !self.closing.as_ref().is_some_and(waits)
    }

    /// Drops all that a group has of an object: an object that is neither alive nor has open samples in a group has no
    /// state there either, and the slot can go to another object.
    pub(super) fn forget(&mut self, plan: &Plan, group: usize, slot: usize) {
        self.clear_detectors(plan, group, slot);
        for (states, _) in self.inline.iter_mut().zip(&plan.inline).filter(|(_, inline)| inline.group == group) {
            states.clear(slot);
        }
        for &lane in &plan.groups[group].lanes {
            self.lanes[lane].clear(slot);
        }
    }

    fn clear_detectors(&mut self, plan: &Plan, group: usize, slot: usize) {
        for (detectors, detector) in self.detectors.iter_mut().zip(&plan.detectors) {
            if plan.groups[group].lanes.contains(&detector.lane) {
                detectors.clear(slot);
            }
        }
    }

    fn finish_close(&mut self, keys: &mut impl Keys, closing: Closing) {
        for (lane, column) in closing.columns {
            if let Some(column) = column {
                self.lanes[lane].recycle(column, closing.next * WORD);
            }
        }
        self.groups[closing.group].recycle(closing.touched);
        if let Some(slots) = keys.shrink() {
            self.shrink(slots);
        }
    }

    /// Gives memory back: no slot from `slots` on holds an object.
    pub(super) fn shrink(&mut self, slots: usize) {
        self.groups.iter_mut().for_each(|group| group.shrink(slots));
        self.lanes.iter_mut().for_each(|lane| lane.shrink(slots));
        self.detectors.iter_mut().for_each(|detectors| detectors.shrink(slots));
        self.inline.iter_mut().for_each(|states| states.shrink(slots));
    }

    /// After a silent window, passes over those that follow and would do nothing: a sample that comes a year later
    /// does not close half a million windows one by one.
    fn skip_uneventful(&mut self, slots: &Slots, plan: &Plan, index: usize) {
        #[cfg(test)]
        if self.never_skips {
            return;
        }
        let (group, group_plan) = (&mut self.groups[index], &plan.groups[index]);
        let Some(closed_to) = group.closed_to.filter(|_| group.alive > 0 && group.quiet > 0) else {
            return;
        };
        let until =
            group.open.front().map_or(self.progress.watermark, |&(start, _)| start.min(self.progress.watermark));
        let silent = until.saturating_sub(closed_to) / group_plan.period;
        let at_most = match group_plan.silence {
            Silence::Once | Silence::Skip => before_lanes_end(plan, group_plan, closed_to, group.quiet),
            Silence::Zero => silent.min(group.longest_life(group_plan)).saturating_sub(MAX_ZERO_WINDOWS),
        };
        let skipped = silent.min(at_most).min(group.uneventful(group_plan));
        if skipped > 0 {
            group.skip(skipped);
            group.closed_to = Some(closed_to + skipped * group_plan.period);
            (0..slots.len().div_ceil(CHUNK_SLOTS)).for_each(|chunk| self.dirty.insert(chunk));
        }
    }
}

/// How many windows after `closed_to` pass before a lane of several periods ends one that may hold samples. After twice
/// its length in silence, which is `quiet` windows, it has surely closed a whole one without samples: no limit.
fn before_lanes_end(plan: &Plan, group: &GroupPlan, closed_to: u64, quiet: u32) -> u64 {
    let windows = group.lanes.iter().map(|&lane| plan.lanes[lane].window);
    let waiting = windows.filter(|&window| window > group.period && u64::from(quiet) < 2 * (window / group.period));
    let until_end = waiting.map(|window| ((window - closed_to % window) / group.period).saturating_sub(1));
    until_end.min().unwrap_or(u64::MAX)
}

impl Closing {
    /// `None` if no window of the lane ends here, `Some(None)` if one does but had no samples at all.
    fn column_of(&self, lane: usize) -> Option<Option<&WindowColumn>> {
        column_of(&self.columns, lane)
    }

    /// The end and the column of a lane's window, while the object's result of it waits.
    pub(super) fn waiting(&self, lane: usize, slot: usize) -> Option<(u64, &WindowColumn)> {
        let column = self.column(lane).filter(|_| slot / WORD >= self.next)?;
        Some((self.end, column))
    }

    fn column(&self, lane: usize) -> Option<&WindowColumn> {
        self.column_of(lane).flatten()
    }
}

fn column_of(columns: &[(usize, Option<WindowColumn>)], lane: usize) -> Option<Option<&WindowColumn>> {
    columns.iter().find(|&&(index, _)| index == lane).map(|(_, column)| column.as_ref())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use derived_stats::Number;

    use super::*;
    use crate::position::Position;
    use crate::schema::Schema;
    use crate::stream::StreamName;
    use crate::table::{DecodedRecord, Table, TableSettings};

    const SECOND: u64 = 1_000_000;

    /// Two types with the sum and the detector of each period and of every so many.
    fn table(settings: [&str; 2], every: u64) -> Table {
        let definition = |(name, settings): (&str, &str)| {
            format!(
                "struct {name} {{ 1: string name (key=\"\") 2: string proxy 3: optional bool deleted
                4: optional u64 raw (hidden=\"yes\")
                5: optional u64 sum (stats=\"1-raw:DSSum\")
                6: optional u64 sums (stats=\"{every}-raw:DSSum\")
                7: optional derived_stats_results.AnomalyResult value (stats=\"1.DSSum-raw:DSAnomaly:EWM:0.5\")
                8: optional derived_stats_results.AnomalyResult values (stats=\"{every}.DSSum-raw:DSAnomaly:EWM:0.5\")
                }} ({settings})\n"
            )
        };
        let text: String = ["A", "B"].into_iter().zip(settings).map(definition).collect();
        let schema = Schema::parse("test.sandesh", &text).unwrap();
        let types: Vec<_> = schema.types().cloned().collect();
        let plan = Plan::new(StreamName::new("S", "a").unwrap(), &types);
        Table::new(Arc::new(plan), TableSettings::default().with_allowed_lateness(Duration::from_secs(90)))
    }

    /// Everything that came out, and what is left.
    fn outcome(mut table: Table, seed: u64, steps: u64) -> (Vec<String>, crate::table::Snapshot) {
        let mut state = seed;
        let mut random = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % bound
        };
        let (mut rows, mut now) = (Vec::new(), 86_400 * SECOND);
        for position in (0..steps).map(Position::new) {
            now += match random(8) {
                0 => random(3000) * 60 * SECOND,
                1 => random(20) * 60 * SECOND,
                _ => random(60) * SECOND,
            };
            let (key, at) = ([b"k:0", b"k:1", b"k:2"][random(3) as usize], now - random(90) * SECOND);
            let value = Number::U64(random(1000));
            table.ingest_batch(&[DecodedRecord { position, arrived: now, key, at, value }]);
            let row = |row: crate::table::ResultRow<'_>| {
                format!("{} {:?} {}", row.end, row.key, String::from_utf8_lossy(row.json))
            };
            rows.extend(table.drain().map(row));
            table.clear_results();
        }
        (rows, table.snapshot())
    }

    #[test]
    fn passing_over_windows_is_the_same_as_closing_them_one_by_one() {
        let lives = ["timeout=\"0\"", "timeout=\"1\"", "timeout=\"4\"", "timeout=\"500\"", "timeout=\"4294967295\""];
        let silences = ["once", "skip", "zero"];
        for seed in 0..60 {
            let of = |n: u64| (lives[(seed + n) as usize % 5], silences[(seed / 5 + n) as usize % 3]);
            let [first, second] = [0, 1].map(|n| {
                let (life, silence) = of(n);
                format!("period=\"{}\", {life}, silence=\"{silence}\"", 60 * (n + 1))
            });
            let settings = [first.as_str(), second.as_str()];
            let every = [2, 3, 7, 40][(seed % 4) as usize];
            let mut one_by_one = table(settings, every);
            one_by_one.stream.never_skips = true;
            let expected = outcome(one_by_one, seed, 60);
            assert!(outcome(table(settings, every), seed, 60) == expected, "seed {seed}: {settings:?}, every {every}");
        }
    }
}
