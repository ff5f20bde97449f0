//! Range and consistency checks of the values, which types alone cannot express.

use std::time::Duration;

use daemon_base::setting::address::authority;
use daemon_base::setting::duration;
use daemon_sources::contiv::{ETCD_PORT, NETMASTER_PORT};
use daemon_sources::opserver::PORT as OPSERVER_PORT;
use proxy_uve::table_of_uve_type;

use super::layers::Layers;
use crate::config::{Config, LogKind};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// The most partitions of a stream: beyond it the state per partition costs more than the parallelism gains.
const MAX_PARTITIONS: u16 = 1024;

/// The default limit of brokers for the size of a message (`message.max.bytes`).
const MAX_RESULTS_MESSAGE_BYTES: usize = 1024 * 1024;

/// The most threads: more than the cores of any machine.
const MAX_THREADS: usize = 1024;

/// The most concurrent readers of a kind: each takes a connection and buffers.
const MAX_READERS: usize = 1024;

/// The most connections: the ports of one client.
const MAX_CONNECTIONS: usize = 65_536;

/// The most lines of a request: more than any server accepts.
const MAX_BATCH_LINES: usize = 1_000_000;

/// Checks all values and adds a problem for each one that is out of range.
pub(super) fn values(config: &Config, layers: &mut Layers) {
    let mut checks = Checks(layers);
    let aggregation = &config.aggregation;
    if let Some(period) = aggregation.period {
        checks.range("aggregation.period", period, 1, 86_400);
    }
    checks.durations("aggregation.allowed_lateness", aggregation.allowed_lateness, Duration::ZERO, DAY);
    checks.durations("aggregation.allowed_skew", aggregation.allowed_skew, Duration::ZERO, DAY);
    checks.durations("aggregation.idle_timeout", aggregation.idle_timeout, MILLISECOND, DAY);
    checks.at_least("aggregation.max_objects_per_partition", aggregation.max_objects_per_partition, 1);
    checks.topic_part("aggregation.cluster_id", &aggregation.cluster_id);
    checks.contiv(config);
    checks.http(config);
    checks.log(config);
    checks.kafka(config);
    checks.opserver(config);
    checks.influxdb(config);
    checks.durations("shutdown.grace", config.shutdown.grace, Duration::ZERO, HOUR);
    checks.range("workers.threads", config.workers.threads, 0, MAX_THREADS);
}

/// Lists the risks of a valid configuration, one sentence each, for the operator.
pub(super) fn notices(config: &Config) -> Vec<String> {
    let mut notices = Vec::new();
    if !config.http.listen.ip().is_loopback() {
        notices.push(format!(
            "http.listen: {} is reachable from other machines without authentication; put a firewall or proxy before it",
            config.http.listen
        ));
    }
    if config.sinks.influxdb.sends_secret_in_clear() {
        notices.push("sinks.influxdb.url: http sends the secret unencrypted; use https".to_owned());
    }
    let aggregation = &config.aggregation;
    if aggregation.allowed_skew > aggregation.allowed_lateness {
        notices.push(format!(
            "aggregation.allowed_skew ({}) is above allowed_lateness ({}): one fast clock can make the samples of all \
             other sources late",
            duration::print(aggregation.allowed_skew),
            duration::print(aggregation.allowed_lateness)
        ));
    }
    notices
}

struct Checks<'l>(&'l mut Layers);

