//! Defaults of arguments: written or left out, they are the same pipeline.

use derived_stats::DETECTOR_CALL;
use derived_stats::entry::{Argument, Entry};
use derived_stats::{MetricKind, ValueType};

use crate::shapes::{compile, entries};

/// The identity of an entry with its required arguments, and optionally one other.
fn identity(entry: &Entry, written: Option<(usize, &str)>) -> String {
    let text = |(index, argument): (usize, &Argument)| match written {
        Some((at, text)) if at == index => argument.written(text),
        _ if argument.is_required() => argument.example().to_owned(),
        _ => String::new(),
    };
    let needed =
        |(index, argument): &(usize, &Argument)| !argument.is_named() || written.is_some_and(|(at, _)| at == *index);
    let texts: Vec<String> = entry.argument_list().iter().enumerate().filter(needed).map(text).collect();
    let last = texts.iter().rposition(|text| !text.is_empty()).map_or(0, |last| last + 1);
    let arguments: String = texts[..last].iter().map(|text| format!(":{text}")).collect();
    let (period, family) = match (entry.roles().inline, entry.roles().detector) {
        (_, true) => ("", format!("{DETECTOR_CALL}:")),
        (true, false) => ("", String::new()),
        (false, false) => ("1-", String::new()),
    };
    compile(&format!("{period}raw:{family}{}{arguments}", entry.name()), ValueType::U64, MetricKind::Plain).identity()
}

/// Saved states are found by the identity, so a default that is written must not change it.
#[test]
fn a_default_that_is_written_is_the_same_pipeline() {
    let mut tested = 0;
    for entry in entries() {
        for (index, argument) in entry.argument_list().iter().enumerate() {
            let Some(default) = argument.absent() else { continue };
            assert_eq!(identity(entry, Some((index, &default))), identity(entry, None), "{}", argument.name());
            tested += 1;
        }
    }
    assert!(tested > entries().count() / 2, "the menu has arguments with defaults");
}

/// An optional number has a default, except a limit that is not there without it.
#[test]
fn an_optional_number_has_a_default() {
    for entry in derived_stats::menu() {
        for (index, argument) in entry.argument_list().iter().enumerate() {
            let is_limit = argument.name() == "threshold";
            if argument.is_required() || argument.absent().is_some() || is_limit {
                continue;
            }
            // It depends on another argument: of all numbers, some are the default.
            let is_default = |factor: u64| {
                let others = entry.argument_list().iter().filter_map(Argument::absent);
                others.filter_map(|default| default.parse::<u64>().ok()).any(|default| {
                    let text = (default * factor).to_string();
                    default > 0 && identity(entry, Some((index, &text))) == identity(entry, None)
                })
            };
            assert!((1..4).any(is_default), "{} of {} has no default", argument.name(), entry.name());
        }
    }
}
