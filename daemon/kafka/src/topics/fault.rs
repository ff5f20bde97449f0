//! Why something could not be done with a topic, in words that name the topic and the remedy.

use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What was to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    /// Making a topic.
    Create,
    /// Asking how many partitions it has.
    Look,
    /// Reading its settings.
    Settings,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Look => "look at",
            Self::Settings => "read the settings of",
        })
    }
}

/// What the client said, as words. `reached` is what is known of the brokers, see [`unreachable()`].
pub(super) fn explain(operation: Operation, topic: &str, code: Code, reached: &str) -> anyhow::Error {
    let what = format!("cannot {operation} topic {topic}");
    match code {
        Code::ClusterAuthorizationFailed | Code::TopicAuthorizationFailed => forbidden(operation, topic),
        Code::InvalidReplicationFactor => anyhow::anyhow!(
            "{what}: there are fewer brokers than copies asked for; set kafka.replication to at most their number, or to \
             0 for what they think best"
        ),
        Code::PolicyViolation => {
            anyhow::anyhow!("{what}: the brokers' own policy for topics forbids it; have it created by who runs them")
        }
        Code::InvalidTopic => anyhow::anyhow!("{what}: the name is none for a topic; see kafka.topic_prefix"),
        Code::AllBrokersDown
        | Code::Authentication
        | Code::BrokerTransportFailure
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::Resolve
        | Code::SSL
        | Code::SaslAuthenticationFailed
        | Code::TimedOutQueue => anyhow::anyhow!("{what}: {reached}"),
        code => anyhow::anyhow!("{what}: {code}; the brokers' own messages say more"),
    }
}

fn forbidden(operation: Operation, topic: &str) -> anyhow::Error {
    let (right, otherwise) = match operation {
        Operation::Create => ("Create", ", or run `derived-statsd topics --create` as a user who may"),
        Operation::Look => ("Describe", ""),
        Operation::Settings => ("DescribeConfigs", ""),
    };
    anyhow::anyhow!("the user may not {operation} topic {topic}: grant {right} on it{otherwise}")
}

/// That no broker lets us in, why, and what to look at. `heard` is the last that the client said of a broker, if it
/// did.
pub(super) fn unreachable(brokers: &str, heard: Option<&(Code, String)>) -> String {
    let why = heard.map(|(_, reason)| format!(" ({reason})")).unwrap_or_default();
    match heard.map(|(code, _)| code) {
        Some(Code::Authentication) => format!(
            "the authentication at kafka.brokers = \"{brokers}\" failed{why}; check kafka.user, kafka.password or \
             kafka.password_file, and kafka.sasl"
        ),
        Some(Code::SSL) => format!(
            "no connection to kafka.brokers = \"{brokers}\" can be secured{why}; check that kafka.ca_file has the authority \
             that signed the brokers' certificates, that those are for the names in kafka.brokers, and \
             kafka.certificate_file if the brokers ask for one"
        ),
        _ => format!(
            "no broker of kafka.brokers = \"{brokers}\" answers{why}; check that they run, the addresses, and \
             kafka.security"
        ),
    }
}

/// The code in an error of the client; it gives none for operations of an administrator.
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
    fn each_fault_names_the_topic_and_the_remedy() {
        let cases = [
            (
                Operation::Create,
                Code::TopicAuthorizationFailed,
                "the user may not create topic t: grant Create on it, or run `derived-statsd topics --create` as a user who may",
            ),
            (
                Operation::Create,
                Code::ClusterAuthorizationFailed,
                "the user may not create topic t: grant Create on it, or run `derived-statsd topics --create` as a user who may",
            ),
            (Operation::Look, Code::TopicAuthorizationFailed, "the user may not look at topic t: grant Describe on it"),
            (
                Operation::Settings,
                Code::TopicAuthorizationFailed,
                "the user may not read the settings of topic t: grant DescribeConfigs on it",
            ),
            (
                Operation::Create,
                Code::InvalidReplicationFactor,
                "cannot create topic t: there are fewer brokers than copies asked for; set kafka.replication to at most \
                 their number, or to 0 for what they think best",
            ),
            (
                Operation::Look,
                Code::BrokerTransportFailure,
                "cannot look at topic t: no broker of kafka.brokers = \"a:1\" answers (refused); check that they run, the \
                 addresses, and kafka.security",
            ),
        ];
        let refused = (Code::BrokerTransportFailure, "refused".to_owned());
        for (operation, code, expected) in cases {
            let said = explain(operation, "t", code, &unreachable("a:1", Some(&refused))).to_string();
            assert_eq!(said, expected, "{operation:?} {code:?}");
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_which_settings_to_look_at() {
        for (code, settings) in [
            (Code::Authentication, "; check kafka.user, kafka.password or kafka.password_file, and kafka.sasl"),
            (Code::SSL, "; check that kafka.ca_file has the authority"),
            (Code::BrokerTransportFailure, "; check that they run, the addresses, and kafka.security"),
        ] {
            let said = unreachable("a:1", Some(&(code, "why".to_owned())));
            assert!(said.contains("kafka.brokers = \"a:1\"") && said.contains(" (why)"), "{said}");
            assert!(said.contains(settings), "{said}");
        }
    }

    #[test]
    fn the_code_of_an_administrators_operation_is_known() {
        let error = KafkaError::AdminOp(Code::OperationTimedOut);
        assert_eq!(code(&error), Some(Code::OperationTimedOut));
        assert_eq!(code(&KafkaError::MetadataFetch(Code::Authentication)), Some(Code::Authentication));
        assert_eq!(code(&KafkaError::Canceled), None);
    }
}
