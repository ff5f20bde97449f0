//! `DSAnomaly:Seasonal` against its reference implementation, on recorded vectors.
//!
//! Source: `testdata/golden/seasonal/*.csv.gz`, the output of the reference in Python (double precision) for three files
//! of the Numenta Anomaly Benchmark (numenta/NAB at commit ea702d75, MIT, `LICENSE-NAB.txt` beside them). Columns: Unix
//! seconds, value, score, strangeness, expected value, low, high, with 12 digits.
//!
//! Each number of each row agrees to 9 digits. A failure means that we diverged from the reference: do not relax it.

use std::fs;
use std::io::Read as _;
use std::path::PathBuf;

use derived_stats::entry::Role;
use derived_stats::{Context, Number, Output, Spec, ValueType};
use flate2::read::GzDecoder;

/// Half a unit of the ninth digit.
const TOLERANCE: f64 = 5e-10;

fn rows(name: &str) -> Vec<Vec<f64>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/golden/seasonal").join(name);
    let mut text = String::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| line.split(',').map(|number| number.parse().unwrap()).collect()).collect()
}

fn numbers(output: Output<'_>) -> [f64; 5] {
    let role = |role| output.role(role).unwrap().as_f64();
    let strangeness = output.number("strangeness").unwrap().as_f64();
    [role(Role::Score), strangeness, role(Role::Expected), role(Role::Low), role(Role::High)]
}

#[test]
fn every_row_agrees_with_the_reference_to_nine_digits() {
    for (file, count) in [("grok_asg_anomaly.csv.gz", 4621), ("nyc_taxi.csv.gz", 10_320), ("speed_7578.csv.gz", 1127)] {
        let rows = rows(file);
        assert_eq!(rows.len(), count, "{file}");
        let spec = Spec::parse("raw:DSAnomaly:Seasonal", Context::new(ValueType::F64)).unwrap();
        let mut state = spec.start();
        for (index, row) in rows.iter().enumerate() {
            let &[seconds, value, ref expected @ ..] = row.as_slice() else { panic!("{file}: row {index}") };
            spec.update(&mut state, seconds as u64 * 1_000_000, Number::F64(value)).unwrap();
            let found = numbers(spec.report(&state, 0).any().unwrap());
            for (name, (found, expected)) in
                ["score", "strangeness", "expected", "low", "high"].iter().zip(found.iter().zip(expected))
            {
                let error = (found - expected).abs();
                let size = found.abs().max(expected.abs());
                assert!(error <= TOLERANCE * size, "{file}, row {index}, {name}: {found} instead of {expected}");
            }
        }
    }
}
