//! `CountAbove:<limit>`: how many samples are above a limit, and how many samples there are.

use derived_stats::{
    Algorithm, Number, Numeric, Output, RegisterError, Registry, Report, RestoreError, Sample, UpdateError, Words,
};

/// Adds `CountAbove` to the registry.
pub(crate) fn register(registry: &mut Registry) -> Result<(), RegisterError> {
    registry.register("CountAbove", CountAbove::parse)
}

/// The parameter of the annotation, checked once.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CountAbove {
    limit: f64,
}

/// What one object accumulates.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    above: u64,
    samples: u64,
}

impl CountAbove {
    /// Reads the text after `CountAbove:`. The error is shown under the annotation, with carets at this text.
    fn parse(arguments: &str) -> Result<Self, String> {
        match arguments.parse::<f64>() {
            Ok(limit) if limit.is_finite() => Ok(Self { limit }),
            _ => Err(format!("`{arguments}` is not a limit; write a finite number, as in `CountAbove:100`")),
        }
    }
}

impl<T: Numeric> Algorithm<T> for CountAbove {
    type State = Counts;

    fn start(&self) -> Counts {
        Counts::default()
    }

    fn update(&self, state: &mut Counts, sample: Sample<T>) -> Result<(), UpdateError> {
        state.samples = state.samples.saturating_add(1);
        state.above = state.above.saturating_add(u64::from(sample.value.to_f64() > self.limit));
        Ok(())
    }

    fn report(&self, state: &Counts, _now: u64) -> Report<Output<'_>> {
        if state.samples == 0 {
            return Report::NotReady(None);
        }
        let fields = [("above", state.above), ("samples", state.samples)];
        Report::Value(Output::Record(fields.map(|(name, count)| (name.into(), Number::U64(count))).into()))
    }

    fn save(&self, state: &Counts, words: &mut Vec<u64>) {
        words.extend([state.above, state.samples]);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Counts, RestoreError> {
        Ok(Counts { above: words.next("samples above the limit")?, samples: words.next("samples")? })
    }
}
