//! Annotations: the parser, the printer and the compiler.

use derived_stats::annotation::{Annotation, AnnotationError};
use derived_stats::{Context, MetricKind, Periods, Spec, ValueType, is_decimal};

/// Parses the text, prints it, parses that again, and compiles it for every kind of metric.
pub fn annotation(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(!is_decimal(text) || text.parse::<f64>().is_ok(), "a plain decimal that is not a number");
    match Annotation::parse(text) {
        Ok(annotation) => {
            let printed = annotation.to_string();
            assert_eq!(Annotation::parse(&printed).as_ref(), Ok(&annotation), "printed as {printed:?}");
            compile(&annotation);
        }
        Err(error) => check_error(text, &error),
    }
}

fn compile(annotation: &Annotation) {
    for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
        for metric in [MetricKind::Agg, MetricKind::Diff, MetricKind::Plain] {
            for periods in [Periods::AsWritten, Periods::Plain, Periods::Every { seconds: 60 }] {
                let context = Context::new(value).with_metric(metric).with_periods(periods);
                match Spec::compile(annotation, context) {
                    Ok(spec) => {
                        let state = spec.start();
                        let saved = spec.save(&state);
                        assert_eq!(spec.restore(&saved).map(|state| spec.save(&state)), Ok(saved));
                    }
                    Err(error) => check_error(annotation.text(), &error),
                }
            }
        }
    }
}

fn check_error(text: &str, error: &AnnotationError) {
    assert!(text.starts_with(error.input()), "the error quotes another text: {:?}", error.input());
    assert!(error.input().get(error.span().range()).is_some(), "the span {:?} is not in the text", error.span());
    assert_eq!(error.to_string().lines().count(), 4, "{error}");
}
