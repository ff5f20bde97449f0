//! The samples of a request of remote write 1.0.

use std::borrow::Cow;

use daemon_formats::remote_write::sent;
use daemon_formats::{METRIC_NAME, STALE_MARKER};

use crate::post::Request;
use crate::samples::Format;

/// The format, with what every request has.
pub(super) struct RemoteWrite {
    /// The labels of every series.
    pub(super) labels: Vec<(String, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
}

impl Format for RemoteWrite {
    fn series(&self, metric: &str, labels: &[(&str, &str)], out: &mut Vec<u8>) {
        let own = [(METRIC_NAME, metric)].into_iter().chain(labels.iter().copied());
        let all = own.chain(self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut all: Vec<_> = all.map(|(name, value)| (name, Cow::Borrowed(value))).collect();
        sent::labels(&mut all, out);
    }

    fn sample(&self, series: &[u8], value: Option<f64>, at: u64, out: &mut Vec<u8>) {
        let value = value.unwrap_or(f64::from_bits(STALE_MARKER));
        sent::series(series, value, (at / 1_000).cast_signed(), out);
    }

    fn request(&self, samples: &[&[u8]]) -> Request {
        let body = sent::compressed(&samples.concat()).unwrap_or_default();
        Request { headers: self.headers.clone(), body }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use daemon_formats::Limits;
    use daemon_formats::remote_write::{Version, decode, decompress};
    use daemon_results::block::{BlockSink, MAX_BLOCK_BYTES, sample};
    use daemon_results::line::LineReader;
    use daemon_results::record::{RecordReader, Stored};
    use derived_stats::{Number, Record};

    use super::*;
    use crate::post::{Added, Payload as _};

    type Samples = crate::samples::Samples<RemoteWrite>;

    fn samples() -> Samples {
        let labels = vec![("site".to_owned(), "a".to_owned())];
        Samples::new(RemoteWrite { labels, headers: Vec::new() }, LineReader::default())
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
