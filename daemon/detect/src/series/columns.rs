//! The columns of a table.

use crate::series::{SeriesError, fields};
use crate::timestamp;

/// The names of the column of the time, in any case.
pub const TIME_NAMES: &[&str] = &["timestamp", "time", "ts", "date", "datetime"];
/// The names of the column of the value, in any case.
pub const VALUE_NAMES: &[&str] = &["value", "y"];
/// The names of the column of the label, in any case.
pub const LABEL_NAMES: &[&str] = &["label", "anomaly", "is_anomaly"];

/// The character between two fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Separator {
    Comma,
    Semicolon,
    Tab,
}

impl Separator {
    pub(crate) fn character(self) -> char {
        match self {
            Self::Comma => ',',
            Self::Semicolon => ';',
            Self::Tab => '\t',
        }
    }

    /// The separator of a line. A comma may be inside of the fields that the others separate.
    pub(crate) fn of(line: &str) -> Self {
        let found = [Self::Tab, Self::Semicolon].into_iter().find(|separator| line.contains(separator.character()));
        found.unwrap_or(Self::Comma)
    }
}

/// The position of each column.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Columns {
    pub(super) separator: Separator,
    pub(super) time: usize,
    pub(super) value: usize,
    pub(super) label: Option<usize>,
    /// The number of columns.
    pub(super) count: usize,
}

impl Columns {
    /// The columns by the first line, and whether it has their names: names are neither times nor numbers.
    pub(super) fn of(line: &str, number: u64) -> Result<(Self, bool), SeriesError> {
        let separator = Separator::of(line);
        let names: Vec<&str> = fields(line, separator).collect();
        let is_data = |name: &&str| timestamp::parse(name).is_ok() || name.parse::<f64>().is_ok();
        if names.len() < 2 || names.iter().any(is_data) {
            let label = (names.len() > 2).then_some(2);
            return Ok((Self { separator, time: 0, value: 1, label, count: names.len() }, false));
        }
        let position = |known: &[&str]| {
            let is_known = |name: &&str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
            names.iter().position(is_known)
        };
        let (time, value, label) = (position(TIME_NAMES), position(VALUE_NAMES), position(LABEL_NAMES));
        // Two columns are time and value, whatever the second one's name is.
        let missing = match (time, value) {
            (Some(_), Some(_)) => None,
            (None | Some(0), None) | (None, Some(1)) if names.len() == 2 => None,
            (None, _) => Some(TIME_NAMES),
            (_, None) => Some(VALUE_NAMES),
        };
        if let Some(expected) = missing {
            let found = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            return Err(SeriesError::Column { line: number, expected, found });
        }
        let (time, value) = (time.unwrap_or(0), value.unwrap_or(1));
        Ok((Self { separator, time, value, label, count: names.len() }, true))
    }
}
