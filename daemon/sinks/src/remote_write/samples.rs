//! The samples that wait for a request.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use daemon_alarms::row::is_alarms;
use daemon_formats::STALE_MARKER;
use daemon_formats::remote_write::sent;
use daemon_results::block::Row;
use daemon_results::line::{LineReader, is_scrape};
use daemon_results::record::Stored;
use daemon_results::series::{self, Sample};

use crate::post::{Added, Payload, Request};

/// Parts of the texts with which a receiver rejects a sample because of its age, in lower case: of Prometheus, and of
/// Mimir and Cortex.
const TOO_OLD: [&str; 2] = ["out of bounds", "too old"];

/// The end of the text with which Prometheus 2.42 rejects such a sample if it has an `out_of_order_time_window`, with
/// status 500. Sent again, the sample would be rejected for ever.
const TOO_OLD_500: &str = ": too old sample";

/// The encoded series, each with one sample.
pub(super) struct Samples {
    /// The labels of every series.
    labels: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    lines: LineReader,
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// The labels of the series in `items`.
    series: HashSet<Box<[u8]>>,
    /// The newest time (ms) that was rejected as too old: a receiver takes nothing before it either.
    too_old: Option<i64>,
    /// The series of the result that is being added.
    added: Vec<(Box<[u8]>, f64)>,
}

/// A series with its sample.
struct Item {
    /// Its end in the bytes.
    end: usize,
    timestamp_ms: i64,
    is_pruned: bool,
}

