//! A series: its labels, checked and in canonical order, and its points.

use crate::Limits;

/// The label with the name of the metric.
pub const METRIC_NAME: &str = "__name__";

/// The bits of the value that marks the end of a series: a NaN that no computation makes. Prometheus sends it when a
/// target, or a series of one, is gone.
///
/// <https://prometheus.io/docs/specs/prw/remote_write_spec/#stale-markers>
pub const STALE_MARKER: u64 = 0x7ff0_0000_0000_0002;

/// Whether a value marks the end of its series.
pub fn is_stale_marker(value: f64) -> bool {
    value.to_bits() == STALE_MARKER
}

/// A series with what a request has of it.
#[derive(Clone, Copy, Debug)]
pub struct Series<'s> {
    /// Its labels.
    pub labels: &'s Labels<'s>,
    /// What its values are, as far as the sender states it.
    pub meaning: Meaning,
    /// Its samples, in the order of the request.
    pub samples: &'s [Point],
    /// Its native histograms, in the order of the request.
    pub histograms: &'s [HistogramPoint],
}

/// What the values of a series are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Meaning {
    /// Each is an increase since the one before: a delta.
    Change,
    /// Each is a reading of a counter, which falls only when it starts anew.
    Counter,
    /// Each is a sum that rises and falls, such as the number of open connections.
    Level,
    /// The sender does not state it.
    #[default]
    Unstated,
}

/// A sample of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// UTC milliseconds since 1970.
    pub timestamp_ms: i64,
    /// When the counter started, in UTC milliseconds; 0 if the sender does not state it.
    pub start_ms: i64,
    /// The value, which may be NaN, infinite or [the marker of the end](is_stale_marker).
    pub value: f64,
    /// The value exactly, if the format has it as an integer that `value` only has rounded: one beyond 2^53 by size.
    pub integer: Option<Integer>,
}

/// An integer of 64 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Integer {
    /// With a sign.
    Signed(i64),
    /// Without a sign.
    Unsigned(u64),
}

impl Integer {
    /// The nearest double, and the integer if the double may be another number: from 2^53 on by size, where not every
    /// integer is a double.
    pub(crate) fn split(self) -> (f64, Option<Self>) {
        let (value, size) = match self {
            Self::Signed(integer) => (integer as f64, integer.unsigned_abs()),
            Self::Unsigned(integer) => (integer as f64, integer),
        };
        (value, (size >= 1 << f64::MANTISSA_DIGITS).then_some(self))
    }
}

/// A native histogram, reduced to the numbers that a classic histogram has in `_count` and `_sum`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HistogramPoint {
    /// UTC milliseconds since 1970.
    pub timestamp_ms: i64,
    /// When it started, as in [`Point`].
    pub start_ms: i64,
    /// The number of observations.
    pub count: f64,
    /// The sum of the observations. [The marker of the end](is_stale_marker) ends the series.
    pub sum: f64,
}

/// The labels of a series by name: unique, none empty, with the name of the metric.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Labels<'t> {
    pairs: Vec<(&'t str, &'t str)>,
}

impl<'t> Labels<'t> {
    /// Sorts and checks labels. A label with an empty value is the same as none, so it is left out.
    ///
    /// # Errors
    ///
    /// A [`SeriesError`] with the name of the metric as far as it is known.
    pub fn new(mut pairs: Vec<(&'t str, &'t str)>, limits: &Limits) -> Result<Self, SeriesError> {
        let fault = |fault| SeriesError { metric: name_in(&pairs).to_owned(), fault };
        if pairs.len() > limits.labels {
            return Err(fault(SeriesFault::TooManyLabels { found: pairs.len(), limit: limits.labels }));
        }
        for (name, value) in &pairs {
            check(name, value, limits).map_err(fault)?;
        }
        // Senders sort labels; others may not, and the order means nothing.
        let is_canonical = pairs.is_sorted_by(|(one, _), (next, _)| one < next);
        let twice = if is_canonical { None } else { sort(&mut pairs) };
        if let Some(name) = twice {
            return Err(SeriesError {
                metric: name_in(&pairs).to_owned(),
                fault: SeriesFault::DuplicateLabel { name },
            });
        }
        pairs.retain(|(_, value)| !value.is_empty());
        if name_in(&pairs).is_empty() {
            return Err(SeriesError { metric: String::new(), fault: SeriesFault::NoName });
        }
        Ok(Self { pairs })
    }

    /// The memory of the labels, for those of another series.
    pub(crate) fn into_pairs(self) -> Vec<(&'t str, &'t str)> {
        self.pairs
    }

