//! Samples in JSON of any shape: a configuration has the paths of key, time, value and source.
//!
//! A message is one JSON value (RFC 8259, <https://www.rfc-editor.org/rfc/rfc8259>), and one sample. A *path* leads to a
//! field: the names of the objects with `.` between them, such as `host.name`. An element of an array is named by its
//! number, from 0. A dot or a backslash of a name has a backslash before it: `k8s\.pod`.
//!
//! | field | what it may be |
//! |---|---|
//! | of the key, the source | a text, a number, `true` or `false` |
//! | the time | a number in the unit, with a fraction or not, or a text with one; with the unit `rfc3339` a text such as `"2017-02-25T05:20:00Z"` |
//! | the value | a number, or a text with one; `true` is 1 and `false` 0 |
//!
//! A `null` is as a field that is missing. Integers of 64 bits are exact.

mod selection;

use serde::Deserialize;
use serde_json::Value;

use crate::Integer;
use crate::series::shortened;

pub use self::selection::Selection;

/// The most bytes of a key or of a source.
const MAX_TEXT_BYTES: usize = 1_024;

/// The most steps of a path.
const MAX_STEPS: usize = 16;

/// A parsed message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message(Value);

impl Message {
    /// Parses a message. The cost is linear in its bytes.
    ///
    /// # Errors
    ///
    /// [`FieldError::NotJson`].
    pub fn parse(message: &[u8]) -> Result<Self, FieldError> {
        serde_json::from_slice(message).map(Self).map_err(|error| FieldError::NotJson { reason: error.to_string() })
    }
}

/// Where the fields of a sample are.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct FieldsConfig {
    /// The path of the name of the object, or several, whose values make it together. Required.
    pub key: OneOrMore,
    /// The path of the time. Required.
    pub time: String,
    /// The unit of the time. Default `"ms"`.
    pub time_unit: Unit,
    /// The path of the value. Required.
    pub value: String,
    /// The path of the source, by which the readings of several counters of an object are told apart. Default none.
    pub source: Option<String>,
}

/// A path, or a list of them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

/// The unit of a time.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Milliseconds since 1970.
    #[default]
    Ms,
    /// Nanoseconds since 1970.
    Ns,
    /// A text of RFC 3339.
    Rfc3339,
    /// Seconds since 1970.
    S,
    /// Microseconds since 1970.
    Us,
}

/// The compiled paths of the fields.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fields {
    key: Vec<Path>,
    time: Path,
    unit: Unit,
    value: Path,
    source: Option<Path>,
}

/// A sample of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The texts that make the name of the object, in the order of the configuration; none is empty.
    pub key: Vec<String>,
    /// In microseconds since 1970.
    pub time: u64,
    /// A finite number.
    pub value: f64,
    /// The integer that `value` has rounded.
    pub integer: Option<Integer>,
    /// The source, if a path of one is configured.
    pub source: Option<String>,
}

/// Why a message is not a sample.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// It is not JSON.
    #[error("the message is not JSON: {reason}")]
    NotJson {
        /// What was found where.
        reason: String,
    },
    /// A field is not there.
    #[error("the field `{path}` is missing; correct the path in `fields`, or the producer")]
    Missing {
        /// The path.
        path: String,
    },
    /// A field is something else.
    #[error("the field `{path}` is {found}, not {expected}")]
    Unexpected {
        /// The path.
        path: String,
        /// The beginning of what it is.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A text of the key or of the source is too long.
    #[error("the field `{path}` has {length} bytes, at most {MAX_TEXT_BYTES} are taken")]
    TooLong {
        /// The path.
        path: String,
        /// Its length.
        length: usize,
    },
}

/// The way to a field.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Path {
    text: String,
    steps: Vec<String>,
}

