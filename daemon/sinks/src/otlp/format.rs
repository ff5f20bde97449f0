//! The points of a request in protobuf, compressed by gzip.

use std::collections::BTreeMap;
use std::io::Write as _;

use daemon_formats::otlp::{answer, sent};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::post::{LeftOut, Request};
use crate::samples::Format;

/// The instrumentation scope of all points: what has made them.
const SCOPE: (&str, &str) = ("derived-statsd", env!("CARGO_PKG_VERSION"));

/// The bytes of the length of a name.
const LENGTH: usize = size_of::<u32>();

/// The format, with what every request has.
pub(super) struct Otlp {
    /// The attributes of the resource.
    pub(super) attributes: Vec<(String, String)>,
    pub(super) headers: Vec<(&'static str, String)>,
}

// A series is the length of its name, the name, and its encoded attributes; a sample is the length, the name, and the
// point with them. A request has the points of one name in one gauge.
impl Format for Otlp {
    fn series(&self, metric: &str, labels: &[(&str, &str)], out: &mut Vec<u8>) {
        out.extend_from_slice(&(metric.len() as u32).to_le_bytes());
        out.extend_from_slice(metric.as_bytes());
        sent::attributes(labels, out);
    }

    fn sample(&self, series: &[u8], value: Option<f64>, at: u64, out: &mut Vec<u8>) {
        let Some((name, attributes)) = split(series) else { return };
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        sent::point(attributes, value, at.saturating_mul(1_000), out);
    }

    fn request(&self, samples: &[&[u8]]) -> Request {
        let mut gauges: BTreeMap<&str, Vec<&[u8]>> = BTreeMap::new();
        for (name, point) in samples.iter().filter_map(|sample| split(sample)) {
            gauges.entry(name).or_default().push(point);
        }
        let resource: Vec<_> = self.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = sent::request(&resource, SCOPE, gauges.iter().map(|(name, points)| (*name, &points[..])));
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
        // Writing to memory cannot fail.
        let packed = encoder.write_all(&body).and_then(|()| encoder.finish()).unwrap_or_default();
        Request { headers: self.headers.clone(), body: packed }
    }

