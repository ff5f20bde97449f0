//! The expected alarms of a test, and how those of the configuration differ from them.

use std::collections::BTreeMap;

use daemon_alarms::Rule;
use daemon_alarms::row::UVE;
use derived_stats::annotation::nearest;
use proxy_uve::schema::ProxyType;
use serde_json::Value;

use crate::commands::test::expect::{signed, window_start};
use crate::commands::test::file::{AlarmState, ExpectedAlarm, TestCase};
use crate::commands::test::outcome::{Found, Outcome};
use crate::config::Streams;

/// Checks that each expected alarm can exist: its rule is one of the configuration and is for the object, the object
/// has samples, and a window of the rule begins at its time.
///
/// # Errors
///
/// The first one that cannot.
pub(super) fn check(case: &TestCase, start: u64, streams: &Streams) -> Result<(), String> {
    for (expected, number) in case.alarms.iter().zip(1..) {
        check_one(expected, case, start, streams).map_err(|reason| format!("alarm {number}: {reason}"))?;
    }
    Ok(())
}

fn check_one(expected: &ExpectedAlarm, case: &TestCase, start: u64, streams: &Streams) -> Result<(), String> {
    let ExpectedAlarm { rule: name, key, at, .. } = expected;
    let names = || streams.alarms.iter().map(|rule| rule.name.as_str());
    let Some(rule) = streams.alarms.iter().find(|rule| rule.name == *name) else {
        let meant = nearest(name, names()).map(|name| format!("; did you mean {name:?}?"));
        let remedy = meant.unwrap_or_else(|| "; add it to [[alarms]] of the configuration".to_owned());
        return Err(format!("no rule has the name {name:?}{remedy}"));
    };
    if !case.series.iter().any(|series| series.key == *key) {
        return Err(format!("no series has the key {key:?}; name the key of one, `table:name`"));
    }
    if !rule.is_for(key) {
        return Err(format!("the rule {name:?} is not for {key}; its patterns are {}", rule.keys.join(", ")));
    }
    let of_rule = types(rule, streams).map(|(_, of)| window_start(start, at.0, of));
    // A rule over streams with other periods has the windows of each.
    let starts: Vec<_> = of_rule.collect();
    match starts.iter().any(Result::is_ok) {
        true => Ok(()),
        false => starts.into_iter().find_map(Result::err).map_or(Ok(()), Err),
    }
}

/// The proxy types whose results a rule is evaluated with, each with its stream.
fn types<'s>(rule: &'s Rule, streams: &'s Streams) -> impl Iterator<Item = (String, &'s ProxyType)> {
    streams.proxies.entries().iter().flat_map(|entry| {
        let stream = entry.stream.to_string();
        let names = || entry.types.iter().map(|of| of.name());
        let of_rule = entry.types.iter().filter(|of| rule.is_about(of.name(), names(), &stream));
        of_rule.map(|of| (stream.clone(), &**of)).collect::<Vec<_>>()
    })
}

/// What differs from the expected alarms.
///
/// # Errors
///
/// When the window of one does not close with the samples of the test.
pub(super) fn differences(
    case: &TestCase,
    start: u64,
    streams: &Streams,
    outcome: &Outcome,
) -> Result<Vec<String>, String> {
    for (expected, number) in case.alarms.iter().zip(1..) {
        let Some(rule) = streams.alarms.iter().find(|rule| rule.name == expected.rule) else { continue };
        let at = start.saturating_add_signed(expected.at.0);
        let until = types(rule, streams).filter_map(|(stream, _)| outcome.closed_until.get(&stream)).max();
        let until = until.copied().unwrap_or(start);
        if at >= until {
            let [at, until] = [expected.at.0, until as i64 - start as i64].map(signed);
            return Err(format!(
                "alarm {number}: the window at {at} does not close, as event time ends at {until}; add samples of \
                 another object of the stream up to there"
            ));
        }
    }
    Ok(case.alarms.iter().filter_map(|expected| difference(expected, start, &outcome.results)).collect())
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
        format!(
            "alarm {:?} of {}, window at {}:\n  expected {}, found {}",
            expected.rule,
            expected.key,
            signed(expected.at.0),
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
