//! The general decoder of lines: one pass over the fields, with an error for each mistake.

use std::borrow::Cow;

use super::super::{MAX_PAYLOAD_LENGTH, WireError, check_length, decode_with, json, text_of, xml};
use super::{Line, LineError, LineForm, Metric};

pub(super) fn decode(form: LineForm, line: &[u8]) -> Result<Line<'_>, LineError> {
    match form {
        LineForm::Json => decode_json(line),
        LineForm::Tabbed => decode_tabbed(line),
    }
}

fn decode_json(line: &[u8]) -> Result<Line<'_>, LineError> {
    check_length(line, MAX_PAYLOAD_LENGTH)?;
    let mut fields = json::read(text_of(line)?)?;
    let sample = fields.sample()?;
    let envelope = fields.envelope;
    if let Some(name) = envelope.duplicate {
        return Err(WireError::Duplicate { name: name.to_owned() }.into());
    }
    if let Some(misspelt) = envelope.misspelt {
        return Err(WireError::from(misspelt).into());
    }
    let key = string("key", envelope.key)?.ok_or(LineError::NoKey)?;
    let attribute = string("attr", envelope.attr)?;
    let stream = string("stream", envelope.stream)?;
    let metric = stream.map(Metric::Stream).or_else(|| attribute.map(Metric::Attribute));
    Ok(Line {
        key: bytes(key),
        metric: metric.ok_or(LineError::NoMetric)?,
        timestamp: sample.timestamp,
        value: sample.value,
        text: sample.text,
        source: sample.source,
    })
}

/// The field `name`, if it exists and is not `null`.
fn string<'l>(name: &'static str, text: Option<&'l str>) -> Result<Option<Cow<'l, str>>, LineError> {
    let Some(text) = text else { return Ok(None) };
    json::string(text).map_err(|json::NotAString| LineError::NotAString { name, text: text.to_owned() })
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn decode_tabbed(line: &[u8]) -> Result<Line<'_>, LineError> {
    let mut parts = line.splitn(2, |&byte| byte == b'\t');
    let (Some(key), Some(payload)) = (parts.next(), parts.next()) else {
        return Err(LineError::NoTab);
    };
    let sample = decode_with(payload, MAX_PAYLOAD_LENGTH, xml::decode_whole)?;
    Ok(Line {
        key: Cow::Borrowed(key),
        metric: Metric::Attribute(sample.element.ok_or(LineError::NoElement)?),
        timestamp: sample.timestamp,
        value: sample.value,
        text: sample.text,
        source: sample.source,
    })
}
