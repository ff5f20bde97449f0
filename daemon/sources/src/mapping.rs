//! The mapping of labelled series to samples of objects, one for all inputs that have labels.
//!
//! A stream takes the series of a metric that fulfil its conditions. Some labels make the key of the object; the others
//! are summed over. For counters, and where a type of the stream keeps sources, they are the source of the sample. The table
//! differences each series of a counter before it sums over them, with the resets, baselines and expiry of all counters.
//!
//! | series | what becomes of it |
//! |---|---|
//! | no stream takes it | left out; that is what a configuration of few streams means |
//! | the marker of its end | nothing; until the source expires, the next reading is compared with the one before |
//! | NaN or infinite | left out: exporters send NaN for a quantile without observations |
//! | a counter that began at most [`RECENT_START_MS`] before | a reading 0 at that time, from which a new counter counts |
//! | a counter whose start is the time of the reading | a reading, a baseline if it is the first: its start is not known |
//! | deltas in a stream of counters, or a sum that falls too; cumulative sums in a stream of deltas | rejected |
//! | any sample of a replica that is not elected | left out; see [`election`] |
//! | a counter of another replica than before, hardly newer | left out; see [`takeover`] |
//! | a counter that two processes send at the same time | rejected of one of them; see [`processes`] |
//! | a native histogram `h` | samples of `h_count` and `h_sum` |

mod config;
mod election;
mod explain;
mod part;
mod pattern;
mod problems;
mod processes;
mod rule;
mod takeover;
mod tally;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_formats::{Integer, Point, Series, is_stale_marker};
use daemon_log::AppendBatch;
use derived_stats::{MetricKind, Number};
use proxy_uve::wire::WireSample;

pub use self::config::{Kind, StreamConfig, TopicFormat, TypeName};
pub use self::election::{Elections, Open};
pub use self::explain::Mapped;
use self::part::Part;
pub use self::problems::RuleProblem;
use self::processes::{Process, Processes};
use self::rule::REPLICA;
pub use self::rule::Rule;
use self::takeover::Replica;
pub use self::tally::Tally;
use crate::intake::{Intake, LineError};
use crate::timestamp;

/// The label that senders of one pair have in common.
const CLUSTER: &str = "cluster";

/// How long before a reading its counter may have begun to count in full, where that is the first one: as SDKs that export once
/// a minute, with some delay. An older counter that is new here has an increase that is of no window. A restart of a counter
/// that is known is noticed by a lower reading, too.
const RECENT_START_MS: i64 = 300_000;

/// Why a reading is rejected that is of another process than the ones before, which goes on.
const TWO_PROCESSES: &str =
    "another process with another start time sends it, too; give each a `service.instance.id` of its own";

/// All streams of series.
#[derive(Clone, Debug, Default)]
pub struct Mapping {
    rules: Vec<(u16, Rule)>,
    /// The rules for one metric, by its name.
    exact: HashMap<String, Vec<usize>>,
    globs: Vec<usize>,
    /// How long before a reading its counter may have begun to count in full, in milliseconds.
    recent_start: i64,
    elections: Arc<Elections>,
    processes: Arc<Processes>,
}

/// Adds the samples of a request to a batch of the log, and counts what becomes of them.
#[derive(Debug)]
pub struct Writer<'w> {
    mapping: &'w Mapping,
    intake: &'w Intake,
    batch: &'w mut AppendBatch,
    /// What has become of the points so far.
    pub tally: Tally,
    /// The replicas on which the group has to agree.
    open: Open,
    key: String,
    source: String,
    metric: String,
    payload: Vec<u8>,
}

