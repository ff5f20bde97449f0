//! The expected alarms of a test, and how those of the configuration differ from them.

use std::collections::BTreeMap;
use std::time::Duration;

use daemon_alarms::row::UVE;
use daemon_base::setting::duration;
use derived_stats::annotation::nearest;
use serde_json::Value;

use crate::commands::test::file::{AlarmState, ExpectedAlarm, TestCase};
use crate::commands::test::outcome::Found;
use crate::config::Streams;

/// Checks that each expected alarm names a rule of the configuration.
///
/// # Errors
///
/// The first one that does not.
pub(super) fn check(case: &TestCase, streams: &Streams) -> Result<(), String> {
    let names = || streams.alarms.iter().map(|rule| rule.name.as_str());
    for (expected, number) in case.alarms.iter().zip(1..) {
        let rule = &expected.rule;
        if !names().any(|name| name == rule) {
            let meant = nearest(rule, names()).map(|name| format!("; did you mean {name:?}?"));
            let remedy = meant.unwrap_or_else(|| "; add it to [[alarms]] of the configuration".to_owned());
            return Err(format!("alarm {number}: no rule has the name {rule:?}{remedy}"));
        }
    }
    Ok(())
}

/// What differs from the expected alarms.
pub(super) fn differences(case: &TestCase, start: u64, results: &[Found]) -> Vec<String> {
    case.alarms.iter().filter_map(|expected| difference(expected, start, results)).collect()
}

fn difference(expected: &ExpectedAlarm, start: u64, results: &[Found]) -> Option<String> {
    let at = start.saturating_add_signed(expected.at.0);
    let rows = results.iter().filter(|row| row.uve == UVE && row.key == expected.key);
    let has = |row: &Found, list: &str| {
        row.data[list].as_array().is_some_and(|alarms| alarms.iter().any(|alarm| is_of(alarm, &expected.rule)))
    };
    let found = current(rows, at).into_iter().fold(AlarmState::Inactive, |found, row| {
        match (has(row, "alarms"), has(row, "pending")) {
            (true, _) => AlarmState::Firing,
            (false, true) if found == AlarmState::Inactive => AlarmState::Pending,
            _ => found,
        }
    });
    (found != expected.state).then(|| {
        let offset = Duration::from_micros(expected.at.0.unsigned_abs());
        let sign = if expected.at.0 < 0 { "-" } else { "" };
        format!(
            "alarm {:?} of {}, window at {sign}{}:\n  expected {}, found {}",
            expected.rule,
            expected.key,
            duration::print(offset),
            name(expected.state),
            name(found),
        )
    })
}

/// The rows of an object with its alarms in the window at `at`: of each stream those of the window, or the newest one
/// before it, as a row comes only if something changes.
fn current<'f>(rows: impl Iterator<Item = &'f Found>, at: u64) -> Vec<&'f Found> {
    let mut newest: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for row in rows.filter(|row| row.start == at || row.end <= at) {
        let of_stream = newest.entry(row.data["proxy"].as_str().unwrap_or_default()).or_default();
        of_stream.retain(|before| before.start == at && row.start == at);
        of_stream.push(row);
    }
    newest.into_values().flatten().collect()
}

fn is_of(alarm: &Value, rule: &str) -> bool {
    alarm["type"].as_str() == Some(rule)
}

fn name(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Firing => "firing",
        AlarmState::Inactive => "inactive",
        AlarmState::Pending => "pending",
    }
}
