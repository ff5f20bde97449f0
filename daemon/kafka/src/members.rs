//! The members of consumer groups, as the brokers list them.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaErrorCode;

use crate::client::{self, Connection, Isolation, LogContext, TIMEOUT};
use crate::configuration::Configuration;
use crate::names::Names;

/// A member of a consumer group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct GroupMember {
    /// The name of the daemon.
    pub instance: String,
    /// The configuration that it has; `None` for a member that is not a daemon of this version.
    pub configuration: Option<Configuration>,
    /// The process; empty for a member that is not a daemon of this version.
    pub process: String,
    host: String,
}

impl GroupMember {
    fn new(client_id: &str, host: &str) -> Self {
        let (worker, process) = client_id.rsplit_once('#').unwrap_or((client_id, ""));
        let (worker, configuration) = worker.rsplit_once('@').unwrap_or((worker, ""));
        let instance = worker.rsplit_once('/').map_or(worker, |(instance, _)| instance);
        let configuration = configuration.split_once(':').and_then(|(version, fingerprint)| {
            let (fingerprint, instance) = (fingerprint.to_owned(), instance.to_owned());
            Some(Configuration { version: version.parse().ok()?, fingerprint, instance, ..Configuration::default() })
        });
        Self {
            instance: instance.to_owned(),
            configuration,
            process: process.to_owned(),
            host: host.trim_start_matches('/').to_owned(),
        }
    }

    /// Whether it is of another process with the name of this daemon.
    pub(crate) fn is_duplicate(&self, own: &Names) -> bool {
        self.instance == own.instance && self.process != own.process
    }
}

impl fmt::Display for GroupMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.instance)?;
        if let Some((pid, _)) = self.process.split_once('-') {
            write!(f, " with process id {pid}")?;
        }
        write!(f, " at {}", self.host)
    }
}

/// How often the offsets of a group are requested until it is given up, each time for a second.
const VISIBILITY_TRIES: u64 = TIMEOUT.as_secs();

/// Lists the members of groups.
pub(crate) struct Members {
    connection: Connection,
    client: BaseConsumer<LogContext>,
    /// A topic that exists.
    topic: String,
}

impl Members {
    /// Makes the client, which connects with the first request.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a property.
    pub(crate) fn new(connection: &Connection, names: &Names) -> Result<Self, KafkaError> {
        let config = connection.reader(&names.group, Isolation::Committed);
        let client = BaseConsumer::from_config_and_context(&config, LogContext)?;
        Ok(Self { connection: connection.clone(), client, topic: names.results() })
    }

    /// The members of a group, those of one process once; none if the group does not exist, or if the user may not see
    /// them.
    ///
    /// # Errors
    ///
    /// When no broker responds.
    pub(crate) fn of(&self, group: &str) -> anyhow::Result<Vec<GroupMember>> {
        client::discard_events(&self.client);
        members(&self.client, group).with_context(|| format!("list the members of the consumer group {group}"))
    }

    /// The members of a group, for a decision that would be wrong if it had others.
    ///
    /// # Errors
    ///
    /// When no broker responds, or the user may not see the group.
    pub(crate) fn all_of(&self, group: &str) -> anyhow::Result<Vec<GroupMember>> {
        let members = self.of(group)?;
        if members.is_empty() {
            self.check_visibility(group)?;
        }
        Ok(members)
    }

    /// Fails if the user may not see a group, which the brokers leave out of lists then, or list without members. A
    /// request for its offsets needs the same right, and is refused without it.
    fn check_visibility(&self, group: &str) -> anyhow::Result<()> {
        let config = self.connection.reader(group, Isolation::Committed);
        let client: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
        let mut last: Option<KafkaError> = None;
        for _ in 0..VISIBILITY_TRIES {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.topic, 0);
            match client.committed_offsets(list, Duration::from_secs(1)) {
                Ok(_) => return Ok(()),
                Err(error) if is_refusal(&error) => return Err(unknown_members(group, Some(&error))),
                Err(error) => last = Some(error),
            }
            // The client repeats the request; what the broker has answered is an event.
            let events = std::iter::from_fn(|| client.poll(Duration::ZERO)).take(100).filter_map(Result::err);
            if let Some(error) = events.into_iter().find(is_refusal) {
                return Err(unknown_members(group, Some(&error)));
            }
        }
        Err(unknown_members(group, last.as_ref()))
    }
}

/// Whether the error means that the user lacks a right.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)
    )
}

