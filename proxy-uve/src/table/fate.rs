//! The outcomes of records.
//!
//! The conservation law: every record given to a table has exactly one outcome, so the counts of the outcomes add up to
//! the number of records. A counter therefore shows every loss, with its reason.

use serde::{Deserialize, Serialize};

/// The outcome of a record: aggregated, or the reason why it was dropped.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Fate {
    /// Part of at least one open window, or of an inline result; of a counter also a reading that adds nothing.
    Aggregated,
    /// Its log position was applied before.
    Duplicate,
    /// Its timestamp is further ahead of its arrival than the allowed skew, or later than 2^63-1 microseconds.
    Future,
    /// All its windows are closed: it is older than the watermark.
    Late,
    /// The key is not `table:name`.
    MalformedKey,
    /// The payload is not a sample.
    MalformedPayload,
    /// The value does not fit the raw type of any proxy type.
    MalformedValue,
    /// It is of a new object beyond the limit of the partition, or a counter's reading of a new source beyond the limit
    /// of its object.
    OverLimit,
    /// The pipelines refused the value: time went back within a ranged window, or a difference overflowed.
    Refused,
}

impl Fate {
    /// All outcomes, in the order of their names.
    pub const ALL: &'static [Self] = &[
        Self::Aggregated,
        Self::Duplicate,
        Self::Future,
        Self::Late,
        Self::MalformedKey,
        Self::MalformedPayload,
        Self::MalformedValue,
        Self::OverLimit,
        Self::Refused,
    ];

    /// The name in metrics and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aggregated => "aggregated",
            Self::Duplicate => "duplicate",
            Self::Future => "future",
            Self::Late => "late",
            Self::MalformedKey => "malformed_key",
            Self::MalformedPayload => "malformed_payload",
            Self::MalformedValue => "malformed_value",
            Self::OverLimit => "over_limit",
            Self::Refused => "refused",
        }
    }
}

/// The counts of records by outcome. As part of the snapshot they add up to the records over restarts, too.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Fates {
    /// See [`Fate::Aggregated`].
    pub aggregated: u64,
    /// See [`Fate::Duplicate`].
    pub duplicate: u64,
    /// See [`Fate::Future`].
    pub future: u64,
    /// See [`Fate::Late`].
    pub late: u64,
    /// See [`Fate::MalformedKey`].
    pub malformed_key: u64,
    /// See [`Fate::MalformedPayload`].
    pub malformed_payload: u64,
    /// See [`Fate::MalformedValue`].
    pub malformed_value: u64,
    /// See [`Fate::OverLimit`].
    pub over_limit: u64,
    /// See [`Fate::Refused`].
    pub refused: u64,
}

impl Fates {
    /// The count of one outcome.
    pub fn count(&self, fate: Fate) -> u64 {
        match fate {
            Fate::Aggregated => self.aggregated,
            Fate::Duplicate => self.duplicate,
            Fate::Future => self.future,
            Fate::Late => self.late,
            Fate::MalformedKey => self.malformed_key,
            Fate::MalformedPayload => self.malformed_payload,
            Fate::MalformedValue => self.malformed_value,
            Fate::OverLimit => self.over_limit,
            Fate::Refused => self.refused,
        }
    }

    /// The number of all records: the sum over all outcomes.
    pub fn total(&self) -> u64 {
        Fate::ALL.iter().fold(0, |total, &fate| total.saturating_add(self.count(fate)))
    }

    /// Adds the counts of another table.
    pub fn add_all(&mut self, other: &Self) {
        Fate::ALL.iter().for_each(|&fate| self.add(fate, other.count(fate)));
    }

    /// The records that came after `earlier`, an earlier state of the same counts.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            aggregated: self.aggregated - earlier.aggregated,
            duplicate: self.duplicate - earlier.duplicate,
            future: self.future - earlier.future,
            late: self.late - earlier.late,
            malformed_key: self.malformed_key - earlier.malformed_key,
            malformed_payload: self.malformed_payload - earlier.malformed_payload,
            malformed_value: self.malformed_value - earlier.malformed_value,
            over_limit: self.over_limit - earlier.over_limit,
            refused: self.refused - earlier.refused,
        }
    }

    pub(crate) fn add(&mut self, fate: Fate, records: u64) {
        let count = match fate {
            Fate::Aggregated => &mut self.aggregated,
            Fate::Duplicate => &mut self.duplicate,
            Fate::Future => &mut self.future,
            Fate::Late => &mut self.late,
            Fate::MalformedKey => &mut self.malformed_key,
            Fate::MalformedPayload => &mut self.malformed_payload,
            Fate::MalformedValue => &mut self.malformed_value,
            Fate::OverLimit => &mut self.over_limit,
            Fate::Refused => &mut self.refused,
        };
        *count = count.saturating_add(records);
    }
}
