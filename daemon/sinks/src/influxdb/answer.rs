//! What an answer means for the lines that were sent.
//!
//! InfluxDB says with one status, 400, that some lines are bad and the others in, that the whole request is bad, and
//! that it did not understand the request at all; the text tells which. A text that says nothing about lines may be
//! that of another server, or of a proxy: it condemns no line unless the server has taken some before.

use std::time::Duration;

use serde::Deserialize;

/// The longest wait that a server may ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

/// Texts by which a server says that lines are at fault, in lower case: InfluxDB 1 and 2 cannot parse them or find a
/// field of another type, InfluxDB 3 calls its format by name.
const ABOUT_LINES: [&str; 5] = ["parse", "partial write", "conflict", "line protocol", "dropped"];

/// How many characters of a text are shown.
const SHOWN: usize = 400;

/// An answer of the server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Answer {
    pub status: u16,
    pub retry_after: Option<String>,
    pub body: String,
}

/// Why there is none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum NoAnswer {
    /// Told to stop.
    Stopped,
    Timeout,
    /// Anything between here and there, with its text.
    Transport(String),
}

/// Why lines were dropped.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Dropped {
    /// A field has another type there.
    Conflict,
    /// They are not understood.
    Parse,
    /// Refused for another reason, such as being older than the retention policy.
    Refused,
    /// A single line that is too large.
    TooLarge,
}

impl Dropped {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::Parse => "parse",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
        }
    }

    fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        match text {
            text if text.contains("conflict") => Self::Conflict,
            text if text.contains("parse") || text.contains("parsing") => Self::Parse,
            _ => Self::Refused,
        }
    }
}

/// What keeps the server from taking anything now.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Fault {
    /// It does not let us in.
    Auth,
    /// It asks for time.
    Busy,
    /// There is no such database, bucket or path.
    NotFound,
    /// It failed.
    Server,
    Timeout,
    Transport,
    /// Nothing that an InfluxDB would say.
    Unexpected,
}

impl Fault {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Busy => "busy",
            Self::NotFound => "not_found",
            Self::Server => "server_error",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Unexpected => "unexpected",
        }
    }

    /// Whether only an operator can help.
    pub(super) fn needs_operator(self) -> bool {
        matches!(self, Self::Auth | Self::NotFound | Self::Unexpected)
    }
}

/// What became of the lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// At least one of them is bad, and none is in.
    Bad(Dropped, String),
    /// The good ones are in; so many others are not, and never will be.
    Partly(u64, Dropped, String),
    /// None is in: they are too many at a time.
    TooLarge(String),
    /// All are in.
    Written,
}

impl Outcome {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Bad(..) => "refused",
            Self::Partly(..) => "partial",
            Self::TooLarge(_) => "too_large",
            Self::Written => "ok",
        }
    }
}

/// Why nothing became of them: they are to be sent again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Hindrance {
    /// After a wait, which the server may ask for.
    Fault(Fault, Option<Duration>, String),
    /// After the database was created.
    NoDatabase,
}

impl Hindrance {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Fault(fault, ..) => fault.label(),
            Self::NoDatabase => "no_database",
        }
    }
}

/// Judges an answer to lines. `has_taken_lines`: the server at this address has before. `now` is the wall clock in
/// microseconds.
pub(super) fn judge(answer: &Answer, has_taken_lines: bool, now: u64) -> Result<Outcome, Hindrance> {
    let text = reason(&answer.body);
    let fault = match answer.status {
        204 => return Ok(Outcome::Written),
        200 if answer.body.trim().is_empty() => return Ok(Outcome::Written),
        400 | 422 => return refused(text, has_taken_lines),
        404 if text.contains("database not found") => return Err(Hindrance::NoDatabase),
        413 => return Ok(Outcome::TooLarge(text)),
        401 | 403 => Fault::Auth,
        404 => Fault::NotFound,
        429 | 503 => Fault::Busy,
        500.. => Fault::Server,
        _ => Fault::Unexpected,
    };
    let asked = answer.retry_after.as_deref().and_then(|asked| retry_after(asked, now));
    Err(Hindrance::Fault(fault, asked, format!("status {}: {text}", answer.status)))
}

fn refused(text: String, has_taken_lines: bool) -> Result<Outcome, Hindrance> {
    let lower = text.to_lowercase();
    let dropped = Dropped::of(&text);
    if lower.contains("partial write") {
        return Ok(Outcome::Partly(count_dropped(&lower), dropped, text));
    }
    if has_taken_lines || ABOUT_LINES.iter().any(|words| lower.contains(words)) {
        return Ok(Outcome::Bad(dropped, text));
    }
    Err(Hindrance::Fault(Fault::Unexpected, None, format!("refused, and not for the lines: {text}")))
}

/// How many lines a partial write lacks. `dropped=` counts those that parsed and could not be written; each of those
/// that did not parse is named.
fn count_dropped(text: &str) -> u64 {
    let digits = |rest: &str| rest.split(|character: char| !character.is_ascii_digit()).next()?.parse::<u64>().ok();
    let written_off = text.rsplit_once("dropped=").and_then(|(_, rest)| digits(rest)).unwrap_or(0);
    let unparsed = text.matches("unable to parse").count() as u64;
    (written_off + unparsed).max(1)
}

