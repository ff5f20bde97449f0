//! `eval` runs a pipeline over NDJSON events from standard input and writes one NDJSON answer line for each event.
//!
//! Other programs drive it, so it flushes every answer before it reads the next line. A bad line gets an error line and
//! changes no state. Blank lines are skipped. Memory is bounded by the longest line and, with `--mstats`, by the number
//! of keys that were sent and not deleted.
//!
//! An inline pipeline reports after each sample and answers `none` at `{"period":true}`, the end of a period of its
//! struct; a periodic one does the opposite. The time of a report is the newest `at` so far.

mod answer;
mod event;
mod lines;
mod number;
mod session;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use derived_stats::Registry;

use self::answer::Answers;
use self::event::Event;
use self::lines::{Line, MAX_LINE_BYTES};
use self::session::Session;
use crate::commands::pipeline_args::MetricArgs;

/// Arguments of `eval`.
#[derive(Args, Debug)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) metric: MetricArgs,
    /// The annotation, such as `1.DSSum-raw:DSAnomaly:EWM:0.1`.
    pub(crate) annotation: String,
}

/// Runs until standard input ends. Exit code 2 for a bad annotation.
///
/// # Errors
///
/// Fails if standard input cannot be read or standard output not written. A closed pipe is not an error.
pub(crate) fn run(args: &EvalArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let spec = match args.metric.compile(&args.annotation, registry) {
        Ok(spec) => Arc::new(spec),
        Err(error) => return Ok(super::print::refuse(&error)),
    };
    let session = Session::new(spec, args.metric.mstats);
    super::print::quiet_if_closed(answer_all(session, io::stdin().lock(), io::stdout().lock()))?;
    Ok(ExitCode::SUCCESS)
}

fn answer_all(mut session: Session, mut input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut line = Vec::new();
    let mut answers = Answers::default();
    loop {
        match lines::next(&mut input, &mut line)? {
            Line::End => return Ok(()),
            Line::Full if line.trim_ascii().is_empty() => continue,
            Line::Full => match Event::parse(&line) {
                Ok(event) => session.answer(event, &mut answers),
                Err(error) => answers.error(&error),
            },
            Line::TooLong => {
                answers.error(&format!("the line has more than {MAX_LINE_BYTES} bytes; send the map in several events"))
            }
        }
        output.write_all(answers.line())?;
        output.flush()?;
    }
}

#[cfg(test)]
mod tests {
    use derived_stats::{Context, Spec, ValueType};
    use proptest::prelude::*;
    use proptest::sample::{Index, select};

    use super::*;

    fn answers(annotation: &str, mstats: bool, input: &[u8]) -> String {
        answers_of(ValueType::U64, annotation, mstats, input)
    }

    fn answers_of(value: ValueType, annotation: &str, mstats: bool, input: &[u8]) -> String {
        let spec = Spec::parse(annotation, Context::new(value)).expect("a good annotation");
        let mut output = Vec::new();
        answer_all(Session::new(Arc::new(spec), mstats), input, &mut output).expect("memory takes everything");
        String::from_utf8(output).expect("JSON is UTF-8")
    }

    /// Fragments of events, so that most generated lines are almost valid.
    const PARTS: [&str; 24] = [
        "{",
        "}",
        ",",
        "\"at\":",
        "\"value\":",
        "\"values\":",
        "\"deleted\":",
        "\"period\":",
        "true",
        "false",
        "null",
        "0",
        "1",
        "-1",
        "1.5",
        "1e999",
        "18446744073709551615",
        "18446744073709551616",
        "\"k\"",
        "\"k\":",
        "[",
        "]",
        " ",
        "\"\\ud800\"",
    ];

    fn good_line() -> impl Strategy<Value = String> {
        let time = prop_oneof![4 => 0..5_000_000u64, 1 => any::<u64>()];
        let value = prop_oneof![4 => (0..50u64).prop_map(|value| value.to_string()), 1 => "-?[0-9]{1,20}(\\.5)?"];
        prop_oneof![
            4 => (time, value).prop_map(|(at, value)| format!(r#"{{"at":{at},"value":{value}}}"#)),
            1 => Just(r#"{"period":true}"#.to_owned()),
            1 => Just(r#"{"at":7,"values":{"k":1,"l":2},"deleted":["k"]}"#.to_owned()),
        ]
    }

    /// Valid lines, valid lines with a fragment inserted, and sequences of fragments.
    fn near_miss() -> impl Strategy<Value = String> {
        let damaged = (good_line(), any::<Index>(), select(&PARTS[..])).prop_map(|(mut line, at, part)| {
            line.insert_str(at.index(line.len()), part);
            line
        });
        let shuffled = prop::collection::vec(select(&PARTS[..]), 1..10).prop_map(|parts| parts.concat());
        prop_oneof![4 => good_line(), 2 => damaged, 1 => shuffled]
            .prop_filter("a blank line", |line| !line.trim().is_empty())
    }

    proptest! {
        #[test]
        fn property_a_rejected_line_changes_no_later_answer(
            lines in prop::collection::vec(near_miss(), 0..20),
            annotation in select(vec!["raw:DSSum", "raw:DSSum:2", "1-raw:DSAvg", "raw:DSAnomaly:EWM:0.5", "raw:DSNull"]),
            value in select(vec![ValueType::F64, ValueType::I64, ValueType::U64]),
        ) {
            let output = answers_of(value, annotation, false, lines.join("\n").as_bytes());
            prop_assert_eq!(output.lines().count(), lines.len());
            let is_error = |answer: &str| answer.starts_with(r#"{"error":"#);
            let accepted: Vec<_> = lines.iter().zip(output.lines()).filter(|(_, answer)| !is_error(answer)).collect();
            let (good, expected): (Vec<_>, Vec<_>) = accepted.into_iter().map(|(line, answer)| (line.as_str(), answer)).unzip();
            let again = answers_of(value, annotation, false, good.join("\n").as_bytes());
            prop_assert_eq!(again.lines().collect::<Vec<_>>(), expected);
        }

        #[test]
        fn property_almost_valid_lines_of_a_map_get_one_line_of_json_each(lines in prop::collection::vec(near_miss(), 0..20)) {
            let output = answers("raw:DSSum", true, lines.join("\n").as_bytes());
            prop_assert_eq!(output.lines().count(), lines.len());
            for line in output.lines() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{}", line);
            }
        }

        #[test]
        fn property_any_bytes_get_one_line_of_json_per_line_that_is_not_blank(
            input in proptest::collection::vec(any::<u8>(), 0..200),
            mstats: bool,
        ) {
            let given = input.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
            let output = answers("raw:DSSum", mstats, &input);
            prop_assert_eq!(output.lines().count(), given);
            for line in output.lines() {
                prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{}", line);
            }
        }
    }
}
