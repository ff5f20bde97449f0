//! The samples of results that wait for a request, in the encoding of a format.
//!
//! Each number of a result is a sample of a series, at the end of the window ([`daemon_results::series`]). A request has
//! at most one sample of each series.

use std::collections::HashSet;
use std::ops::Range;

use daemon_alarms::row::is_alarms;
use daemon_results::block::Row;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::object_labels::ObjectLabels;
use daemon_results::record::Stored;
use daemon_results::series::{self, Sample};

use crate::post::{Added, LeftOut, Payload, Request};

/// Parts of the texts with which a receiver rejects a sample because of its age, in lower case: of Prometheus, and of
/// Mimir and Cortex.
const TOO_OLD: [&str; 2] = ["out of bounds", "too old"];

/// The end of the text with which Prometheus 2.42 rejects such a sample if it has an `out_of_order_time_window`, with
/// status 500. Sent again, the sample would be rejected for ever.
const TOO_OLD_500: &str = ": too old sample";

/// How a format encodes series and requests.
pub(crate) trait Format: Send {
    /// Appends what names a series, the same for the same metric and labels only.
    fn series(&self, metric: &str, labels: &[(&str, &str)], out: &mut Vec<u8>);

    /// Appends a sample of a [`series`](Self::series) at a time in microseconds; `None` ends the series.
    fn sample(&self, series: &[u8], value: Option<f64>, at: u64, out: &mut Vec<u8>);

    /// A request of these samples.
    fn request(&self, samples: &[&[u8]]) -> Request;

    /// What an answer says of samples that the server did not take, although it is a success.
    fn left_out(&self, _answer: &[u8]) -> Option<LeftOut> {
        None
    }
}

/// The encoded samples, each with its series.
pub(crate) struct Samples<F> {
    format: F,
    lines: LineReader,
    objects: ObjectLabels,
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// The series in `items`.
    series: HashSet<Box<[u8]>>,
    /// The newest time (ms) that was rejected as too old: a receiver takes nothing before it either.
    too_old: Option<u64>,
    /// The series of the result that is being added.
    added: Vec<(Box<[u8]>, Option<f64>)>,
}

/// A series with its sample.
struct Item {
    /// Its end in the bytes.
    end: usize,
    timestamp_ms: u64,
    is_pruned: bool,
}

impl<F: Format> Samples<F> {
    pub(crate) fn new(format: F, lines: LineReader) -> Self {
        let (objects, bytes, items, series, added) = Default::default();
        Self { format, lines, objects, bytes, items, series, too_old: None, added }
    }

    /// The same, with the labels that make the names of objects.
    pub(crate) fn with_objects(self, objects: ObjectLabels) -> Self {
        Self { objects, ..self }
    }

    /// Encodes the series of the samples of a result.
    fn encode(&mut self, row: &Row<'_>) -> Result<(), String> {
        let unnamed = || format!("its key {:?} is not `table:name`", row.key);
        let (table, name) = row.key.split_once(':').ok_or_else(unnamed)?;
        let proxy_type = series::type_of(&row.shape.uve);
        // The name of the UVE has the stream too, for a result whose JSON lacks it.
        let stream = row.shape.uve.split_once('-').map_or("", |(_, stream)| stream);
        let Self { format, added, objects, .. } = self;
        let of_object = objects.of(stream, table, name);
        let mut of_field = vec![("table", table), ("name", name), ("stream", stream)];
        of_field.extend(of_object.iter().map(|(label, value)| (*label, &**value)));
        added.clear();
        series::each(row, |Sample { name: metric, attribute, value }| {
            let mut encoded = Vec::with_capacity(256);
            match attribute {
                Some(attribute) => {
                    let of_detector = [("type", proxy_type), ("attribute", *attribute)];
                    format.series(metric, &[&of_field[..], &of_detector].concat(), &mut encoded);
                }
                None => format.series(metric, &of_field, &mut encoded),
            }
            added.push((encoded.into(), *value));
        });
        Ok(())
    }

    /// Adds what [`encode`](Self::encode) found, at a time in microseconds.
    fn take(&mut self, end: u64) -> Added {
        if self.added.iter().any(|(series, _)| self.series.contains(series)) {
            return Added::Later;
        }
        let mut left_out = 0;
        for (series, value) in self.added.drain(..) {
            // Names that differ in characters which no metric has.
            if self.series.contains(&series) {
                left_out += 1;
                continue;
            }
            self.format.sample(&series, value, end, &mut self.bytes);
            self.series.insert(series);
            self.items.push(Item { end: self.bytes.len(), timestamp_ms: end / 1_000, is_pruned: false });
        }
        Added::Taken { left_out }
    }

    fn bytes_of(&self, item: usize) -> &[u8] {
        let end = |item: usize| self.items.get(item).map_or(0, |item| item.end);
        let start = item.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(item)).unwrap_or_default()
    }
}

impl<F: Format> Payload for Samples<F> {
    fn add(&mut self, result: &Stored<'_>) -> Result<Added, String> {
        let end = match result {
            Stored::Row(row) => {
                self.encode(row)?;
                row.end
            }
            // Alarms are not numbers, and Contiv's scrapes have a page and a sink of their own.
            Stored::Line(line) if is_alarms(line) || is_scrape(line) => return Ok(Added::Taken { left_out: 0 }),
            Stored::Line(line) => {
                let mut lines = std::mem::take(&mut self.lines);
                let encoded = match lines.row(line) {
                    Ok(row) => self.encode(&row).map(|()| row.end),
                    Err(error) => Err(error.to_string()),
                };
                self.lines = lines;
                encoded?
            }
        };
        Ok(self.take(end))
    }

    fn items(&self) -> usize {
        self.items.len()
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.series.clear();
    }

    fn request(&self, items: Range<usize>, _now: u64) -> Request {
        let is_left = |item: &usize| self.items.get(*item).is_some_and(|item| !item.is_pruned);
        self.format.request(&items.filter(is_left).map(|item| self.bytes_of(item)).collect::<Vec<_>>())
    }

    fn left_out(&self, answer: &[u8]) -> Option<LeftOut> {
        self.format.left_out(answer)
    }

    fn prune(&mut self, items: Range<usize>) -> usize {
        let Some(too_old) = self.too_old else { return 0 };
        let mut pruned = 0;
        for item in self.items.get_mut(items).into_iter().flatten() {
            if !item.is_pruned && item.timestamp_ms <= too_old {
                item.is_pruned = true;
                pruned += 1;
            }
        }
        pruned
    }

    fn left(&self, items: Range<usize>) -> usize {
        self.items.get(items).into_iter().flatten().filter(|item| !item.is_pruned).count()
    }

    fn rejected(&mut self, item: usize, text: &str) {
        // Some receivers repeat the labels, which may have such a part.
        let (text, own) = (text.to_lowercase(), String::from_utf8_lossy(self.bytes_of(item)).to_lowercase());
        let is_too_old = TOO_OLD.iter().any(|part| text.contains(part) && !own.contains(part));
        let Some(item) = self.items.get(item) else { return };
        if is_too_old {
            self.too_old = self.too_old.max(Some(item.timestamp_ms));
        }
    }

    fn is_rejection(&self, text: &str) -> bool {
        text.ends_with(TOO_OLD_500)
    }
}
