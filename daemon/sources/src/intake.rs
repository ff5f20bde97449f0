//! The intake: makes records of the log of lines of samples from clients and files.
//!
//! There are two forms, which the first byte of a line decides:
//!
//! ```text
//! {"key":"ObjectVNTable:default-domain:demo:vn1","attr":"egress_flow_count","ts":1490306665057644,"value":31}
//! ObjectVNTable:default-domain:demo:vn1<TAB><egress_flow_count type="u64" timestamp="1490306665057644">31</egress_flow_count>
//! ```
//!
//! `attr` is an attribute, or `stream` the whole `Struct-attribute` where two structs have an attribute of that name.
//! A line is decoded and checked here, so that its sender gets the error; the log stores valid samples only, in the
//! shortest form that the tables read. [`mod@line`] decodes lines; the intake finds the stream among the configured
//! ones, and checks key, timestamp and value by the rules of its table: a sample that is accepted is never malformed or
//! of the future later. Only the table can detect that it is late or of an object over the limit.

mod current;
mod error;
mod key;
mod partial;
mod rejections;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_log::{AppendBatch, PartitionId};
use derived_stats::Number;
use proxy_uve::Plan;
use proxy_uve::wire::line::{self, Line, LineForm, Metric, PlainLine};
use proxy_uve::wire::{MAX_PAYLOAD_LENGTH, WireSample, encode_json, encode_stored, encode_text, encode_xml};

use crate::timestamp::{self, TimeUnit};

pub use self::current::CurrentIntake;
pub use self::error::LineError;
pub use self::key::check_key;
pub use self::rejections::Rejections;

/// The configured streams, and the partitions of their objects.
#[derive(Clone, Debug)]
pub struct Intake {
    by_stream: HashMap<String, u16>,
    attributes: Vec<Attribute>,
    /// The index of each attribute in `attributes`.
    by_attribute: HashMap<Vec<u8>, usize>,
    /// The index of the last line's attribute: most lines have that of the line before and need no hashing.
    last_attribute: Arc<AtomicUsize>,
    partitions: u16,
    form: PayloadForm,
    /// In microseconds.
    allowed_skew: u64,
    /// That of the timestamps of lines.
    unit: TimeUnit,
    /// The plans of the streams by number.
    plans: HashMap<u16, Arc<Plan>>,
    rejections: Option<Arc<dyn Rejections>>,
}

/// The form of samples in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PayloadForm {
    /// Decoded, in the form that only our tables read: for a log of our own.
    Stored,
    /// XML as Contrail's collectors publish it, for a log that others read too; JSON if the sample has a source.
    Published,
}

/// An attribute, and the stream that it names; `None` if it is in more than one.
#[derive(Clone, Debug)]
struct Attribute {
    name: Vec<u8>,
    stream: Option<u16>,
}

impl Intake {
    /// Returns the intake of `streams`, by plan and number, with `partitions` each. Timestamps may be ahead of the arrival
    /// by `allowed_skew`, which is that of the tables.
    pub fn new<'s>(
        streams: impl IntoIterator<Item = (&'s Arc<Plan>, u16)>,
        partitions: u16,
        form: PayloadForm,
        allowed_skew: Duration,
    ) -> Self {
        let mut intake = Self {
            by_stream: HashMap::new(),
            attributes: Vec::new(),
            by_attribute: HashMap::new(),
            last_attribute: Arc::default(),
            partitions,
            form,
            allowed_skew: micros(allowed_skew),
            unit: TimeUnit::Micros,
            plans: HashMap::new(),
            rejections: None,
        };
        for (plan, id) in streams {
            let name = plan.stream();
            intake.by_stream.insert(name.to_string(), id);
            intake.plans.insert(id, Arc::clone(plan));
            let attribute = name.attribute().as_bytes();
            match intake.attributes.iter_mut().find(|known| known.name == attribute) {
                Some(known) => known.stream = None,
                None => {
                    intake.by_attribute.insert(attribute.to_owned(), intake.attributes.len());
                    intake.attributes.push(Attribute { name: attribute.to_owned(), stream: Some(id) });
                }
            }
        }
        intake
    }

