//! The known anomalies of series, as time ranges.
//!
//! A file of labels is JSON or CSV:
//!
//! * `{"NAME.csv": [["2014-04-10 16:15:00", "2014-04-12 01:45:00"], …], …}`, the form of the Numenta Anomaly Benchmark
//!   (an element of a range after the second is ignored);
//! * `[["2014-04-10 16:15:00", "2014-04-12 01:45:00"], …]`, for one series;
//! * lines of `start,end`, for one series.
//!
//! A time has one of the forms of [`timestamp`], and both ends belong to the range.

use serde_json::Value;

use crate::series::{Separator, Series, fields};
use crate::timestamp::{self, TimestampError};

/// A time range: its first and its last time in microseconds.
pub type Range = (u64, u64);

/// The labels of one or of many series.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Those of each series, by the name of its file.
    Named(Vec<(String, Vec<Range>)>),
    /// Those of one series.
    One(Vec<Range>),
}

/// The reason why a file of labels cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelsError {
    /// A range ends before it starts.
    #[error("{place}: the range ends at `{end}`, before its start `{start}`; swap them")]
    Backwards {
        /// The line, or the series and the number of the range.
        place: String,
        /// The start.
        start: String,
        /// The end.
        end: String,
    },
    /// There is no range.
    #[error(
        "there is no range; expected lines of a start and an end, such as `2014-04-10 16:15:00,2014-04-12 01:45:00`, or \
         [] for a series without anomalies"
    )]
    Empty,
    /// The JSON is malformed.
    #[error("the labels are not JSON: {message}")]
    Json {
        /// The parser's message, with line and column.
        message: String,
    },
    /// The JSON has another form.
    #[error(
        "{place}: expected a list of ranges such as [[\"2014-04-10 16:15:00\", \"2014-04-12 01:45:00\"]], or an object \
         with one such list for each file"
    )]
    Shape {
        /// The series and the number of the range.
        place: String,
    },
    /// A time is not one.
    #[error("{place}: {error}")]
    Time {
        /// The line, or the series and the number of the range.
        place: String,
        /// The reason.
        error: TimestampError,
    },
}

impl Labels {
    /// Reads a file of labels.
    ///
    /// # Errors
    ///
    /// [`LabelsError`], with the place in the file.
    pub fn parse(text: &str) -> Result<Self, LabelsError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match text.trim_start().chars().next() {
            Some('{' | '[') => json(text),
            _ => lines(text).map(Self::One),
        }
    }

    /// The labels of the series in file `path`: those whose name is the longest that `path` ends with.
    pub fn of(&self, path: &str) -> Option<&[Range]> {
        match self {
            Self::One(ranges) => Some(ranges),
            Self::Named(named) => {
                let is_name = |name: &str| {
                    let rest = path.strip_suffix(name);
                    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
                };
                let fitting = named.iter().filter(|(name, _)| is_name(name));
                fitting.max_by_key(|(name, _)| name.len()).map(|(_, ranges)| &**ranges)
            }
        }
    }

    /// The ranges of the labelled values of `series`.
    pub fn of_column(series: &Series) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        let mut was_label = false;
        for (point, &is_label) in series.points.iter().zip(&series.labels) {
            match ranges.last_mut().filter(|_| was_label) {
                Some((_, end)) if is_label => *end = point.at,
                _ if is_label => ranges.push((point.at, point.at)),
                _ => {}
            }
            was_label = is_label;
        }
        ranges
    }
}

/// The first and the last row of each range. `times` are the times of the rows; ranges without a row are left out.
/// Costs a binary search for each range if the times are in order, and a pass over them if they are not.
pub fn rows(times: &[u64], ranges: &[Range]) -> Vec<(usize, usize)> {
    if times.is_sorted() {
        return ranges.iter().filter_map(|range| sorted_rows(times, *range)).collect();
    }
    let rows_of = |&(start, end): &Range| {
        // A time that occurs twice counts as its first row.
        let equal = |time: u64| times.iter().position(|at| *at == time);
        let first = equal(start).or_else(|| times.iter().position(|at| (start..=end).contains(at)))?;
        let last = equal(end).or_else(|| times.iter().rposition(|at| (start..=end).contains(at)))?;
        (first <= last).then_some((first, last))
    };
    ranges.iter().filter_map(rows_of).collect()
}

fn sorted_rows(times: &[u64], (start, end): Range) -> Option<(usize, usize)> {
    let first = times.partition_point(|at| *at < start);
    let at_end = times.partition_point(|at| *at < end);
    // A time that occurs twice counts as its first row.
    let last = if times.get(at_end) == Some(&end) { at_end } else { at_end.checked_sub(1)? };
    (first <= last).then_some((first, last))
}

fn json(text: &str) -> Result<Labels, LabelsError> {
    let value: Value = serde_json::from_str(text).map_err(|error| LabelsError::Json { message: error.to_string() })?;
    match &value {
        Value::Object(named) => {
            let series = |(name, ranges): (&String, &Value)| Ok((name.clone(), list(ranges, name)?));
            named.iter().map(series).collect::<Result<_, _>>().map(Labels::Named)
        }
        ranges => list(ranges, "the labels").map(Labels::One),
    }
}

