//! Reads partitions from where a consumer is assigned to their ends.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use crate::client::{LogContext, TIMEOUT};

/// How long one poll waits for records.
const POLL: Duration = Duration::from_millis(100);

/// Passes on the records of the assigned `partitions` until each is at its end or `take` breaks off; returns whether one of
/// both was before no record and no end had come for [`TIMEOUT`].
pub(crate) fn read_to_ends(
    consumer: &BaseConsumer<LogContext>,
    partitions: impl IntoIterator<Item = i32>,
    mut take: impl FnMut(&BorrowedMessage<'_>) -> ControlFlow<()>,
) -> bool {
    let (mut missing, mut silent): (BTreeSet<i32>, _) = (partitions.into_iter().collect(), Duration::ZERO);
    while !missing.is_empty() && silent < TIMEOUT {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                silent = Duration::ZERO;
                if take(&message).is_break() {
                    return true;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                silent = Duration::ZERO;
                missing.remove(&partition);
            }
            // librdkafka retries by itself; the records come, or the polls stay silent.
            Some(Err(_)) | None => silent += POLL,
        }
    }
    missing.is_empty()
}
