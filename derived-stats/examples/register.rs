//! An embedding program registers an algorithm: a maximum that decays.
//!
//! `DSPeak:half_life` is the largest sample, halved for every whole half-life (in seconds) since its sample. It is used
//! like a built-in one: inline, and as the aggregate of a period; it is saved and restored with the pipeline.
//!
//! ```text
//! cargo run -p derived-stats --example register
//! ```

use std::error::Error;
use std::sync::Arc;

use derived_stats::entry::{Argument, ArgumentKind, Built, Entry, Field, NumberKind, Role, Roles, Unit};
use derived_stats::{
    Algorithm, Context, Number, Numeric, Output, Pipeline, Record, Registry, Report, RestoreError, Sample, Spec,
    UpdateError, ValueType, WordWriter, Words,
};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The entry: name, roles, arguments and the fields of the result.
static PEAK: Entry =
    Entry::new("DSPeak", Roles::AGGREGATE, "the largest sample, halved for every half-life", |given| {
        let seconds = given.whole(0).unwrap_or(60);
        Ok(Built::aggregate(Peak { half_life_micros: seconds * MICROS_PER_SECOND }))
    })
    .arguments(&[Argument::required(
        "half-life",
        ArgumentKind::Whole { least: 1, most: 86_400 },
        "a half-life in whole seconds, 1 to 86400",
        "60",
    )])
    .structured(
        "PeakResult",
        &[
            Field::number("peak", NumberKind::F64, Unit::Metric, "the decayed peak").role_of(Role::Value),
            Field::number("age_seconds", NumberKind::U64, Unit::Seconds, "seconds since the sample of the peak"),
        ],
    );

/// The checked parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Peak {
    half_life_micros: u64,
}

/// The state of one object: the largest sample and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct PeakState {
    peak: Option<(f64, u64)>,
}

impl Peak {
    /// The decayed value of a peak at `now`. Halving a double is exact, so the value is the same on every machine.
    fn decayed(&self, (peak, at): (f64, u64), now: u64) -> f64 {
        let halvings = now.saturating_sub(at) / self.half_life_micros;
        peak * 0.5f64.powi(i32::try_from(halvings).unwrap_or(i32::MAX))
    }
}

impl<T: Numeric> Algorithm<T> for Peak {
    type State = PeakState;

    fn start(&self) -> PeakState {
        PeakState::default()
    }

    fn is_empty(&self, state: &PeakState) -> bool {
        state.peak.is_none()
    }

    fn update(&self, state: &mut PeakState, sample: Sample<T>) -> Result<(), UpdateError> {
        let value = sample.value.to_f64();
        if state.peak.is_none_or(|peak| value >= self.decayed(peak, sample.at)) {
            state.peak = Some((value, sample.at));
        }
        Ok(())
    }

    fn report(&self, state: &PeakState, now: u64) -> Report<Record> {
        match state.peak {
            None => Report::NotReady(None),
            Some(peak) => {
                let age = now.saturating_sub(peak.1) / MICROS_PER_SECOND;
                Report::Value(Record::new([Number::F64(self.decayed(peak, now)), Number::U64(age)]))
            }
        }
    }

    fn takes_every_sample(&self) -> bool {
        true
    }

    fn words(&self) -> Option<usize> {
        Some(3)
    }

    fn save(&self, state: &PeakState, words: &mut WordWriter<'_>) {
        words.extend(state.peak.map_or([0; 3], |(value, at)| [1, value.to_bits(), at]));
    }

    fn restore(&self, words: &mut Words<'_>) -> Result<PeakState, RestoreError> {
        let seen = words.flag("peak")?;
        let peak = (words.finite("peak")?, words.next("time of the peak")?);
        Ok(PeakState { peak: seen.then_some(peak) })
    }
}

/// The field `peak` of a report.
fn peak(report: Report<Output<'_>>) -> Option<f64> {
    report.forced()?.number("peak").map(Number::as_f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.register(&PEAK)?;
    let context = Context::new(ValueType::U64).with_registry(&registry);

    // Inline: the peak decays between samples.
    let spec = Arc::new(Spec::parse("raw:DSPeak:60", context)?);
    let mut load = Pipeline::new(spec.clone());
    load.update(0, Number::U64(80))?;
    load.update(30 * MICROS_PER_SECOND, Number::U64(30))?;
    assert_eq!(peak(load.report(59 * MICROS_PER_SECOND)), Some(80.0));
    assert_eq!(peak(load.report(120 * MICROS_PER_SECOND)), Some(20.0));

    // Restart: a saved state continues, and the state of another half-life is refused.
    let saved = serde_json::to_string(&load.save())?;
    let mut restarted = Pipeline::new(spec);
    restarted.restore(&serde_json::from_str(&saved)?)?;
    restarted.update(130 * MICROS_PER_SECOND, Number::U64(19))?;
    assert_eq!(peak(restarted.report(130 * MICROS_PER_SECOND)), Some(20.0), "19 is below 80 after two half-lives");
    let other = Spec::parse("raw:DSPeak:61", context)?;
    assert!(other.restore(&load.save()).is_err());

    // Periodic: each period has its own peak.
    let mut periods = Pipeline::new(Arc::new(Spec::parse("1-raw:DSPeak:60", context)?));
    for (minute, value) in [(1, 80), (2, 30)] {
        periods.update(minute * 60 * MICROS_PER_SECOND, Number::U64(value))?;
        let closed = periods.close_period((minute + 1) * 60 * MICROS_PER_SECOND).and_then(peak);
        assert_eq!(closed, Some(value as f64 / 2.0), "one half-life after its sample");
    }

    // Before a detector: each period's peak is scored against those before it.
    let mut scores = Pipeline::new(Arc::new(Spec::parse("1.DSPeak(60)-raw:DSAnomaly:EWM:0.5", context)?));
    for minute in 1..=3 {
        scores.update(minute * 60 * MICROS_PER_SECOND, Number::U64(80))?;
        scores.close_period((minute + 1) * 60 * MICROS_PER_SECOND);
    }
    let scored = scores.report(0).forced().ok_or("ready after two periods")?;
    assert_eq!(scored.value(), Some(Number::F64(40.0)));

    // An error in the annotation has the span of the mistake.
    let Err(error) = Spec::parse("raw:DSPeak:soon", context) else {
        return Err("a half-life in words was taken".into());
    };
    println!("{error}");
    assert_eq!(error.span().range(), 11..15);
    Ok(())
}

#[test]
fn the_example_runs_and_its_numbers_hold() -> Result<(), Box<dyn Error>> {
    main()
}
