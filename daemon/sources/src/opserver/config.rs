//! `[opserver]`: Contrail's analytics API, polled for samples where collectors publish none to Kafka.

use std::path::PathBuf;
use std::time::Duration;

use daemon_base::outbound::TlsFileProblem;
use daemon_base::setting::address::{has_tls, server};
use daemon_base::setting::{duration, list};
use serde::Deserialize;

/// The default port of the analytics API.
pub const PORT: u16 = 8081;

/// The section `[opserver]`.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct OpserverConfig {
    /// The analytics API servers, as `host:port`, `http://host:port` or `https://host:port`, in a list or in one text
    /// separated by blanks or commas; port 8081 if none is given. Default none: nothing is polled. All have the same
    /// data: one is polled at a time, and the next one after a failure.
    #[serde(deserialize_with = "list::deserialize")]
    pub servers: Vec<String>,
    /// The types of UVE that are requested for the configured streams, in a list or in one text. Default
    /// `["virtual-network"]`. Change it for streams of other objects.
    #[serde(deserialize_with = "list::deserialize")]
    pub uve_types: Vec<String>,
    /// The poll interval. Default `"60s"`, the period of the built-in proxy types; `"1s"` to `"1d"`. With `samples = "all"` it
    /// should be the period: twice as often makes sums twice as large.
    #[serde(deserialize_with = "duration::deserialize")]
    pub interval: Duration,
    /// How long one request may take in all. Default `"10s"`, `"100ms"` to `"1h"`.
    #[serde(deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The largest answer in bytes; with a larger one the poll fails. Default 64 MiB, from 1 to 1 GiB.
    pub max_body_bytes: usize,
    /// Which values become samples. Default `"changes"`.
    pub samples: PolledSamples,
    /// Modules, such as `contrail-vrouter-agent`, whose generators are requested one by one, so that samples carry
    /// their source; in a list or in one text. Default none: one request for all, and the answer has the sums over the
    /// sources. It costs the API one request for each generator.
    #[serde(deserialize_with = "list::deserialize")]
    pub modules: Vec<String>,
    /// The user for HTTP's basic authentication. Default unset: none is sent.
    pub user: Option<String>,
    /// A file that holds that user's password and nothing else; a line break at its end is dropped. Default unset.
    pub password_file: Option<PathBuf>,
    /// A PEM file with further trusted certificate authorities, for servers with https. Default unset: only the
    /// authorities of the system.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate that the poller shows to servers with https. Default unset: none.
    pub certificate_file: Option<PathBuf>,
    /// A PEM file with the private key of the certificate, without a password. Default unset.
    pub key_file: Option<PathBuf>,
}

daemon_base::has_tls_files!(OpserverConfig);

impl OpserverConfig {
    /// Returns what is wrong with the files of TLS, each with its key and the remedy.
    pub fn tls_problems(&self) -> Vec<TlsFileProblem> {
        self.tls_files().problems(self.has_tls(), "no server of opserver.servers has https; write https://host:port")
    }

    /// Whether a server is reached by TLS.
    pub fn has_tls(&self) -> bool {
        has_tls(&self.servers)
    }

    /// Whether the password goes to another machine without encryption.
    pub fn sends_secret_in_clear(&self) -> bool {
        let in_clear = |text: &String| server(text, PORT).is_ok_and(|server| !server.has_tls && !server.is_local());
        self.password_file.is_some() && self.servers.iter().any(in_clear)
    }
}

impl Default for OpserverConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            uve_types: vec!["virtual-network".to_owned()],
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            max_body_bytes: 64 * 1024 * 1024,
            samples: PolledSamples::default(),
            modules: Vec::new(),
            user: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

/// Which values of a poll become samples.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum PolledSamples {
    /// All of them: the sum of a period is what the sources had.
    All,
    /// Those that differ from the poll before: a value that stays the same is not a sample and missing in the sum.
    #[default]
    Changes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_to_another_machine_without_tls_is_in_clear_and_files_without_tls_are_useless() {
        for (server, in_clear) in
            [("a", true), ("http://10.0.0.5", true), ("https://a", false), ("localhost", false), ("[::1]:8081", false)]
        {
            let text = format!("servers = [{server:?}]\nuser = \"u\"\npassword_file = \"p\"\nca_file = \"c\"");
            let section: OpserverConfig = toml::from_str(&text).unwrap();
            assert_eq!(section.sends_secret_in_clear(), in_clear, "{server}");
            let keys: Vec<_> = section.tls_problems().into_iter().map(|(key, _)| key).collect();
            assert_eq!(keys.is_empty(), server.starts_with("https"), "{server}: {keys:?}");
        }
    }

    #[test]
    fn servers_are_a_list_or_a_text() {
        for servers in [r#"["a:1", "b:2"]"#, r#""a:1 b:2""#, r#"" a:1,\tb:2,""#] {
            let section: OpserverConfig = toml::from_str(&format!("servers = {servers}")).unwrap();
            assert_eq!(section.servers, ["a:1", "b:2"], "{servers}");
        }
        assert_eq!(toml::from_str::<OpserverConfig>("servers = \"\"").unwrap().servers, [""; 0]);
        assert!(toml::from_str::<OpserverConfig>("servers = 8081").is_err());
    }
}
