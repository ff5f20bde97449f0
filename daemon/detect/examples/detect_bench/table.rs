//! The tables.

use daemon_detect::score::events::{Corpus, Outcome, false_alarms_a_week, macro_f1, median_delay};

use crate::corpus::{OPERATIONS, SIDE, Set};
use crate::measure::{Measured, events};

pub(crate) fn whole_head() -> &'static str {
    "| detector | NAB, best (at) | NAB at 0.5 | F1 | kpi, ms, gen | false alarms a week | delay, min | F1 at 1 a week \
     | own alarms: F1 | false alarms a week | AUC-PR | F1 merlion | bytes | ns |\n\
     |---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
}

pub(crate) fn small_head() -> &'static str {
    "| detector | F1 at 1 a week | kpi, ms, gen | F1 of gen at 1 a week | AUC-PR | ns |\n|---|---|---|---|---|---|"
}

/// The outcomes of one threshold.
struct Found {
    /// Those of the sources of the macro figures.
    main: Vec<Outcome>,
    side: Option<Outcome>,
    false_alarms: f64,
    delay: Option<f64>,
}

impl Found {
    fn at(corpus: &Corpus, scores: &[Vec<f64>], threshold: f64) -> Self {
        let outcomes = corpus.at(scores, threshold);
        let named = || corpus.sources().iter().zip(&outcomes);
        let operations = || named().filter(|(source, _)| OPERATIONS.contains(source)).map(|(_, outcome)| outcome);
        Self {
            main: named().filter(|(source, _)| **source != SIDE).map(|(_, outcome)| outcome.clone()).collect(),
            side: named().find(|(source, _)| **source == SIDE).map(|(_, outcome)| outcome.clone()),
            false_alarms: false_alarms_a_week(operations()),
            delay: median_delay(operations()),
        }
    }

    fn f1(&self) -> f64 {
        macro_f1(&self.main)
    }

    fn each(&self) -> String {
        self.main.iter().map(|outcome| format!("{:.2}", outcome.f1())).collect::<Vec<_>>().join(" ")
    }
}

/// The series of the macro figures.
fn main_corpus(set: &Set, scores: &[Vec<f64>]) -> (Corpus, Vec<Vec<f64>>) {
    let (mut corpus, mut kept) = (Corpus::default(), Vec::new());
    for ((source, marks), scores) in set.corpus.series().iter().zip(events(scores, set)) {
        if let Some(source) = set.corpus.sources().get(*source).filter(|source| **source != SIDE) {
            corpus.push(source, marks.clone());
            kept.push(scores);
        }
    }
    (corpus, kept)
}

/// The threshold that gives one false alarm a week.
fn weekly(corpus: &Corpus, scores: &[Vec<f64>]) -> f64 {
    corpus.at_rate(scores, 1.0, |source| OPERATIONS.contains(&source))
}

/// The same for a set.
pub(crate) fn weekly_of(measured: &Measured, set: &Set) -> f64 {
    let (corpus, scores) = main_corpus(set, &measured.scores);
    weekly(&corpus, &scores)
}

pub(crate) fn whole_row(measured: &Measured, set: &Set) -> String {
    let points = measured.points(set);
    let (best_points, points_at) = points.best();
    // A score without bound means nothing at 0.5.
    let is_share = measured.scores.iter().flatten().all(|score| *score < 1.0);
    let at_half = if is_share { format!("{:.1}", points.at(0.5)) } else { "-".to_owned() };
    let (corpus, scores) = main_corpus(set, &measured.scores);
    let threshold = corpus.best(&scores);
    let all = events(&measured.scores, set);
    let best = Found::at(&set.corpus, &all, threshold);
    let at_rate = Found::at(&corpus, &scores, weekly(&corpus, &scores));
    let own = (!measured.alarms.is_empty()).then(|| Found::at(&set.corpus, &events(&measured.alarms, set), 0.5));
    let own = own.map_or_else(|| "- | -".to_owned(), |own| format!("{:.3} | {:.2}", own.f1(), own.false_alarms));
    format!(
        "| {} | {best_points:.1} ({points_at:.3}) | {at_half} | {:.3} | {} | {:.2} | {} | {:.3} | {own} | {:.3} | {:.2} | {} \
         | {:.0} |",
        measured.name,
        best.f1(),
        best.each(),
        best.false_alarms,
        best.delay.map_or_else(|| "-".to_owned(), |seconds| format!("{:.0}", seconds / 60.0)),
        at_rate.f1(),
        measured.average_precision(set),
        best.side.map_or(0.0, |side| side.f1()),
        measured.bytes.unwrap_or_default(),
        measured.nanoseconds,
    )
}

pub(crate) fn small_row(measured: &Measured, set: &Set) -> String {
    let scores = events(&measured.scores, set);
    let found = Found::at(&set.corpus, &scores, weekly(&set.corpus, &scores));
    let (mut generated, mut of_generated) = (Corpus::default(), Vec::new());
    for ((source, marks), scores) in set.corpus.series().iter().zip(&scores) {
        if set.corpus.sources().get(*source) == Some(&"gen") {
            generated.push("gen", marks.clone());
            of_generated.push(scores.clone());
        }
    }
    let alone = Found::at(&generated, &of_generated, weekly(&generated, &of_generated));
    format!(
        "| {} | {:.3} | {} | {:.3} | {:.3} | {:.0} |",
        measured.name,
        found.f1(),
        found.each(),
        alone.f1(),
        measured.average_precision(set),
        measured.nanoseconds,
    )
}
