//! Sends requests until the server has taken or rejected each item.
//!
//! After a retryable error the delivery waits and sends the same request again; the waits double from half a second to
//! half a minute, unless the server requests another wait. A request that is rejected is not sent again: it is halved
//! until each bad item stands alone, which is dropped and counted. At most [`MAX_REQUESTS`] requests are spent on that;
//! then what is still in one request with a bad item is dropped with it, as the specification of remote write has it for
//! the whole request.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::backoff::{Backoff, random_share};
use daemon_base::clock::Clock;
use tracing::{error, info, warn};

use super::answer::{Outcome, Retryable, classify};
use super::{LeftOut, Payload, PostSettings, PostTelemetry, Request};
use crate::exchange::{Answer, Exchange, NoAnswer, excerpt};

const PAUSE: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

/// The shortest time between two log messages of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The requests after one that is rejected. They find twenty bad items among 5,000.
const MAX_REQUESTS: usize = 256;

/// The error of a delivery that a stop of the daemon ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("stopped before the server took all results; the sink sends them after the next start")]
pub(super) struct Stopped;

/// The server and the waits between attempts.
pub(super) trait Remote: Send {
    /// Sends a request.
    fn post(&mut self, url: &str, request: Request) -> Result<Answer, NoAnswer>;

    /// Waits for `time`; false as soon as the daemon stops.
    fn wait(&mut self, time: Duration) -> bool;
}

impl Remote for Exchange {
    fn post(&mut self, url: &str, request: Request) -> Result<Answer, NoAnswer> {
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Self::post(self, url, &headers, request.body)
    }

    fn wait(&mut self, time: Duration) -> bool {
        self.rest(time)
    }
}

/// The delivery of requests, with retries.
pub(super) struct Delivery {
    settings: PostSettings,
    remote: Box<dyn Remote>,
    clock: Arc<dyn Clock>,
    telemetry: PostTelemetry,
    /// The number of consecutive retryable errors.
    failures: u32,
    /// The monotonic time since when the server refuses every request.
    refused_since: Option<Duration>,
    /// Whether the server has taken a request since the start.
    has_delivered: bool,
    is_failure_logged: bool,
    /// The monotonic time of the last log message of each kind.
    logged_at: BTreeMap<&'static str, Duration>,
}

impl Delivery {
    pub(super) fn new(
        settings: PostSettings,
        remote: Box<dyn Remote>,
        clock: Arc<dyn Clock>,
        telemetry: PostTelemetry,
    ) -> Self {
        let (failures, refused_since, has_delivered, is_failure_logged, logged_at) = Default::default();
        Self {
            settings,
            remote,
            clock,
            telemetry,
            failures,
            refused_since,
            has_delivered,
            is_failure_logged,
            logged_at,
        }
    }

    #[cfg(test)]
    pub(super) fn limit_server_errors(&mut self) {
        self.settings.ends_server_errors = true;
    }

    /// Sends all items.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the daemon stops; the server may have an unknown part of the items.
    pub(super) fn send(&mut self, payload: &mut dyn Payload) -> Result<(), Stopped> {
        let mut pending: Vec<_> = std::iter::once(0..payload.items()).collect();
        let mut requests = 0;
        while let Some(items) = pending.pop() {
            let pruned = payload.prune(items.clone());
            self.telemetry.dropped(pruned as u64, "too_old");
            let left = payload.left(items.clone());
            if left == 0 {
                continue;
            }
            requests += 1;
            match self.attempt(payload, &items)? {
                Outcome::Accepted(None) => self.telemetry.delivered(left as u64, self.clock.now_micros()),
                Outcome::Accepted(Some(left_out)) => self.delivered_in_part(left as u64, &left_out),
                Outcome::Refused(text) => self.drop_items(left, "refused", &text),
                Outcome::Rejected(_) | Outcome::TooLarge(_) if left > 1 && requests <= MAX_REQUESTS => {
                    let middle = items.start + items.len() / 2;
                    // The first half is next, so that items are sent in order.
                    pending.extend([middle..items.end, items.start..middle]);
                }
                Outcome::Rejected(text) => {
                    if left == 1 {
                        items.for_each(|item| payload.rejected(item, &text));
                    }
                    self.drop_items(left, "rejected", &text);
                }
                Outcome::TooLarge(text) => self.drop_items(left, "too_large", &text),
            }
        }
        Ok(())
    }

