//! `DSHistogram:bounds[:range]`: the number of samples up to each bound, as the buckets of a Prometheus histogram.
//!
//! ```text
//! le_B = the number of samples x with x <= B
//! ```
//!
//! | | |
//! |---|---|
//! | source | the definition; cumulative as in the exposition format of Prometheus |
//! | unit and type | samples, as u64 |
//! | range | 1 to 63 bounds, ascending; counts stop at 2^64-1 |
//! | error | none; integers above 2^53 are compared as doubles |
//! | memory | 80 bytes an object; of more than 9 bounds 16, and 8 for each bound and one more with samples |
//! | cost | a comparison with each bound for each sample, 15 ns for 9 |
//!
//! Bounds are those of the annotation, so a result of one object can be added to that of another, and merging is exact.
//! The number of bounds is limited by the [numbers of a result](crate::Record::MAX_NUMBERS). A percentile needs no
//! bounds and has a relative error: see `DSPercentile`. A sum that overflowed counts as the bound of its type.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::algorithm::counts::{self, COUNTS, Classes, Counts, Few, MOST_COUNTS, Many, algorithm_of_counts};
use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{
    Argument, ArgumentError, ArgumentKind, Claims, Entry, Explanation, Field, Given, NumberKind, Roles, Unit,
};
use crate::number::Numeric;
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};
use crate::text::is_decimal;

/// The largest number of bounds: the last count is that of all samples.
const MOST: usize = MOST_COUNTS - 1;

const EXPECTED: &str = "1 to 63 ascending decimal numbers with `,` between them, such as `10,100,1000`";

/// The menu entry of `DSHistogram`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSHistogram", Roles::PERIOD, "the number of samples up to each bound", |given| {
        let histogram = Histogram::new(given.text(0).unwrap_or_default());
        let bad = |HistogramError| ArgumentError::Bad { index: 0, expected: EXPECTED.to_string() };
        match histogram.map_err(bad)? {
            histogram if histogram.counts() <= COUNTS => built(given, 1, Few(histogram)),
            histogram => built(given, 1, Many(histogram)),
        }
    })
    .arguments(&[Argument::required("bounds", ArgumentKind::List { most: MOST }, EXPECTED, "10,100,1000"), RANGE])
    .structured_by("HistogramResult", |given, _| Cow::Owned(fields(given)))
    .explained(|given, _| explain(given))
    .claims(Claims { merges: true, order_insensitive: true, within_samples: false, scales: false });

fn fields(given: &Given<'_>) -> Vec<Field> {
    let mut fields = alloc::vec![Field::number("samples", NumberKind::U64, Unit::Samples, "samples seen")];
    let count = Field::number("le_", NumberKind::U64, Unit::Samples, "samples up to the bound").in_group("counts");
    let bounds = given.text(0).unwrap_or_default().split(',').count().min(MOST);
    fields.extend((0..bounds).map(|part| count.named_by_part(0, part)));
    fields
}

fn explain(given: &Given<'_>) -> Explanation {
    let bounds = given.text(0).unwrap_or_default().replace(',', ", ");
    let whole = alloc::format!("the number of samples up to {bounds}");
    explain_window(given, 1, &whole, &alloc::format!("{whole}, of the last"))
}

/// Counts samples up to bounds.
///
/// 80 bytes an object in an annotation, 88 with this type. The counts of more than 9 bounds are in a box.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut latency = Pipeline::parse("raw:DSHistogram:0.5,10,100")?;
/// for millis in [7, 10, 11, 5000] {
///     latency.update(0, Number::U64(millis))?;
/// }
/// let result = latency.report(0).forced().expect("a result after every sample");
/// let counts = ["le_0_5", "le_10", "le_100", "samples"].map(|name| result.number(name));
/// assert_eq!(counts, [0, 2, 3, 4].map(|count| Some(Number::U64(count))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    bounds: Box<[f64]>,
}

/// A text that is not 1 to 63 ascending decimal numbers.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected 1 to 63 ascending decimal numbers with `,` between them, such as `10,100,1000`")]
pub struct HistogramError;

