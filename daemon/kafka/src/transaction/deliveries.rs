//! The context of a producer, which keeps what could not be written.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::ProducerContext;
use rdkafka::types::RDKafkaErrorCode;
use tracing::debug;

use super::failure::{FirstFailure, refused_topic};
use crate::client;

/// The client context that keeps the first delivery error.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(super) failed: FirstFailure,
}

impl Deliveries {
    /// Takes the first error since the last call.
    pub(crate) fn take_failure(&self) -> Option<KafkaError> {
        self.failed.take().map(|(_, error)| error)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(topic) = refused_topic(message) {
            self.failed.keep(topic, &KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed));
        }
        client::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "Kafka's client.");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, record)) = result {
            self.failed.keep(record.topic(), error);
        }
    }
}
