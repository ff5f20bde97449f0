//! Functions of doubles whose results are the same with and without the standard library, on every platform.
//!
//! The square root of both rounds correctly.

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

/// The natural logarithm by libm, whose result is the same on every platform.
pub(crate) fn ln(value: f64) -> f64 {
    libm::log(value)
}

/// `value * 2^power`, rounded once.
pub(crate) fn scale(value: f64, power: i32) -> f64 {
    libm::scalbn(value, power)
}
