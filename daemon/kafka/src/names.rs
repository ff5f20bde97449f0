//! The names on the cluster: topics, consumer groups, transactional ids.
//!
//! | topic | holds | partitions |
//! |---|---|---|
//! | `<prefix>agg-<Struct>-<attribute>`, or `topic` of the stream | samples, as Contrail's collectors publish them, or JSON of another program | any number |
//! | `<prefix>state-<Struct>-<attribute>` | states, compacted | as many as the input had when this was created |
//! | `<prefix>results` | results of all streams, in one order | 1 |
//! | `<prefix>dead-letters` | records that are not samples | 1 |
//! | `<prefix>elections` | which replica of each sender counts, compacted; if a stream has series | 1 |
//!
//! The prefix is `<cluster_id>-uve-`, as in Contrail, so with an empty cluster id all names begin with `-`.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use crate::config::KafkaConfig;
use crate::configuration::Configuration;
use crate::foreign::ForeignTopic;

/// The names that one group of daemons uses on the cluster.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    prefix: String,
    /// The topics of other programs that are the input of streams, by stream.
    foreign: BTreeMap<String, Arc<ForeignTopic>>,
    /// The consumer group.
    pub group: String,
    /// The name of this daemon within the group.
    pub instance: String,
    /// Tells this process from all others, also from those with the same `instance`.
    pub process: String,
}

impl Names {
    /// The configured names; `otherwise` gives the name of the instance if none is configured.
    pub fn new(kafka: &KafkaConfig, cluster: &str, otherwise: impl FnOnce() -> String) -> Self {
        let group = kafka.group_id.clone().unwrap_or_else(|| match cluster {
            "" => "derived-statsd".to_owned(),
            cluster => format!("{cluster}-derived-statsd"),
        });
        Self {
            foreign: BTreeMap::new(),
            prefix: kafka.topic_prefix.clone().unwrap_or_else(|| format!("{cluster}-uve-")),
            group,
            instance: kafka.instance.clone().unwrap_or_else(otherwise),
            process: format!("{}-{:08x}", std::process::id(), RandomState::new().hash_one(0) as u32),
        }
    }

    /// Takes topics of other programs as the input of these streams, in place of those with the names of the streams.
    #[must_use]
    pub fn with_foreign(self, topics: impl IntoIterator<Item = (String, ForeignTopic)>) -> Self {
        let topics: BTreeMap<_, _> = topics.into_iter().collect();
        let foreign = topics.iter().map(|(stream, topic)| {
            let mut others = topics.iter().filter(|(other, it)| *other != stream && it.topic == topic.topic).peekable();
            // The order of the names is the same at each daemon of the group.
            let is_first = others.peek().is_none_or(|(other, _)| stream < *other);
            let others = is_first.then(|| others.map(|(_, it)| it.selection().clone()).collect());
            (stream.clone(), Arc::new(topic.clone().among(others)))
        });
        Self { foreign: foreign.collect(), ..self }
    }

    /// The topic of another program that is the input of a stream, if it has one.
    pub(crate) fn foreign(&self, stream: &str) -> Option<&Arc<ForeignTopic>> {
        self.foreign.get(stream)
    }

    /// All of them, by stream.
    pub(crate) fn all_foreign(&self) -> &BTreeMap<String, Arc<ForeignTopic>> {
        &self.foreign
    }

    /// The input topic of a stream.
    pub fn input(&self, stream: &str) -> String {
        self.foreign(stream).map_or_else(|| format!("{}agg-{stream}", self.prefix), |foreign| foreign.topic.clone())
    }

    /// The compacted state topic of a stream.
    pub fn state(&self, stream: &str) -> String {
        format!("{}state-{stream}", self.prefix)
    }

    /// The topic of the results of all streams.
    pub fn results(&self) -> String {
        format!("{}results", self.prefix)
    }

    /// The topic of records that are not samples.
    pub fn dead_letters(&self) -> String {
        format!("{}dead-letters", self.prefix)
    }

    /// The compacted topic of the elected replicas.
    pub fn elections(&self) -> String {
        format!("{}elections", self.prefix)
    }

    /// The transactional id of a worker. It is the same after a restart, so that a starting worker aborts the
    /// transaction that its predecessor left open.
    pub fn transactional_id(&self, worker: usize) -> String {
        format!("{}-{}-{worker}", self.group, self.instance)
    }

    /// The transactional id of the command that writes the states of the whole group. A second run aborts the
    /// transaction that the first one left open.
    pub(crate) fn migration_id(&self) -> String {
        format!("{}-migrate", self.group)
    }

    /// The beginning of the consumer groups in which the sinks of the group's daemons commit their offsets.
    pub(crate) fn sink_groups(&self) -> String {
        format!("{}-sink-", self.group)
    }

    /// The client id of a worker in the consumer group, by which other daemons of the group recognise it and its
    /// configuration.
    pub(crate) fn client_id(&self, worker: usize, configuration: &Configuration) -> String {
        let Configuration { version, fingerprint, .. } = configuration;
        format!("{}/{worker}@{version}:{fingerprint}#{}", self.instance, self.process)
    }

    /// The consumer group of daemons that wait because their group has another configuration.
    pub(crate) fn waiting_group(&self) -> String {
        format!("{}-waiting", self.group)
    }

    /// The consumer group in which a sink of this daemon commits its offset.
    pub fn sink_group(&self, sink: &str) -> String {
        format!("{}-sink-{sink}-{}", self.group, self.instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cluster_id: &str, kafka: &KafkaConfig) -> Names {
        Names::new(kafka, cluster_id, || "host-8081".to_owned())
    }

    #[test]
    fn the_names_equal_those_of_contrail_and_contain_the_cluster_id() {
        let plain = names("", &KafkaConfig::default());
        assert_eq!(plain.input("UveVirtualNetworkAgent-a"), "-uve-agg-UveVirtualNetworkAgent-a");
        assert_eq!((plain.group.as_str(), plain.results().as_str()), ("derived-statsd", "-uve-results"));
        let north = names("north", &KafkaConfig::default());
        assert_eq!(north.input("S-a"), "north-uve-agg-S-a");
        assert_eq!(north.state("S-a"), "north-uve-state-S-a");
        assert_eq!(north.group, "north-derived-statsd");
        assert_eq!(north.transactional_id(1), "north-derived-statsd-host-8081-1");
    }

    #[test]
    fn configured_names_replace_the_defaults() {
        let kafka = KafkaConfig {
            group_id: Some("g".to_owned()),
            topic_prefix: Some("p.".to_owned()),
            instance: Some("i".to_owned()),
            ..KafkaConfig::default()
        };
        let names = names("north", &kafka);
        assert_eq!(
            (names.dead_letters().as_str(), names.sink_group("file").as_str()),
            ("p.dead-letters", "g-sink-file-i")
        );
    }
}
