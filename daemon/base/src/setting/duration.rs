//! Durations as texts: one whole number and its unit, `500ms`, `30s`, `5m`, `12h`, `7d`, also `us`.
//!
//! One number and one unit is all that an operator writes here, so this is forty lines and not a dependency.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// Units with their length in microseconds.
const UNITS: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60 * 1_000_000),
    ("h", 3_600 * 1_000_000),
    ("d", 24 * 3_600 * 1_000_000),
];

/// Reads a duration. The error says what is expected.
pub fn parse(text: &str) -> Result<Duration, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, micros)| *micros);
    let micros = number.parse::<u64>().ok().zip(unit).and_then(|(number, unit)| number.checked_mul(unit));
    micros.map(Duration::from_micros).ok_or_else(|| {
        format!(
            "expected a duration such as \"500ms\" or \"30s\" (a whole number and us, ms, s, m, h or d), found {text:?}"
        )
    })
}

/// For `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The text of a duration in its largest whole unit.
pub fn print(duration: Duration) -> String {
    let micros = crate::clock::micros(duration);
    let whole = UNITS.iter().rev().find(|(_, unit)| micros.is_multiple_of(*unit) && (micros > 0 || *unit == 1_000_000));
    whole.map_or_else(|| format!("{micros}us"), |(name, unit)| format!("{}{name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_one_unit_make_a_duration() {
        for (text, micros) in [
            ("0s", 0),
            ("1us", 1),
            ("500ms", 500_000),
            ("30s", 30_000_000),
            ("2m", 120_000_000),
            ("1d", 86_400_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_micros(micros)), "{text}");
            assert_eq!(print(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "30", "s", "1.5s", "-1s", "1 s", "1m30s", "99999999999999999999s", "18446744073709551615d"] {
            assert!(parse(text).is_err(), "{text:?} was taken");
        }
    }
}
