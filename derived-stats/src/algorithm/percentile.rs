//! `DSPercentile:percentiles[:error[:range]]`: percentiles of the samples, from a sketch of logarithmic buckets.
//!
//! ```text
//! rank(p)  = floor(p/100 * (n-1))                             counted from 0 in the sorted samples
//! pX       = the middle of the bucket that holds the sample of that rank, within the smallest and the largest sample
//! ```
//!
//! | | |
//! |---|---|
//! | source | DDSketch, see below; the result is Contrail's `PercentileResult` |
//! | unit and type | of the metric, as a double |
//! | range | all finite samples: negative ones, 0 and positive ones |
//! | error | at most `error * abs(x)` for the sample x of that rank (default 0.01); exact for p0, p100 and 0 |
//! | memory | 8 bytes an object; with samples 120 and the counts, at most 18 KB (u64) or 36 KB (i64, f64) at 0.01 |
//! | cost | constant for each sample, 16 ns; a result iterates over the buckets |
//!
//! Source: C. Masson, J. Rim, H. Lee, "DDSketch: A fast and fully-mergeable quantile sketch with relative-error
//! guarantees", PVLDB 12 (2019), <https://arxiv.org/abs/1908.10693>.
//!
//! A count takes 1 byte (2, 4 or 8 if one of them is larger) for each bucket between the smallest and the largest size,
//! which are 350 buckets for three decades at 0.01, and for up to half as many spare ones. Over a range there are up to
//! 258 sketches.
//!
//! `p/100 * (n-1)` is computed in integers, so the rank is exact. Merging adds counts: a merged sketch equals that of
//! all samples bit for bit, in every order, also where buckets were collapsed.
//!
//! The buckets of one sign cover sizes from the largest sample down to 2^-64 of it: 2241 buckets for an error of 0.01.
//! Integers never need more. Smaller samples count as that smallest size, because a sketch without a bound could
//! be made to take any memory; the results from then on carry an error ([`COLLAPSED`](crate::COLLAPSED)). High
//! percentiles of sizes keep their accuracy. Doubles below 2.2e-308 are accurate to one step of their type.
//!
//! Neighbours: a t-digest is smaller, but has no proven error after a merge; an HdrHistogram allocates its whole range.
//! The kept crate (`sketches-ddsketch`) takes 8 bytes for each bucket, needs the standard library, and computes
//! logarithms, which differ between platforms; the tests compare with it.

mod bins;
mod mapping;
mod parameters;
mod percent;
mod sketch;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::algorithm::range::{RANGE, built, explain_window};
use crate::algorithm::{Algorithm, Measured, MergeError, Sample, UpdateError, Windowed};
use crate::entry::{
    Argument, ArgumentError, ArgumentKind, Claims, Entry, Explanation, Field, Given, NumberKind, Role, Roles, Unit,
};
use crate::number::{Number, Numeric, ValueType};
use crate::record::Record;
use crate::report::Report;
use crate::saved::{RestoreError, WordWriter, Words};

use self::mapping::Mapping;
use self::parameters::Parameters;
use self::percent::Percent;
use self::sketch::Sketch;

/// The largest number of percentiles: the numbers of a record without the number of samples.
const MOST: usize = Record::MAX_NUMBERS - 1;

/// The relative error without an argument.
const DEFAULT_ERROR: f64 = 0.01;

/// The bounds of the relative error. Below the lower one a sketch could take megabytes.
const LEAST_ERROR: f64 = 0.0005;
const MOST_ERROR: f64 = 0.5;

const EXPECTED: &str = "1 to 63 different percentiles with `,` between them, each 0 to 100 with at most 4 decimals, \
                        such as `50,90,99`";

/// The menu entry of `DSPercentile`.
pub(crate) static ENTRY: Entry = Entry::new("DSPercentile", Roles::AGGREGATE, "percentiles of the samples", |given| {
    built(given, 2, percentile(given)?)
})
.arguments(&[
    Argument::required("percentiles", ArgumentKind::List { most: MOST }, EXPECTED, "50,90,99"),
    Argument::optional(
        "error",
        ArgumentKind::Decimal { above: LEAST_ERROR, most: MOST_ERROR },
        "a relative error above 0.0005 and at most 0.5",
        "0.01",
    )
    .absent_is_decimal(DEFAULT_ERROR),
    RANGE,
])
.structured_by("PercentileResult", |given, _| Cow::Owned(fields(given)))
.explained(|given, _| explain(given))
.claims(Claims { merges: true, order_insensitive: true, within_samples: true, scales: true });

/// Reads the arguments.
fn percentile(given: &Given<'_>) -> Result<Percentile, ArgumentError> {
    let percentiles = given.text(0).unwrap_or_default();
    let error = given.decimal(1).unwrap_or(DEFAULT_ERROR);
    Percentile::new(percentiles, error).map_err(|_| ArgumentError::Bad { index: 0, expected: EXPECTED.to_string() })
}

fn fields(given: &Given<'_>) -> Vec<Field> {
    let samples = Field::number("samples", NumberKind::U64, Unit::Samples, "samples seen");
    let mut fields = alloc::vec![samples, Field::error().beyond_original()];
    let percentile = Field::number("p", NumberKind::F64, Unit::Metric, "the percentile").in_group("percentiles");
    for part in 0..given.text(0).unwrap_or_default().split(',').count().min(MOST) {
        let field = percentile.named_by_part(0, part);
        fields.push(if part == 0 { field.role_of(Role::Value) } else { field });
    }
    fields
}

