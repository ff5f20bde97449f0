//! The source for an existing `contrail-collector.conf`, with the meaning that it has for Contrail's collector. It maps
//! four keys, so that a deployment can start without a second file.
//!
//! | key | our key |
//! |---|---|
//! | `DEFAULT.uve_proxy_list` | `aggregation.uve_proxy_list`; repeated keys add up |
//! | `DEFAULT.partitions` | `log.partitions`; 0 is the default |
//! | `DEFAULT.http_server_port` | the port of `http.listen` (the address stays 127.0.0.1) |
//! | `DEFAULT.kafka_broker_list` | `kafka.brokers`; repeated keys add up |
//!
//! A key that is similar to one of them is an error. All other keys are ignored; one notice lists them. Numbers are
//! read as Boost's `lexical_cast` to `uint16_t` reads them. Bytes that are not UTF-8 are an error in the value of one
//! of these keys only: comments and values that are ignored may have any.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use derived_stats::annotation::nearest;
use toml::Value;

use super::layers::Layers;
use super::problem::SourceLocation;
use super::program_options::{self, Setting};

const SECTION: &str = "DEFAULT";
const PROXY_LIST: &str = "DEFAULT.uve_proxy_list";
const PARTITIONS: &str = "DEFAULT.partitions";
const PORT: &str = "DEFAULT.http_server_port";
const BROKERS: &str = "DEFAULT.kafka_broker_list";
const MAPPED: [&str; 4] = [PROXY_LIST, PARTITIONS, PORT, BROKERS];

/// Keys of the collector that are similar to a mapped one.
const COLLECTORS_OWN: [&str; 2] = ["DEFAULT.http_server_ip", "STRUCTURED_SYSLOG_COLLECTOR.kafka_broker_list"];

/// Merges the settings of a file into `layers` and returns the notices about the file.
pub(super) fn read(path: &Path, bytes: &[u8], layers: &mut Layers) -> Vec<String> {
    let location = |line| SourceLocation::File { path: path.to_owned(), line, column: 0 };
    let text = String::from_utf8_lossy(bytes);
    let (mut settings, ignored) = mapped_and_ignored(&text, &location, layers);
    settings.retain(|setting| match not_utf8(bytes, setting) {
        None => true,
        Some(message) => {
            layers.add_problem(location(setting.line), message);
            false
        }
    });
    let mut notices = Vec::new();
    if !ignored.is_empty() {
        notices.push(notice!("{}: ignored the keys {}", path.display(), ignored.join(", ")));
    }
    let values = |key| settings.iter().filter(move |setting: &&Setting<'_>| setting.key == key);
    let list = |key| values(key).map(|setting| (setting.value, location(setting.line))).collect::<Vec<_>>();
    let brokers = list(BROKERS);
    layers.set_joined(&["aggregation", "uve_proxy_list"], "\n", &list(PROXY_LIST));
    layers.set_joined(&["kafka", "brokers"], " ", &brokers);
    if let Some((value, at)) = single(values(PARTITIONS), &location, layers) {
        notices.extend(set_partitions(path, value, at, layers));
    }
    if let Some((value, at)) = single(values(PORT), &location, layers) {
        set_port(value, at, layers);
    }
    if brokers.iter().any(|(value, _)| !value.is_empty()) {
        notices.push(notice!(
            "{}: kafka_broker_list sets kafka.brokers, but the daemon uses the embedded log unless log.kind is \
             \"kafka\"",
            path.display()
        ));
    }
    notices
}

/// The settings of mapped keys and the names of ignored ones, each once. The others become problems.
fn mapped_and_ignored<'t>(
    text: &'t str,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) -> (Vec<Setting<'t>>, Vec<String>) {
    let mut settings = Vec::new();
    let mut ignored = Vec::new();
    let mut seen = HashSet::new();
    for entry in program_options::parse(text) {
        let setting = match entry {
            Ok(setting) => setting,
            Err((line, message)) => {
                layers.add_problem(location(line), message);
                continue;
            }
        };
        let Setting { key, line, .. } = &setting;
        if MAPPED.contains(&key.as_str()) {
            settings.push(setting);
        } else if let Some(meant) = similar(key) {
            layers.add_problem(location(*line), format!("unknown key `{key}`; did you mean `{meant}`?"));
        } else if seen.insert(key.clone()) {
            ignored.push(setting.key);
        }
    }
    (settings, ignored)
}

/// The problem of a value with bytes that are not UTF-8.
fn not_utf8(bytes: &[u8], Setting { key, value, line }: &Setting<'_>) -> Option<String> {
    if !value.contains(char::REPLACEMENT_CHARACTER) {
        return None;
    }
    // A comment comes behind the value.
    let raw = bytes.split(|&byte| byte == b'\n').nth(line - 1)?;
    let at = std::str::from_utf8(raw).err()?.valid_up_to();
    let byte = raw.get(at)?;
    Some(format!("`{key}`: byte {} of the line, {byte:#04x}, is not UTF-8; write the value in UTF-8", at + 1))
}

