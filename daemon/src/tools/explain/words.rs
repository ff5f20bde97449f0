//! The facts in words, one line for each.

use derived_stats::MetricKind;

use super::facts::{Facts, Moments, Period, Silence, Window};

/// The width of the first column.
const LABEL: usize = 12;

/// The explanation as text with a line break at its end.
pub(super) fn of(facts: &Facts) -> String {
    let mut lines = vec![("annotation", facts.annotation.clone()), ("input", input(facts))];
    if facts.mstats {
        lines.push(("keys", KEYS.to_owned()));
    }
    lines.push(("reports", reports(facts)));
    if let Some(aggregate) = facts.period.as_ref().and_then(|period| period.aggregate.as_deref()) {
        lines.push(("aggregate", format!("{aggregate}: {} in the period", algorithm(aggregate, None))));
    }
    lines.push(("computes", format!("{}: {}", facts.algorithm, algorithm(&facts.algorithm, facts.window.as_ref()))));
    if let Some(moments) = &facts.moments {
        lines.extend(of_moments(moments, facts.period.as_ref()));
    }
    if let Some(window) = &facts.window {
        lines.push(("window", of_window(window)));
    }
    lines.push(("silence", silence(facts.silence).to_owned()));
    let whose = if facts.mstats { "key" } else { "object" };
    lines.push(("state", format!("at most {} bytes for each {whose}", facts.state_bytes)));
    lines.into_iter().map(|(label, text)| format!("{label:LABEL$}{text}\n")).collect()
}

const KEYS: &str = "each key of the map has a pipeline of its own; a key with the delete mark is dropped, an empty map \
                    drops all";

fn input(facts: &Facts) -> String {
    let meaning = match facts.metric {
        MetricKind::Agg => {
            "readings of a counter, of which the differences count; the first one counts whole, and one that fell is \
             a reset and counts whole"
        }
        MetricKind::Diff => "differences already, taken as they come",
        MetricKind::Plain => "taken as they come",
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

fn algorithm(name: &str, window: Option<&Window>) -> String {
    let of_what = match window {
        Some(window) => format!("of the last {} s", window.seconds),
        None => "of all samples".to_owned(),
    };
    match name {
        "DSSum" => format!("the sum {of_what}"),
        "DSAvg" => format!("the mean {of_what}, cut to a whole number for integers"),
        "DSNone" => "the newest sample".to_owned(),
        "DSNon0" => "the newest sample, unchanged while it is 0".to_owned(),
        "DSChange" => "the newest sample, unchanged while it equals the one before".to_owned(),
        "DSNull" => "the newest sample and the number of samples".to_owned(),
        "DSEWM" => "exponentially weighted mean and deviation, and the newest value's distance (sigma)".to_owned(),
        "DSAnomaly" => "how many deviations (sigma) the newest value is away from an exponentially weighted mean; \
                        unchanged while this and the previous |sigma| are below 0.5"
            .to_owned(),
        _ => "a registered algorithm".to_owned(),
    }
}

fn of_moments(moments: &Moments, period: Option<&Period>) -> Vec<(&'static str, String)> {
    let mut lines = vec![("alpha", format!("{}: the weight of the newest value", moments.alpha))];
    if let Some(warm_up) = moments.warm_up {
        let time = period.map_or_else(String::new, |period| {
            let seconds = u64::from(period.every) * u64::from(period.struct_seconds);
            format!(", {} s with the built-in types", warm_up.saturating_mul(seconds))
        });
        lines.push(("warm-up", format!("not ready before {warm_up} values (1/alpha){time}")));
    }
    let bound = format!(
        "|sigma| stays at or below {:.4} (sqrt((1-alpha)/alpha)), since the newest value is part of the mean; on a \
         perfectly flat series rounding may let it settle at {:.4}",
        moments.sigma_bound, moments.flat_sigma
    );
    lines.push(("bound", bound));
    lines
}

fn of_window(window: &Window) -> String {
    format!(
        "slides in buckets of {} us; not ready before {} s have passed since the first sample, and samples must come \
         in order of buckets",
        window.bucket_micros, window.seconds
    )
}

fn silence(silence: Silence) -> &'static str {
    match silence {
        Silence::NoReport => "no sample, no report",
        Silence::NoResult => "a period without samples has no result",
        Silence::ZeroOnce => {
            "the first period without samples counts as 0, later ones are nothing (a struct may say otherwise with \
             silence=\"zero\" or \"skip\")"
        }
    }
}
