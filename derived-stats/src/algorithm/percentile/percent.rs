//! Percentages and their ranks, in integers.

/// A percentage, in steps of 0.0001.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Percent(u32);

impl Percent {
    const DECIMALS: usize = 4;
    const ALL: u32 = 1_000_000;

    /// Reads `digits[.digits]`; `None` for another form, more than 4 decimals, or a number above 100.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > Self::DECIMALS {
            return None;
        }
        let whole = whole.parse::<u32>().ok()?.checked_mul(10_000)?;
        let decimals = alloc::format!("{decimals:0<4}").parse::<u32>().ok()?;
        whole.checked_add(decimals).filter(|percent| *percent <= Self::ALL).map(Self)
    }

    /// The rank among `samples`, which is at least 1.
    pub(super) fn rank(self, samples: u64) -> u64 {
        let rank = u128::from(self.0) * u128::from(samples - 1) / u128::from(Self::ALL);
        // At most `samples`: it fits.
        rank as u64
    }
}
