//! The timestamps of samples when they arrive: their unit, and the check that they are of a plausible time.
//!
//! Timestamps are microseconds. One in another unit would find its window in 1970 or in the far future without any other
//! sign, so a time before 2001 or ahead of the arrival is rejected with the unit that fits. An input can take another
//! unit.

mod rfc3339;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use derived_stats::excerpt::quoted;
use proxy_uve::wire::{WireError, line};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer};

/// The earliest timestamp that is accepted, in microseconds: 2001-01-01.
pub(crate) const EARLIEST: u64 = 978_307_200_000_000;

/// The end of the times that a recorded sample may have, in microseconds: 2100-01-01.
const PLAUSIBLE: u64 = 4_102_444_800_000_000;

/// The latest timestamp that a table accepts, in microseconds.
const LATEST: u64 = i64::MAX as u64;

/// The unit of the timestamps of an input.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TimeUnit {
    /// Microseconds since 1970.
    #[default]
    Micros,
    /// Milliseconds since 1970.
    Millis,
    /// Nanoseconds since 1970.
    Nanos,
    /// A text with date, time and offset, such as `2017-02-25T05:20:00.5Z`.
    Rfc3339,
    /// Seconds since 1970.
    Seconds,
}

impl TimeUnit {
    const ALL: [Self; 5] = [Self::Seconds, Self::Millis, Self::Micros, Self::Nanos, Self::Rfc3339];

    /// The name as a setting.
    pub fn name(self) -> &'static str {
        match self {
            Self::Micros => "us",
            Self::Millis => "ms",
            Self::Nanos => "ns",
            Self::Rfc3339 => "rfc3339",
            Self::Seconds => "s",
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Micros | Self::Rfc3339 => "microseconds",
            Self::Millis => "milliseconds",
            Self::Nanos => "nanoseconds",
            Self::Seconds => "seconds",
        }
    }

    /// The timestamp in microseconds, saturated at 64 bits; texts are in microseconds already once they are decoded.
    #[inline]
    pub fn micros(self, timestamp: u64) -> u64 {
        match self {
            Self::Micros | Self::Rfc3339 => timestamp,
            Self::Millis => timestamp.saturating_mul(1000),
            Self::Nanos => timestamp / 1000,
            Self::Seconds => timestamp.saturating_mul(1_000_000),
        }
    }
}

/// The name as a setting.
impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for TimeUnit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|unit| unit.name() == text);
        found.ok_or_else(|| format!("`{text}` is not a unit of time; write `s`, `ms`, `us`, `ns` or `rfc3339`"))
    }
}

impl<'de> Deserialize<'de> for TimeUnit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(UnitVisitor)
    }
}

struct UnitVisitor;

impl Visitor<'_> for UnitVisitor {
    type Value = TimeUnit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`s`, `ms`, `us`, `ns` or `rfc3339`")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TimeUnit, E> {
        text.parse().map_err(E::custom)
    }
}

