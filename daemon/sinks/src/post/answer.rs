//! Classifies the answer to a request: taken, rejected, or to be sent again.
//!
//! An answer with a status of 400 to 499 blames the request, which is not sent again; the exceptions are those that blame
//! something else. 429 asks for a later request. 401, 403, 404 and the like come from a wrong setting, here or there:
//! they are repeated for a limited time, so that a mistake that is mended soon costs no data. A status of 500 to 599 blames
//! the server, unless the payload knows its text ([`Payload::is_rejection`](super::Payload::is_rejection)).
//!
//! <https://prometheus.io/docs/specs/prw/remote_write_spec/#retries-backoff>

use std::time::Duration;

use super::LeftOut;
use crate::exchange::{Answer, retry_after};

/// The labels of all outcomes of a request.
pub(super) const OUTCOMES: [&str; 8] =
    ["busy", "ok", "refused", "rejected", "server_error", "timeout", "too_large", "transport"];

/// The reasons why items are dropped.
pub(super) const REASONS: [&str; 5] = ["duplicate", "refused", "rejected", "too_large", "too_old"];

/// The outcome of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The server took all items, or all but some.
    Accepted(Option<LeftOut>),
    /// The server takes no request at all, and has done so for too long.
    Refused(String),
    /// The server took no item because of at least one.
    Rejected(String),
    /// The server took no item because the request is too large.
    TooLarge(String),
}

/// An error after which the same request is sent again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Retryable {
    /// The label of the outcome; `refused` for an answer that does not blame the request.
    pub outcome: &'static str,
    /// Whether the error may be the fault of the request, and is not one that soon ends: status 500, 501 and the like.
    pub may_blame: bool,
    /// The wait that the server requested.
    pub wait: Option<Duration>,
    pub text: String,
}

impl Outcome {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "ok",
            Self::Refused(_) => "refused",
            Self::Rejected(_) => "rejected",
            Self::TooLarge(_) => "too_large",
        }
    }
}

/// Classifies an answer; `now` is the wall clock in microseconds, and `left_out` reads the body of a success.
pub(super) fn classify(
    answer: &Answer,
    now: u64,
    left_out: impl FnOnce(&[u8]) -> Option<LeftOut>,
) -> Result<Outcome, Retryable> {
    let body = answer.text().split_whitespace().collect::<Vec<_>>().join(" ");
    let text = format!("status {}: {body}", answer.status);
    let outcome = match answer.status {
        200..=299 => return Ok(Outcome::Accepted(left_out(&answer.body))),
        413 => return Ok(Outcome::TooLarge(text)),
        408 => "timeout",
        429 | 503 => "busy",
        ..=399 | 401 | 403 | 404 | 405 | 407 | 415 => "refused",
        400..=499 => return Ok(Outcome::Rejected(text)),
        500.. => "server_error",
    };
    let wait = answer.retry_after.as_deref().and_then(|requested| retry_after(requested, now));
    let may_blame = outcome == "server_error" && ![502, 504].contains(&answer.status);
    Err(Retryable { outcome, may_blame, wait, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_that_blames_the_request_ends_it() {
        let of = |status| classify(&Answer { status, ..Answer::default() }, 0, |_| None);
        for status in [200, 202, 204] {
            assert_eq!(of(status), Ok(Outcome::Accepted(None)), "{status}");
        }
        for status in [400, 409, 422, 499] {
            assert!(matches!(of(status), Ok(Outcome::Rejected(_))), "{status}");
        }
        assert!(matches!(of(413), Ok(Outcome::TooLarge(_))));
        let cases = [
            (301, "refused"),
            (401, "refused"),
            (404, "refused"),
            (415, "refused"),
            (408, "timeout"),
            (429, "busy"),
            (503, "busy"),
            (500, "server_error"),
            (502, "server_error"),
            (504, "server_error"),
            (599, "server_error"),
        ];
        for (status, outcome) in cases {
            assert!(of(status).is_err_and(|retryable| retryable.outcome == outcome), "{status}");
            let may_blame = [500, 599].contains(&status);
            assert!(of(status).is_err_and(|retryable| retryable.may_blame == may_blame), "{status}");
        }
        let waits =
            classify(&Answer { status: 429, retry_after: Some("7".to_owned()), body: "a\nb".into() }, 0, |_| None);
        let expected = Retryable {
            outcome: "busy",
            may_blame: false,
            wait: Some(Duration::from_secs(7)),
            text: "status 429: a b".to_owned(),
        };
        assert_eq!(waits, Err(expected));
    }
}
