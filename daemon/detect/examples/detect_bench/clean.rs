//! The alarms of the detectors' own on noise, where every alarm is false.

use daemon_detect::generate::noise;
use daemon_detect::run::{Detector, alarms};
use derived_stats::Registry;

/// Seconds in a week.
const WEEK: u64 = 604_800;

/// The columns: the requested alarms a week, and the interval in seconds.
const CASES: [(u32, u64); 4] = [(1, 60), (1, 300), (5, 60), (5, 300)];

pub(crate) fn head(seeds: u64, weeks: u64) -> String {
    let columns = CASES.map(|(requested, interval)| format!("{requested} a week, {interval} s"));
    format!(
        "Alarms a week on noise, {seeds} series of {weeks} weeks.\n\n| detector | {} |\n|---|{}",
        columns.join(" | "),
        "---|".repeat(CASES.len())
    )
}

/// The row of a detector; `None` if it has no alarms of its own.
pub(crate) fn row(algorithm: &str, seeds: u64, weeks: u64) -> Result<Option<String>, String> {
    let mut cells = Vec::new();
    for (requested, interval) in CASES {
        let plain = Detector::compile(algorithm, 60, &Registry::new()).map_err(|error| error.to_string())?;
        if !plain.has_alarms() {
            return Ok(None);
        }
        let call = format!("{algorithm}:alarms={requested}");
        let detector = Detector::compile(&call, 60, &Registry::new()).map_err(|error| error.to_string())?;
        let found = |seed| {
            let series = noise(seed, interval, (weeks * WEEK / interval) as usize);
            alarms(&detector.run(&series).0).count()
        };
        let count: usize = (0..seeds).map(found).sum();
        cells.push(format!("{:.2}", count as f64 / (seeds * weeks) as f64));
    }
    Ok(Some(format!("| {algorithm} | {} |", cells.join(" | "))))
}