    /// Sends a request again after each retryable error, until there is an outcome.
    fn attempt(&mut self, payload: &dyn Payload, items: &Range<usize>) -> Result<Outcome, Stopped> {
        loop {
            let request = payload.request(items.clone(), self.clock.now_micros());
            let retryable =
                |outcome, text: &str| Retryable { outcome, may_blame: false, wait: None, text: text.to_owned() };
            let classified = match self.remote.post(&self.settings.url, request) {
                Ok(answer) => classify(&answer, self.clock.now_micros(), |body| payload.left_out(body)),
                Err(NoAnswer::Stopped) => return Err(Stopped),
                Err(NoAnswer::Timeout) => Err(retryable("timeout", "no complete answer within the timeout")),
                Err(NoAnswer::Transport(text)) => Err(retryable("transport", &text)),
            };
            let classified = classified.or_else(|error| {
                let is_rejection = error.outcome == "server_error" && payload.is_rejection(&error.text);
                if is_rejection { Ok(Outcome::Rejected(error.text)) } else { Err(error) }
            });
            let classified = match classified {
                // Bad items are left out by a success here. So this is a wrong path or receiver, until one was right.
                Ok(Outcome::Rejected(text)) if self.settings.ends_server_errors && !self.has_delivered => {
                    Err(retryable("refused", &text))
                }
                other => other,
            };
            self.telemetry.requested(classified.as_ref().map_or_else(|error| error.outcome, Outcome::label));
            match classified {
                Ok(outcome) => {
                    self.has_delivered |= matches!(outcome, Outcome::Accepted(_));
                    self.answered();
                    return Ok(outcome);
                }
                Err(error) if self.is_hopeless(&error) => return Ok(Outcome::Refused(error.text)),
                Err(error) => self.pause(&error)?,
            }
        }
    }

    /// Counts the items of a request of which the server took a part, which ends it: what it left out is not sent again.
    fn delivered_in_part(&mut self, left: u64, left_out: &LeftOut) {
        let LeftOut { items, text } = left_out;
        let items = left.min(*items);
        self.telemetry.delivered(left - items, self.clock.now_micros());
        self.telemetry.dropped(items, "rejected");
        if self.should_log("partial") {
            let (sink, text) = (self.settings.name, excerpt(text));
            error!(sink, items, text, "The server took a request but for some of its items; the sink drops these.");
        }
    }

    fn answered(&mut self) {
        (self.failures, self.refused_since) = (0, None);
        self.telemetry.set_problem(None);
        if std::mem::take(&mut self.is_failure_logged) {
            info!(sink = self.settings.name, "The server answers again.");
        }
    }

    /// Whether the server has refused every request for too long.
    fn is_hopeless(&mut self, error: &Retryable) -> bool {
        let is_limited = error.outcome == "refused" || self.settings.ends_server_errors && error.may_blame;
        if !is_limited {
            return false;
        }
        let now = self.clock.monotonic();
        let since = *self.refused_since.get_or_insert(now);
        now.saturating_sub(since) >= self.settings.refusal_timeout
    }

    /// Logs a retryable error and waits: as long as the server requested, or longer with each consecutive error.
    fn pause(&mut self, error: &Retryable) -> Result<(), Stopped> {
        let pause = error.wait.unwrap_or_else(|| PAUSE.after(self.failures, random_share()));
        self.failures = self.failures.saturating_add(1);
        let settings = self.settings.settings;
        self.telemetry.set_problem(format!("{}: {}; check {settings}", error.outcome, excerpt(&error.text)));
        if self.should_log(error.outcome) {
            self.is_failure_logged = true;
            let (sink, outcome, text) = (self.settings.name, error.outcome, excerpt(&error.text));
            let retry_seconds = pause.as_secs_f64();
            if outcome == "refused" {
                error!(sink, outcome, text, retry_seconds, "The server refuses all results; check {settings}.");
            } else {
                warn!(
                    sink,
                    outcome, text, retry_seconds, "The server takes no results at present; they stay in the log."
                );
            }
        }
        if self.remote.wait(pause) { Ok(()) } else { Err(Stopped) }
    }

    fn drop_items(&mut self, items: usize, reason: &'static str, text: &str) {
        self.telemetry.dropped(items as u64, reason);
        if self.should_log(reason) {
            let (sink, text) = (self.settings.name, excerpt(text));
            error!(sink, items, reason, text, "The server rejects results permanently; the sink drops them.");
        }
    }

    /// Whether a message of this kind is due, at most one per [`LOG_INTERVAL`].
    fn should_log(&mut self, kind: &'static str) -> bool {
        let now = self.clock.monotonic();
        let is_due = self.logged_at.get(kind).is_none_or(|&before| now.saturating_sub(before) >= LOG_INTERVAL);
        if is_due {
            self.logged_at.insert(kind, now);
        }
        is_due
    }
}