impl Samples {
    pub(super) fn new(labels: Vec<(String, String)>, headers: Vec<(&'static str, String)>, lines: LineReader) -> Self {
        let (bytes, items, series, added) = Default::default();
        Self { labels, headers, lines, bytes, items, series, too_old: None, added }
    }

    /// Encodes the labels of the samples of a result.
    fn encode(&mut self, row: &Row<'_>) -> Result<(), String> {
        let unnamed = || format!("its key {:?} is not `table:name`", row.key);
        let (table, name) = row.key.split_once(':').ok_or_else(unnamed)?;
        let proxy_type = series::type_of(&row.shape.uve);
        // The name of the UVE has the stream too, for a result whose JSON lacks it.
        let stream = row.shape.uve.split_once('-').map_or("", |(_, stream)| stream);
        let Self { labels, added, .. } = self;
        added.clear();
        series::each(row, |Sample { name: metric, attribute, value }| {
            let own = [("__name__", *metric), ("table", table), ("name", name), ("stream", stream)];
            let of_detector = attribute.map(|attribute| [("type", proxy_type), ("attribute", attribute)]);
            let all = own.into_iter().chain(of_detector.into_iter().flatten());
            let all = all.chain(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            let mut all: Vec<_> = all.map(|(name, value)| (name, Cow::Borrowed(value))).collect();
            let mut encoded = Vec::with_capacity(256);
            sent::labels(&mut all, &mut encoded);
            added.push((encoded.into(), value.unwrap_or(f64::from_bits(STALE_MARKER))));
        });
        Ok(())
    }

    /// Adds what [`encode`](Self::encode) found, at a time in microseconds.
    fn take(&mut self, end: u64) -> Added {
        if self.added.iter().any(|(labels, _)| self.series.contains(labels)) {
            return Added::Later;
        }
        let timestamp_ms = (end / 1_000).cast_signed();
        let mut left_out = 0;
        for (labels, value) in self.added.drain(..) {
            // Names that differ in characters which no metric has.
            if self.series.contains(&labels) {
                left_out += 1;
                continue;
            }
            sent::series(&labels, value, timestamp_ms, &mut self.bytes);
            self.series.insert(labels);
            self.items.push(Item { end: self.bytes.len(), timestamp_ms, is_pruned: false });
        }
        Added::Taken { left_out }
    }

    fn bytes_of(&self, item: usize) -> &[u8] {
        let end = |item: usize| self.items.get(item).map_or(0, |item| item.end);
        let start = item.checked_sub(1).map_or(0, end);
        self.bytes.get(start..end(item)).unwrap_or_default()
    }
}

impl Payload for Samples {
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
        let series = items.filter(is_left).map(|item| self.bytes_of(item));
        let body = sent::compressed(&series.collect::<Vec<_>>().concat()).unwrap_or_default();
        Request { headers: self.headers.clone(), body }
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

#[cfg(test)]
mod tests {
    use daemon_formats::Limits;
    use daemon_formats::remote_write::{Version, decode, decompress};
    use daemon_results::block::{BlockSink, MAX_BLOCK_BYTES, sample};
    use daemon_results::record::RecordReader;
    use derived_stats::{Number, Record};

    use super::*;

    fn samples() -> Samples {
        Samples::new(vec![("site".to_owned(), "a".to_owned())], Vec::new(), LineReader::default())
    }

    fn line(key: &str, end: u64, value: u64) -> String {
        format!(r#"{{"key":"{key}","uve":"S-A-b","start":0,"end":{end},"data":{{"value":{{"value":{value}}}}}}}"#)
    }

    fn add(samples: &mut Samples, line: &str) -> Added {
        samples.add(&Stored::Line(line.as_bytes())).unwrap()
    }

    /// The series of a request, each with the time and the bits of its sample.
    fn sent(samples: &Samples, items: Range<usize>) -> Vec<String> {
        let limits = Limits::default();
        let body = decompress(&samples.request(items, 0).body, &limits).unwrap();
        let mut found = Vec::new();
        let request = decode(Version::V1, &body, limits).unwrap();
        let read = request.series(|series| {
            let series = series.unwrap();
            let point = series.samples.first().unwrap();
            let labels: Vec<_> = series.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let value =
                if point.value.to_bits() == STALE_MARKER { "stale".to_owned() } else { point.value.to_string() };
            found.push(format!("{} {} {value}", labels.join(","), point.timestamp_ms));
        });
        read.unwrap();
        found
    }

    const TAKEN: Added = Added::Taken { left_out: 0 };

    #[test]
    fn a_request_has_one_sample_of_a_series_and_the_next_one_waits() {
        let mut samples = samples();
        assert_eq!(add(&mut samples, &line("T:a", 60_000_000, 1)), TAKEN);
        assert_eq!(add(&mut samples, &line("T:b", 60_000_000, 2)), TAKEN);
        assert_eq!(add(&mut samples, &line("T:a", 120_000_000, 3)), Added::Later);
        let labels = |name: &str| format!("__name__=S_value,name={name},site=a,stream=A-b,table=T");
        let expected = [format!("{} 60000 1", labels("a")), format!("{} 60000 2", labels("b"))];
        assert_eq!(sent(&samples, 0..2), expected);
        assert_eq!(sent(&samples, 1..2), expected[1..]);
        samples.clear();
        assert_eq!(add(&mut samples, &line("T:a", 120_000_000, 3)), TAKEN);
        assert_eq!(sent(&samples, 0..1), [format!("{} 120000 3", labels("a"))]);
    }

    #[test]
    fn a_withdrawn_object_ends_the_series_that_it_had() {
        let plan = sample::plan();
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let [mean, stddev, sigma] = [10.0, 2.0, 2.0].map(Number::F64);
        let numbers = [Number::U64(20), mean, stddev, sigma, Number::U64(14)];
        sample::send(&plan, &mut sink, 1, "T:a", Some(Record::new(numbers)));
        sample::send(&plan, &mut sink, 1, "T:a", None);
        let block = sample::first_block(&mut sink);
        let (mut samples, mut requests) = (samples(), Vec::new());
        let read = RecordReader::default().each(0, &block, |_, result| {
            if samples.add(&result).unwrap() == Added::Later {
                panic!("the request before was not sent");
            }
            requests.push(sent(&samples, 0..samples.items()));
            samples.clear();
        });
        read.unwrap();
        let [given, ended] = requests.as_slice() else { panic!("{requests:?}") };
        assert!(ended.iter().all(|series| series.ends_with(" stale")), "{ended:?}");
        let labels = |series: &[String]| -> Vec<String> {
            series.iter().map(|it| it.split(' ').next().unwrap().to_owned()).collect()
        };
        assert_eq!(labels(given), labels(ended));
        let score =
            "__name__=anomaly_score,attribute=value,name=a,site=a,stream=A-b,table=T,type=AggProxySumAnomalyEWM01";
        assert!(given.contains(&format!("{score} 0 2")), "{given:?}");
    }

    #[test]
    fn what_is_before_a_sample_that_is_too_old_is_not_sent() {
        let mut samples = samples();
        for (key, end) in [("T:a", 1_000_000), ("T:b", 2_000_000), ("T:c", 3_000_000)] {
            add(&mut samples, &line(key, end, 1));
        }
        samples.rejected(1, "status 400: out of order sample");
        assert_eq!(samples.prune(0..3), 0);
        assert!(!samples.is_rejection("status 500: too old sample or another reason"));
        assert!(samples.is_rejection("status 500: too old sample"));
        samples.rejected(1, "status 400: Out of Bounds");
        assert_eq!((samples.prune(0..3), samples.prune(0..3), samples.left(0..3)), (2, 0, 1));
        assert_eq!(sent(&samples, 0..3).len(), 1);
        samples.clear();
        add(&mut samples, &line("T:d", 2_000_000, 1));
        assert_eq!(samples.prune(0..1), 1, "also in later requests");
        samples.clear();
        add(&mut samples, &line("T:too old", 4_000_000, 1));
        samples.rejected(0, "status 400: out of order sample of {name=\"Too Old\"}");
        assert_eq!(samples.prune(0..1), 0, "the text of a label is not a reason");
    }

    #[test]
    fn alarms_and_scrapes_are_no_samples_and_what_is_damaged_is_an_error() {
        let mut samples = samples();
        let none = [
            r#"{"key":"T:a","uve":"UVEAlarms","start":0,"end":1,"data":{}}"#,
            r#"{"scrape":"svcstats","node":"n","at":1,"points":[]}"#,
        ];
        for line in none {
            assert_eq!((add(&mut samples, line), samples.items()), (TAKEN, 0), "{line}");
        }
        for line in ["", "nothing", r#"{"key":"no table","uve":"S-A-b","start":1,"end":2,"data":{"value":1}}"#] {
            assert!(samples.add(&Stored::Line(line.as_bytes())).is_err(), "{line}");
        }
    }
}
