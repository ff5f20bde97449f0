//! What things are called on the cluster: topics, the group, transactions.
//!
//! | topic | holds | partitions |
//! |---|---|---|
//! | `<prefix>agg-<Struct>-<attribute>` | samples, as Contrail's collectors publish them | any number |
//! | `<prefix>state-<Struct>-<attribute>` | states, compacted | as many as the input had when this was created |
//! | `<prefix>results` | results, of all streams in one order | 1 |
//! | `<prefix>dead-letters` | records that are no samples | 1 |
//!
//! The prefix is `<cluster_id>-uve-`, as the original's, so with an empty cluster id all names begin with `-`.

use crate::config::KafkaConfig;

/// The names of one group of daemons.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Names {
    prefix: String,
    /// The consumer group.
    pub group: String,
    /// This daemon's name in it.
    pub instance: String,
}

impl Names {
    /// The names as configured; `otherwise` names the instance if the configuration does not.
    pub fn new(kafka: &KafkaConfig, cluster: &str, otherwise: impl FnOnce() -> String) -> Self {
        let group = kafka.group_id.clone().unwrap_or_else(|| match cluster {
            "" => "derived-statsd".to_owned(),
            cluster => format!("{cluster}-derived-statsd"),
        });
        Self {
            prefix: kafka.topic_prefix.clone().unwrap_or_else(|| format!("{cluster}-uve-")),
            group,
            instance: kafka.instance.clone().unwrap_or_else(otherwise),
        }
    }

    /// The topic of a stream's samples.
    pub fn input(&self, stream: &str) -> String {
        format!("{}agg-{stream}", self.prefix)
    }

    /// The topic of a stream's states.
    pub fn state(&self, stream: &str) -> String {
        format!("{}state-{stream}", self.prefix)
    }

    /// The topic of all results.
    pub fn results(&self) -> String {
        format!("{}results", self.prefix)
    }

    /// The topic of what could not be read.
    pub fn dead_letters(&self) -> String {
        format!("{}dead-letters", self.prefix)
    }

    /// The identity of a worker's transactions. The same over restarts, so that a worker that starts ends what the one
    /// before it left open.
    pub fn transactional_id(&self, worker: usize) -> String {
        format!("{}-{}-{worker}", self.group, self.instance)
    }

    /// The group under which a sink of this daemon keeps its position.
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
    fn the_names_are_the_originals_and_carry_the_cluster_id() {
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
    fn what_is_configured_wins() {
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
