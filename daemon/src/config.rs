//! The configuration: its sections, their defaults, and the sources that set them.
//!
//! Each section is a struct whose `impl Default` alone defines its default values; defaults of the table come from
//! [`TableSettings`](proxy_uve::TableSettings). [`load()`] merges the sources key by key, and a later source wins:
//! defaults, an existing `contrail-collector.conf`, the daemon's TOML file, the environment, flags. An unknown key is
//! an error in every source.
//!
//! Durations are strings such as `"500ms"` or `"30s"`. The reference for operators is
//! `docs/src/reference/configuration.md`, the example file `derived-statsd.example.toml`; tests compare the keys of
//! both with the keys of the structs.

/// The text of a notice, as `format!`: `daemon/tests/messages.rs` finds all notices by it, and each is on a page of the
/// operations.
macro_rules! notice {
    ($($text:tt)*) => {
        ::std::format!($($text)*)
    };
}
pub(crate) use notice;

mod alarms;
mod check;
mod collector;
mod effective;
mod environment;
mod file;
mod flags;
pub(crate) mod keys;
mod layers;
mod listeners;
mod load;
mod mapped;
pub(crate) mod one_stream;
mod problem;
mod program_options;
mod ranges;
#[cfg(test)]
mod robustness;
mod sections;
mod streams;
mod tables;
pub(crate) mod tls;

use daemon_alarms::config::AlarmConfig;
use daemon_kafka::KafkaConfig;
use daemon_sources::contiv::ContivConfig;
use daemon_sources::mapping::StreamConfig;
use daemon_sources::opserver::OpserverConfig;
use serde::Deserialize;

use self::sections::{LogSection, Logging, Shutdown, Sinks, Workers};

pub(crate) use self::effective::{ChangedKey, Effective, is_changed_while_running};
pub(crate) use self::load::{HiddenKey, Loaded, Sources, Survey, load, survey};
pub(crate) use self::problem::Problems;
pub(crate) use self::ranges::most;
pub(crate) use self::sections::{Aggregation, Http, ListenAddress, ListenerConfig, LogFormat, LogKind, Role};
pub(crate) use self::streams::Streams;

/// The whole configuration, one field for each section.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// The streams, their proxy types, and the rules of event time.
    pub aggregation: Aggregation,
    /// The rules of alarms.
    pub alarms: Vec<AlarmConfig>,
    /// Contiv's nodes, scraped for the traffic of their endpoints.
    pub contiv: ContivConfig,
    /// The HTTP server.
    pub http: Http,
    /// The Kafka cluster, for `log.kind = "kafka"`.
    pub kafka: KafkaConfig,
    /// The log that stores samples, results and states.
    pub log: LogSection,
    /// The daemon's own log messages.
    pub logging: Logging,
    /// Contrail's analytics API, polled for samples.
    pub opserver: OpserverConfig,
    /// The stop of the daemon.
    pub shutdown: Shutdown,
    /// The sinks that read the results log.
    pub sinks: Sinks,
    /// The streams of labelled series, such as those of Prometheus.
    pub streams: Vec<StreamConfig>,
    /// The threads that aggregate.
    pub workers: Workers,
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../derived-statsd.example.toml");
    const REFERENCE: &str = include_str!("../../docs/src/reference/configuration.md");
    const STREAMS: &str = include_str!("../../docs/src/reference/streams.md");

    /// The example with its commented keys enabled.
    fn complete_example() -> String {
        let is_key = |rest: &str| rest.starts_with(|first: char| first.is_ascii_lowercase());
        let lines = EXAMPLE.lines().map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn keys_of(table: &toml::Table, path: &str, found: &mut Vec<String>) {
        for (key, value) in table {
            let key = format!("{path}{key}");
            // A table may also be the value of a key.
            let is_section = keys::is_section(&key.split('.').collect::<Vec<_>>());
            match value {
                toml::Value::Table(inner) if is_section => keys_of(inner, &format!("{key}."), found),
                _ => found.push(key),
            }
        }
    }

    #[test]
    fn the_example_file_holds_the_defaults() {
        assert_eq!(toml::from_str::<Config>(EXAMPLE).unwrap(), Config::default());
    }

    #[test]
    fn the_page_of_streams_lists_every_key_and_no_other() {
        let rows = STREAMS.lines().skip_while(|line| !line.starts_with("| key")).skip(2);
        let named: Vec<_> = rows.map_while(|row| row.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(named, keys::stream_fields());
    }

    #[test]
    fn the_example_file_and_the_reference_list_every_key_and_no_other() {
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
