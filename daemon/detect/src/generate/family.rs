//! The families of series: the distribution of a value around its level.

use crate::generate::anomaly::{Effects, Kind};
use crate::generate::normal::Shape;
use crate::generate::random::Random;
use crate::generate::{DAY, Grid};

/// A family of series.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// Counts with bursts of some minutes, four a day.
    Bursty,
    /// The increases of a counter, some of them partial after a restart.
    Counter,
    /// Amounts with heavy tails, such as bytes.
    Heavy,
    /// Counts with a job every hour.
    Jobs,
    /// Times, log-normal around a level that hardly follows the load.
    Latency,
    /// Counts whose rate wanders.
    Overdispersed,
    /// A share of 0 to 100.
    Percent,
    /// Counts of independent events.
    Poisson,
    /// Small gauges such as sessions, which wander slowly.
    SmallGauge,
    /// Counts that are mostly 0.
    ZeroInflated,
}

impl Family {
    /// All families, in the order of the indices.
    pub const ALL: [Self; 10] = [
        Self::Poisson,
        Self::Overdispersed,
        Self::Latency,
        Self::ZeroInflated,
        Self::Bursty,
        Self::Counter,
        Self::Percent,
        Self::SmallGauge,
        Self::Jobs,
        Self::Heavy,
    ];

    /// The family of the series of this index.
    pub(super) fn of(index: u64) -> Self {
        let count = Self::ALL.len() as u64;
        Self::ALL.get((index % count) as usize).copied().unwrap_or(Self::Poisson)
    }

    pub(super) fn is_seasonal(self) -> bool {
        !matches!(self, Self::SmallGauge | Self::ZeroInflated)
    }

    /// Draws level, noise and autocorrelation.
    pub(super) fn draw(self, random: &mut Random) -> Process {
        let level = match self {
            Self::Bursty => random.decade(0.5, 3.0),
            Self::Counter => random.decade(1.0, 5.0),
            Self::Heavy => random.decade(0.0, 6.0),
            Self::Jobs => random.decade(1.0, 3.0),
            Self::Latency => random.decade(-1.0, 3.0),
            Self::Overdispersed => random.decade(0.5, 4.0),
            Self::Percent => random.between(15.0, 60.0),
            Self::Poisson => random.decade(0.3, 4.0),
            Self::SmallGauge => random.decade(0.5, 2.0),
            Self::ZeroInflated => random.between(1.0, 20.0),
        };
        let (deviation, kept) = match self {
            Self::Heavy => (random.between(0.1, 0.3), 0.0),
            Self::Latency => (random.between(0.05, 0.4), random.between(0.2, 0.95)),
            Self::Overdispersed => (random.between(0.05, 0.3), random.between(0.3, 0.98)),
            Self::Percent => (random.between(1.0, 6.0) / level, random.between(0.5, 0.99)),
            Self::Poisson => (0.0, 0.0),
            Self::SmallGauge => (0.15, random.between(0.97, 0.999)),
            Self::Bursty | Self::Counter | Self::Jobs => (random.between(0.0, 0.08), random.between(0.5, 0.99)),
            Self::ZeroInflated => (0.15, 0.0),
        };
        Process { family: self, level, deviation, kept, busy: random.decade(-2.3, -0.5) }
    }
}

/// One series of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    family: Family,
    level: f64,
    /// The deviation of the level, relative to it.
    deviation: f64,
    /// The autocorrelation of the level of two rows in succession.
    kept: f64,
    /// The share of rows that are not 0, of [`Family::ZeroInflated`].
    busy: f64,
}

/// One row: level, relative wandering, and the factors of an anomaly.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// The level with season and all changes.
    level: f64,
    /// The wandering of the level, normal with variance 1.
    wandering: f64,
    /// The factor of the level by an anomaly, and by slow changes.
    anomaly: f64,
    change: f64,
    /// The factor of the noise.
    noise: f64,
    /// What is added, in units of the noise.
    added: f64,
}