impl Path {
    fn parse(text: &str) -> Result<Self, String> {
        let (mut steps, mut step, mut characters) = (Vec::new(), String::new(), text.chars());
        while let Some(character) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some(escaped @ ('.' | '\\')) => step.push(escaped),
                    _ => return Err(format!("{text:?}: a backslash stands before `.` or a backslash only")),
                },
                '.' => steps.push(std::mem::take(&mut step)),
                other => step.push(other),
            }
        }
        steps.push(step);
        if steps.iter().any(String::is_empty) {
            return Err(format!(
                "{text:?} has an empty name; write names with `.` between them, such as \"host.name\""
            ));
        }
        if steps.len() > MAX_STEPS {
            return Err(format!("{text:?} has {} names, at most {MAX_STEPS} are taken", steps.len()));
        }
        Ok(Self { text: text.to_owned(), steps })
    }

    fn find<'m>(&self, message: &'m Value) -> Result<&'m Value, FieldError> {
        let found = self.steps.iter().try_fold(message, |at, step| match at {
            Value::Object(fields) => fields.get(step),
            Value::Array(elements) => elements.get(step.parse::<usize>().ok()?),
            _ => None,
        });
        let missing = || FieldError::Missing { path: self.text.clone() };
        found.filter(|value| !value.is_null()).ok_or_else(missing)
    }

    fn unexpected(&self, found: &Value, expected: &'static str) -> FieldError {
        FieldError::Unexpected { path: self.text.clone(), found: shortened(&found.to_string()), expected }
    }

    /// The field as a text that is not empty.
    fn text(&self, message: &Value) -> Result<String, FieldError> {
        let found = self.find(message)?;
        let text = match found {
            Value::String(text) if !text.is_empty() => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            other => return Err(self.unexpected(other, "a text, a number, true or false")),
        };
        let length = text.len();
        if length > MAX_TEXT_BYTES {
            return Err(FieldError::TooLong { path: self.text.clone(), length });
        }
        Ok(text)
    }
}

impl Fields {
    /// Compiles the paths.
    ///
    /// # Errors
    ///
    /// The keys with problems, each with a text with the remedy.
    pub fn compile(config: &FieldsConfig) -> Result<Self, Vec<(&'static str, String)>> {
        let mut problems = Vec::new();
        let mut path = |key: &'static str, text: &str| {
            if text.is_empty() {
                problems.push((key, format!("no path is named; write where the field is, such as \"{key}\"")));
                return None;
            }
            Path::parse(text).map_err(|problem| problems.push((key, problem))).ok()
        };
        let (time, value) = (path("time", &config.time), path("value", &config.value));
        let source = config.source.as_ref().map(|text| path("source", text));
        let keys = match &config.key {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(all) => all.as_slice(),
        };
        let mut key: Vec<_> = keys.iter().map(|text| path("key", text)).collect();
        if keys.is_empty() {
            key.push(path("key", ""));
        }
        let key = key.into_iter().collect::<Option<Vec<_>>>();
        match (key, time, value, source.map_or(Some(None), |source| source.map(Some))) {
            (Some(key), Some(time), Some(value), Some(source)) => {
                Ok(Self { key, time, unit: config.time_unit, value, source })
            }
            _ => Err(problems),
        }
    }

    /// The paths of the key, as written.
    pub fn key_paths(&self) -> Vec<&str> {
        self.key.iter().map(|path| path.text.as_str()).collect()
    }

    /// The sample of a message. A function of message and configuration alone.
    ///
    /// ```
    /// use daemon_formats::json_fields::{Fields, FieldsConfig, OneOrMore};
    ///
    /// let fields = Fields::compile(&FieldsConfig {
    ///     key: OneOrMore::One("host.name".to_owned()),
    ///     time: "ts".to_owned(),
    ///     value: "load".to_owned(),
    ///     ..FieldsConfig::default()
    /// });
    /// let sample = fields.unwrap().read(br#"{"host":{"name":"web1"},"ts":1488000000000,"load":0.5}"#).unwrap();
    /// assert_eq!((sample.key[0].as_str(), sample.time, sample.value), ("web1", 1_488_000_000_000_000, 0.5));
    /// ```
    ///
    /// # Errors
    ///
    /// A [`FieldError`], the first one in the order key, time, value, source.
    pub fn read(&self, message: &[u8]) -> Result<Sample, FieldError> {
        self.read_parsed(&Message::parse(message)?)
    }

    /// As [`read`](Self::read), of a message that is parsed already.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_parsed(&self, Message(message): &Message) -> Result<Sample, FieldError> {
        let key = self.key.iter().map(|path| path.text(message)).collect::<Result<_, _>>()?;
        let time = time(&self.time, self.unit, message)?;
        let (value, integer) = number(&self.value, message)?;
        let source = self.source.as_ref().map(|path| path.text(message)).transpose()?;
        Ok(Sample { key, time, value, integer, source })
    }

    /// The time of a message in microseconds since 1970, whatever else it has; `None` if it has none.
    pub fn time(&self, Message(message): &Message) -> Option<u64> {
        time(&self.time, self.unit, message).ok()
    }
}

