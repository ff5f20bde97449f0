//! The claims of state topics: the one consumer group whose states a topic holds.
//!
//! Two groups on one state topic would give every window twice and overwrite each other's states. So a daemon reads no
//! input before its group has the claim of each state topic: a record in partition 0 with the key `g` and the name of
//! the group. The claim that comes first in the log counts. A daemon that finds none writes that of its group and reads
//! the partition again. When two groups start for the first time at once, the log puts their claims in one order, and
//! each has written its own before it reads: both find the same one first.
//!
//! The configurations of the group, see `configuration`, are registered in the same way, with keys that begin with `k`.
//!
//! A daemon reads the claim again before each restore: it may have been frozen while an operator moved the topic to
//! another group.
//!
//! A daemon writes a claim only if there is none, so that compaction leaves it at its offset. A group whose claim is not
//! the first deletes it.

use std::ops::ControlFlow;

use daemon_partition::Heartbeat;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::Offset;
use serde::{Deserialize, Serialize};
use tracing::info;

use crate::client::{self, Connection, Isolation, LogContext, TIMEOUT};
use crate::configuration::Configuration;
use crate::members::Members;
use crate::names::Names;
use crate::read_to_ends::read_to_ends;
use crate::state_records::{CLAIM, GROUP_CONFIGURATION};
use crate::transaction::Deliveries;

/// A record to write: key and value; without a value the key is deleted.
type Written = (Vec<u8>, Option<Vec<u8>>);

/// The value of a claim.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    /// The daemon that wrote it.
    instance: String,
}

/// Why a state topic is not claimed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// Another group has it, so no retry can succeed.
    #[error(
        "topic {topic} holds the states of the consumer group `{group}`, and this daemon is of the group `{own}`: two \
         groups on one state topic would give each window twice. Set kafka.group_id = \"{group}\" to share the work of \
         that group, or another kafka.topic_prefix for results of its own; or stop all daemons of `{group}` and run \
         `derived-statsd topics --take-over` to move its states to `{own}`"
    )]
    Refused { topic: String, group: String, own: String },
    /// A request failed.
    #[error("cannot read or write the claim of topic {topic}: {source}")]
    Failed { topic: String, source: KafkaError },
}

/// Reads and writes the claims of one group.
pub(crate) struct Claims {
    connection: Connection,
    names: Names,
    heartbeat: Heartbeat,
}

impl Claims {
    pub(crate) fn new(connection: &Connection, names: &Names) -> Self {
        Self { connection: connection.clone(), names: names.clone(), heartbeat: Heartbeat::default() }
    }

    /// With the heartbeat of the thread that uses it.
    pub(crate) fn with_heartbeat(self, heartbeat: Heartbeat) -> Self {
        Self { heartbeat, ..self }
    }

    /// The configuration that counts for the group: that of the highest version in any of its state topics; of several,
    /// the one that was registered first. `None` if none is registered. A topic of another group does not count.
    ///
    /// # Errors
    ///
    /// When a request failed.
    pub(crate) fn configuration(&self, topics: &[String]) -> Result<Option<Configuration>, ClaimError> {
        let mut found = Vec::new();
        for topic in topics {
            found.extend(current(&self.configurations(topic)?).cloned());
        }
        Ok(Configuration::that_counts(found))
    }

    /// The configurations that are registered in a state topic; none if it is another group's.
    ///
    /// # Errors
    ///
    /// When a request failed.
    pub(crate) fn configurations(&self, topic: &str) -> Result<Vec<Configuration>, ClaimError> {
        let Registered { groups, configurations } = self.registered(topic)?;
        Ok(if groups.first() == Some(&self.names.group) { configurations } else { Vec::new() })
    }

