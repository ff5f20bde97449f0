//! Events that operators have, and anomalies.

use derived_stats::{Number, OVERFLOW, Pipeline, Silence, menu};

use crate::series::{KINDS, Kind, Series};
use crate::subject::{DAY, HOUR, START, Subject, WEEK, detectors};

/// An anomaly of a clean series that every detector finds.
#[test]
fn a_large_deviation_raises_an_alarm_at_once() {
    for entry in detectors() {
        for interval in [60, 300] {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 5, interval));
            let end = START + 3 * WEEK;
            subject.run((START, end), interval, |seconds| series.value(seconds));
            // Two hours of 15 deviations.
            let mut found = None;
            for seconds in (end..end + 2 * HOUR).step_by(interval as usize) {
                if subject.update(seconds, 250.0) {
                    found = found.or(Some((seconds - end) / interval + 1));
                }
            }
            assert!(found.is_some_and(|values| values <= 8), "{} at {interval} s: {found:?}", subject.name);
        }
    }
}

/// Nobody sampled for two days. The values after it are as before: the gap itself is not an anomaly.
#[test]
fn missing_periods_raise_no_alarm() {
    for entry in detectors() {
        for kind in KINDS {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(kind, 11, 60));
            let (gap, back) = (START + 3 * WEEK, START + 3 * WEEK + 2 * DAY);
            subject.run((START, gap), 60, |seconds| series.value(seconds));
            subject.run((back, back + WEEK), 60, |seconds| series.value(seconds));
            let after = subject.alarms_in((back, back + DAY));
            assert!(after <= 2, "{}, {kind:?}: {after} alarms on the day after the gap", subject.name);
        }
    }
}

#[test]
fn a_flat_line_that_moves_once_raises_one_alarm() {
    let mut failures = Vec::new();
    for entry in detectors() {
        let moves =
            [(36.0, 50.0), (0.0, 50.0), (0.0, 1e9), (0.0, 1e-3), (48.0, 0.0), (1.0, 0.0), (-1e6, 0.0), (9.0, 5.0)];
        for (flat, level) in moves {
            let (mut subject, moved) = (Subject::new(entry, ""), START + 3 * WEEK);
            subject.run((START, moved), 60, |_| flat);
            assert!(subject.alarms.is_empty(), "{}: a flat line", subject.name);
            subject.run((moved, moved + 2 * DAY), 60, |_| level);
            let early = subject.alarm_values;
            subject.run((moved + 2 * DAY, moved + WEEK), 60, |_| level);
            let (first, late) = (subject.alarms.first(), subject.alarms_in((moved + 2 * DAY, moved + WEEK)));
            let values = subject.alarm_values - early;
            println!("{}, {flat} to {level}: {late} alarms from the third day on, {values} values", subject.name);
            // An object that never moved before has no tail to learn a threshold from, so there are some more than by
            // chance.
            if first != Some(&moved) || late > 5 || values > 60 {
                failures.push(format!("{}, {flat} to {level}: {first:?}, {late} with {values} values", subject.name));
            }
        }
    }
    assert_eq!(failures, [""; 0]);
}

/// A deploy shifts the level by eight deviations. That raises an alarm within an hour, and from the third day on the
/// alarms are those of chance again.
#[test]
fn a_deploy_that_shifts_the_level_is_reported_and_then_usual() {
    for entry in detectors() {
        for interval in [60, 300] {
            let (mut subject, mut series) = (Subject::new(entry, ""), Series::new(Kind::Level, 2, interval));
            let deploy = START + 4 * WEEK;
            subject.run((START, deploy), interval, |seconds| series.value(seconds));
            subject.run((deploy, deploy + 2 * WEEK), interval, |seconds| series.value(seconds) + 80.0);
            let name = format!("{} at {interval} s", subject.name);
            assert!(subject.alarms_in((deploy, deploy + HOUR)) > 0, "{name}: no alarm");
            let late = subject.alarms_in((deploy + 3 * DAY, deploy + 2 * WEEK));
            assert!(late <= 4, "{name}: {late} alarms from the third day on");
        }
    }
}

#[test]
fn an_overflow_is_flagged_and_the_detector_goes_on() {
    for entry in menu().iter().filter(|entry| detectors().contains(entry)) {
        let text = format!("1.DSSum-raw:DSAnomaly:{}:warmup=0", entry.name());
        let mut pipeline = Pipeline::parse(&text).unwrap().with_silence(Silence::Skip);
        let mut errors = Vec::new();
        for minute in 0..100u64 {
            let at = minute * 60_000_000;
            pipeline.update(at, Number::U64(if minute == 50 { u64::MAX } else { 30 })).unwrap();
            pipeline.update(at, Number::U64(6)).unwrap();
            let report = pipeline.close_period(at).unwrap();
            let output = report.any().unwrap();
            if let Some(error) = output.error() {
                errors.push((minute, error));
            }
            let numbers = (0..output.record().len()).filter_map(|index| output.record().get(index));
            assert!(numbers.into_iter().all(|number| number.as_f64().is_finite()), "{text}: {output:?}");
        }
        assert_eq!(errors, [(50, OVERFLOW)], "{text}");
    }
}

/// A silent period changes nothing: silence is not 0, and the caller decides whether it counts as 0.
#[test]
fn silence_is_not_zero() {
    for entry in detectors() {
        let text = format!("1.DSSum-raw:DSAnomaly:{}:warmup=0", entry.name());
        let mut pipeline = Pipeline::parse(&text).unwrap().with_silence(Silence::Skip);
        for minute in 0..200u64 {
            pipeline.update(minute * 60_000_000, Number::U64(100 + minute % 7)).unwrap();
            pipeline.close_period(minute * 60_000_000);
        }
        let before = pipeline.save();
        assert!(pipeline.close_period(201 * 60_000_000).is_none(), "{text}");
        let words = |saved: &derived_stats::SavedState| saved.words.clone();
        // The flag that the newest period had samples, and the number of periods, are not the detector's.
        let changed = words(&before).iter().zip(words(&pipeline.save())).filter(|(old, new)| *old != new).count();
        assert!(changed <= 2, "{text}: {changed} words changed");
    }
}
