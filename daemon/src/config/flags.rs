//! The source for flags of the command line.

use daemon_base::setting::without_path;

use super::effective::has_secret_path;
use super::keys;
use super::layers::Layers;
use super::problem::SourceLocation;

/// Merges `--set KEY=VALUE` and `--DEFAULT.uve_proxy_list LIST` into `layers`.
pub(super) fn read(set: &[String], uve_proxy_list: &[String], layers: &mut Layers) {
    for flag in set {
        match flag.split_once('=') {
            Some((key, value)) => layers.set_text(key.trim(), value, SourceLocation::Flag("--set")),
            None => layers.add_problem(
                SourceLocation::Flag("--set"),
                format!("expected KEY=VALUE such as `http.listen=127.0.0.1:9000`, found `{flag}`"),
            ),
        }
    }
    if !uve_proxy_list.is_empty() {
        let list = uve_proxy_list.join(" ");
        layers.set_text("aggregation.uve_proxy_list", &list, SourceLocation::Flag("--DEFAULT.uve_proxy_list"));
    }
}

/// What is risky in `--set KEY=VALUE`: a secret among the arguments. No value is in the text.
pub(super) fn notices(set: &[String]) -> Vec<String> {
    let (secrets, all) = (keys::secrets(), keys::all());
    let notice = |flag: &String| {
        let (key, value) = flag.split_once('=')?;
        let key = key.trim();
        let of_kafka = key == "kafka.properties" && ["password", "secret"].iter().any(|part| value.contains(part));
        // A URL of a server alone, such as that of Redis, has nothing to hide.
        let in_url = has_secret_path(key) && without_path(value) != value;
        if !secrets.iter().any(|secret| secret == key) && !of_kafka && !in_url {
            return None;
        }
        let variable = format!("DERIVED_STATSD_{}", key.to_uppercase().replace('.', "__"));
        let file = format!("{key}_file");
        let file = if all.contains(&file) { format!("`{file}`, ") } else { String::new() };
        Some(notice!(
            "--set {key}: the arguments of a process can be read by every user of the machine; set {file}the variable \
             {variable}, or the key in the configuration file"
        ))
    };
    set.iter().filter_map(notice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_among_the_arguments_is_named_without_its_value() {
        let cases = [
            ("sinks.influxdb.password=hunter2", Some("set `sinks.influxdb.password_file`, the variable")),
            ("kafka.properties=sasl.password=hunter2", Some("DERIVED_STATSD_KAFKA__PROPERTIES")),
            ("sinks.webhook.url=https://a/hunter2", Some("DERIVED_STATSD_SINKS__WEBHOOK__URL")),
            ("sinks.alertmanager.other_urls=http://a/hunter2", Some("DERIVED_STATSD_SINKS__ALERTMANAGER__OTHER_URLS")),
            ("sinks.otlp.url=http://a/hunter2", Some("DERIVED_STATSD_SINKS__OTLP__URL")),
            ("sinks.redis.url=redis://a:6379", None),
            ("kafka.properties=linger.ms=5", None),
            ("sinks.influxdb.password_file=/a", None),
            ("http.listen=127.0.0.1:1", None),
        ];
        for (flag, expected) in cases {
            let found = notices(&[flag.to_owned()]);
            match expected {
                Some(expected) => assert!(found.len() == 1 && found[0].contains(expected), "{flag}: {found:?}"),
                None => assert_eq!(found, [""; 0], "{flag}"),
            }
            assert!(!found.concat().contains("hunter2"), "{found:?}");
        }
    }
}