fn explain(given: &Given<'_>) -> Explanation {
    let percentiles = given.text(0).unwrap_or_default().replace(',', ", ");
    let error = given.decimal(1).unwrap_or(DEFAULT_ERROR);
    let bound = alloc::format!(
        "each percentile is within {error} of a sample's size, relative to that size; samples smaller than a 2^64th of \
         the largest count as a 2^64th of it, with an error"
    );
    let whole = alloc::format!("the percentiles {percentiles} of the samples");
    explain_window(given, 2, &whole, &alloc::format!("{whole} of the last")).line("error", bound).fact(
        "sketch",
        "relative_error",
        Number::F64(error),
    )
}

/// Percentiles of all samples, with a bounded relative error.
///
/// 8 bytes an object, and some hundred from the first sample on: see the formula of the bound in the source.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut latency = Pipeline::parse("raw:DSPercentile:50,99.9")?;
/// for micros in 1..=1000 {
///     latency.update(micros, Number::U64(micros))?;
/// }
/// let result = latency.report(1000).forced().expect("a result after every sample");
/// let near = |name: &str, exact: f64| {
///     let found = result.number(name).map_or(0.0, Number::as_f64);
///     (found - exact).abs() <= 0.01 * exact
/// };
/// assert!(near("p50", 500.0) && near("p99_9", 999.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Percentile {
    shared: Arc<Parameters>,
}

/// The sketch of one object: 8 bytes, and its buckets on the heap from the first sample on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PercentileState(Option<Box<Sketch>>);

/// Percentages that are not 1 to 63 different numbers between 0 and 100, or an error that is out of range.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "expected 1 to 63 different percentiles of 0 to 100, such as `50,99.9`, and an error above 0.0005 and at most 0.5"
)]
pub struct PercentileError;

impl Percentile {
    /// Percentiles as in an annotation, such as `50,99.9`, with a relative error.
    ///
    /// # Errors
    ///
    /// [`PercentileError`] for other texts than 1 to 63 different percentages of at most 4 decimals, or an error
    /// outside 0.0005 to 0.5.
    pub fn new(percentiles: &str, error: f64) -> Result<Self, PercentileError> {
        let percents: Option<Vec<Percent>> = percentiles.split(',').map(Percent::parse).collect();
        let mut percents: Vec<(Percent, usize)> = percents.ok_or(PercentileError)?.into_iter().zip(0..).collect();
        percents.sort_unstable();
        let is_repeated = percents.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other));
        if is_repeated || percents.len() > MOST || !(error > LEAST_ERROR && error <= MOST_ERROR) {
            return Err(PercentileError);
        }
        let (percents, positions) = percents.into_iter().unzip();
        Ok(Self { shared: Arc::new(Parameters { percents, positions, mapping: Mapping::new(error) }) })
    }

    fn mapping(&self) -> &Mapping {
        &self.shared.mapping
    }
}

impl<T: Numeric> Algorithm<T> for Percentile {
    type State = PercentileState;

    fn start(&self) -> PercentileState {
        PercentileState(None)
    }

    fn is_empty(&self, state: &PercentileState) -> bool {
        state.0.is_none()
    }

    #[inline]
    fn update(&self, state: &mut PercentileState, sample: Sample<T>) -> Result<(), UpdateError> {
        let x = sample.value.to_f64();
        match &mut state.0 {
            Some(sketch) => {
                sketch.add(self.mapping(), x);
                sketch.is_overflowed |= sample.overflowed;
            }
            None => state.0 = Some(Box::new(Sketch::of(self.mapping(), x, sample.overflowed))),
        }
        Ok(())
    }

    fn report(&self, state: &PercentileState, now: u64) -> Report<Record> {
        let mut record = Record::new([]);
        Algorithm::<T>::report_into(self, state, now, &mut record).map(|()| record)
    }

    fn report_into(&self, state: &PercentileState, _now: u64, record: &mut Record) -> Report<()> {
        match &state.0 {
            Some(sketch) => {
                self.shared.fill(sketch, record);
                Report::Value(())
            }
            None => {
                record.clear();
                Report::NotReady(None)
            }
        }
    }

    fn value(&self, state: &PercentileState, _now: u64, value: usize) -> Option<Measured> {
        let sketch = state.0.as_deref()?;
        let number = self.shared.number(sketch, value)?;
        Some(Measured { number, overflowed: sketch.is_overflowed })
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn merge(&self, into: &mut PercentileState, from: &PercentileState) -> Result<(), MergeError> {
        match (&mut into.0, &from.0) {
            (_, None) => {}
            (Some(sketch), Some(from)) => sketch.add_all(self.mapping(), from),
            (sketch @ None, Some(from)) => *sketch = Some(from.clone()),
        }
        Ok(())
    }

    /// The bytes of sizes that spread over 2^64, with counts above 2^32.
    fn heap_bytes(&self) -> usize {
        let signs = if T::TYPE == ValueType::U64 { 1 } else { 2 };
        size_of::<Sketch>() + signs * self.mapping().limit() * size_of::<u64>()
    }

    fn allocated_bytes(&self, state: &PercentileState) -> usize {
        state.0.as_ref().map_or(0, |sketch| size_of::<Sketch>() + sketch.bytes())
    }

    fn grows(&self) -> bool {
        true
    }

    fn save(&self, state: &PercentileState, words: &mut WordWriter<'_>) {
        words.push(u64::from(state.0.is_some()));
        if let Some(sketch) = &state.0 {
            sketch.save(words);
        }
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<PercentileState, RestoreError> {
        match words.flag("sketch")? {
            false => Ok(PercentileState(None)),
            true => Ok(PercentileState(Some(Box::new(Sketch::restore(self.mapping(), words)?)))),
        }
    }
}

impl<T: Numeric> Windowed<T> for Percentile {}

#[cfg(test)]
mod tests;
