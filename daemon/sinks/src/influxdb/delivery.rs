//! Sends lines to the server until it has accepted or permanently rejected each of them.
//!
//! Only the server can reject a line. After a retryable error (no connection, no answer, no permission, no space) the
//! delivery waits and sends the same lines again. The waits double from half a second to half a minute, unless the
//! server requests another wait. If the server rejects a whole request because of invalid lines, the delivery halves
//! the request until each invalid line is alone, and drops and counts that line. A line that is sent twice changes no
//! data, because its series and time are the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::backoff::{Backoff, random_share};
use daemon_base::clock::Clock;
use tracing::{error, info, warn};

use super::answer::{self, DropReason, Outcome, RetryReason, RetryableError};
use super::batch::{Batch, Limits};
use super::telemetry::InfluxTelemetry;
use crate::exchange::{Answer, NoAnswer, excerpt};

const PAUSE: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

/// The shortest time between two log messages of the same kind.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The error of a delivery that a stop of the daemon ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("stopped before InfluxDB accepted all lines; the sink sends them after the next start")]
pub(super) struct Stopped;

/// The server and the waits between attempts.
pub(super) trait Remote: Send {
    /// Sends lines.
    fn write(&mut self, lines: &[u8]) -> Result<Answer, NoAnswer>;

    /// Requests the creation of the database.
    fn create_database(&mut self) -> Result<Answer, NoAnswer>;

    /// Waits for `time`.
    ///
    /// # Errors
    ///
    /// [`Stopped`], as soon as the daemon stops.
    fn wait(&mut self, time: Duration) -> Result<(), Stopped>;
}

/// The delivery of lines, with retries until the server has accepted or rejected them.
pub(super) struct Delivery {
    remote: Box<dyn Remote>,
    clock: Arc<dyn Clock>,
    telemetry: InfluxTelemetry,
    /// The settings of the credentials, for messages.
    credentials: &'static str,
    /// The settings of the address, for messages.
    target: &'static str,
    /// Whether the server has accepted lines since the start.
    has_accepted_lines: bool,
    /// The number of consecutive retryable errors.
    failures: u32,
    /// Whether one of these errors was logged.
    is_failure_logged: bool,
    /// The monotonic time of the last log message of each kind.
    logged_at: BTreeMap<&'static str, Duration>,
}

impl Delivery {
    /// Creates a delivery to `remote`; its messages contain the settings `credentials` and `target`.
    pub(super) fn new(
        remote: Box<dyn Remote>,
        clock: Arc<dyn Clock>,
        telemetry: InfluxTelemetry,
        credentials: &'static str,
        target: &'static str,
    ) -> Self {
        let logged_at = BTreeMap::new();
        Self {
            remote,
            clock,
            telemetry,
            credentials,
            target,
            has_accepted_lines: false,
            failures: 0,
            is_failure_logged: false,
            logged_at,
        }
    }

    /// Sends all lines of a batch, in requests within `limits`.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if the daemon stops; the server may have an unknown part of the lines.
    pub(super) fn send(&mut self, batch: &Batch, limits: Limits) -> Result<(), Stopped> {
        batch.requests(limits).try_for_each(|request| self.send_lines(batch, request))
    }

    /// Sends the lines of one request and halves the request while the server rejects it as a whole.
    fn send_lines(&mut self, batch: &Batch, request: Range<usize>) -> Result<(), Stopped> {
        let mut pending = vec![request];
        while let Some(lines) = pending.pop() {
            let count = lines.len() as u64;
            match self.attempt(batch.text(&lines))? {
                Outcome::Written => self.count_accepted(count),
                Outcome::Partly(dropped, reason, text) => {
                    let dropped = dropped.min(count);
                    self.count_accepted(count - dropped);
                    self.count_dropped(dropped, reason, &text);
                }
                Outcome::Bad(..) | Outcome::TooLarge(_) if count > 1 => {
                    let middle = lines.start + lines.len() / 2;
                    // The first half is next, so that lines are sent in order.
                    pending.extend([middle..lines.end, lines.start..middle]);
                }
                Outcome::Bad(reason, text) => self.count_dropped(1, reason, &text),
                Outcome::TooLarge(text) => self.count_dropped(1, DropReason::TooLarge, &text),
            }
        }
        Ok(())
    }

