//! `DSNull`: the newest sample and the number of samples, for trying out the plumbing.

use crate::algorithm::{Algorithm, Sample, UpdateError};
use crate::number::Numeric;
use crate::report::{NullResult, Output, Report};
use crate::saved::{RestoreError, Words};

/// Counts samples and shows the newest.
///
/// ```
/// use derived_stats::{Number, Output, Pipeline};
///
/// let mut probe = Pipeline::inline("raw:DSNull")?;
/// probe.update(0, Number::U64(5))?;
/// let Some(Output::Null(result)) = probe.report(0).forced() else { unreachable!() };
/// assert_eq!((result.samples, result.value), (1, Number::U64(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Null;

/// The newest sample and the count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NullState<T> {
    samples: u64,
    value: T,
}

impl<T: Numeric> Algorithm<T> for Null {
    type State = NullState<T>;

    fn start(&self) -> NullState<T> {
        NullState::default()
    }

    fn update(&self, state: &mut NullState<T>, sample: Sample<T>) -> Result<(), UpdateError> {
        state.samples = state.samples.saturating_add(1);
        state.value = sample.value;
        Ok(())
    }

    fn report(&self, state: &NullState<T>, _now: u64) -> Report<Output<'_>> {
        if state.samples == 0 {
            return Report::NotReady(None);
        }
        Report::Value(Output::Null(NullResult { samples: state.samples, value: state.value.into_number() }))
    }

    fn save(&self, state: &NullState<T>, words: &mut Vec<u64>) {
        words.extend([state.samples, state.value.to_bits()]);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<NullState<T>, RestoreError> {
        Ok(NullState { samples: words.next("samples")?, value: words.finite("value")? })
    }
}
