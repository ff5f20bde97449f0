//! What a series does without anomalies: its season, its slow changes, and its missing rows.

use std::f64::consts::TAU;

use crate::generate::random::Random;
use crate::generate::{Anomaly, DAY, Grid};

/// The season, and the level relative to its start, of each row.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    season: Option<Season>,
    /// The season with mean 1, or 1.
    pub(super) factor: Vec<f64>,
    /// Trend, releases and busy days.
    pub(super) level: Vec<f64>,
}

impl Shape {
    pub(super) fn draw(random: &mut Random, may_be_seasonal: bool, grid: &Grid) -> Self {
        let season = Season::draw(random);
        let season = (may_be_seasonal && random.is(0.85)).then_some(season);
        let factor = (0..grid.rows).map(|row| season.map_or(1.0, |season| season.at(grid.time(row)))).collect();
        let trend = if random.is(0.4) { random.between(-0.3, 0.3) } else { 0.0 };
        let mut level: Vec<f64> = (0..grid.rows).map(|row| 1.0 + trend * row as f64 / grid.rows as f64).collect();
        for _ in 0..random.below(3) {
            let (release, size) = (grid.row_at(random.between(0.1, 0.95)), random.between(0.05, 0.15));
            let change = if random.is(0.5) { 1.0 + size } else { 1.0 - size };
            level.iter_mut().skip(release).for_each(|level| *level *= change);
        }
        if season.is_some() && random.is(0.3) {
            let (start, size) = (grid.row_at(random.between(0.05, 0.9)), random.between(1.05, 1.15));
            level.iter_mut().skip(start).take(grid.rows_in(DAY)).for_each(|level| *level *= size);
        }
        Self { season, factor, level }
    }

    pub(super) fn is_seasonal(&self) -> bool {
        self.season.is_some()
    }

    /// The season of `row`, `hours` late.
    pub(super) fn shifted(&self, grid: &Grid, row: usize, hours: f64) -> f64 {
        self.season.map_or(1.0, |season| season.at(grid.time(row) - 3600.0 * hours))
    }
}

/// Two harmonics of the day, and a factor for each day of the week.
#[derive(Clone, Copy, Debug)]
struct Season {
    first: (f64, f64),
    second: (f64, f64),
    days: [f64; 7],
}

impl Season {
    fn draw(random: &mut Random) -> Self {
        let first = (random.between(0.15, 0.6), random.between(0.0, DAY));
        let second = (random.between(0.0, 0.25), random.between(0.0, DAY));
        let (mut days, quiet) = ([1.0; 7], random.between(0.4, 1.05));
        let weekend = random.index(7);
        for (day, factor) in days.iter_mut().enumerate() {
            if day == weekend || day == (weekend + 1) % 7 {
                *factor = quiet;
            }
        }
        if let Some(day) = days.get_mut(random.index(7)) {
            *day *= random.between(0.9, 1.1);
        }
        Self { first, second, days }
    }

    fn at(&self, seconds: f64) -> f64 {
        let wave = |(size, phase): (f64, f64), per_day: f64| size * libm::sin(TAU * per_day * (seconds - phase) / DAY);
        let daily = 1.0 + wave(self.first, 1.0) + wave(self.second, 2.0);
        let day = (seconds / DAY).rem_euclid(7.0);
        // The last tenth of a day passes into the next one.
        let (index, passed) = (day as usize, ((day.fract() - 0.9) / 0.1).clamp(0.0, 1.0));
        let factor = |index: usize| self.days.get(index % 7).copied().unwrap_or(1.0);
        daily.max(0.03) * (factor(index) * (1.0 - passed) + factor(index + 1) * passed)
    }
}

/// The rows that are not missing. Up to three outages of ten minutes to twelve hours are away from anomalies; in half of
/// the series, 3 in 1000 single rows are missing. The ends of anomalies are kept.
pub(super) fn kept_rows(random: &mut Random, anomalies: &[Anomaly], grid: &Grid) -> Vec<bool> {
    let share = if random.is(0.5) { 0.003 } else { 0.0 };
    let mut kept: Vec<bool> = (0..grid.rows).map(|_| !random.is(share)).collect();
    for _ in 0..random.below(4) {
        let start = grid.row_at(random.between(0.05, 0.95));
        let end = start + grid.rows_in(60.0 * random.between(10.0, 720.0));
        let margin = 2 * grid.rows_in(3600.0);
        let is_near = |one: &Anomaly| start <= one.last + margin && end + margin >= one.first;
        if !anomalies.iter().any(is_near) {
            kept.iter_mut().take(end).skip(start).for_each(|kept| *kept = false);
        }
    }
    for row in anomalies.iter().flat_map(|anomaly| [anomaly.first, anomaly.last]) {
        if let Some(kept) = kept.get_mut(row) {
            *kept = true;
        }
    }
    kept
}
