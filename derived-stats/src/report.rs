//! What a pipeline reports after a sample or a period: a value, unchanged, or not ready; and what is wrong with a
//! value.

/// The state of a result: new, unchanged, or not to be trusted yet.
///
/// The original's three return codes (`DSR_OK`, `DSR_SKIP`, `DSR_INVALID`). The result travels in all three where the
/// algorithm has one, because only the caller knows whether it forces: a full resynchronisation sends an unchanged
/// value too, and a display may show a detector that is still warming up.
///
/// More variants may come. [`forced`](Self::forced) and [`any`](Self::any) take the result out, [`map`](Self::map)
/// changes it, [`name`](Self::name) has the state.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Report<O> {
    /// Too few samples for a result. Holds what there is so far, if the algorithm shows it.
    NotReady(Option<O>),
    /// A valid result that is not worth sending unless the caller forces it.
    Unchanged(O),
    /// A valid result.
    Value(O),
}

impl<O> Report<O> {
    /// The result where it is valid: what a caller that forces would send.
    pub fn forced(self) -> Option<O> {
        match self {
            Self::NotReady(_) => None,
            Self::Unchanged(output) | Self::Value(output) => Some(output),
        }
    }

    /// The same report about a borrowed result.
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

    /// The same report about something made from the result.
    pub fn map<P>(self, make: impl FnOnce(O) -> P) -> Report<P> {
        match self {
            Self::NotReady(output) => Report::NotReady(output.map(make)),
            Self::Unchanged(output) => Report::Unchanged(make(output)),
            Self::Value(output) => Report::Value(make(output)),
        }
    }

    /// The report of a closed period. A repetition or a zero is worth sending there: what the original's periodic
    /// wrapper keeps is the value alone.
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

/// The error text of a result whose sum left the range of its type.
pub const OVERFLOW: &str = "overflow: the sum left the range of its type, the value is the bound";

/// The error text of a detector whose newest sample is so large that its square does not fit a double.
pub const TOO_LARGE: &str = "too large: the sample is beyond 1e150, it counted as that bound";

/// What is wrong with a result although there is one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flaw {
    /// The true value left the range of the type; the value is the nearest bound.
    Overflow,
    /// The newest sample of a detector is beyond 1e150 and counted as that bound.
    TooLarge,
}

impl Flaw {
    /// The text that results show as `error`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Overflow => OVERFLOW,
            Self::TooLarge => TOO_LARGE,
        }
    }

    /// A stable number, for binary forms of a result. 0 stands for no flaw.
    pub fn code(flaw: Option<Self>) -> u8 {
        match flaw {
            None => 0,
            Some(Self::Overflow) => 1,
            Some(Self::TooLarge) => 2,
        }
    }

    /// The inverse of [`code`](Self::code); `None` for a number that no flaw has.
    pub fn from_code(code: u8) -> Option<Option<Self>> {
        match code {
            0 => Some(None),
            1 => Some(Some(Self::Overflow)),
            2 => Some(Some(Self::TooLarge)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flaw_has_a_stable_number() {
        for flaw in [None, Some(Flaw::Overflow), Some(Flaw::TooLarge)] {
            assert_eq!(Flaw::from_code(Flaw::code(flaw)), Some(flaw));
        }
        assert_eq!(Flaw::from_code(3), None);
    }
}
