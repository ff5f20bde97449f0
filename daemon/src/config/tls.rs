//! The files of TLS that the sections of a configuration name.

use std::path::PathBuf;

use daemon_base::outbound::ClientTlsFiles;
use daemon_base::setting::address::has_tls;
use daemon_kafka::KafkaConfig;

use crate::config::Config;

/// The sections whose clients use TLS, each with its files.
pub(crate) fn clients(config: &Config) -> Vec<(&'static str, ClientTlsFiles)> {
    let sinks = &config.sinks;
    let posts = [
        ("sinks.alertmanager", &sinks.alertmanager.url, sinks.alertmanager.tls_files()),
        ("sinks.influxdb", &sinks.influxdb.url, sinks.influxdb.tls_files()),
        ("sinks.otlp", &sinks.otlp.url, sinks.otlp.tls_files()),
        ("sinks.remote_write", &sinks.remote_write.url, sinks.remote_write.tls_files()),
        ("sinks.results_webhook", &sinks.results_webhook.url, sinks.results_webhook.tls_files()),
        ("sinks.webhook", &sinks.webhook.url, sinks.webhook.tls_files()),
    ];
    let posts = posts.into_iter().map(|(section, url, files)| (section, has_tls(url), files));
    let kafka = &config.kafka;
    let others = [
        ("contiv", config.contiv.has_tls(), config.contiv.tls_files()),
        ("kafka", kafka.has_tls(), of_kafka(kafka)),
        ("opserver", config.opserver.has_tls(), config.opserver.tls_files()),
        ("sinks.redis", sinks.redis.has_tls(), sinks.redis.tls_files()),
    ];
    let all = others.into_iter().chain(posts).filter(|(_, has_tls, _)| *has_tls);
    all.map(|(section, _, files)| (section, files)).collect()
}

/// The files of Kafka that have the form of the others: librdkafka also takes a directory of authorities, and a key with a
/// password.
fn of_kafka(section: &KafkaConfig) -> ClientTlsFiles {
    let ClientTlsFiles { ca, certificate, key } = section.tls_files();
    let has_password = section.key_password.is_some();
    ClientTlsFiles { ca: ca.filter(|path| !path.is_dir()), certificate, key: key.filter(|_| !has_password) }
}

/// Checks the files of a section as they are now; librdkafka would wait for a pipe.
///
/// # Errors
///
/// The key of a file that cannot be used, and why.
pub(crate) fn check(config: &Config, section: &str) -> anyhow::Result<()> {
    let files = clients(config).into_iter().find(|(found, _)| *found == section);
    let checked = files.map_or(Ok(()), |(_, files)| files.read().map(drop));
    checked.map_err(|(key, problem)| anyhow::anyhow!("{section}.{key}: {problem}"))
}

/// The certificates that the daemon shows to clients and servers: the setting of each, its file, and whether it is a
/// server's, which reads a new file by itself.
pub(crate) fn own_certificates(config: &Config) -> Vec<(String, PathBuf, bool)> {
    let listeners = config.http.listeners.iter().zip(1..);
    let listeners = listeners.filter_map(|(listener, number): (_, usize)| {
        let tls = listener.tls.as_ref()?;
        Some((format!("http.listeners {number}"), tls.certificate.clone()))
    });
    let contiv = config.contiv.listen_tls.iter();
    let contiv = contiv.map(|tls| ("contiv.listen_tls".to_owned(), tls.certificate.clone()));
    let shown = clients(config).into_iter();
    let shown = shown.filter_map(|(section, files)| Some((format!("{section}.certificate_file"), files.certificate?)));
    let own = |is_servers| move |(setting, path)| (setting, path, is_servers);
    listeners.chain(contiv).map(own(true)).chain(shown.map(own(false))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_section_with_files_of_tls_is_listed_while_it_uses_tls() {
        let with_files: Vec<_> =
            keys::all().into_iter().filter_map(|key| key.strip_suffix(".ca_file").map(str::to_owned)).collect();
        assert!(with_files.len() >= 10, "{with_files:?}");
        let text = "contiv.netplugin_tls = true\nkafka.security = \"ssl\"\nopserver.servers = \"https://a\"\n\
                    sinks.redis.url = \"rediss://a\"\n";
        let sinks = with_files.iter().filter(|section| section.starts_with("sinks.") && *section != "sinks.redis");
        let urls: String = sinks.map(|section| format!("{section}.url = \"https://a\"\n")).collect();
        let config: Config = toml::from_str(&format!("{text}{urls}")).unwrap();
        let mut found: Vec<_> = clients(&config).into_iter().map(|(section, _)| section.to_owned()).collect();
        found.sort_unstable();
        let mut expected = with_files;
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(clients(&Config::default()), []);
    }

    #[test]
    fn the_certificates_of_listeners_and_of_clients_are_found() {
        let text = "contiv.listen_tls = { certificate = \"/c\", key = \"k\" }\nopserver.servers = \"https://a\"\n\
                    opserver.certificate_file = \"/o\"\n[[http.listeners]]\naddress = \"[::1]:1\"\n\
                    [[http.listeners]]\naddress = \"[::1]:2\"\ntls = { certificate = \"/l\", key = \"k\" }\n";
        let found = own_certificates(&toml::from_str(text).unwrap());
        let expected = [
            ("http.listeners 2", "/l", true),
            ("contiv.listen_tls", "/c", true),
            ("opserver.certificate_file", "/o", false),
        ];
        let own =
            |(setting, path, is_servers): (&str, &str, bool)| (setting.to_owned(), PathBuf::from(path), is_servers);
        assert_eq!(found, expected.map(own));
    }
}
