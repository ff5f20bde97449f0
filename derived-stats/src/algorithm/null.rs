//! `DSNull`: the newest sample and the number of samples, to test a configuration.
//!
//! ```text
//! value = xn, samples = n
//! ```
//!
//! | | |
//! |---|---|
//! | source | `DSNull` in `derived_stats_algo.h` of Contrail's sandesh library |
//! | unit, type and range | as the metric |
//! | error | none |
//! | memory | 16 bytes an object |
//! | cost | constant for each sample |

use crate::algorithm::fixed::{FixedState, ensure, state_is_fixed};
use crate::algorithm::{Algorithm, Sample, UpdateError};
use crate::entry::{Built, Entry, Field, NumberKind, Role, Roles, Unit};
use crate::number::{Number, Numeric};
use crate::record::Record;
use crate::report::{Flaw, Report};
use crate::saved::RestoreError;

/// The menu entry of `DSNull`.
pub(crate) static ENTRY: Entry =
    Entry::new("DSNull", Roles::INLINE, "the newest sample and the number of samples", |_| Ok(Built::aggregate(Null)))
        .structured(
            "NullResult",
            &[
                Field::number("samples", NumberKind::U64, Unit::Samples, "samples seen"),
                Field::number("value", NumberKind::Metric, Unit::Metric, "the newest sample").role_of(Role::Value),
            ],
        );

/// Counts samples and returns the newest.
///
/// 16 bytes an object.
///
/// ```
/// use derived_stats::{Number, Pipeline};
///
/// let mut probe = Pipeline::parse("raw:DSNull")?;
/// probe.update(0, Number::U64(5))?;
/// let result = probe.report(0).forced().expect("a result after every sample");
/// assert_eq!(result.number("samples"), Some(Number::U64(1)));
/// assert_eq!(result.value(), Some(Number::U64(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Null;

/// The newest sample and the number of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NullState<T> {
    /// The number of samples, and in the lowest bit whether the newest sample is the bound of its type.
    samples: u64,
    value: T,
}

impl<T: Numeric> Algorithm<T> for Null {
    state_is_fixed!(NullState<T>, 2);

    fn update(&self, state: &mut NullState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.samples = (state.samples >> 1).saturating_add(1).min(u64::MAX >> 1) << 1 | u64::from(sample.overflowed);
        state.value = sample.value;
        Ok(())
    }

    fn report(&self, state: &NullState<T>, _now: u64) -> Report<Record> {
        if state.samples == 0 {
            return Report::NotReady(None);
        }
        let record = Record::new([Number::U64(state.samples >> 1), state.value.into_number()]);
        Report::Value(record.flawed((state.samples & 1 == 1).then_some(Flaw::Overflow)))
    }
}

impl<T: Numeric> FixedState<2> for NullState<T> {
    const FIELDS: [&'static str; 2] = ["samples", "value"];

    #[inline]
    fn words(&self) -> [u64; 2] {
        [self.samples, self.value.to_bits()]
    }

    #[inline]
    fn from_words([samples, value]: [u64; 2]) -> Self {
        Self { samples, value: T::from_bits(value) }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.samples == 0
    }

    fn check(&self) -> Result<(), RestoreError> {
        ensure(self.value.to_f64().is_finite(), "value", self.value.to_bits())?;
        // Without samples there is neither a value nor a flag.
        ensure(self.samples >= 2 || *self == Self::default(), "samples", self.samples)
    }
}