    /// Makes sure that the group has the claim of a state topic, and registers the configuration of this daemon there,
    /// unless one counts that it does not replace: that is returned, and this daemon must wait. With `is_of_group` it is
    /// that of the group ([`configuration`](Self::configuration)), and replaces others of the same version, which
    /// daemons have registered that started at the same time.
    ///
    /// # Errors
    ///
    /// When another group has the topic, or a request failed.
    pub(crate) fn settle(
        &self,
        topic: &str,
        own: &Configuration,
        is_of_group: bool,
    ) -> Result<Option<Configuration>, ClaimError> {
        let failed = |source| ClaimError::Failed { topic: topic.to_owned(), source };
        let group = &self.names.group;
        let mut found = self.read(topic).map_err(failed)?;
        let claims = found.groups.is_empty();
        let is_ours = claims || found.groups.first() == Some(group);
        let is_other = |it: &Configuration| is_of_group && !it.is_same(own) && it.version <= own.version;
        let configures = is_ours && current(&found.configurations).is_none_or(|it| own.replaces(it) || is_other(it));
        let claim = claims.then(|| (claim_key(group), Some(self.claim_value())));
        let others = found.configurations.iter().filter(|it| configures && is_other(it));
        let others: Vec<_> = others.map(|it| (configuration_key(it), None)).collect();
        let configuration = configures.then(|| (configuration_key(own), Some(own.to_bytes())));
        let records: Vec<_> = claim.into_iter().chain(others).chain(configuration).collect();
        if !records.is_empty() {
            self.write(topic, &records).map_err(failed)?;
            found = self.read(topic).map_err(failed)?;
            info!(topic, %group, configuration = %own, "This daemon registered its group or its configuration.");
        }
        if found.groups.first() != Some(group) {
            let own_claim = found.groups.contains(group).then(|| (claim_key(group), None));
            let written = records.into_iter().map(|(key, _)| (key, None));
            self.write(topic, &written.chain(own_claim).collect::<Vec<_>>()).map_err(failed)?;
            let other = found.groups.into_iter().next().ok_or_else(|| failed(KafkaError::Canceled))?;
            return Err(ClaimError::Refused { topic: topic.to_owned(), group: other, own: group.clone() });
        }
        let counts = current(&found.configurations).ok_or_else(|| failed(KafkaError::Canceled))?;
        if !counts.is_same(own) {
            return Ok(Some(counts.clone()));
        }
        // Only the one that counts stays: the topic must not grow with each change.
        let outdated = found.configurations.iter().filter(|it| *it != counts);
        let outdated: Vec<_> = outdated.map(|it| (configuration_key(it), None)).collect();
        self.write(topic, &outdated).map_err(failed)?;
        Ok(None)
    }

    /// The problem, with its fix, if another group has a state topic.
    ///
    /// # Errors
    ///
    /// When a request failed.
    pub(crate) fn problem(&self, topic: &str) -> Result<Option<String>, ClaimError> {
        Ok(self.registered(topic)?.problem(&self.names.group))
    }

    /// What is registered in a state topic.
    ///
    /// # Errors
    ///
    /// When a request failed.
    pub(crate) fn registered(&self, topic: &str) -> Result<Registered, ClaimError> {
        self.read(topic).map_err(|source| ClaimError::Failed { topic: topic.to_owned(), source })
    }

    /// Deletes the claims of other groups on a state topic and claims it; returns the groups that had claims. They must
    /// have no members.
    ///
    /// # Errors
    ///
    /// When such a group has members, or a request failed.
    pub(crate) fn take_over(&self, topic: &str, members: &Members) -> anyhow::Result<Vec<String>> {
        let own = &self.names.group;
        let mut others = self.read(topic)?.groups;
        others.retain(|group| group != own);
        for group in &others {
            let running = members.all_of(group)?;
            anyhow::ensure!(
                running.is_empty(),
                "topic {topic} holds the states of the consumer group `{group}`, which has {} members ({}); stop its \
                 daemons first",
                running.len(),
                running.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            );
        }
        let deleted = others.iter().map(|group| (claim_key(group), None));
        let claim = (claim_key(own), Some(self.claim_value()));
        // The own claim first: a daemon that starts meanwhile must find one.
        self.write(topic, &[claim].into_iter().chain(deleted).collect::<Vec<_>>())?;
        Ok(others)
    }

