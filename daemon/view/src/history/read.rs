//! Reads the results of one object: those that the index names, the newest first, and what is not in the index.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use daemon_alarms::row::is_alarms;
use daemon_log::{Log, LogError};
use daemon_results::block::Row;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::reading::Reading;
use daemon_results::record::{RecordReader, Stored};
use proxy_uve::Plan;
use serde::Serialize;

use super::alarms::{AlarmReader, ObjectAlarm};
use super::{ENTRY_BYTES, Span};
use crate::UveView;

/// What one request reads of the log, at most one step more: a day of minutes is 1,440 records of 64 KiB.
const MAX_BYTES: usize = 128 * 1024 * 1024;

/// What one request reads of results that are not in the index, at most one step more.
const MAX_UNINDEXED_BYTES: usize = 32 * 1024 * 1024;

/// The bytes that a step through such results should have: the number of its records follows from the step before.
const STEP_BYTES: usize = 1024 * 1024;

/// The records of the first step, and of the longest one.
const FIRST_STEP: u64 = 16;
const LONGEST_STEP: u64 = 4096;

/// Which results a history has.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The object.
    pub key: String,
    /// The times at which the windows start (µs).
    pub starts: Range<u64>,
    /// The offsets in the log.
    pub offsets: Range<u64>,
    /// The number of results, and at most one step more.
    pub limit: usize,
}

/// The response.
#[derive(Debug, Serialize)]
pub struct History {
    pub key: String,
    pub series: Vec<Series>,
    /// The alarms of the object in what was read.
    pub alarms: Vec<ObjectAlarm>,
    /// From this offset on, up to `end`, the response is complete.
    pub first: u64,
    /// When the oldest record of these was committed, in microseconds, to within 64 KiB of results; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub committed: Option<u64>,
    /// The offset after the last record.
    pub end: u64,
    /// The `before` of the request for older results; `null` if the log retains none.
    pub next: Option<u64>,
    /// What was read of the log, and what of it is not in the index.
    pub read_bytes: usize,
    pub unindexed_bytes: usize,
}

/// The results of one attribute.
#[derive(Debug, Serialize)]
pub struct Series {
    pub uve: String,
    pub proxy: String,
    pub attribute: String,
    pub points: Vec<Point>,
}

/// Start and end in microseconds, value, score, expected value, lower and upper bound, 1 for an anomaly, 1 for partial.
pub(super) type Point = (u64, u64, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, u8, u8);

/// The points by UVE, attribute and stream.
type Points = BTreeMap<(String, String, String), Vec<Point>>;

/// What was read so far.
struct Progress {
    points: Points,
    found: usize,
    bytes: usize,
    unindexed_bytes: usize,
    first: u64,
    /// The offset from which on the last step read, and when its first record was committed.
    committed: Option<(u64, u64)>,
    /// The records of the next step through results that are not in the index.
    step: u64,
    /// Retention has deleted what was to be read.
    is_deleted: bool,
}

/// Reads the results of an object from a log, whose index is that of a view.
///
/// # Errors
///
/// When the log cannot be read.
pub fn read(log: &dyn Log, view: &UveView, plans: &[Arc<Plan>], wanted: Wanted) -> Result<History, LogError> {
    let bounds = log.results_bounds()?;
    let end = wanted.offsets.end.clamp(bounds.first, bounds.next);
    let floor = wanted.offsets.start.clamp(bounds.first, end);
    let spans = view.index().spans(&wanted.key, floor..end, wanted.starts.clone());
    let limit = wanted.limit;
    let (alarms, lines) = (AlarmReader::new(&wanted.key), LineReader::new(plans));
    let mut reader = Reader { log, wanted, records: RecordReader::default(), lines, alarms };
    let mut progress = Progress::new(end);
    let mut is_whole = true;
    for span in spans {
        // The index knows that there is nothing in between.
        progress.first = span.to;
        is_whole = progress.read(&mut reader, span, limit)?;
        if !is_whole {
            break;
        }
    }
    if is_whole {
        progress.first = floor;
    }
    let Progress { points, bytes: read_bytes, unindexed_bytes, first, committed, is_deleted, .. } = progress;
    let of_step = committed.filter(|(offset, _)| *offset == first);
    let known = || view.index().committed_from(first);
    let committed = of_step.map(|(_, at)| at).or_else(known).or_else(|| committed.map(|(_, at)| at));
    let series = points.into_iter().map(|((uve, attribute, proxy), points)| Series { uve, proxy, attribute, points });
    let next = (first > bounds.first && !is_deleted).then_some(first);
    let (key, alarms) = (reader.wanted.key, reader.alarms.finish());
    Ok(History { key, series: series.collect(), alarms, first, committed, end, next, read_bytes, unindexed_bytes })
}

