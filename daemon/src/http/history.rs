//! `GET /api/v1/history/<type>/<name>`: the recent results of one object, in the form of series for charts.
//!
//! The results log has no index by object. A request therefore reads the log backwards from its end, or from `before`,
//! until it has `limit` results, has come to `since` or `from`, or has read [`MAX_BYTES`]. The response has the offset
//! from which on it is complete, and `next`, the `before` of the request that continues.

mod alarms;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use daemon_alarms::row::is_alarms;
use daemon_base::listener::Client;
use daemon_log::{Log, LogError};
use daemon_results::block::Row;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::{RecordReader, Stored};
use proxy_uve::Plan;
use serde::{Deserialize, Serialize};

use self::alarms::{AlarmReader, ObjectAlarm};
use crate::http::chunks::whole;
use crate::http::{Shared, bad_path, problem};
use crate::view::{Filter, Reading};

/// The results of a response, unless the request names another number.
const DEFAULT_LIMIT: usize = 2000;

/// The most results of a response, and at most one step more.
const MAX_LIMIT: usize = 20_000;

/// What one request reads of the log, at most one step more: 32 MiB.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The bytes that a step should have: the number of its records follows from the step before.
const STEP_BYTES: usize = 1024 * 1024;

/// The records of the first step, and of the longest one.
const FIRST_STEP: u64 = 16;
const LONGEST_STEP: u64 = 4096;

/// The query of a history.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistoryQuery {
    /// The results before this offset of the log.
    before: Option<u64>,
    /// The results from this offset on.
    from: Option<u64>,
    /// The results that were committed at this time or later, in microseconds.
    since: Option<u64>,
    limit: Option<usize>,
}

/// The response.
#[derive(Debug, Serialize)]
struct History {
    key: String,
    series: Vec<Series>,
    /// The alarms of the object in what was read.
    alarms: Vec<ObjectAlarm>,
    /// The first offset that was read: from it on, up to `end`, the response is complete.
    first: u64,
    /// When the record at `first` was committed, in microseconds; absent if none was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    committed: Option<u64>,
    /// The offset after the last record that was read.
    end: u64,
    /// The `before` of the request for older results; `null` if the log retains none.
    next: Option<u64>,
    read_bytes: usize,
}

/// The results of one attribute.
#[derive(Debug, Serialize)]
struct Series {
    uve: String,
    proxy: String,
    attribute: String,
    points: Vec<Point>,
}

/// Start and end in microseconds, value, score, expected value, lower and upper bound, 1 for an anomaly, 1 for partial.
type Point = (u64, u64, Option<f64>, Option<f64>, Option<f64>, Option<f64>, Option<f64>, u8, u8);

/// The points by UVE, attribute and stream.
type Points = BTreeMap<(String, String, String), Vec<Point>>;

/// Responds with the recent results of an object.
pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<(String, String)>, PathRejection>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
    Extension(client): Extension<Client>,
) -> Response {
    let (uve_type, name) = match path {
        Ok(Path(path)) => path,
        Err(rejection) => return bad_path(&rejection),
    };
    let query = match query.map_err(|rejection| rejection.body_text()).and_then(|Query(query)| query.checked()) {
        Ok(query) => query,
        Err(text) => {
            let expected = "`before` and `from` are offsets of the results log, `since` is a time in microseconds, \
                            `limit` is 1 to 20000, each given once";
            return problem(StatusCode::BAD_REQUEST, &format!("{text}; {expected}"));
        }
    };
    let tables = shared.view.tables_of(&uve_type);
    let has_object = |table: &&String| shared.view.object(table, &name, &Filter::default()).is_some();
    let Some(table) = tables.iter().find(has_object).or_else(|| tables.first()) else {
        let text = format!("`{uve_type}` is not a UVE type of Contrail, and no object is of it; see /analytics/uves");
        return problem(StatusCode::NOT_FOUND, &text);
    };
    let key = format!("{table}:{name}");
    let permit = match shared.permits.readers.take(client) {
        Ok(permit) => permit,
        Err(busy) => return *busy,
    };
    // With the permit: the work goes on when its client is gone.
    let read = tokio::task::spawn_blocking(move || {
        let history = read(&*shared.log, &shared.plans, key, &query)?;
        anyhow::Ok((serde_json::to_vec(&history)?, permit))
    });
    match read.await {
        Ok(Ok((body, permit))) => ([(header::CONTENT_TYPE, "application/json")], whole(body, permit)).into_response(),
        Ok(Err(error)) if is_damage(&error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
        Ok(Err(error)) => problem(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}; retry in a moment")),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the results could not be read"),
    }
}

/// Whether no retry reads what could not be read.
fn is_damage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<LogError>().is_some_and(LogError::is_permanent)
}

impl HistoryQuery {
    fn checked(self) -> Result<Self, String> {
        match self.limit {
            Some(limit) if !(1..=MAX_LIMIT).contains(&limit) => Err(format!("`limit` is {limit}")),
            _ => Ok(self),
        }
    }
}