/// The time in microseconds.
fn time(path: &Path, unit: Unit, message: &Value) -> Result<u64, FieldError> {
    let found = path.find(message)?;
    let (expected, (up, down)) = match unit {
        Unit::S => ("a number of seconds since 1970", (1_000_000, 1)),
        Unit::Ms => ("a number of milliseconds since 1970", (1_000, 1)),
        Unit::Us => ("a number of microseconds since 1970", (1, 1)),
        Unit::Ns => ("a number of nanoseconds since 1970", (1, 1_000)),
        Unit::Rfc3339 => {
            let parsed = found.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let micros = parsed.and_then(|time| u64::try_from(time.as_microsecond()).ok());
            return micros.ok_or_else(|| path.unexpected(found, "a time of RFC 3339 since 1970"));
        }
    };
    let whole = match found {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    if let Some(whole) = whole {
        return Ok(whole.saturating_mul(up) / down);
    }
    let number = match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let micros = number.map(|number| (number * up as f64 / down as f64).round());
    let micros = micros.filter(|micros| (0.0..u64::MAX as f64).contains(micros));
    micros.map(|micros| micros as u64).ok_or_else(|| path.unexpected(found, expected))
}

/// The value, and the integer that it has rounded.
fn number(path: &Path, message: &Value) -> Result<(f64, Option<Integer>), FieldError> {
    let found = path.find(message)?;
    let parsed = match found {
        Value::Bool(flag) => return Ok((f64::from(u8::from(*flag)), None)),
        Value::Number(number) => {
            number.as_u64().map(Integer::Unsigned).or_else(|| number.as_i64().map(Integer::Signed))
        }
        Value::String(text) => text.parse().map(Integer::Unsigned).or_else(|_| text.parse().map(Integer::Signed)).ok(),
        _ => None,
    };
    if let Some(integer) = parsed {
        return Ok(integer.split());
    }
    let number = match found {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let number = number.filter(|number| number.is_finite()).map(|number| (number, None));
    number.ok_or_else(|| path.unexpected(found, "a finite number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Fields {
        Fields::compile(&serde_json::from_str(text).unwrap()).unwrap()
    }

    const PLAIN: &str = r#"{"key":"k","time":"t","value":"v"}"#;

    #[test]
    fn fields_are_found_at_nested_paths_with_escapes_and_in_arrays() {
        let fields = fields(
            r#"{"key":["a.b","k8s\\.pod"],"time":"at.0","time_unit":"s","value":"x.y\\\\z","source":"tags.1.host"}"#,
        );
        let message =
            br#"{"a":{"b":"one"},"k8s.pod":7,"at":["1488000000.25"],"x":{"y\\z":-3},"tags":[0,{"host":true}]}"#;
        let sample = fields.read(message).unwrap();
        assert_eq!(sample.key, ["one", "7"]);
        assert_eq!((sample.time, sample.value), (1_488_000_000_250_000, -3.0));
        assert_eq!(sample.source.as_deref(), Some("true"));
    }

    #[test]
    fn a_time_is_in_its_unit() {
        let cases = [
            ("s", "1488000000", 1_488_000_000_000_000),
            ("s", "1488000000.5", 1_488_000_000_500_000),
            ("s", "\"1488000000\"", 1_488_000_000_000_000),
            ("ms", "1488000000001", 1_488_000_000_001_000),
            ("us", "1488000000000001", 1_488_000_000_000_001),
            ("ns", "1488000000000001999", 1_488_000_000_000_001),
            ("rfc3339", "\"2017-02-25T05:20:00.000001Z\"", 1_488_000_000_000_001),
            ("rfc3339", "\"2017-02-25T06:20:00+01:00\"", 1_488_000_000_000_000),
        ];
        for (unit, time, expected) in cases {
            let fields = fields(&format!(r#"{{"key":"k","time":"t","time_unit":"{unit}","value":"v"}}"#));
            let sample = fields.read(format!(r#"{{"k":"a","t":{time},"v":1}}"#).as_bytes()).unwrap();
            assert_eq!(sample.time, expected, "{unit} {time}");
        }
    }

    #[test]
    fn integers_are_exact_and_flags_are_numbers() {
        let value = |text: &str| {
            let sample = fields(PLAIN).read(format!(r#"{{"k":"a","t":1,"v":{text}}}"#).as_bytes()).unwrap();
            (sample.value, sample.integer)
        };
        assert_eq!(value("9007199254740993").1, Some(Integer::Unsigned(9_007_199_254_740_993)));
        assert_eq!(value("\"-9007199254740993\"").1, Some(Integer::Signed(-9_007_199_254_740_993)));
        assert_eq!((value("true").0, value("false").0, value("\"1.5\"").0, value("2e3").0), (1.0, 0.0, 1.5, 2000.0));
    }

    #[test]
    fn what_is_not_a_sample_names_the_field() {
        let long = format!(r#"{{"k":"{}","t":1,"v":1}}"#, "x".repeat(MAX_TEXT_BYTES + 1));
        let cases = [
            ("", "not JSON: EOF"),
            ("[1", "not JSON"),
            (r#"{"k":"a","t":1,"v":1} x"#, "not JSON: trailing"),
            ("7", "`k` is missing"),
            (r#"{"t":1,"v":1}"#, "`k` is missing; correct the path"),
            (r#"{"k":null,"t":1,"v":1}"#, "`k` is missing"),
            (r#"{"k":"","t":1,"v":1}"#, "`k` is \"\", not a text"),
            (r#"{"k":{},"t":1,"v":1}"#, "`k` is {}, not a text"),
            (&long, "`k` has 1025 bytes"),
            (r#"{"k":"a","v":1}"#, "`t` is missing"),
            (r#"{"k":"a","t":-1,"v":1}"#, "`t` is -1, not a number of milliseconds"),
            (r#"{"k":"a","t":"soon","v":1}"#, "`t` is \"soon\", not a number of milliseconds"),
            (r#"{"k":"a","t":1}"#, "`v` is missing"),
            (r#"{"k":"a","t":1,"v":"NaN"}"#, "`v` is \"NaN\", not a finite number"),
            (r#"{"k":"a","t":1,"v":[1]}"#, "`v` is [1], not a finite number"),
        ];
        for (message, expected) in cases {
            let error = fields(PLAIN).read(message.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{message}: {error}");
        }
        let nested = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert!(fields(PLAIN).read(nested.as_bytes()).is_err(), "nesting has a limit");
    }

    #[test]
    fn a_path_that_leads_nowhere_is_named() {
        let problems = |text: &str| Fields::compile(&serde_json::from_str(text).unwrap()).unwrap_err();
        let keys = |text: &str| problems(text).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys("{}"), ["time", "value", "key"]);
        assert_eq!(keys(r#"{"key":["a",""],"time":"t","value":"v","source":""}"#), ["source", "key"]);
        for (path, expected) in
            [("a..b", "empty name"), (".", "empty name"), ("a\\\\b", "backslash"), ("a\\\\", "backslash")]
        {
            let found = problems(&format!(r#"{{"key":"{path}","time":"t","value":"v"}}"#));
            assert!(found[0].0 == "key" && found[0].1.contains(expected), "{path}: {found:?}");
        }
        let deep = vec!["a"; MAX_STEPS + 1].join(".");
        assert!(problems(&format!(r#"{{"key":"{deep}","time":"t","value":"v"}}"#))[0].1.contains("at most 16"));
    }

    proptest! {
        #[test]
        fn property_any_name_is_found_by_its_escaped_path(
            names in prop::collection::vec("\\PC{1,8}", 1..5), value: u64,
        ) {
            let path: Vec<_> = names.iter().map(|it| it.replace('\\', "\\\\").replace('.', "\\.")).collect();
            let nested = names.iter().rev().fold(Value::from(value), |inner, name| {
                Value::Object(std::iter::once((name.clone(), inner)).collect())
            });
            let message = serde_json::json!({"k": "a", "t": 1, "v": 0, "in": nested});
            let config = FieldsConfig {
                key: OneOrMore::One("k".to_owned()),
                time: "t".to_owned(),
                value: format!("in.{}", path.join(".")),
                ..FieldsConfig::default()
            };
            let sample = Fields::compile(&config).unwrap().read(message.to_string().as_bytes()).unwrap();
            prop_assert_eq!(sample.value, value as f64);
        }

        #[test]
        fn property_any_bytes_are_read_or_refused(message: Vec<u8>) {
            let _ = fields(PLAIN).read(&message);
        }
    }
}
