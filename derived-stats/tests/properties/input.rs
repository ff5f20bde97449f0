//! Pipelines and what happens to them, drawn at random.

use std::sync::Arc;

use derived_stats::{Annotation, Context, MetricKind, Number, Output, Report, Silence, Spec, State, ValueType};
use proptest::prelude::*;

pub(crate) const INLINE: [&str; 10] = [
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
];

pub(crate) const PERIODIC: [&str; 10] = [
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
];

const EVERY_SECOND: [&str; 2] = ["2-raw:DSSum", "2.DSSum-raw:DSAnomaly:EWM:0.5"];

const SECOND: u64 = 1_000_000;

/// What happens to a pipeline.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Close,
    Sample { at: u64, value: Number },
}

pub(crate) fn compile(annotation: &str, value: ValueType, metric: MetricKind) -> Arc<Spec> {
    let context = Context::new(value).with_metric(metric);
    Arc::new(Spec::compile(&Annotation::parse(annotation).unwrap(), context).unwrap())
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

pub(crate) fn spec(annotations: Vec<&'static str>) -> impl Strategy<Value = Arc<Spec>> {
    let annotation = prop::sample::select(annotations);
    (annotation, value_type(), metric()).prop_map(|(annotation, value, metric)| compile(annotation, value, metric))
}

pub(crate) fn any_spec() -> impl Strategy<Value = Arc<Spec>> {
    spec([&INLINE[..], &PERIODIC, &EVERY_SECOND].concat())
}

/// A finite sample: mostly small, sometimes at the ends of the type.
pub(crate) fn sample(value: ValueType) -> BoxedStrategy<Number> {
    match value {
        ValueType::F64 => {
            let any = any::<f64>().prop_filter("finite", |value| value.is_finite());
            prop_oneof![4 => -1e3..1e3, 1 => any, 1 => Just(-0.0)].prop_map(Number::F64).boxed()
        }
        ValueType::I64 => prop_oneof![4 => -50..50i64, 1 => any::<i64>()].prop_map(Number::I64).boxed(),
        ValueType::U64 => prop_oneof![4 => 0..50u64, 1 => any::<u64>()].prop_map(Number::U64).boxed(),
    }
}

/// Up to `most` events in order of time, but for a sample now and then that is late.
pub(crate) fn events(value: ValueType, most: usize) -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![8 => 0..SECOND, 1 => 0..5 * SECOND, 1 => Just(0)];
    let event = (step, 0..10u8, sample(value));
    prop::collection::vec(event, 0..most).prop_map(|events| {
        let mut now = 0;
        let events = events.into_iter().map(|(step, kind, value)| {
            now += step;
            match kind {
                0 | 1 => Event::Close,
                2 => Event::Sample { at: now.saturating_sub(SECOND), value },
                _ => Event::Sample { at: now, value },
            }
        });
        events.collect()
    })
}

/// A pipeline and what happens to it.
pub(crate) fn story() -> impl Strategy<Value = (Arc<Spec>, Vec<Event>)> {
    any_spec().prop_flat_map(|spec| {
        let events = events(spec.value_type(), 60);
        (Just(spec), events)
    })
}

/// One object, and everything that can be seen of it as text: `Debug` shows every bit of a double.
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
            Event::Sample { at, value } => {
                self.now = self.now.max(at);
                format!("{:?}", self.spec.update(&mut self.state, at, value))
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
