//! Which shape an annotation has, and whether it can work.

use crate::accumulator::Accumulator;
use crate::algorithm::Range;
use crate::annotation::{Annotation, AnnotationError, Call, ErrorKind, Span};
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
    let chain = annotation.period().map_or(&[][..], |period| period.chain());
    let call = annotation.algorithm();
    match (chain.first(), stage) {
        (Some(pre), _) if every == 0 => {
            let kind = ErrorKind::PreNeedsPeriod { pre: pre.name().as_str().to_owned() };
            Err(annotation.error_at(pre.name().span(), kind))
        }
        (Some(_), Stage::Anomaly(detector)) => Ok(Shape::Detector { pre: only_link(annotation, chain)?, detector }),
        (Some(pre), _) => {
            let kind = ErrorKind::ChainWithoutDetector { algorithm: call.name().as_str().to_owned() };
            Err(annotation.error_at(pre.name().span(), kind))
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

/// The pre-aggregation of a detector; more than one is not supported.
fn only_link<T: Numeric>(annotation: &Annotation, chain: &[Call]) -> Result<Accumulator<T>, AnnotationError> {
    let links = chain.iter().map(|link| menu::pre(annotation, link)).collect::<Result<Vec<_>, _>>()?;
    <[_; 1]>::try_from(links).map(|[link]| link).map_err(|links| {
        let start = chain.get(1).map_or(0, |link| link.span().start);
        let end = chain.last().map_or(0, |link| link.span().end);
        let kind = ErrorKind::ChainTooLong { found: links.len(), limit: 1 };
        annotation.error_at(Span { start, end }, kind)
    })
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
