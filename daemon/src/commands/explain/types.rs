//! The built-in proxy types in words.

use std::sync::Arc;

use derived_stats::annotation::nearest;
use proxy_uve::schema::{ProxyType, Schema};

/// What each type is for, in the order of their names.
const SENTENCES: [(&str, &str); 5] = [
    (
        "AggProxyPercentiles",
        "The values below which 50, 90 and 99 of 100 samples of each minute are, with an error of 1 %. For latencies, sizes \
         and loads, whose mean hides the worst cases.",
    ),
    (
        "AggProxySeasonal",
        "The sum of each minute, and how strange it is for its hour of the day and of the week, with an alarm about once a \
         week for each object when nothing happens. For traffic and counts of people's work, after a day of learning.",
    ),
    (
        "AggProxySum",
        "The sum of all samples of each minute, such as the flows of a virtual network over all of its vrouters. The base \
         of the others, and what most charts show.",
    ),
    (
        "AggProxySumAnomalyEWM01",
        "How many deviations the sum of each minute is away from the mean of about the last ten. Contrail's detector: it \
         finds sudden changes after ten minutes, and its score stays below 3.",
    ),
    (
        "AggProxySumLast",
        "The sum of the newest value of each source, such as the flows that all vrouters of a virtual network have now; a \
         vrouter that reports twice in a minute counts once. One that is silent counts with its last value for up to three \
         minutes.",
    ),
];

/// A built-in type and what it is for; `None` if the name is of none.
pub(super) fn find(name: &str) -> Option<(Arc<ProxyType>, &'static str)> {
    let (_, text) = SENTENCES.iter().find(|(of, _)| *of == name)?;
    Some((Arc::clone(Schema::extended().get(name)?), *text))
}

/// The error for a text that is neither the name of a type nor an annotation, which has a `:`.
pub(super) fn unknown(text: &str) -> String {
    let names = || SENTENCES.iter().map(|(name, _)| *name);
    let same = names().find(|name| name.eq_ignore_ascii_case(text));
    let meant = same.or_else(|| nearest(text, names())).map(|name| format!("did you mean `{name}`?"));
    format!(
        "error: `{text}` is neither an annotation, such as `1-raw:DSSum`, nor a built-in type ({}); {}",
        names().collect::<Vec<_>>().join(", "),
        meant.unwrap_or_else(|| "name the configuration of one of your own with --config FILE".to_owned())
    )
}

/// A type of a schema file of the configuration, in one sentence.
pub(super) fn words_of(of: &ProxyType) -> String {
    let period =
        of.period_seconds().map_or_else(|| "for each sample".to_owned(), |seconds| format!("every {seconds} s"));
    let expires = match of.timeout() {
        0 => "objects never expire".to_owned(),
        1 => "an object without samples expires after 1 period".to_owned(),
        timeout => format!("an object without samples expires after {timeout} periods"),
    };
    format!("A type of a schema file: results {period}; {expires}.")
}

/// The error for the name of a type that the configuration does not have.
pub(super) fn unknown_in(text: &str, schema: &Schema) -> String {
    let meant = nearest(text, schema.names()).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
    let known = schema.names().collect::<Vec<_>>().join(", ");
    format!("error: `{text}` is no proxy type of the configuration, which has {known}{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_built_in_type_has_two_sentences() {
        let names: Vec<_> = SENTENCES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(Schema::extended().names().map(str::to_owned).collect::<Vec<_>>(), names);
        for (name, text) in SENTENCES {
            assert_eq!(text.matches(['.', '!']).count(), 2, "{name}: {text}");
        }
    }
}
