//! Publishes messages to topics that other programs own and read, such as the UVE topics of Contrail's alarm-gen.

use std::sync::Arc;

use anyhow::Context as _;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::producer::{BaseRecord, ThreadedProducer};

use crate::client::Connection;
use crate::config::KafkaConfig;
use crate::producer::{Acknowledgements, Pending, send};

/// A publisher to the first partition of each topic.
pub struct TopicPublisher(ThreadedProducer<Acknowledgements>);

impl TopicPublisher {
    /// Creates a publisher to the brokers of the section `[kafka]`, which it does not contact yet.
    ///
    /// # Errors
    ///
    /// When a file of the section cannot be read, or a property is invalid.
    pub fn new(kafka: &KafkaConfig, client_id: &str) -> anyhow::Result<Self> {
        let config = Connection::new(kafka)?.producer(client_id);
        let producer = ThreadedProducer::from_config_and_context(&config, Acknowledgements);
        Ok(Self(producer.context("create the producer of messages")?))
    }

    /// Publishes messages, each with topic, key and payload, and returns when the brokers have all of them. The messages
    /// of a topic keep their order.
    ///
    /// # Errors
    ///
    /// When a message could not be published; others may have been.
    pub fn publish<'m>(&self, messages: impl Iterator<Item = (&'m str, &'m str, &'m str)>) -> anyhow::Result<()> {
        let pending = Arc::new(Pending::default());
        let mut messages = messages;
        let sent = messages.try_for_each(|(topic, key, payload)| {
            let record = BaseRecord::with_opaque_to(topic, Arc::clone(&pending)).key(key).payload(payload).partition(0);
            send(&self.0, record, &pending).with_context(|| format!("publish to {topic}"))
        });
        // After an error too, the records in the queue hold a reference to `pending`: wait for their outcome.
        let outcome = pending.wait();
        sent?;
        outcome.map_or(Ok(()), |error| Err(error).context("publish messages"))
    }
}