    /// The name of the metric.
    pub fn metric(&self) -> &'t str {
        name_in(&self.pairs)
    }

    /// The value of a label; empty for one that the series does not have, which means the same.
    pub fn value(&self, name: &str) -> &'t str {
        match self.pairs.binary_search_by_key(&name, |(name, _)| name) {
            Ok(index) => self.pairs.get(index).map_or("", |(_, value)| value),
            Err(_) => "",
        }
    }

    /// Names and values by name, with that of the metric.
    pub fn iter(&self) -> impl Iterator<Item = (&'t str, &'t str)> + '_ {
        self.pairs.iter().copied()
    }
}

/// Sorts labels; the first name that is there twice.
fn sort(pairs: &mut [(&str, &str)]) -> Option<String> {
    pairs.sort_unstable();
    pairs.windows(2).find_map(|pair| match pair {
        [(name, _), (next, _)] if name == next => Some((*name).to_owned()),
        _ => None,
    })
}

fn name_in<'t>(pairs: &[(&'t str, &'t str)]) -> &'t str {
    pairs.iter().find(|(name, _)| *name == METRIC_NAME).map_or("", |(_, value)| value)
}

fn check(name: &str, value: &str, limits: &Limits) -> Result<(), SeriesFault> {
    if name.is_empty() {
        return Err(SeriesFault::EmptyLabelName { value: shortened(value) });
    }
    let (length, limit) = (name.len(), limits.label_name_bytes);
    if length > limit {
        return Err(SeriesFault::LongLabelName { name: shortened(name), length, limit });
    }
    let (length, limit) = (value.len(), limits.label_value_bytes);
    if length > limit {
        return Err(SeriesFault::LongLabelValue { name: shortened(name), length, limit });
    }
    Ok(())
}

/// The beginning of a text of the request, for an error.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN: usize = 64;
    match text.char_indices().nth(SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

/// Why a series is not taken: it can never be, in no later request either.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}: {fault}", subject(.metric))]
pub struct SeriesError {
    /// The name of the metric; empty if it is not known.
    pub metric: String,
    /// What is wrong.
    pub fault: SeriesFault,
}

fn subject(metric: &str) -> String {
    if metric.is_empty() { "a series without a name".to_owned() } else { format!("series `{}`", shortened(metric)) }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'t>(pairs: &[(&'t str, &'t str)]) -> Result<Labels<'t>, String> {
        Labels::new(pairs.to_vec(), &Limits::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_are_in_order_of_their_names_and_an_empty_one_is_none() {
        let labels = labels(&[("job", "a"), (METRIC_NAME, "up"), ("env", ""), ("code", "200")]).unwrap();
        assert_eq!(labels.iter().collect::<Vec<_>>(), [(METRIC_NAME, "up"), ("code", "200"), ("job", "a")]);
        assert_eq!((labels.metric(), labels.value("job"), labels.value("env")), ("up", "a", ""));
    }

    #[test]
    fn each_fault_names_the_series_and_the_remedy() {
        let long = "x".repeat(9000);
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("job", "a")], "a series without a name: the label `__name__` is missing or empty; name the metric"),
            (
                &[(METRIC_NAME, "")],
                "a series without a name: the label `__name__` is missing or empty; name the metric",
            ),
            (
                &[(METRIC_NAME, "up"), ("", "v")],
                "series `up`: the label with the value `v` has no name; name it, or leave it out",
            ),
            (
                &[(METRIC_NAME, "up"), ("a", "1"), ("a", "2")],
                "series `up`: the label `a` is there twice; send each label once",
            ),
            (
                &[(METRIC_NAME, "up"), ("a", &long)],
                "series `up`: the value of the label `a` has 9000 bytes, at most 8192 are taken; drop or shorten the label",
            ),
            (
                &[(METRIC_NAME, "up"), (&long[..600], "1")],
                "series `up`: the name of the label `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` \
                 has 600 bytes, at most 512 are taken; shorten it",
            ),
        ];
        for (pairs, expected) in cases {
            assert_eq!(labels(pairs), Err(expected.to_owned()), "{expected}");
        }
        let many: Vec<_> = (0..130).map(|index| (format!("l{index}"), "x")).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert!(labels(&many).unwrap_err().contains("it has 130 labels, at most 128"));
    }

    #[test]
    fn only_the_marker_itself_ends_a_series() {
        assert!(is_stale_marker(f64::from_bits(STALE_MARKER)));
        assert!(!is_stale_marker(f64::NAN) && !is_stale_marker(0.0));
    }
}
