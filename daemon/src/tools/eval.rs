//! `eval`: a pipeline driven by NDJSON events on standard input, one NDJSON answer line for each.
//!
//! Other programs drive it, so every answer is flushed before the next line is read, and a bad line is answered with
//! an error line and changes nothing. Blank lines are skipped. Memory is bounded by the longest line taken and, with
//! `--mstats`, by the keys that were sent and not deleted.
//!
//! An inline pipeline answers a sample; a periodic one answers `{"period":true}`, the end of its struct's period, and
//! the other kind of line with `none`. The time of a report is the newest `at` seen.

mod answer;
mod event;
mod lines;
mod number;
mod session;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;

use derived_stats::Registry;

use self::answer::Answers;
use self::event::Event;
use self::lines::{Line, MAX_LINE_BYTES};
use self::session::Session;
use crate::cli::EvalArgs;

/// Runs until standard input ends. Exit code 2 for a bad annotation.
///
/// # Errors
///
/// When standard input cannot be read or standard output not written. A reader that has gone away is not an error.
pub(crate) fn run(args: &EvalArgs, registry: &Registry) -> anyhow::Result<ExitCode> {
    let spec = match args.pipeline.compile(registry) {
        Ok(spec) => Arc::new(spec),
        Err(error) => return Ok(super::refuse(&error)),
    };
    let session = Session::new(spec, args.pipeline.mstats);
    super::quiet_if_closed(answer_all(session, io::stdin().lock(), io::stdout().lock()))?;
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

    use super::*;

    fn answers(annotation: &str, mstats: bool, input: &[u8]) -> String {
        let spec = Spec::parse(annotation, Context::new(ValueType::U64)).expect("a good annotation");
        let mut output = Vec::new();
        answer_all(Session::new(Arc::new(spec), mstats), input, &mut output).expect("memory takes everything");
        String::from_utf8(output).expect("JSON is UTF-8")
    }

    proptest! {
        #[test]
        fn property_any_bytes_get_one_line_of_json_for_each_line_that_is_not_blank(
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
