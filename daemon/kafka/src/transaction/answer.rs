//! How long the steps of a transaction wait for the brokers.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use daemon_base::clock::{Clock as _, SystemClock};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::util::Timeout;
use tracing::debug;

use super::failure::code;

/// How long to wait before a step is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// How long a step may take after its time, to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// Repeats a step while its error is retryable, for at most `limit`.
pub(super) fn retried(
    limit: Duration,
    mut step: impl FnMut(Timeout) -> Result<(), KafkaError>,
) -> Result<(), KafkaError> {
    let clock = SystemClock::new();
    loop {
        match step(Timeout::After(limit.saturating_sub(clock.monotonic()))) {
            Err(KafkaError::Transaction(error))
                if error.is_retriable() && !error.txn_requires_abort() && clock.monotonic() < limit =>
            {
                debug!(%error, "A step of a transaction failed; retrying.");
                thread::sleep(RETRY_PAUSE);
            }
            done => return done,
        }
    }
}

/// Does the same on a thread of its own, and gives the step up if it does not end in time.
///
/// librdkafka does not hold the time of a request to a group's coordinator. It waits for a change of a connection's
/// state, and none comes if the coordinator was missing in a broker's answer for a moment, as while that broker starts:
/// the client has ended that connection for good (librdkafka's issues 5456 and 5511). So the step would keep its worker
/// for ever. A step that was given up ends with the next change of any connection; by then the next producer has fenced
/// this one, so the offsets have no effect.
pub(super) fn within(
    limit: Duration,
    step: impl FnMut(Timeout) -> Result<(), KafkaError> + Send + 'static,
) -> Result<(), KafkaError> {
    let (sender, outcome) = mpsc::sync_channel(1);
    let body = move || drop(sender.send(retried(limit, step)));
    let thread = thread::Builder::new().name("txn-offsets".to_owned()).spawn(body);
    thread.map_err(|_| KafkaError::Global(RDKafkaErrorCode::Fail))?;
    outcome.recv_timeout(limit + GRACE).unwrap_or(Err(KafkaError::Global(RDKafkaErrorCode::OperationTimedOut)))
}

/// Whether the error is that of an answer that has not come in time.
pub(super) fn is_missing(error: &KafkaError) -> bool {
    code(error) == Some(RDKafkaErrorCode::OperationTimedOut)
}
