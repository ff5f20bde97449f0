//! Bringing lines to the server: until it has taken them, or has refused them for good.
//!
//! Nothing here decides to give up lines but the server: what stands between (no connection, no answer, no permission,
//! no room) is waited for, with pauses that double from half a second to half a minute, or that the server asks for. A
//! request with bad lines of which none was taken is halved until the bad ones stand alone; those are dropped and
//! counted. Sending a line again changes nothing: its series and time are the same.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::backoff::{Backoff, random_share};
use daemon_base::clock::Clock;
use tracing::{error, info, warn};

use super::answer::{self, Answer, Dropped, Fault, Hindrance, NoAnswer, Outcome};
use super::batch::{Batch, Limits};
use super::telemetry::InfluxTelemetry;

const PAUSE: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };

/// How often at most the same kind of trouble is logged.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// Told to stop before it worked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("told to stop before InfluxDB had everything; it is sent at the next start")]
pub(super) struct Stopped;

/// The server, and the time that passes.
pub(super) trait Remote: Send {
    /// Sends lines.
    fn write(&mut self, lines: &[u8]) -> Result<Answer, NoAnswer>;

    /// Asks for the database to be made.
    fn create_database(&mut self) -> Result<Answer, NoAnswer>;

    /// Waits.
    ///
    /// # Errors
    ///
    /// [`Stopped`], at once when told to stop.
    fn wait(&mut self, time: Duration) -> Result<(), Stopped>;
}

/// Delivers lines to the server and retries until the server has taken or refused them.
pub(super) struct Delivery {
    remote: Box<dyn Remote>,
    clock: Arc<dyn Clock>,
    telemetry: InfluxTelemetry,
    /// Which settings let us in, for messages.
    credentials: &'static str,
    /// Which settings say where, for messages.
    target: &'static str,
    /// The server has taken lines since the start.
    has_taken_lines: bool,
    /// Faults in a row, and whether they were logged.
    faults: u32,
    is_told: bool,
    /// When each kind of trouble was logged, by monotonic time.
    told: BTreeMap<&'static str, Duration>,
}

impl Delivery {
    pub(super) fn new(
        remote: Box<dyn Remote>,
        clock: Arc<dyn Clock>,
        telemetry: InfluxTelemetry,
        credentials: &'static str,
        target: &'static str,
    ) -> Self {
        let told = BTreeMap::new();
        Self { remote, clock, telemetry, credentials, target, has_taken_lines: false, faults: 0, is_told: false, told }
    }

    /// Sends all lines of a batch.
    ///
    /// # Errors
    ///
    /// [`Stopped`]: an unknown part of them is there.
    pub(super) fn send(&mut self, batch: &Batch, limits: Limits) -> Result<(), Stopped> {
        batch.requests(limits).try_for_each(|request| self.send_lines(batch, request))
    }

    fn send_lines(&mut self, batch: &Batch, request: Range<usize>) -> Result<(), Stopped> {
        let mut left = vec![request];
        while let Some(lines) = left.pop() {
            let count = lines.len() as u64;
            match self.attempt(batch.text(&lines))? {
                Outcome::Written => self.took(count),
                Outcome::Partly(dropped, reason, text) => {
                    let dropped = dropped.min(count);
                    self.took(count - dropped);
                    self.dropped(dropped, reason, &text);
                }
                Outcome::Bad(..) | Outcome::TooLarge(_) if count > 1 => {
                    let middle = lines.start + lines.len() / 2;
                    // In order: the first half is next.
                    left.extend([middle..lines.end, lines.start..middle]);
                }
                Outcome::Bad(reason, text) => self.dropped(1, reason, &text),
                Outcome::TooLarge(text) => self.dropped(1, Dropped::TooLarge, &text),
            }
        }
        Ok(())
    }