/// A number as Boost's `lexical_cast` reads it: one sign, then digits. It negates within 16 bits.
fn number(text: &str) -> Option<u16> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<u16>().ok())??;
    Some(if text.starts_with('-') { number.wrapping_neg() } else { number })
}

/// The value of a key that may be set once, as in Boost.
fn single<'t, 's: 't>(
    mut settings: impl Iterator<Item = &'t Setting<'s>>,
    location: &impl Fn(usize) -> SourceLocation,
    layers: &mut Layers,
) -> Option<(&'s str, SourceLocation)> {
    let first = settings.next()?;
    for Setting { key, line, .. } in settings {
        let message = format!("`{key}` is set a second time; line {} sets it, too; remove one of them", first.line);
        layers.add_problem(location(*line), message);
    }
    Some((first.value, location(first.line)))
}

/// Sets the number of partitions; 0 leaves the default and returns a notice.
fn set_partitions(path: &Path, value: &str, location: SourceLocation, layers: &mut Layers) -> Option<String> {
    match number(value) {
        Some(0) => return Some(notice!("{}: partitions = 0 does not change log.partitions", path.display())),
        Some(count) => layers.set(&["log", "partitions"], Value::Integer(count.into()), location),
        None => {
            let message = format!("`{PARTITIONS}`: expected a whole number, 0 to 1024, found `{value}`");
            layers.add_problem(location, message);
        }
    }
    None
}

fn set_port(value: &str, location: SourceLocation, layers: &mut Layers) {
    match number(value) {
        Some(port) => {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            layers.set(&["http", "listen"], Value::String(listen.to_string()), location);
        }
        None => {
            layers.add_problem(location, format!("`{PORT}`: expected a port, 0 to 65535, found `{value}`"));
        }
    }
}

/// The mapped key that is similar to `key`: a similar name in `DEFAULT`, in a section of a similar name or in none, or
/// the same name in any other section.
fn similar(key: &str) -> Option<&'static str> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    // Behind blanks, `; name = value` is not a comment for Boost, but it has no effect either.
    if COLLECTORS_OWN.contains(&key) || name.starts_with(';') {
        return None;
    }
    let name = name.replace(['-', ' '], "_");
    let is_default = section.is_empty() || nearest(section.trim(), [SECTION]).is_some();
    let same = |mapped: &&str| mapped.rsplit('.').next().is_some_and(|mapped| mapped.eq_ignore_ascii_case(&name));
    if !is_default {
        return MAPPED.into_iter().find(same);
    }
    let mapped = nearest(&format!("{SECTION}.{name}"), MAPPED.into_iter().filter(|mapped| is_near(&name, mapped)))?;
    MAPPED.into_iter().find(|known| *known == mapped)
}