    /// Takes the timestamps of lines in `unit`. Those of single samples stay in microseconds.
    #[must_use]
    pub fn with_time_unit(self, unit: TimeUnit) -> Self {
        Self { unit, ..self }
    }

    /// The unit of the timestamps of lines.
    pub fn time_unit(&self) -> TimeUnit {
        self.unit
    }

    /// Adds the record of the first line of `text`, which is not empty. Returns how many bytes the line has with its line
    /// break, and the outcome; `None` for a blank line. `scratch` is reused from line to line.
    pub fn push_first(
        &self,
        text: &[u8],
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> (usize, Option<Result<(), LineError>>) {
        // The fast path finds the end of the line by itself.
        if self.unit != TimeUnit::Rfc3339
            && let Some((plain, taken)) = line::plain(LineForm::of(text), text)
        {
            return (taken, Some(self.push_plain(&plain, batch, scratch)));
        }
        let taken = text.iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| end + 1);
        let line = text[..taken].trim_ascii();
        (taken, (!line.is_empty()).then(|| self.push(line, batch, scratch)))
    }

    fn push_plain(
        &self,
        line: &PlainLine<'_>,
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> Result<(), LineError> {
        let (timestamp, value) = (line.timestamp, line.value);
        let sample = WireSample { timestamp, value, text: None, source: None, element: None };
        let stream = self.stream_of(line.attribute);
        let stream = stream.map_err(|error| self.of_no_stream(line.attribute, line.key, &sample, error))?;
        self.add_in(self.unit, stream, line.key, &sample, batch, scratch)
    }

    /// Adds the record of one line to `batch`, as [`push_first`](Self::push_first).
    ///
    /// # Errors
    ///
    /// When the line is rejected; the batch is then as before.
    pub fn push(&self, line: &[u8], batch: &mut AppendBatch, scratch: &mut Vec<u8>) -> Result<(), LineError> {
        let line = timestamp::with_number(line, self.unit).map_err(|reason| LineError::TimestampText { reason })?;
        let line = &*line;
        if let Some((plain, taken)) = line::plain(LineForm::of(line), line)
            && taken == line.len()
        {
            return self.push_plain(&plain, batch, scratch);
        }
        let line = line::decode_texts_as(LineForm::of(line), line)
            .map_err(|error| LineError::Line { message: timestamp::decoding_error(&error, self.unit), error })?;
        let Line { key, metric, timestamp, value, text, source, .. } = line;
        let sample = WireSample { timestamp, value, text, source, element: None };
        let (stream, name) = match &metric {
            Metric::Attribute(attribute) => (self.stream_of(attribute.as_bytes()), attribute),
            Metric::Stream(stream) => (self.stream(stream), stream),
        };
        let stream = stream.map_err(|error| self.of_no_stream(name.as_bytes(), &key, &sample, error))?;
        self.add_in(self.unit, stream, &key, &sample, batch, scratch)
    }

    /// Adds the record of a sample of the stream with that number. The time of the batch is the arrival by which the
    /// timestamp is classified; see [`Log::arrival`](daemon_log::Log::arrival).
    ///
    /// # Errors
    ///
    /// When the table would not take the sample, or the record exceeds a limit of the log; the batch is then as before.
    pub fn add(
        &self,
        stream: u16,
        key: &[u8],
        sample: &WireSample<'_>,
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> Result<(), LineError> {
        self.add_in(TimeUnit::Micros, stream, key, sample, batch, scratch)
    }

    /// Writes the payload of a sample with a `timestamp` in microseconds to `payload`; returns the partition of its object.
    fn record(
        &self,
        (stream, key): (u16, &[u8]),
        sample: &WireSample<'_>,
        timestamp: u64,
        payload: &mut Vec<u8>,
    ) -> Result<PartitionId, LineError> {
        let sample = WireSample { timestamp, ..self.fitted(stream, sample)? };
        let partition = proxy_uve::partition(key, u32::from(self.partitions));
        payload.clear();
        self.encode(stream, &sample, payload);
        if payload.len() > MAX_PAYLOAD_LENGTH {
            return Err(LineError::TooLong { length: payload.len(), limit: MAX_PAYLOAD_LENGTH });
        }
        Ok(PartitionId::new(stream, u16::try_from(partition).unwrap_or(0)))
    }

    /// The sample as the table of the stream takes it: a number that fits, or a text.
    fn fitted<'s>(&self, stream: u16, sample: &WireSample<'s>) -> Result<WireSample<'s>, LineError> {
        let unknown = || LineError::UnknownStream { name: format!("number {stream}") };
        let plan = self.plans.get(&stream).ok_or_else(unknown)?;
        if let Number::F64(value) = sample.value
            && !value.is_finite()
        {
            return Err(LineError::NotFinite { value });
        }
        let mut sample = sample.clone();
        if plan.takes_texts() {
            sample.text.get_or_insert_with(|| Cow::Owned(Plan::text_of(sample.value)));
            return Ok(sample);
        }
        if let Err(error) = plan.value_of(&sample) {
            let error = line::LineError::from(error);
            return Err(LineError::Line { message: timestamp::decoding_error(&error, self.unit), error });
        }
        sample.value = fit(plan, sample.value)?;
        Ok(sample)
    }

