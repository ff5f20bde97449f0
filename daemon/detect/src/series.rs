//! A series of values, and its reader.
//!
//! The text has one row a line, `timestamp,value[,label]`, separated by commas, semicolons or tabs. A first line with
//! names may give the columns in any order; the names are those of [`TIME_NAMES`], [`VALUE_NAMES`] and [`LABEL_NAMES`].
//! Blank lines, and lines that begin with `#`, are ignored. The reader keeps the first bad lines and counts all of
//! them, so nothing is left out in silence.

mod columns;
mod row;

use std::io::{self, BufRead, Read};

use self::columns::Columns;
pub(crate) use self::columns::Separator;
pub use self::columns::{LABEL_NAMES, TIME_NAMES, VALUE_NAMES};
pub use self::row::LineError;
use self::row::Row;

/// The most rows of a series; a row takes about 100 bytes while a detector runs.
pub const MAX_ROWS: usize = 20_000_000;

/// The longest line, in bytes.
pub const MAX_LINE_BYTES: u64 = 65_536;

/// The most bad lines whose errors are kept.
pub const MAX_KEPT_ERRORS: usize = 10;

/// One value of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The time, in microseconds since 1970.
    pub at: u64,
    /// The value, finite.
    pub value: f64,
}

/// A series with what its text had besides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The values, in the order of the rows.
    pub points: Vec<Point>,
    /// Whether each value is labelled as an anomaly; empty without a column of labels.
    pub labels: Vec<bool>,
    /// The number of rows that cannot be read.
    pub bad_lines: u64,
    /// The first of their errors, with the line from 1.
    pub errors: Vec<(u64, LineError)>,
    /// The number of rows without a value.
    pub missing: u64,
    /// The number of rows whose time is before that of the row above.
    pub backwards: u64,
}

/// The reason why there is no series.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesError {
    /// The names of the first line lack a column.
    #[error(
        "line {line}: no column is named {}; found {found}; rename the column, or remove the line with the names",
        expected.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
    )]
    Column {
        /// The line, from 1.
        line: u64,
        /// The names that the column may have.
        expected: &'static [&'static str],
        /// The names that were found.
        found: String,
    },
    /// No row can be read.
    #[error("{}", empty(.first.as_ref()))]
    Empty {
        /// The first bad line.
        first: Option<(u64, LineError)>,
    },
    /// The input cannot be read.
    #[error("the input cannot be read")]
    Io(#[from] io::Error),
    /// The series is too long.
    #[error("the series has more than {MAX_ROWS} rows; split it")]
    TooLong,
}

fn empty(first: Option<&(u64, LineError)>) -> String {
    match first {
        None => "there is no row; expected lines such as `2017-02-25T05:20:00Z,3.5`".to_owned(),
        Some((line, error)) => format!("no row can be read, the first one is line {line}: {error}"),
    }
}

impl Series {
    /// Reads a series.
    ///
    /// ```
    /// use daemon_detect::series::Series;
    ///
    /// let series = Series::read("timestamp,value\n2017-02-25 05:20:00,3\n1488000060,4\n1488000120,?\n".as_bytes())?;
    /// assert_eq!((series.points.len(), series.bad_lines), (2, 1));
    /// # Ok::<(), daemon_detect::series::SeriesError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the input fails, no row can be read, or there are more than [`MAX_ROWS`].
    pub fn read(mut input: impl BufRead) -> Result<Self, SeriesError> {
        let (mut series, mut columns, mut line) = (Self::default(), None, Vec::new());
        for number in 1.. {
            let is_whole = match next_line(&mut input, &mut line)? {
                Line::End => break,
                Line::TooLong => false,
                Line::Whole => true,
            };
            let text = line.trim_ascii();
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let row = match std::str::from_utf8(text) {
                Ok(text) if is_whole => match &columns {
                    Some(columns) => Row::parse(text, columns),
                    None => {
                        let (found, is_header) = Columns::of(text, number)?;
                        let columns = columns.insert(found);
                        if is_header {
                            continue;
                        }
                        Row::parse(text, columns)
                    }
                },
                Ok(_) => Err(LineError::TooLong),
                Err(_) => Err(LineError::Bytes),
            };
            series.take(number, row)?;
        }
        match series.points.is_empty() {
            true => Err(SeriesError::Empty { first: series.errors.into_iter().next() }),
            false => Ok(series),
        }
    }

    fn take(&mut self, line: u64, row: Result<Row, LineError>) -> Result<(), SeriesError> {
        match row {
            Ok(Row { value: None, .. }) => self.missing += 1,
            Ok(Row { at, value: Some(value), label }) => {
                if self.points.len() == MAX_ROWS {
                    return Err(SeriesError::TooLong);
                }
                self.backwards += u64::from(self.points.last().is_some_and(|last| last.at > at));
                self.points.push(Point { at, value });
                self.labels.extend(label);
            }
            Err(error) => {
                self.bad_lines += 1;
                if self.errors.len() < MAX_KEPT_ERRORS {
                    self.errors.push((line, error));
                }
            }
        }
        Ok(())
    }

