//! Skipping windows in which nothing happens.
//!
//! After a silent window, those that follow and would do nothing are skipped in one step: a sample that arrives a year
//! later does not close half a million windows one by one.

use derived_stats::Silence;

use crate::table::objects::liveness::Liveness;
use crate::table::objects::{Objects, WindowGroup};
use crate::table::plan::{GroupPlan, Plan};
use crate::table::progress::Progress;

/// With `silence="zero"` every silent window feeds every detector, so none can be skipped. A jump in time closes at
/// most this many of them (a week of minutes); in the rest, a detector's mean would not change any more.
const MAX_ZERO_WINDOWS: u64 = 10_080;

impl Objects {
    /// After a silent window of a group, skips the windows up to the watermark that would do nothing. `slots` is the
    /// number of slots. Without `is_silence_uneventful`, a silent window has results unless it is unknown.
    pub(in crate::table) fn skip_uneventful(
        &mut self,
        plan: &Plan,
        index: usize,
        progress: &Progress,
        slots: usize,
        is_silence_uneventful: bool,
    ) {
        #[cfg(test)]
        if self.never_skips {
            return;
        }
        let (group, group_plan) = (&mut self.groups[index], &plan.groups[index]);
        let (skipped, ages) = group.skippable(plan, group_plan, progress);
        if skipped > 0 && (is_silence_uneventful || !ages) {
            group.skip(group_plan, skipped, ages);
            self.mark_all_changed(slots);
        }
    }
}

impl WindowGroup {
    /// How many windows in a row up to the watermark would do nothing, and whether silence counts in them. They are all
    /// known or all unknown.
    fn skippable(&self, plan: &Plan, group_plan: &GroupPlan, progress: &Progress) -> (u64, bool) {
        let Some(closed_to) = self.closed_to.filter(|_| self.alive > 0 && self.quiet > 0) else {
            return (0, true);
        };
        let watermark = progress.watermark();
        let until = self.open.front().map_or(watermark, |&(start, _)| start.min(watermark));
        let silent = until.saturating_sub(closed_to) / group_plan.period;
        if let Some(end) = progress.unknown().end_of(closed_to) {
            // Each of these windows starts in unknown time.
            let unknown = ((end - closed_to) / group_plan.period).saturating_add(1);
            return (silent.min(unknown).min(before_next_end(plan, group_plan, closed_to, self.quiet)), false);
        }
        if self.known_quiet == 0 {
            // The first silent window after unknown time is an event: it may feed a zero.
            return (0, true);
        }
        let known = progress.unknown().next_from(closed_to).map_or(u64::MAX, |from| from - closed_to);
        let silent = silent.min(known / group_plan.period);
        let at_most = match group_plan.silence {
            Silence::Once | Silence::Skip => before_next_end(plan, group_plan, closed_to, self.known_quiet),
            Silence::Zero => silent.min(self.longest_liveness(group_plan)).saturating_sub(MAX_ZERO_WINDOWS),
        };
        (silent.min(at_most).min(self.uneventful(group_plan)), true)
    }

    /// How many windows from now on, all of them silent, would change no liveness and feed no detector: after one
    /// silent window, those before the next deletion.
    pub(super) fn uneventful(&self, plan: &GroupPlan) -> u64 {
        let alive = self.liveness.iter().filter(|liveness| liveness.is_alive());
        let until_deletion = alive.map(|liveness| match plan.timeout {
            0 => u64::MAX,
            timeout => u64::from(timeout.saturating_sub(liveness.silent()).saturating_sub(1)),
        });
        until_deletion.min().unwrap_or(u64::MAX)
    }

    /// How many silent windows it takes until no object is alive.
    fn longest_liveness(&self, plan: &GroupPlan) -> u64 {
        let alive = self.liveness.iter().filter(|liveness| liveness.is_alive());
        let until_deletion = alive.map(|liveness| match plan.timeout {
            0 => u64::MAX,
            timeout => u64::from(timeout.saturating_sub(liveness.silent()).max(1)),
        });
        until_deletion.max().unwrap_or(0)
    }

    /// Skips `windows` uneventful windows; without `ages` their silence does not count.
    pub(super) fn skip(&mut self, plan: &GroupPlan, windows: u64, ages: bool) {
        self.closed_to = self.closed_to.map(|closed_to| closed_to + windows * plan.period);
        let silent = u32::try_from(windows).unwrap_or(u32::MAX);
        self.quiet = self.quiet.saturating_add(silent);
        if !ages {
            self.known_quiet = 0;
            return;
        }
        self.known_quiet = self.known_quiet.saturating_add(silent);
        for liveness in self.liveness.iter_mut().filter(|liveness| liveness.is_alive()) {
            *liveness = Liveness::after(liveness.silent().saturating_add(silent));
        }
    }
}

/// How many windows after `closed_to` pass before a window of several periods ends that may have samples. After twice
/// its length in silence, which is `quiet` windows, a column has surely closed a whole one without samples: no limit.
fn before_next_end(plan: &Plan, group: &GroupPlan, closed_to: u64, quiet: u32) -> u64 {
    let lengths = group.window_columns.iter().map(|&column| plan.window_columns[column].length);
    let waiting = lengths.filter(|&length| length > group.period && u64::from(quiet) < 2 * (length / group.period));
    let until_end = waiting.map(|length| ((length - closed_to % length) / group.period).saturating_sub(1));
    until_end.min().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use derived_stats::Number;

    use crate::position::Position;
    use crate::schema::Schema;
    use crate::stream::StreamName;
    use crate::table::{DecodedRecord, Plan, Table, TableSettings};

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

    /// All results, and the state at the end.
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
            table.ingest_batch(&[DecodedRecord { position, arrived: now, key, at, value, source: "" }]);
            let row = |row: crate::table::ResultRow<'_>| {
                format!("{} {:?} {}", row.end, row.key, String::from_utf8_lossy(row.json))
            };
            rows.extend(table.drain().map(row));
            table.clear_results();
        }
        (rows, table.snapshot())
    }

    #[test]
    fn skipping_windows_is_the_same_as_closing_them_one_by_one() {
        let timeouts = ["timeout=\"0\"", "timeout=\"1\"", "timeout=\"4\"", "timeout=\"500\"", "timeout=\"4294967295\""];
        let silences = ["once", "skip", "zero"];
        for seed in 0..60 {
            let of = |n: u64| (timeouts[(seed + n) as usize % 5], silences[(seed / 5 + n) as usize % 3]);
            let [first, second] = [0, 1].map(|n| {
                let (timeout, silence) = of(n);
                format!("period=\"{}\", {timeout}, silence=\"{silence}\"", 60 * (n + 1))
            });
            let settings = [first.as_str(), second.as_str()];
            let every = [2, 3, 7, 40][(seed % 4) as usize];
            let mut one_by_one = table(settings, every);
            one_by_one.stream.objects.never_skips = true;
            let expected = outcome(one_by_one, seed, 60);
            assert!(outcome(table(settings, every), seed, 60) == expected, "seed {seed}: {settings:?}, every {every}");
        }
    }
}
