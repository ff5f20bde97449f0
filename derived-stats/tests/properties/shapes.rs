//! Every position of every algorithm in annotations, from the entries only.
//!
//! No test lists algorithms: the suite tests every entry of the menu. It makes arguments from the declarations of the
//! entry. If it cannot make any, or the algorithm refuses declared arguments, the suite fails with the name of the
//! entry.

use std::fmt;
use std::sync::Arc;

use derived_stats::entry::{Argument, ArgumentKind, Entry};
use derived_stats::{Context, DETECTOR_CALL, MetricKind, Registry, Spec, ValueType, menu};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::registered::REGISTRY;

/// The algorithms of an annotation, without their arguments.
#[derive(Clone)]
pub(crate) struct Shape {
    every: u32,
    chain: Vec<&'static Entry>,
    last: &'static Entry,
}

/// Every built-in entry and those of the suite's registry.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    menu().iter().copied().chain(REGISTRY.entries())
}

/// Every shape: inline, periodic, and each detector after each pre-aggregation and after chains of two.
pub(crate) fn shapes() -> Vec<Shape> {
    let mut shapes: Vec<Shape> = entries().filter(|entry| entry.roles().inline).map(Shape::inline).collect();
    for entry in entries().filter(|entry| entry.roles().period) {
        shapes.extend([1, 2].map(|every| Shape { every, chain: Vec::new(), last: entry }));
    }
    let pre: Vec<_> = entries().filter(|entry| entry.roles().pre_aggregation).collect();
    for (offset, last) in entries().filter(|entry| entry.roles().detector).enumerate() {
        for (index, first) in pre.iter().enumerate() {
            // Not every pair, whose number grows with the square of the menu: each pre-aggregation is first and later
            // in two chains of each detector, with other neighbours for each of them.
            let later = [offset, offset + pre.len() / 2].map(|steps| pre[(index + steps) % pre.len()]);
            shapes.push(Shape { every: 1, chain: vec![first], last });
            shapes.extend(later.map(|later| Shape { every: 1, chain: vec![first, later], last }));
        }
    }
    shapes
}

impl Shape {
    pub(crate) fn inline(entry: &'static Entry) -> Self {
        Self { every: 0, chain: Vec::new(), last: entry }
    }

    pub(crate) fn per_period(entry: &'static Entry) -> Self {
        Self { every: 1, chain: Vec::new(), last: entry }
    }

    pub(crate) fn is_chain(&self) -> bool {
        !self.chain.is_empty()
    }

    /// The kinds of metrics whose samples the first algorithm takes.
    pub(crate) fn metrics(&self) -> Vec<MetricKind> {
        match self.chain.first().unwrap_or(&self.last).takes_readings() {
            false => vec![MetricKind::Agg, MetricKind::Diff, MetricKind::Plain],
            true => vec![MetricKind::Plain],
        }
    }

    /// Annotations of this shape with arguments of all kinds.
    pub(crate) fn annotations(&self) -> BoxedStrategy<String> {
        let (every, last) = (self.every, self.last);
        let chain: Vec<_> = self.chain.iter().map(|entry| (Just(entry.name()), arguments(entry))).collect();
        (chain, arguments(last))
            .prop_map(move |(chain, arguments)| {
                let mut text = if every == 0 { String::new() } else { every.to_string() };
                for (name, arguments) in chain {
                    text += &if arguments.is_empty() { format!(".{name}") } else { format!(".{name}({arguments})") };
                }
                let period = if every == 0 { "" } else { "-" };
                let detector = if last.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() };
                let separator = if arguments.is_empty() { "" } else { ":" };
                format!("{text}{period}raw:{detector}{}{separator}{arguments}", last.name())
            })
            .boxed()
    }

    /// Specs of this shape, for every element type and kind of metric.
    pub(crate) fn specs(&self) -> BoxedStrategy<Arc<Spec>> {
        let types = prop::sample::select(vec![ValueType::F64, ValueType::I64, ValueType::U64]);
        let metrics = prop::sample::select(self.metrics());
        (self.annotations(), types, metrics).prop_map(|(text, value, metric)| compile(&text, value, metric)).boxed()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.every)?;
        self.chain.iter().try_for_each(|entry| write!(f, ".{}", entry.name()))?;
        write!(f, "-raw:{}", self.last.name())
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Compiles an annotation of built-in and registered algorithms.
pub(crate) fn compile(annotation: &str, value: ValueType, metric: MetricKind) -> Arc<Spec> {
    compile_with(&REGISTRY, annotation, value, metric)
}

