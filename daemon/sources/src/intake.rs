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
//! ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use daemon_log::{AppendBatch, LogError, PartitionId};
use proxy_uve::wire::line::{self, LineForm, Metric, PlainLine};
use proxy_uve::wire::{WireSample, encode_json, encode_stored, encode_xml};
use proxy_uve::{ObjectKey, StreamName};

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
    /// The streams by number.
    names: HashMap<u16, StreamName>,
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

/// Why a line was rejected. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The attribute is in several streams.
    #[error("the attribute `{attribute}` is in more than one stream; say which with \"stream\":\"Struct-attribute\"")]
    AmbiguousAttribute {
        /// The attribute.
        attribute: String,
    },
    /// The key is not `table:name`.
    #[error("the key is not `table:name`: {reason}")]
    Key {
        /// What is wrong with it.
        reason: String,
    },
    /// The line is malformed.
    #[error(transparent)]
    Line(#[from] line::LineError),
    /// The record exceeds a limit of the log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The value is not finite.
    #[error("the value {value} is not a finite number; leave the sample out, or send the last value")]
    NotFinite {
        /// The value.
        value: f64,
    },
    /// No stream has the name or the attribute.
    #[error("no stream `{name}` is configured; add it to uve_proxy_list, or correct the name")]
    UnknownStream {
        /// The name or the attribute.
        name: String,
    },
}

