//! The defects of the original that this crate does not have.

/// A defect of the original; the numbers are sections of the semantics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quirk {
    /// The detector of a deleted map key stays (11).
    DetectorOutlivesKey,
    /// The buckets of a window expire only on update, and a window becomes full only on update (9).
    NoAgingOnRead,
    /// NaN and infinities are samples (8).
    NonFinite,
    /// A sample may be older than the newest, and moves the window back (9).
    TimeGoesBack,
    /// A first sample in bucket 0 does not start the window (9).
    TimeZeroIsNever,
    /// A variance may be infinite (8).
    Unbounded,
    /// Above 1073 s the buckets keep a width of 8.4 s (9).
    WideRangeOverflows,
    /// Sums and differences wrap, and a negative mean is divided as unsigned (9, 11).
    Wraps,
    /// A silent map key gets zeros as long as any key is active (11).
    ZerosForEveryKey,
}

/// The enabled quirks.
pub(crate) type Quirks = &'static [Quirk];
