//! Saved words of a pipeline: arbitrary ones, and those of a real state with some changed.

use std::sync::LazyLock;

use arbitrary::{Result, Unstructured};
use derived_stats::{Context, MetricKind, Number, Output, Report, SavedState, Silence, Spec, State, ValueType};

const ANNOTATIONS: [&str; 45] = [
    "raw:DSSum",
    "raw:DSAvg",
    "raw:DSNone",
    "raw:DSNon0",
    "raw:DSChange",
    "raw:DSNull",
    "raw:DSEWM:0.3",
    "raw:DSAnomaly:EWM:0.5",
    "raw:DSSum:2",
    "raw:DSAvg:2",
    "1-raw:DSSum",
    "1-raw:DSAvg",
    "1-raw:DSNone",
    "1-raw:DSNon0",
    "1-raw:DSChange",
    "1-raw:DSSum:2",
    "1-raw:DSAvg:2",
    "1.DSSum-raw:DSAnomaly:EWM:0.5",
    "1.DSAvg-raw:DSAnomaly:EWM:0.3",
    "1.DSNone-raw:DSAnomaly:EWM:1",
    "2-raw:DSSum",
    "2.DSSum-raw:DSAnomaly:EWM:0.5",
    "1.DSSum.DSChange-raw:DSAnomaly:EWM:0.5",
    "1.DSSum(1).DSAvg(2)-raw:DSAnomaly:EWM:0.5",
    "raw:DSCount:2",
    "raw:DSMax:2",
    "raw:DSMin",
    "raw:DSSpread:2",
    "1-raw:DSFirst:2",
    "1.DSCount.DSMax(2)-raw:DSAnomaly:EWM:0.5",
    "raw:DSVariance:2",
    "1-raw:DSStddev",
    "raw:DSTimeAvg:2",
    "1-raw:DSTimeAvg",
    "raw:DSIncrease:2",
    "1-raw:DSSumLast:3",
    "1.DSAvgLast(2)-raw:DSAnomaly:EWM:0.3",
    "1.DSRate.DSStddev(2)-raw:DSAnomaly:EWM:0.5",
    "raw:DSPercentile:50,99.9",
    "1-raw:DSPercentile:99:0.1:2",
    "raw:DSDistinct:0.2",
    "1.DSDistinct-raw:DSAnomaly:EWM:0.5",
    "raw:DSTopK:3::2",
    "raw:DSCategory:0,1,ok",
    "1-raw:DSHistogram:-1,0,10",
];

static SPECS: LazyLock<Vec<Spec>> = LazyLock::new(|| {
    let mut specs = Vec::new();
    for annotation in ANNOTATIONS {
        for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
            for metric in [MetricKind::Agg, MetricKind::Plain] {
                let context = Context::new(value).with_metric(metric);
                // An algorithm that takes the readings of a counter refuses their differences.
                let spec = Spec::parse(annotation, context);
                assert!(spec.is_ok() || metric == MetricKind::Agg, "{annotation}");
                specs.extend(spec);
            }
        }
    }
    specs
});

/// The spec, the words and what happens afterwards are all read from the input.
pub fn saved_state(data: &[u8]) {
    // The input may end anywhere: then there is nothing to check.
    let _ = run(&mut Unstructured::new(data));
}

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let spec = input.choose(&SPECS)?;
    let saved = SavedState { words: words(spec, input)?, ..spec.save(&spec.start()) };
    let Ok(mut state) = spec.restore(&saved) else { return Ok(()) };
    assert_eq!(spec.save(&state), saved, "{spec} saves other words than those that it was restored from");
    check_reports(spec, &state, 0);
    while !input.is_empty() {
        let now = step(spec, &mut state, input)?;
        check_reports(spec, &state, now);
        let saved = spec.save(&state);
        let again = spec.restore(&saved).map(|state| spec.save(&state));
        assert_eq!(again.as_ref(), Ok(&saved), "{spec} does not restore what it saved: {state:?}");
    }
    Ok(())
}

/// The words of a state that some steps lead to, up to three of them changed; or arbitrary ones.
fn words(spec: &Spec, input: &mut Unstructured<'_>) -> Result<Vec<u64>> {
    let count = input.arbitrary::<u8>()?;
    if count >= 128 {
        return (0..count - 128).map(|_| word(input)).collect();
    }
    let mut state = spec.start();
    for _ in 0..count % 16 {
        step(spec, &mut state, input)?;
    }
    let mut words = spec.save(&state).words;
    for _ in 0..count / 32 {
        let at = input.choose_index(words.len())?;
        words[at] = word(input)?;
    }
    Ok(words)
}

/// Small ones more often: most words are counts, flags and multiples of a bucket.
fn word(input: &mut Unstructured<'_>) -> Result<u64> {
    let kind = input.arbitrary::<u8>()?;
    Ok(match kind {
        0..64 => u64::from(kind % 4),
        64..128 => input.arbitrary::<u16>()?.into(),
        128..192 => u64::from(input.arbitrary::<u16>()?) << 13,
        192..=255 => input.arbitrary()?,
    })
}

/// A sample or the end of a period. Returns its time.
fn step(spec: &Spec, state: &mut State, input: &mut Unstructured<'_>) -> Result<u64> {
    let kind = input.arbitrary::<u8>()?;
    // Buckets of a window of 2 s are 2^13 us.
    let at = if kind < 224 { u64::from(input.arbitrary::<u16>()?) << 8 } else { input.arbitrary()? };
    if kind % 4 == 0 {
        let silence = *input.choose(&[Silence::Once, Silence::Skip, Silence::Zero])?;
        if let Some(report) = spec.close(state, at, silence) {
            check_report(spec, report);
        }
        return Ok(at);
    }
    let value = match spec.value_type() {
        ValueType::F64 => Number::F64(input.arbitrary()?),
        ValueType::I64 => Number::I64(input.arbitrary()?),
        ValueType::U64 => Number::U64(input.arbitrary()?),
    };
    // A refused sample leaves the state as it was, which the next check covers.
    let _ = spec.update(state, at, value);
    Ok(at)
}

fn check_reports(spec: &Spec, state: &State, now: u64) {
    for now in [0, now, u64::MAX] {
        check_report(spec, spec.report(state, now));
        if let Some(report) = spec.running(state, now) {
            check_report(spec, report);
        }
    }
}

fn check_report(spec: &Spec, report: Report<Output<'_>>) {
    let finite = report.as_ref().any().is_none_or(|output| {
        let record = output.record();
        (0..record.len()).filter_map(|index| record.get(index)).all(Number::is_finite)
    });
    assert!(finite, "{spec} reports {report:?}");
}
