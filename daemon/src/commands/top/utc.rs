//! Times in UTC, to the second, in the form of RFC 3339.

use jiff::Timestamp;

/// Returns the text of a time in microseconds since the epoch, such as `2017-02-25T05:20:00Z`. A time after the year 9999,
/// which the form cannot express, is shown in seconds.
pub(super) fn utc(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| format!("{seconds} s"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_488_000_000, "2017-02-25T05:20:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds * 1_000_000 + 999_999), text, "{seconds}");
        }
        assert_eq!(utc(u64::MAX), "18446744073709 s");
    }
}
