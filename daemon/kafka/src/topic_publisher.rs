//! Publishes messages to topics that other programs own and read, such as the UVE topics of Contrail's alarm-gen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context as _;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;

use crate::client::Connection;
use crate::config::KafkaConfig;
use crate::producer::{Acknowledgements, Pending, send};

/// For how long a topic that does not exist may be one that was just created. The topics here are those of other
/// programs, and a message to one that is missing holds up those behind it.
const PROPAGATION: &str = "topic.metadata.propagation.max.ms";
const PROPAGATION_MS: &str = "1000";

/// A publisher to the first partition of each topic.
pub struct TopicPublisher(ThreadedProducer<Acknowledgements>);

impl TopicPublisher {
    /// Creates a publisher to the brokers of the section `[kafka]`, which it does not contact yet.
    ///
    /// # Errors
    ///
    /// When a file of the section cannot be read, or a property is invalid.
    pub fn new(kafka: &KafkaConfig, client_id: &str) -> anyhow::Result<Self> {
        let mut config = Connection::new(kafka)?.producer(client_id);
        if config.get(PROPAGATION).is_none() {
            config.set(PROPAGATION, PROPAGATION_MS);
        }
        let producer = ThreadedProducer::from_config_and_context(&config, Acknowledgements);
        Ok(Self(producer.context("create the producer of messages")?))
    }

    /// Publishes messages, each with topic, key and payload, and returns when the brokers have all of them but those of
    /// topics that do not exist, which it names. The messages of a topic keep their order.
    ///
    /// # Errors
    ///
    /// When a message could not be published for another reason; others may have been.
    pub fn publish<'m>(
        &self,
        messages: impl Iterator<Item = (&'m str, &'m str, &'m str)>,
    ) -> anyhow::Result<BTreeSet<String>> {
        let mut topics: BTreeMap<&str, (Arc<Pending>, Option<KafkaError>)> = BTreeMap::new();
        for (topic, key, payload) in messages {
            let (pending, refused) = topics.entry(topic).or_default();
            if refused.is_none() {
                let record =
                    BaseRecord::with_opaque_to(topic, Arc::clone(pending)).key(key).payload(payload).partition(0);
                *refused = send(&self.0, record, pending).err();
            }
        }
        // After an error too, the records in the queue hold a reference to `pending`: wait for the outcome of all.
        let outcomes: Vec<_> = topics
            .into_iter()
            .filter_map(|(topic, (pending, refused))| Some((topic, pending.wait().or(refused)?)))
            .collect();
        let mut missing = BTreeSet::new();
        for (topic, error) in outcomes {
            if !is_of_missing_topic(&error) {
                return Err(error).with_context(|| format!("publish to {topic}"));
            }
            missing.insert(topic.to_owned());
        }
        Ok(missing)
    }
}

fn is_of_missing_topic(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| [UnknownPartition, UnknownTopic, UnknownTopicOrPartition].contains(&code))
}
