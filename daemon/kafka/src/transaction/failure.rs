//! Why a transaction failed, in words: the topic or the right, and what an operator changes.

use std::sync::{Mutex, PoisonError};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::names::Names;

/// The first record of a transaction that was not written: its topic, and the error.
#[derive(Debug, Default)]
pub(super) struct FirstFailure(Mutex<Option<(String, KafkaError)>>);

impl FirstFailure {
    /// Keeps the failure of a record unless there was one before.
    pub(super) fn keep(&self, topic: &str, error: &KafkaError) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_with(|| (topic.to_owned(), error.clone()));
    }

    /// The error; it stays until it is taken.
    pub(super) fn error(&self) -> Option<KafkaError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(_, error)| error.clone())
    }

    /// Takes topic and error.
    pub(super) fn take(&self) -> Option<(String, KafkaError)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The topic that a line of librdkafka's log says was not added to a transaction because the user may not write to it. All
/// records of the transaction are then purged, with an error that does not say why. A test on a real broker holds the
/// form of the line.
pub(super) fn refused_topic(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Failed to add partition \"")?;
    let (topic, why) = rest.split_once("\" [")?;
    why.ends_with("Topic authorization failed").then_some(topic)
}

/// Why a transaction failed with `error`; `topic` is that of the first record that was not written.
pub(super) fn reason(error: &KafkaError, topic: Option<&str>, names: &Names) -> String {
    let group = &names.group;
    match (code(error), topic) {
        (Some(Code::TopicAuthorizationFailed), Some(topic)) => {
            format!("the user may not write to topic {topic}: grant Write on it")
        }
        (Some(Code::TopicAuthorizationFailed), None) => {
            "the user may not commit offsets of the input topics: grant Read on them".to_owned()
        }
        (Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition), Some(topic)) => {
            format!("topic {topic}, or its partition, does not exist")
        }
        (Some(Code::MessageTimedOut), Some(topic)) => format!(
            "topic {topic} has not taken a record within kafka.transaction_timeout: check that it exists, and that its \
             partitions have a leader and enough replicas"
        ),
        (Some(Code::GroupAuthorizationFailed), _) => {
            format!("the user may not commit offsets of the consumer group {group}: grant Read on it")
        }
        (Some(Code::TransactionalIdAuthorizationFailed), _) => format!(
            "the user may not use the transactional ids of this daemon: grant Write and Describe on those that begin with \
             {group}"
        ),
        (Some(Code::OperationTimedOut), None) => format!(
            "the brokers have not answered in time: check that all brokers of the cluster run, those that coordinate the \
             group {group} and its transactions too"
        ),
        (_, None) if matches!(error, KafkaError::Canceled) => {
            "the partitions were lost during the transaction".to_owned()
        }
        (_, Some(topic)) => format!("topic {topic}: {error}"),
        (_, None) => error.to_string(),
    }
}

pub(super) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        error => error.rdkafka_error_code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaConfig;

    #[test]
    fn a_reason_names_the_topic_or_the_right_and_the_first_failure_counts() {
        let names = Names::new(&KafkaConfig::default(), "north", || "i".to_owned());
        let produced = |code| KafkaError::MessageProduction(code);
        for (error, topic, expected) in [
            (
                produced(Code::TopicAuthorizationFailed),
                Some("t"),
                "the user may not write to topic t: grant Write on it",
            ),
            (produced(Code::UnknownTopicOrPartition), Some("t"), "topic t, or its partition, does not exist"),
            (produced(Code::MessageTimedOut), Some("t"), "topic t has not taken a record within"),
            (produced(Code::GroupAuthorizationFailed), None, "consumer group north-derived-statsd: grant Read on it"),
            (produced(Code::TransactionalIdAuthorizationFailed), None, "begin with north-derived-statsd"),
            (produced(Code::MessageSizeTooLarge), Some("t"), "topic t: Message production error: MessageSizeTooLarge"),
            (KafkaError::Global(Code::OperationTimedOut), None, "have not answered in time: check that all brokers"),
            (KafkaError::Canceled, None, "the partitions were lost during the transaction"),
        ] {
            let text = reason(&error, topic, &names);
            assert!(text.to_lowercase().contains(&expected.to_lowercase()), "{text}");
        }
        let line = |why| format!("TxnCoordinator/1: Failed to add partition \"t.a\" [0] to transaction: Broker: {why}");
        assert_eq!(refused_topic(&line("Topic authorization failed")), Some("t.a"));
        assert_eq!(refused_topic(&line("Operation not attempted")), None);
        let first = FirstFailure::default();
        first.keep("a", &produced(Code::MessageTimedOut));
        first.keep("b", &produced(Code::UnknownTopic));
        assert_eq!(first.error(), Some(produced(Code::MessageTimedOut)));
        assert_eq!(first.take().map(|(topic, _)| topic).as_deref(), Some("a"));
        assert_eq!(first.take(), None);
    }
}
