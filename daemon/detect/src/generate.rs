//! Seeded series as operators have them: counts, rates and gauges of three to six weeks, with labelled anomalies.
//!
//! A series depends on its seed and index only, and is the same on every platform. Families, intervals and kinds of
//! anomalies rotate with the index, so that any 40 series in succession are balanced. No size depends on a detector:
//! sizes are relative to the noise of the series (4 to 20 times, log-uniform) or to its level.
//!
//! Not an anomaly, and not labelled: a daily and a weekly season, a trend, releases (lasting shifts of 5 to 15 % of the
//! level), a busy day, the bursts of [`Family::Bursty`], the hourly jobs of [`Family::Jobs`], the partial samples of a
//! restarted counter, and missing rows.

mod anomaly;
mod family;
mod normal;
mod random;

pub use self::anomaly::Kind;
pub use self::family::Family;

use self::anomaly::Effects;
use self::normal::Shape;
use self::random::Random;
use crate::series::Point;

/// Seconds in a day.
const DAY: f64 = 86_400.0;

/// A Monday, in seconds since 1970.
const EPOCH: u64 = 1_699_833_600;

/// A labelled anomaly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Anomaly {
    /// The first row.
    pub first: usize,
    /// The last row.
    pub last: usize,
    /// What happens.
    pub kind: Kind,
}

/// A generated series.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The family.
    pub family: Family,
    /// The interval between two rows, in seconds.
    pub interval: u64,
    /// The rows.
    pub points: Vec<Point>,
    /// The anomalies, in order.
    pub anomalies: Vec<Anomaly>,
}

/// The times of the rows before some are removed.
#[derive(Clone, Copy, Debug)]
struct Grid {
    /// In seconds since 1970.
    start: u64,
    /// In seconds.
    interval: u64,
    rows: usize,
}

impl Grid {
    fn time(&self, row: usize) -> f64 {
        (self.start + self.interval * row as u64) as f64
    }

    /// The number of rows in `seconds`, one at least.
    fn rows_in(&self, seconds: f64) -> usize {
        ((seconds / self.interval as f64) as usize).max(1)
    }

    /// The row at a share of the series.
    fn row_at(&self, share: f64) -> usize {
        (share * self.rows as f64) as usize
    }
}

/// The series of this seed and index.
///
/// ```
/// use daemon_detect::generate::{Family, series};
///
/// let latency = series(7, 2);
/// assert_eq!((latency.family, latency.interval), (Family::Latency, 60));
/// assert!(latency.points.len() > 20 * 1440 && !latency.anomalies.is_empty());
/// assert_eq!(latency, series(7, 2));
/// ```
pub fn series(seed: u64, index: u64) -> Generated {
    let mut random = Random::new(seed, index);
    let family = Family::of(index);
    // The interval rotates against the families.
    let interval = if (index + index / 10) % 4 == 3 { 300 } else { 60 };
    let days = random.between(21.0, 42.0);
    let start = EPOCH + 86_400 * random.below(60) + interval * random.below(86_400 / interval);
    let grid = Grid { start, interval, rows: (days * DAY) as usize / interval as usize };
    let shape = Shape::draw(&mut random, family.is_seasonal(), &grid);
    let process = family.draw(&mut random);
    let effects = Effects::draw(&mut random, (index / 10 + index) as usize, &process, &shape, &grid);
    let mut values = process.values(&mut random, &shape, &effects, &grid);
    effects.freeze(&mut values);
    let kept = normal::kept_rows(&mut random, effects.anomalies(), &grid);
    keep(family, &grid, &values, &kept, effects.anomalies())
}

/// Normal noise of mean 100 and deviation 10, `count` values that are `interval` seconds apart: a series without
/// anomalies.
pub fn noise(seed: u64, interval: u64, count: usize) -> Vec<Point> {
    let mut random = Random::new(seed, 0);
    let times = (0..count as u64).map(|row| (EPOCH + interval * row) * 1_000_000);
    times.map(|at| Point { at, value: 100.0 + 10.0 * random.normal() }).collect()
}

/// The series without the rows that are missing.
fn keep(family: Family, grid: &Grid, values: &[f64], kept: &[bool], anomalies: &[Anomaly]) -> Generated {
    let mut rows = Vec::with_capacity(kept.len());
    let mut points = Vec::with_capacity(kept.len());
    for (row, (&value, &is_kept)) in values.iter().zip(kept).enumerate() {
        rows.push(points.len());
        if is_kept {
            points.push(Point { at: grid.time(row) as u64 * 1_000_000, value });
        }
    }
    let row = |row: usize| rows.get(row).copied().unwrap_or_default();
    let moved = |anomaly: &Anomaly| Anomaly { first: row(anomaly.first), last: row(anomaly.last), ..*anomaly };
    Generated { family, interval: grid.interval, points, anomalies: anomalies.iter().map(moved).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forty_series_have_every_family_interval_and_kind() {
        let all: Vec<Generated> = (0..40).map(|index| series(1, index)).collect();
        for family in Family::ALL {
            let intervals: Vec<u64> = all.iter().filter(|one| one.family == family).map(|one| one.interval).collect();
            assert_eq!(intervals.len(), 4, "{family:?}");
            assert!(intervals.contains(&60) && intervals.contains(&300), "{family:?}: {intervals:?}");
        }
        for kind in Kind::ALL {
            let count = all.iter().flat_map(|one| &one.anomalies).filter(|anomaly| anomaly.kind == kind).count();
            assert!(count >= 3, "{kind:?}: {count}");
        }
    }

    #[test]
    fn a_series_has_finite_values_in_the_order_of_time_and_anomalies_inside() {
        for index in 0..40 {
            let series = series(5, index);
            let name = format!("{index}: {:?}", series.family);
            assert!(series.points.iter().all(|point| point.value.is_finite() && point.value >= 0.0), "{name}");
            assert!(series.points.is_sorted_by_key(|point| point.at), "{name}");
            assert!(
                series.points.windows(2).all(|pair| pair[1].at - pair[0].at >= series.interval * 1_000_000),
                "{name}"
            );
            let distinct =
                series.points.iter().map(|point| point.value.to_bits()).collect::<std::collections::HashSet<_>>();
            assert!(distinct.len() > 2, "{name}");
            for pair in series.anomalies.windows(2) {
                assert!(pair[0].last < pair[1].first, "{name}: {pair:?}");
            }
            assert!(
                series.anomalies.iter().all(|one| one.first <= one.last && one.last < series.points.len()),
                "{name}"
            );
        }
    }

    #[test]
    fn seeds_and_indices_give_different_series_and_no_platform_changes_one() {
        assert_ne!(series(1, 0).points, series(2, 0).points);
        assert_ne!(series(1, 0).points, series(1, 10).points);
        let hash = |points: &[Point]| {
            let bits = points.iter().flat_map(|point| [point.at, point.value.to_bits()]);
            bits.fold(0xcbf2_9ce4_8422_2325u64, |hash, bits| (hash ^ bits).wrapping_mul(0x100_0000_01b3))
        };
        let hashes: Vec<u64> = (0..10).map(|index| hash(&series(1, index).points)).collect();
        let expected = [
            14304444015930107061u64,
            17243548567418723893,
            17768085012360869318,
            1768614439790373645,
            17000951217195908053,
            6490033273863358269,
            12594424947923032139,
            4981971969802201341,
            3149575296778417285,
            5389446535093671298,
        ];
        assert_eq!(hashes, expected);
    }
}