/// Whether the name itself, without the section, is similar; an ending such as `port` is not.
fn is_near(name: &str, mapped: &str) -> bool {
    let mapped = mapped.rsplit('.').next().unwrap_or(mapped);
    name.len() * 2 > mapped.len() && nearest(name, [mapped]).is_some()
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
kafka_broker_list=10.0.0.3:9092
uve_proxy_list=UveVirtualNetworkAgent-egress_flow_count:AggProxySum

[COLLECTOR]
port=8086
port=8087
";

    /// The keys of `[DEFAULT]` that collectors up to release 5.1 have and that are not mapped.
    const OTHERS: &str = "analytics_data_ttl analytics_config_audit_ttl analytics_statistics_ttl analytics_flow_ttl \
        cassandra_server_list zookeeper_server_list kafka_prefix dup hostip hostname http_server_ip log_category \
        log_disable log_file log_property_file log_files_count log_file_size log_level log_local use_syslog \
        syslog_facility syslog_port sflow_port ipfix_port test_mode sandesh_send_rate_limit \
        disable_flow_collection port server protobuf_port";

    fn read_all(text: &str) -> (Layers, Vec<String>) {
        let mut layers = Layers::default();
        let notices = read(Path::new("c.conf"), text.as_bytes(), &mut layers);
        (layers, notices)
    }

    #[test]
    fn bytes_that_are_not_utf8_are_an_error_only_where_they_have_an_effect() {
        let mut layers = Layers::default();
        let text =
            b"# caf\xe9\n; caf\xe9\n[DEFAULT]\npartitions = 3 # caf\xe9\nhostname = caf\xe9\n[caf\xe9]\nx = \xff\n";
        read(Path::new("c.conf"), text, &mut layers);
        assert_eq!((layers.problems.len(), layers.config().log.partitions), (0, 3), "{:?}", layers.problems);
        for (text, expected) in [
            (
                &b"\n[DEFAULT]\nuve_proxy_list = caf\xe9\n"[..],
                "c.conf:3: `DEFAULT.uve_proxy_list`: byte 21 of the line, 0xe9",
            ),
            (b"DEFAULT.partitions = \xff3 # caf\xe9\n", "c.conf:1: `DEFAULT.partitions`: byte 22 of the line, 0xff"),
        ] {
            let mut layers = Layers::default();
            read(Path::new("c.conf"), text, &mut layers);
            let problems: Vec<_> = layers.problems.iter().map(ToString::to_string).collect();
            assert!(problems.len() == 1 && problems[0].starts_with(expected), "{problems:?}");
        }
    }

    #[test]
    fn the_four_keys_are_mapped_and_all_others_are_listed_once() {
        let (mut layers, notices) = read_all(CONF);
        assert_eq!(layers.problems, []);
        let config = layers.config();
        assert_eq!(config.log.partitions, 30);
        assert_eq!(config.http.listen.unwrap().to_string(), "127.0.0.1:8089");
        assert_eq!(
            config.kafka.brokers.split_whitespace().collect::<Vec<_>>(),
            ["10.0.0.1:9092", "10.0.0.2:9092", "10.0.0.3:9092"]
        );
        assert_eq!(config.aggregation.uve_proxy_list, "UveVirtualNetworkAgent-egress_flow_count:AggProxySum");
        assert_eq!(notices.len(), 2, "{notices:?}");
        assert_eq!(notices[0], "c.conf: ignored the keys DEFAULT.analytics_data_ttl, COLLECTOR.port");
        assert!(notices[1].contains("uses the embedded log"), "{notices:?}");
    }

    #[test]
    fn values_have_the_forms_that_boost_accepts() {
        for (text, partitions) in [("30", 30), ("+30", 30), ("007", 7), ("-65533", 3), ("0", 8), ("00", 8), ("-0", 8)] {
            let (mut layers, notices) = read_all(&format!("DEFAULT.partitions={text}\n"));
            assert_eq!(layers.problems, [], "{text}");
            assert_eq!(layers.config().log.partitions, partitions, "{text}");
            assert_eq!(notices.len(), usize::from(partitions == 8), "{text}: {notices:?}");
        }
        // In TOML this would be a list.
        let (mut layers, _) = read_all("DEFAULT.uve_proxy_list=[\"A-a:AggProxySum\"]\n");
        assert_eq!(layers.config().aggregation.uve_proxy_list, "[\"A-a:AggProxySum\"]");
        for text in [
            "1_000",
            "[5]",
            "0b1",
            "5 # x\npartitions = y",
            "1e1",
            "65536",
            "5 6",
            "\u{665}",
            "",
            "+",
            "++3",
            "+ 3",
            "--1",
        ] {
            let (layers, _) = read_all(&format!("[DEFAULT]\npartitions = {text}\n"));
            assert_eq!(layers.problems.len(), 1, "{text}: {:?}", layers.problems);
        }
    }

    #[test]
    fn keys_of_the_collector_are_ignored_and_only_similar_ones_are_errors() {
        for name in OTHERS.split_whitespace() {
            assert_eq!(similar(&format!("DEFAULT.{name}")), None, "{name}");
        }
        let own = [
            "",
            "DEFAULT.",
            "COLLECTOR.port",
            "COLLECTOR.kafka_prefix",
            "COLLECTOR.structured_syslog_kafka_partitions",
            "STRUCTURED_SYSLOG_COLLECTOR.kafka_broker_list",
            "STRUCTURED_SYSLOG_COLLECTOR.kafka_partitions",
            "API_SERVER.api_server_list",
            "CASSANDRA.cassandra_user",
            "DEFAULT.; partitions",
        ];
        for key in own {
            assert_eq!(similar(key), None, "{key}");
        }
        let near = [
            ("DEFAULT.partition", PARTITIONS),
            ("DEFAULTS.partitions", PARTITIONS),
            ("partitions", PARTITIONS),
            ("default.Uve-Proxy-List", PROXY_LIST),
            (" DEFAULT .uve proxy list", PROXY_LIST),
            ("DEFAULT.proxy_list", PROXY_LIST),
            ("DEFAULT.DEFAULT.kafka_broker_list", BROKERS),
            ("kafka_brokers_list", BROKERS),
            ("DEFAULT.http_serverport", PORT),
            ("KAFKA.kafka_broker_list", BROKERS),
        ];
        for (key, meant) in near {
            assert_eq!(similar(key), Some(meant), "{key}");
        }
    }
}
