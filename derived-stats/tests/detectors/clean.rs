//! Series without anomalies.

use derived_stats::entry::Role;

use crate::series::{KINDS, Kind, Series};
use crate::subject::{DAY, START, Subject, WEEK, detectors, pairs};

const WEEKS: u64 = 12;
const SEEDS: u64 = 3;

/// The alarms of all seeds together, of `kind` with a value every `interval` seconds.
fn alarms(options: &str, kind: Kind, interval: u64) -> Vec<(String, usize)> {
    let count = |entry| {
        let mut count = 0;
        for seed in 0..SEEDS {
            let (mut subject, mut series) = (Subject::new(entry, options), Series::new(kind, seed, interval));
            subject.run((START, START + WEEKS * WEEK), interval, |seconds| series.value(seconds));
            count += subject.alarms.len();
        }
        (Subject::new(entry, options).name, count)
    };
    detectors().into_iter().map(count).collect()
}

/// The false alarms are within a factor of two of the request, whatever the distribution and the interval are.
#[test]
fn the_number_of_false_alarms_is_the_requested_one() {
    for (options, per_week, kinds) in [("", 1.0, &KINDS[..]), (":alarms=5", 5.0, &[Kind::Level, Kind::Zeros])] {
        for &kind in kinds {
            for interval in [60, 300] {
                for (name, count) in alarms(options, kind, interval) {
                    let found = count as f64 / (WEEKS * SEEDS) as f64;
                    println!("{name}, {kind:?} every {interval} s: {found:.2} alarms a week");
                    let is_near = found >= 0.5 * per_week && found <= 2.0 * per_week;
                    assert!(is_near, "{name}, {kind:?} every {interval} s: {found:.2} alarms a week, not {per_week}");
                }
            }
        }
    }
}

/// An alarm that never ends is one event, however many values it has. So values are counted here, at intervals around the
/// hour that separates two events.
#[test]
fn alarms_end_at_every_interval() {
    let mut failures = Vec::new();
    let rare = [300, 900, 1800, 3540, 3600, 3660, 7200, 21_600].map(|interval| ("", interval, 8, &KINDS[..]));
    // Where the strangeness of CUSUM lasts for hours, there are not so many separate events.
    let often = [60, 300, 3600].map(|interval| (":alarms=84", interval, 200, &[Kind::Level, Kind::Counts][..]));
    for (entry, (options, interval, most, kinds)) in pairs(rare.into_iter().chain(often)) {
        for &kind in kinds {
            let (mut subject, mut series) = (Subject::new(entry, options), Series::new(kind, 5, interval));
            subject.run((START, START + WEEKS * WEEK), interval, |seconds| series.value(seconds));
            let (values, name) = (subject.alarm_values, &subject.name);
            println!("{name}, {kind:?} every {interval} s: {values} values with an alarm in {WEEKS} weeks");
            if values > most * WEEKS {
                failures.push(format!("{name}, {kind:?} every {interval} s: {values} values with an alarm"));
            }
        }
    }
    assert_eq!(failures, [""; 0]);
}

#[test]
fn the_warm_up_is_not_ready_and_has_no_alarm() {
    for entry in detectors() {
        let (mut subject, mut series) = (Subject::new(entry, ":warmup=7200"), Series::new(Kind::Level, 1, 60));
        subject.run((START, START + 7200), 60, |seconds| if seconds % 1800 == 0 { 1e6 } else { series.value(seconds) });
        assert_eq!((subject.report().name(), &*subject.alarms), ("not_ready", &[][..]), "{}", subject.name);
        subject.update(START + 7200, 100.0);
        assert_eq!(subject.report().name(), "ok", "{}", subject.name);
    }
}

/// After a year and a week of minutes, the expected value and the rate of alarms are those of the start.
#[test]
fn a_year_of_minutes_changes_nothing() {
    for entry in detectors() {
        let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Season, 7, 60));
        let (last_quarter, end) = (START + 40 * WEEK, START + 53 * WEEK);
        subject.run((START, end), 60, |seconds| series.value(seconds));
        let late = subject.alarms_in((last_quarter, end));
        assert!((5..=26).contains(&late), "{}: {late} alarms in 13 weeks", subject.name);
        let [low, expected, high] = [Role::Low, Role::Expected, Role::High].map(|role| subject.number(role));
        assert!(low < expected && expected < high, "{}: {expected} is not in {low}..{high}", subject.name);
        // The season is 100 to 300. A band without seasons is three deviations on each side; that of MAD is the widest,
        // 6 * 1.4826 * 70.7, because the median distance from the mean of a sine is 0.707 of its amplitude.
        assert!((90.0..310.0).contains(&expected) && high - low < 640.0, "{}: {low}..{high}", subject.name);
    }
}

/// A series of 60 s and one of 300 s with the same values per day have the same expected values.
#[test]
fn the_interval_does_not_change_what_is_expected() {
    for entry in detectors() {
        let expected = [60, 300].map(|interval| {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Season, 3, interval));
            subject.run((START, START + 15 * DAY + DAY / 4), interval, |seconds| series.value(seconds));
            subject.number(Role::Expected)
        });
        let [by_minute, by_five] = expected;
        assert!((by_minute - by_five).abs() < 30.0, "{}: {by_minute} and {by_five}", entry.name());
    }
}
