//! One row of a table.

use crate::series::columns::Columns;
use crate::series::{MAX_LINE_BYTES, fields};
use crate::timestamp::{self, TimestampError};

/// Texts for a value that does not exist.
const MISSING: [&str; 6] = ["", "nan", "na", "null", "none", "-"];

/// The reason why a line is not a row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// The line is not UTF-8.
    #[error("the line is not UTF-8; convert the file (`iconv -t UTF-8`)")]
    Bytes,
    /// The line lacks fields.
    #[error(
        "found {found} field{}, expected at least {expected}; write the time and the value, such as \
         `2017-02-25T05:20:00Z,3.5`, and the label if there is such a column",
        if *found == 1 { "" } else { "s" }
    )]
    Fields {
        /// The number of fields.
        found: usize,
        /// The least number of fields.
        expected: usize,
    },
    /// The line has more fields than there are columns.
    #[error(
        "found {found} fields, expected at most {expected}; write numbers with a decimal point and without separators of \
         thousands, texts with separators in quotes, and a name for each column in the first line"
    )]
    MoreFields {
        /// The number of fields.
        found: usize,
        /// The number of columns.
        expected: usize,
    },
    /// The value is not finite.
    #[error("the value `{found}` is not finite; expected a finite number; leave the field empty if there is no value")]
    Infinite {
        /// The text.
        found: String,
    },
    /// The label is not one.
    #[error("the label `{found}` is unknown; expected 0, 1, false or true")]
    Label {
        /// The text.
        found: String,
    },
    /// The time is not one.
    #[error(transparent)]
    Time(#[from] TimestampError),
    /// The line is too long.
    #[error("the line has more than {MAX_LINE_BYTES} bytes; expected a time and a value")]
    TooLong,
    /// The value is not a number.
    #[error("the value `{found}` is not a number; expected one such as 3.5, with a decimal point")]
    Value {
        /// The text.
        found: String,
    },
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) at: u64,
    pub(super) value: Option<f64>,
    pub(super) label: Option<bool>,
}

impl Row {
    pub(super) fn parse(line: &str, columns: &Columns) -> Result<Self, LineError> {
        let found: Vec<&str> = fields(line, columns.separator).collect();
        let expected = columns.time.max(columns.value).max(columns.label.unwrap_or(0)) + 1;
        if found.len() > columns.count.max(2) {
            return Err(LineError::MoreFields { found: found.len(), expected: columns.count.max(2) });
        }
        let missing = || LineError::Fields { found: found.len(), expected };
        let field = |index: usize| found.get(index).copied().ok_or_else(missing);
        let label = columns.label.map(field).transpose()?;
        let (time, value) = (field(columns.time)?, field(columns.value)?);
        Ok(Self { at: timestamp::parse(time)?, value: number(value)?, label: label.map(is_anomaly).transpose()? })
    }
}

fn number(text: &str) -> Result<Option<f64>, LineError> {
    if MISSING.iter().any(|missing| missing.eq_ignore_ascii_case(text)) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(value)),
        Ok(_) => Err(LineError::Infinite { found: text.to_owned() }),
        Err(_) => Err(LineError::Value { found: text.to_owned() }),
    }
}

fn is_anomaly(text: &str) -> Result<bool, LineError> {
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "0.0" | "false" => Ok(false),
        "1" | "1.0" | "true" => Ok(true),
        _ => Err(LineError::Label { found: text.to_owned() }),
    }
}
