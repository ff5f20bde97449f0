//! Classifies the server's answer to lines: accepted, rejected, or to be sent again.
//!
//! InfluxDB answers with status 400 in three cases: it has rejected some lines and written the others, it has rejected
//! all lines, or it could not parse the request at all. The text distinguishes the cases. A text that does not refer to
//! lines may come from another server or a proxy; it rejects lines only if the server has accepted lines before.

use std::time::Duration;

use serde::Deserialize;

use crate::exchange::{Answer, retry_after};

/// Parts of the texts with which a server rejects lines, in lower case: InfluxDB 1 and 2 cannot parse a line or find a
/// field of another type, the texts of InfluxDB 3 contain the name of the format.
const LINE_ERRORS: [&str; 5] = ["parse", "partial write", "conflict", "line protocol", "dropped"];

/// The labels of all outcomes of a request.
pub(super) const OUTCOMES: [&str; 12] = [
    "auth",
    "busy",
    "no_database",
    "not_found",
    "ok",
    "partial",
    "refused",
    "server_error",
    "timeout",
    "too_large",
    "transport",
    "unexpected",
];

/// The reason why the server rejected lines permanently.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum DropReason {
    /// The measurement has a field of the same name and another type.
    Conflict,
    /// The server cannot parse the lines.
    Parse,
    /// Another reason, such as points older than the retention policy.
    Refused,
    /// A single line exceeds the size limit of the server.
    TooLarge,
}

impl DropReason {
    pub(super) const ALL: [Self; 4] = [Self::Conflict, Self::Parse, Self::Refused, Self::TooLarge];

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

/// The reason why the server accepts no lines at present.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum RetryReason {
    /// The server rejects the credentials or lacks a permission.
    Auth,
    /// The server requests a wait.
    Busy,
    /// The database, bucket or path does not exist.
    NotFound,
    /// The server failed.
    Server,
    Timeout,
    Transport,
    /// The answer does not come from an InfluxDB.
    Unexpected,
}

impl RetryReason {
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

    /// Whether only an operator can resolve it.
    pub(super) fn needs_operator(self) -> bool {
        matches!(self, Self::Auth | Self::NotFound | Self::Unexpected)
    }
}

/// The outcome of a request with lines.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The server wrote no line because at least one is invalid.
    Bad(DropReason, String),
    /// The server wrote the valid lines and rejected this number of lines.
    Partly(u64, DropReason, String),
    /// The server wrote no line because the request is too large.
    TooLarge(String),
    /// The server wrote all lines.
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

/// An error after which the same lines are sent again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum RetryableError {
    /// The server accepts no lines at present: the reason, the wait that the server requested, and the text.
    Failed(RetryReason, Option<Duration>, String),
    /// The database does not exist and has to be created first.
    NoDatabase,
}

impl RetryableError {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Failed(reason, ..) => reason.label(),
            Self::NoDatabase => "no_database",
        }
    }
}

/// Classifies an answer to lines.
///
/// `has_accepted_lines` is whether the server at this address has accepted lines before; `now` is the wall clock in
/// microseconds.
pub(super) fn classify(answer: &Answer, has_accepted_lines: bool, now: u64) -> Result<Outcome, RetryableError> {
    let text = error_text(&answer.text());
    let reason = match answer.status {
        204 => return Ok(Outcome::Written),
        200 if answer.text().trim().is_empty() => return Ok(Outcome::Written),
        400 | 422 => return refused(text, has_accepted_lines),
        404 if text.contains("database not found") => return Err(RetryableError::NoDatabase),
        413 => return Ok(Outcome::TooLarge(text)),
        401 | 403 => RetryReason::Auth,
        404 => RetryReason::NotFound,
        429 | 503 => RetryReason::Busy,
        500.. => RetryReason::Server,
        _ => RetryReason::Unexpected,
    };
    let requested = answer.retry_after.as_deref().and_then(|requested| retry_after(requested, now));
    Err(RetryableError::Failed(reason, requested, format!("status {}: {text}", answer.status)))
}

/// Classifies an answer with status 400 or 422.
fn refused(text: String, has_accepted_lines: bool) -> Result<Outcome, RetryableError> {
    let lower = text.to_lowercase();
    let dropped = DropReason::of(&text);
    if lower.contains("partial write") {
        return Ok(Outcome::Partly(count_dropped(&lower), dropped, text));
    }
    if has_accepted_lines || LINE_ERRORS.iter().any(|words| lower.contains(words)) {
        return Ok(Outcome::Bad(dropped, text));
    }
    Err(RetryableError::Failed(
        RetryReason::Unexpected,
        None,
        format!("the request is rejected, and not because of its lines: {text}"),
    ))
}

/// The number of lines that a partial write rejected.
///
/// `dropped=` is the number of lines that the server parsed and could not write. The text contains each line that the
/// server could not parse.
fn count_dropped(text: &str) -> u64 {
    let digits = |rest: &str| rest.split(|character: char| !character.is_ascii_digit()).next()?.parse::<u64>().ok();
    let dropped = text.rsplit_once("dropped=").and_then(|(_, rest)| digits(rest)).unwrap_or(0);
    let unparsed = text.matches("unable to parse").count() as u64;
    (dropped + unparsed).max(1)
}

