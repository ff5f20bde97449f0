//! Samples to payloads, byte for byte as the original's collector writes its XML.

use std::io::Write as _;

use derived_stats::{Number, ValueError, ValueType};

use crate::stream::StreamName;

/// Appends `<attribute type="…" timestamp="…">value</attribute>` to `out`.
///
/// `timestamp` is in microseconds. `value_type` is only written, in the words of Sandesh (`u64`, `i64`, `double`); no
/// decoder here reads it. [`decode`](super::decode) gives the same sample back, except that [`Number::I64`] from 0 up
/// becomes [`Number::U64`].
///
/// # Errors
///
/// [`ValueError::NotFinite`] for NaN and infinities, which no form can express; `out` is then as before.
pub fn encode_xml(
    stream: &StreamName,
    value_type: ValueType,
    timestamp: u64,
    value: Number,
    out: &mut Vec<u8>,
) -> Result<(), ValueError> {
    check_finite(value)?;
    let attribute = stream.attribute();
    let value_type = match value_type {
        ValueType::F64 => "double",
        ValueType::I64 => "i64",
        ValueType::U64 => "u64",
    };
    write(out, format_args!(r#"<{attribute} type="{value_type}" timestamp="{timestamp}">{value}</{attribute}>"#));
    Ok(())
}

/// Appends `{"ts":…,"value":…}` to `out`, with a `source` if there is one. As [`encode_xml`] otherwise.
///
/// # Errors
///
/// [`ValueError::NotFinite`] for NaN and infinities, which no form can express; `out` is then as before.
pub fn encode_json(timestamp: u64, value: Number, source: Option<&str>, out: &mut Vec<u8>) -> Result<(), ValueError> {
    check_finite(value)?;
    write(out, format_args!(r#"{{"ts":{timestamp},"value":{value}"#));
    if let Some(source) = source {
        write(out, format_args!(r#","source":{}"#, serde_json::Value::from(source)));
    }
    out.push(b'}');
    Ok(())
}

/// Appends `{"ts":…,"value":"text"}` to `out`, with a `source` if there is one.
/// [`decode_texts`](super::decode_texts) gives the same sample back if the text has at most
/// [`MAX_TEXT_SAMPLE`](derived_stats::MAX_TEXT_SAMPLE) bytes.
pub fn encode_text(timestamp: u64, text: &str, source: Option<&str>, out: &mut Vec<u8>) {
    write(out, format_args!(r#"{{"ts":{timestamp},"value":{}"#, serde_json::Value::from(text)));
    if let Some(source) = source {
        write(out, format_args!(r#","source":{}"#, serde_json::Value::from(source)));
    }
    out.push(b'}');
}

fn check_finite(value: Number) -> Result<(), ValueError> {
    match value {
        Number::F64(value) if !value.is_finite() => Err(ValueError::NotFinite { value }),
        _ => Ok(()),
    }
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector cannot fail.
    let _ = out.write_fmt(text);
}
