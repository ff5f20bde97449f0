//! Range and consistency checks of the values, which types alone cannot express.

use std::time::Duration;

use daemon_base::setting::address::server;
use daemon_base::setting::duration;
use daemon_sources::contiv::{ETCD_PORT, NETMASTER_PORT};
use daemon_sources::opserver::PORT as OPSERVER_PORT;
use derived_stats::annotation::nearest;
use proxy_uve::{StreamName, table_of_uve_type};

use super::layers::Layers;
use super::problem::SourceLocation;
use super::ranges::{self, Number, Span};
use super::{listeners, mapped};
use crate::config::{Config, LogKind};

/// Checks all values and adds a problem for each one that is out of range.
pub(super) fn values(config: &Config, layers: &mut Layers) {
    let mut checks = Checks(layers);
    for Number { key, least, most, value } in &ranges::NUMBERS {
        if let Some(value) = value(config) {
            checks.range(key, value, *least, *most);
        }
    }
    for Span { key, least, most, value } in &ranges::DURATIONS {
        checks.durations(key, value(config), *least, *most);
    }
    checks.topic_part("aggregation.cluster_id", &config.aggregation.cluster_id);
    checks.contiv(config);
    checks.http(config);
    checks.log(config);
    checks.kafka(config);
    checks.opserver(config);
    checks.influxdb(config);
    checks.redis(config);
    checks.sinks(config);
}

/// Lists the risks of a valid configuration, one sentence each, for the operator.
pub(super) fn notices(config: &Config) -> Vec<String> {
    let mut notices = Vec::new();
    notices.extend(listeners::notices(config));
    notices.extend(mapped::notices(config));
    if config.sinks.influxdb.sends_secret_in_clear() {
        notices.push(notice!("sinks.influxdb.url: http sends the secret unencrypted; use https"));
    }
    if config.sinks.redis.sends_secret_in_clear() {
        notices.push(notice!("sinks.redis.url: redis sends the password unencrypted; use rediss"));
    }
    if config.sinks.remote_write.sends_secret_in_clear() {
        notices.push(notice!("sinks.remote_write.url: http sends the secret unencrypted; use https"));
    }
    if config.sinks.otlp.sends_secret_in_clear() {
        notices.push(notice!("sinks.otlp.url: http sends the secret unencrypted; use https"));
    }
    if config.sinks.alertmanager.sends_secret_in_clear() {
        notices.push("sinks.alertmanager.url: http sends the secret unencrypted; use https".to_owned());
    }
    if config.sinks.webhook.sends_secret_in_clear() {
        notices.push("sinks.webhook.url: http sends the secret unencrypted; use https".to_owned());
    }
    if config.opserver.sends_secret_in_clear() {
        notices.push(notice!("opserver.servers: http sends the password unencrypted; write https://host:port"));
    }
    let aggregation = &config.aggregation;
    if aggregation.allowed_skew > aggregation.allowed_lateness {
        notices.push(notice!(
            "aggregation.allowed_skew ({}) is above allowed_lateness ({}): one fast clock can make the samples of all \
             other sources late",
            duration::print(aggregation.allowed_skew),
            duration::print(aggregation.allowed_lateness)
        ));
    }
    notices
}

/// The risk of a stream whose proxy types read counters.
pub(super) fn counters_notice(stream: &StreamName) -> String {
    notice!(
        "{stream}: its proxy types take samples as readings of counters (metric=\"agg\", `DSIncrease`, `DSRate`), one counter for each `source` \
         that samples name; samples without a source, such as Contrail's XML, are all of one, which is wrong where \
         several senders share a key"
    )
}

/// The risk of a stream whose proxy types count the last value of each source.
pub(super) fn last_values_notice(stream: &StreamName) -> String {
    notice!(
        "{stream}: its proxy types count the last value of each `source` that samples name; samples without a source, \
         such as Contrail's XML, are all of one, and the newest of them counts alone"
    )
}