impl Mapping {
    /// The mapping of `rules` to the streams of `intake`. A start of a counter counts if it is not older than five minutes,
    /// or than the samples that a window still takes. `elections` outlive a change of the streams.
    pub fn new(rules: &[Rule], intake: &Intake, allowed_lateness: Duration, elections: Arc<Elections>) -> Self {
        let known =
            rules.iter().filter_map(|rule| Some((intake.stream(&rule.stream().to_string()).ok()?, rule.clone())));
        let mut mapping = Self {
            rules: known.collect(),
            recent_start: i64::try_from(allowed_lateness.as_millis()).unwrap_or(i64::MAX).max(RECENT_START_MS),
            elections,
            ..Self::default()
        };
        for (index, (_, rule)) in mapping.rules.iter().enumerate() {
            match rule.exact_metric() {
                Some(metric) => mapping.exact.entry(metric.to_owned()).or_default().push(index),
                None => mapping.globs.push(index),
            }
        }
        mapping
    }

    /// The elected replicas.
    pub fn elections(&self) -> &Elections {
        &self.elections
    }

    fn taking<'r>(&'r self, metric: &'r str, series: &'r Series<'_>) -> impl Iterator<Item = &'r (u16, Rule)> {
        let exact = self.exact.get(metric).into_iter().flatten();
        let candidates = exact.chain(&self.globs).filter_map(|index| self.rules.get(*index));
        candidates.filter(move |(_, rule)| rule.takes(metric, series.labels))
    }
}

/// Calls `add`, which returns whether a sample was taken, if the sender of a series is the one of its replicas that
/// counts; returns whether it is.
fn if_elected(mapping: &Mapping, open: &mut Open, series: &Series<'_>, now: u64, add: impl FnOnce() -> bool) -> bool {
    let replica = series.labels.value(REPLICA);
    if replica.is_empty() {
        add();
        return true;
    }
    mapping.elections.take((series.labels.value(CLUSTER), replica), now, open, add)
}

impl<'w> Writer<'w> {
    /// A writer to `batch`.
    pub fn new(mapping: &'w Mapping, intake: &'w Intake, batch: &'w mut AppendBatch) -> Self {
        let (key, source, metric) = (String::new(), String::new(), String::new());
        let (tally, open) = (Tally::default(), Open::new());
        Self { mapping, intake, batch, tally, open, key, source, metric, payload: Vec::new() }
    }

    /// What has become of the points. Replicas that they elected are on disk then: the batch may follow.
    ///
    /// # Errors
    ///
    /// The replicas on which the group of daemons has to agree. The batch must not be stored: once they are
    /// [settled](Elections::settle), the same points are to be added to another.
    pub fn finish(self) -> Result<Tally, Open> {
        if !self.open.is_empty() {
            return Err(self.open);
        }
        self.mapping.elections.store();
        Ok(self.tally)
    }

    /// Adds the samples of a series.
    pub fn push(&mut self, series: &Series<'_>) {
        let metric = series.labels.metric();
        let (samples, histograms) = (series.samples.len() as u64, series.histograms.len() as u64);
        self.tally.samples += samples;
        self.tally.histograms += histograms;
        if samples > 0 {
            match self.push_points(metric, series, series.samples.iter().copied()) {
                None => self.tally.unmatched += samples,
                Some(rejected) => self.tally.rejected_samples += rejected,
            }
        }
        if histograms > 0 {
            let mut name = std::mem::take(&mut self.metric);
            let outcomes = [Part::Count, Part::Sum].map(|part| {
                name.clear();
                name.push_str(metric);
                name.push_str(part.suffix());
                self.push_points(&name, series, series.histograms.iter().map(|histogram| part.of(histogram)))
            });
            match outcomes.into_iter().flatten().max() {
                None => self.tally.unmatched += histograms,
                Some(rejected) => self.tally.rejected_histograms += rejected,
            }
            self.metric = name;
        }
    }