/// Why a timestamp is rejected. The text names the remedy.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TimestampError {
    /// It is before 2001.
    #[error("the timestamp {found} is before 2001-01-01 in {}; {}", unit.plural(), remedy(*found, *unit))]
    Early {
        /// The timestamp, in its unit.
        found: u64,
        /// The unit.
        unit: TimeUnit,
    },
    /// That of a series is before 2001.
    #[error(
        "the timestamp {found_ms} ms is before 2001-01-01; send times since 1970 in the unit of the protocol: \
         milliseconds in remote write, nanoseconds in OTLP, and in line protocol what `precision` names"
    )]
    EarlySeries {
        /// The timestamp, in milliseconds since 1970.
        found_ms: i64,
    },
    /// It is further ahead of the arrival than the allowed skew.
    #[error(
        "the timestamp {found} is {ahead_seconds} s ahead of the arrival at {arrived} where aggregation.allowed_skew \
         allows {allowed_seconds} s; {}, and check the clocks of the sender and of this machine", remedy(*found, *unit)
    )]
    Future {
        /// The timestamp, in its unit.
        found: u64,
        /// The unit.
        unit: TimeUnit,
        /// The arrival, in microseconds.
        arrived: u64,
        /// How far it is ahead, in whole seconds, rounded up.
        ahead_seconds: u64,
        /// The allowed skew, in seconds.
        allowed_seconds: f64,
    },
    /// That of a series is further ahead of the arrival than the allowed skew.
    #[error(
        "the timestamp {found_ms} ms is {ahead_seconds} s ahead of the arrival where aggregation.allowed_skew allows \
         {allowed_seconds} s; check the clocks of the sender and of this machine, and the unit of the protocol: \
         milliseconds in remote write, nanoseconds in OTLP, and in line protocol what `precision` names"
    )]
    FutureSeries {
        /// The timestamp, in milliseconds since 1970.
        found_ms: i64,
        /// How far it is ahead, in whole seconds, rounded up.
        ahead_seconds: u64,
        /// The allowed skew, in seconds.
        allowed_seconds: f64,
    },
    /// It is of no time at which a sample was recorded.
    #[error("the timestamp {found} is after 2100-01-01 in {}; {}", unit.plural(), remedy(*found, *unit))]
    Late {
        /// The timestamp, in its unit.
        found: u64,
        /// The unit.
        unit: TimeUnit,
    },
}

impl TimestampError {
    /// The same error in the words of a series, whose protocol has a unit of its own.
    pub(crate) fn in_series(self, found_ms: i64) -> Self {
        match self {
            Self::Early { .. } => Self::EarlySeries { found_ms },
            Self::Future { ahead_seconds, allowed_seconds, .. } => {
                Self::FutureSeries { found_ms, ahead_seconds, allowed_seconds }
            }
            error => error,
        }
    }
}

/// Returns the line with its timestamp as a number: where the unit is a text, without its line break and in
/// microseconds.
///
/// # Errors
///
/// When the timestamp is not a text of RFC 3339, or a time before 1970.
pub fn with_number(line: &[u8], unit: TimeUnit) -> Result<Cow<'_, [u8]>, String> {
    if unit != TimeUnit::Rfc3339 {
        return Ok(Cow::Borrowed(line));
    }
    let mut converted = Vec::with_capacity(line.len());
    rfc3339::to_micros(line, &mut converted)?;
    Ok(Cow::Owned(converted))
}

/// The error of a line whose decoder takes its timestamp as microseconds, in the words of `unit`.
pub fn decoding_error(error: &line::LineError, unit: TimeUnit) -> String {
    let unit = unit.plural();
    match error {
        line::LineError::Wire(WireError::BadTimestamp { text, .. }) => {
            let remedy = match rfc3339::parse(text.trim_matches('"')) {
                Ok(_) => "write a number, or set http.time_unit (posted samples) or --time-unit (files) to `rfc3339`",
                Err(_) => "write a whole number since 1970",
            };
            format!("the timestamp {} is not {unit} in decimal digits; {remedy}", quoted(text))
        }
        line::LineError::Wire(WireError::MissingTimestamp { .. }) if unit != TimeUnit::Micros.plural() => {
            format!("the sample has no timestamp; add it in {unit}")
        }
        error => error.to_string(),
    }
}

/// Converts a timestamp to microseconds and checks it against the arrival, as the tables do. The other times are in
/// microseconds.
#[inline]
pub(crate) fn check(found: u64, unit: TimeUnit, arrived: u64, allowed_skew: u64) -> Result<u64, TimestampError> {
    let timestamp = unit.micros(found);
    if timestamp < EARLIEST {
        return Err(TimestampError::Early { found, unit });
    }
    if timestamp > arrived.saturating_add(allowed_skew).min(LATEST) {
        let ahead_seconds = timestamp.saturating_sub(arrived).div_ceil(1_000_000);
        let allowed_seconds = allowed_skew as f64 / 1e6;
        return Err(TimestampError::Future { found, unit, arrived, ahead_seconds, allowed_seconds });
    }
    Ok(timestamp)
}

