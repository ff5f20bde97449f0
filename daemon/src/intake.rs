//! Lines of samples, as clients and files hold them, to records of the log.
//!
//! Two forms, told apart by the first byte of a line:
//!
//! ```text
//! {"key":"ObjectVNTable:default-domain:demo:vn1","attr":"egress_flow_count","ts":1490306665057644,"value":31}
//! ObjectVNTable:default-domain:demo:vn1<TAB><egress_flow_count type="u64" timestamp="1490306665057644">31</egress_flow_count>
//! ```
//!
//! `attr` is an attribute, or `stream` the whole `Struct-attribute` where two structs have an attribute of that name.
//! A line is decoded and checked here, so that its sender learns what is wrong with it; what the log stores has
//! passed, in the shortest form that the tables read.

use std::borrow::Cow;
use std::collections::HashMap;

use proxy_uve::ObjectKey;
use proxy_uve::wire::{self, WireSample};
use serde::Deserialize;

use crate::log::{AppendBatch, LogError, PartitionId};

/// Knows which streams there are and where their objects go.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    by_stream: HashMap<String, u16>,
    /// Attributes that name one stream, or more than one.
    by_attribute: HashMap<String, Option<u16>>,
    partitions: u16,
}

/// Why a line was not taken. The text names the remedy.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LineError {
    #[error("the attribute `{attribute}` is in more than one stream; say which with \"stream\":\"Struct-attribute\"")]
    AmbiguousAttribute { attribute: String },
    #[error("the line is not JSON of the right form: {reason}")]
    Json { reason: String },
    #[error("the key is no `table:name`: {reason}")]
    Key { reason: String },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the line has neither \"attr\" nor \"stream\"; add one")]
    NoStream,
    #[error("the line has no tab between key and XML element; write key, tab, element")]
    NoTab,
    #[error("no stream `{name}` is configured; add it to uve_proxy_list, or correct the name")]
    UnknownStream { name: String },
    #[error("the sample cannot be read: {0}")]
    Wire(#[from] wire::WireError),
}

/// The fields of a JSON line that are not the sample's own.
#[derive(Deserialize)]
struct Envelope<'l> {
    #[serde(borrow)]
    key: Cow<'l, str>,
    #[serde(borrow, default)]
    attr: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    stream: Option<Cow<'l, str>>,
}

/// One line, understood.
struct Line<'l> {
    stream: u16,
    key: Cow<'l, [u8]>,
    sample: WireSample<'l>,
}

impl Intake {
    /// For `streams`, by name and number, of `partitions` each.
    pub(crate) fn new<'s>(streams: impl IntoIterator<Item = (&'s str, u16)>, partitions: u16) -> Self {
        let mut intake = Self { by_stream: HashMap::new(), by_attribute: HashMap::new(), partitions };
        for (name, id) in streams {
            intake.by_stream.insert(name.to_owned(), id);
            let attribute = name.split_once('-').map_or(name, |(_, attribute)| attribute);
            let known = intake.by_attribute.entry(attribute.to_owned());
            known.and_modify(|stream| *stream = None).or_insert(Some(id));
        }
        intake
    }

    /// Adds the record of one line to `batch`. `scratch` is reused from line to line.
    ///
    /// # Errors
    ///
    /// What is wrong with the line; the batch is then as before.
    pub(crate) fn push(&self, line: &[u8], batch: &mut AppendBatch, scratch: &mut Vec<u8>) -> Result<(), LineError> {
        let line = self.read(line)?;
        ObjectKey::parse(&line.key).map_err(|error| LineError::Key { reason: error.to_string() })?;
        let partition = proxy_uve::partition(&line.key, u32::from(self.partitions));
        scratch.clear();
        wire::encode_stored(&line.sample, scratch);
        let id = PartitionId::new(line.stream, u16::try_from(partition).unwrap_or(0));
        Ok(batch.push(id, &line.key, scratch)?)
    }

    fn read<'l>(&self, line: &'l [u8]) -> Result<Line<'l>, LineError> {
        if line.first() == Some(&b'{') { self.read_json(line) } else { self.read_tabbed(line) }
    }

    fn read_json<'l>(&self, line: &'l [u8]) -> Result<Line<'l>, LineError> {
        let sample = wire::decode(line)?;
        let envelope: Envelope<'l> =
            serde_json::from_slice(line).map_err(|error| LineError::Json { reason: error.to_string() })?;
        let stream = match (&envelope.stream, &envelope.attr) {
            (Some(stream), _) => self.stream(stream)?,
            (None, Some(attribute)) => self.stream_of(attribute)?,
            (None, None) => return Err(LineError::NoStream),
        };
        let key = match envelope.key {
            Cow::Borrowed(key) => Cow::Borrowed(key.as_bytes()),
            Cow::Owned(key) => Cow::Owned(key.into_bytes()),
        };
        Ok(Line { stream, key, sample })
    }

    fn read_tabbed<'l>(&self, line: &'l [u8]) -> Result<Line<'l>, LineError> {
        let tab = line.iter().position(|&byte| byte == b'\t').ok_or(LineError::NoTab)?;
        let sample = wire::decode(&line[tab + 1..])?;
        let stream = match &sample.element {
            Some(element) => self.stream_of(element)?,
            None => return Err(LineError::NoStream),
        };
        Ok(Line { stream, key: Cow::Borrowed(&line[..tab]), sample })
    }

    fn stream(&self, name: &str) -> Result<u16, LineError> {
        self.by_stream.get(name).copied().ok_or_else(|| LineError::UnknownStream { name: name.to_owned() })
    }

    fn stream_of(&self, attribute: &str) -> Result<u16, LineError> {
        match self.by_attribute.get(attribute) {
            Some(Some(stream)) => Ok(*stream),
            Some(None) => Err(LineError::AmbiguousAttribute { attribute: attribute.to_owned() }),
            None => Err(LineError::UnknownStream { name: attribute.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(line: &str) -> Result<u64, LineError> {
        let streams = [("Agent-flows", 0), ("Agent-bytes", 1), ("Config-bytes", 2)];
        let intake = Intake::new(streams, 4);
        let mut batch = AppendBatch::new(0);
        intake.push(line.as_bytes(), &mut batch, &mut Vec::new()).map(|()| batch.len())
    }

    #[test]
    fn both_forms_are_taken() {
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
    fn a_refused_line_says_why() {
        let cases = [
            (r#"{"key":"T:a","attr":"bytes","ts":1,"value":2}"#, "more than one stream"),
            (r#"{"key":"T:a","attr":"nothing","ts":1,"value":2}"#, "no stream `nothing`"),
            (r#"{"key":"T:a","ts":1,"value":2}"#, "neither"),
            (r#"{"attr":"flows","ts":1,"value":2}"#, "key"),
            (r#"{"key":"T:a","attr":"flows","ts":1,"value":"x"}"#, "sample"),
            (r#"{"key":":a","attr":"flows","ts":1,"value":1}"#, "table"),
            ("no tab here", "tab"),
            ("T:a\t<flows>2</flows>", "timestamp"),
        ];
        for (line, part) in cases {
            let error = push(line).expect_err(line).to_string();
            assert!(error.contains(part), "{line} gave: {error}");
        }
    }
}
