//! `CountAbove:<limit>` counts the samples above a limit, and all samples.

use derived_stats::entry::{Argument, ArgumentError, ArgumentKind, Built, Entry, Field, NumberKind, Role, Roles, Unit};
use derived_stats::{Algorithm, Number, Numeric, Record, Report, RestoreError, Sample, UpdateError, WordWriter, Words};

/// The entry of the algorithm in the registry.
pub(crate) static ENTRY: Entry = Entry::new("CountAbove", Roles::AGGREGATE, SUMMARY, |given| {
    let text = given.text(0).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(limit) if limit.is_finite() => Ok(Built::aggregate(CountAbove { limit })),
        _ => {
            Err(ArgumentError::other(format!("`{text}` is not a limit; write a finite number, as in `CountAbove:100`")))
        }
    }
})
.arguments(&[Argument::required("limit", ArgumentKind::Text, "a finite number", "100")])
.structured(
    "CountAboveResult",
    &[
        Field::number("above", NumberKind::U64, Unit::Samples, "samples above the limit").role_of(Role::Value),
        Field::number("samples", NumberKind::U64, Unit::Samples, "all samples"),
    ],
);

const SUMMARY: &str = "how many samples are above a limit, and how many samples there are";

/// The algorithm with its parsed parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
struct CountAbove {
    limit: f64,
}

/// The state of one object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Counts {
    above: u64,
    samples: u64,
}

impl<T: Numeric> Algorithm<T> for CountAbove {
    type State = Counts;

    fn start(&self) -> Counts {
        Counts::default()
    }

    fn is_empty(&self, state: &Counts) -> bool {
        state.samples == 0
    }

    fn update(&self, state: &mut Counts, sample: Sample<T>) -> Result<(), UpdateError> {
        state.samples = state.samples.saturating_add(1);
        state.above = state.above.saturating_add(u64::from(sample.value.to_f64() > self.limit));
        Ok(())
    }

    fn report(&self, state: &Counts, _now: u64) -> Report<Record> {
        if state.samples == 0 {
            return Report::NotReady(None);
        }
        Report::Value(Record::new([Number::U64(state.above), Number::U64(state.samples)]))
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn words(&self) -> Option<usize> {
        Some(2)
    }

    fn save(&self, state: &Counts, words: &mut WordWriter<'_>) {
        words.extend([state.above, state.samples]);
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<Counts, RestoreError> {
        Ok(Counts { above: words.next("samples above the limit")?, samples: words.next("samples")? })
    }
}