fn list(ranges: &Value, name: &str) -> Result<Vec<Range>, LabelsError> {
    let shape = || LabelsError::Shape { place: name.to_owned() };
    let one = |(index, ends): (usize, &Value)| {
        let place = || format!("{name}, range {}", index + 1);
        let end = |index: usize| match ends.get(index) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Number(number)) => Ok(number.to_string()),
            _ => Err(LabelsError::Shape { place: place() }),
        };
        range(&end(0)?, &end(1)?, place)
    };
    ranges.as_array().ok_or_else(shape)?.iter().enumerate().map(one).collect()
}

fn lines(text: &str) -> Result<Vec<Range>, LabelsError> {
    let mut ranges = Vec::new();
    let rows = text.lines().zip(1..).map(|(line, number)| (line.trim(), number));
    let rows = rows.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
    for (row, (line, number)) in rows.enumerate() {
        let mut fields = fields(line, Separator::of(line));
        let start = fields.next().unwrap_or_default();
        let end = fields.next().unwrap_or(start);
        // The first row may have names, which have no digits.
        let is_header = row == 0 && !start.contains(char::is_numeric) && !end.contains(char::is_numeric);
        if !is_header {
            ranges.push(range(start, end, || format!("line {number}"))?);
        }
    }
    if ranges.is_empty() { Err(LabelsError::Empty) } else { Ok(ranges) }
}

fn range(start: &str, end: &str, place: impl Fn() -> String) -> Result<Range, LabelsError> {
    let time = |text: &str| timestamp::parse(text).map_err(|error| LabelsError::Time { place: place(), error });
    let (first, last) = (time(start)?, time(end)?);
    match first <= last {
        true => Ok((first, last)),
        false => Err(LabelsError::Backwards { place: place(), start: start.to_owned(), end: end.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;
    const START: u64 = 1_488_000_000_000_000;

    #[test]
    fn each_form_has_the_same_ranges() {
        let expected = [(START, START + 5 * MINUTE)];
        for text in [
            r#"[["2017-02-25 05:20:00", "2017-02-25 05:25:00", 7, 12, "spike"]]"#,
            "[[1488000000, 1488000300]]",
            "start,end\n2017-02-25 05:20:00, 2017-02-25T05:25:00Z\n",
            "# one\n1488000000,1488000300,spike\n",
            "\u{feff}2017-02-25 05:20:00;2017-02-25 05:25:00\n",
            "\"begin\",\"end\"\n\"2017-02-25 05:20:00\",\"2017-02-25 05:25:00\"\n",
            "\u{feff}[[1488000000, 1488000300]]",
        ] {
            assert_eq!(Labels::parse(text).unwrap().of("any.csv"), Some(&expected[..]), "{text}");
        }
    }

    #[test]
    fn a_series_has_the_labels_of_the_longest_name_that_fits() {
        let labels = Labels::parse(r#"{"a.csv": [], "x/a.csv": [[1488000000, 1488000300]]}"#).unwrap();
        assert_eq!(labels.of("/data/x/a.csv").map(<[_]>::len), Some(1));
        assert_eq!(labels.of("y/a.csv").map(<[_]>::len), Some(0));
        assert_eq!(labels.of("y/aa.csv"), None);
    }

    #[test]
    fn a_mistake_has_its_place_and_the_remedy() {
        let cases = [
            ("1488000000,1488000300\nsoon,1488000300\n", "line 2: `soon` is not a time"),
            (
                "1488000300,1488000000\n",
                "line 1: the range ends at `1488000000`, before its start `1488000300`; swap them",
            ),
            (r#"{"a.csv": [[1488000000, "x"]]}"#, "a.csv, range 1: `x` is not a time"),
            (r#"{"a.csv": [[1488000000]]}"#, "a.csv, range 1: expected a list of ranges such as [["),
            (r#"{"a.csv": 3}"#, "a.csv: expected a list of ranges"),
            ("hello\n", "there is no range; expected lines"),
            ("", "there is no range"),
            ("2017-02-25/2017-02-26\n", "line 1: `2017-02-25/2017-02-26` is not a time"),
            ("[[", "the labels are not JSON: EOF while parsing a list at line 1 column 2"),
        ];
        for (text, sentence) in cases {
            let error = Labels::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(sentence), "{error}");
        }
    }

    #[test]
    fn labelled_values_in_succession_are_one_range() {
        let text = "1488000000,1,1\n1488000060,1,0\n1488000120,1,1\n1488000180,1,1\n1488000240,1,0\n";
        let series = Series::read(text.as_bytes()).unwrap();
        let ranges = Labels::of_column(&series);
        assert_eq!(ranges, [(START, START), (START + 2 * MINUTE, START + 3 * MINUTE)]);
        let times: Vec<u64> = series.points.iter().map(|point| point.at).collect();
        assert_eq!(rows(&times, &ranges), [(0, 0), (2, 3)]);
    }

    #[test]
    fn a_range_has_the_rows_inside_and_equal_times_count_once() {
        let times = [10, 20, 20, 30, 40];
        assert_eq!(rows(&times, &[(15, 35), (20, 40), (10, 20), (21, 29), (50, 60)]), [(1, 3), (1, 4), (0, 1)]);
        // After a time that goes back, a range starts at its own first time.
        assert_eq!(rows(&[10, 20, 15, 30], &[(15, 30)]), [(2, 3)]);
    }
}
