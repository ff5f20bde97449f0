//! Random pipelines and events.

use std::fmt;
use std::sync::Arc;

use derived_stats::{MetricKind, Number, Output, Report, Silence, SourceId, Spec, State, ValueType};
use proptest::prelude::*;

use crate::shapes::{Shape, shapes};

const SECOND: u64 = 1_000_000;

/// An event of a pipeline.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Close,
    Sample { source: SourceId, at: u64, value: Number },
}

/// One of a few sources.
pub(crate) fn source() -> impl Strategy<Value = SourceId> {
    prop::sample::select(vec![SourceId::UNNAMED, SourceId::new(1), SourceId::of("compute-1")])
}

pub(crate) fn value_type() -> impl Strategy<Value = ValueType> {
    prop::sample::select(vec![ValueType::F64, ValueType::I64, ValueType::U64])
}

pub(crate) fn metric() -> impl Strategy<Value = MetricKind> {
    prop::sample::select(vec![MetricKind::Agg, MetricKind::Diff, MetricKind::Plain])
}

pub(crate) fn silence() -> impl Strategy<Value = Silence> {
    prop::sample::select(vec![Silence::Once, Silence::Skip, Silence::Zero])
}

pub(crate) fn any_spec() -> impl Strategy<Value = Arc<Spec>> {
    prop::sample::select(shapes()).prop_flat_map(|shape| shape.specs())
}

/// A finite sample: mostly small, sometimes at the ends of the type.
pub(crate) fn sample(value: ValueType) -> BoxedStrategy<Number> {
    match value {
        ValueType::F64 => {
            let any = any::<f64>().prop_filter("finite", |value| value.is_finite());
            let bounds = prop::sample::select(vec![f64::MAX, f64::MIN]);
            prop_oneof![8 => -1e3..1e3, 2 => any, 1 => Just(-0.0), 1 => bounds].prop_map(Number::F64).boxed()
        }
        ValueType::I64 => {
            prop_oneof![4 => -50..50i64, 1 => any::<i64>(), 1 => Just(i64::MAX)].prop_map(Number::I64).boxed()
        }
        ValueType::U64 => {
            prop_oneof![4 => 0..50u64, 1 => any::<u64>(), 1 => Just(u64::MAX)].prop_map(Number::U64).boxed()
        }
    }
}

/// Up to `most` events in order of time, except for some late samples.
pub(crate) fn events(value: ValueType, most: usize) -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![8 => 0..SECOND, 1 => 0..5 * SECOND, 1 => Just(0)];
    let event = (step, 0..10u8, source(), sample(value));
    prop::collection::vec(event, 0..most).prop_map(|events| {
        let mut now = 0;
        let events = events.into_iter().map(|(step, kind, source, value)| {
            now += step;
            match kind {
                0 | 1 => Event::Close,
                2 => Event::Sample { source, at: now.saturating_sub(SECOND), value },
                _ => Event::Sample { source, at: now, value },
            }
        });
        events.collect()
    })
}

/// A spec with the events of its pipeline, map or columns.
#[derive(Clone)]
pub(crate) struct Story<E = Event> {
    pub(crate) spec: Arc<Spec>,
    pub(crate) silence: Silence,
    pub(crate) events: Vec<E>,
}

impl<E: fmt::Debug> fmt::Debug for Story<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} under {:?}: {:#?}", self.spec, self.silence, self.events)
    }
}

/// The events of pipelines of a shape.
pub(crate) fn stories(shape: &Shape) -> BoxedStrategy<Story> {
    let tell = |spec: Arc<Spec>| {
        let events = events(spec.value_type(), 60);
        (silence(), events).prop_map(move |(silence, events)| Story { spec: spec.clone(), silence, events })
    };
    shape.specs().prop_flat_map(tell).boxed()
}

/// The events of pipelines of any shape.
pub(crate) fn story() -> impl Strategy<Value = Story> {
    prop::sample::select(shapes()).prop_flat_map(|shape| stories(&shape))
}

/// One object, and its observable values as text: `Debug` prints every bit of a double.
#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) spec: Arc<Spec>,
    pub(crate) state: State,
    pub(crate) silence: Silence,
    pub(crate) now: u64,
}

impl Object {
    pub(crate) fn new(spec: Arc<Spec>, silence: Silence) -> Self {
        let state = spec.start();
        Self { spec, state, silence, now: 0 }
    }

    pub(crate) fn apply(&mut self, event: &Event) -> String {
        let happened = match *event {
            Event::Close => format!("{:?}", self.spec.close(&mut self.state, self.now, self.silence)),
            Event::Sample { source, at, value } => {
                self.now = self.now.max(at);
                format!("{:?}", self.spec.update_from(&mut self.state, source, at, value))
            }
        };
        format!("{happened} {}", self.seen())
    }

    pub(crate) fn seen(&self) -> String {
        let Self { spec, state, now, .. } = self;
        let later = now + SECOND;
        let reports = [spec.report(state, *now), spec.report(state, later)];
        format!("{reports:?} {:?} {}", spec.running(state, *now), spec.is_active(state))
    }
}

/// Every number in a report is finite.
pub(crate) fn is_finite(report: Report<Output<'_>>) -> bool {
    let numbers = |output: Output<'_>| {
        (0..output.record().len())
            .all(|index| output.record().get(index).is_none_or(|number| number.as_f64().is_finite()))
    };
    report.any().is_none_or(numbers)
}

/// A sample of any type, finite or not.
pub(crate) fn any_number() -> impl Strategy<Value = Number> {
    let special = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5]);
    prop_oneof![
        special.prop_map(Number::F64),
        any::<i64>().prop_map(Number::I64),
        any::<u64>().prop_map(Number::U64),
        any::<f64>().prop_map(Number::F64),
    ]
}
