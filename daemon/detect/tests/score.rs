//! The scorers against recorded results of independent implementations.
//!
//! The expected values were computed once, on the series of [`CASES`], by the Python scorers of the benchmarks that
//! `docs/src/design/detection.md` describes: `score2.py` (`Bench.at`, `best`, `at_rate`, `free`) and `score.py`
//! (`Corpus.score("standard", threshold)`, for scores cut at 1). The first one had three sources, not four. A failure is a deviation from their rules.

use daemon_detect::score::Marks;
use daemon_detect::score::events::{Corpus, Outcome, false_alarms_a_week, macro_f1, median_delay};
use daemon_detect::score::nab::Points;
use daemon_detect::score::precision::average_precision;

/// A series: source, seed of the scores, rows, interval in seconds, and the first and last row of each anomaly.
type Case = (&'static str, u64, usize, u64, &'static [(usize, usize)]);

const CASES: [Case; 4] = [
    ("kpi", 1, 900, 60, &[(30, 40), (200, 204), (212, 230), (500, 500), (895, 899)]),
    ("ms", 3, 700, 3600, &[(350, 352), (360, 365), (600, 640)]),
    ("gen", 4, 1000, 60, &[(120, 180), (700, 701)]),
    ("kpi", 2, 400, 300, &[(100, 150)]),
];

/// Sums are in another order.
const TOLERANCE: f64 = 1e-12;

/// Uniform scores of three digits; the third row of every second anomaly is half a point higher.
fn scores((_, mut seed, rows, _, labelled): Case) -> Vec<f64> {
    let mut draw = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as u32 % 1000
    };
    let mut scores: Vec<f64> = (0..rows).map(|_| f64::from(draw()) / 1000.0).collect();
    labelled.iter().step_by(2).for_each(|(first, _)| scores[first + 2] += 0.5);
    let shaped = |(row, score): (usize, f64)| if row % 3 == 0 { score } else { score * score * score };
    scores.into_iter().enumerate().map(shaped).collect()
}

fn corpus() -> (Corpus, Vec<Vec<f64>>) {
    let mut corpus = Corpus::default();
    for (source, _, rows, interval, labelled) in CASES {
        let times = (0..rows as u64).map(|row| (1_488_000_000 + row * interval) * 1_000_000).collect();
        corpus.push(source, Marks::new(times, labelled, interval as f64));
    }
    (corpus, CASES.map(scores).to_vec())
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() < TOLERANCE
}

#[test]
fn hits_false_alarms_and_delays_are_those_of_the_reference() {
    let (corpus, scores) = corpus();
    let weeks = [0.258_333_333_333_333_36, 3.744_047_619_047_619, 0.089_186_507_936_507_94];
    type Counts = ([usize; 3], [f64; 3], [&'static [f64]; 3], f64);
    let cases: [(f64, Counts); 3] = [
        (0.9, ([3, 1, 1], [23.0, 22.0, 10.0], [&[180.0, 0.0, 7800.0], &[25200.0], &[360.0]], 0.144_615_384_615_384_62)),
        (0.99, ([1, 1, 0], [5.0, 4.0, 3.0], [&[180.0], &[57600.0], &[]], 0.161_904_761_904_761_9)),
        (1.2, ([1, 0, 0], [0.0; 3], [&[840.0], &[], &[]], 0.133_333_333_333_333_33)),
    ];
    for (threshold, (hits, false_alarms, delays, quality)) in cases {
        let found = corpus.at(&scores, threshold);
        let of = |number: fn(&Outcome) -> usize| found.iter().map(number).collect::<Vec<_>>();
        assert_eq!((of(|one| one.hits), of(|one| one.windows)), (hits.to_vec(), vec![4, 2, 2]), "{threshold}");
        for ((outcome, count), (weeks, delays)) in found.iter().zip(false_alarms).zip(weeks.into_iter().zip(delays)) {
            assert_eq!((outcome.false_alarms as f64, &*outcome.delays), (count, delays), "{threshold}");
            assert!(near(outcome.weeks, weeks), "{threshold}: {outcome:?}");
        }
        assert!(near(macro_f1(&found), quality), "{threshold}: {}", macro_f1(&found));
    }
    assert_eq!(corpus.sources(), ["kpi", "ms", "gen"]);
}

#[test]
fn the_chosen_thresholds_are_those_of_the_reference() {
    let (corpus, scores) = corpus();
    let best = corpus.best(&scores);
    assert!(near(best, 0.997_002_999), "{best}");
    assert!(near(macro_f1(&corpus.at(&scores, best)), 0.261_904_761_904_761_9));
    let counts = |source: &str| source != "ms";
    assert!(near(corpus.at_rate(&scores, 100.0, counts), 0.893));
    assert!(near(corpus.at_rate(&scores, 1e-9, counts), 1.442_896_999_999_999_4));
}

#[test]
fn the_average_precision_is_that_of_the_reference() {
    let (corpus, scores) = corpus();
    let found = corpus.series().iter().zip(&scores).map(|((_, marks), scores)| average_precision(marks, scores));
    let [first, monitoring, generated, second] = found.map(Option::unwrap_or_default).collect::<Vec<_>>()[..] else {
        panic!("one number for each series")
    };
    assert!(near((first + second) / 2.0, 0.106_377_962_429_212_3), "{first} {second}");
    assert!(near(monitoring, 0.111_776_842_782_627_82) && near(generated, 0.079_636_027_800_491));
    let unlabelled = Marks::new(vec![0; 100], &[], 60.0);
    assert_eq!(average_precision(&unlabelled, &[0.0; 100]), None);
}

#[test]
fn the_points_are_those_of_the_reference() {
    let mut points = Points::default();
    for case in CASES {
        let cut: Vec<f64> = scores(case).into_iter().map(|score| score.min(1.0)).collect();
        points.push(&cut, case.4);
    }
    let (best, threshold) = points.best();
    assert!(near(best, 22.882_965_932_397_15) && near(threshold, 0.994_011_992), "{best} at {threshold}");
    assert!(near(points.at(threshold), best));
    for (threshold, expected) in [(0.9, -26.125_815_844_782_302), (0.99, 18.733_398_402_750_215)] {
        assert!(near(points.at(threshold), expected), "{threshold}: {}", points.at(threshold));
    }
    assert!(near(points.at(2.0), 0.0), "no alarm");
}

#[test]
fn rates_and_delays_are_over_all_sources() {
    let outcome = |false_alarms, delays: &[f64]| Outcome {
        false_alarms,
        weeks: 2.0,
        delays: delays.to_vec(),
        ..Outcome::default()
    };
    let outcomes = [outcome(3, &[60.0, 0.0]), outcome(1, &[120.0])];
    assert_eq!((false_alarms_a_week(&outcomes), median_delay(&outcomes)), (1.0, Some(60.0)));
    assert_eq!(median_delay(&[outcome(0, &[60.0, 0.0])]), Some(30.0));
    assert_eq!((false_alarms_a_week(&[]), median_delay(&[]), macro_f1(&[])), (0.0, None, 0.0));
}
