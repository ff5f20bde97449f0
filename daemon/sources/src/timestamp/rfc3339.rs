//! Lines whose timestamps are texts of RFC 3339.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The attribute of an XML element with its timestamp.
const ATTRIBUTE: &[u8] = b"timestamp=";

/// The timestamp of a JSON line, as it is written.
#[derive(Deserialize)]
struct Timed<'l> {
    #[serde(borrow)]
    ts: &'l RawValue,
}

/// Appends a line to `out`, without its line break and with its timestamp in microseconds instead of the text.
///
/// # Errors
///
/// When its timestamp is not a text of RFC 3339, or a time before 1970; `out` is then as before.
pub(super) fn to_micros(line: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let found = if line.first() == Some(&b'{') { in_json(line) } else { in_xml(line) };
    let (start, end, text) = found?;
    let time: Timestamp = text.parse().map_err(|error| {
        format!("the timestamp `{text}` is not a time of RFC 3339, such as \"2017-02-25T05:20:00Z\": {error}")
    })?;
    let micros = u64::try_from(time.as_microsecond()).map_err(|_| format!("the timestamp `{text}` is before 1970"))?;
    out.extend_from_slice(&line[..start]);
    out.extend_from_slice(micros.to_string().as_bytes());
    out.extend_from_slice(&line[end..]);
    Ok(())
}

/// The range of the timestamp in a line, and its text.
type Found<'l> = Result<(usize, usize, &'l str), String>;

fn in_json(line: &[u8]) -> Found<'_> {
    let timed: Timed<'_> =
        serde_json::from_slice(line).map_err(|error| format!("the line has no timestamp: {error}"))?;
    let raw = timed.ts.get();
    let text = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let text = text.ok_or_else(|| format!("the timestamp {raw} is a number where a text of RFC 3339 is configured"))?;
    // The raw value borrows from the line.
    let start = (raw.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    Ok((start, start + raw.len(), text))
}

fn in_xml(line: &[u8]) -> Found<'_> {
    let missing = || "the line has no timestamp=\"…\" in its XML element".to_owned();
    let payload = line.iter().position(|&byte| byte == b'\t').ok_or_else(missing)?;
    let at = line[payload..].windows(ATTRIBUTE.len()).position(|part| part == ATTRIBUTE).ok_or_else(missing)?;
    let quote = payload + at + ATTRIBUTE.len();
    let mark = line.get(quote).copied().filter(|mark| matches!(mark, b'"' | b'\'')).ok_or_else(missing)?;
    let start = quote + 1;
    let length = line[start..].iter().position(|&byte| byte == mark).ok_or_else(missing)?;
    let text = std::str::from_utf8(&line[start..start + length]).map_err(|_| missing())?;
    Ok((start, start + length, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(line: &str) -> Result<String, String> {
        let mut out = Vec::new();
        to_micros(line.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_text_becomes_microseconds_and_the_rest_stays() {
        let cases = [
            (
                r#"{"key":"T:\u0061", "ts" : "2017-02-25T06:20:00.000001+01:00","value":3e2}"#,
                r#"{"key":"T:\u0061", "ts" : 1488000000000001,"value":3e2}"#,
            ),
            ("T:a\t<x timestamp='2017-02-25T05:20:00Z'>1</x>", "T:a\t<x timestamp='1488000000000000'>1</x>"),
        ];
        for (line, expected) in cases {
            assert_eq!(converted(line).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn another_timestamp_is_an_error_with_what_was_found() {
        for (line, part) in [
            (r#"{"ts":1488000000,"value":1}"#, "1488000000 is a number"),
            (r#"{"ts":"yesterday","value":1}"#, "`yesterday` is not a time of RFC 3339"),
            (r#"{"ts":"2017-02-25 05:20","value":1}"#, "is not a time of RFC 3339"),
            (r#"{"ts":"1969-12-31T23:59:59Z","value":1}"#, "before 1970"),
            (r#"{"value":1}"#, "missing field `ts`"),
            ("T:a\t<x>1</x>", "no timestamp"),
            ("T:a\t<x timestamp=>1</x>", "no timestamp"),
            ("timestamp=\"2017-02-25T05:20:00Z\"", "no timestamp"),
        ] {
            let error = converted(line).unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
