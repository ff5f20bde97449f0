//! The configuration: what can be set, its defaults, and where settings come from.
//!
//! Each section is a struct with one `impl Default`, which is the only place of its default values; what a table has a
//! default for by itself is taken from there. Sources are laid over each other key by key, later ones win: defaults, an
//! existing `contrail-collector.conf`, our TOML file, the environment, flags ([`load()`]). A key that does not exist is
//! an error wherever it comes from.
//!
//! Durations are texts such as `"500ms"` or `"30s"`. The reference for operators is
//! `docs/src/reference/configuration.md`, the example file `derived-statsd.example.toml`; tests hold both to the keys
//! that exist.

mod check;
mod collector;
mod environment;
mod file;
mod flags;
mod keys;
mod layers;
mod load;
mod problem;
#[cfg(test)]
mod robustness;
mod sections;
mod streams;

use daemon_kafka::KafkaConfig;
use daemon_sources::contiv::ContivConfig;
use daemon_sources::opserver::OpserverConfig;
use serde::Deserialize;

use self::sections::{Http, LogSection, Logging, Shutdown, Sinks, Workers};

pub(crate) use self::load::{Loaded, Sources, Survey, load, survey};
pub(crate) use self::problem::Problems;
pub(crate) use self::sections::{Aggregation, LogFormat, LogKind};
pub(crate) use self::streams::Streams;

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// What is aggregated.
    pub aggregation: Aggregation,
    /// Contiv's nodes, scraped for the traffic of their endpoints.
    pub contiv: ContivConfig,
    /// The HTTP server.
    pub http: Http,
    /// The Kafka cluster, for `log.kind = "kafka"`.
    pub kafka: KafkaConfig,
    /// Where everything durable is kept.
    pub log: LogSection,
    /// What the daemon prints about itself.
    pub logging: Logging,
    /// Contrail's analytics API, polled for samples.
    pub opserver: OpserverConfig,
    /// How it ends.
    pub shutdown: Shutdown,
    /// Where results go beside the API.
    pub sinks: Sinks,
    /// Who computes.
    pub workers: Workers,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../derived-statsd.example.toml");
    const REFERENCE: &str = include_str!("../../docs/src/reference/configuration.md");

    /// The example with the keys that are off switched on.
    fn complete_example() -> String {
        let is_key = |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase());
        let lines = EXAMPLE.lines().map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn keys_of(table: &toml::Table, path: &str, keys: &mut Vec<String>) {
        for (key, value) in table {
            let key = format!("{path}{key}");
            match value {
                toml::Value::Table(inner) => keys_of(inner, &format!("{key}."), keys),
                _ => keys.push(key),
            }
        }
    }

    #[test]
    fn the_example_file_says_the_defaults() {
        assert_eq!(toml::from_str::<Config>(EXAMPLE).unwrap(), Config::default());
    }

    #[test]
    fn the_example_file_and_the_reference_name_every_key_and_no_other() {
        let example = complete_example();
        toml::from_str::<Config>(&example).unwrap();
        let mut named = Vec::new();
        keys_of(&example.parse().unwrap(), "", &mut named);
        let mut known = keys::all();
        named.sort();
        known.sort();
        assert_eq!(named, known);
        for key in known {
            assert!(REFERENCE.contains(&format!("| `{key}` |")), "{key} is missing in configuration.md");
        }
        let rows = REFERENCE.lines().filter(|line| line.starts_with("| `") && line.contains('.')).count();
        assert_eq!(rows, named.len(), "configuration.md has a row for a key that does not exist");
    }
}