impl Checks<'_> {
    fn http(&mut self, config: &Config) {
        let http = &config.http;
        self.at_least("http.max_body_bytes", http.max_body_bytes, 1);
        self.at_least("http.max_in_flight", http.max_in_flight, 1);
        self.range("http.max_readers", http.max_readers, 1, MAX_READERS);
        self.range("http.max_streams", http.max_streams, 1, MAX_READERS);
        self.range("http.max_connections", http.max_connections, 8, MAX_CONNECTIONS);
        self.range("http.max_connections_per_client", http.max_connections_per_client, 1, MAX_CONNECTIONS);
        self.durations("http.header_timeout", http.header_timeout, 100 * MILLISECOND, 10 * MINUTE);
        self.durations("http.idle_timeout", http.idle_timeout, SECOND, DAY);
        self.durations("http.body_timeout", http.body_timeout, SECOND, HOUR);
    }

    fn log(&mut self, config: &Config) {
        let (log, retention) = (&config.log, &config.log.retention);
        self.range("log.partitions", log.partitions, 1, MAX_PARTITIONS);
        self.durations("log.commit_interval", log.commit_interval, MILLISECOND, HOUR);
        if log.data_dir.as_os_str().is_empty() {
            self.add_problem("log.data_dir", "the path is empty; name a directory");
        }
        if retention.results_hard_limit_bytes < retention.max_results_bytes {
            let least = format!(
                "{} is below log.retention.max_results_bytes ({}); raise it",
                retention.results_hard_limit_bytes, retention.max_results_bytes
            );
            self.add_problem("log.retention.results_hard_limit_bytes", &least);
        }
        self.at_least("log.retention.max_idempotency_keys", retention.max_idempotency_keys, 1);
        self.at_least("log.retention.max_backlog_bytes", retention.max_backlog_bytes, 1);
    }

    fn kafka(&mut self, config: &Config) {
        let kafka = &config.kafka;
        self.range("kafka.partitions", kafka.partitions, 1, MAX_PARTITIONS);
        self.range("kafka.results_message_bytes", kafka.results_message_bytes, 0, MAX_RESULTS_MESSAGE_BYTES);
        self.durations("kafka.commit_interval", kafka.commit_interval, 100 * MILLISECOND, HOUR);
        self.durations("kafka.session_timeout", kafka.session_timeout, SECOND, HOUR / 2);
        self.durations("kafka.transaction_timeout", kafka.transaction_timeout, SECOND, HOUR / 4);
        self.durations("kafka.refresh_interval", kafka.refresh_interval, 100 * MILLISECOND, HOUR);
        self.topic_part("kafka.topic_prefix", kafka.topic_prefix.as_deref().unwrap_or_default());
        if config.log.kind == LogKind::Kafka && kafka.brokers.trim().is_empty() {
            self.add_problem("kafka.brokers", "log.kind is \"kafka\", but no broker is named; set it to `host:port`");
        }
        if kafka.security.has_user() && kafka.user.is_none() {
            self.add_problem(
                "kafka.user",
                "kafka.security requires a user; set it, and kafka.password or kafka.password_file",
            );
        }
        for property in kafka.properties.iter().filter(|property| !property.contains('=')) {
            self.add_problem("kafka.properties", &format!("{property:?} has no `=`; write `name=value`"));
        }
    }

    fn opserver(&mut self, config: &Config) {
        let section = &config.opserver;
        for server in &section.servers {
            match authority(server, OPSERVER_PORT) {
                Err(message) => self.add_problem("opserver.servers", &message),
                Ok(authority) if *authority.as_str() == config.http.listen.to_string() => {
                    self.add_problem(
                        "opserver.servers",
                        &format!("{server:?} is the http.listen of this daemon; name another server"),
                    );
                }
                Ok(_) => {}
            }
        }
        for uve_type in section.uve_types.iter().filter(|uve_type| table_of_uve_type(uve_type).is_none()) {
            let message = format!("`{uve_type}` is not a UVE type of Contrail; write one such as `virtual-network`");
            self.add_problem("opserver.uve_types", &message);
        }
        self.durations("opserver.interval", section.interval, SECOND, DAY);
        self.durations("opserver.timeout", section.timeout, 100 * MILLISECOND, HOUR);
        self.at_least("opserver.max_body_bytes", section.max_body_bytes, 1);
        if section.user.is_some() != section.password_file.is_some() {
            self.add_problem("opserver.user", "user and password_file require each other; set both or neither");
        }
    }

    fn contiv(&mut self, config: &Config) {
        let section = &config.contiv;
        self.servers("contiv.nodes", &section.nodes, section.netplugin_port);
        self.servers("contiv.etcd", &section.etcd, ETCD_PORT);
        self.servers("contiv.netmaster", section.netmaster.as_slice(), NETMASTER_PORT);
        self.at_least("contiv.netplugin_port", section.netplugin_port, 1);
        self.durations("contiv.interval", section.interval, SECOND, DAY);
        if section.interval.subsec_nanos() > 0 {
            self.add_problem("contiv.interval", "timestamps of points are whole seconds; set whole seconds");
        }
        self.durations("contiv.jitter", section.jitter, Duration::ZERO, section.interval / 2);
        self.durations("contiv.timeout", section.timeout, 100 * MILLISECOND, HOUR);
        self.durations("contiv.discovery_interval", section.discovery_interval, SECOND, DAY);
        self.durations("contiv.netmaster_cache", section.netmaster_cache, Duration::ZERO, HOUR);
        self.range("contiv.concurrency", section.concurrency, 1, MAX_THREADS);
        self.at_least("contiv.max_body_bytes", section.max_body_bytes, 1);
        if section.is_on() && config.log.kind == LogKind::Kafka {
            let message = "Contiv's nodes are scraped into the embedded log only; run a separate daemon for them";
            self.add_problem("log.kind", message);
        }
    }

    fn servers(&mut self, key: &str, servers: &[String], port: u16) {
        for server in servers {
            if let Err(message) = authority(server, port) {
                self.add_problem(key, &message);
            }
        }
    }

    fn influxdb(&mut self, config: &Config) {
        let section = &config.sinks.influxdb;
        self.range("sinks.influxdb.batch_lines", section.batch_lines, 1, MAX_BATCH_LINES);
        self.at_least("sinks.influxdb.batch_bytes", section.batch_bytes, 1024);
        self.durations("sinks.influxdb.flush_interval", section.flush_interval, Duration::ZERO, HOUR);
        self.durations("sinks.influxdb.timeout", section.timeout, 100 * MILLISECOND, HOUR);
        for (key, message) in section.problems() {
            self.add_problem(&format!("sinks.influxdb.{key}"), &message);
        }
    }

    /// Checks a text that becomes part of topic names.
    fn topic_part(&mut self, key: &str, part: &str) {
        let legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if let Some(bad) = part.chars().find(|&character| !legal(character)) {
            let message = format!("{bad:?} cannot be part of a topic name; use letters, digits, `.`, `_` and `-`");
            self.add_problem(key, &message);
        }
    }

    fn at_least<N: PartialOrd + std::fmt::Display>(&mut self, key: &str, value: N, least: N) {
        if value < least {
            self.add_problem(key, &format!("{value} is too small; set at least {least}"));
        }
    }

    fn range<N: PartialOrd + std::fmt::Display>(&mut self, key: &str, value: N, least: N, most: N) {
        if value < least || value > most {
            self.add_problem(key, &format!("{value} is out of range; set {least} to {most}"));
        }
    }

    fn durations(&mut self, key: &str, value: Duration, least: Duration, most: Duration) {
        if value < least || value > most {
            let [value, least, most] = [value, least, most].map(duration::print);
            self.add_problem(key, &format!("\"{value}\" is out of range; set \"{least}\" to \"{most}\""));
        }
    }

    fn add_problem(&mut self, key: &str, message: &str) {
        let location = self.0.location(key);
        self.0.add_problem(location, format!("`{key}`: {message}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::problem::SourceLocation;

    fn problems(key: &str, text: &str) -> Vec<String> {
        let mut layers = Layers::default();
        layers.set_text(key, text, SourceLocation::Flag("--set"));
        let config = layers.config();
        values(&config, &mut layers);
        layers.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_defaults_are_in_range_and_need_no_notice() {
        let mut layers = Layers::default();
        values(&Config::default(), &mut layers);
        assert_eq!(layers.problems, []);
        assert_eq!(notices(&Config::default()), [""; 0]);
    }

    #[test]
    fn the_bounds_of_each_range_are_accepted_and_values_beyond_them_are_rejected() {
        let cases = [
            ("aggregation.period", "1", true),
            ("aggregation.period", "0", false),
            ("aggregation.period", "86400", true),
            ("aggregation.period", "86401", false),
            ("aggregation.allowed_lateness", "0s", true),
            ("aggregation.allowed_lateness", "25h", false),
            ("aggregation.allowed_skew", "2d", false),
            ("aggregation.idle_timeout", "0s", false),
            ("aggregation.max_objects_per_partition", "0", false),
            ("aggregation.cluster_id", "a b", false),
            ("aggregation.cluster_id", "a-B_1.c", true),
            ("kafka.partitions", "1025", false),
            ("kafka.results_format", "binary", true),
            ("kafka.results_format", "json", true),
            ("kafka.results_format", "xml", false),
            ("kafka.results_message_bytes", "0", true),
            ("kafka.results_message_bytes", "1048577", false),
            ("kafka.commit_interval", "99ms", false),
            ("kafka.session_timeout", "31m", false),
            ("kafka.transaction_timeout", "999ms", false),
            ("kafka.refresh_interval", "2h", false),
            ("kafka.topic_prefix", "a b", false),
            ("kafka.properties", "[\"a\"]", false),
            ("log.partitions", "0", false),
            ("log.partitions", "1024", true),
            ("log.partitions", "1025", false),
            ("log.commit_interval", "0s", false),
            ("log.commit_interval", "1h", true),
            ("log.data_dir", "", false),
            ("log.retention.results_hard_limit_bytes", "5", false),
            ("log.retention.max_idempotency_keys", "0", false),
            ("log.retention.max_backlog_bytes", "0", false),
            ("shutdown.grace", "0s", true),
            ("shutdown.grace", "61m", false),
            ("workers.threads", "1025", false),
        ];
        check_all(&cases);
    }

    #[test]
    fn invalid_limits_of_the_server_are_rejected() {
        check_all(&[
            ("http.max_body_bytes", "0", false),
            ("http.max_in_flight", "0", false),
            ("http.max_readers", "0", false),
            ("http.max_readers", "1024", true),
            ("http.max_readers", "1025", false),
            ("http.max_streams", "0", false),
            ("http.max_streams", "1025", false),
            ("http.max_connections", "7", false),
            ("http.max_connections", "65537", false),
            ("http.max_connections_per_client", "0", false),
            ("http.header_timeout", "99ms", false),
            ("http.header_timeout", "11m", false),
            ("http.idle_timeout", "999ms", false),
            ("http.idle_timeout", "25h", false),
            ("http.body_timeout", "999ms", false),
            ("http.body_timeout", "61m", false),
        ]);
    }

    #[test]
    fn invalid_settings_of_the_poller_are_rejected() {
        check_all(&[
            ("opserver.servers", "http://10.0.0.5:8081 b", true),
            ("opserver.servers", "https://10.0.0.5:8081", false),
            ("opserver.servers", "127.0.0.1:8081", false),
            ("opserver.uve_types", "virtual-network vrouter", true),
            ("opserver.uve_types", "ObjectVNTable", false),
            ("opserver.interval", "999ms", false),
            ("opserver.interval", "1d", true),
            ("opserver.timeout", "99ms", false),
            ("opserver.max_body_bytes", "0", false),
            ("opserver.user", "me", false),
        ]);
    }

    #[test]
    fn invalid_settings_of_the_scraper_are_rejected() {
        check_all(&[
            ("contiv.nodes", "10.0.0.5 n2:91", true),
            ("contiv.nodes", "https://n1", false),
            ("contiv.etcd", "n1/v2", false),
            ("contiv.netmaster", "me@n1", false),
            ("contiv.netmaster", "n1", true),
            ("contiv.netplugin_port", "0", false),
            ("contiv.interval", "1500ms", false),
            ("contiv.interval", "2s", true),
            ("contiv.jitter", "6s", false),
            ("contiv.timeout", "99ms", false),
            ("contiv.concurrency", "0", false),
            ("contiv.max_body_bytes", "0", false),
            ("contiv.listen", "0.0.0.0:4000", true),
        ]);
    }

    #[test]
    fn invalid_settings_of_the_influxdb_sink_are_rejected() {
        check_all(&[
            ("sinks.influxdb.url", "http://10.0.0.5:8086", true),
            ("sinks.influxdb.url", "10.0.0.5:8086", false),
            ("sinks.influxdb.batch_lines", "0", false),
            ("sinks.influxdb.batch_lines", "1000001", false),
            ("sinks.influxdb.batch_bytes", "1023", false),
            ("sinks.influxdb.flush_interval", "0s", true),
            ("sinks.influxdb.flush_interval", "2h", false),
            ("sinks.influxdb.timeout", "99ms", false),
            ("sinks.influxdb.precision", "m", false),
            ("sinks.influxdb.precision", "ns", true),
        ]);
    }

    fn check_all(cases: &[(&str, &str, bool)]) {
        for &(key, text, valid) in cases {
            let problems = problems(key, text);
            assert_eq!(problems.is_empty(), valid, "{key} = {text}: {problems:?}");
            assert!(problems.iter().all(|problem| problem.contains(&format!("`{key}`"))), "{problems:?}");
        }
    }
}