pub(crate) fn compile_with(registry: &Registry, annotation: &str, value: ValueType, metric: MetricKind) -> Arc<Spec> {
    let context = Context::new(value).with_metric(metric).with_registry(registry);
    Arc::new(Spec::parse(annotation, context).unwrap_or_else(|error| panic!("the entry's own arguments fail: {error}")))
}

/// Runs a property for each shape. `PROPTEST_CASES` is divided among the shapes.
pub(crate) fn for_each<S: Strategy>(
    shapes: impl IntoIterator<Item = Shape>,
    input: impl Fn(&Shape) -> S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let mut count = 0;
    for shape in shapes {
        run(Config::default().cases / 5, &input(&shape), &property, &shape);
        count += 1;
    }
    assert!(count > 0, "no entry was tested");
}

/// Runs a property for each shape with each element type and each kind of metric.
pub(crate) fn for_each_metric<S: Strategy>(
    input: impl Fn(Arc<Spec>) -> S + Clone,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    for shape in shapes() {
        for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
            for metric in shape.metrics() {
                let specs = shape.annotations().prop_map(move |text| compile(&text, value, metric));
                let name = format!("{shape} of {value} as {metric:?}");
                run(Config::default().cases / 40, &specs.prop_flat_map(input.clone()), &property, &name);
            }
        }
    }
}

fn run<S: Strategy>(
    cases: u32,
    input: &S,
    property: impl Fn(S::Value) -> Result<(), TestCaseError>,
    name: &impl fmt::Display,
) {
    let config = Config { cases: cases.max(1), failure_persistence: None, ..Config::default() };
    if let Err(error) = TestRunner::new(config).run(input, property) {
        panic!("{name}: {error}");
    }
}

/// The arguments of an entry, in all declared forms.
fn arguments(entry: &'static Entry) -> BoxedStrategy<String> {
    let texts: Vec<_> = entry.argument_list().iter().map(|argument| texts(entry, argument)).collect();
    texts.prop_map(|texts| texts.join(":").trim_end_matches(':').to_owned()).boxed()
}

fn texts(entry: &'static Entry, argument: &'static Argument) -> BoxedStrategy<String> {
    let given = match argument.kind() {
        ArgumentKind::Decimal { above, most } => decimals(above, most),
        ArgumentKind::List { most } => prop_oneof![6 => Just(argument.example().to_owned()), 1 => lists(most)].boxed(),
        ArgumentKind::Text if argument.example().is_empty() => {
            panic!("the argument {} of {} has no example to test with", argument.name(), entry.name())
        }
        ArgumentKind::Text => Just(argument.example().to_owned()).boxed(),
        ArgumentKind::Whole { least, most } => wholes(least, most),
        kind => panic!("the suite makes no {kind:?} for the argument {} of {}", argument.name(), entry.name()),
    };
    let given = given.prop_map(|text| argument.written(&text)).boxed();
    if argument.is_required() { given } else { prop_oneof![Just(String::new()), given].boxed() }
}

/// Mostly small, so that windows fill and seasons pass; the bounds too.
fn wholes(least: u64, most: u64) -> BoxedStrategy<String> {
    let small = least..=most.min(least.saturating_add(4));
    prop_oneof![6 => small, 1 => Just(most), 1 => least..=most].prop_map(|value| value.to_string()).boxed()
}

/// From one part to the largest number of them.
fn lists(most: usize) -> BoxedStrategy<String> {
    prop_oneof![Just(most), 1..=most].prop_map(parts).boxed()
}

/// The first parts of any list.
pub(crate) fn parts(count: usize) -> String {
    (1..=count).map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}

/// Mostly far from the lower bound, where weights would need more samples than a test has.
fn decimals(above: f64, most: f64) -> BoxedStrategy<String> {
    let inside = (0.1..1.0).prop_map(move |part| above + (most - above) * part);
    prop_oneof![6 => inside, 1 => Just(most), 1 => Just(above.next_up())].prop_map(|value| value.to_string()).boxed()
}
