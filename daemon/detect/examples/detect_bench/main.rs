//! The quality of every detector of the menu: `make detect-bench`.
//!
//! ```text
//! detect_bench [--quick] [--export DIR] [--peers DIR]
//! ```
//!
//! It prints tables in Markdown. The first two are over the corpora of `daemon/detect/testdata` and over generated
//! series. The third one is over a smaller set, on which other systems can be measured in reasonable time: with
//! `--export` its series are written to a directory, and with `--peers` the scores of other systems are read from
//! there (`benches/detect_peers.py`). The last one is over noise without anomalies. `--quick` is a smoke test over a few
//! series.

mod clean;
mod corpus;
mod kinds;
mod measure;
mod peers;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::corpus::Set;
use crate::measure::{Measured, detectors};

/// The seed of the series that detectors may be tuned on, and that of the held-out ones.
const SEED: u64 = 1;
const HELD_OUT_SEED: u64 = 2;

#[derive(Debug, Default)]
struct Arguments {
    quick: bool,
    export: Option<PathBuf>,
    peers: Option<PathBuf>,
}

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)).and_then(|arguments| run(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let mut arguments = Arguments::default();
    while let Some(name) = given.next() {
        let mut directory = || given.next().map(PathBuf::from).ok_or_else(|| format!("{name} needs a directory"));
        match name.as_str() {
            "--export" => arguments.export = Some(directory()?),
            "--peers" => arguments.peers = Some(directory()?),
            "--quick" => arguments.quick = true,
            _ => return Err(format!("unknown argument `{name}`; write --quick, --export DIR or --peers DIR")),
        }
    }
    Ok(arguments)
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let generated = if arguments.quick { 10 } else { 100 };
    let (whole, small) =
        (Set::whole(SEED, generated)?, Set::small(HELD_OUT_SEED, if arguments.quick { 10 } else { 80 })?);
    if let Some(directory) = &arguments.export {
        return peers::export(&small, directory);
    }
    println!("{whole}\n\n{}", table::whole_head());
    let (mut rows, mut by_kind) = (Vec::new(), vec![kinds::head()]);
    for algorithm in detectors() {
        let measured = Measured::of(&algorithm, &whole)?;
        println!("{}", table::whole_row(&measured, &whole));
        by_kind.push(kinds::row(&measured, &whole));
        rows.push(Measured::of(&algorithm, &small)?);
    }
    if let Some(directory) = &arguments.peers {
        rows.extend(peers::import(&small, directory)?);
    }
    println!("\n{}", by_kind.join("\n"));
    println!("\n{small}\n\n{}", table::small_head());
    rows.iter().for_each(|measured| println!("{}", table::small_row(measured, &small)));
    let (seeds, weeks) = if arguments.quick { (1, 4) } else { (8, 12) };
    println!("\n{}", clean::head(seeds, weeks));
    for algorithm in detectors() {
        clean::row(&algorithm, seeds, weeks)?.iter().for_each(|row| println!("{row}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seasonal_detectors_reach_their_points() {
        let set = Set::nab().unwrap();
        // The targets; see docs/src/design/detection.md.
        for (algorithm, least) in [("Seasonal", 76.0), ("SeasonalSmall", 73.0)] {
            let measured = Measured::of(algorithm, &set).unwrap();
            let points = measured.points(&set).at(0.5);
            assert!(points >= least, "{algorithm}: {points} points at 0.5");
        }
    }

    #[test]
    fn exported_series_and_scores_of_a_peer_are_read_back() {
        let directory = std::env::temp_dir().join(format!("detect-bench-{}", std::process::id()));
        let set = Set::small(HELD_OUT_SEED, 4).unwrap();
        peers::export(&set, &directory).unwrap();
        let series = std::fs::read_to_string(directory.join("series/gen/3.csv")).unwrap();
        assert_eq!(series.lines().count(), 1 + set.series.last().unwrap().points.len());
        let missing = peers::import(&set, &directory).unwrap();
        assert!(missing.is_empty());
        for one in &set.series {
            let path = directory.join(format!("scores/zero/{}.txt", one.name));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "0\n".repeat(one.points.len())).unwrap();
        }
        std::fs::write(directory.join("scores/zero/ns.txt"), "1500\n").unwrap();
        let peers = peers::import(&set, &directory).unwrap();
        assert_eq!(peers.len(), 1);
        assert!(
            table::small_row(&peers[0], &set).starts_with("| zero | 0.000 |"),
            "{}",
            table::small_row(&peers[0], &set)
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
