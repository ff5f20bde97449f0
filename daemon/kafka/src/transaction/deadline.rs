//! How long the steps of a transaction wait for the brokers.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use daemon_base::clock::{Clock as _, SystemClock};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use tracing::{debug, warn};

use super::failure::code;

/// How long to wait before a step is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How much longer than its limit a step may take to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// The most steps of one worker that were given up and have not ended.
const MAX_GIVEN_UP: usize = 16;

const TIMED_OUT: KafkaError = KafkaError::Global(RDKafkaErrorCode::OperationTimedOut);

/// Repeats a step while its error is retryable, for at most `limit`.
pub(super) fn retried(
    limit: Duration,
    mut step: impl FnMut(Timeout) -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    let clock = SystemClock::new();
    loop {
        match step(Timeout::After(limit.saturating_sub(clock.monotonic()))) {
            Err(KafkaError::Transaction(error)) if error.is_retriable() && !error.txn_requires_abort() => {
                debug!(%error, "A step of a transaction failed; retrying.");
                if clock.monotonic() >= limit {
                    return Err(TIMED_OUT);
                }
                thread::sleep(RETRY_PAUSE);
            }
            done => return done,
        }
    }
}

/// Whether a step has not ended within its limit.
pub(super) fn has_timed_out(error: &KafkaError) -> bool {
    code(error) == Some(RDKafkaErrorCode::OperationTimedOut)
}

/// The steps that were given up; each has a thread and a client until it ends.
#[derive(Debug, Default)]
pub(super) struct GivenUp(Arc<()>);

impl GivenUp {
    /// Runs a step on a thread of its own, as [`retried`] does, and gives it up if it does not end.
    ///
    /// librdkafka does not enforce the timeout of a request to the coordinator of a group: it waits until the state of a
    /// connection changes. If the coordinator was missing in a broker's answer for a moment, as while that broker starts,
    /// the client has closed the connection for good, and the step might never end (librdkafka's issues 5456 and 5511).
    ///
    /// A step that was given up may still add its offsets to its transaction. That has no effect: nobody commits that
    /// transaction, and the next producer or the broker aborts it.
    ///
    /// # Errors
    ///
    /// Those of the step, one for a step that was given up, and one if too many of these have not ended.
    pub(super) fn within(
        &self,
        limit: Duration,
        step: impl FnMut(Timeout) -> Result<(), KafkaError> + Send + 'static,
    ) -> Result<(), KafkaError> {
        if self.count() >= MAX_GIVEN_UP {
            let reason =
                format!("{MAX_GIVEN_UP} earlier steps wait for a coordinator of the group; restart this daemon");
            return Err(KafkaError::ClientCreation(reason));
        }
        let (sender, outcome) = mpsc::sync_channel(1);
        let running = Arc::clone(&self.0);
        let body = move || {
            let outcome = retried(limit, step);
            drop(running);
            let _ = sender.send(outcome);
        };
        let started = thread::Builder::new().name("txn-offsets".to_owned()).spawn(body);
        started.map_err(|error| KafkaError::ClientCreation(format!("start a thread: {error}")))?;
        outcome.recv_timeout(limit + GRACE).unwrap_or_else(|_| {
            let given_up = self.count();
            warn!(given_up, "A step of a transaction does not end; this worker takes a new client.");
            Err(TIMED_OUT)
        })
    }

    /// The number of steps that run.
    fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}
