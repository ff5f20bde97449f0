//! The square root, with and without the standard library: both round correctly, so their results are equal.

#[cfg(feature = "std")]
#[inline]
pub(crate) fn sqrt(value: f64) -> f64 {
    value.sqrt()
}

#[cfg(not(feature = "std"))]
#[inline]
pub(crate) fn sqrt(value: f64) -> f64 {
    libm::sqrt(value)
}
