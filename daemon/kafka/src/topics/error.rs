//! The errors of operations on topics: each names the topic, the reason, and the fix.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// No broker can be reached for an operation.
#[derive(Debug, thiserror::Error)]
#[error("{failed}: {reason}")]
pub(crate) struct Unreachable {
    failed: String,
    /// Why, with the settings to check.
    pub reason: String,
}

impl Unreachable {
    pub(crate) fn new(failed: &str, reason: &str) -> Self {
        Self { failed: failed.to_owned(), reason: reason.to_owned() }
    }
}

/// An operation on a topic.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// Creates it.
    Create,
    /// Requests its metadata.
    Describe,
    /// Reads its settings.
    Settings,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Describe => "describe",
            Self::Settings => "read the settings of",
        })
    }
}

/// Converts an error code of an operation. `unreachable` is the text for connection errors, see [`unreachable()`].
pub(super) fn explain(operation: Operation, topic: &str, code: Code, unreachable: &str) -> anyhow::Error {
    let failed = format!("cannot {operation} topic {topic}");
    match code {
        Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed => forbidden(operation, topic),
        Code::InvalidReplicationFactor => anyhow::anyhow!(
            "{failed}: kafka.replication is above the number of brokers; set it to at most their number, or to 0 for their \
             default"
        ),
        Code::PolicyViolation => {
            anyhow::anyhow!(
                "{failed}: the topic policy of the brokers forbids it; have an administrator of the cluster create it"
            )
        }
        Code::InvalidTopic => anyhow::anyhow!("{failed}: the name is not valid for a topic; change kafka.topic_prefix"),
        Code::AllBrokersDown
        | Code::Authentication
        | Code::BrokerTransportFailure
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::TimedOutQueue => Unreachable::new(&failed, unreachable).into(),
        code => anyhow::anyhow!("{failed}: {code}; see the log of the brokers"),
    }
}

fn forbidden(operation: Operation, topic: &str) -> anyhow::Error {
    let (right, otherwise) = match operation {
        Operation::Create => ("Create", ", or run `derived-statsd topics --create` as a user with that right"),
        Operation::Describe => ("Describe", ""),
        Operation::Settings => ("DescribeConfigs", ""),
    };
    anyhow::anyhow!("the user may not {operation} topic {topic}: grant {right} on it{otherwise}")
}

/// The text for brokers that cannot be reached: the reason, and the settings to check. `last_error` is the last error
/// of a connection.
pub(super) fn unreachable(brokers: &str, last_error: Option<&(Code, String)>) -> String {
    let why = last_error.map(|(_, reason)| format!(" ({reason})")).unwrap_or_default();
    // The last error of a handshake that fails may be that the connection ended.
    let is_untrusted = last_error.is_some_and(|(_, reason)| reason.contains("certificate verify failed"));
    match last_error.map(|(code, _)| if is_untrusted { Code::SSL } else { *code }) {
        Some(Code::Authentication) => format!(
            "the authentication at kafka.brokers = \"{brokers}\" failed{why}; check kafka.user, kafka.password or \
             kafka.password_file, and kafka.sasl"
        ),
        Some(Code::SSL) => format!(
            "no connection to kafka.brokers = \"{brokers}\" can be secured{why}; check that kafka.ca_file contains the authority \
             that signed the brokers' certificates, that those are for the names in kafka.brokers, and \
             kafka.certificate_file if the brokers require one"
        ),
        _ => format!(
            "no broker of kafka.brokers = \"{brokers}\" responds{why}; check that they run, the addresses, and \
             kafka.security"
        ),
    }
}

/// The code of a client error; `rdkafka_error_code` has none for the operations of an admin client.
pub(super) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::AdminOp(code) => Some(*code),
        error => error.rdkafka_error_code(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_the_topic_and_the_fix() {
        let cases = [
            (
                Operation::Create,
                Code::TopicAuthorizationFailed,
                "the user may not create topic t: grant Create on it, or run `derived-statsd topics --create` as a user with that right",
            ),
            (
                Operation::Create,
                Code::ClusterAuthorizationFailed,
                "the user may not create topic t: grant Create on it, or run `derived-statsd topics --create` as a user with that right",
            ),
            (
                Operation::Describe,
                Code::TopicAuthorizationFailed,
                "the user may not describe topic t: grant Describe on it",
            ),
            (
                Operation::Settings,
                Code::TopicAuthorizationFailed,
                "the user may not read the settings of topic t: grant DescribeConfigs on it",
            ),
            (
                Operation::Create,
                Code::InvalidReplicationFactor,
                "cannot create topic t: kafka.replication is above the number of brokers; set it to at most \
                 their number, or to 0 for their default",
            ),
            (
                Operation::Describe,
                Code::BrokerTransportFailure,
                "cannot describe topic t: no broker of kafka.brokers = \"a:1\" responds (refused); check that they run, the \
                 addresses, and kafka.security",
            ),
        ];
        let refused = (Code::BrokerTransportFailure, "refused".to_owned());
        for (operation, code, expected) in cases {
            let text = explain(operation, "t", code, &unreachable("a:1", Some(&refused))).to_string();
            assert_eq!(text, expected, "{operation:?} {code:?}");
        }
    }

    #[test]
    fn a_connection_error_names_the_settings_to_check() {
        for (code, settings) in [
            (Code::Authentication, "; check kafka.user, kafka.password or kafka.password_file, and kafka.sasl"),
            (Code::SSL, "; check that kafka.ca_file contains the authority"),
            (Code::BrokerTransportFailure, "; check that they run, the addresses, and kafka.security"),
        ] {
            let text = unreachable("a:1", Some(&(code, "why".to_owned())));
            assert!(text.contains("kafka.brokers = \"a:1\"") && text.contains(" (why)"), "{text}");
            assert!(text.contains(settings), "{text}");
        }
        let ended =
            (Code::BrokerTransportFailure, "… certificate verify failed (after 2ms in state SSL_HANDSHAKE)".to_owned());
        assert!(unreachable("a:1", Some(&ended)).contains("; check that kafka.ca_file"), "{ended:?}");
    }

    #[test]
    fn the_code_of_an_admin_operation_is_found() {
        let error = KafkaError::AdminOp(Code::OperationTimedOut);
        assert_eq!(code(&error), Some(Code::OperationTimedOut));
        assert_eq!(code(&KafkaError::MetadataFetch(Code::Authentication)), Some(Code::Authentication));
        assert_eq!(code(&KafkaError::Canceled), None);
    }
}