/// What the server says is the matter, on one line and not endless: the `error` of version 1 or the `message` of
/// version 2, else the body.
fn reason(body: &str) -> String {
    #[derive(Deserialize)]
    struct Said {
        error: Option<String>,
        message: Option<String>,
    }
    let said = serde_json::from_str::<Said>(body).ok().and_then(|said| said.message.or(said.error));
    let text = said.unwrap_or_else(|| body.to_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a text, for the log.
pub(super) fn shown(text: &str) -> &str {
    text.char_indices().nth(SHOWN).map_or(text, |(end, _)| &text[..end])
}

/// How long to wait: seconds, or until a date (RFC 9110, section 10.2.3). At most [`LONGEST_RETRY_AFTER`].
fn retry_after(asked: &str, now: u64) -> Option<Duration> {
    let asked = asked.trim();
    let wait = match asked.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(asked).ok()?;
            let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            date.saturating_sub(Duration::from_micros(now))
        }
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2017-03-23T22:04:25Z.
    const NOW: u64 = 1_490_306_665_000_000;

    fn judged(status: u16, body: &str) -> Result<Outcome, Hindrance> {
        judge(&Answer { status, retry_after: None, body: body.to_owned() }, false, NOW)
    }

    #[test]
    fn only_the_answers_of_an_influxdb_that_took_the_lines_count_as_written() {
        assert_eq!(judged(204, ""), Ok(Outcome::Written));
        assert_eq!(judged(200, "\n"), Ok(Outcome::Written));
        for (status, body) in [(200, "<html>Welcome</html>"), (302, ""), (202, ""), (405, "")] {
            assert!(matches!(judged(status, body), Err(Hindrance::Fault(Fault::Unexpected, None, _))), "{status}");
        }
    }

    #[test]
    fn a_partial_write_is_done_but_for_what_it_counts() {
        let conflict = r#"input field \"a\" on measurement \"m\" is type float, already exists as type integer"#;
        let cases = [
            (400, format!(r#"{{"error":"partial write: field type conflict: {conflict} dropped=3"}}"#), 3, Dropped::Conflict),
            (400, r#"{"error":"partial write: points beyond retention policy dropped=7"}"#.to_owned(), 7, Dropped::Refused),
            (
                400,
                r#"{"error":"partial write: unable to parse 'x': missing fields\nunable to parse 'y': missing fields dropped=0"}"#
                    .to_owned(),
                2,
                Dropped::Parse,
            ),
            (
                422,
                r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: x dropped=1"}"#
                    .to_owned(),
                1,
                Dropped::Conflict,
            ),
            (400, r#"{"error":"partial write of line protocol occurred","data":[]}"#.to_owned(), 1, Dropped::Refused),
        ];
        for (status, body, count, dropped) in cases {
            match judged(status, &body) {
                Ok(Outcome::Partly(found, why, _)) => assert_eq!((found, why), (count, dropped), "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_refusal_condemns_lines_only_if_it_speaks_of_them_or_the_server_took_some_before() {
        let text = r#"{"code":"invalid","message":"unable to parse 'a': missing fields"}"#;
        assert_eq!(
            judged(400, text),
            Ok(Outcome::Bad(Dropped::Parse, "unable to parse 'a': missing fields".to_owned()))
        );
        let proxy = "Client sent an HTTP request to an HTTPS server.\n";
        assert!(matches!(judged(400, proxy), Err(Hindrance::Fault(Fault::Unexpected, None, _))));
        let answer = Answer { status: 400, retry_after: None, body: "nonsense".to_owned() };
        assert_eq!(judge(&answer, true, NOW), Ok(Outcome::Bad(Dropped::Refused, "nonsense".to_owned())));
    }

    #[test]
    fn faults_are_told_apart() {
        let cases = [
            (401, r#"{"code":"unauthorized","message":"unauthorized access"}"#, Fault::Auth),
            (403, r#"{"error":"\"me\" user is not authorized to write to database \"x\""}"#, Fault::Auth),
            (404, r#"{"code":"not found","message":"bucket \"b\" not found"}"#, Fault::NotFound),
            (404, "404 page not found", Fault::NotFound),
            (429, "", Fault::Busy),
            (503, "", Fault::Busy),
            (500, r#"{"error":"retention policy not found: x"}"#, Fault::Server),
            (502, "", Fault::Server),
        ];
        for (status, body, fault) in cases {
            assert!(
                matches!(judged(status, body), Err(Hindrance::Fault(found, None, _)) if found == fault),
                "{status} {body}"
            );
        }
        assert_eq!(judged(404, r#"{"error":"database not found: \"telegraf\""}"#), Err(Hindrance::NoDatabase));
        assert!(matches!(judged(413, "Request Entity Too Large"), Ok(Outcome::TooLarge(_))));
    }

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_as_a_date_and_has_an_end() {
        let cases = [
            ("0", Some(0)),
            (" 17 ", Some(17)),
            ("99999", Some(300)),
            ("18446744073709551616", None),
            ("-1", None),
            ("soon", None),
            ("Thu, 23 Mar 2017 22:04:35 GMT", Some(10)),
            ("Thu, 23 Mar 2017 22:04:15 GMT", Some(0)),
            ("Fri, 23 Mar 2018 22:04:15 GMT", Some(300)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ];
        for (asked, seconds) in cases {
            assert_eq!(retry_after(asked, NOW), seconds.map(Duration::from_secs), "{asked}");
        }
    }

    #[test]
    fn texts_are_one_line_and_cut_between_characters() {
        assert_eq!(reason("{\"error\":\"a\\nb\"}"), "a b");
        assert_eq!(reason("{\"message\":\"m\",\"error\":\"e\"}"), "m");
        assert_eq!(reason("<p>\n no JSON"), "<p> no JSON");
        assert_eq!(shown("short"), "short");
        assert_eq!(shown(&"é".repeat(SHOWN)), "é".repeat(SHOWN));
        assert_eq!(shown(&"é".repeat(SHOWN + 1)), "é".repeat(SHOWN));
    }
}