    fn left_out(&self, body: &[u8]) -> Option<LeftOut> {
        answer::rejected(body).map(|(items, text)| LeftOut { items, text })
    }
}

/// The name in front, and what follows it.
fn split(encoded: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = encoded.split_first_chunk::<LENGTH>()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((std::str::from_utf8(name).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use daemon_formats::otlp::{Encoding, read};
    use daemon_formats::{Limits, is_stale_marker};
    use daemon_results::block::{BlockSink, MAX_BLOCK_BYTES, sample};
    use daemon_results::line::LineReader;
    use daemon_results::object_labels::ObjectLabels;
    use daemon_results::record::{RecordReader, Stored};
    use derived_stats::{Number, Record};
    use flate2::read::GzDecoder;

    use super::*;
    use crate::post::{Added, Payload as _};

    fn samples() -> Samples {
        let attributes = vec![("service.name".to_owned(), "stats".to_owned())];
        Samples::new(Otlp { attributes, headers: Vec::new() }, LineReader::default())
    }

    type Samples = crate::samples::Samples<Otlp>;

    fn line(key: &str, end: u64, value: u64) -> String {
        format!(r#"{{"key":"{key}","uve":"S-A-b","start":0,"end":{end},"data":{{"value":{{"value":{value}}}}}}}"#)
    }

    fn body(samples: &Samples, items: std::ops::Range<usize>) -> Vec<u8> {
        let mut body = Vec::new();
        GzDecoder::new(&samples.request(items, 0).body[..]).read_to_end(&mut body).unwrap();
        body
    }

    /// What the daemon's own input of OTLP makes of a request.
    fn sent(samples: &Samples, items: std::ops::Range<usize>) -> Vec<String> {
        let mut found = Vec::new();
        let taken = read(Encoding::Protobuf, &body(samples, items), &Limits::default(), |series| {
            let series = series.unwrap();
            let point = series.samples.first().unwrap();
            let labels = series.labels.iter().map(|(name, value)| format!("{name}={value}"));
            // The scope is that of every point.
            let labels: Vec<_> = labels.filter(|label| !label.starts_with("otel_scope_")).collect();
            let value = if is_stale_marker(point.value) { "none".to_owned() } else { point.value.to_string() };
            found.push(format!("{} {} {value}", labels.join(","), point.timestamp_ms));
        });
        taken.unwrap();
        found
    }

    #[test]
    fn our_own_input_reads_a_request_with_one_point_of_a_series() {
        let mut samples = samples();
        let mut add = |line: &str| samples.add(&Stored::Line(line.as_bytes())).unwrap();
        let taken = Added::Taken { left_out: 0 };
        assert_eq!(add(&line("T:a", 60_000_000, 1)), taken);
        assert_eq!(add(&line("T:b", 60_000_000, 2)), taken);
        assert_eq!(add(&line("T:a", 120_000_000, 3)), Added::Later);
        let labels = |name: &str| format!("__name__=S_value,job=stats,name={name},stream=A-b,table=T");
        let expected = [format!("{} 60000 1", labels("a")), format!("{} 60000 2", labels("b"))];
        assert_eq!(sent(&samples, 0..2), expected);
        assert_eq!(sent(&samples, 1..2), expected[1..]);
        samples.clear();
        assert_eq!((samples.items(), samples.bytes()), (0, 0));
    }

    #[test]
    fn a_point_has_the_labels_that_make_the_name_of_its_object() {
        let objects = ObjectLabels::new([("A-b", "T", ["host", "zone"])]);
        let mut samples = samples().with_objects(objects);
        samples.add(&Stored::Line(line("T:a,b", 60_000_000, 1).as_bytes())).unwrap();
        let labels = "__name__=S_value,host=a,job=stats,name=a,b,stream=A-b,table=T,zone=b";
        assert_eq!(sent(&samples, 0..1), [format!("{labels} 60000 1")]);
    }

    #[test]
    fn a_withdrawn_object_ends_the_series_that_it_had_and_a_name_is_one_gauge() {
        let plan = sample::plan();
        let mut sink = BlockSink::new(&plan, MAX_BLOCK_BYTES);
        let [mean, stddev, sigma] = [10.0, 2.0, 2.0].map(Number::F64);
        let numbers = [Number::U64(20), mean, stddev, sigma, Number::U64(14)];
        sample::send(&plan, &mut sink, 1, "T:a", Some(Record::new(numbers)));
        sample::send(&plan, &mut sink, 1, "T:b", Some(Record::new(numbers)));
        sample::send(&plan, &mut sink, 1, "T:a", None);
        let block = sample::first_block(&mut sink);
        let (mut samples, mut requests) = (samples(), Vec::new());
        let mut bodies = Vec::new();
        let read = RecordReader::default().each(0, &block, |_, result| {
            if samples.add(&result).unwrap() == Added::Later {
                requests.push(sent(&samples, 0..samples.items()));
                bodies.push(body(&samples, 0..samples.items()));
                samples.clear();
                samples.add(&result).unwrap();
            }
        });
        read.unwrap();
        requests.push(sent(&samples, 0..samples.items()));
        let [given, ended] = requests.as_slice() else { panic!("{requests:?}") };
        assert!(ended.iter().all(|series| series.ends_with(" none")), "{ended:?}");
        let labels = |series: &[String], name: &str| -> Vec<String> {
            let labels = series.iter().map(|it| it.split(' ').next().unwrap().to_owned());
            labels.filter(|labels| labels.contains(&format!(",name={name},"))).collect()
        };
        assert_eq!(labels(given, "a"), labels(ended, "a"));
        let score =
            "__name__=anomaly_score,attribute=value,job=stats,name=a,stream=A-b,table=T,type=AggProxySumAnomalyEWM01";
        assert!(given.contains(&format!("{score} 0 2")), "{given:?}");
        let names = bodies[0].windows(13).filter(|window| *window == b"anomaly_score").count();
        assert_eq!(names, 1, "two points in one gauge");
    }

    #[test]
    fn a_partial_success_is_read_from_the_answer() {
        let samples = samples();
        let answer = answer::response(Encoding::Protobuf, Some((300, "out of bounds")));
        assert_eq!(samples.left_out(&answer), Some(LeftOut { items: 300, text: "out of bounds".to_owned() }));
        assert_eq!(samples.left_out(&answer::response(Encoding::Protobuf, None)), None);
    }
}
