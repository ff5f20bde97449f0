//! The form of a test file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use daemon_base::clock::micros;
use daemon_base::setting::{duration, file};
use serde::Deserialize;

/// The time of the first sample, if a test gives none: 2026-01-01T00:00:00Z, the start of a window of any length that
/// divides a day.
const START: &str = "2026-01-01T00:00:00Z";

/// A file of tests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestFile {
    /// The configuration, relative to the file; without it that of the defaults.
    pub config: Option<PathBuf>,
    /// Files with further proxy types, relative to the file; in place of those of the configuration.
    #[serde(default)]
    pub schema_files: Vec<PathBuf>,
    /// Single settings, as those of `--set`.
    #[serde(default)]
    pub set: Vec<String>,
    pub tests: Vec<TestCase>,
}

/// One test.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TestCase {
    pub name: String,
    /// RFC 3339.
    start: Option<String>,
    pub series: Vec<Series>,
    #[serde(default)]
    pub results: Vec<Expected>,
    #[serde(default)]
    pub alarms: Vec<ExpectedAlarm>,
    /// Samples that are not aggregated, by outcome; all others are 0.
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
}

/// Samples of one object, or of one source of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    /// `Struct-attribute`; only where several streams are configured.
    pub stream: Option<String>,
    /// `table:name`.
    pub key: String,
    pub source: Option<String>,
    /// The values, in the notation of `promtool test rules`.
    pub values: String,
    /// The time of the first value after the start of the test.
    #[serde(default)]
    pub from: Span,
    /// The time between two values.
    #[serde(default = "minute")]
    pub every: Span,
    /// From the time of a sample to its arrival; negative for a sender whose clock is ahead.
    #[serde(default)]
    pub delay: SignedSpan,
}

/// An expected result, or that there is none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expected {
    pub stream: Option<String>,
    pub key: String,
    #[serde(rename = "type")]
    pub proxy_type: String,
    /// The start of the window after the start of the test; negative for a window that began before it.
    pub at: SignedSpan,
    /// The fields that are compared; others may be there.
    #[serde(default)]
    pub data: toml::Table,
    #[serde(default)]
    pub none: bool,
}

/// An expected state of an alarm at the end of a window.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectedAlarm {
    pub rule: String,
    pub key: String,
    /// The start of the window after the start of the test.
    pub at: SignedSpan,
    pub state: AlarmState,
}

/// The state of an alarm.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum AlarmState {
    Firing,
    Inactive,
    Pending,
}

/// A duration in microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span(pub u64);

/// A duration in microseconds that may be negative.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SignedSpan(pub i64);

fn minute() -> Span {
    Span(60_000_000)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        duration::deserialize(deserializer).map(|duration| Self(micros(duration)))
    }
}

impl<'de> Deserialize<'de> for SignedSpan {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let found = toml::Value::deserialize(deserializer)?;
        let expected = || serde::de::Error::custom(format!("expected a duration such as \"5s\", found {found}"));
        let text = found.as_str().ok_or_else(expected)?;
        let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
        let length = duration::parse(length).map_err(serde::de::Error::custom)?;
        let length = i64::try_from(micros(length)).map_err(|_| serde::de::Error::custom("the duration is too long"))?;
        Ok(Self(sign * length))
    }
}

impl TestFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not of this form: a text with the place in the file.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = file::read_text(path).map_err(|error| format!("the file cannot be read: {error}"))?;
        let read: Self = toml::from_str(&text).map_err(|error| error.to_string().trim_end().to_owned())?;
        match read.tests.iter().find(|case| case.expects_nothing()) {
            Some(case) => Err(format!("test {:?} expects nothing; give it `results`, `alarms` or `drops`", case.name)),
            None if read.tests.is_empty() => Err("the file has no tests; write them as [[tests]]".to_owned()),
            None => Ok(read),
        }
    }
}

impl TestCase {
    fn expects_nothing(&self) -> bool {
        self.results.is_empty() && self.alarms.is_empty() && self.drops.is_empty()
    }

    /// The start in microseconds since the epoch.
    ///
    /// # Errors
    ///
    /// When it is not a time, or before 1970.
    pub(super) fn start(&self) -> Result<u64, String> {
        let text = self.start.as_deref().unwrap_or(START);
        let time: jiff::Timestamp = text
            .parse()
            .map_err(|error| format!("`start`: expected a time such as \"{START}\", found {text:?}: {error}"))?;
        u64::try_from(time.as_microsecond()).map_err(|_| format!("`start`: {text} is before 1970"))
    }
}
