//! A rule of alarms in words: one of the configuration by its name, or one in the short form.

use std::process::ExitCode;

use daemon_alarms::text;
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
            Ok(rule) => {
                print::print(&format!("{}\n", rule.words()))?;
                Ok(ExitCode::SUCCESS)
            }
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