    /// Adds points to every stream that takes the series. The number of those that are rejected; `None` if no stream
    /// takes any.
    fn push_points(
        &mut self,
        metric: &str,
        series: &Series<'_>,
        points: impl Iterator<Item = Point> + Clone,
    ) -> Option<u64> {
        let mut most_rejected = None;
        for (stream, rule) in self.mapping.taking(metric, series) {
            if rule.key(metric, series.labels, &mut self.key).is_none() {
                continue;
            }
            if let Some(conflict) = rule.conflict(series.meaning) {
                let count = points.clone().count() as u64;
                self.tally.rejected += count;
                self.tally.add_reason(format!("series `{metric}` in stream {}: {conflict}", rule.stream()));
                most_rejected = most_rejected.max(Some(count));
                continue;
            }
            let has_source = rule.source(metric, series.labels, &mut self.source).is_some();
            let (mapping, now, mut rejected) = (self.mapping, self.batch.appended_at(), 0);
            let mut open = std::mem::take(&mut self.open);
            let replica = Replica::of(&mapping.elections, rule, series);
            let process = Process::of(&mapping.processes, (*stream, rule), series, [&self.key, &self.source]);
            let add = || {
                let before = self.tally.stored;
                rejected = self.push_to((*stream, rule), metric, (replica, process), points.clone(), has_source);
                self.tally.stored > before
            };
            if !if_elected(mapping, &mut open, series, now, add) {
                self.tally.replicas += points.clone().count() as u64;
            }
            self.open = open;
            most_rejected = most_rejected.max(Some(rejected));
        }
        most_rejected
    }

    /// Adds points to a stream; the number of those that are rejected.
    fn push_to(
        &mut self,
        (stream, rule): (u16, &Rule),
        metric: &str,
        (mut replica, process): (Replica<'_>, Process<'_>),
        points: impl Iterator<Item = Point>,
        has_source: bool,
    ) -> u64 {
        let mut rejected = 0;
        for point in points {
            if replica.leaves_out(point.timestamp_ms) {
                self.tally.replicas += 1;
                continue;
            }
            if process.refuses(&point) {
                rejected += 1;
                self.tally.reject(format!("series `{metric}` in stream {}: {TWO_PROCESSES}", rule.stream()));
                continue;
            }
            let stored = self.tally.stored;
            if let Err(error) = self.push_point(stream, rule, point, has_source) {
                rejected += 1;
                self.tally.reject(format!("series `{metric}` in stream {}: {error}", rule.stream()));
            }
            if self.tally.stored > stored {
                replica.has_sent(point.timestamp_ms);
            }
        }
        replica.finish();
        rejected
    }

    fn push_point(&mut self, stream: u16, rule: &Rule, point: Point, has_source: bool) -> Result<(), LineError> {
        if is_stale_marker(point.value) {
            self.tally.stale += 1;
            return Ok(());
        }
        if !point.value.is_finite() {
            self.tally.not_finite += 1;
            return Ok(());
        }
        let age = point.timestamp_ms.saturating_sub(point.start_ms);
        // A start at the time of the reading has no increase since it: it marks that the true start is not known.
        let has_start = point.start_ms > 0 && (1..=self.mapping.recent_start).contains(&age);
        if has_start && rule.metric_kind() == MetricKind::Agg {
            // A counter that is known with a later reading ignores it.
            self.add(stream, point.start_ms, Number::F64(0.0), has_source)?;
        }
        let value = match point.integer {
            Some(Integer::Signed(integer)) => Number::I64(integer),
            Some(Integer::Unsigned(integer)) => Number::U64(integer),
            None => Number::F64(point.value),
        };
        self.add(stream, point.timestamp_ms, value, has_source)?;
        self.tally.stored += 1;
        Ok(())
    }

    fn add(&mut self, stream: u16, timestamp_ms: i64, value: Number, has_source: bool) -> Result<(), LineError> {
        let sample = WireSample {
            timestamp: timestamp::of_series(timestamp_ms)?,
            value,
            text: None,
            source: has_source.then_some(Cow::Borrowed(self.source.as_str())),
            element: None,
        };
        let added = self.intake.add(stream, self.key.as_bytes(), &sample, self.batch, &mut self.payload);
        added.map_err(|error| match error {
            LineError::Timestamp(error) => LineError::Timestamp(error.in_series(timestamp_ms)),
            error => error.in_series(),
        })
    }
}

#[cfg(test)]
mod tests;