/// Converts the timestamp of a series, in milliseconds since 1970, to microseconds.
///
/// # Errors
///
/// When it is before 2001.
pub fn of_series(found_ms: i64) -> Result<u64, TimestampError> {
    let timestamp = u64::try_from(found_ms).unwrap_or(0).saturating_mul(1000);
    if timestamp < EARLIEST { Err(TimestampError::EarlySeries { found_ms }) } else { Ok(timestamp) }
}

/// Converts the timestamp of a record without an arrival to microseconds, and checks that it is from 2001 up to 2100.
///
/// # Errors
///
/// When it is not.
#[inline]
pub fn check_recorded(found: u64, unit: TimeUnit) -> Result<u64, TimestampError> {
    match unit.micros(found) {
        ..EARLIEST => Err(TimestampError::Early { found, unit }),
        timestamp @ EARLIEST..PLAUSIBLE => Ok(timestamp),
        _ => Err(TimestampError::Late { found, unit }),
    }
}

/// The remedy, with the unit in which the timestamp would be of a plausible time if there is another one.
fn remedy(found: u64, unit: TimeUnit) -> String {
    let fits = |other: &TimeUnit| {
        let is_plausible = |micros: &u64| (EARLIEST..PLAUSIBLE).contains(micros);
        *other != unit && *other != TimeUnit::Rfc3339 && is_plausible(&other.micros(found))
    };
    match TimeUnit::ALL.iter().find(|other| fits(other)) {
        Some(other) => format!(
            "it looks like {}: write {}, or set http.time_unit (posted samples) or --time-unit (files) to `{other}`",
            other.plural(),
            unit.plural()
        ),
        None => format!("write {} since 1970", unit.plural()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_488_000_000_000_000;

    #[test]
    fn a_timestamp_in_another_unit_is_rejected_with_the_unit_that_fits() {
        let cases = [
            (1_488_000_000, TimeUnit::Micros, "before 2001-01-01 in microseconds; it looks like seconds", "to `s`"),
            (1_488_000_000_000, TimeUnit::Micros, "before 2001-01-01", "to `ms`"),
            (1_488_000_000_000_000_000, TimeUnit::Micros, "ahead of the arrival", "to `ns`"),
            (1_488_000_000_000, TimeUnit::Seconds, "ahead of the arrival", "looks like milliseconds: write seconds"),
            (1_488_000_000, TimeUnit::Nanos, "before 2001-01-01 in nanoseconds", "to `s`"),
            (1_488_000_000, TimeUnit::Micros, "before 2001", "http.time_unit (posted samples) or --time-unit (files)"),
            (7, TimeUnit::Micros, "before 2001-01-01", "write microseconds since 1970"),
            (u64::MAX, TimeUnit::Micros, "ahead of the arrival", "write microseconds since 1970, and check the clocks"),
            (978_307_199_999_999, TimeUnit::Micros, "before 2001-01-01", "write microseconds"),
        ];
        for (found, unit, what, remedy) in cases {
            let text = check(found, unit, NOW, 10_000_000).unwrap_err().to_string();
            assert!(text.contains(what) && text.contains(remedy), "{found} {unit}: {text}");
            let text = check_recorded(found, unit).unwrap_err().to_string();
            assert!(text.contains("2001-01-01") || text.contains("2100-01-01"), "{found} {unit}: {text}");
        }
    }

    #[test]
    fn each_unit_is_converted_to_microseconds() {
        for (found, unit) in [
            (1_488_000_000, TimeUnit::Seconds),
            (1_488_000_000_000, TimeUnit::Millis),
            (NOW, TimeUnit::Micros),
            (1_488_000_000_000_000_999, TimeUnit::Nanos),
        ] {
            assert_eq!(check(found, unit, NOW, 0), Ok(NOW), "{unit}");
            assert_eq!(check_recorded(found, unit), Ok(NOW), "{unit}");
        }
        assert_eq!(check(978_307_200_000_000, TimeUnit::Micros, NOW, 0), Ok(978_307_200_000_000));
    }

    #[test]
    fn a_unit_has_one_name() {
        for unit in TimeUnit::ALL {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
        assert!("seconds".parse::<TimeUnit>().unwrap_err().contains("write `s`, `ms`, `us`, `ns` or `rfc3339`"));
    }
}
