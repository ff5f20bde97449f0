//! The settings of the remote write sink, from its section of the configuration and the files in it.

use std::fmt;

use anyhow::Context as _;
use daemon_results::object_labels::ObjectLabels;

use super::NAME;
use super::config::{self, RemoteWriteConfig};
use crate::endpoint::tls;
use crate::post::PostSettings;

/// The settings of the remote write sink.
#[derive(Clone)]
pub struct RemoteWriteSettings {
    pub(super) post: PostSettings,
    /// The headers of every request.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The labels of every series.
    pub(super) labels: Vec<(String, String)>,
    /// The labels that make the names of objects.
    pub(super) objects: ObjectLabels,
}

impl RemoteWriteSettings {
    /// Reads the settings from a section; `None` if it has no server.
    ///
    /// # Errors
    ///
    /// If a key is invalid, or a file of a key cannot be read or has invalid content.
    pub fn new(section: &RemoteWriteConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let ca_file = "sinks.remote_write.ca_file";
        let tls = tls(url, &section.tls_files(), "sinks.remote_write")?;
        let labels =
            config::labels(&section.labels).map_err(anyhow::Error::msg).context("sinks.remote_write.labels")?;
        let post = PostSettings {
            name: NAME,
            settings: "sinks.remote_write.url, its credentials and sinks.remote_write.tenant",
            ca_file,
            url: url.clone(),
            timeout: section.timeout,
            tls,
            max_items: section.batch_samples,
            max_bytes: section.batch_bytes,
            flush_interval: section.flush_interval,
            refusal_timeout: section.refusal_timeout,
            ends_server_errors: false,
        };
        Ok(Some(Self { post, headers: headers(section)?, labels, objects: ObjectLabels::default() }))
    }

    /// The same, with the labels that make the names of objects.
    #[must_use]
    pub fn with_objects(self, objects: ObjectLabels) -> Self {
        let objects = objects.without(self.labels.iter().map(|(name, _)| name.as_str()));
        Self { objects, ..self }
    }
}

fn headers(section: &RemoteWriteConfig) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut headers = vec![
        ("content-type", "application/x-protobuf".to_owned()),
        ("content-encoding", "snappy".to_owned()),
        ("x-prometheus-remote-write-version", "0.1.0".to_owned()),
    ];
    headers.extend(section.credentials().headers("sinks.remote_write")?);
    Ok(headers)
}

impl fmt::Debug for RemoteWriteSettings {
    // The headers have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteWriteSettings").field("labels", &self.labels).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_an_object_that_every_series_has_is_shown_with_another_name() {
        let section = toml::from_str("url = \"http://a/w\"\nlabels = [\"job=x\"]").unwrap();
        let objects = ObjectLabels::new([("s", "T", ["job", "env"])]);
        let settings = RemoteWriteSettings::new(&section).unwrap().unwrap().with_objects(objects);
        let labels = settings.objects.of("s", "T", "a,b");
        assert_eq!(labels, [("exported_job", "a".into()), ("env", "b".into())]);
    }

    #[test]
    fn a_request_has_the_headers_of_the_specification_and_the_credentials_which_are_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        let cases = [
            (String::new(), None),
            ("user = \"me\"\npassword = \"hunter2\"".to_owned(), Some("Basic bWU6aHVudGVyMg==")),
            (format!("user = \"me\"\npassword_file = {path:?}"), Some("Basic bWU6aHVudGVyMg==")),
            (format!("token_file = {path:?}\ntenant = \"a\""), Some("Bearer hunter2")),
        ];
        for (text, expected) in cases {
            let section = toml::from_str(&format!("url = \"http://a/w\"\n{text}")).unwrap();
            let settings = RemoteWriteSettings::new(&section).unwrap().unwrap();
            let header =
                |name: &str| settings.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str());
            assert_eq!(header("authorization"), expected, "{text}");
            assert_eq!(header("content-encoding"), Some("snappy"));
            assert_eq!(header("x-prometheus-remote-write-version"), Some("0.1.0"));
            assert_eq!(header("x-scope-orgid"), text.contains("tenant").then_some("a"));
            let shown = format!("{settings:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("bWU6"), "{shown}");
        }
        for token in ["two\nlines", "\n"] {
            std::fs::write(&path, token).unwrap();
            let section = toml::from_str(&format!("url = \"http://a/w\"\ntoken_file = {path:?}")).unwrap();
            let error = format!("{:#}", RemoteWriteSettings::new(&section).unwrap_err());
            assert!(error.contains("sinks.remote_write.token_file") && !error.contains("lines"), "{error}");
        }
        assert!(RemoteWriteSettings::new(&RemoteWriteConfig::default()).unwrap().is_none(), "without a url it is off");
    }
}
