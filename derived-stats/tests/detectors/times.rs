//! Times that must not make a detector blind.

use derived_stats::entry::Role;

use crate::series::{Kind, Series};
use crate::subject::{DAY, HOUR, START, Subject, WEEK, detectors, pairs};

/// One old record with a strange value teaches the threshold nothing: its time looks like a warm-up.
#[test]
fn one_time_in_the_past_does_not_hide_later_anomalies() {
    let mut failures = Vec::new();
    for entry in detectors() {
        let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, 60));
        let end = START + 3 * WEEK;
        subject.run((START, end), 60, |seconds| series.value(seconds));
        subject.update(0, 0.0);
        let later = end + 2 * DAY;
        subject.run((end + 60, later), 60, |seconds| series.value(seconds));
        let found = subject.until_alarm(later, 60);
        if found.is_none_or(|values| values > 8) {
            failures.push(format!("{}: {found:?}", subject.name));
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// A sender with a wrong clock: one value of the year 2100. The season and the times of alarms recover from it.
#[test]
fn one_time_in_the_far_future_does_not_stop_a_detector() {
    for entry in detectors() {
        for at in [START, START + 2 * WEEK] {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, 60));
            let end = START + 3 * WEEK;
            let wrong = |seconds| if seconds == at { 4_102_444_800 } else { seconds };
            for seconds in (START..end).step_by(60) {
                subject.update(wrong(seconds), series.value(seconds));
            }
            let name = format!("{} with a wrong time at {at}", subject.name);
            assert_eq!(subject.report().name(), "ok", "{name}");
            let found = subject.until_alarm(end, 60);
            assert!(found.is_some_and(|values| values <= 8), "{name}: {found:?}");
        }
    }
}

/// A time of one value that is wrong, in either direction. The next values are expected and scored as before.
#[test]
fn one_wrong_time_changes_nothing_that_is_expected() {
    let mut failures = Vec::new();
    let end = START + 3 * WEEK;
    let wrong = [0, end - 9 * DAY, end - 2 * DAY, end + 2 * DAY, end + 9 * DAY, 4_102_444_800];
    for (entry, wrong) in pairs(wrong.into_iter()) {
        let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, 60));
        subject.run((START, end), 60, |seconds| series.value(seconds));
        subject.update(wrong, 105.0);
        let back = end + 5 * 60;
        subject.run((end + 60, back), 60, |seconds| series.value(seconds));
        let expected = subject.number(Role::Expected);
        let found = subject.until_alarm(back, 60);
        if !(95.0..105.0).contains(&expected) || found.is_none_or(|values| values > 8) {
            failures.push(format!("{} after {wrong}: {expected} expected, {found:?}", subject.name));
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// The expected value and the width of the band.
fn band(subject: &Subject) -> [f64; 2] {
    let [low, expected, high] = [Role::Low, Role::Expected, Role::High].map(|role| subject.number(role));
    [expected, high - low]
}

/// Whether a band is that of [`Kind::Level`], as a detector finds it among right times.
fn is_near([expected, width]: [f64; 2], [usual, usual_width]: [f64; 2]) -> bool {
    (expected - usual).abs() < 6.0 && width > 0.6 * usual_width && width < 1.6 * usual_width
}

/// Devices that boot without a clock, and a batch whose values all have the time of its arrival. After the warm-up the
/// detector is as it would be without them.
#[test]
fn wrong_first_times_do_not_change_what_is_learned() {
    let mut failures = Vec::new();
    let end = START + 3 * DAY;
    let first: [&[u64]; 5] = [&[0], &[0, 60, 120], &[0; 15], &[START - 400 * DAY], &[START; 500]];
    for (entry, first) in pairs(first.into_iter()) {
        let [usual, found] = [&[], first].map(|first| {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, 60));
            for seconds in first {
                subject.update(*seconds, series.value(*seconds));
            }
            subject.run((START + 60, end), 60, |seconds| series.value(seconds));
            band(&subject)
        });
        if !is_near(found, usual) {
            let (name, count, at) = (entry.name(), first.len(), first[0]);
            failures.push(format!("{name} after {count} times from {at}: {found:?} instead of {usual:?}"));
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// Two senders of one object, whose clocks are days apart. What is expected is as with one clock.
#[test]
fn two_clocks_do_not_change_what_is_learned() {
    let mut failures = Vec::new();
    for (entry, apart) in pairs([DAY + HOUR, 2 * DAY, 30 * DAY].into_iter()) {
        let [usual, found] = [0, apart].map(|apart| {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, 60));
            for seconds in (START..START + 2 * WEEK).step_by(60) {
                subject.update(seconds, series.value(seconds));
                subject.update(seconds + apart, series.value(seconds));
            }
            band(&subject)
        });
        if !is_near(found, usual) {
            failures.push(format!("{}, {apart} s apart: {found:?} instead of {usual:?}", entry.name()));
        }
    }
    assert_eq!(failures, [""; 0]);
}
