//! From the names of an annotation to algorithms.
//!
//! This is where the second half of an annotation's errors comes from: names that do not exist, arguments that an
//! algorithm cannot take, and combinations that the original's compiler accepts but then miscompiles.

use crate::accumulator::Accumulator;
use crate::algorithm::{
    Alpha, Anomaly, Average, Change, Ewm, Newest, NonZero, Null, Range, RangeAverage, RangeSum, Sum,
};
use crate::annotation::{Annotation, AnnotationError, Call, ErrorKind, Span, nearest};
use crate::number::Numeric;
use crate::registry::Registry;
use crate::stage::Stage;

const BUILT_IN: [&str; 8] = ["DSAnomaly", "DSAvg", "DSChange", "DSEWM", "DSNon0", "DSNone", "DSNull", "DSSum"];

/// What can make the one value of a period for a detector.
const PRE: [&str; 3] = ["DSAvg", "DSNone", "DSSum"];

/// The name of the detector behind `DSAnomaly`.
const DETECTORS: [&str; 1] = ["EWM"];

const ALPHA: &str = "alpha, a decimal number above 0 and at most 1 such as `0.1`";
const RANGE: &str = "a range in whole seconds, 0 (no range) to 4294967295";

pub(crate) fn is_built_in(name: &str) -> bool {
    BUILT_IN.contains(&name)
}

/// The algorithm that an annotation calls, with its arguments checked.
pub(crate) fn stage<T: Numeric>(
    annotation: &Annotation,
    registry: Option<&Registry>,
) -> Result<Stage<T>, AnnotationError> {
    let call = annotation.algorithm();
    let stage = match call.name().as_str() {
        "DSAnomaly" => Stage::Anomaly(anomaly(annotation)?),
        "DSAvg" => Stage::Accumulator(match range(annotation)? {
            None => Accumulator::Average(Average),
            Some(range) => Accumulator::RangeAverage(RangeAverage::new(range)),
        }),
        "DSChange" => Stage::Accumulator(Accumulator::Change(without_arguments(annotation, Change)?)),
        "DSEWM" => Stage::Ewm(Ewm::new(alpha(annotation, call.arguments().as_str(), "0.1")?)),
        "DSNon0" => Stage::Accumulator(Accumulator::NonZero(without_arguments(annotation, NonZero)?)),
        "DSNone" => Stage::Accumulator(Accumulator::Newest(without_arguments(annotation, Newest)?)),
        "DSNull" => Stage::Null(without_arguments(annotation, Null)?),
        "DSSum" => Stage::Accumulator(match range(annotation)? {
            None => Accumulator::Sum(Sum),
            Some(range) => Accumulator::RangeSum(RangeSum::new(range)),
        }),
        name => Stage::Accumulator(registered(annotation, name, registry)?),
    };
    Ok(stage)
}

/// The aggregate that a detector sees of each period.
pub(crate) fn pre<T: Numeric>(annotation: &Annotation, link: &Call) -> Result<Accumulator<T>, AnnotationError> {
    let (name, arguments) = (link.name().as_str(), link.arguments());
    let accumulator = match name {
        "DSAvg" => Accumulator::Average(Average),
        "DSNone" => Accumulator::Newest(Newest),
        "DSSum" => Accumulator::Sum(Sum),
        _ => {
            let kind = ErrorKind::UnknownPre {
                name: name.to_owned(),
                nearest: owned(nearest(name, PRE)),
                allowed: PRE.map(str::to_owned).to_vec(),
            };
            return Err(annotation.error_at(link.name().span(), kind));
        }
    };
    if arguments.is_empty() {
        return Ok(accumulator);
    }
    let kind = ErrorKind::UnexpectedArguments { algorithm: name.to_owned() };
    Err(annotation.error_at(arguments.span(), kind))
}

fn registered<T: Numeric>(
    annotation: &Annotation,
    name: &str,
    registry: Option<&Registry>,
) -> Result<Accumulator<T>, AnnotationError> {
    let call = annotation.algorithm();
    let arguments = call.arguments();
    match registry.and_then(|registry| registry.build(name, arguments.as_str())) {
        Some(Ok(algorithm)) => Ok(Accumulator::Custom(algorithm)),
        Some(Err(message)) => Err(annotation.error_at(arguments.span(), ErrorKind::Custom { message })),
        None => {
            let known = BUILT_IN.into_iter().chain(registry.into_iter().flat_map(Registry::names));
            let nearest = owned(nearest(name, known));
            let name_span = call.name().span();
            Err(annotation.error_at(name_span, ErrorKind::UnknownAlgorithm { name: name.to_owned(), nearest }))
        }
    }
}

fn without_arguments<A>(annotation: &Annotation, algorithm: A) -> Result<A, AnnotationError> {
    let call = annotation.algorithm();
    if call.arguments().as_str().is_empty() {
        return Ok(algorithm);
    }
    let kind = ErrorKind::UnexpectedArguments { algorithm: call.name().as_str().to_owned() };
    Err(annotation.error_at(call.arguments().span(), kind))
}

/// `None` for no range, which is written by leaving it out or as 0.
fn range(annotation: &Annotation) -> Result<Option<Range>, AnnotationError> {
    let arguments = annotation.algorithm().arguments();
    let text = arguments.as_str();
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match seconds.and_then(|text| text.parse::<u64>().ok()) {
        Some(0) => Ok(None),
        Some(seconds) => Range::from_seconds(seconds).map(Some).map_err(|_| ()),
        None => Err(()),
    }
    .map_err(|()| annotation.error_at(arguments.span(), bad(RANGE, text)))
}

fn anomaly(annotation: &Annotation) -> Result<Anomaly, AnnotationError> {
    let text = annotation.algorithm().arguments().as_str();
    let (name, config) = match text.split_once(':') {
        Some((name, config)) => (name, config),
        None => (text, ""),
    };
    if text.is_empty() {
        return Err(missing(annotation, "EWM:0.1"));
    }
    if !DETECTORS.contains(&name) {
        let start = annotation.algorithm().arguments().span().start;
        let span = Span { start, end: start + name.len() };
        let kind = ErrorKind::UnknownDetector {
            name: name.to_owned(),
            nearest: owned(nearest(name, DETECTORS)),
            allowed: DETECTORS.map(str::to_owned).to_vec(),
            example: "DSAnomaly:EWM:0.1".to_owned(),
        };
        return Err(annotation.error_at(span, kind));
    }
    Ok(Anomaly::new(alpha(annotation, config, "EWM:0.1")?, config))
}

/// Reads `text`, the last part of the arguments, as a weight.
fn alpha(annotation: &Annotation, text: &str, example: &str) -> Result<Alpha, AnnotationError> {
    let arguments = annotation.algorithm().arguments();
    if arguments.as_str().is_empty() {
        return Err(missing(annotation, example));
    }
    Alpha::parse(text).map_err(|_| {
        let end = arguments.span().end;
        let span = Span { start: end - text.len(), end };
        annotation.error_at(span, bad(ALPHA, text))
    })
}

fn bad(expected: &str, text: &str) -> ErrorKind {
    ErrorKind::BadArgument { expected: expected.to_owned(), text: text.to_owned() }
}

fn missing(annotation: &Annotation, example: &str) -> AnnotationError {
    let call = annotation.algorithm();
    let kind = ErrorKind::MissingArguments { algorithm: call.name().as_str().to_owned(), example: example.to_owned() };
    annotation.error_at(call.name().span(), kind)
}

fn owned(name: Option<&str>) -> Option<String> {
    name.map(str::to_owned)
}
