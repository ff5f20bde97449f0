//! Why a series is not taken.

use super::{METRIC_NAME, name_in, shortened};

/// Why a series is not taken: it can never be, in no later request either.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {fault}", subject(.series))]
pub struct SeriesError {
    /// The name of the metric with the labels, as far as they are known and fit; empty if nothing is known.
    pub series: String,
    /// What is wrong.
    pub fault: SeriesFault,
}

impl SeriesError {
    /// The error of a series with these labels.
    pub(crate) fn of(pairs: &[(&str, &str)], fault: SeriesFault) -> Self {
        Self { series: shown(name_in(pairs), pairs), fault }
    }
}

fn subject(series: &str) -> String {
    if series.is_empty() { "a series without a name".to_owned() } else { format!("series `{series}`") }
}

/// A series as in PromQL, `up{job="a"}`: the beginning of its texts, and the labels that fit in [`SHOWN_BYTES`].
pub(super) fn shown(metric: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = shortened(metric);
    let labels = pairs.iter().filter(|(name, _)| *name != METRIC_NAME);
    for (index, (name, value)) in labels.enumerate() {
        text.push(if index == 0 { '{' } else { ',' });
        let label = format!("{}={:?}", shortened(name), shortened(value));
        if text.len() + label.len() > SHOWN_BYTES {
            text.push('…');
            break;
        }
        text.push_str(&label);
    }
    if pairs.iter().any(|(name, _)| *name != METRIC_NAME) {
        text.push('}');
    }
    text
}

/// The most bytes of a series in an error, about.
const SHOWN_BYTES: usize = 128;

/// What is wrong with a series.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SeriesFault {
    /// Two labels have one name.
    #[error("the label `{}` is there twice; send each label once", shortened(.name))]
    DuplicateLabel {
        /// The name.
        name: String,
    },
    /// A label without a name.
    #[error("the label with the value `{value}` has no name; name it, or leave it out")]
    EmptyLabelName {
        /// The beginning of its value.
        value: String,
    },
    /// A label's name is too long.
    #[error("the name of the label `{name}` has {length} bytes, at most {limit} are taken; shorten it")]
    LongLabelName {
        /// Its beginning.
        name: String,
        /// Its length in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// A label's value is too long.
    #[error("the value of the label `{name}` has {length} bytes, at most {limit} are taken; drop or shorten the label")]
    LongLabelValue {
        /// The name of the label.
        name: String,
        /// The length of the value in bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Nesting in a value is too deep.
    #[error("the value of the attribute `{}` is nested more than {limit} times; send plain values", shortened(.name))]
    Nesting {
        /// The name of the attribute.
        name: String,
        /// The limit.
        limit: usize,
    },
    /// The label `__name__` is missing or empty.
    #[error("the label `__name__` is missing or empty; name the metric")]
    NoName,
    /// A sum or a histogram without its temporality.
    #[error("its aggregation temporality is not stated; send cumulative (2) or delta (1) values")]
    NoTemporality,
    /// A point without a value.
    #[error("a point has no value; send `asDouble` or `asInt`, or the flag for no recorded value")]
    NoValue,
    /// A label is not a text.
    #[error("a label is not UTF-8; send names and values in UTF-8")]
    NotUtf8,
    /// A reference without a partner: names and values alternate.
    #[error("it has {count} references to names and values of labels; send an even number")]
    OddReferences {
        /// Their number.
        count: usize,
    },
    /// More bytes than are allowed.
    #[error(
        "it has {length} bytes, at most {limit} are taken; drop or shorten labels, or send fewer samples, buckets or \
         exemplars at a time"
    )]
    TooLarge {
        /// The length of the encoded message: a series with its samples, or a point.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// More labels than are allowed.
    #[error("it has {found} labels, at most {limit} are taken; drop some")]
    TooManyLabels {
        /// Their number.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// A reference to a text that the request does not have.
    #[error("it refers to symbol {reference}, but the request has {symbols}; send all symbols")]
    UnknownSymbol {
        /// The reference.
        reference: u64,
        /// The number of symbols.
        symbols: usize,
    },
}
