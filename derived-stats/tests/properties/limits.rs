//! The limits of lists in arguments, and of the numbers of a result.

use std::cell::RefCell;
use std::collections::BTreeSet;

use derived_stats::entry::{Argument, ArgumentKind, Entry, Field, NumberKind, Roles, Unit};
use derived_stats::{
    Context, DETECTOR_CALL, DescribedField, MetricKind, Number, Record, Registry, Report, Spec, ValueType,
};
use proptest::prelude::*;

use crate::input::{Event, stories};
use crate::registered::{REGISTRY, distinct};
use crate::shapes::{entries, for_each, parts, shapes};

/// The annotation of an entry with `count` parts in the list at `index`, and no more arguments than needed.
fn annotation(entry: &Entry, index: usize, count: usize) -> String {
    let text = |(at, argument): (usize, &Argument)| match argument.kind() {
        ArgumentKind::List { .. } if at == index => parts(count),
        _ if argument.is_required() => argument.written(argument.example()),
        _ => String::new(),
    };
    let texts: Vec<String> = entry.argument_list().iter().enumerate().take(index + 1).map(text).collect();
    let period = if entry.roles().inline { "" } else { "1-" };
    let detector = if entry.roles().detector { format!("{DETECTOR_CALL}:") } else { String::new() };
    format!("{period}raw:{detector}{}:{}", entry.name(), texts.join(":"))
}

/// Every list of every entry, by its index, with its largest number of parts.
fn lists() -> impl Iterator<Item = (&'static Entry, usize, usize)> {
    entries().flat_map(|entry| {
        let lists = entry.argument_list().iter().enumerate();
        lists.filter_map(move |(index, argument)| match argument.kind() {
            ArgumentKind::List { most } => Some((entry, index, most)),
            _ => None,
        })
    })
}

#[test]
fn a_list_with_more_parts_than_its_limit_is_refused_with_the_limit() {
    let mut tested = 0;
    for (entry, index, most) in lists() {
        for value in [ValueType::F64, ValueType::I64, ValueType::U64] {
            let context = Context::new(value).with_registry(&REGISTRY);
            for count in [1, most] {
                let text = annotation(entry, index, count);
                Spec::parse(&text, context).unwrap_or_else(|error| panic!("{text}: {error}"));
            }
            let refused = Spec::parse(&annotation(entry, index, most + 1), context).unwrap_err().to_string();
            assert!(refused.contains(&format!("1 to {most} ")), "{} without its limit: {refused}", entry.name());
        }
        tested += 1;
    }
    assert!(tested > 0, "no entry has a list");
}

#[test]
fn property_a_result_has_a_number_for_each_numeric_field() {
    for_each(shapes(), stories, |story| {
        let spec = &story.spec;
        let numbers = spec.description().fields().iter().filter(|field| field.index().is_some()).count();
        prop_assert!(numbers <= Record::MAX_NUMBERS, "{spec} has {numbers}");
        let mut state = spec.start();
        for n in 1..4 {
            let _ = spec.update(&mut state, n * 1_000_000, Number::U64(n));
            let closed = spec.close(&mut state, n * 1_000_000 + 1, story.silence);
            let report = spec.report(&state, n * 1_000_000 + 1);
            for output in [closed.and_then(|report| report.any()), report.any()].into_iter().flatten() {
                prop_assert_eq!(output.record().len(), numbers, "{}: {:?}", spec, output);
            }
        }
        Ok(())
    });
}

#[test]
fn property_a_field_that_is_marked_so_is_never_negative() {
    let is_marked = |field: &&DescribedField| field.field().is_not_negative();
    let marked = RefCell::new(BTreeSet::new());
    for_each(shapes(), stories, |story| {
        let spec = &story.spec;
        let fields: Vec<_> = spec.description().fields().iter().filter(is_marked).collect();
        if !fields.is_empty() {
            marked.borrow_mut().insert(spec.description().algorithm().to_owned());
        }
        let (mut state, mut now) = (spec.start(), 0);
        for event in &story.events {
            let closed = match *event {
                Event::Close => spec.close(&mut state, now, story.silence),
                Event::Sample { source, at, value } => {
                    now = now.max(at);
                    let _ = spec.update_from(&mut state, source, at, value);
                    None
                }
            };
            let reports = [closed, Some(spec.report(&state, now)), spec.running(&state, now)];
            for output in reports.into_iter().flatten().filter_map(Report::any) {
                for field in &fields {
                    let number = output.record().get(field.index().unwrap());
                    let is_negative = number.is_some_and(|number| number.as_f64() < 0.0);
                    prop_assert!(!is_negative, "{spec}: {} is {number:?}", field.name());
                }
            }
        }
        Ok(())
    });
    assert!(marked.borrow().len() >= 4, "{marked:?}");
}

/// The largest lists give what a single pass over the samples gives.
#[test]
fn a_result_of_the_largest_list_is_that_of_a_restored_and_of_a_merged_state() {
    for (entry, index, most) in lists().filter(|(entry, ..)| entry.claim_list().merges && entry.roles().period) {
        let text = annotation(entry, index, most);
        let text = if text.starts_with("1-") { text } else { format!("1-{text}") };
        let spec = crate::shapes::compile(&text, ValueType::U64, MetricKind::Plain);
        let mut whole = derived_stats::column::WindowColumn::new(&spec).unwrap();
        let mut halves = [whole.empty_clone(), whole.empty_clone()];
        for n in 0..300u64 {
            let value = Number::U64(n * 7919 % 90);
            whole.update(0, n, value).unwrap();
            halves[usize::from(n % 3 == 0)].update(0, n, value).unwrap();
        }
        let mut words = Vec::new();
        halves[0].save(0, &mut words);
        let mut restored = whole.empty_clone();
        restored.restore(0, &whole.versions(), &mut derived_stats::Words::new(&words)).unwrap();
        restored.merge(0, &halves[1], 0).unwrap();
        let shown = |column: &derived_stats::column::WindowColumn| format!("{:?}", column.report(0, 300));
        assert_eq!(shown(&restored), shown(&whole), "{text}");
        assert!(shown(&whole).len() > most * 4, "{text}: {}", shown(&whole));
    }
}

/// A registered algorithm whose argument is its number of fields.
static WIDE: Entry = Entry::new("OwnWide", Roles::AGGREGATE, "as many numbers as written", |_| distinct::<2>(None))
    .arguments(&[Argument::required("numbers", ArgumentKind::Whole { least: 1, most: 100 }, "a number", "64")])
    .structured_by("WideResult", |given, _| {
        let number = Field::number("number", NumberKind::U64, Unit::None, "one of many");
        vec![number; given.whole(0).unwrap_or(0) as usize].into()
    });

#[test]
fn a_result_with_more_numbers_than_a_record_is_refused() {
    let mut registry = Registry::new();
    registry.register(&WIDE).unwrap();
    let parse = |text| Spec::parse(text, Context::new(ValueType::U64).with_registry(&registry));
    let widest = parse("1-raw:OwnWide:64").expect("a record has 64 numbers");
    assert_eq!(widest.description().fields().len(), Record::MAX_NUMBERS);
    let refused = parse("1-raw:OwnWide:65").unwrap_err().kind().to_string();
    let expected = "the result of `OwnWide` has 65 numbers, and at most 64 are allowed; give it fewer fields";
    assert_eq!(refused, expected);
}
