//! The expectations of a test, and how a result differs from them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::setting::duration;
use proxy_uve::schema::ProxyType;
use serde_json::{Map, Value};

use crate::commands::print::excerpt;
use crate::commands::test::EXCERPT;
use crate::commands::test::file::{Expected, TestCase};
use crate::commands::test::outcome::{Found, Outcome};
use crate::commands::test::series::stream_of;
use crate::config::Streams;

/// By how much two numbers that are not whole may differ, as a part of the larger one.
const TOLERANCE: f64 = 1e-9;

/// The most reasons and windows that a difference shows.
const MAX_SHOWN: usize = 5;

/// An expected result, with names and times as the results have them.
#[derive(Debug)]
pub(super) struct Expectation<'t> {
    pub stream: String,
    pub proxy_type: String,
    key: &'t str,
    /// The start of the test, and of the period.
    start: u64,
    at: u64,
    /// The length of a period.
    period: u64,
    /// `None` if there must be no result.
    data: Option<&'t toml::Table>,
}

/// The expected results of a test.
///
/// # Errors
///
/// When one names a stream or a type that the configuration does not have.
pub(super) fn resolve<'t>(case: &'t TestCase, start: u64, streams: &Streams) -> Result<Vec<Expectation<'t>>, String> {
    let resolved = case.results.iter().zip(1..).map(|(expected, number)| {
        let place = |reason| format!("result {number} ({} of {}): {reason}", expected.proxy_type, expected.key);
        resolve_one(case, expected, start, streams).map_err(place)
    });
    resolved.collect()
}

fn resolve_one<'t>(
    case: &TestCase,
    expected: &'t Expected,
    start: u64,
    streams: &Streams,
) -> Result<Expectation<'t>, String> {
    let stream = stream_of(expected.stream.as_deref(), streams)?;
    let entry = streams.proxies.entries().iter().find(|entry| entry.stream.to_string() == stream);
    let types: Vec<&ProxyType> = entry.iter().flat_map(|entry| &entry.types).map(Arc::as_ref).collect();
    let proxy_type = &expected.proxy_type;
    let Some(of) = types.iter().find(|of| of.name() == proxy_type) else {
        let names: Vec<_> = types.iter().map(|of| of.name()).collect();
        return Err(format!("{stream} has no proxy type `{proxy_type}`; it has {}", names.join(", ")));
    };
    if expected.none && !expected.data.is_empty() {
        return Err("`none = true` and `data` contradict each other; remove one".to_owned());
    }
    if !case.series.iter().any(|series| series.key == expected.key) {
        return Err("no series has this key".to_owned());
    }
    let (at, period) = (window_start(start, expected.at.0, of)?, period_of(of));
    let data = (!expected.none).then_some(&expected.data);
    Ok(Expectation { stream, proxy_type: proxy_type.clone(), key: &expected.key, start, at, period, data })
}

/// The start of the window of a proxy type that begins so many microseconds after the start of the test.
///
/// # Errors
///
/// When none begins then: the nearest ones.
pub(super) fn window_start(start: u64, at: i64, of: &ProxyType) -> Result<u64, String> {
    let at = start.saturating_add_signed(at);
    let period = period_of(of);
    if at.is_multiple_of(period) {
        return Ok(at);
    }
    let before = (at - at % period) as i64 - start as i64;
    let [before, after] = [before, before + period as i64].map(signed);
    Err(format!("no window of the type begins at this `at`; the nearest ones do at {before} and {after}"))
}

/// The period of a proxy type, in microseconds; 1 for results of single samples.
fn period_of(of: &ProxyType) -> u64 {
    of.period_seconds().map_or(1, |seconds| u64::from(seconds) * 1_000_000)
}

/// A span of microseconds as a test file has it.
pub(super) fn signed(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    format!("{sign}{}", duration::print(Duration::from_micros(micros.unsigned_abs())))
}

impl Expectation<'_> {
    /// Whether a result is expected, and not that there is none.
    pub(super) fn is_of_result(&self) -> bool {
        self.data.is_some()
    }

    /// How the results differ from this expectation; `None` if they do not.
    pub(super) fn difference(&self, results: &[Found]) -> Option<String> {
        let uve = format!("{}-{}", self.proxy_type, self.stream);
        let of_object: Vec<_> = results.iter().filter(|found| found.key == self.key && found.uve == uve).collect();
        let differences = match (self.data, self.found(&of_object)) {
            (None, None) => Vec::new(),
            (None, Some(found)) => vec![format!("expected no result, found {found}")],
            (Some(data), Some(found)) => fields(data, &found),
            (Some(_), None) => vec![format!("there is no such result; {}", self.windows(&of_object))],
        };
        (!differences.is_empty()).then(|| {
            let (proxy_type, key) = (&self.proxy_type, excerpt(self.key, EXCERPT));
            let head = format!("{proxy_type} of {key}, window at {}:", self.after_start(self.at));
            [head].into_iter().chain(differences.iter().map(|it| format!("  {it}"))).collect::<Vec<_>>().join("\n")
        })
    }

    /// The results of the period together: attributes over several periods have a row of their own.
    fn found(&self, results: &[&Found]) -> Option<Value> {
        let of_period = results.iter().filter(|found| self.period_of(found) == self.at);
        let mut all = of_period.map(|found| found.data.clone());
        let mut first = all.next()?;
        for other in all {
            if let (Value::Object(first), Value::Object(other)) = (&mut first, other) {
                other.into_iter().for_each(|(name, value)| _ = first.entry(name).or_insert(value));
            }
        }
        Some(first)
    }

    /// The start of the last period of a result; of an inline result, its time.
    fn period_of(&self, found: &Found) -> u64 {
        if found.start == found.end { found.start } else { found.end.saturating_sub(self.period) }
    }

    /// The windows of the object that have results.
    fn windows(&self, results: &[&Found]) -> String {
        if results.is_empty() {
            return "the object has none of this type".to_owned();
        }
        let mut starts: Vec<_> = results.iter().map(|found| self.period_of(found)).collect();
        starts.dedup();
        let shown = starts.iter().take(MAX_SHOWN).map(|start| self.after_start(*start));
        let more = if starts.len() > MAX_SHOWN { ", …" } else { "" };
        format!("its windows with results: {}{more}", shown.collect::<Vec<_>>().join(", "))
    }

    fn after_start(&self, time: u64) -> String {
        signed(time as i64 - self.start as i64)
    }
}