impl Intake {
    /// Returns the intake of `streams`, by name and number, with `partitions` each.
    pub fn new<'s>(
        streams: impl IntoIterator<Item = (&'s StreamName, u16)>,
        partitions: u16,
        form: PayloadForm,
    ) -> Self {
        let mut intake = Self {
            by_stream: HashMap::new(),
            attributes: Vec::new(),
            by_attribute: HashMap::new(),
            last_attribute: Arc::default(),
            partitions,
            form,
            names: HashMap::new(),
        };
        for (name, id) in streams {
            intake.by_stream.insert(name.to_string(), id);
            intake.names.insert(id, name.clone());
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

    /// Adds the record of the first line of `text`, which is not empty. Returns how many bytes the line has with its line
    /// break, and the outcome; `None` for a blank line. `scratch` is reused from line to line.
    pub fn push_first(
        &self,
        text: &[u8],
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> (usize, Option<Result<(), LineError>>) {
        // The fast path finds the end of the line by itself.
        if let Some((plain, taken)) = line::plain(LineForm::of(text), text) {
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
        let stream = self.stream_of(line.attribute)?;
        let sample = WireSample { timestamp: line.timestamp, value: line.value, source: None, element: None };
        self.add(stream, line.key, &sample, batch, scratch)
    }

    /// Adds the record of one line to `batch`, as [`push_first`](Self::push_first).
    ///
    /// # Errors
    ///
    /// When the line is rejected; the batch is then as before.
    pub fn push(&self, line: &[u8], batch: &mut AppendBatch, scratch: &mut Vec<u8>) -> Result<(), LineError> {
        if let Some((plain, taken)) = line::plain(LineForm::of(line), line)
            && taken == line.len()
        {
            return self.push_plain(&plain, batch, scratch);
        }
        let line = line::decode(line)?;
        let stream = match &line.metric {
            Metric::Attribute(attribute) => self.stream_of(attribute.as_bytes())?,
            Metric::Stream(stream) => self.stream(stream)?,
        };
        let sample = WireSample { timestamp: line.timestamp, value: line.value, source: line.source, element: None };
        self.add(stream, &line.key, &sample, batch, scratch)
    }

    /// Adds the record of a sample of the stream with that number.
    ///
    /// # Errors
    ///
    /// When the key is malformed or the record exceeds a limit of the log; the batch is then as before.
    pub fn add(
        &self,
        stream: u16,
        key: &[u8],
        sample: &WireSample<'_>,
        batch: &mut AppendBatch,
        scratch: &mut Vec<u8>,
    ) -> Result<(), LineError> {
        ObjectKey::parse(key).map_err(|error| LineError::Key { reason: error.to_string() })?;
        let partition = proxy_uve::partition(key, u32::from(self.partitions));
        scratch.clear();
        self.encode(stream, sample, scratch);
        let id = PartitionId::new(stream, u16::try_from(partition).unwrap_or(0));
        Ok(batch.push(id, key, scratch)?)
    }

    fn encode(&self, stream: u16, sample: &WireSample<'_>, out: &mut Vec<u8>) {
        let WireSample { timestamp, value, source, .. } = sample;
        // Encoding fails for NaN and infinities only, which no decoded sample has.
        let _ = match (self.form, source, self.names.get(&stream)) {
            (PayloadForm::Published, None, Some(name)) => encode_xml(name, value.value_type(), *timestamp, *value, out),
            (PayloadForm::Published, source, _) => encode_json(*timestamp, *value, source.as_deref(), out),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(streams: &[&str], form: PayloadForm) -> Intake {
        let name = |text: &&str| {
            let (structure, attribute) = text.split_once('-').unwrap();
            StreamName::new(structure, attribute).unwrap()
        };
        let names: Vec<StreamName> = streams.iter().map(name).collect();
        Intake::new(names.iter().zip(0..), 4, form)
    }

    fn push(line: &str) -> Result<u64, LineError> {
        let intake = intake(&["Agent-flows", "Agent-bytes", "Config-bytes"], PayloadForm::Stored);
        let mut batch = AppendBatch::new(0);
        intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).map(|()| batch.len())
    }

    #[test]
    fn lines_of_both_forms_are_accepted() {
        let lines = [
            r#"{"key":"T:a","attr":"flows","ts":1,"value":2}"#,
            r#"{"value":2,"ts":1,"stream":"Config-bytes","key":"T:a","source":"cmp1"}"#,
            "T:a\t<flows type=\"u64\" timestamp=\"1\">2</flows>",
        ];
        for line in lines {
            assert!(matches!(push(line), Ok(1)), "{line}: {:?}", push(line));
        }
    }

    #[test]
    fn the_error_of_a_rejected_line_names_the_cause() {
        let cases = [
            (r#"{"key":"T:a","attr":"bytes","ts":1,"value":2}"#, "more than one stream"),
            (r#"{"key":"T:a","attr":"nothing","ts":1,"value":2}"#, "no stream `nothing`"),
            (r#"{"key":"T:a","ts":1,"value":2}"#, "neither"),
            (r#"{"attr":"flows","ts":1,"value":2}"#, "key"),
            (r#"{"key":"T:a","attr":"flows","ts":1,"value":"x"}"#, "sample"),
            (r#"{"key":":a","attr":"flows","ts":1,"value":1}"#, "table"),
            (r#"{"key":"vn1","attr":"flows","ts":1,"value":1}"#, "no `:` between table and name"),
            (r#"{"key":7,"attr":"flows","ts":1,"value":1}"#, "must be a string"),
            (r#"{"key":"T:a","attr":"flows","ts":1,"value":1} x"#, "malformed JSON"),
            (r#"{"key":"T:a","stream":"Agent-x","ts":1,"value":1}"#, "no stream `Agent-x`"),
            ("T:a\t<nothing timestamp=\"1\">2</nothing>", "no stream `nothing`"),
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
            r#"{"key":"T:a","attr":"flows","ts":1,"value":2}"#,
            r#"{ "key": "T:a", "stream": "Agent-flows", "ts": 1, "value": 2 }"#,
            "T:a\t<flows timestamp=\"1\">2</flows>",
            "T:a\t<flows timestamp='1'>2</flows>",
        ];
        let stored = lines.map(|line| {
            let mut scratch = Vec::new();
            intake.push(line.as_bytes(), &mut AppendBatch::new(0), &mut scratch).expect(line);
            scratch
        });
        assert_eq!(stored[0].len(), 18, "no text left to parse");
        assert!(stored.windows(2).all(|pair| pair[0] == pair[1]), "{stored:?}");
    }

    #[test]
    fn what_is_published_is_the_originals_element_and_json_where_a_source_is_named() {
        let intake = intake(&["Agent-flows"], PayloadForm::Published);
        let cases = [
            (r#"{"key":"T:a","attr":"flows","ts":1,"value":2}"#, r#"<flows type="u64" timestamp="1">2</flows>"#),
            (r#"{"key":"T:a","attr":"flows","ts":1,"value":-2}"#, r#"<flows type="i64" timestamp="1">-2</flows>"#),
            (
                r#"{"key":"T:a","attr":"flows","ts":1,"value":2,"source":"cmp1"}"#,
                r#"{"ts":1,"value":2,"source":"cmp1"}"#,
            ),
        ];
        for (line, published) in cases {
            let mut batch = AppendBatch::new(0);
            intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).expect(line);
            let (_, key, payload) = batch.records().next().expect(line);
            assert_eq!((key, std::str::from_utf8(payload)), (&b"T:a"[..], Ok(published)));
        }
    }
}
