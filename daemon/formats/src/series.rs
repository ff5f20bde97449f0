//! A series: its labels, checked and in canonical order, and its points.

mod error;

pub use self::error::{SeriesError, SeriesFault};
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
    /// A [`SeriesError`].
    pub fn new(mut pairs: Vec<(&'t str, &'t str)>, limits: &Limits) -> Result<Self, SeriesError> {
        let fault = |fault| SeriesError::of(&pairs, fault);
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
            return Err(SeriesError::of(&pairs, SeriesFault::DuplicateLabel { name }));
        }
        pairs.retain(|(_, value)| !value.is_empty());
        if name_in(&pairs).is_empty() {
            return Err(SeriesError::of(&pairs, SeriesFault::NoName));
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

    /// The series for an error, as in PromQL, with a metric that may be derived from that of the series: the beginning of each
    /// text, and the labels that fit in about 128 bytes.
    pub fn shown(&self, metric: &str) -> String {
        error::shown(metric, &self.pairs)
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
            (&[("job", "a")], "series `{job=\"a\"}`: the label `__name__` is missing or empty; name the metric"),
            (
                &[(METRIC_NAME, "")],
                "a series without a name: the label `__name__` is missing or empty; name the metric",
            ),
            (
                &[(METRIC_NAME, "up"), ("", "v")],
                "series `up{=\"v\"}`: the label with the value `v` has no name; name it, or leave it out",
            ),
            (
                &[(METRIC_NAME, "up"), ("a", "1"), ("a", "2")],
                "series `up{a=\"1\",a=\"2\"}`: the label `a` is there twice; send each label once",
            ),
            (
                &[(METRIC_NAME, "up"), ("a", &long)],
                "series `up{a=\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…\"}`: the value of the label \
                 `a` has 9000 bytes, at most 8192 are taken; drop or shorten the label",
            ),
            (
                &[(METRIC_NAME, "up"), (&long[..600], "1")],
                "series `up{xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…=\"1\"}`: the name of the label \
                 `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` has 600 bytes, at most 512 are taken; shorten it",
            ),
        ];
        for (pairs, expected) in cases {
            assert_eq!(labels(pairs), Err(expected.to_owned()), "{expected}");
        }
        let many: Vec<_> = (0..130).map(|index| (format!("l{index}"), "x")).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let error = labels(&[&[(METRIC_NAME, "up")], &many[..]].concat()).unwrap_err();
        assert!(error.starts_with("series `up{l0=\"x\",l1=\"x\",") && error.len() < 400, "{error}");
        assert!(error.contains(",…}`: it has 131 labels, at most 128"), "{error}");
    }

    #[test]
    fn only_the_marker_itself_ends_a_series() {
        assert!(is_stale_marker(f64::from_bits(STALE_MARKER)));
        assert!(!is_stale_marker(f64::NAN) && !is_stale_marker(0.0));
    }
}
