//! The samples of a request, on their way from its series to a batch of the log.

use std::borrow::Cow;

use daemon_base::one_line::one_line;
use daemon_formats::{Integer, Labels, Point, Series, is_stale_marker};
use daemon_log::AppendBatch;
use derived_stats::{MetricKind, Number};
use proxy_uve::wire::WireSample;

use super::election::Open;
use super::part::Part;
use super::processes::{Process, Taken};
use super::rule::{REPLICA, Rule};
use super::takeover::Replica;
use super::{CLUSTER, Mapping, Tally};
use crate::intake::{Intake, LineError};
use crate::timestamp;

/// Why a reading is rejected that is of another process than the ones before, which goes on.
const TWO_PROCESSES: &str =
    "another process with another start time sends it, too; give each a `service.instance.id` of its own";

/// The most characters of a name in an error.
const SHOWN: usize = 100;

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
    /// How many bytes of keys and samples may still be added.
    left: usize,
    /// Whether there were more.
    is_too_large: bool,
    key: String,
    source: String,
    metric: String,
    payload: Vec<u8>,
}

/// Why the batch of a [`Writer`] must not be stored.
#[derive(Debug)]
pub enum Unfinished {
    /// The group of daemons has to agree on replicas. Once they are [settled](super::Elections::settle), the same points are to be
    /// added to another batch.
    Open(Open),
    /// The samples are larger than the limit. The same points always are.
    TooLarge,
}

/// What a record needs beside its key, source and name: numbers and lengths, at most.
const RECORD_BYTES: usize = 64;

/// The series in an error: its metric with its labels, and the beginning of the key of its object.
fn subject((metric, labels): (&str, &Labels<'_>), key: &str, rule: &Rule) -> String {
    let series = one_line(&labels.shown(metric), usize::MAX);
    format!("series `{series}` of {} in stream {}", one_line(key, SHOWN), rule.stream())
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
        let (left, is_too_large, payload) = (usize::MAX, false, Vec::new());
        Self { mapping, intake, batch, tally, open, left, is_too_large, key, source, metric, payload }
    }

    /// The writer with a limit of the bytes that it adds to the batch. Each sample has the key of its object and its source,
    /// which a request may state once for many samples, and is added to each stream that takes it: the samples can be far
    /// larger than their request. Default none.
    #[must_use]
    pub fn limited(self, bytes: usize) -> Self {
        Self { left: bytes, ..self }
    }

    /// What has become of the points. Replicas that they elected are on disk then: the batch may follow.
    ///
    /// # Errors
    ///
    /// When the batch must not be stored: see [`Unfinished`].
    pub fn finish(self) -> Result<Tally, Unfinished> {
        if self.is_too_large {
            return Err(Unfinished::TooLarge);
        }
        if !self.open.is_empty() {
            return Err(Unfinished::Open(self.open));
        }
        self.mapping.elections.store();
        Ok(self.tally)
    }

    /// Adds the samples of a series. Once the limit of bytes is exceeded, nothing is added.
    pub fn push(&mut self, series: &Series<'_>) {
        if self.is_too_large {
            return;
        }
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
                self.tally
                    .reject_all(format!("{}: {conflict}", subject((metric, series.labels), &self.key, rule)), count);
                most_rejected = most_rejected.max(Some(count));
                continue;
            }
            let has_source = rule.source(metric, series.labels, &mut self.source).is_some();
            let (mapping, now, mut rejected) = (self.mapping, self.batch.appended_at(), 0);
            let mut open = std::mem::take(&mut self.open);
            let replica = Replica::of(&mapping.elections, rule, series);
            let process = Process::of(&mapping.processes, rule, series, [&self.key, &self.source]);
            let add = || {
                let before = self.tally.stored;
                rejected = self.push_to(
                    (*stream, rule),
                    (metric, series.labels),
                    (replica, process),
                    points.clone(),
                    has_source,
                );
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
        series: (&str, &Labels<'_>),
        (mut replica, process): (Replica<'_>, Process<'_>),
        points: impl Iterator<Item = Point>,
        has_source: bool,
    ) -> u64 {
        let mut rejected = 0;
        for point in points {
            if self.is_too_large {
                break;
            }
            if replica.leaves_out(point.timestamp_ms) {
                self.tally.replicas += 1;
                continue;
            }
            let Taken::Yes { zero_ms } = self.taken(&process, &point) else {
                rejected += 1;
                self.tally.reject(format!("{}: {TWO_PROCESSES}", subject(series, &self.key, rule)));
                continue;
            };
            let stored = self.tally.stored;
            if let Err(error) = self.push_point((stream, rule), point, zero_ms, has_source) {
                rejected += 1;
                self.tally.reject(format!("{}: {error}", subject(series, &self.key, rule)));
            }
            if self.tally.stored > stored {
                replica.has_sent(point.timestamp_ms);
            }
        }
        replica.finish();
        rejected
    }

    /// Whether a point is of the process that has its series. One that the intake rejects for its time shows nothing of its
    /// process.
    fn taken(&self, process: &Process<'_>, point: &Point) -> Taken {
        let is_in_time = || {
            let timestamp = timestamp::of_series(point.timestamp_ms);
            timestamp.is_ok_and(|timestamp| self.intake.is_in_time(timestamp, self.batch.appended_at()))
        };
        if process.is_known() && is_in_time() { process.take(point) } else { Taken::Yes { zero_ms: None } }
    }

    /// Adds a point to a stream, and before it the reading 0 of its counter at `zero_ms`, if that is known.
    fn push_point(
        &mut self,
        (stream, rule): (u16, &Rule),
        point: Point,
        zero_ms: Option<i64>,
        has_source: bool,
    ) -> Result<(), LineError> {
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
        let has_recent_start = point.start_ms > 0 && (1..=self.mapping.recent_start).contains(&age);
        let zero_ms = zero_ms.or_else(|| has_recent_start.then_some(point.start_ms));
        if let Some(zero_ms) = zero_ms.filter(|_| rule.metric_kind() == MetricKind::Agg) {
            // A counter that is known with a later reading ignores it.
            self.add(stream, zero_ms, Number::F64(0.0), has_source)?;
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
        let bytes = self.key.len() + if has_source { self.source.len() } else { 0 } + RECORD_BYTES;
        self.is_too_large |= bytes > self.left;
        if self.is_too_large {
            return Ok(());
        }
        self.left -= bytes;
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
