//! Positions in a log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The position of a record in its log: an offset, which grows from record to record. Gaps are allowed.
///
/// It is a separate type, so that it is not confused with the two times of a record, which are microseconds. Its
/// `Display` and serde forms are those of the number.
///
/// ```
/// use proxy_uve::Position;
///
/// let position = Position::new(7);
/// assert!(position < Position::from(8));
/// assert_eq!((position.get(), position.to_string()), (7, "7".to_owned()));
/// ```
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Position(u64);

impl Position {
    /// The position with this offset.
    #[inline]
    pub const fn new(offset: u64) -> Self {
        Self(offset)
    }

    /// The offset.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for Position {
    #[inline]
    fn from(offset: u64) -> Self {
        Self(offset)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