    /// Sends lines again after each retryable error, until there is an outcome.
    fn attempt(&mut self, lines: &[u8]) -> Result<Outcome, Stopped> {
        let mut is_created = false;
        loop {
            let answer = self.remote.write(lines);
            let classified = self.classify(answer)?;
            self.telemetry.requested(classified.as_ref().map_or_else(RetryableError::label, Outcome::label));
            match classified {
                Err(RetryableError::Failed(reason, requested, text)) => self.pause(reason, requested, &text)?,
                Err(RetryableError::NoDatabase) if is_created => {
                    self.pause(RetryReason::NotFound, None, "the database was created and still does not exist")?;
                }
                Err(RetryableError::NoDatabase) => is_created = self.create_database()?,
                Ok(outcome) => {
                    self.failures = 0;
                    self.telemetry.set_problem(None);
                    if std::mem::take(&mut self.is_failure_logged) {
                        info!("InfluxDB accepts lines again.");
                    }
                    return Ok(outcome);
                }
            }
        }
    }

    /// Classifies an answer or its absence.
    fn classify(&self, answer: Result<Answer, NoAnswer>) -> Result<Result<Outcome, RetryableError>, Stopped> {
        let failed = |reason, text| Ok(Err(RetryableError::Failed(reason, None, text)));
        match answer {
            Ok(answer) => Ok(answer::classify(&answer, self.has_accepted_lines, self.clock.now_micros())),
            Err(NoAnswer::Stopped) => Err(Stopped),
            Err(NoAnswer::Timeout) => {
                failed(RetryReason::Timeout, "no complete answer within sinks.influxdb.timeout".to_owned())
            }
            Err(NoAnswer::Transport(text)) => failed(RetryReason::Transport, text),
        }
    }

    /// Creates the database; after a failure it waits and returns `false`.
    fn create_database(&mut self) -> Result<bool, Stopped> {
        let text = match self.remote.create_database() {
            // The server answers a statement that failed with status 200 and an `error`.
            Ok(answer) if answer.status == 200 && !answer.text().contains("\"error\"") => {
                info!("The database did not exist; the sink created it.");
                return Ok(true);
            }
            Ok(answer) => {
                format!("the database does not exist, CREATE DATABASE: status {}, {}", answer.status, answer.text())
            }
            Err(NoAnswer::Stopped) => return Err(Stopped),
            Err(NoAnswer::Timeout) => "no complete answer to CREATE DATABASE within sinks.influxdb.timeout".to_owned(),
            Err(NoAnswer::Transport(text)) => text,
        };
        self.pause(RetryReason::NotFound, None, &text).map(|()| false)
    }

    /// Logs a retryable error and waits: as long as the server requested, or longer with each consecutive error.
    fn pause(&mut self, reason: RetryReason, requested: Option<Duration>, text: &str) -> Result<(), Stopped> {
        let pause = requested.unwrap_or_else(|| PAUSE.after(self.failures, random_share()));
        self.failures = self.failures.saturating_add(1);
        self.telemetry.set_problem(format!("{}: {}; {}", reason.label(), excerpt(text), self.remedy(reason)));
        if self.should_log(reason.label()) {
            self.is_failure_logged = true;
            let (remedy, needs_operator) = (self.remedy(reason), reason.needs_operator());
            let (reason, text, retry) = (reason.label(), excerpt(text), pause.as_secs_f64());
            if needs_operator {
                error!(
                    reason,
                    text,
                    retry_seconds = retry,
                    "InfluxDB accepts no lines; {remedy}. The results stay in the log."
                );
            } else {
                warn!(
                    reason,
                    text,
                    retry_seconds = retry,
                    "InfluxDB accepts no lines at present; {remedy}. The results stay in the log."
                );
            }
        }
        self.remote.wait(pause)
    }

    /// The action that resolves a retryable error, for the log message.
    fn remedy(&self, reason: RetryReason) -> String {
        match reason {
            RetryReason::Auth => format!("check {}", self.credentials),
            RetryReason::NotFound | RetryReason::Unexpected => format!("check {}", self.target),
            RetryReason::Busy | RetryReason::Server | RetryReason::Timeout | RetryReason::Transport => {
                "the sink tries again".to_owned()
            }
        }
    }

    fn count_accepted(&mut self, lines: u64) {
        self.has_accepted_lines |= lines > 0;
        self.telemetry.written(lines, self.clock.now_micros());
    }

    fn count_dropped(&mut self, lines: u64, reason: DropReason, text: &str) {
        self.telemetry.dropped(lines, reason);
        if self.should_log(reason.label()) {
            let (reason, text) = (reason.label(), excerpt(text));
            error!(lines, reason, text, "InfluxDB rejects lines permanently; the sink drops them.");
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

#[cfg(test)]
mod tests;
