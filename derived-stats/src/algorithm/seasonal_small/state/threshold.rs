//! The threshold of alarms of one object.

/// A threshold from 0 to below 8, in steps of 2^-45: a single float would lose the small steps of its controller.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Threshold([u16; 3]);

impl Threshold {
    const UNIT: f64 = 1.0 / (1u64 << 45) as f64;
    const MOST: u64 = (1 << 48) - 1;

    /// The threshold, limited to its range.
    #[inline]
    pub(super) fn of(threshold: f64) -> Self {
        // A signed number takes one instruction.
        Self::of_bits(((threshold / Self::UNIT) as i64).clamp(0, Self::MOST as i64) as u64).unwrap_or_default()
    }

    #[inline]
    pub(super) fn value(self) -> f64 {
        self.bits() as f64 * Self::UNIT
    }

    /// The threshold of saved bits; `None` if they are too many.
    #[inline]
    pub(super) fn of_bits(bits: u64) -> Option<Self> {
        (bits <= Self::MOST).then(|| Self([32, 16, 0].map(|shift| (bits >> shift) as u16)))
    }

    #[inline]
    pub(super) fn bits(self) -> u64 {
        self.0.iter().fold(0, |bits, part| bits << 16 | u64::from(*part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_keeps_small_steps() {
        // One alarm in two years, a value a second.
        let fallen = (0..1_000_000).fold(Threshold::of(3.5), |threshold, _| Threshold::of(threshold.value() - 2.5e-9));
        assert!((fallen.value() - (3.5 - 2.5e-3)).abs() < 1e-6, "{}", fallen.value());
        assert_eq!(Threshold::of(-1.0).value(), 0.0);
        assert!((7.99..8.0).contains(&Threshold::of(9.0).value()));
        assert_eq!(Threshold::of_bits(Threshold::MOST + 1), None);
    }
}
