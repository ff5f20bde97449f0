//! Lines whose timestamps are texts of RFC 3339.

use jiff::Timestamp;
use jiff::tz::Offset;
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
    let time = parse(text).map_err(|error| {
        format!("the timestamp `{text}` is not a time of RFC 3339, such as \"2017-02-25T05:20:00Z\": {error}")
    })?;
    let micros = u64::try_from(time.as_microsecond()).map_err(|_| format!("the timestamp `{text}` is before 1970"))?;
    out.extend_from_slice(&line[..start]);
    out.extend_from_slice(micros.to_string().as_bytes());
    out.extend_from_slice(&line[end..]);
    Ok(())
}

/// Parses a time, as strictly as RFC 3339 has it: all fields, each in its range, and an offset.
///
/// A second 60 is accepted where leap seconds are added, at 23:59:60 UTC at the end of June and December, and counts as
/// the second before it: there is no other place for it on a scale without leap seconds.
pub(super) fn parse(text: &str) -> Result<Timestamp, String> {
    let second = check_fields(text)?;
    let time: Timestamp = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let utc = Offset::UTC.to_datetime(time);
    let is_leap = (utc.hour(), utc.minute(), utc.second()) == (23, 59, 59)
        && matches!((utc.month(), utc.day()), (6, 30) | (12, 31));
    if second == 60 && !is_leap {
        return Err("the second is 60, which is only at 23:59:60 UTC on June 30 and December 31".to_owned());
    }
    Ok(time)
}

/// Checks form and ranges, without the days of a month; returns the second.
fn check_fields(text: &str) -> Result<u16, String> {
    let fields = Fields(text.as_bytes());
    fields.number(0, 4).ok_or("expected four digits of the year at character 1")?;
    fields.mark(4, b"-")?;
    fields.check("month", 5, 12)?;
    fields.mark(7, b"-")?;
    fields.check("day", 8, 31)?;
    fields.mark(10, b"Tt ")?;
    fields.check("hour", 11, 23)?;
    fields.mark(13, b":")?;
    fields.check("minute", 14, 59)?;
    fields.mark(16, b":")?;
    let second = fields.check("second", 17, 60)?;
    let end = fields.offset(fields.fraction(19)?)?;
    if text.len() > end {
        return Err(format!("expected nothing after the offset at character {}", end + 1));
    }
    Ok(second)
}

/// The bytes of a text, which are checked field by field.
struct Fields<'t>(&'t [u8]);

impl Fields<'_> {
    fn number(&self, at: usize, length: usize) -> Option<u16> {
        let digits = self.0.get(at..at + length).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
    }

    fn check(&self, name: &str, at: usize, most: u16) -> Result<u16, String> {
        match self.number(at, 2) {
            Some(value) if value <= most => Ok(value),
            Some(value) => Err(format!("the {name} is {value}, expected 00 to {most}")),
            None => Err(format!("expected two digits of the {name} at character {}", at + 1)),
        }
    }

    fn mark(&self, at: usize, marks: &[u8]) -> Result<(), String> {
        match self.0.get(at) {
            Some(mark) if marks.contains(mark) => Ok(()),
            _ => Err(format!("expected `{}` at character {}", char::from(marks[0]), at + 1)),
        }
    }

    /// The end of the fraction of a second, if there is one at `at`.
    fn fraction(&self, at: usize) -> Result<usize, String> {
        if self.mark(at, b".").is_err() {
            return Ok(at);
        }
        match self.0[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => Err("expected a digit after the `.` of the second".to_owned()),
            digits => Ok(at + 1 + digits),
        }
    }

    /// The end of the offset at `at`.
    fn offset(&self, at: usize) -> Result<usize, String> {
        match self.0.get(at) {
            Some(b'Z' | b'z') => Ok(at + 1),
            Some(b'+' | b'-') => {
                self.check("hour of the offset", at + 1, 23)?;
                self.mark(at + 3, b":")?;
                self.check("minute of the offset", at + 4, 59)?;
                Ok(at + 6)
            }
            _ => Err(format!("expected `Z` or an offset such as `+01:00` at character {}", at + 1)),
        }
    }
}

/// The range of the timestamp in a line, and its text.
type Found<'l> = Result<(usize, usize, &'l str), String>;

fn in_json(line: &[u8]) -> Found<'_> {
    let timed: Timed<'_> =
        serde_json::from_slice(line).map_err(|error| format!("the line has no timestamp: {error}"))?;
    let raw = timed.ts.get();
    let text = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let text = text.ok_or_else(|| {
        format!(
            "the timestamp {raw} is a number where a text of RFC 3339 is configured; write one such as \
             \"2017-02-25T05:20:00Z\", or set http.time_unit (posted samples) or --time-unit (files) to the unit of \
             the numbers"
        )
    })?;
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
    fn every_field_is_checked_against_its_range() {
        for (text, seconds) in [
            ("2017-02-25T05:20:00Z", 1_488_000_000),
            ("2017-02-25t05:20:00z", 1_488_000_000),
            ("2017-02-25 05:20:00.0+00:00", 1_488_000_000),
            ("2017-02-26T05:19:00+23:59", 1_488_000_000),
            ("2017-02-24T05:21:00-23:59", 1_488_000_000),
            ("2016-02-29T00:00:00-00:00", 1_456_704_000),
            ("2016-12-31T23:59:60Z", 1_483_228_799),
            ("2017-01-01T00:59:60+01:00", 1_483_228_799),
        ] {
            assert_eq!(parse(text).map(Timestamp::as_second), Ok(seconds), "{text}");
        }
        for (text, part) in [
            ("2017-02-25T05:20:00+25:00", "the hour of the offset is 25, expected 00 to 23"),
            ("2017-02-25T05:20:00+24:00", "hour of the offset"),
            ("2017-02-25T05:20:00+01:60", "minute of the offset is 60"),
            ("2017-02-25T05:20:60Z", "the second is 60, which is only at 23:59:60 UTC"),
            ("2017-02-25T05:20:61Z", "the second is 61"),
            ("2016-12-31T23:59:60+01:00", "the second is 60"),
            ("2017-02-25T05:60:00Z", "the minute is 60"),
            ("2017-02-25T24:00:00Z", "the hour is 24"),
            ("2017-13-25T05:20:00Z", "the month is 13"),
            ("2017-00-25T05:20:00Z", "month"),
            ("2017-02-29T05:20:00Z", "day"),
            ("2017-02-25T05:20Z", "expected `:` at character 17"),
            ("2017-02-25T05:20:00", "expected `Z` or an offset"),
            ("2017-02-25T05:20:00+01", "expected `:` at character 23"),
            ("2017-02-25T05:20:00.Z", "expected a digit"),
            ("2017-02-25T05:20:00,5Z", "expected `Z` or an offset"),
            ("2017-02-25T05:20:00Z[UTC]", "nothing after the offset"),
            ("20170225T052000Z", "expected `-` at character 5"),
            ("+002017-02-25T05:20:00Z", "four digits of the year"),
            ("\u{e9}017-02-25T05:20:00Z", "four digits of the year"),
            ("", "four digits of the year"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn another_timestamp_is_an_error_with_what_was_found() {
        for (line, part) in [
            (
                r#"{"ts":1488000000,"value":1}"#,
                "1488000000 is a number where a text of RFC 3339 is configured; write one",
            ),
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