impl Histogram {
    /// A histogram with bounds as in an annotation, such as `-1,0.5,10`.
    ///
    /// # Errors
    ///
    /// [`HistogramError`] for other texts than 1 to 63 finite numbers, each larger than the one before.
    pub fn new(bounds: &str) -> Result<Self, HistogramError> {
        let mut parsed: Vec<f64> = Vec::new();
        for text in bounds.split(',').take(MOST + 1) {
            let size = text.strip_prefix('-').unwrap_or(text);
            let bound: f64 = text.parse().ok().filter(|_| is_decimal(size)).ok_or(HistogramError)?;
            if !bound.is_finite() || parsed.last().is_some_and(|last| bound <= *last) {
                return Err(HistogramError);
            }
            parsed.push(bound);
        }
        if parsed.len() <= MOST { Ok(Self { bounds: parsed.into() }) } else { Err(HistogramError) }
    }

    /// The bounds, ascending.
    pub fn bounds(&self) -> &[f64] {
        &self.bounds
    }
}

impl Classes for Histogram {
    fn counts(&self) -> usize {
        self.bounds.len() + 1
    }

    #[inline]
    fn class<T: Numeric>(&self, value: T) -> usize {
        let x = value.to_f64();
        self.bounds.iter().filter(|bound| x > **bound).count()
    }

    /// All samples at index 0, then those up to each bound.
    fn number(&self, counts: &[u64], index: usize) -> u64 {
        let counted = if index == 0 { counts.len() } else { index };
        counts.iter().take(counted).fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn fill(&self, counts: &[u64], record: &mut Record) {
        let mut sum = 0u64;
        let all = counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
        let up_to = counts.iter().take(self.bounds.len()).map(|count| {
            sum = sum.saturating_add(*count);
            sum
        });
        counts::fill(core::iter::once(all).chain(up_to), record);
    }
}

algorithm_of_counts!(Histogram);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Number;

    #[test]
    fn a_sample_at_a_bound_counts_up_to_it() {
        let histogram = Histogram::new("-1,0,2.5").expect("good bounds");
        let mut state = Algorithm::<f64>::start(&histogram);
        assert_eq!(Algorithm::<f64>::report(&histogram, &state, 0), Report::NotReady(None));
        for value in [-1.5, -1.0, -0.5, -0.0, 0.0, 1.0, 2.5, 2.6, f64::MAX] {
            histogram.update(&mut state, Sample::new(0, value)).expect("every value is a sample");
        }
        let record = Algorithm::<f64>::report(&histogram, &state, 0).forced().expect("there are samples");
        assert_eq!(record, Record::new([9, 2, 5, 7].map(Number::U64)));
    }

    #[test]
    fn nine_bounds_fill_a_result() {
        let histogram = Histogram::new("1,2,3,4,5,6,7,8,9").expect("good bounds");
        let mut state = Algorithm::<u64>::start(&histogram);
        (0..20u64).for_each(|value| histogram.update(&mut state, Sample::new(0, value)).expect("a sample"));
        let record = Algorithm::<u64>::report(&histogram, &state, 0).forced().expect("there are samples");
        assert_eq!(record, Record::new([20, 2, 3, 4, 5, 6, 7, 8, 9, 10].map(Number::U64)));
    }

    #[test]
    fn sixty_three_bounds_fill_the_largest_result() {
        let bounds: Vec<_> = (1..=63).map(|bound| bound.to_string()).collect();
        let histogram = Histogram::new(&bounds.join(",")).expect("good bounds");
        let mut state = Algorithm::<u64>::start(&histogram);
        (0..100u64).for_each(|value| histogram.update(&mut state, Sample::new(0, value)).expect("a sample"));
        let record = Algorithm::<u64>::report(&histogram, &state, 0).forced().expect("there are samples");
        let expected = core::iter::once(100).chain(2..=64).map(|count| Some(Number::U64(count)));
        assert_eq!(Some(record), Record::from_numbers(expected));
        assert_eq!(Histogram::new(&(bounds.join(",") + ",64")), Err(HistogramError));
    }

    #[test]
    fn bounds_that_do_not_ascend_or_are_no_numbers_are_refused() {
        for text in ["", "1,", "2,1", "1,1", "1,1.0", "a", "+1", "--1", "1e999", "inf", "-0,0"] {
            assert_eq!(Histogram::new(text), Err(HistogramError), "{text}");
        }
        assert_eq!(Histogram::new("-1e3,0.5").map(|histogram| histogram.bounds().to_vec()), Ok(vec![-1e3, 0.5]));
    }
}
