//! The settings of the OTLP sink, from its section of the configuration and the files in it.

use std::fmt;

use anyhow::Context as _;
use daemon_results::object_labels::ObjectLabels;

use super::NAME;
use super::config::{self, OtlpConfig};
use crate::endpoint::tls;
use crate::post::PostSettings;

/// The attribute by which backends know who sends.
const SERVICE_NAME: &str = "service.name";

/// Labels that Prometheus makes of the resource, in place of attributes with these names:
/// <https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#resource-attributes-1>
const OF_RESOURCE: [&str; 2] = ["instance", "job"];

/// The settings of the OTLP sink.
#[derive(Clone)]
pub struct OtlpSettings {
    pub(super) post: PostSettings,
    /// The headers of every request.
    pub(super) headers: Vec<(&'static str, String)>,
    /// The attributes of the resource.
    pub(super) attributes: Vec<(String, String)>,
    /// The labels that make the names of objects.
    pub(super) objects: ObjectLabels,
}

impl OtlpSettings {
    /// Reads the settings from a section; `None` if it has no server.
    ///
    /// # Errors
    ///
    /// If a key is invalid, or a file of a key cannot be read or has invalid content.
    pub fn new(section: &OtlpConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let ca_file = "sinks.otlp.ca_file";
        let tls = tls(url, &section.tls_files(), "sinks.otlp")?;
        let attributes = config::attributes(&section.attributes);
        let mut attributes = attributes.map_err(anyhow::Error::msg).context("sinks.otlp.attributes")?;
        if attributes.iter().all(|(name, _)| name != SERVICE_NAME) {
            attributes.insert(0, (SERVICE_NAME.to_owned(), "derived-statsd".to_owned()));
        }
        let mut headers =
            vec![("content-type", "application/x-protobuf".to_owned()), ("content-encoding", "gzip".to_owned())];
        headers.extend(section.credentials().headers("sinks.otlp")?);
        let post = PostSettings {
            name: NAME,
            settings: "sinks.otlp.url, its credentials and sinks.otlp.tenant",
            ca_file,
            url: url.clone(),
            timeout: section.timeout,
            tls,
            max_items: section.batch_points,
            max_bytes: section.batch_bytes,
            flush_interval: section.flush_interval,
            refusal_timeout: section.refusal_timeout,
            ends_server_errors: true,
        };
        Ok(Some(Self { post, headers, attributes, objects: ObjectLabels::default() }))
    }

    /// The same, with the labels that make the names of objects.
    #[must_use]
    pub fn with_objects(self, objects: ObjectLabels) -> Self {
        let own = self.attributes.iter().map(|(name, _)| name.as_str());
        let objects = objects.without(own.chain(OF_RESOURCE));
        Self { objects, ..self }
    }
}

impl fmt::Debug for OtlpSettings {
    // The headers have secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpSettings").field("attributes", &self.attributes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_an_object_that_the_resource_has_is_shown_with_another_name() {
        let section = toml::from_str("url = \"http://a/v1/metrics\"\nattributes = [\"site=x\"]").unwrap();
        let objects = ObjectLabels::new([("s", "T", ["job", "site", "env"])]);
        let settings = OtlpSettings::new(&section).unwrap().unwrap().with_objects(objects);
        let labels = settings.objects.of("s", "T", "a,b,c");
        assert_eq!(labels, [("exported_job", "a".into()), ("exported_site", "b".into()), ("env", "c".into())]);
    }

    #[test]
    fn a_request_has_the_headers_of_the_specification_and_the_service_its_name() {
        let of = |text: &str| {
            let section = toml::from_str(&format!("url = \"http://a/v1/metrics\"\n{text}")).unwrap();
            OtlpSettings::new(&section).unwrap().unwrap()
        };
        let settings = of("token = \"hunter2\"\nattributes = [\"site=a=b\"]");
        let header = |name: &str| settings.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| &**value);
        assert_eq!(header("content-type"), Some("application/x-protobuf"));
        assert_eq!(header("content-encoding"), Some("gzip"));
        assert_eq!(header("authorization"), Some("Bearer hunter2"));
        assert!(!format!("{settings:?}").contains("hunter2"));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(settings.attributes, [pair("service.name", "derived-statsd"), pair("site", "a=b")]);
        assert_eq!(of("attributes = [\"service.name=x\"]").attributes, [pair("service.name", "x")]);
        assert!(OtlpSettings::new(&OtlpConfig::default()).unwrap().is_none(), "without a url it is off");
    }
}
