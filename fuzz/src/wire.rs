//! Payloads and lines: the decoders against their encoders, and the fast ones against the general ones.

use derived_stats::{Number, ValueType};
use proxy_uve::stream::StreamName;
use proxy_uve::wire::line::{self, LineForm, Metric, PlainLine};
use proxy_uve::wire::{
    MAX_PAYLOAD_LENGTH, WireError, WireSample, decode, decode_within, encode_json, encode_stored, encode_xml,
};

/// Decodes an XML payload and encodes it back.
pub fn wire_xml(data: &[u8]) {
    let Some(sample) = decoded(data) else { return };
    let Some(element) = &sample.element else { return };
    // An XML name may hold more than an attribute of Sandesh can: those cannot be written.
    let Ok(stream) = StreamName::new("Struct", element) else { return };
    let mut out = Vec::new();
    encode_xml(&stream, sample.value.value_type(), sample.timestamp, sample.value, &mut out).expect("a finite value");
    assert_equal(decode(&out).as_ref(), &sample);
}

/// Decodes a JSON or stored payload and encodes it back, in both forms.
pub fn wire_json(data: &[u8]) {
    let Some(sample) = decoded(data) else { return };
    if sample.element.is_some() {
        return;
    }
    let mut out = Vec::new();
    encode_json(sample.timestamp, sample.value, sample.source.as_deref(), &mut out).expect("a finite value");
    if out.len() <= MAX_PAYLOAD_LENGTH {
        assert_equal(decode(&out).as_ref(), &sample);
    }
    out.clear();
    encode_stored(&sample, &mut out);
    if out.len() <= MAX_PAYLOAD_LENGTH {
        assert_equal(decode(&out).as_ref(), &sample);
    }
}

/// Walks a block of lines in both forms as a reader of files does, and holds every line to the general decoder.
pub fn wire_lines(data: &[u8]) {
    for form in [LineForm::Json, LineForm::Tabbed] {
        let mut block = data;
        while !block.is_empty() {
            let end = block.iter().position(|&byte| byte == b'\n').map_or(block.len(), |at| at + 1);
            if let Some((plain, taken)) = line::plain(form, block) {
                assert_eq!(taken, end, "the line ends elsewhere");
                check_plain(form, block[..end].trim_ascii_end(), plain);
            }
            check_line(form, block[..end].strip_suffix(b"\n").unwrap_or(&block[..end]));
            block = &block[end..];
        }
    }
}

/// A blank after a line is allowed, and is more than the fast decoder takes.
fn check_plain(form: LineForm, text: &[u8], plain: PlainLine<'_>) {
    let longer = [text, b" "].concat();
    if longer.len() > MAX_PAYLOAD_LENGTH {
        return;
    }
    assert!(line::plain(form, &longer).is_none(), "a blank at the end is not plain");
    let line = line::decode_as(form, &longer).unwrap_or_else(|error| panic!("the general decoder refuses it: {error}"));
    assert_eq!(&*line.key, plain.key);
    let Metric::Attribute(attribute) = &line.metric else { panic!("a plain line has an attribute: {line:?}") };
    assert_eq!(attribute.as_bytes(), plain.attribute);
    assert_eq!((line.timestamp, bits(line.value), line.source), (plain.timestamp, bits(plain.value), None));
}

fn check_line(form: LineForm, text: &[u8]) {
    match line::decode_as(form, text) {
        Ok(line) => check_value(line.value),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!error.label().is_empty());
        }
    }
}

/// The sample, if it is one.
fn decoded(data: &[u8]) -> Option<WireSample<'_>> {
    let shorter = data.len().saturating_sub(1);
    match decode(data) {
        Ok(sample) => {
            check_value(sample.value);
            let error = decode_within(data, shorter);
            assert_eq!(error, Err(WireError::TooLong { length: data.len(), limit: shorter }));
            Some(sample)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!error.label().is_empty());
            None
        }
    }
}

fn check_value(value: Number) {
    assert!(value.is_finite(), "{value} is not finite");
    assert!(value.value_type() != ValueType::I64 || value.as_f64() < 0.0, "{value} should be unsigned");
}

fn assert_equal(found: Result<&WireSample<'_>, &WireError>, expected: &WireSample<'_>) {
    assert_eq!(found, Ok(expected));
    // The sign of zero too.
    assert_eq!(found.map(|sample| bits(sample.value)), Ok(bits(expected.value)));
}

fn bits(value: Number) -> (Number, u64) {
    (value, value.as_f64().to_bits())
}