    /// Sorts the rows by their time; those of one time stay in their order.
    pub fn sort(&mut self) {
        let labels = std::mem::take(&mut self.labels);
        let labels = labels.into_iter().map(Some).chain(std::iter::repeat(None));
        let mut rows: Vec<_> = std::mem::take(&mut self.points).into_iter().zip(labels).collect();
        rows.sort_by_key(|(point, _)| point.at);
        self.points = rows.iter().map(|(point, _)| *point).collect();
        self.labels = rows.into_iter().filter_map(|(_, label)| label).collect();
    }

    /// The usual interval between two values in seconds: the median; 60 without an interval.
    pub fn interval(&self) -> f64 {
        interval(&self.points)
    }
}

/// The median interval of `points` in seconds; 60 without an interval.
pub fn interval(points: &[Point]) -> f64 {
    let gap = |pair: &[Point]| pair.last()?.at.checked_sub(pair.first()?.at).filter(|gap| *gap > 0);
    let mut gaps: Vec<u64> = points.windows(2).filter_map(gap).collect();
    let middle = gaps.len() / 2;
    match gaps.is_empty() {
        true => 60.0,
        false => *gaps.select_nth_unstable(middle).1 as f64 / 1e6,
    }
}

enum Line {
    End,
    TooLong,
    Whole,
}

/// The next line, without the rest of one that is too long.
fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    if input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', line)? == 0 {
        return Ok(Line::End);
    }
    if line.last() == Some(&b'\n') || (line.len() as u64) < MAX_LINE_BYTES {
        return Ok(Line::Whole);
    }
    loop {
        let rest = input.fill_buf()?;
        let (length, is_end) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(position) => (position + 1, true),
            None => (rest.len(), rest.is_empty()),
        };
        input.consume(length);
        if is_end {
            return Ok(Line::TooLong);
        }
    }
}

/// The fields of a line, without blanks and quotes around them. A separator within quotes belongs to its field.
pub(crate) fn fields(line: &str, separator: Separator) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let (field, next) = quoted(text, separator.character()).unwrap_or_else(|| {
            let (field, next) = text.split_once(separator.character()).unzip();
            (field.unwrap_or(text).trim(), next)
        });
        rest = next;
        Some(field)
    })
}

