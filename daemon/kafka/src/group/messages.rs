//! Takes messages from a consumer's queue and converts them to records of the member interface.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _, Timestamp};
use rdkafka::types::RDKafkaErrorCode;
use tracing::{debug, warn};

use super::context::GroupContext;
use crate::client;
use crate::member::Incoming;

/// The most messages of one poll: enough for the table to apply them in batches.
const MAX_POLL_RECORDS: usize = 1024;

/// Takes all messages in the queue, up to [`MAX_POLL_RECORDS`]; waits up to `timeout` for the first one. Returns with
/// them whether none is left.
pub(super) fn poll_batch(consumer: &BaseConsumer<GroupContext>, timeout: Duration) -> (Vec<BorrowedMessage<'_>>, bool) {
    let mut messages = Vec::with_capacity(MAX_POLL_RECORDS);
    let mut wait = timeout;
    while messages.len() < MAX_POLL_RECORDS {
        let events = consumer.context().events();
        match consumer.poll(wait) {
            Some(Ok(message)) => messages.push(message),
            Some(Err(error)) => {
                consumer.context().doubt_if_unreachable(&error);
                log_read_error(&error);
            }
            // A poll without time to wait ends after one event, whatever is behind it in the queue.
            None => return (messages, consumer.context().events() == events),
        }
        wait = Duration::ZERO;
    }
    (messages, false)
}

/// Whether two messages are of the same partition.
pub(super) fn is_same_partition(a: &BorrowedMessage<'_>, b: &BorrowedMessage<'_>) -> bool {
    a.partition() == b.partition() && a.topic().as_ptr() == b.topic().as_ptr()
}

/// Converts a message.
pub(super) fn incoming<'m>(message: &'m BorrowedMessage<'_>) -> Incoming<'m> {
    let at = match message.timestamp() {
        Timestamp::LogAppendTime(ms) => u64::try_from(ms).ok().map(|ms| ms.saturating_mul(1000)),
        _ => None,
    };
    Incoming {
        offset: message.offset().unsigned_abs(),
        at,
        key: message.key().unwrap_or_default(),
        payload: message.payload().unwrap_or_default(),
    }
}

/// Logs an error of a poll. librdkafka repeats every retryable request by itself.
fn log_read_error(error: &KafkaError) {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            debug!(%error, "A topic does not exist yet.");
        }
        // The gap itself is logged, with its offsets.
        _ if client::is_out_of_range(error) => debug!(%error, "Records were deleted before they were read."),
        _ => warn!(%error, "Reading from Kafka failed; the client retries."),
    }
}
