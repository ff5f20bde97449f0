//! Durations as texts: numbers with units, such as `500ms`, `30s`, `1h30m` or `7d`.
//!
//! `jiff` parses them, in what it calls its friendly format. A day is 24 hours: no setting depends on a calendar.

use std::fmt;
use std::time::Duration;

use jiff::SpanRelativeTo;
use jiff::fmt::friendly::SpanParser;
use serde::de::{Deserializer, Error, Visitor};

/// The units that [`print()`] writes, with their length in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60 * 1_000_000),
    ("h", 3_600 * 1_000_000),
    ("d", 24 * 3_600 * 1_000_000),
];

/// Parses a duration of whole microseconds.
///
/// # Errors
///
/// A sentence that says what was found and what to write instead: for a text that is not a duration, a number without a
/// unit, a negative duration, and one that is too long or finer than a microsecond.
pub fn parse(text: &str) -> Result<Duration, String> {
    if is_number(text) {
        return Err(format!("{text}: a duration needs a unit; write \"{text}s\""));
    }
    let expected = || {
        format!(
            "expected a duration such as \"500ms\", \"30s\" or \"1h30m\" (numbers with us, ms, s, m, h or d), \
             found {text:?}"
        )
    };
    let span = SpanParser::new().parse_span(text).map_err(|_| expected())?;
    if span.is_negative() {
        return Err(format!("{text}: a duration cannot be negative; write it without the sign"));
    }
    // Fails for months and years, whose length depends on a calendar.
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| expected())?;
    let duration = Duration::try_from(duration).map_err(|_| expected())?;
    if !duration.subsec_nanos().is_multiple_of(1_000) {
        return Err(format!("{text}: a duration is a whole number of microseconds; round it to \"1us\""));
    }
    Ok(duration)
}

/// Deserializes a duration from a text, for `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Text)
}

/// Returns the text of a duration in its largest whole unit.
///
/// The printer of `jiff` would write `2m 30s` where messages and the shipped file have `150s`, and hours for days.
pub fn print(duration: Duration) -> String {
    let micros = crate::clock::micros(duration);
    let whole = UNITS.iter().rev().find(|(_, unit)| micros.is_multiple_of(*unit) && (micros > 0 || *unit == 1_000_000));
    whole.map_or_else(|| format!("{micros}us"), |(name, unit)| format!("{}{name}", micros / unit))
}

/// Whether the text is a number and lacks nothing but the unit.
fn is_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// Visits the text of a duration; numbers are visited for the sake of the error.
struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as \"500ms\" or \"30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[test]
    fn one_number_and_one_unit_are_parsed_and_printed() {
        for (text, micros) in [
            ("0s", 0),
            ("1us", 1),
            ("500ms", 500_000),
            ("30s", 30_000_000),
            ("2m", 120_000_000),
            ("12h", 43_200_000_000),
            ("1d", 86_400_000_000),
            ("7d", 604_800_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
            assert_eq!(print(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn several_units_are_added_up_and_printed_in_the_smallest_of_them() {
        for (text, seconds, printed) in
            [("1h30m", 5_400, "90m"), ("1d12h", 129_600, "36h"), ("2m 30s", 150, "150s"), ("1.5h", 5_400, "90m")]
        {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
            assert_eq!(print(Duration::from_secs(seconds)), printed);
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused_with_the_unit() {
        for (text, remedy) in [("0", "0s"), ("30", "30s"), ("1.5", "1.5s")] {
            assert_eq!(parse(text), Err(format!("{text}: a duration needs a unit; write \"{remedy}\"")));
        }
        #[derive(Debug, Deserialize)]
        struct Section {
            #[serde(deserialize_with = "deserialize")]
            timeout: Duration,
        }
        let section = |value| toml::from_str::<Section>(&format!("timeout = {value}"));
        assert_eq!(section("\"3s\"").unwrap().timeout, Duration::from_secs(3));
        for (value, error) in [
            ("30", "30: a duration needs a unit; write \"30s\""),
            ("2.5", "2.5: a duration needs a unit; write \"2.5s\""),
            ("true", "invalid type: boolean `true`, expected a duration such as \"500ms\" or \"30s\""),
        ] {
            assert_eq!(section(value).unwrap_err().message(), error);
        }
    }

    #[test]
    fn negative_long_and_fine_durations_are_refused() {
        for (text, error) in [
            ("-1s", "-1s: a duration cannot be negative; write it without the sign"),
            ("1s ago", "1s ago: a duration cannot be negative; write it without the sign"),
            ("1ns", "1ns: a duration is a whole number of microseconds; round it to \"1us\""),
        ] {
            assert_eq!(parse(text).unwrap_err(), error);
        }
        for text in [
            "",
            "s",
            "-",
            "1x",
            "5M",
            "1s2",
            "1mo",
            "1y",
            "PT5M",
            "soon",
            "99999999999999999999s",
            "18446744073709551615d",
            "9223372036854775807s",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with("expected a duration") && error.ends_with(&format!("{text:?}")), "{error}");
        }
    }
}
