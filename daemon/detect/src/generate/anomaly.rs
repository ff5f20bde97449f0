//! The kinds of anomalies, and their effect on each row.

use crate::generate::family::Process;
use crate::generate::normal::Shape;
use crate::generate::random::Random;
use crate::generate::{Anomaly, Grid};

/// What happens in an anomaly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The value stops moving, for one to eight hours.
    Frozen,
    /// The daily season is missing, for a day.
    NoSeason,
    /// The daily season is three to six hours early or late, for a day.
    Phase,
    /// The level rises slowly, over four to 24 hours.
    Ramp,
    /// The level is higher or lower, for two to twelve hours.
    Shift,
    /// One to five values are far off.
    Spike,
    /// The noise is 2.5 to 5 times as large, for two to twelve hours.
    Variance,
    /// The value is 0, for five to 60 minutes.
    Zero,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 8] =
        [Self::Spike, Self::Zero, Self::Shift, Self::Ramp, Self::Variance, Self::NoSeason, Self::Frozen, Self::Phase];

    fn needs_season(self) -> bool {
        matches!(self, Self::NoSeason | Self::Phase)
    }

    /// The number of rows.
    fn rows(self, random: &mut Random, grid: &Grid) -> usize {
        let mut hours = |least, most| grid.rows_in(3600.0 * random.between(least, most));
        match self {
            Self::Frozen => hours(1.0, 8.0),
            Self::NoSeason | Self::Phase => grid.rows_in(86_400.0),
            Self::Ramp => hours(4.0, 24.0),
            Self::Shift | Self::Variance => hours(2.0, 12.0),
            Self::Spike => 1 + random.index(5),
            Self::Zero => hours(1.0 / 12.0, 1.0).max(2),
        }
    }
}

/// The effect of all anomalies of a series.
#[derive(Clone, Debug)]
pub(super) struct Effects {
    anomalies: Vec<Anomaly>,
    /// The factor of the level of each row.
    pub(super) level: Vec<f64>,
    /// What is added to each row, in units of its noise.
    pub(super) added: Vec<f64>,
    /// The factor of the noise of each row.
    pub(super) noise: Vec<f64>,
    /// The season of a row instead of its own.
    pub(super) season: Vec<Option<f64>>,
}

impl Effects {
    /// Two to five anomalies, at least a day apart. `turn` selects their kinds.
    pub(super) fn draw(random: &mut Random, turn: usize, process: &Process, shape: &Shape, grid: &Grid) -> Self {
        let rows = grid.rows;
        let mut effects = Self {
            anomalies: Vec::new(),
            level: vec![1.0; rows],
            added: vec![0.0; rows],
            noise: vec![1.0; rows],
            season: vec![None; rows],
        };
        let kinds: Vec<Kind> =
            process.kinds().iter().filter(|kind| shape.is_seasonal() || !kind.needs_season()).copied().collect();
        let count = 2 + random.index(4);
        let mut starts: Vec<usize> = (0..count).map(|_| grid.row_at(random.between(0.2, 0.95))).collect();
        starts.sort_unstable();
        let mut free = 0;
        for (index, first) in starts.into_iter().enumerate() {
            let Some(&kind) = kinds.get((turn + 3 * index) % kinds.len().max(1)) else { continue };
            let last = first + kind.rows(random, grid) - 1;
            if first < free || last + 2 >= rows {
                continue;
            }
            let anomaly = Anomaly { first, last, kind };
            effects.apply(random, anomaly, process, (shape, grid));
            effects.anomalies.push(anomaly);
            free = last + grid.rows_in(86_400.0);
        }
        effects
    }

    pub(super) fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    fn apply(&mut self, random: &mut Random, anomaly: Anomaly, process: &Process, (shape, grid): (&Shape, &Grid)) {
        let Anomaly { first, last, kind } = anomaly;
        let size = libm::exp(random.between(libm::log(4.0), libm::log(20.0)));
        let is_up = random.is(2.0 / 3.0);
        let (relative, rows) = (process.relative_noise() * size, (last - first).max(1) as f64);
        let (shift, ramp) = ((0.5 * relative).clamp(0.35, 3.0), (0.7 * relative).clamp(0.4, 3.0));
        let (spread, hours) = (random.between(2.5, 5.0), random.between(3.0, 6.0) * if is_up { 1.0 } else { -1.0 });
        let mean = shape.factor.iter().sum::<f64>() / shape.factor.len().max(1) as f64;
        for row in first..=last {
            let (Some(level), Some(added), Some(noise), Some(season)) =
                (self.level.get_mut(row), self.added.get_mut(row), self.noise.get_mut(row), self.season.get_mut(row))
            else {
                continue;
            };
            match kind {
                // `freeze` repeats the value before.
                Kind::Frozen => {}
                Kind::NoSeason => *season = Some(mean),
                Kind::Phase => *season = Some(shape.shifted(grid, row, hours)),
                Kind::Ramp => *level *= 1.0 + ramp * (row - first) as f64 / rows,
                Kind::Shift => *level *= if is_up { 1.0 + shift } else { 1.0 / (1.0 + shift) },
                Kind::Spike => *added += 1.5 * size * if is_up || process.spikes_upward() { 1.0 } else { -1.0 },
                Kind::Variance => *noise = spread,
                Kind::Zero => *level = 0.0,
            }
        }
    }

    /// Repeats the value before a frozen range.
    pub(super) fn freeze(&self, values: &mut [f64]) {
        for anomaly in self.anomalies.iter().filter(|anomaly| anomaly.kind == Kind::Frozen) {
            let before = anomaly.first.checked_sub(1).and_then(|row| values.get(row)).copied();
            if let (Some(before), Some(frozen)) = (before, values.get_mut(anomaly.first..=anomaly.last)) {
                frozen.fill(before);
            }
        }
    }
}
