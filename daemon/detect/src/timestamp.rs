//! The time of a sample in one of the usual forms.
//!
//! | form | example |
//! |---|---|
//! | ISO 8601 with offset | `2017-02-25T05:20:00.5Z`, `2017-02-25 06:20:00+01:00` |
//! | ISO 8601 without offset, which is UTC | `2017-02-25T05:20:00`, `2017-02-25 05:20`, `2017/02/25 05:20:00` |
//! | since 1970 in seconds, milliseconds, microseconds or nanoseconds | `1488000000`, `1488000000.25`, `1488000000000` |
//!
//! The unit of a number follows from its size: from 2001 to 2100 the ranges of the four units are far apart.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// The earliest and the latest time of a number, in seconds: 2001-01-01 and 2100-01-01.
const NUMBERS: std::ops::Range<u64> = 978_307_200..4_102_444_800;

/// The units of a number: how many of them are a second.
const UNITS: [u64; 4] = [1, 1_000, 1_000_000, 1_000_000_000];

/// The reason why a text is not a time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// The time is before 1970.
    #[error("the time `{found}` is before 1970; expected a later one; remove the row")]
    Early {
        /// The text.
        found: String,
    },
    /// The number is of no time between 2001 and 2100 in any unit.
    #[error(
        "`{found}` is of no time from 2001 to 2100 in seconds, milliseconds, microseconds or nanoseconds since 1970; \
         write one of these, or a date such as 2017-02-25T05:20:00Z"
    )]
    Implausible {
        /// The text.
        found: String,
    },
    /// The text has none of the forms.
    #[error(
        "`{found}` is not a time; expected a date such as 2017-02-25T05:20:00Z or 2017-02-25 05:20:00, or a number of \
         seconds, milliseconds, microseconds or nanoseconds since 1970"
    )]
    Unknown {
        /// The text.
        found: String,
    },
}

/// The time in microseconds since 1970.
///
/// ```
/// use daemon_detect::timestamp::parse;
///
/// assert_eq!(parse("2017-02-25T05:20:00Z"), Ok(1_488_000_000_000_000));
/// assert_eq!(parse("1488000000"), parse("2017-02-25 05:20:00"));
/// ```
///
/// # Errors
///
/// [`TimestampError`] for any other text.
pub fn parse(text: &str) -> Result<u64, TimestampError> {
    match text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && !text.is_empty() {
        true => number(text),
        false => date(text),
    }
}

/// A time in microseconds as ISO 8601 in UTC: `2017-02-25T05:20:00Z`.
pub fn print(micros: u64) -> String {
    i64::try_from(micros)
        .ok()
        .and_then(|micros| Timestamp::from_microsecond(micros).ok())
        .map_or_else(|| micros.to_string(), |time| time.to_string())
}

fn number(text: &str) -> Result<u64, TimestampError> {
    let found = || text.to_owned();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.contains('.') || whole.is_empty() {
        return Err(TimestampError::Unknown { found: found() });
    }
    let whole: u64 = whole.parse().map_err(|_| TimestampError::Implausible { found: found() })?;
    let unit = UNITS.into_iter().find(|unit| NUMBERS.contains(&(whole / unit)));
    let unit = unit.ok_or_else(|| TimestampError::Implausible { found: found() })?;
    // Microseconds of the fraction; a fraction of fewer than 20 digits never reaches one whole.
    let fraction = format!("0.{fraction}0").parse::<f64>().unwrap_or_default();
    let (micros, nanos) = (UNITS[2], UNITS[3]);
    Ok(match unit {
        unit if unit == nanos => whole / (nanos / micros),
        unit => whole * (micros / unit) + (fraction * (micros / unit) as f64).round() as u64,
    })
}

fn date(text: &str) -> Result<u64, TimestampError> {
    let found = || text.to_owned();
    let iso = text.replace('/', "-");
    let micros = match iso.parse::<Timestamp>() {
        Ok(time) => time.as_microsecond(),
        Err(_) => {
            let local: DateTime = iso.parse().map_err(|_| TimestampError::Unknown { found: found() })?;
            let time = Offset::UTC.to_timestamp(local).map_err(|_| TimestampError::Unknown { found: found() })?;
            time.as_microsecond()
        }
    };
    u64::try_from(micros).map_err(|_| TimestampError::Early { found: found() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: u64 = 1_488_000_000_000_000;

    #[test]
    fn every_usual_form_is_a_time() {
        let cases = [
            ("2017-02-25T05:20:00Z", TIME),
            ("2017-02-25T05:20:00.250000Z", TIME + 250_000),
            ("2017-02-25t05:20:00z", TIME),
            ("2017-02-25T06:20:00+01:00", TIME),
            ("2017-02-25 06:20:00+0100", TIME),
            ("2017-02-24 23:50:00-05:30", TIME),
            ("2017-02-25T05:20:00", TIME),
            ("2017-02-25 05:20:00", TIME),
            ("2017-02-25 05:20:00.000001", TIME + 1),
            ("2017-02-25 05:20", TIME),
            ("2017/02/25 05:20:00", TIME),
            ("2017-02-25", TIME - (5 * 60 + 20) * 60_000_000),
            ("1488000000", TIME),
            ("1488000000.25", TIME + 250_000),
            ("1488000000.", TIME),
            ("1488000000000", TIME),
            ("1488000000000.5", TIME + 500),
            ("1488000000000000", TIME),
            ("1488000000000000999", TIME),
        ];
        for (text, micros) in cases {
            assert_eq!(parse(text), Ok(micros), "{text}");
        }
    }

    #[test]
    fn another_text_has_an_error_with_the_remedy() {
        let cases = [
            ("", "is not a time; expected a date such as"),
            ("yesterday", "`yesterday` is not a time"),
            ("25.02.2017 05:20", "is not a time"),
            ("1.2.3", "is not a time"),
            ("2017-02-30", "is not a time"),
            ("-5", "is not a time"),
            ("5", "is of no time from 2001 to 2100 in seconds"),
            ("99999999999999999999999", "is of no time from 2001"),
            ("1969-12-31", "is before 1970"),
        ];
        for (text, sentence) in cases {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(sentence), "{text}: {error}");
        }
    }

    #[test]
    fn a_printed_time_is_parsed_again() {
        for micros in [0, TIME, TIME + 1, TIME + 250_000] {
            assert_eq!(parse(&print(micros)), Ok(micros));
        }
        assert_eq!(print(TIME), "2017-02-25T05:20:00Z");
    }
}
