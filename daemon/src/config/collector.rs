//! The source for an existing `contrail-collector.conf` (INI, as Boost's program_options reads it). It maps four keys
//! of `[DEFAULT]`, so that a deployment can start without a second file.
//!
//! | `[DEFAULT]` key | our key |
//! |---|---|
//! | `uve_proxy_list` | `aggregation.uve_proxy_list` |
//! | `partitions` | `log.partitions` |
//! | `http_server_port` | the port of `http.listen` (the address stays 127.0.0.1) |
//! | `kafka_broker_list` | `kafka.brokers` |
//!
//! All other keys are ignored; one notice lists them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use ini::{Ini, ParseOption};

use super::layers::Layers;
use super::problem::SourceLocation;

const SECTION: &str = "DEFAULT";

/// Merges the settings of a file's text into `layers` and returns the notices about the file.
pub(super) fn read(path: &Path, text: &str, layers: &mut Layers) -> Vec<String> {
    let location = |line| SourceLocation::File { path: path.to_owned(), line, column: 0 };
    // Boost's parser has neither quotes nor escapes.
    let options = ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    let text = without_comments(text);
    let ini = match Ini::load_from_str_opt(&text, options) {
        Ok(ini) => ini,
        Err(error) => {
            let message = format!("the file is not valid INI: {}", error.msg);
            layers.add_problem(location(error.line), message);
            return Vec::new();
        }
    };
    let mut ignored = Vec::new();
    let mut brokers = false;
    for (section, properties) in &ini {
        for (key, value) in properties.iter() {
            let at = location(line_of(&text, key));
            match (section, key) {
                (Some(SECTION), "uve_proxy_list") => layers.set_text("aggregation.uve_proxy_list", value, at),
                (Some(SECTION), "partitions") => layers.set_text("log.partitions", value, at),
                (Some(SECTION), "http_server_port") => set_port(value, at, layers),
                (Some(SECTION), "kafka_broker_list") => {
                    brokers = !value.trim().is_empty();
                    layers.set_text("kafka.brokers", value.trim(), at);
                }
                _ => ignored.push(format!("{}.{key}", section.unwrap_or_default())),
            }
        }
    }
    notices(path, &ignored, brokers)
}

fn set_port(value: &str, location: SourceLocation, layers: &mut Layers) {
    match value.trim().parse::<u16>() {
        Ok(port) => {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            layers.set_text("http.listen", &listen.to_string(), location);
        }
        Err(_) => {
            layers.add_problem(location, format!("`http_server_port`: expected a port, 0 to 65535, found `{value}`"))
        }
    }
}

fn notices(path: &Path, ignored: &[String], brokers: bool) -> Vec<String> {
    let mut notices = Vec::new();
    if !ignored.is_empty() {
        notices.push(format!("{}: ignored the keys {}", path.display(), ignored.join(", ")));
    }
    if brokers {
        notices.push(format!(
            "{}: kafka_broker_list sets kafka.brokers, but the daemon uses the embedded log unless log.kind is \
             \"kafka\"",
            path.display()
        ));
    }
    notices
}

/// Removes everything from a `#` to the end of its line, as Boost does. Lines keep their numbers.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim_end());
    lines.collect::<Vec<_>>().join("\n")
}

/// The number of the line that sets `key`, from 1; 0 if no line does.
fn line_of(text: &str, key: &str) -> usize {
    let sets = |line: &str| line.split(['=', ':']).next().is_some_and(|name| name.trim() == key);
    text.lines().position(sets).map_or(0, |index| index + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = "\
[DEFAULT]
  # an indented comment
analytics_data_ttl=48
partitions = 30  # of each topic
http_server_port=8089
kafka_broker_list=10.0.0.1:9092 10.0.0.2:9092
uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum

[COLLECTOR]
port=8086
partitions=5
";

    #[test]
    fn the_four_keys_are_mapped_and_all_others_are_listed_once() {
        let mut layers = Layers::default();
        let notices = read(Path::new("c.conf"), CONF, &mut layers);
        assert_eq!(layers.problems, []);
        let config = layers.config();
        assert_eq!(config.log.partitions, 30);
        assert_eq!(config.http.listen.to_string(), "127.0.0.1:8089");
        assert_eq!(config.kafka.brokers, "10.0.0.1:9092 10.0.0.2:9092");
        assert_eq!(config.aggregation.uve_proxy_list, "UveVirtualNetworkAgent-egress_flow_count:AggProxySum");
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert_eq!(
            notices[0],
            "c.conf: ignored the keys DEFAULT.analytics_data_ttl, COLLECTOR.port, COLLECTOR.partitions"
        );
        assert!(notices[1].contains("uses the embedded log"), "{notices:?}");
    }

    #[test]
    fn a_bad_value_is_reported_with_its_line() {
        let mut layers = Layers::default();
        read(Path::new("c.conf"), "[DEFAULT]\nhttp_server_port=http\npartitions=many\n", &mut layers);
        let found: Vec<_> = layers.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "c.conf:2: `http_server_port`: expected a port, 0 to 65535, found `http`",
                "c.conf:3: `log.partitions`: invalid type: string \"many\", expected a whole number, 1 to 1024",
            ]
        );
    }

    #[test]
    fn a_file_that_is_not_ini_is_rejected() {
        let mut layers = Layers::default();
        read(Path::new("c.conf"), "[DEFAULT\n", &mut layers);
        assert_eq!(layers.problems.len(), 1);
    }
}
