//! From the series of a test to its samples.
//!
//! Values are written as in `promtool test rules`: numbers with blanks between them, `_` for none, `axn` for `a` and `n`
//! more of it, `a+bxn` and `a-bxn` for `a` and `n` more, each by `b` larger or smaller, `_xn` for none `n` times.

use crate::commands::test::file::{Series, TestCase};
use crate::config::Streams;

/// The most samples of a test.
const MAX_SAMPLES: usize = 1_000_000;

/// A sample as a sender would post it, and when it arrives.
#[derive(Debug)]
pub(super) struct Sample {
    /// In microseconds since the epoch.
    pub arrived: u64,
    /// The line of a request.
    pub line: String,
}

/// The samples of a test in the order of their arrival; those that arrive together in the order of the file.
///
/// # Errors
///
/// When values cannot be read, a stream is not configured, or there are too many samples.
pub(super) fn samples(case: &TestCase, start: u64, streams: &Streams) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    for (series, number) in case.series.iter().zip(1..) {
        let place = |reason| format!("series {number} ({}): {reason}", series.key);
        let stream = stream_of(series.stream.as_deref(), streams).map_err(place)?;
        for (index, value) in values(&series.values).map_err(place)?.into_iter().enumerate() {
            let Some(value) = value else { continue };
            let steps = series.every.0.saturating_mul(index as u64);
            let time = start.saturating_add(series.from.0).saturating_add(steps);
            let line = line(series, &stream, time, &value);
            samples.push(Sample { arrived: time.saturating_add_signed(series.delay.0), line });
            if samples.len() > MAX_SAMPLES {
                return Err(format!("the test has more than {MAX_SAMPLES} samples; make it smaller"));
            }
        }
    }
    samples.sort_by_key(|sample| sample.arrived);
    Ok(samples)
}

/// The name of a stream of the configuration: the one that is named, or the only one.
///
/// # Errors
///
/// When it is not configured, or none is named where there are several.
pub(super) fn stream_of(named: Option<&str>, streams: &Streams) -> Result<String, String> {
    let configured: Vec<String> = streams.names().map(ToString::to_string).collect();
    match (named, configured.as_slice()) {
        (Some(named), configured) if configured.iter().any(|name| name == named) => Ok(named.to_owned()),
        (None, [only]) => Ok(only.clone()),
        (Some(named), _) => Err(format!("the configuration has no stream `{named}`; it has {}", configured.join(", "))),
        (None, _) => Err(format!("`stream` is missing; the configuration has {}", configured.join(", "))),
    }
}

fn line(series: &Series, stream: &str, time: u64, value: &str) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let source = series.source.as_ref().map(|source| format!(r#","source":{}"#, text(source)));
    let (key, stream) = (text(&series.key), text(stream));
    format!(r#"{{"stream":{stream},"key":{key},"ts":{time},"value":{value}{}}}"#, source.unwrap_or_default())
}

/// The values as numbers of JSON; `None` where there is none.
fn values(text: &str) -> Result<Vec<Option<String>>, String> {
    let mut all = Vec::new();
    for word in text.split_ascii_whitespace() {
        let expanded = word_values(word)
            .ok_or_else(|| format!("`values`: expected numbers, `_`, `1x5`, `1+2x5` or `_x5`, found `{word}`"))?;
        if all.len() + expanded.len() > MAX_SAMPLES {
            return Err(format!("`values`: {word} makes more than {MAX_SAMPLES} samples; make the test smaller"));
        }
        all.extend(expanded);
    }
    Ok(all)
}

fn word_values(word: &str) -> Option<Vec<Option<String>>> {
    let (first, times) = match word.split_once('x') {
        Some((first, times)) => (first, times.parse::<usize>().ok().filter(|times| *times <= MAX_SAMPLES)?),
        None if word == "_" => return Some(vec![None]),
        None => (word, 0),
    };
    if first == "_" {
        return Some(vec![None; times]);
    }
    // The sign of the step, and not that of the number or of an exponent.
    let sign = first
        .char_indices()
        .skip(1)
        .find(|(at, character)| matches!(character, '+' | '-') && !first[..*at].ends_with(['e', 'E']));
    let (from, step) = sign.map_or((first, "0"), |(at, _)| first.split_at(at));
    let step = step.strip_prefix('+').unwrap_or(step);
    let whole = from.parse::<i128>().ok().zip(step.parse::<i128>().ok());
    let of_index = |index: usize| match whole {
        // Whole numbers stay exact up to the 64 bits of a sample.
        Some((from, step)) => Some(from.checked_add(step.checked_mul(index as i128)?)?.to_string()),
        None => {
            let value = from.parse::<f64>().ok()? + step.parse::<f64>().ok()? * index as f64;
            serde_json::Number::from_f64(value).map(|number| number.to_string())
        }
    };
    (0..=times).map(|index| of_index(index).map(Some)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        let all = values(text).unwrap();
        all.into_iter().map(|value| value.unwrap_or_else(|| "_".to_owned())).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_are_written_as_promtool_reads_them() {
        for (text, expected) in [
            ("", ""),
            ("1 2.5 -3 _ 1e3", "1 2.5 -3 _ 1000.0"),
            ("4x2", "4 4 4"),
            ("0+10x3", "0 10 20 30"),
            ("-2+4x3", "-2 2 6 10"),
            ("7-0.5x2", "7.0 6.5 6.0"),
            ("_x3 5", "_ _ _ 5"),
            ("1e-1x1", "0.1 0.1"),
            ("18446744073709551614+1x1", "18446744073709551614 18446744073709551615"),
        ] {
            assert_eq!(expanded(text), expected, "{text}");
        }
    }

    #[test]
    fn a_value_that_cannot_be_read_is_named() {
        for word in ["a", "1x", "x3", "1+x3", "1x2x3", "1x-1", "--1", "1x99999999", "__", "NaN", "1+infx2", "é+1x2"] {
            let error = values(&format!("1 {word}")).unwrap_err();
            assert!(error.contains(&format!("`{word}`")), "{error}");
        }
        assert!(values("1x1000000").unwrap_err().contains("make the test smaller"));
    }
}
