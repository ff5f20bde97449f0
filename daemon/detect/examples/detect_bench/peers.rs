//! The exchange with other systems: series out, scores in.
//!
//! `DIR/series/SOURCE/NAME.csv` has the rows `timestamp,value` in seconds since 1970; a system writes a score for each
//! row, one a line, to `DIR/scores/SYSTEM/SOURCE/NAME.txt`, and its mean time for a value, in nanoseconds, to
//! `DIR/scores/SYSTEM/ns.txt`.
//! A system without scores for a series was not finished, and is left out with a message.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::corpus::Set;
use crate::measure::Measured;

/// Writes the series.
pub(crate) fn export(set: &Set, directory: &Path) -> Result<(), String> {
    for one in &set.series {
        let path = directory.join(format!("series/{}.csv", one.name));
        let mut text = "timestamp,value\n".to_owned();
        for point in &one.points {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{},{}", point.at / 1_000_000, point.value);
        }
        let parent = path.parent().unwrap_or(directory);
        fs::create_dir_all(parent)
            .and_then(|()| fs::write(&path, text))
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    println!("{set}");
    Ok(())
}

/// Reads the scores of all systems, in the order of their names.
pub(crate) fn import(set: &Set, directory: &Path) -> Result<Vec<Measured>, String> {
    let folder = directory.join("scores");
    let Ok(systems) = fs::read_dir(&folder) else {
        eprintln!("PEERS SKIPPED: {} has no scores; run benches/detect_peers.py", folder.display());
        return Ok(Vec::new());
    };
    let mut systems: Vec<_> = systems.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    systems.sort();
    let mut measured = Vec::new();
    for system in systems {
        match scores(set, &system) {
            Ok(one) => measured.push(one),
            Err(error) => eprintln!("PEER SKIPPED: {error}"),
        }
    }
    Ok(measured)
}

fn scores(set: &Set, system: &Path) -> Result<Measured, String> {
    let name = system.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut measured = Measured { name, ..Measured::default() };
    for one in &set.series {
        let scores = numbers(&system.join(format!("{}.txt", one.name)))?;
        if scores.len() != one.points.len() {
            let (found, expected) = (scores.len(), one.points.len());
            return Err(format!("{}: {found} scores for the {expected} values of {}", measured.name, one.name));
        }
        measured.scores.push(scores);
    }
    measured.ranks = measured.scores.clone();
    measured.nanoseconds = numbers(&system.join("ns.txt"))?.first().copied().unwrap_or_default();
    Ok(measured)
}

fn numbers(path: &Path) -> Result<Vec<f64>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let number = |(row, line): (usize, &str)| {
        let number = line.trim().parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("{}: line {}: `{line}` is not a finite number", path.display(), row + 1))
    };
    text.lines().enumerate().map(number).collect()
}
