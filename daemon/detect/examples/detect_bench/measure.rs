//! The scores of one detector on a set of series.

use std::time::Instant;

use daemon_detect::run::Detector;
use daemon_detect::score::nab::Points;
use daemon_detect::score::precision::average_precision;
use derived_stats::column::InlineColumn;
use derived_stats::{Number, Registry, menu};

use crate::corpus::{NAB, SIDE, Set};

/// Further arguments that are measured: the score of `EWM:0.1` is at most 3, that of `EWM:0.01` 9.9.
const ALSO: [&str; 1] = ["EWM:0.01"];

/// The detectors of the menu with their required arguments.
pub(crate) fn detectors() -> Vec<String> {
    let call = |entry: &&derived_stats::Entry| match entry.example() {
        example if example.is_empty() => entry.name().to_owned(),
        example => format!("{}:{example}", entry.name()),
    };
    let menu = menu().iter().filter(|entry| entry.roles().detector).map(call);
    menu.chain(ALSO.map(str::to_owned)).collect()
}

/// The scores of a detector, series by series.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub(crate) name: String,
    /// The scores that alarms are made of.
    pub(crate) scores: Vec<Vec<f64>>,
    /// The strangeness behind them, without a gate.
    pub(crate) ranks: Vec<Vec<f64>>,
    /// 1 for each alarm of the detector's own; empty if it has none.
    pub(crate) alarms: Vec<Vec<f64>>,
    pub(crate) bytes: Option<usize>,
    pub(crate) nanoseconds: f64,
}

impl Measured {
    pub(crate) fn of(algorithm: &str, set: &Set) -> Result<Self, String> {
        let detector = Detector::compile(algorithm, 60, &Registry::new()).map_err(|error| error.to_string())?;
        let mut measured = Self { name: algorithm.to_owned(), bytes: Some(bytes(&detector)?), ..Self::default() };
        let mut seconds = 0.0;
        for one in &set.series {
            let (scored, took) = timed(|| detector.run(&one.points).0);
            seconds += took;
            if scored.len() != one.points.len() {
                return Err(format!("{algorithm} left out values of {}", one.name));
            }
            measured.scores.push(scored.iter().map(|one| one.score.unwrap_or(0.0).abs()).collect());
            measured.ranks.push(scored.iter().map(|one| one.strangeness).collect());
            if detector.has_alarms() {
                measured.alarms.push(scored.iter().map(|one| f64::from(u8::from(one.is_alarm))).collect());
            }
        }
        measured.nanoseconds = seconds * 1e9 / set.values() as f64;
        Ok(measured)
    }

    /// The points of the Numenta Anomaly Benchmark.
    pub(crate) fn points(&self, set: &Set) -> Points {
        let mut points = Points::default();
        for (one, scores) in set.series.iter().zip(&self.scores).filter(|(one, _)| one.source == NAB) {
            points.push(scores, &one.anomalies);
        }
        points
    }

    /// The mean over the sources of the mean average precision of their series.
    pub(crate) fn average_precision(&self, set: &Set) -> f64 {
        let ranks = events(&self.ranks, set);
        let of_source = |source: usize| {
            let series = set.corpus.series().iter().zip(&ranks).filter(|((of, _), _)| *of == source);
            mean(&series.filter_map(|((_, marks), ranks)| average_precision(marks, ranks)).collect::<Vec<_>>())
        };
        let sources = set.corpus.sources().iter().enumerate().filter(|(_, source)| **source != SIDE);
        mean(&sources.map(|(index, _)| of_source(index)).collect::<Vec<_>>())
    }
}

/// The scores of the series that are scored by events.
pub(crate) fn events(scores: &[Vec<f64>], set: &Set) -> Vec<Vec<f64>> {
    set.series.iter().zip(scores).filter(|(one, _)| one.source != NAB).map(|(_, scores)| scores.clone()).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The bytes of one of a thousand objects with 500 values.
fn bytes(detector: &Detector) -> Result<usize, String> {
    const OBJECTS: usize = 1000;
    let mut column = InlineColumn::new(detector.spec()).ok_or("a detector of each value is needed")?;
    column.reserve(OBJECTS);
    for minute in 0..500u64 {
        let at = 1_700_000_000_000_000 + minute * 60_000_000;
        let mut update = |slot| column.update(slot, at, Number::F64((minute * 7919 % 101) as f64));
        (0..OBJECTS).try_for_each(&mut update).map_err(|error| error.to_string())?;
    }
    Ok(column.bytes() / OBJECTS)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}
