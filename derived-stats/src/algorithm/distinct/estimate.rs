//! The estimate of the number of values from the registers: algorithm 6 of O. Ertl, "New cardinality estimation
//! algorithms for HyperLogLog sketches", 2017, <https://arxiv.org/abs/1702.01284>.

use crate::math::sqrt;

/// The number of different values of registers whose largest possible value is `most_rank`, at most 63.
pub(super) fn estimate(ranks: &[u8], most_rank: u8) -> u64 {
    let mut counts = [0u32; 64];
    for rank in ranks {
        counts[usize::from(rank & 63)] += 1;
    }
    let m = ranks.len() as f64;
    let most = usize::from(most_rank);
    let mut z = m * tau(1.0 - f64::from(counts[most]) / m);
    for count in counts[1..most].iter().rev() {
        z = 0.5 * (z + f64::from(*count));
    }
    z += m * sigma(f64::from(counts[0]) / m);
    // A saturating cast, which also rounds to the nearest.
    (m * m / (2.0 * core::f64::consts::LN_2 * z) + 0.5) as u64
}

/// `x + x^2 + 2 x^4 + 4 x^8 + ...`: the part of the registers without a value, infinite if no register has one.
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// `(1 - x - (1-x^(1/2))^2 / 2 - (1-x^(1/4))^2 / 4 - ...) / 3`: the part of the registers with the largest rank.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = sqrt(x);
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}