impl Progress {
    fn new(end: u64) -> Self {
        Self {
            points: Points::new(),
            found: 0,
            bytes: 0,
            unindexed_bytes: 0,
            first: end,
            committed: None,
            step: FIRST_STEP,
            is_deleted: false,
        }
    }

    fn is_enough(&self, limit: usize) -> bool {
        self.found >= limit || self.bytes >= MAX_BYTES || self.unindexed_bytes >= MAX_UNINDEXED_BYTES
    }

    /// Reads a span backwards, step by step; returns whether it was read to its beginning.
    fn read(&mut self, reader: &mut Reader<'_>, span: Span, limit: usize) -> Result<bool, LogError> {
        while self.first > span.from {
            if self.is_enough(limit) {
                return Ok(false);
            }
            let from = if span.is_indexed { span.from } else { span.from.max(self.first.saturating_sub(self.step)) };
            let part = match reader.step(from, self.first, span.is_indexed) {
                Ok(part) => part,
                Err(LogError::OffsetOutOfRange { bounds, .. }) if bounds.first > from => {
                    self.is_deleted = true;
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            self.add(part, from, span.is_indexed);
        }
        Ok(true)
    }

    fn add(&mut self, part: Part, from: u64, is_indexed: bool) {
        self.found += part.points.values().map(Vec::len).sum::<usize>();
        prepend(&mut self.points, part.points);
        (self.first, self.bytes) = (from, self.bytes + part.bytes);
        self.committed = part.committed.map(|at| (from, at)).or(self.committed);
        if !is_indexed {
            self.unindexed_bytes += part.bytes;
            let wanted = self.step.saturating_mul(STEP_BYTES as u64) / (part.bytes as u64).max(1);
            self.step = wanted.clamp(1, (self.step * 2).min(LONGEST_STEP));
        }
    }
}

/// How many bytes to read at once of the last records of an entry: no large frame behind them, and small ones together.
fn bytes_of(last: u64, records: u64) -> usize {
    // All have `ENTRY_BYTES` at most. A read ends with the frame in which it has more than all but the last one.
    (ENTRY_BYTES * last.saturating_sub(1) / records.max(1)) as usize + 1
}

/// Puts older points in front.
fn prepend(points: &mut Points, older: Points) {
    for (name, mut older) in older {
        let newer = points.entry(name).or_default();
        older.append(newer);
        *newer = older;
    }
}

/// A reader of the results of one object.
struct Reader<'r> {
    log: &'r dyn Log,
    wanted: Wanted,
    records: RecordReader,
    lines: LineReader,
    alarms: AlarmReader,
}

/// What a step has found.
#[derive(Default)]
struct Part {
    points: Points,
    bytes: usize,
    /// When the first record was committed.
    committed: Option<u64>,
}

impl Reader<'_> {
    /// Reads the records from offset `from` up to, not including, `to`.
    fn step(&mut self, from: u64, to: u64, is_indexed: bool) -> Result<Part, LogError> {
        let (mut part, mut at) = (Part::default(), from);
        while at < to {
            let at_once = if is_indexed { bytes_of(to - at, to - from) } else { STEP_BYTES };
            let batch = self.log.read_results(at, at_once)?;
            if batch.is_empty() {
                break;
            }
            part.bytes += batch.bytes();
            for record in batch.records().take_while(|record| record.offset < to) {
                part.committed.get_or_insert(record.appended_at);
                self.record(record.offset, record.payload, &mut part.points);
            }
            at = batch.next_offset();
        }
        Ok(part)
    }

    /// Adds the results of the object in one record. What cannot be decoded is left out: the view has logged it.
    fn record(&mut self, offset: u64, payload: &[u8], points: &mut Points) {
        let Self { wanted, records, lines, alarms, .. } = self;
        let is_wanted = |row: &Row<'_>| row.key == wanted.key && wanted.starts.contains(&row.start);
        let _ = records.each(offset, payload, |_, result| match result {
            Stored::Row(row) if is_wanted(&row) => add(&row, points),
            Stored::Line(line) if is_alarms(line) => alarms.take(line),
            Stored::Line(line) if !is_scrape(line) => {
                if let Ok(row) = lines.row(line)
                    && is_wanted(&row)
                {
                    add(&row, points);
                }
            }
            _ => {}
        });
    }
}

fn add(row: &Row<'_>, points: &mut Points) {
    for (attribute, record) in row.attributes() {
        let Reading { value, score, expected, low, high, is_anomaly } = Reading::of(attribute, &record);
        let flags = (u8::from(is_anomaly), u8::from(row.partial));
        let point = (row.start, row.end, value, score, expected, low, high, flags.0, flags.1);
        let name = (row.shape.uve.to_string(), attribute.name.to_string(), row.shape.proxy.to_string());
        points.entry(name).or_default().push(point);
    }
}

#[cfg(test)]
mod tests;
