//! The ids of topics: a topic that is deleted and created again has the same name and another id.
//!
//! The `rdkafka` crate does not return the ids. librdkafka logs the id of a topic, at level debug and in the context
//! `topic`, whenever its metadata has another id than before, and at the first time. [`IdContext`] reads these lines; a
//! test holds their form. Without an id, as with brokers before Kafka 2.8, nothing is compared.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext};

use crate::client::{self, TIMEOUT};

/// The length of an id as text: 16 bytes in base 64.
const LENGTH: usize = 22;

/// How long to wait for the line about a topic whose metadata has come.
const WAIT: Duration = Duration::from_millis(1);
const MAX_WAITS: usize = 20;

/// The id of a topic.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub(crate) struct TopicId([u8; LENGTH]);

impl TopicId {
    /// The id of this text; `None` if it is none.
    pub(crate) fn new(text: &[u8]) -> Option<Self> {
        let is_valid = text.is_ascii() && text != [b'A'; LENGTH];
        text.try_into().ok().filter(|_| is_valid).map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The client context that keeps the ids of topics.
#[derive(Debug, Default)]
pub(crate) struct IdContext(Mutex<HashMap<String, TopicId>>);

impl IdContext {
    /// Adds the settings of a client with this context.
    pub(crate) fn configure(mut config: ClientConfig) -> ClientConfig {
        config.set("debug", "topic");
        config.set_log_level(RDKafkaLogLevel::Debug);
        config
    }

    /// Reads a line of the log at level debug; returns `false` for one of another level.
    pub(crate) fn takes(&self, level: RDKafkaLogLevel, line: &str) -> bool {
        if !matches!(level, RDKafkaLogLevel::Debug) {
            return false;
        }
        if let Some((topic, id)) = changed_id(line) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), id);
        }
        true
    }

    /// The id in the last metadata of a topic.
    pub(crate) fn id(&self, topic: &str) -> Option<TopicId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied()
    }
}

impl ClientContext for IdContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if !self.takes(level, line) {
            client::log(level, facility, line);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka's client.");
    }
}

impl ConsumerContext for IdContext {}

/// Requests the id of a topic; `None` if it does not exist or if the brokers have no ids.
///
/// # Errors
///
/// When no broker responds.
pub(crate) fn request(client: &BaseConsumer<IdContext>, topic: &str) -> Result<Option<TopicId>, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT)?;
    let exists = metadata.topics().iter().any(|it| it.name() == topic && it.error().is_none());
    if !exists {
        return Ok(None);
    }
    wait(|| client.context().id(topic), || drop(client.poll(WAIT)));
    Ok(client.context().id(topic))
}

/// Polls until the id of a topic whose metadata has come is known, and until the lines in the queue are read.
pub(crate) fn wait(id: impl Fn() -> Option<TopicId>, mut poll: impl FnMut()) {
    for _ in 0..MAX_WAITS {
        poll();
        if id().is_some() {
            // The line of a later id may be behind that of an earlier one.
            return poll();
        }
    }
}

/// Topic and new id in a line such as `[thrd:main]: Topic t changed id from AAAA… to eyQ4…`.
fn changed_id(line: &str) -> Option<(&str, TopicId)> {
    let (topic, ids) = line.split_once("Topic ")?.1.split_once(" changed id from ")?;
    let (_, id) = ids.split_once(" to ")?;
    Some((topic, TopicId::new(id.trim_end().as_bytes())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_topic_is_read_from_a_line_of_the_log() {
        let line = "[thrd:main]: Topic a.b changed id from AAAAAAAAAAAAAAAAAAAAAA to eyQ4aBcDeF-_0123456789";
        let (topic, id) = changed_id(line).unwrap();
        assert_eq!((topic, id.to_string().as_str()), ("a.b", "eyQ4aBcDeF-_0123456789"));
        for line in
            ["Topic a exists", "Topic a changed id from x to AAAAAAAAAAAAAAAAAAAAAA", "Topic a changed id from x to y"]
        {
            assert_eq!(changed_id(line), None, "{line}");
        }
    }

    /// A line of another form would be ignored: then no topic that is created again would be noticed.
    #[test]
    fn lines_of_this_version_of_librdkafka_are_read() {
        let mut config = ClientConfig::new();
        // Brokers within librdkafka: no network.
        config.set("test.mock.num.brokers", "1").set("group.id", "g").set("allow.auto.create.topics", "true");
        let config = IdContext::configure(config);
        let client: BaseConsumer<IdContext> = config.create_with_context(IdContext::default()).unwrap();
        let id = (0..100).find_map(|_| request(&client, "t").ok().flatten());
        assert!(id.is_some(), "no line has the id");
        assert_eq!(request(&client, "t").unwrap(), id);
    }
}
