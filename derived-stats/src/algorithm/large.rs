//! The bound of samples whose squares are used.

use crate::report::Flaw;

/// The largest sample by size that is used unchanged: the square of twice this value is a finite double.
pub(crate) const LARGEST: f64 = 1e150;

/// The sample as it is used.
#[inline]
pub(crate) fn within(x: f64) -> f64 {
    x.clamp(-LARGEST, LARGEST)
}

/// The flaw of a result whose newest sample is `x`; `overflowed` is whether that is the bound of an overflowed sum.
#[inline]
pub(crate) fn flaw(x: f64, overflowed: bool) -> Option<Flaw> {
    if overflowed {
        return Some(Flaw::Overflow);
    }
    (x.abs() > LARGEST).then_some(Flaw::TooLarge)
}
