//! A time in UTC, to the second, as RFC 3339 writes it.

const SECONDS_OF_DAY: u64 = 86_400;
/// Of the Gregorian calendar, which repeats after 400 years.
const DAYS_OF_ERA: u64 = 146_097;
/// From 1 March of year 0, where the count begins so that a leap day is the last of its year, to the epoch.
const DAYS_BEFORE_EPOCH: u64 = 719_468;

/// `2017-02-25T05:20:00Z`, from microseconds since the epoch.
///
/// The method is `civil_from_days` of <https://howardhinnant.github.io/date_algorithms.html>.
pub(super) fn utc(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    let (days, second) = (seconds / SECONDS_OF_DAY + DAYS_BEFORE_EPOCH, seconds % SECONDS_OF_DAY);
    let (era, day_of_era) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
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
            assert_eq!(utc(seconds * 1_000_000), text, "{seconds}");
        }
    }
}