/// The error for a group whose members are not known, although the brokers list none.
fn unknown_members(group: &str, error: Option<&KafkaError>) -> anyhow::Error {
    let reason = error.map(|error| format!(" ({error})")).unwrap_or_default();
    if error.is_some_and(is_refusal) {
        return anyhow::anyhow!(
            "the brokers show no members of the consumer group `{group}`, and refuse its offsets{reason}: it may have \
             members that this user may not see; grant Describe on the consumer group `{group}` to the user, and run this \
             again"
        );
    }
    anyhow::anyhow!(
        "the brokers show no members of the consumer group `{group}`, and have not answered with its offsets for \
         {VISIBILITY_TRIES} s{reason}, so it is not known whether this user may see its members; check that the \
         coordinator of the group runs and can be reached, and run this again"
    )
}

/// A member of the group of daemons that wait, by which the daemons that work see that this one does.
pub(crate) struct Waiting {
    config: ClientConfig,
    topic: String,
    consumer: Option<BaseConsumer<LogContext>>,
}

impl Waiting {
    pub(crate) fn new(connection: &Connection, names: &Names, configuration: &Configuration) -> Self {
        let config = connection.member(&names.waiting_group(), &names.client_id(0, configuration));
        Self { config, topic: names.results(), consumer: None }
    }

    /// Joins that group, or stays in it: call it often.
    ///
    /// # Errors
    ///
    /// When librdkafka rejects a property.
    pub(crate) fn join(&mut self) -> Result<(), KafkaError> {
        if self.consumer.is_none() {
            let consumer = BaseConsumer::from_config_and_context(&self.config, LogContext)?;
            consumer.subscribe(&[&self.topic])?;
            self.consumer = Some(consumer);
        }
        // It reads nothing: no offset is committed in this group, and none is chosen instead.
        self.consumer.iter().for_each(client::discard_events);
        Ok(())
    }

    /// Leaves that group.
    pub(crate) fn leave(&mut self) {
        self.consumer = None;
    }
}

/// The members of a group, listed through `client`.
///
/// # Errors
///
/// When no broker responds.
pub(crate) fn members<C: rdkafka::consumer::ConsumerContext>(
    client: &BaseConsumer<C>,
    group: &str,
) -> Result<Vec<GroupMember>, KafkaError> {
    let list = client.fetch_group_list(Some(group), TIMEOUT)?;
    let groups = list.groups().iter().filter(|found| found.name() == group);
    let members = groups.flat_map(|found| found.members());
    let mut members: Vec<_> = members.map(|it| GroupMember::new(it.client_id(), it.client_host())).collect();
    members.sort_by(|a, b| (&a.instance, &a.process).cmp(&(&b.instance, &b.process)));
    members.dedup();
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KafkaConfig;

    #[test]
    fn a_right_is_named_only_if_one_is_missing() {
        use RDKafkaErrorCode as Code;
        for (code, is_right) in [
            (Code::GroupAuthorizationFailed, true),
            (Code::OperationTimedOut, false),
            (Code::CoordinatorNotAvailable, false),
            (Code::BrokerTransportFailure, false),
        ] {
            let text = unknown_members("g", Some(&KafkaError::OffsetFetch(code))).to_string();
            assert_eq!(text.contains("grant Describe on the consumer group `g`"), is_right, "{text}");
            assert_eq!(text.contains("can be reached"), !is_right, "{text}");
        }
    }

    #[test]
    fn a_twin_is_another_process_with_the_same_name() {
        let names = Names::new(&KafkaConfig::default(), "", || "host/a-8081".to_owned());
        let member = |client_id: &str| GroupMember::new(client_id, "/10.0.0.7");
        let configuration = Configuration {
            version: 7,
            fingerprint: "0a".to_owned(),
            instance: "host/a-8081".to_owned(),
            ..Default::default()
        };
        let own = member(&names.client_id(3, &configuration));
        assert!(!own.is_duplicate(&names) && own.configuration == Some(configuration));
        assert!(!member("host/b-8081/3#7-0000abcd").is_duplicate(&names));
        let duplicate = member("host/a-8081/3@1:0b#7-0000abcd");
        assert!(duplicate.is_duplicate(&names) && member("host/a-8081/0").is_duplicate(&names));
        assert_eq!(duplicate.to_string(), "host/a-8081 with process id 7 at 10.0.0.7");
        assert_eq!(member("some tool").to_string(), "some tool at 10.0.0.7");
    }
}
