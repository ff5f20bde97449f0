//! The facts as text, one line for each.

use derived_stats::MetricKind;

use crate::facts::{Facts, Link, Period, Silence};

/// The width of the first column.
const LABEL: usize = 12;

/// The explanation as text, which ends with a line feed.
pub(super) fn of(facts: &Facts) -> String {
    let mut lines = vec![("annotation", facts.annotation.clone()), ("input", input(facts))];
    if facts.mstats {
        lines.push(("keys", KEYS.to_owned()));
    }
    lines.push(("reports", reports(facts)));
    lines.extend((0..facts.links.len()).map(|index| link(&facts.links, index)));
    lines.extend(facts.lines.iter().cloned());
    lines.push(("silence", silence(facts.silence).to_owned()));
    let whose = if facts.mstats { "key" } else { "object" };
    lines.push(("state", format!("at most {} bytes for each {whose}", facts.state_bytes)));
    lines.into_iter().map(|(label, text)| format!("{label:LABEL$}{text}\n")).collect()
}

const KEYS: &str = "each key of the map has its own pipeline; a delete mark drops its key, an empty map drops all keys";

/// The line of a link: its input, if it is one of a chain, and its description.
fn link(links: &[Link], index: usize) -> (&'static str, String) {
    let Link { name, sentence } = &links[index];
    let takes = match index.checked_sub(1) {
        None if links.len() == 1 => String::new(),
        None => " takes the samples of a period".to_owned(),
        Some(before) => format!(" takes each period's {}", links[before].name),
    };
    let label = if index + 1 == links.len() { "computes" } else { "aggregate" };
    (label, format!("{name}{takes}: {sentence}"))
}

fn input(facts: &Facts) -> String {
    let meaning = match facts.metric {
        MetricKind::Agg => {
            "readings of a counter, aggregated by their increases; a lower reading is a reset and counts in full. The \
             daemon compares those of each source, and the first of a source adds nothing; `eval` takes all for one \
             source, whose first reading counts in full"
        }
        MetricKind::Diff => "differences, aggregated as they are",
        MetricKind::Plain if facts.takes_readings => {
            "readings of counters; a lower reading is a reset and counts in full"
        }
        MetricKind::Plain if facts.takes_texts => {
            "aggregated as they are; or texts, where the raw field of the proxy type is a `string`"
        }
        MetricKind::Plain => "aggregated as they are",
    };
    format!("{} values of `{}`, {meaning}", facts.value, facts.source)
}

fn reports(facts: &Facts) -> String {
    match &facts.period {
        None => "after every sample (inline; in a struct with a period, a missing period means `1-`)".to_owned(),
        Some(Period { every: 1, struct_seconds, .. }) => {
            format!("at the end of every period of the struct, which is {struct_seconds} s for the built-in types")
        }
        Some(Period { every, struct_seconds, .. }) => format!(
            "at the end of every {every} periods of the struct, which are {} s for the built-in types",
            u64::from(*every) * u64::from(*struct_seconds)
        ),
    }
}

fn silence(silence: Silence) -> &'static str {
    match silence {
        Silence::NoReport => "no sample, no report",
        Silence::NoResult => "a period without samples has no result",
        Silence::ZeroOnce => {
            "the first period without samples counts as 0, later ones are ignored (a struct can change this with \
             silence=\"zero\" or \"skip\")"
        }
    }
}
