//! A rule of alarms in words: one of the configuration by its name, or one in the short form.

use std::process::ExitCode;

use daemon_alarms::{Rule, Rules, check, text};
use derived_stats::Registry;
use derived_stats::annotation::nearest;

use crate::commands::print::{self, message};
use crate::config::{self, Sources};

/// Prints the rule. Exit code 2 if there is no such rule or the text is not one, and `bad` if the configuration is.
///
/// # Errors
///
/// When standard output cannot be written.
pub(super) fn run(given: &str, sources: &Sources, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    if given.trim_start().starts_with("alarm ") {
        return match text::rule(given) {
            Ok(rule) => short_form(rule, sources, registry, bad),
            Err(error) => {
                message(format_args!("error: --alarm: {error}"));
                Ok(ExitCode::from(print::USAGE))
            }
        };
    }
    let rules = match config::load(sources, registry) {
        Ok(loaded) => loaded.streams.alarms,
        Err(problems) => {
            message(format_args!("{problems}"));
            return Ok(ExitCode::from(bad));
        }
    };
    let Some(rule) = rules.iter().find(|rule| rule.name == given) else {
        let names: Vec<_> = rules.iter().map(|rule| rule.name.as_str()).collect();
        let remedy = match nearest(given, names.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None if names.is_empty() => "the configuration has no [[alarms]]; name it with --config FILE".to_owned(),
            None => format!("the alarms are {}", names.join(", ")),
        };
        message(format_args!("error: no alarm has the name {given:?}; {remedy}"));
        return Ok(ExitCode::from(print::USAGE));
    };
    print::print(&format!("{}\n", rule.words()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a rule in the short form, once the configuration that is named has what it needs.
fn short_form(rule: Rule, sources: &Sources, registry: &Registry, bad: u8) -> anyhow::Result<ExitCode> {
    let is_named = sources.file.is_some()
        || sources.collector_file.is_some()
        || !(sources.set.is_empty() && sources.uve_proxy_list.is_empty());
    let words = rule.words();
    if !is_named {
        print::print(&format!("{words}\n"))?;
        message(format_args!(
            "note: the rule is not checked against proxy types; name a configuration with --config FILE"
        ));
        return Ok(ExitCode::SUCCESS);
    }
    let loaded = match config::load(sources, registry) {
        Ok(loaded) => loaded,
        Err(problems) => {
            message(format_args!("{problems}"));
            return Ok(ExitCode::from(bad));
        }
    };
    let entries = loaded.streams.proxies.entries().iter();
    let types: Vec<_> = entries.map(|entry| (&entry.stream, entry.types.as_slice())).collect();
    let rules = Rules::new(vec![rule]);
    let problems = check::problems(&rules, &types);
    if problems.is_empty() {
        print::print(&format!("{words}\n"))?;
        check::hints(&rules, &types).iter().for_each(|hint| message(format_args!("warning: {hint}")));
        return Ok(ExitCode::SUCCESS);
    }
    for (_, problem) in problems {
        message(format_args!("error: --alarm: {problem}"));
    }
    Ok(ExitCode::from(print::USAGE))
}