    /// The claims and the configurations, in the order of the log. Records of open transactions are read, too: a claim
    /// is not in a transaction, and must not wait for those that are before it.
    fn read(&self, topic: &str) -> Result<Registered, KafkaError> {
        let config = self.connection.reader(&format!("{}-claims", self.names.group), Isolation::Uncommitted);
        let consumer: BaseConsumer<LogContext> = BaseConsumer::from_config_and_context(&config, LogContext)?;
        self.heartbeat.wait_at_most(2 * TIMEOUT);
        // With the metadata in its cache a consumer begins to read at once; without, it takes a second.
        consumer.fetch_metadata(Some(topic), TIMEOUT)?;
        consumer.assign(&client::partition_0(topic, Offset::Beginning)?)?;
        let mut registered = Registered::default();
        let is_whole = read_to_ends(&consumer, [0], |message| {
            self.heartbeat.wait_at_most(TIMEOUT);
            let at = message.timestamp().to_millis().unwrap_or(0);
            registered.apply(message.key().unwrap_or_default(), message.payload(), at);
            ControlFlow::Continue(())
        });
        if is_whole { Ok(registered) } else { Err(KafkaError::Canceled) }
    }

    fn claim_value(&self) -> Vec<u8> {
        let claim = Claim { instance: self.names.instance.clone() };
        serde_json::to_vec(&claim).unwrap_or_default()
    }

    /// Writes records, or deletes those without a value.
    fn write(&self, topic: &str, records: &[Written]) -> Result<(), KafkaError> {
        if records.is_empty() {
            return Ok(());
        }
        let config = self.connection.producer(&format!("{}/claims", self.names.instance));
        let producer: BaseProducer<Deliveries> = BaseProducer::from_config_and_context(&config, Deliveries::default())?;
        // With the metadata in its cache a producer sends at once; without, it takes a second.
        producer.client().fetch_metadata(Some(topic), TIMEOUT)?;
        for (key, value) in records {
            let record = BaseRecord::<[u8], [u8]>::to(topic).partition(0).key(key);
            let record = if let Some(value) = value { record.payload(value) } else { record };
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(TIMEOUT)?;
        producer.context().take_failure().map_or(Ok(()), Err)
    }
}

/// What partition 0 of a state topic has besides a state, in the order of the log.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    /// The groups with a claim.
    groups: Vec<String>,
    configurations: Vec<Configuration>,
}

impl Registered {
    /// The problem, with its fix, if another group than `own` has the topic.
    pub(crate) fn problem(&self, own: &str) -> Option<String> {
        let group = self.groups.first().filter(|group| *group != own)?;
        Some(format!(
            "it holds the states of the consumer group `{group}`: set kafka.group_id to it, or stop its daemons and run \
             `derived-statsd topics --take-over`"
        ))
    }

    /// The configuration that counts in the topic.
    pub(crate) fn configuration(&self) -> Option<&Configuration> {
        current(&self.configurations)
    }

    /// Applies a record of the partition.
    fn apply(&mut self, key: &[u8], value: Option<&[u8]>, at: i64) {
        let Some(value) = value else {
            self.groups.retain(|it| claim_key(it) != key);
            self.configurations.retain(|it| configuration_key(it) != key);
            return;
        };
        if let Some(group) = claimed_by(key, value) {
            if !self.groups.contains(&group) {
                self.groups.push(group);
            }
        } else if let Some(new) = configuration(key, value)
            && !self.configurations.iter().any(|it| configuration_key(it) == key)
        {
            self.configurations.push(Configuration { registered_at: at, ..new });
        }
    }
}