impl Process {
    /// The kinds of anomalies that make sense.
    pub(super) fn kinds(&self) -> &'static [Kind] {
        use Kind::{Frozen, Ramp, Shift, Spike, Variance, Zero};
        // A zero is an anomaly only where values are hardly ever 0.
        match self.family {
            Family::Bursty if self.level < 5.0 => &[Spike, Shift, Ramp, Frozen],
            Family::Bursty | Family::SmallGauge => &[Spike, Zero, Shift, Ramp, Frozen],
            Family::Heavy => &[Spike, Zero, Shift, Ramp, Variance, Frozen],
            Family::Overdispersed | Family::Poisson if self.level < 5.0 => {
                &[Spike, Shift, Ramp, Variance, Kind::NoSeason, Frozen, Kind::Phase]
            }
            Family::ZeroInflated => &[Spike, Shift, Ramp, Variance],
            _ => &Kind::ALL,
        }
    }

    pub(super) fn spikes_upward(&self) -> bool {
        matches!(self.family, Family::Bursty | Family::SmallGauge | Family::ZeroInflated)
    }

    fn counts(&self) -> bool {
        use Family::{Bursty, Counter, Jobs, Overdispersed, Poisson};
        matches!(self.family, Bursty | Counter | Jobs | Overdispersed | Poisson)
    }

    /// The noise relative to the level.
    pub(super) fn relative_noise(&self) -> f64 {
        match self.family {
            Family::Heavy => 2.0 * self.deviation,
            _ if self.counts() => (1.0 / self.level + self.deviation * self.deviation).sqrt(),
            _ => self.deviation,
        }
    }

    /// The values of all rows.
    pub(super) fn values(&self, random: &mut Random, shape: &Shape, effects: &Effects, grid: &Grid) -> Vec<f64> {
        let wandering = random.wandering(grid.rows, self.kept);
        let mut extra = Extra::draw(random, self, grid);
        let rows = shape.factor.iter().zip(&shape.level).zip(&effects.level).zip(&effects.season);
        let rest = wandering.into_iter().zip(&effects.noise).zip(&effects.added);
        let each = rows.zip(rest).enumerate();
        each.map(|(row, ((((season, change), anomaly), instead), ((wandering, noise), added)))| {
            let season = instead.unwrap_or(*season);
            let level = (self.level * season * change * anomaly).max(0.0);
            let parts = Row { level, wandering, anomaly: *anomaly, change: *change, noise: *noise, added: *added };
            let value = self.value(random, parts, season);
            extra.add(random, self, row, *anomaly, value)
        })
        .collect()
    }

    fn value(&self, random: &mut Random, row: Row, season: f64) -> f64 {
        let deviation = self.deviation * row.noise;
        let base = self.level * row.change * row.anomaly;
        match self.family {
            _ if self.counts() => self.count(random, row),
            Family::Heavy => {
                let noise = deviation * random.student(2.5).clamp(-4.0, 60.0);
                rounded(row.level * (1.0 + noise) + 3.0 * row.added * row.level * self.deviation, 100.0)
            }
            Family::Latency => {
                let level = base * libm::pow(season, 0.3);
                let noise = libm::exp(deviation * row.wandering + 0.3 * self.deviation * random.normal());
                rounded(level * noise + row.added * level * self.deviation, 1e4)
            }
            Family::Percent => {
                let unit = self.level * self.deviation;
                // At 0 the noise ends too.
                let fast = if row.anomaly > 0.0 { 0.4 * random.normal() } else { 0.0 };
                let noise =
                    unit * (row.noise * (row.wandering * f64::from(u8::from(row.anomaly > 0.0)) + fast) + row.added);
                rounded(row.level + noise, 100.0).min(100.0)
            }
            Family::SmallGauge => (base * (1.0 + self.deviation * row.wandering)
                + row.added * self.deviation * self.level)
                .max(0.0)
                .round(),
            _ => self.sparse(random, row),
        }
    }

    fn count(&self, random: &mut Random, row: Row) -> f64 {
        let spread = self.deviation * row.noise;
        let rate = row.level * libm::exp(spread * row.wandering - spread * spread / 2.0);
        let drawn = random.poisson(rate.min(1e9));
        let unit = row.level.max(1.0).sqrt() + self.deviation * row.level;
        let unit = if self.family == Family::Bursty { 3.0 * unit } else { unit };
        (rate + (drawn - rate) * row.noise + row.added * unit).max(0.0).round()
    }

    fn sparse(&self, random: &mut Random, row: Row) -> f64 {
        let more = 1.0 + 3.0 * (row.anomaly - 1.0).max(0.0);
        let is_busy = random.is((self.busy * more * row.noise.sqrt()).min(0.9));
        let size = self.level * row.change * row.anomaly.max(0.2) * libm::pow(row.noise, 0.7);
        let value = if is_busy { 1.0 + random.poisson(size) } else { 0.0 };
        (value + 0.6 * row.added.max(0.0) * (self.level + 1.0)).round()
    }
}

fn rounded(value: f64, unit: f64) -> f64 {
    (value.max(0.0) * unit).round() / unit
}

/// Bursts, hourly jobs and partial samples.
#[derive(Clone, Debug)]
struct Extra {
    /// The rows and the size of the burst that goes on.
    burst: (usize, f64),
    burst_probability: f64,
    /// The first row of a job, the rows between two, and its size.
    job: (usize, usize, f64),
    /// The rows of partial samples.
    restarts: Vec<usize>,
}

impl Extra {
    fn draw(random: &mut Random, process: &Process, grid: &Grid) -> Self {
        let hour = grid.rows_in(3600.0);
        let job = (random.index(hour), hour, random.between(1.0, 4.0) * process.level);
        let restarts = (0..1 + random.index(4)).map(|_| random.index(grid.rows)).collect();
        let burst_probability = if process.family == Family::Bursty { 4.0 * grid.interval as f64 / DAY } else { 0.0 };
        Self { burst: (0, 0.0), burst_probability, job, restarts }
    }

    fn add(&mut self, random: &mut Random, process: &Process, row: usize, anomaly: f64, value: f64) -> f64 {
        let (first, every, size) = self.job;
        match process.family {
            Family::Bursty => {
                if random.is(self.burst_probability) {
                    let size = process.level * random.pareto(2.5).min(8.0) * random.between(0.3, 1.0);
                    self.burst = (1 + random.index(14), size.round());
                }
                let (rows, size) = self.burst;
                self.burst.0 = rows.saturating_sub(1);
                value + if rows > 0 { size } else { 0.0 }
            }
            Family::Counter if self.restarts.contains(&row) => (value * random.unit()).floor(),
            Family::Jobs if row % every == first && anomaly > 0.0 => {
                value + (size * random.between(0.85, 1.15)).round()
            }
            _ => value,
        }
    }
}
