//! Values that must not make a detector blind.

use derived_stats::entry::{Argument, ArgumentKind, Entry, Role};
use derived_stats::{Context, DETECTOR_CALL, Spec, ValueType};

use crate::series::{Kind, Random, Series};
use crate::subject::{DAY, HOUR, START, Subject, WEEK, detectors, pairs};

/// The series was 0 for weeks. The first burst teaches nothing that hides a second one, three weeks later.
#[test]
fn a_burst_after_zeros_does_not_hide_a_later_one() {
    let mut failures = Vec::new();
    for entry in detectors() {
        for interval in [60, 300] {
            let (mut subject, mut random) = (Subject::new(entry, ""), Random(3));
            let mut start = START;
            for burst in 1..=3 {
                let end = start + 3 * WEEK;
                subject.run((start, end), interval, |_| 0.0);
                let values = (end..end + HOUR / 2).step_by(interval as usize);
                // Counted in values: the longest run of zeros may have raised an alarm just before.
                let alarms = values.filter(|seconds| subject.update(*seconds, 20.0 + random.poisson(30.0))).count();
                if alarms == 0 {
                    failures.push(format!("{} at {interval} s, burst {burst}", subject.name));
                }
                start = end + HOUR / 2;
            }
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// A counter that jumped, or a sum at the bound of its type. Two days later, among zeros within hours, the detector finds
/// anomalies as before.
#[test]
fn one_glitch_does_not_hide_later_anomalies() {
    let mut failures = Vec::new();
    let glitches = [(60, 1e5), (60, u64::MAX as f64), (300, 1e5), (300, -1e40), (60, 1e300)];
    let cases = [Kind::Level, Kind::AllZeros].into_iter().flat_map(|kind| glitches.map(|glitch| (kind, glitch)));
    for (entry, (kind, (interval, glitch))) in pairs(cases) {
        let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(kind, 5, interval));
        let end = START + 3 * WEEK;
        subject.run((START, end), interval, |seconds| series.value(seconds));
        subject.update(end, glitch);
        let later = end + if matches!(kind, Kind::AllZeros) { 6 * HOUR } else { 2 * DAY };
        subject.run((end + interval, later), interval, |seconds| series.value(seconds));
        let found = subject.until_alarm(later, interval);
        if found.is_none_or(|values| values > 8) {
            failures.push(format!("{}, {kind:?} at {interval} s after {glitch:e}: {found:?}", subject.name));
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// Some extreme values in a row are an incident. What the detector knows of the usual values outlives it.
#[test]
fn an_incident_does_not_hide_later_anomalies() {
    let mut failures = Vec::new();
    let cases = [60, 300].into_iter().flat_map(|interval| [1e4, 1e6, 1e12].map(|size| (interval, size)));
    for (entry, (interval, size)) in pairs(cases) {
        let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, interval));
        let incident = START + 3 * WEEK;
        let (recovered, later) = (incident + 4 * interval, incident + 10 * DAY);
        subject.run((START, incident), interval, |seconds| series.value(seconds));
        subject.run((incident, recovered), interval, |seconds| series.value(seconds) + size);
        subject.run((recovered, later), interval, |seconds| series.value(seconds));
        let found = subject.until_alarm(later, interval);
        if found.is_none_or(|values| values > 8) {
            failures.push(format!("{} at {interval} s after {size:e}: {found:?}", subject.name));
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// When the extreme values of an incident are forgotten, weeks later, the usual ones are not stranger than before: not in
/// bursts, as the 20 strangest of some weeks show.
#[test]
fn an_incident_that_is_forgotten_does_not_make_usual_values_strange() {
    let mut failures = Vec::new();
    let cases = [Kind::Level, Kind::Season].into_iter().flat_map(|kind| [1e4, 1e6, 1e12].map(|size| (kind, size)));
    for (entry, (kind, size)) in pairs(cases) {
        let (incident, end) = (START + 3 * WEEK, START + 8 * WEEK);
        let [usual, found] = [0.0, size].map(|size| {
            let (mut subject, mut series, mut late) = (Subject::new(entry, ""), Series::new(kind, 5, 60), Vec::new());
            for seconds in (START..end).step_by(60) {
                let is_extreme = (incident..incident + 4 * 60).contains(&seconds);
                subject.update(seconds, series.value(seconds) + if is_extreme { size } else { 0.0 });
                if seconds > incident + 3 * DAY {
                    late.push(subject.strangeness());
                }
            }
            late.sort_unstable_by(|one: &f64, other| other.total_cmp(one));
            late[20]
        });
        println!("{}, {kind:?} after {size:e}: {found}, {usual} without it", entry.name());
        if found > 1.15 * usual {
            failures.push(format!("{}, {kind:?} after {size:e}: {found} instead of {usual}", entry.name()));
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// `threshold=` removes the alarms of lower scores, and changes nothing that the detector learns.
#[test]
fn an_explicit_threshold_removes_alarms_and_changes_nothing_else() {
    let mut counts = (0, 0);
    for entry in detectors() {
        let Some(threshold) = entry.argument_list().iter().find(|argument| argument.name() == "threshold") else {
            continue;
        };
        let least: f64 = threshold.example().parse().unwrap();
        let (mut plain, mut limited) =
            (Subject::new(entry, ":alarms=20"), Subject::new(entry, &format!(":alarms=20:threshold={least}")));
        let (mut series, mut removed, mut left) = (Series::new(Kind::Zeros, 9, 300), 0, 0);
        for seconds in (START..START + 8 * WEEK).step_by(300) {
            let value = series.value(seconds);
            let is_alarm = plain.update(seconds, value);
            let expected = is_alarm && plain.number(Role::Score).abs() >= least;
            assert_eq!(limited.update(seconds, value), expected, "{} at {seconds}", limited.name);
            removed += u32::from(is_alarm && !expected);
            left += u32::from(expected);
        }
        println!("{}: {left} alarms left, {removed} removed", limited.name);
        counts = (counts.0 + left, counts.1 + removed);
    }
    assert!(counts.0 > 0 && counts.1 > 0, "{counts:?} alarms left and removed prove nothing");
}

/// The largest `threshold=` that is accepted is a score of some series, and a larger one is an error.
#[test]
fn each_threshold_that_is_accepted_can_be_reached() {
    // A flat line and its opposite, residuals of almost 0 and a huge value, and a value that grows for ever.
    let step = |last| (0..3000).map(move |n| if n < 2999 { 50.0 } else { last });
    let jump =
        |small: f64, large| (0..3000).map(move |n| if n < 2999 { small * f64::from(n * 7919 % 101) } else { large });
    let growth = (1..300_000).map(|n| f64::from(n).powi(10));
    let series: [Box<dyn Iterator<Item = f64>>; 4] =
        [Box::new(step(-50.0)), Box::new(jump(1e-155, 1e150)), Box::new(jump(1e-55, 1e37)), Box::new(growth)];
    let series = series.map(Iterator::collect::<Vec<_>>);
    for entry in detectors() {
        let argument = |name: &str| entry.argument_list().iter().find(|argument| argument.name() == name);
        let Some(ArgumentKind::Decimal { most, .. }) = argument("threshold").map(Argument::kind) else { continue };
        let span = argument("span").map_or("", |_| ":span=31536000");
        let score = |values: &Vec<f64>| {
            let mut subject = Subject::new(entry, span);
            let scored = (0..).zip(values).map(|(n, value)| {
                subject.update(START + 10 * n, *value);
                subject.number(Role::Score).abs()
            });
            scored.fold(0.0, f64::max)
        };
        let largest = series.iter().map(score).fold(0.0, f64::max);
        println!("{}: {largest}", entry.name());
        assert!(largest >= most, "{}: the largest score is {largest}, not {most}", entry.name());
        let written = |threshold: f64| format!("raw:{DETECTOR_CALL}:{}:threshold={threshold}", entry.name());
        let accepts = |threshold| Spec::parse(&written(threshold), Context::new(ValueType::F64)).is_ok();
        assert!(accepts(most) && !accepts(1.001 * most), "{}: {most}", entry.name());
    }
}

/// A gauge that never moved, and one value far away: it is not learned, and is an alarm all the same.
#[test]
fn one_glitch_on_a_series_that_never_moved_is_an_alarm() {
    let mut failures = Vec::new();
    for entry in detectors() {
        for (interval, glitch) in [(60, 1000.0), (300, 1e19), (60, u64::MAX as f64)] {
            let (mut subject, end) = (Subject::new(entry, ""), START + 3 * WEEK);
            subject.run((START, end), interval, |_| 100.0);
            if !subject.update(end, glitch) {
                failures.push(format!("{} at {interval} s, {glitch:e}", subject.name));
            }
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// The detectors with a season.
fn seasonal() -> impl Iterator<Item = &'static Entry> {
    let has_season = |entry: &&Entry| entry.argument_list().iter().any(|argument| argument.name() == "season");
    detectors().into_iter().filter(has_season)
}

/// A season of a day is learned with as few as four values a day.
#[test]
fn a_season_is_learned_at_every_interval_that_is_accepted() {
    let triangle = |seconds: u64| {
        let of_day = seconds % DAY;
        of_day.min(DAY - of_day) as f64 / 60.0
    };
    assert!(seasonal().next().is_some(), "the menu has a detector with a season");
    for entry in seasonal() {
        for interval in [HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR] {
            let (mut subject, end) = (Subject::new(entry, ""), START + 40 * DAY);
            let mut worst: f64 = 0.0;
            subject.run((START, end - DAY), interval, triangle);
            for seconds in (end - DAY..end).step_by(interval as usize) {
                subject.update(seconds, triangle(seconds));
                worst = worst.max((subject.number(Role::Expected) - triangle(seconds)).abs());
            }
            assert!(worst < 72.0, "{} at {interval} s: off by {worst} of a range of 720", subject.name);
        }
    }
}
