//! The report of a pipeline after a sample or a period: a value, unchanged, or not ready; and the flaws of a value.

/// A result with its status: new, unchanged or not ready.
///
/// The statuses are the return codes of the original (`DSR_OK`, `DSR_SKIP`, `DSR_INVALID`). Every variant holds the
/// result, if the algorithm has one, and the caller decides whether to use it: a full resynchronisation also sends
/// unchanged values, and a display may show a detector in its warm-up.
///
/// More variants may be added. [`forced`](Self::forced) and [`any`](Self::any) return the result, [`map`](Self::map)
/// changes it, and [`name`](Self::name) returns the status.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Report<O> {
    /// Too few samples for a result. Holds the preliminary result, if the algorithm has one.
    NotReady(Option<O>),
    /// A valid result that the caller need not send again.
    Unchanged(O),
    /// A valid result.
    Value(O),
}

impl<O> Report<O> {
    /// The result, if it is valid, changed or not.
    pub fn forced(self) -> Option<O> {
        match self {
            Self::NotReady(_) => None,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report with a reference to the result.
    pub fn as_ref(&self) -> Report<&O> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.as_ref()),
            Self::Unchanged(output) => Report::Unchanged(output),
            Self::Value(output) => Report::Value(output),
        }
    }

    /// The result, valid or not.
    pub fn any(self) -> Option<O> {
        match self {
            Self::NotReady(output) => output,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report with the value that `make` returns for the result.
    pub fn map<P>(self, make: impl FnOnce(O) -> P) -> Report<P> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.map(make)),
            Self::Unchanged(output) => Report::Unchanged(make(output)),
            Self::Value(output) => Report::Value(make(output)),
        }
    }

    /// The report of a closed period, which is never unchanged: the periodic wrapper of the original stores only the
    /// value.
    pub(crate) fn of_closed_period(self) -> Self {
        match self {
            Self::Unchanged(output) => Self::Value(output),
            report => report,
        }
    }

    /// `ok`, `unchanged` or `not_ready`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotReady(_) => "not_ready",
            Self::Unchanged(_) => "unchanged",
            Self::Value(_) => "ok",
        }
    }
}

/// The error text of a result whose sum is outside the range of its type.
pub const OVERFLOW: &str = "overflow: the sum left the range of its type, the value is the bound";

/// The error text of a detector whose newest sample is beyond 1e150.
pub const TOO_LARGE: &str = "too large: the sample is beyond 1e150, it counted as that bound";

/// The error text of percentiles whose samples differ in size by a factor of more than 2^64.
pub const COLLAPSED: &str = "collapsed: samples smaller than a 2^64th of the largest count as a 2^64th of it";

/// The error text of a detector with single floats whose newest sample is beyond 1e37.
pub const BEYOND_SINGLE: &str = "too large: the sample is beyond 1e37, it counted as that bound";

/// A reason why a valid result is not exact.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flaw {
    /// Samples whose sizes are too different for a sketch counted as larger ones.
    Collapsed,
    /// The newest sample of a detector with single floats is beyond 1e37 and counted as that bound.
    BeyondSingle,
    /// The true value is outside the range of the type; the value is the nearest bound.
    Overflow,
    /// The newest sample of a detector is beyond 1e150 and counted as that bound.
    TooLarge,
}

impl Flaw {
    /// The text of the field `error` of results.
    pub fn text(self) -> &'static str {
        match self {
            Self::Collapsed => COLLAPSED,
            Self::BeyondSingle => BEYOND_SINGLE,
            Self::Overflow => OVERFLOW,
            Self::TooLarge => TOO_LARGE,
        }
    }

    /// A stable code, for binary forms of a result. 0 means no flaw.
    pub fn code(flaw: Option<Self>) -> u8 {
        match flaw {
            None => 0,
            Some(Self::Overflow) => 1,
            Some(Self::TooLarge) => 2,
            Some(Self::Collapsed) => 3,
            Some(Self::BeyondSingle) => 4,
        }
    }

    /// The inverse of [`code`](Self::code); `None` for a code that no flaw has.
    pub fn from_code(code: u8) -> Option<Option<Self>> {
        match code {
            0 => Some(None),
            1 => Some(Some(Self::Overflow)),
            2 => Some(Some(Self::TooLarge)),
            3 => Some(Some(Self::Collapsed)),
            4 => Some(Some(Self::BeyondSingle)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_has_a_stable_number() {
        let flaws = [None, Some(Flaw::Overflow), Some(Flaw::TooLarge), Some(Flaw::Collapsed), Some(Flaw::BeyondSingle)];
        for (code, flaw) in (0..).zip(flaws) {
            assert_eq!((Flaw::code(flaw), Flaw::from_code(code)), (code, Some(flaw)));
        }
        assert_eq!(Flaw::from_code(5), None);
    }
}
