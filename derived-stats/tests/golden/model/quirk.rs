//! The accidents of the original that this crate does not share.

/// One of them; the numbers are sections of the semantics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quirk {
    /// The detector of a deleted map key lives on (11).
    DetectorOutlivesKey,
    /// A window loses its old buckets only when a sample comes, and fills only then (9).
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

/// The quirks that are switched on.
pub(crate) type Quirks = &'static [Quirk];
