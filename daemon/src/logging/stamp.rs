//! The time of a line is that of its writing, so that the lines of a log are in the order of their times. A message
//! that was held has the time of its occurrence as a field.

use std::fmt::Write as _;

use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

use crate::config::LogFormat;

/// Puts times into lines that were formatted without one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) format: LogFormat,
    /// Whether text has the colours of a terminal.
    pub(super) ansi: bool,
}

impl Stamp {
    /// The time now, in RFC 3339.
    pub(super) fn now() -> String {
        let mut time = String::new();
        // Writing to a string cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut time));
        time
    }

    /// The line with its time.
    pub(super) fn line(self, line: &str) -> String {
        let now = Self::now();
        match (self.format, line.strip_prefix('{')) {
            (LogFormat::Json, Some(fields)) => format!("{{\"timestamp\":\"{now}\",{fields}"),
            // As `tracing_subscriber` writes it.
            _ if self.ansi => format!("\x1b[2m{now}\x1b[0m {line}"),
            _ => format!("{now} {line}"),
        }
    }

    /// Adds fields to the end of a line: `left_out`, the number of messages that were left out before it, unless it is
    /// 0, and `last_at`, the time of the message, if it was held.
    pub(super) fn add(self, line: &mut String, left_out: u64, last_at: Option<&str>) {
        line.truncate(line.trim_end().len());
        let is_json = matches!(self.format, LogFormat::Json) && line.ends_with('}');
        if is_json {
            line.pop();
        }
        // Writing to a string cannot fail.
        let _ = match (is_json, left_out) {
            (_, 0) => Ok(()),
            (true, _) => write!(line, ",\"left_out\":{left_out}"),
            (false, _) => write!(line, " left_out={left_out}"),
        };
        let _ = match (is_json, last_at) {
            (_, None) => Ok(()),
            (true, Some(at)) => write!(line, ",\"last_at\":\"{at}\""),
            (false, Some(at)) => write!(line, " last_at={at}"),
        };
        line.push_str(if is_json { "}\n" } else { "\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_time_first_and_what_was_left_out_last_in_every_form() {
        let (text, json) = (LogFormat::Text, LogFormat::Json);
        for (format, ansi, before, line, after) in [
            (text, false, "", " WARN It failed.\n", " WARN It failed. left_out=7 last_at=T\n"),
            (text, true, "\x1b[2m", " WARN {}\n", " WARN {} left_out=7 last_at=T\n"),
            (
                json,
                false,
                "{\"timestamp\":\"",
                "{\"level\":\"WARN\"}\n",
                "\"WARN\",\"left_out\":7,\"last_at\":\"T\"}\n",
            ),
        ] {
            let stamp = Stamp { format, ansi };
            let mut line = stamp.line(line);
            stamp.add(&mut line, 7, Some("T"));
            let time = line.strip_prefix(before).unwrap().get(..27).unwrap();
            assert!(time.parse::<jiff::Timestamp>().is_ok() && line.ends_with(after), "{line:?}");
            if format == json {
                assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line:?}");
            }
        }
    }

    #[test]
    fn a_line_that_stands_for_itself_has_no_further_fields() {
        for (format, line) in [(LogFormat::Text, "WARN It failed.\n"), (LogFormat::Json, "{\"level\":\"WARN\"}\n")] {
            let mut same = line.to_owned();
            Stamp { format, ansi: false }.add(&mut same, 0, None);
            assert_eq!(same, line);
        }
    }
}