    fn encode(&self, stream: u16, sample: &WireSample<'_>, out: &mut Vec<u8>) {
        let (timestamp, value, source) = (sample.timestamp, sample.value, sample.source.as_deref());
        // Encoding fails for NaN and infinities only, which were rejected before.
        if let Some(text) = sample.text.as_deref().filter(|_| self.form == PayloadForm::Published) {
            return encode_text(timestamp, text, source, out);
        }
        let _ = match (self.form, source, self.plans.get(&stream)) {
            (PayloadForm::Published, None, Some(plan)) => {
                encode_xml(plan.stream(), value.value_type(), timestamp, value, out)
            }
            (PayloadForm::Published, ..) => encode_json(timestamp, value, source, out),
            (PayloadForm::Stored, ..) => {
                encode_stored(sample, out);
                Ok(())
            }
        };
    }

    /// Returns the number of a stream by its name.
    ///
    /// # Errors
    ///
    /// When it is not configured.
    pub fn stream(&self, name: &str) -> Result<u16, LineError> {
        self.by_stream.get(name).copied().ok_or_else(|| LineError::UnknownStream { name: name.to_owned() })
    }

    fn stream_of(&self, attribute: &[u8]) -> Result<u16, LineError> {
        let shown = || String::from_utf8_lossy(attribute).into_owned();
        let known = self.attribute(attribute).ok_or_else(|| LineError::UnknownStream { name: shown() })?;
        known.stream.ok_or_else(|| LineError::AmbiguousAttribute { attribute: shown() })
    }

    fn attribute(&self, name: &[u8]) -> Option<&Attribute> {
        // Threads need not agree on the index: the name at it decides.
        let last = self.attributes.get(self.last_attribute.load(Ordering::Relaxed));
        if let Some(last) = last.filter(|last| last.name == name) {
            return Some(last);
        }
        let index = *self.by_attribute.get(name)?;
        self.last_attribute.store(index, Ordering::Relaxed);
        self.attributes.get(index)
    }
}

/// The finite value as the table of the stream takes it.
fn fit(plan: &Plan, value: Number) -> Result<Number, LineError> {
    let value = match value {
        // As payloads have it: integers from 0 up are unsigned.
        Number::I64(value) => u64::try_from(value).map_or(Number::I64(value), Number::U64),
        value => value,
    };
    plan.fit(value).ok_or_else(|| LineError::unfit(plan, value))
}