/// Whether a record is a claim or a configuration of a group. The topic of another program may have keys that begin alike.
pub(crate) fn is_registration(key: &[u8], value: &[u8]) -> bool {
    claimed_by(key, value).is_some() || configuration(key, value).is_some()
}

/// The group that a record is the claim of.
fn claimed_by(key: &[u8], value: &[u8]) -> Option<String> {
    let group = std::str::from_utf8(key.strip_prefix(&[CLAIM])?).ok()?;
    serde_json::from_slice::<Claim>(value).ok()?;
    Some(group.to_owned())
}

/// The configuration that a record is.
fn configuration(key: &[u8], value: &[u8]) -> Option<Configuration> {
    key.strip_prefix(&[GROUP_CONFIGURATION])?;
    Configuration::from_bytes(value).filter(|it| configuration_key(it) == key)
}

/// The configuration that counts: that of the highest version, and of several the first.
fn current(configurations: &[Configuration]) -> Option<&Configuration> {
    let highest = configurations.iter().map(|it| it.version).max()?;
    configurations.iter().find(|it| it.version == highest)
}

fn claim_key(group: &str) -> Vec<u8> {
    [&[CLAIM], group.as_bytes()].concat()
}

fn configuration_key(configuration: &Configuration) -> Vec<u8> {
    let Configuration { version, fingerprint, .. } = configuration;
    [&[GROUP_CONFIGURATION], format!("{version}:{fingerprint}").as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_claim_counts_until_it_is_deleted() {
        let mut registered = Registered::default();
        for (key, exists, first) in [
            ("h", true, None),
            ("ga", true, Some("a")),
            ("gb", true, Some("a")),
            ("ga", true, Some("a")),
            ("ga", false, Some("b")),
            ("ga", true, Some("b")),
            ("c123", true, Some("b")),
        ] {
            registered.apply(key.as_bytes(), exists.then_some(br#"{"instance":"i"}"#), 0);
            assert_eq!(registered.groups.first().map(String::as_str), first, "{key} {exists}: {registered:?}");
        }
    }

    #[test]
    fn a_record_of_another_program_is_neither_a_claim_nor_a_configuration() {
        let own = Configuration { version: 1, fingerprint: "f".to_owned(), ..Default::default() };
        assert!(is_registration(b"gone", br#"{"instance":"i"}"#) && is_registration(b"k1:f", &own.to_bytes()));
        for (key, value) in [
            (&b"green-3"[..], &br#"{"order":3}"#[..]),
            (b"green-3", b"3"),
            (b"green-3", br#"{"instance":"i","order":3}"#),
            (b"g\xff", br#"{"instance":"i"}"#),
            (b"key-1", br#"{"order":1}"#),
            (b"k2:f", &own.to_bytes()),
        ] {
            let mut registered = Registered::default();
            registered.apply(key, Some(value), 0);
            let Registered { groups, configurations } = registered;
            assert!(groups.is_empty() && configurations.is_empty(), "{groups:?} {configurations:?}");
            assert!(!is_registration(key, value), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn the_first_configuration_of_the_highest_version_counts() {
        let mut registered = Registered::default();
        for (version, fingerprint, exists, counts) in [
            (1, "a", true, "a"),
            (1, "b", true, "a"),
            (2, "c", true, "c"),
            (2, "d", true, "c"),
            (2, "c", true, "c"),
            (2, "c", false, "d"),
            (2, "d", false, "a"),
        ] {
            let configuration = Configuration { version, fingerprint: fingerprint.to_owned(), ..Default::default() };
            let value = configuration.to_bytes();
            registered.apply(&configuration_key(&configuration), exists.then_some(&*value), 0);
            let found = current(&registered.configurations).map(|it| it.fingerprint.as_str());
            assert_eq!(found, Some(counts), "{version} {fingerprint} {exists}: {registered:?}");
        }
    }
}