/// Reads backwards, step by step.
fn read(log: &dyn Log, plans: &[Arc<Plan>], key: String, query: &HistoryQuery) -> Result<History, LogError> {
    let bounds = log.results_bounds()?;
    let end = query.before.unwrap_or(bounds.next).clamp(bounds.first, bounds.next);
    let floor = query.from.unwrap_or(0).clamp(bounds.first, end);
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let (alarms, lines) = (AlarmReader::new(&key), LineReader::new(plans));
    let mut reader = Reader { log, key, records: RecordReader::default(), lines, alarms };
    let (mut points, mut found, mut read_bytes, mut step) = (Points::new(), 0, 0, FIRST_STEP);
    let (mut first, mut committed, mut oldest) = (end, None, bounds.first);
    while first > floor && found < limit && read_bytes < MAX_BYTES {
        if committed.zip(query.since).is_some_and(|(committed, since)| committed < since) {
            break;
        }
        let from = floor.max(first.saturating_sub(step));
        let part = match reader.step(from, first) {
            Ok(part) => part,
            // Retention has deleted what was to be read.
            Err(LogError::OffsetOutOfRange { bounds, .. }) if bounds.first > from => {
                oldest = first;
                break;
            }
            Err(error) => return Err(error),
        };
        found += part.points.values().map(Vec::len).sum::<usize>();
        prepend(&mut points, part.points);
        (first, committed, read_bytes) = (from, part.committed.or(committed), read_bytes + part.bytes);
        let wanted = step.saturating_mul(STEP_BYTES as u64) / (part.bytes as u64).max(1);
        step = wanted.clamp(1, (step * 2).min(LONGEST_STEP));
    }
    let series = points.into_iter().map(|((uve, attribute, proxy), points)| Series { uve, proxy, attribute, points });
    let next = (first > oldest).then_some(first);
    let alarms = reader.alarms.finish();
    Ok(History { key: reader.key, series: series.collect(), alarms, first, committed, end, next, read_bytes })
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
    key: String,
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
    fn step(&mut self, from: u64, to: u64) -> Result<Part, LogError> {
        let (mut part, mut at) = (Part::default(), from);
        while at < to {
            let batch = self.log.read_results(at, STEP_BYTES)?;
            if batch.is_empty() {
                break;
            }
            for record in batch.records().take_while(|record| record.offset < to) {
                part.committed.get_or_insert(record.appended_at);
                part.bytes += record.payload.len();
                self.record(record.offset, record.payload, &mut part.points);
            }
            at = batch.next_offset();
        }
        Ok(part)
    }

    /// Adds the results of the object in one record. What cannot be decoded is left out: the view has logged it.
    fn record(&mut self, offset: u64, payload: &[u8], points: &mut Points) {
        let Self { key, records, lines, alarms, .. } = self;
        let _ = records.each(offset, payload, |_, result| match result {
            Stored::Row(row) if row.key == *key => add(&row, points),
            Stored::Line(line) if is_alarms(line) => alarms.take(line),
            Stored::Line(line) if !is_scrape(line) => {
                if let Ok(row) = lines.row(line)
                    && row.key == *key
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
mod tests {
    use daemon_log::{EmbeddedLog, LogConfig, PartitionCommit, PartitionId, PartitionLog as _, RecordBuffer};

    use super::*;

    /// A log with so many commits of ten results each, of the objects 0 to 9.
    fn log(commits: u64) -> (tempfile::TempDir, EmbeddedLog) {
        let directory = tempfile::tempdir().expect("a directory");
        let log = EmbeddedLog::open(directory.path(), LogConfig::default()).expect("a log");
        let partition = PartitionId::new(0, 0);
        log.restore(partition).expect("an empty partition");
        for commit in 0..commits {
            let mut results = RecordBuffer::default();
            for object in 0..10 {
                let (start, end) = (commit * 60, commit * 60 + 60);
                let line = format!(
                    r#"{{"key":"T:{object}","uve":"P","start":{start},"end":{end},"data":{{"deleted":false,"value":{commit}}}}}"#
                );
                results.push(b"", line.as_bytes()).expect("a small record");
            }
            let commits = vec![PartitionCommit { partition, cursor: 0, meta: vec![], chunks: vec![], results }];
            log.commit(commits, 1000 + commit).expect("a commit");
        }
        (directory, log)
    }

    fn values(history: &History) -> Vec<f64> {
        history.series.iter().flat_map(|series| &series.points).filter_map(|point| point.2).collect()
    }

    fn history(log: &EmbeddedLog, query: &HistoryQuery) -> History {
        read(log, &[], "T:3".to_owned(), query).expect("a history")
    }

    #[test]
    fn a_history_has_every_result_of_the_object_in_order() {
        let (_directory, log) = log(300);
        let history = history(&log, &HistoryQuery::default());
        assert_eq!(values(&history), (0..300).map(f64::from).collect::<Vec<_>>());
        assert_eq!((history.first, history.end, history.next, history.committed), (0, 3000, None, Some(1000)));
        assert_eq!(history.series[0].points[7].0, 420);
    }

    #[test]
    fn pages_of_a_history_join_without_gap_and_overlap() {
        let (_directory, log) = log(300);
        let (mut before, mut all, mut pages) = (None, Vec::new(), 0);
        loop {
            let page = history(&log, &HistoryQuery { before, limit: Some(20), ..HistoryQuery::default() });
            all.splice(0..0, values(&page));
            pages += 1;
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert!(pages > 2, "{pages}");
        assert_eq!(all, (0..300).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn a_history_ends_at_the_offset_and_the_time_that_it_is_asked_for() {
        let (_directory, log) = log(300);
        let newest = history(&log, &HistoryQuery { from: Some(2985), ..HistoryQuery::default() });
        assert_eq!((values(&newest), newest.first, newest.end), (vec![299.0], 2985, 3000));
        let since = history(&log, &HistoryQuery { since: Some(1290), ..HistoryQuery::default() });
        assert!(since.committed.is_some_and(|committed| (1270..1290).contains(&committed)), "{:?}", since.committed);
        assert!(since.next.is_some());
        let ahead = history(&log, &HistoryQuery { from: Some(9999), ..HistoryQuery::default() });
        assert_eq!((values(&ahead), ahead.first, ahead.end), (vec![], 3000, 3000));
    }
}