/// The server's error text on one line: the `error` of version 1, the `message` of version 2, or else the body.
fn error_text(body: &str) -> String {
    #[derive(Deserialize)]
    struct ErrorBody {
        error: Option<String>,
        message: Option<String>,
    }
    let parsed = serde_json::from_str::<ErrorBody>(body).ok();
    let text = parsed.and_then(|parsed| parsed.message.or(parsed.error)).unwrap_or_else(|| body.to_owned());
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2017-03-23T22:04:25Z.
    const NOW: u64 = 1_490_306_665_000_000;

    fn classified(status: u16, body: &str) -> Result<Outcome, RetryableError> {
        classify(&Answer { status, retry_after: None, body: body.into() }, false, NOW)
    }

    #[test]
    fn only_the_answers_of_an_influxdb_that_accepted_the_lines_count_as_written() {
        assert_eq!(classified(204, ""), Ok(Outcome::Written));
        assert_eq!(classified(200, "\n"), Ok(Outcome::Written));
        for (status, body) in [(200, "<html>Welcome</html>"), (302, ""), (202, ""), (405, "")] {
            assert!(
                matches!(classified(status, body), Err(RetryableError::Failed(RetryReason::Unexpected, None, _))),
                "{status}"
            );
        }
    }

    #[test]
    fn a_partial_write_has_the_number_of_rejected_lines() {
        let conflict = r#"input field \"a\" on measurement \"m\" is type float, already exists as type integer"#;
        let cases = [
            (400, format!(r#"{{"error":"partial write: field type conflict: {conflict} dropped=3"}}"#), 3, DropReason::Conflict),
            (400, r#"{"error":"partial write: points beyond retention policy dropped=7"}"#.to_owned(), 7, DropReason::Refused),
            (
                400,
                r#"{"error":"partial write: unable to parse 'x': missing fields\nunable to parse 'y': missing fields dropped=0"}"#
                    .to_owned(),
                2,
                DropReason::Parse,
            ),
            (
                422,
                r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: x dropped=1"}"#
                    .to_owned(),
                1,
                DropReason::Conflict,
            ),
            (400, r#"{"error":"partial write of line protocol occurred","data":[]}"#.to_owned(), 1, DropReason::Refused),
        ];
        for (status, body, count, dropped) in cases {
            match classified(status, &body) {
                Ok(Outcome::Partly(found, why, _)) => assert_eq!((found, why), (count, dropped), "{body}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn status_400_rejects_lines_only_if_its_text_refers_to_them_or_the_server_accepted_lines_before() {
        let text = r#"{"code":"invalid","message":"unable to parse 'a': missing fields"}"#;
        assert_eq!(
            classified(400, text),
            Ok(Outcome::Bad(DropReason::Parse, "unable to parse 'a': missing fields".to_owned()))
        );
        let proxy = "Client sent an HTTP request to an HTTPS server.\n";
        assert!(matches!(classified(400, proxy), Err(RetryableError::Failed(RetryReason::Unexpected, None, _))));
        let answer = Answer { status: 400, retry_after: None, body: "nonsense".into() };
        assert_eq!(classify(&answer, true, NOW), Ok(Outcome::Bad(DropReason::Refused, "nonsense".to_owned())));
    }

    #[test]
    fn each_retryable_error_has_its_reason() {
        let cases = [
            (401, r#"{"code":"unauthorized","message":"unauthorized access"}"#, RetryReason::Auth),
            (403, r#"{"error":"\"me\" user is not authorized to write to database \"x\""}"#, RetryReason::Auth),
            (404, r#"{"code":"not found","message":"bucket \"b\" not found"}"#, RetryReason::NotFound),
            (404, "404 page not found", RetryReason::NotFound),
            (429, "", RetryReason::Busy),
            (503, "", RetryReason::Busy),
            (500, r#"{"error":"retention policy not found: x"}"#, RetryReason::Server),
            (502, "", RetryReason::Server),
        ];
        for (status, body, reason) in cases {
            assert!(
                matches!(classified(status, body), Err(RetryableError::Failed(found, None, _)) if found == reason),
                "{status} {body}"
            );
        }
        assert_eq!(classified(404, r#"{"error":"database not found: \"telegraf\""}"#), Err(RetryableError::NoDatabase));
        assert!(matches!(classified(413, "Request Entity Too Large"), Ok(Outcome::TooLarge(_))));
    }

    #[test]
    fn an_error_text_is_one_line() {
        assert_eq!(error_text("{\"error\":\"a\\nb\"}"), "a b");
        assert_eq!(error_text("{\"message\":\"m\",\"error\":\"e\"}"), "m");
        assert_eq!(error_text("<p>\n no JSON"), "<p> no JSON");
    }
}
