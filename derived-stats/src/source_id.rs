//! The sources of samples.

use crate::text_sample::hash;

/// The source of a sample, such as a vrouter among those that report for a network: a number that stands for its name.
///
/// Algorithms of [last values](crate::Spec::last_values) distinguish sources; all others ignore them. States store these
/// numbers, so a source must have the same one for as long as a state lives. [`of`](Self::of) makes one of a name, the
/// same in every process.
///
/// ```
/// use derived_stats::SourceId;
///
/// assert_eq!(SourceId::of("compute-1"), SourceId::of("compute-1"));
/// assert_ne!(SourceId::of("compute-1"), SourceId::of("compute-2"));
/// assert_eq!(SourceId::of(""), SourceId::UNNAMED);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SourceId(u64);

impl SourceId {
    /// The source of samples without one.
    pub const UNNAMED: Self = Self(0);

    /// The source with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The source with this name, by the 64-bit hash of [`text_sample`](crate::text_sample), which never changes. Two
    /// names have the same number with a probability of 2^-64, but such names can be constructed on purpose.
    pub fn of(name: &str) -> Self {
        if name.is_empty() { Self::UNNAMED } else { Self(hash(name)) }
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}