#[cfg(test)]
pub(crate) mod tests {
    use derived_stats::ValueType;
    use proptest::prelude::*;
    use proxy_uve::schema::ProxyType;
    use proxy_uve::{DecodedRecord, Fate, Position, Record, StreamName, Table, TableSettings};

    use super::*;

    const NOW: u64 = 1_488_000_000_000_000;

    /// The intake of streams with the sum of values of one type, with one partition each.
    pub(crate) fn intake_of(streams: &[(StreamName, u16)], value_type: ValueType, form: PayloadForm) -> Intake {
        let sum = ProxyType::builder("Sum", value_type).raw("value").period(Duration::from_secs(60));
        let types = [Arc::new(sum.result("sum", "1-value:DSSum").build().unwrap())];
        let plans: Vec<_> = streams.iter().map(|(name, id)| (Arc::new(Plan::new(name.clone(), &types)), *id)).collect();
        Intake::new(plans.iter().map(|(plan, id)| (plan, *id)), 1, form, Duration::from_secs(10))
    }

    fn typed(streams: &[&str], value_type: ValueType, form: PayloadForm) -> Intake {
        let name = |text: &&str| {
            let (structure, attribute) = text.split_once('-').unwrap();
            StreamName::new(structure, attribute).unwrap()
        };
        let streams: Vec<_> = streams.iter().map(name).zip(0..).collect();
        intake_of(&streams, value_type, form)
    }

    fn intake(streams: &[&str], form: PayloadForm) -> Intake {
        typed(streams, ValueType::F64, form)
    }

