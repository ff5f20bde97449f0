//! Which shape an annotation has, and whether it can work.

use crate::accumulator::Accumulator;
use crate::algorithm::Range;
use crate::annotation::{Annotation, AnnotationError, ErrorKind};
use crate::menu;
use crate::number::Numeric;
use crate::spec::{Context, Periods, Shape};
use crate::stage::Stage;

/// The period in force: 0 for inline.
pub(super) fn every(annotation: &Annotation, periods: Periods) -> Result<u32, AnnotationError> {
    let written = annotation.period().map(|period| period.every());
    match (periods, annotation.period()) {
        (Periods::Plain, Some(period)) if period.every() > 0 => {
            let kind = ErrorKind::PeriodInPlainStruct { period: period.every() };
            Err(annotation.error_at(period.span(), kind))
        }
        (Periods::Every { .. }, None) => Ok(1),
        _ => Ok(written.unwrap_or(0)),
    }
}

pub(super) fn shape<T: Numeric>(
    annotation: &Annotation,
    every: u32,
    context: Context<'_>,
) -> Result<Shape<T>, AnnotationError> {
    let stage = menu::stage(annotation, context.registry)?;
    let pre = annotation.period().and_then(|period| period.pre());
    let call = annotation.algorithm();
    match (pre, stage) {
        (Some(pre), _) if every == 0 => {
            let kind = ErrorKind::PreNeedsPeriod { pre: pre.as_str().to_owned() };
            Err(annotation.error_at(pre.span(), kind))
        }
        (Some(pre), Stage::Anomaly(detector)) => {
            let pre = menu::pre(annotation, pre.as_str(), pre.span())?;
            Ok(Shape::Detector { pre, detector })
        }
        (Some(pre), _) => {
            let kind = ErrorKind::ChainWithoutDetector { algorithm: call.name().as_str().to_owned() };
            Err(annotation.error_at(pre.span(), kind))
        }
        (None, stage) if every == 0 => Ok(Shape::Inline(stage)),
        (None, Stage::Accumulator(accumulator)) => {
            window_fits(annotation, &accumulator, context.periods)?;
            Ok(Shape::Periodic(accumulator))
        }
        (None, Stage::Anomaly(_)) => {
            Err(annotation.error_at(call.name().span(), ErrorKind::NeedsPre { period: every }))
        }
        (None, Stage::Ewm(_) | Stage::Null(_)) => {
            let kind = ErrorKind::NotPeriodic { algorithm: call.name().as_str().to_owned() };
            Err(annotation.error_at(call.name().span(), kind))
        }
    }
}

/// Every period starts a new window, so one that is longer than the struct's period never fills.
fn window_fits<T: Numeric>(
    annotation: &Annotation,
    accumulator: &Accumulator<T>,
    periods: Periods,
) -> Result<(), AnnotationError> {
    let (Periods::Every { seconds }, Some(range)) = (periods, accumulator.range().map(Range::seconds)) else {
        return Ok(());
    };
    if range <= u64::from(seconds) {
        return Ok(());
    }
    let arguments = annotation.algorithm().arguments();
    let kind = ErrorKind::RangeOverPeriod { range, period: u64::from(seconds) };
    Err(annotation.error_at(arguments.span(), kind))
}