/// What is misspelt in the name of a stream, if it is near one that the scraper of Contiv has.
pub(super) fn contiv_notice(stream: &StreamName) -> Option<String> {
    let (stream, known) = (stream.to_string(), daemon_sources::contiv::stream_names());
    if known.contains(&stream) {
        return None;
    }
    let near = nearest(&stream, known.iter().map(String::as_str))?;
    Some(notice!("{stream}: Contiv's nodes have no such counter; did you mean `{near}`?"))
}

struct Checks<'l>(&'l mut Layers);

impl Checks<'_> {
    fn log(&mut self, config: &Config) {
        let (log, retention) = (&config.log, &config.log.retention);
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
    }

    fn http(&mut self, config: &Config) {
        let (head, idle) = (config.http.header_timeout, config.http.idle_timeout);
        if head > idle {
            let message = format!(
                "\"{}\" is above `http.idle_timeout` (\"{}\"), which also ends a connection without a first request; set it \
                 to that at most, or raise http.idle_timeout",
                duration::print(head),
                duration::print(idle)
            );
            self.add_problem("http.header_timeout", &message);
        }
        for (key, message) in listeners::problems(config) {
            // The list with the listeners may be missing because of a fault that has its own problem.
            if key != "http.listen" || !self.0.is_refused("http.listeners") {
                self.add_problem(key, &message);
            }
        }
    }

    fn kafka(&mut self, config: &Config) {
        let kafka = &config.kafka;
        self.topic_part("kafka.topic_prefix", kafka.topic_prefix.as_deref().unwrap_or_default());
        if config.log.kind == LogKind::Kafka && kafka.brokers.trim().is_empty() {
            self.add_problem_of(
                "kafka.brokers",
                "log.kind",
                "log.kind is \"kafka\", but no broker is named; set it to `host:port`",
            );
        }
        if kafka.security.has_user() && kafka.user.is_none() {
            self.add_problem_of(
                "kafka.user",
                "kafka.security",
                "kafka.security requires a user; set it, and kafka.password or kafka.password_file",
            );
        }
        // The entry itself may be a password.
        for (number, _) in (1..).zip(&kafka.properties).filter(|(_, property)| !property.contains('=')) {
            self.add_problem("kafka.properties", &format!("entry {number} has no `=`; write `name=value`"));
        }
    }

    fn opserver(&mut self, config: &Config) {
        let section = &config.opserver;
        for text in &section.servers {
            match server(text, OPSERVER_PORT) {
                Err(message) => self.add_problem("opserver.servers", &message),
                Ok(server)
                    if config.http.all_listeners().any(|own| own.address.to_string() == server.authority.as_str()) =>
                {
                    self.add_problem(
                        "opserver.servers",
                        &format!("{text:?} is a listener of this daemon; name another server"),
                    );
                }
                Ok(_) => {}
            }
        }
        for uve_type in section.uve_types.iter().filter(|uve_type| table_of_uve_type(uve_type).is_none()) {
            let message = format!("`{uve_type}` is not a UVE type of Contrail; write one such as `virtual-network`");
            self.add_problem("opserver.uve_types", &message);
        }
        if section.user.is_some() != section.password_file.is_some() {
            let message = "user and password_file require each other; set both or neither";
            self.add_problem_of("opserver.user", "opserver.password_file", message);
        }
        for (key, message) in section.tls_problems() {
            self.add_problem_of(&format!("opserver.{key}"), "opserver.certificate_file", &message);
        }
    }

    fn contiv(&mut self, config: &Config) {
        let section = &config.contiv;
        self.servers("contiv.nodes", &section.nodes, section.netplugin_port);
        self.servers("contiv.etcd", &section.etcd, ETCD_PORT);
        self.servers("contiv.netmaster", section.netmaster.as_slice(), NETMASTER_PORT);
        for (key, message) in section.tls_problems() {
            self.add_problem_of(&format!("contiv.{key}"), "contiv.certificate_file", &message);
        }
        if section.interval.subsec_nanos() > 0 {
            self.add_problem("contiv.interval", "timestamps of points are whole seconds; set whole seconds");
        }
        self.durations("contiv.jitter", section.jitter, Duration::ZERO, section.interval / 2);
        if section.is_on() && config.log.kind == LogKind::Kafka {
            let message = "Contiv's nodes are scraped into the embedded log only; run a separate daemon for them";
            self.add_problem("log.kind", message);
        }
    }

    fn servers(&mut self, key: &str, servers: &[String], port: u16) {
        for text in servers {
            if let Err(message) = server(text, port) {
                self.add_problem(key, &message);
            }
        }
    }

    fn influxdb(&mut self, config: &Config) {
        let section = &config.sinks.influxdb;
        for (key, message) in section.problems() {
            // A bucket is required by the version.
            self.add_problem_of(&format!("sinks.influxdb.{key}"), "sinks.influxdb.version", &message);
        }
    }

    fn redis(&mut self, config: &Config) {
        let section = &config.sinks.redis;
        for (key, message) in section.problems() {
            self.add_problem(&format!("sinks.redis.{key}"), &message);
        }
        if let Some(topics) = &section.uve_topics {
            self.topic_part("sinks.redis.uve_topics", topics);
            if section.url.is_some() && config.kafka.brokers.trim().is_empty() {
                let message = "no broker is named; set kafka.brokers, or remove it";
                self.add_problem("sinks.redis.uve_topics", message);
            }
        }
    }

    fn sinks(&mut self, config: &Config) {
        let sinks = &config.sinks;
        let sections = [
            ("alertmanager", sinks.alertmanager.problems()),
            ("otlp", sinks.otlp.problems()),
            ("remote_write", sinks.remote_write.problems()),
            ("results_webhook", sinks.results_webhook.problems()),
            ("webhook", sinks.webhook.problems()),
        ];
        for (section, problems) in sections {
            for (key, message) in problems {
                self.add_problem(&format!("sinks.{section}.{key}"), &message);
            }
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

    fn range(&mut self, key: &str, value: u64, least: u64, most: u64) {
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

    /// Adds a problem of a key at the location of the setting that requires it, if the key itself is not set.
    fn add_problem_of(&mut self, key: &str, cause: &str, message: &str) {
        let location = match self.0.location(key) {
            SourceLocation::Default => self.0.location(cause),
            location => location,
        };
        self.0.add_problem(location, format!("`{key}`: {message}"));
    }

    fn add_problem(&mut self, key: &str, message: &str) {
        let location = self.0.location(key);
        self.0.add_problem(location, format!("`{key}`: {message}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

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
            ("http.max_in_flight", "1025", false),
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
            ("http.idle_timeout", "9s", false),
            ("http.idle_timeout", "10s", true),
            ("http.header_timeout", "75s", true),
            ("http.header_timeout", "76s", false),
            ("http.idle_timeout", "25h", false),
            ("http.body_timeout", "999ms", false),
            ("http.body_timeout", "61m", false),
        ]);
    }

    #[test]
    fn each_number_and_duration_is_accepted_at_its_bounds_and_refused_beyond_them_with_its_range() {
        for Number { key, least, most, .. } in &ranges::NUMBERS {
            let range = format!("{least} to {most}");
            let beyond =
                [i128::from(*least) - 1, i128::from(*most) + 1, 1 << 63, 1 << 64].map(|number| number.to_string());
            for text in beyond.iter().map(String::as_str).chain(["1.5", "many", "[]", "1e300", ""]) {
                assert_refused(key, text, &range);
            }
            assert_in_range(key, [*least, *most].map(|number| number.to_string()));
        }
        for Span { key, least, most, .. } in &ranges::DURATIONS {
            let range = [*least, *most].map(|bound| format!("{:?}", duration::print(bound)));
            let micro = Duration::from_micros(1);
            for text in [least.checked_sub(micro), most.checked_add(micro), Some(10_000 * *most)].into_iter().flatten()
            {
                assert_refused(key, &duration::print(text), &range.join(" to "));
            }
            for text in ["5", "many", "-1s", "99999999999999999999d", ""] {
                assert_refused(key, text, "");
            }
            assert_in_range(key, [*least, *most].map(duration::print));
        }
    }

    /// Two settings that have to fit each other may still not.
    fn assert_in_range(key: &str, texts: [String; 2]) {
        for text in texts {
            let problems = problems(key, &text);
            assert!(!problems.iter().any(|problem| problem.contains("out of range")), "{key} = {text}: {problems:?}");
        }
    }

    fn assert_refused(key: &str, text: &str, range: &str) {
        let problems = problems(key, text);
        let is_named = problems.iter().any(|problem| problem.contains(&format!("`{key}`")) && problem.contains(range));
        assert!(is_named, "{key} = {text:?}: {problems:?}");
    }

    #[test]
    fn every_key_that_takes_no_text_refuses_numbers_without_a_bound() {
        for key in keys::all().iter().filter(|key| !problems(key, "text").is_empty()) {
            for text in ["-1", "9223372036854775807", "9223372036854775808", "18446744073709551616", "1e300", "36500d"]
            {
                assert_ne!(problems(key, text), [""; 0], "{key} = {text}");
            }
        }
    }

    #[test]
    fn the_reference_states_each_range() {
        const REFERENCE: &str = include_str!("../../../docs/src/reference/configuration.md");
        let numbers = ranges::NUMBERS.iter().map(|range| (range.key, format!("{} to {}", range.least, range.most)));
        let durations = ranges::DURATIONS.iter().map(|range| {
            (range.key, format!("`\"{}\"` to `\"{}\"`", duration::print(range.least), duration::print(range.most)))
        });
        for (key, range) in numbers.chain(durations) {
            let row = REFERENCE.lines().find(|line| line.starts_with(&format!("| `{key}` |")));
            assert!(row.is_some_and(|row| row.contains(&range)), "{key}: {range}: {row:?}");
        }
    }

    #[test]
    fn invalid_settings_of_the_poller_are_rejected() {
        check_all(&[
            ("opserver.servers", "http://10.0.0.5:8081 b", true),
            ("opserver.servers", "https://10.0.0.5:8081", true),
            ("opserver.servers", "https://127.0.0.1:8081", false),
            ("opserver.ca_file", "/a", false),
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
            ("contiv.etcd", "https://n1", true),
            ("contiv.netmaster", "https://n1:9999", true),
            ("contiv.ca_file", "/a", false),
            ("contiv.listen_tls", "{certificate = \"c\", key = \"k\"}", false),
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

    #[test]
    fn invalid_settings_of_the_sinks_that_post_results_are_rejected() {
        check_all(&[
            ("sinks.otlp.url", "http://10.0.0.5:4318/v1/metrics", true),
            ("sinks.otlp.url", "10.0.0.5:4318", false),
            ("sinks.otlp.batch_points", "0", false),
            ("sinks.remote_write.url", "http://10.0.0.5:9090/api/v1/write", true),
            ("sinks.remote_write.url", "10.0.0.5:9090", false),
            ("sinks.remote_write.batch_samples", "0", false),
            ("sinks.results_webhook.url", "https://a.example/hook?token=b", true),
            ("sinks.results_webhook.url", "ftp://a.example/hook", false),
            ("sinks.results_webhook.batch_bytes", "1023", false),
        ]);
    }

    #[test]
    fn invalid_settings_of_the_redis_sink_are_rejected() {
        check_all(&[
            ("sinks.redis.url", "redis://10.0.0.5:6379", true),
            ("sinks.redis.url", "10.0.0.5:6379", false),
            ("sinks.redis.database", "1024", false),
            ("sinks.redis.partitions", "0", false),
            ("sinks.redis.timeout", "99ms", false),
            ("sinks.redis.uve_topics", "-uve-topic-", true),
            ("sinks.redis.uve_topics", "a/b", false),
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