    /// Sends lines until the server says something about them.
    fn attempt(&mut self, lines: &[u8]) -> Result<Outcome, Stopped> {
        let mut is_made = false;
        loop {
            let answer = self.remote.write(lines);
            let judged = self.judge(answer)?;
            self.telemetry.requested(judged.as_ref().map_or_else(Hindrance::label, Outcome::label));
            match judged {
                Err(Hindrance::Fault(fault, asked, text)) => self.pause(fault, asked, &text)?,
                Err(Hindrance::NoDatabase) if is_made => {
                    self.pause(Fault::NotFound, None, "the database was created and is missing all the same")?;
                }
                Err(Hindrance::NoDatabase) => is_made = self.make_database()?,
                Ok(outcome) => {
                    self.faults = 0;
                    if std::mem::take(&mut self.is_told) {
                        info!("InfluxDB answers again.");
                    }
                    return Ok(outcome);
                }
            }
        }
    }

    fn judge(&self, answer: Result<Answer, NoAnswer>) -> Result<Result<Outcome, Hindrance>, Stopped> {
        let fault = |fault, text| Ok(Err(Hindrance::Fault(fault, None, text)));
        match answer {
            Ok(answer) => Ok(answer::judge(&answer, self.has_taken_lines, self.clock.now_micros())),
            Err(NoAnswer::Stopped) => Err(Stopped),
            Err(NoAnswer::Timeout) => {
                fault(Fault::Timeout, "no whole answer came within sinks.influxdb.timeout".to_owned())
            }
            Err(NoAnswer::Transport(text)) => fault(Fault::Transport, text),
        }
    }

    /// Makes the database; after that the same lines are sent again. Whether it was made; if not, this has waited.
    fn make_database(&mut self) -> Result<bool, Stopped> {
        let text = match self.remote.create_database() {
            // A statement that failed is told of in a 200.
            Ok(Answer { status: 200, body, .. }) if !body.contains("\"error\"") => {
                info!("The database did not exist; it was created.");
                return Ok(true);
            }
            Ok(answer) => {
                format!("the database is missing and cannot be created: status {}, {}", answer.status, answer.body)
            }
            Err(NoAnswer::Stopped) => return Err(Stopped),
            Err(NoAnswer::Timeout) => {
                "no whole answer to CREATE DATABASE came within sinks.influxdb.timeout".to_owned()
            }
            Err(NoAnswer::Transport(text)) => text,
        };
        self.pause(Fault::NotFound, None, &text).map(|()| false)
    }

    /// Tells what is the matter and waits: what the server asked for, or longer with each fault in a row.
    fn pause(&mut self, fault: Fault, asked: Option<Duration>, text: &str) -> Result<(), Stopped> {
        let pause = asked.unwrap_or_else(|| PAUSE.after(self.faults, random_share()));
        self.faults = self.faults.saturating_add(1);
        if self.tells(fault.label()) {
            self.is_told = true;
            let (reason, text, retry) = (fault.label(), answer::shown(text), pause.as_secs_f64());
            let remedy = self.remedy(fault);
            if fault.needs_operator() {
                error!(reason, text, retry_seconds = retry, "InfluxDB takes no lines; {remedy}. They wait in the log.");
            } else {
                warn!(
                    reason,
                    text,
                    retry_seconds = retry,
                    "InfluxDB takes no lines now; {remedy}. They wait in the log."
                );
            }
        }
        self.remote.wait(pause)
    }

    fn remedy(&self, fault: Fault) -> String {
        match fault {
            Fault::Auth => format!("check {}", self.credentials),
            Fault::NotFound | Fault::Unexpected => format!("check {}", self.target),
            Fault::Busy | Fault::Server | Fault::Timeout | Fault::Transport => "trying again".to_owned(),
        }
    }

    fn took(&mut self, lines: u64) {
        self.has_taken_lines |= lines > 0;
        self.telemetry.written(lines, self.clock.now_micros());
    }

    fn dropped(&mut self, lines: u64, reason: Dropped, text: &str) {
        self.telemetry.dropped(lines, reason);
        if self.tells(reason.label()) {
            let (reason, text) = (reason.label(), answer::shown(text));
            error!(lines, reason, text, "InfluxDB refuses lines for good; they are left out, here and from now on.");
        }
    }

    /// Whether this kind of trouble is logged now.
    fn tells(&mut self, kind: &'static str) -> bool {
        let now = self.clock.monotonic();
        let is_due = self.told.get(kind).is_none_or(|&before| now.saturating_sub(before) >= TOLD_AGAIN);
        if is_due {
            self.told.insert(kind, now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests;