    fn push(line: &str) -> Result<u64, LineError> {
        let intake = intake(&["Agent-flows", "Agent-bytes", "Config-bytes"], PayloadForm::Stored);
        let mut batch = AppendBatch::new(NOW);
        intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).map(|()| batch.len())
    }

    #[test]
    fn lines_of_both_forms_are_accepted() {
        let lines = [
            r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":2}"#,
            r#"{"value":2,"ts":1488000000000000,"stream":"Config-bytes","key":"T:a","source":"cmp1"}"#,
            "T:a\t<flows type=\"u64\" timestamp=\"1488000000000000\">2</flows>",
        ];
        for line in lines {
            assert!(matches!(push(line), Ok(1)), "{line}: {:?}", push(line));
        }
    }

    #[test]
    fn the_error_of_a_rejected_line_names_the_cause() {
        let cases = [
            (r#"{"key":"T:a","attr":"bytes","ts":1488000000000000,"value":2}"#, "more than one stream"),
            (r#"{"key":"T:a","attr":"nothing","ts":1488000000000000,"value":2}"#, "no stream `nothing`"),
            (r#"{"key":"T:a","ts":1488000000000000,"value":2}"#, "neither"),
            (r#"{"attr":"flows","ts":1488000000000000,"value":2}"#, "key"),
            (r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":"x"}"#, "sample"),
            (r#"{"key":":a","attr":"flows","ts":1488000000000000,"value":1}"#, "table"),
            (r#"{"key":"T:","attr":"flows","ts":1488000000000000,"value":1}"#, "no name after"),
            (r#"{"key":"vn1","attr":"flows","ts":1488000000000000,"value":1}"#, "no `:` between table and name"),
            (r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":1,"src":"c"}"#, "did you mean \"source\"?"),
            (
                r#"{"key":"T:a","attr":"x","Stream":"Agent-x","ts":1488000000000000,"value":1}"#,
                "did you mean \"stream\"?",
            ),
            (r#"{"key":"vrouter:a","attr":"flows","ts":1488000000000000,"value":1}"#, "write `ObjectVRouter:name`"),
            (r#"{"key":7,"attr":"flows","ts":1488000000000000,"value":1}"#, "must be a string"),
            (r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":1} x"#, "malformed JSON"),
            (r#"{"key":"T:a","stream":"Agent-x","ts":1488000000000000,"value":1}"#, "no stream `Agent-x`"),
            ("T:a\t<nothing timestamp=\"1488000000000000\">2</nothing>", "no stream `nothing`"),
            ("T:a\t{\"ts\":1,\"value\":2}", "XML element"),
            ("no tab here", "tab"),
            ("T:a\t<flows>2</flows>", "timestamp"),
        ];
        for (line, part) in cases {
            let error = push(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line} gave: {error}");
        }
    }

    #[test]
    fn an_attribute_names_its_stream_whichever_came_before() {
        let intake = intake(&["Agent-flows", "Agent-bytes", "Config-bytes", "Agent-x"], PayloadForm::Stored);
        for (attribute, expected) in [("flows", 0), ("x", 3), ("x", 3), ("flows", 0), ("x", 3)] {
            assert_eq!(intake.stream_of(attribute.as_bytes()).ok(), Some(expected), "{attribute}");
            assert!(matches!(intake.stream_of(b"bytes"), Err(LineError::AmbiguousAttribute { .. })));
            assert!(matches!(intake.stream_of(b"flow"), Err(LineError::UnknownStream { .. })));
        }
    }

    #[test]
    fn the_same_sample_is_stored_the_same_in_every_form() {
        let intake = intake(&["Agent-flows"], PayloadForm::Stored);
        let lines = [
            r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":2}"#,
            r#"{ "key": "T:a", "stream": "Agent-flows", "ts": 1488000000000000, "value": 2 }"#,
            "T:a\t<flows timestamp=\"1488000000000000\">2</flows>",
            "T:a\t<flows timestamp='1488000000000000'>2</flows>",
        ];
        let stored = lines.map(|line| {
            let mut scratch = Vec::new();
            intake.push(line.as_bytes(), &mut AppendBatch::new(NOW), &mut scratch).expect(line);
            scratch
        });
        assert_eq!(stored[0].len(), 18, "no text left to parse");
        assert!(stored.windows(2).all(|pair| pair[0] == pair[1]), "{stored:?}");
    }

    #[test]
    fn what_is_published_is_the_originals_element_and_json_where_a_source_is_named() {
        let intake = intake(&["Agent-flows"], PayloadForm::Published);
        let cases = [
            (
                r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":2}"#,
                r#"<flows type="u64" timestamp="1488000000000000">2</flows>"#,
            ),
            (
                r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":-2}"#,
                r#"<flows type="i64" timestamp="1488000000000000">-2</flows>"#,
            ),
            (
                r#"{"key":"T:a","attr":"flows","ts":1488000000000000,"value":2,"source":"cmp1"}"#,
                r#"{"ts":1488000000000000,"value":2,"source":"cmp1"}"#,
            ),
        ];
        for (line, published) in cases {
            let mut batch = AppendBatch::new(NOW);
            intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).expect(line);
            let (_, key, payload) = batch.records().next().expect(line);
            assert_eq!((key, std::str::from_utf8(payload)), (&b"T:a"[..], Ok(published)));
        }
    }

    #[test]
    fn a_stream_of_texts_stores_texts_and_one_of_numbers_refuses_them() {
        let statuses = ProxyType::builder("Statuses", ValueType::U64).texts();
        let statuses = statuses.period(Duration::from_secs(60)).result("statuses", "1-raw:DSCategory:ok,404");
        let types = [Arc::new(statuses.build().unwrap())];
        let plan = Arc::new(Plan::new(StreamName::new("Agent", "status").unwrap(), &types));
        let line = |value: &str| format!(r#"{{"key":"T:a","attr":"status","ts":{NOW},"value":{value}}}"#);
        let tabbed = format!("T:a\t<status type=\"string\" timestamp=\"{NOW}\">ok</status>");
        for form in [PayloadForm::Stored, PayloadForm::Published] {
            let intake = Intake::new([(&plan, 1)], 4, form, Duration::from_secs(60));
            let cases = [(line("\"ok\""), "ok"), (tabbed.clone(), "ok"), (line("404.0"), "404"), (line("\"\""), "")];
            for (line, text) in cases {
                let mut batch = AppendBatch::new(NOW);
                intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).expect(&line);
                let (_, _, payload) = batch.records().next().expect(&line);
                let stored = format!(r#"{{"ts":{NOW},"value":"{text}"}}"#);
                assert_eq!(std::str::from_utf8(payload), Ok(&*stored));
            }
            let mut batch = AppendBatch::new(NOW);
            let long = line(&format!("\"{}\"", "x".repeat(257)));
            let error = intake.push(long.as_bytes(), &mut batch, &mut Vec::new()).unwrap_err();
            assert!(error.to_string().contains("the text has 257 bytes where at most 256 are allowed"), "{error}");
        }
        let error = number_of("\"ok\"").unwrap_err();
        assert!(error.contains(r#"the value must be a decimal number, found `"ok"`"#), "{error}");
    }

    /// The error of a sample of a `u64` stream, or the number that the log stores.
    fn number_of(value: &str) -> Result<Number, String> {
        let intake = typed(&["Agent-flows"], ValueType::U64, PayloadForm::Published);
        let line = format!(r#"{{"key":"T:a","attr":"flows","ts":{NOW},"value":{value}}}"#);
        let mut batch = AppendBatch::new(NOW);
        intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).map_err(|error| error.to_string())?;
        let (_, _, payload) = batch.records().next().unwrap();
        Ok(proxy_uve::wire::decode(payload).unwrap().value)
    }

    #[test]
    fn a_double_that_is_an_integer_counts_as_that_integer() {
        for (text, expected) in
            [("36.0", 36), ("3e2", 300), ("-0.0", 0), ("0e5", 0), ("9007199254740991.0", (1 << 53) - 1)]
        {
            assert_eq!(number_of(text), Ok(Number::U64(expected)), "{text}");
        }
        for (text, remedy) in [
            ("36.9", "send an integer"),
            ("-5", "send no negative value"),
            ("-5.0", "send no negative value"),
            ("9007199254740993.0", "from 2^53 on is not an exact integer: send the integer in decimal digits"),
            ("1e19", "from 2^53 on is not an exact integer: send the integer in decimal digits"),
            ("1e30", "in the range of the type"),
        ] {
            let error = number_of(text).expect_err(text);
            assert!(error.contains("`Agent-flows`, which takes u64") && error.contains(remedy), "{text}: {error}");
        }
    }

    #[test]
    fn a_mapped_double_is_the_text_of_its_integer_and_one_that_is_not_finite_none() {
        let statuses = ProxyType::builder("Statuses", ValueType::U64).texts();
        let statuses = statuses.period(Duration::from_secs(60)).result("statuses", "1-raw:DSCategory:ok,404");
        let types = [Arc::new(statuses.build().unwrap())];
        let plan = Arc::new(Plan::new(StreamName::new("Agent", "status").unwrap(), &types));
        let intake = Intake::new([(&plan, 1)], 4, PayloadForm::Stored, Duration::from_secs(60));
        let (mut batch, mut scratch) = (AppendBatch::new(NOW), Vec::new());
        let mut add = |value: f64| {
            let sample =
                WireSample { timestamp: NOW, value: Number::F64(value), text: None, source: None, element: None };
            intake.add(1, b"T:a", &sample, &mut batch, &mut scratch)
        };
        for value in [f64::NAN, f64::INFINITY] {
            assert!(matches!(add(value), Err(LineError::NotFinite { .. })), "{value}");
        }
        add(404.0).unwrap();
        let (_, _, payload) = batch.records().next().unwrap();
        assert_eq!(std::str::from_utf8(payload), Ok(&*format!(r#"{{"ts":{NOW},"value":"404"}}"#)));
    }

    #[test]
    fn a_sample_that_is_too_long_once_stored_is_rejected() {
        let intake = intake(&["Agent-flows"], PayloadForm::Stored);
        // Longer than its JSON: control characters are escaped.
        let source = Some("\u{1}".repeat(MAX_PAYLOAD_LENGTH / 6).into());
        let sample = WireSample { timestamp: NOW, value: Number::U64(1), text: None, source, element: None };
        let error = intake.add(0, b"T:a", &sample, &mut AppendBatch::new(NOW), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, LineError::TooLong { .. }), "{error}");
        let nan = WireSample { value: Number::F64(f64::NAN), source: None, ..sample };
        let error = intake.add(0, b"T:a", &nan, &mut AppendBatch::new(NOW), &mut Vec::new()).unwrap_err();
        assert!(matches!(error, LineError::NotFinite { .. }), "{error}");
    }

    fn any_value() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<i64>().prop_map(|value| value.to_string()),
            any::<u64>().prop_map(|value| value.to_string()),
            any::<f64>().prop_map(|value| format!("{value:?}")),
            (-1000i32..1000, 0u32..4).prop_map(|(value, exponent)| format!("{value}e{exponent}")),
            (-1000i32..1000).prop_map(|value| format!("{value}.0")),
            Just("18446744073709551615.0".to_owned()),
        ]
    }

    fn any_time() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), NOW - 100_000_000..NOW + 20_000_000, Just(u64::MAX), Just(i64::MAX as u64)]
    }

    #[test]
    fn an_error_shows_the_beginning_of_a_name_of_any_length() {
        for name in ["stream", "attr"] {
            let name_of_60_kb = "z".repeat(60_000);
            let line = format!("{{\"key\":\"T:a\",\"{name}\":\"{name_of_60_kb}\",\"ts\":{NOW},\"value\":1}}");
            let error = push(&line).expect_err("no such stream").to_string();
            assert!(error.contains("zzz` is configured") && error.len() < 250, "{} bytes", error.len());
            assert!(error.contains("no stream `zzz"), "{error:.200}");
        }
    }

    proptest! {
        #[test]
        fn property_an_accepted_line_is_never_malformed_or_future_later(
            value in any_value(),
            at in any_time(),
            key in "(T:)?[a-z\u{e9}:]{0,3}",
            source in proptest::option::of(".{0,10}"),
            value_type in prop::sample::select(vec![ValueType::U64, ValueType::I64, ValueType::F64]),
            form in prop::sample::select(vec![PayloadForm::Stored, PayloadForm::Published]),
        ) {
            let intake = typed(&["Agent-flows"], value_type, form);
            let source = source.map(|source| format!(r#","source":{}"#, serde_json::Value::from(source)));
            let line = format!(
                r#"{{"key":"{key}","attr":"flows","ts":{at},"value":{value}{}}}"#, source.unwrap_or_default()
            );
            let mut batch = AppendBatch::new(NOW);
            let accepted = intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).is_ok();
            let mut table = Table::new(Arc::clone(&intake.plans[&0]), TableSettings::default());
            let fate = match batch.records().next() {
                Some((_, key, payload)) => {
                    table.ingest(&Record { position: Position::new(0), arrived: NOW, key, payload })
                }
                // What is rejected, the table would not have taken either, except for an empty name, a time before 2001
                // and the form of a number.
                None if at < timestamp::EARLIEST => Fate::Late,
                None if key.split_once(':').is_some_and(|(_, name)| name.is_empty()) => Fate::MalformedKey,
                None => match line::decode(line.as_bytes()) {
                    Ok(line) => table.ingest_decoded(&DecodedRecord {
                        position: Position::new(0), arrived: NOW, key: &line.key, at: line.timestamp, value: line.value,
                        source: line.source.as_deref().unwrap_or(""),
                    }),
                    Err(_) => Fate::MalformedPayload,
                },
            };
            prop_assert_eq!(accepted, fate == Fate::Aggregated, "{}: {:?}", line, fate);
        }
    }
}
