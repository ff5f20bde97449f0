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
mod streams;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use daemon_base::setting::{address, duration};
use daemon_kafka::KafkaConfig;
use daemon_log::LogConfig;
use daemon_sinks::file::FileConfig;
use daemon_sinks::influxdb::InfluxConfig;
use daemon_sources::contiv::ContivConfig;
use daemon_sources::opserver::OpserverConfig;
use proxy_uve::TableSettings;
use serde::Deserialize;

pub(crate) use self::load::{Loaded, Sources, Survey, load, survey};
pub(crate) use self::problem::Problems;
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

/// `[aggregation]`: which streams are aggregated by which proxy types, and the rules of time.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Aggregation {
    /// The streams and their proxy types: `Struct-attribute:Type[:Type…]`, separated by blanks. Default: the two flow
    /// counts of Virtual Networks with both built-in types, as in Contrail. Change it to aggregate other metrics.
    pub uve_proxy_list: String,
    /// Files that define further proxy types in Sandesh struct syntax. Default none.
    pub schema_files: Vec<PathBuf>,
    /// The period of the built-in types in seconds, 1 to 86,400, instead of their own 60. Default unset. For
    /// demonstrations and tests; the results of another period do not compare with Contrail's.
    pub period: Option<u32>,
    /// How far behind the newest timestamp of its partition a sample may be and still count. A window closes this long
    /// after its end: raise it for slow sources, lower it for earlier results. Default `"30s"`; `"0s"` takes samples
    /// in order of time only. At most `"1d"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub allowed_lateness: Duration,
    /// How far ahead of its arrival a timestamp may be. Beyond it the sample is refused: one clock that is hours ahead
    /// would close every other source's windows. Default `"10s"`; `"0s"` takes no future. At most `"1d"`; keep it
    /// below the lateness.
    #[serde(deserialize_with = "duration::deserialize")]
    pub allowed_skew: Duration,
    /// How long a partition may get no sample before the daemon's clock closes its windows. Default `"60s"`, from
    /// `"1ms"` to `"1d"`. Lower it where results of objects that went silent are urgent.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
    /// Objects in one partition at most; a further one is refused and counted. Default 1,000,000 (about 200 MB), at
    /// least 1. Lower it to bound memory.
    pub max_objects_per_partition: usize,
    /// The cluster's name in front of topic names, `<cluster_id>-uve-agg-…`. Default empty, as Contrail's. Letters,
    /// digits, `.`, `_` and `-`.
    pub cluster_id: String,
}

impl Default for Aggregation {
    fn default() -> Self {
        let table = TableSettings::default();
        Self {
            uve_proxy_list: proxy_uve::proxy_list::DEFAULT_PROXY_LIST.to_owned(),
            schema_files: Vec::new(),
            period: None,
            allowed_lateness: table.allowed_lateness,
            allowed_skew: table.allowed_skew,
            idle_timeout: Duration::from_secs(60),
            max_objects_per_partition: table.max_objects,
            cluster_id: String::new(),
        }
    }
}

/// `[http]`: the server for samples, UVEs, results, health and metrics.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    /// Address and port to listen on. Default `"127.0.0.1:8081"`: this machine only. There is no authentication, so
    /// name another address only behind a firewall or proxy. Port 0 takes any free one.
    #[serde(deserialize_with = "address::deserialize")]
    pub listen: SocketAddr,
    /// The largest body of a request in bytes; a larger one is answered with 413. Default 16 MiB, at least 1. Raise it
    /// for producers that send larger batches.
    pub max_body_bytes: usize,
    /// Requests with samples that are worked on at once; further ones are answered with 429. Default 64, at least 1.
    /// Together with `max_body_bytes` it bounds the memory that requests take.
    pub max_in_flight: usize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            max_body_bytes: 16 * 1024 * 1024,
            max_in_flight: 64,
        }
    }
}

/// `[log]`: where samples, results and states are kept.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSection {
    /// `"embedded"`: in `data_dir`, by this daemon alone. `"kafka"`: in topics of the cluster of `[kafka]`, by all
    /// daemons of a group; all other keys of this section are then without effect. Default `"embedded"`.
    pub kind: LogKind,
    /// The directory of the log. Default `"/var/lib/derived-statsd"`. One process at a time; it is made if it does not
    /// exist.
    pub data_dir: PathBuf,
    /// Partitions of each stream; an object always meets the same one. Default 8, from 1 to 1024. More let more workers
    /// share the work. Contrail's own topics have 30. It must not change once the log holds records.
    pub partitions: u16,
    /// How often at most a worker writes results, states and cursor while samples flow. Default `"1s"`, from `"1ms"`
    /// to `"1h"`. Longer costs less writing and more re-reading after a kill; nothing is lost either way.
    #[serde(deserialize_with = "duration::deserialize")]
    pub commit_interval: Duration,
    /// What is kept for how long.
    pub retention: LogConfig,
}

impl Default for LogSection {
    fn default() -> Self {
        Self {
            kind: LogKind::default(),
            data_dir: PathBuf::from("/var/lib/derived-statsd"),
            partitions: 8,
            commit_interval: Duration::from_secs(1),
            retention: LogConfig::default(),
        }
    }
}

/// Where everything durable is kept.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogKind {
    /// In a directory of this machine.
    #[default]
    Embedded,
    /// In topics of a Kafka cluster.
    Kafka,
}

/// `[logging]`: the daemon's own messages, on standard error. Which ones is said by `RUST_LOG` (default `info`).
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Logging {
    /// `"text"` for people, `"json"` for collectors of logs. Default `"text"`.
    pub format: LogFormat,
}

/// The form of a message.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One line of text.
    #[default]
    Text,
}

/// `[shutdown]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Shutdown {
    /// How long the daemon may take to finish requests and commit after SIGTERM. Default `"10s"`, at most `"1h"`;
    /// `"0s"` ends at once, which loses nothing but time at the next start. Keep it below the service manager's limit.
    #[serde(deserialize_with = "duration::deserialize")]
    pub grace: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { grace: Duration::from_secs(10) }
    }
}

/// `[sinks.…]`: readers of the results log, each with a cursor of its own.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sinks {
    /// A file of JSON lines.
    pub file: FileConfig,
    /// An InfluxDB.
    pub influxdb: InfluxConfig,
}

/// `[workers]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Workers {
    /// Threads that aggregate, each with a share of the partitions. Default 0: one for each core. At most 1024; more
    /// than there are partitions stay idle.
    pub threads: usize,
}

impl Workers {
    /// The number of threads in force.
    pub(crate) fn threads(&self) -> usize {
        match self.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        }
    }
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
