//! An embedding program adds an algorithm of its own: a maximum that fades.
//!
//! `DSPeak:half_life` is the largest sample, halved for every whole half-life (in seconds) since it came. It is used
//! like a built-in one: inline, and as the aggregate of a period; it is saved and restored with the pipeline.
//!
//! ```text
//! cargo run -p derived-stats --example register
//! ```

use std::error::Error;
use std::sync::Arc;

use derived_stats::{
    Algorithm, Context, Number, Numeric, Output, Pipeline, Registry, Report, RestoreError, Sample, Spec, UpdateError,
    ValueType, Words,
};

const MICROS_PER_SECOND: u64 = 1_000_000;

/// The parameters: what the annotation says, checked once.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Peak {
    half_life_micros: u64,
}

/// What one object has: the largest sample and when it came.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct PeakState {
    peak: Option<(f64, u64)>,
}

impl Peak {
    /// Reads the text after `DSPeak:`. The error is shown under the annotation, with carets at this text.
    fn parse(arguments: &str) -> Result<Self, String> {
        match arguments.parse::<u32>() {
            Ok(seconds) if seconds > 0 => Ok(Self { half_life_micros: u64::from(seconds) * MICROS_PER_SECOND }),
            _ => Err(format!("`{arguments}` is no half-life; write whole seconds, as in `DSPeak:60`")),
        }
    }

    /// What is left of a peak at `now`. Halving a double is exact, so this is the same on every machine.
    fn faded(&self, (peak, at): (f64, u64), now: u64) -> f64 {
        let halvings = now.saturating_sub(at) / self.half_life_micros;
        peak * 0.5f64.powi(i32::try_from(halvings).unwrap_or(i32::MAX))
    }
}

impl<T: Numeric> Algorithm<T> for Peak {
    type State = PeakState;

    fn start(&self) -> PeakState {
        PeakState::default()
    }

    fn update(&self, state: &mut PeakState, sample: Sample<T>) -> Result<(), UpdateError> {
        let value = sample.value.to_f64();
        if state.peak.is_none_or(|peak| value >= self.faded(peak, sample.at)) {
            state.peak = Some((value, sample.at));
        }
        Ok(())
    }

    fn report(&self, state: &PeakState, now: u64) -> Report<Output<'_>> {
        match state.peak {
            None => Report::NotReady(None),
            Some(peak) => {
                let age = now.saturating_sub(peak.1) / MICROS_PER_SECOND;
                let fields = [("peak", Number::F64(self.faded(peak, now))), ("age_seconds", Number::U64(age))];
                Report::Value(Output::Record(fields.map(|(name, value)| (name.into(), value)).into()))
            }
        }
    }

    fn save(&self, state: &PeakState, words: &mut Vec<u64>) {
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
    match report.forced()? {
        Output::Record(fields) => fields.iter().find(|(name, _)| name == "peak").map(|(_, value)| value.as_f64()),
        _ => None,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut registry = Registry::new();
    registry.register("DSPeak", Peak::parse)?;
    let context = Context { registry: Some(&registry), ..Context::new(ValueType::U64) };

    // Inline: the report fades while no sample comes.
    let spec = Arc::new(Spec::parse("raw:DSPeak:60", context)?);
    let mut load = Pipeline::new(spec.clone());
    load.update(0, Number::U64(80))?;
    load.update(30 * MICROS_PER_SECOND, Number::U64(30))?;
    assert_eq!(peak(load.report(59 * MICROS_PER_SECOND)), Some(80.0));
    assert_eq!(peak(load.report(120 * MICROS_PER_SECOND)), Some(20.0));

    // A restart: the state goes through any serde format, and a state of another half-life is refused.
    let saved = serde_json::to_string(&load.save())?;
    let mut restarted = Pipeline::new(spec);
    restarted.restore(&serde_json::from_str(&saved)?)?;
    restarted.update(130 * MICROS_PER_SECOND, Number::U64(19))?;
    assert_eq!(peak(restarted.report(130 * MICROS_PER_SECOND)), Some(20.0), "19 is below what is left of 80");
    let other = Spec::parse("raw:DSPeak:61", context)?;
    assert!(other.restore(&load.save()).is_err());

    // Periodic: each period has its own peak.
    let mut periods = Pipeline::new(Arc::new(Spec::parse("1-raw:DSPeak:60", context)?));
    for (minute, value) in [(1, 80), (2, 30)] {
        periods.update(minute * 60 * MICROS_PER_SECOND, Number::U64(value))?;
        let closed = periods.close_period((minute + 1) * 60 * MICROS_PER_SECOND).and_then(peak);
        assert_eq!(closed, Some(value as f64 / 2.0), "one half-life after its sample");
    }

    // A slip in the annotation is shown where it stands.
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
