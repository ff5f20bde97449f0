//! The share of the anomalies of each kind that a detector finds in the generated series.

use daemon_detect::generate::Kind;
use daemon_detect::score::events::first_alarms;

use crate::corpus::Set;
use crate::measure::{Measured, events};
use crate::table;

pub(crate) fn head() -> String {
    let kinds = Kind::ALL.map(|kind| format!("{kind:?}").to_lowercase());
    format!(
        "Share of the generated anomalies with an alarm, at one false alarm a week.\n\n| detector | {} |\n|---|{}",
        kinds.join(" | "),
        "---|".repeat(Kind::ALL.len())
    )
}

pub(crate) fn row(measured: &Measured, set: &Set) -> String {
    let threshold = table::weekly_of(measured, set);
    let scores = events(&measured.scores, set);
    let series = set.series.iter().filter(|one| one.source != crate::corpus::NAB);
    let mut found: Vec<(Kind, bool)> = Vec::new();
    for ((one, (_, marks)), scores) in series.zip(set.corpus.series()).zip(&scores) {
        // The anomalies are days apart and begin after the part that is not scored, so each is a window.
        if marks.windows() == one.kinds.len() {
            let hits = first_alarms(marks, scores, threshold);
            found.extend(one.kinds.iter().copied().zip(hits.iter().map(Option::is_some)));
        }
    }
    let share = |kind: Kind| {
        let of_kind = || found.iter().filter(|(of, _)| *of == kind);
        let hits = of_kind().filter(|(_, is_hit)| *is_hit).count();
        format!("{:.2}", hits as f64 / of_kind().count().max(1) as f64)
    };
    format!("| {} | {} |", measured.name, Kind::ALL.map(share).join(" | "))
}