/// The fields that differ; those that are not expected do not count.
fn fields(expected: &toml::Table, found: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for (name, value) in expected {
        compare(name, value, &found[name], &mut differences);
    }
    if let Value::Object(found) = found {
        name_fields(expected, found, "the result", &mut differences);
    }
    differences
}

/// Adds what an object has, if it lacks a field that is expected: the name may be wrong.
fn name_fields(expected: &toml::Table, fields: &Map<String, Value>, of: &str, differences: &mut Vec<String>) {
    if expected.keys().any(|name| !fields.contains_key(name)) {
        let names: Vec<_> = fields.keys().map(String::as_str).collect();
        differences.push(format!("{of} has the fields {}", excerpt(&names.join(", "), EXCERPT)));
    }
}

fn compare(path: &str, expected: &toml::Value, found: &Value, differences: &mut Vec<String>) {
    if let (toml::Value::Table(expected), Value::Object(found)) = (expected, found) {
        for (name, value) in expected {
            compare(&format!("{path}.{name}"), value, found.get(name).unwrap_or(&Value::Null), differences);
        }
        name_fields(expected, found, path, differences);
        return;
    }
    if !is_met(expected, found) {
        let found = if found.is_null() { "none".to_owned() } else { excerpt(&found.to_string(), EXCERPT) };
        differences.push(format!("{path}: expected {expected}, found {found}"));
    }
}

fn is_met(expected: &toml::Value, found: &Value) -> bool {
    match expected {
        toml::Value::Integer(expected) => match found.as_i64() {
            Some(found) => found == *expected,
            None => found.as_f64().is_some_and(|found| is_near(found, *expected as f64)),
        },
        toml::Value::Float(expected) => found.as_f64().is_some_and(|found| is_near(found, *expected)),
        toml::Value::Boolean(expected) => found.as_bool() == Some(*expected),
        toml::Value::String(expected) => is_text_met(expected, found),
        toml::Value::Array(expected) => found.as_array().is_some_and(|found| {
            expected.len() == found.len() && expected.iter().zip(found).all(|(expected, found)| is_met(expected, found))
        }),
        toml::Value::Table(expected) => found.is_object() && fields(expected, found).is_empty(),
        toml::Value::Datetime(_) => false,
    }
}

/// A text is one to be equal to, a bound such as `> 2.5`, or a number beyond the integers of TOML.
fn is_text_met(expected: &str, found: &Value) -> bool {
    let bound = [">=", "<=", ">", "<"].iter().find_map(|sign| Some((*sign, expected.strip_prefix(sign)?.trim())));
    match (bound, found) {
        (Some((sign, bound)), Value::Number(number)) => match (number.as_f64(), bound.parse::<f64>()) {
            (Some(found), Ok(bound)) => holds(sign, found, bound),
            _ => false,
        },
        (None, Value::Number(number)) => number.to_string() == expected,
        (_, found) => found.as_str() == Some(expected),
    }
}

fn holds(sign: &str, found: f64, bound: f64) -> bool {
    match sign {
        ">=" => found >= bound,
        "<=" => found <= bound,
        ">" => found > bound,
        _ => found < bound,
    }
}

fn is_near(found: f64, expected: f64) -> bool {
    expected.is_finite() && (found - expected).abs() <= TOLERANCE * found.abs().max(expected.abs())
}

/// How the samples that were not aggregated differ from the expected ones.
///
/// # Errors
///
/// When there is no such outcome.
pub(super) fn drops(expected: &BTreeMap<String, u64>, outcome: &Outcome) -> Result<Vec<String>, String> {
    if let Some(unknown) = expected.keys().find(|name| outcome.dropped(name).is_none()) {
        let known: Vec<_> = Outcome::names().collect();
        return Err(format!("`drops`: there is no outcome `{unknown}`; there are {}", known.join(", ")));
    }
    let differs = |name: &'static str| {
        let (expected, found) = (expected.get(name).copied().unwrap_or(0), outcome.dropped(name).unwrap_or(0));
        (expected != found).then(|| format!("drops.{name}: expected {expected}, found {found}"))
    };
    let mut differences: Vec<String> = Outcome::names().filter_map(differs).collect();
    if differences.iter().any(|difference| difference.starts_with("drops.rejected")) {
        let reasons = outcome.rejected.iter().take(MAX_SHOWN);
        differences.extend(reasons.map(|reason| format!("  rejected: {}", excerpt(reason, EXCERPT))));
    }
    Ok(differences)
}