/// The field in quotes at the start of a text, and what is behind its separator.
fn quoted(text: &str, separator: char) -> Option<(&str, Option<&str>)> {
    let inner = text.trim_start_matches(' ').strip_prefix('"')?;
    let mut from = 0;
    loop {
        let at = from + inner.get(from..)?.find('"')?;
        let behind = inner.get(at + 1..)?;
        if behind.starts_with('"') {
            // Two quotes are one within the field.
            from = at + 2;
            continue;
        }
        let behind = behind.trim_start_matches(' ');
        let next = if behind.is_empty() { None } else { Some(behind.strip_prefix(separator)?) };
        return Some((inner.get(..at)?, next));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Series {
        Series::read(text.as_bytes()).unwrap()
    }

    fn values(text: &str) -> Vec<(u64, f64)> {
        read(text).points.iter().map(|point| (point.at / 1_000_000 - 1_488_000_000, point.value)).collect()
    }

    #[test]
    fn the_usual_tables_are_read() {
        let expected = [(0, 3.0), (60, -4.5)];
        let cases = [
            "1488000000,3\n1488000060,-4.5",
            "timestamp,value\r\n2017-02-25 05:20:00,3\r\n2017-02-25 05:21:00,-4.5\r\n",
            "# a comment\n\n1488000000;3\n1488000060;-4.5\n",
            "host\tValue\tTime\na\t3\t1488000000\nb\t-4.5\t1488000060\n",
            "\"timestamp\",\"value\"\n\"2017-02-25T05:20:00Z\",\"3\"\n\"2017-02-25T05:21:00Z\",\"-45e-1\"\n",
            "date,requests\n1488000000,3\n1488000060,-4.5\n",
        ];
        for text in cases {
            assert_eq!(values(text), expected, "{text}");
        }
    }

    #[test]
    fn labels_are_read_by_name_or_from_the_third_column() {
        for text in ["1488000000,3,0\n1488000060,4,1\n", "is_anomaly,ts,value\nfalse,1488000000,3\nTrue,1488000060,4\n"]
        {
            assert_eq!(read(text).labels, [false, true], "{text}");
        }
        assert!(read("1488000000,3\n").labels.is_empty());
    }

    #[test]
    fn a_separator_within_quotes_belongs_to_its_field() {
        let series =
            read("time,note,value,x\n1488000000,\"a, 5 ,b\",7,9\n1488000060, \"say \"\"so\"\", twice\" ,8,9\n");
        assert_eq!(series.points.iter().map(|point| point.value).collect::<Vec<_>>(), [7.0, 8.0]);
        assert_eq!(fields("\"open,5", Separator::Comma).collect::<Vec<_>>(), ["\"open", "5"]);
        assert_eq!(fields("a;;\"\"", Separator::Semicolon).collect::<Vec<_>>(), ["a", "", ""]);
    }

    #[test]
    fn sorted_rows_keep_their_labels() {
        let mut series = read("1488000120,3,1\n1488000000,4,0\n1488000000,5,1\n");
        series.sort();
        assert_eq!(series.points.iter().map(|point| point.value).collect::<Vec<_>>(), [4.0, 5.0, 3.0]);
        assert_eq!(series.labels, [false, true, true]);
        let mut series = read("1488000120,3\n1488000000,4\n");
        series.sort();
        assert_eq!((series.points[0].value, series.labels.len()), (4.0, 0));
    }

    #[test]
    fn rows_without_a_value_and_rows_that_go_back_are_counted() {
        let series = read("1488000060,3\n1488000000,4\n1488000120,\n1488000180,NaN\n1488000240,null\n");
        assert_eq!((series.points.len(), series.missing, series.backwards, series.bad_lines), (2, 3, 1, 0));
    }

    #[test]
    fn a_bad_line_is_counted_with_its_line_and_the_remedy() {
        let text = "time,value,label\n1488000000,3,0\nnever,4,0\n1488000060\n1488000120,\"1,5\",0\n1488000180,5,maybe\n\
                    1488000240,inf,0\n1488000300,six,0\n1488000360,1,234,0\n";
        let series = read(text);
        assert_eq!((series.points.len(), series.bad_lines), (1, 7));
        let errors: Vec<String> = series.errors.iter().map(|(line, error)| format!("line {line}: {error}")).collect();
        let expected = [
            "line 3: `never` is not a time; expected a date",
            "line 4: found 1 field, expected at least 3; write the time and the value, such as `2017-02-25T05:20:00Z",
            "line 5: the value `1,5` is not a number; expected one such as 3.5, with a decimal point",
            "line 6: the label `maybe` is unknown; expected 0, 1, false or true",
            "line 7: the value `inf` is not finite; expected a finite number; leave the field empty if there is no",
            "line 8: the value `six` is not a number",
            "line 9: found 4 fields, expected at most 3; write numbers with a decimal point",
        ];
        assert_eq!(errors.len(), expected.len());
        for (error, expected) in errors.iter().zip(expected) {
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn only_the_first_errors_are_kept() {
        let text = "1488000000,3\n".to_owned() + &"x,1\n".repeat(25);
        let series = read(&text);
        assert_eq!((series.bad_lines, series.errors.len()), (25, MAX_KEPT_ERRORS));
    }

    #[test]
    fn a_line_that_is_too_long_or_not_text_is_bad() {
        let mut text = b"1488000000,3\n1488000060,".to_vec();
        text.extend(vec![b'7'; 200_000]);
        text.extend(b"\n1488000120,\xff\n1488000180,4\n");
        let series = Series::read(&*text).unwrap();
        assert_eq!((series.points.len(), series.bad_lines), (2, 2));
        assert_eq!(series.errors, [(2, LineError::TooLong), (3, LineError::Bytes)]);
    }

    #[test]
    fn a_text_without_rows_is_an_error() {
        let error = |text: &str| Series::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error("").contains("there is no row; expected lines such as"));
        assert!(error("timestamp,value\n").contains("there is no row"));
        assert!(error("timestamp,value\nx,y\n").contains("no row can be read, the first one is line 2: `x`"));
        let named = error("day,requests,host\n2017-02-25,4,a\n");
        assert!(named.starts_with("line 1: no column is named `timestamp` or `time` or "), "{named}");
        assert!(
            named.ends_with("found `day`, `requests`, `host`; rename the column, or remove the line with the names")
        );
    }

    #[test]
    fn the_interval_is_the_median() {
        assert_eq!(read("1488000000,1\n1488000060,1\n1488000120,1\n1488090000,1\n").interval(), 60.0);
        assert_eq!(read("1488000000,1\n").interval(), 60.0);
    }

    fn line() -> impl Strategy<Value = String> {
        let time = prop_oneof![Just("1488000060".to_owned()), Just("2017-02-25 05:20:00".to_owned()), "[ -~]{0,12}"];
        let value = prop_oneof![Just("3.5".to_owned()), Just(String::new()), Just("1e999".to_owned()), "[ -~]{0,6}"];
        (time, "[,;\t\"#]{0,2}", value).prop_map(|(time, separator, value)| time + &separator + &value)
    }

    proptest! {
        #[test]
        fn property_every_line_is_a_row_or_is_counted(lines in prop::collection::vec(line(), 0..20)) {
            let text = format!("1488000000,3\n{}\n", lines.join("\n"));
            let series = read(&text);
            let is_row = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
            let found = series.points.len() as u64 + series.missing + series.bad_lines;
            prop_assert_eq!(found, text.lines().filter(is_row).count() as u64);
            prop_assert!(series.points.iter().all(|point| point.value.is_finite()));
        }

        #[test]
        fn property_no_bytes_stop_the_readers(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // The result is a series, labels or an error.
            let _ = Series::read(&*bytes);
            let _ = crate::labels::Labels::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
