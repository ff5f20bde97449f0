//! A sink that posts results to a webhook, as JSON in batches.
//!
//! ```json
//! {"version":1,"results":[{"key":"T:a","uve":"AggProxySum-A-b","start":0,"end":60,"data":{"deleted":false,"proxy":"A-b","value":{"value":36}}}]}
//! ```
//!
//! The results have the form of [`daemon_results::line`]. A process that is killed sends its last request again, with the
//! same results in front; `key`, `uve`, `start` and `end` together name a result. A request is signed as those of the
//! alarms' webhook: `x-derived-statsd-signature` is the HMAC-SHA256 of time, dot and body.

mod batch;
mod config;

use std::sync::Arc;

use daemon_base::clock::Clock;
use daemon_base::setting::Secret;
use daemon_base::stop::Stop;

use self::batch::Batch;
use crate::Sink;
use crate::endpoint::{signing_key, tls};
use crate::post::{PostSettings, PostSink, PostTelemetry};

pub use self::config::ResultsWebhookConfig;

/// The name of the sink, under which it stores its position.
pub const NAME: &str = "results_webhook";

/// The settings of the sink.
#[derive(Clone)]
pub struct ResultsWebhookSettings {
    post: PostSettings,
    secret: Option<Secret>,
}

impl ResultsWebhookSettings {
    /// Reads the settings from a section; `None` if it has no URL.
    ///
    /// # Errors
    ///
    /// If a file of a key cannot be read or has invalid content.
    pub fn new(section: &ResultsWebhookConfig) -> anyhow::Result<Option<Self>> {
        let Some(url) = &section.url else { return Ok(None) };
        let ca_file = "sinks.results_webhook.ca_file";
        let post = PostSettings {
            name: NAME,
            settings: "sinks.results_webhook.url and its secret",
            ca_file,
            url: url.clone(),
            timeout: section.timeout,
            tls: tls(url, &section.tls_files(), "sinks.results_webhook")?,
            max_items: section.batch_results,
            max_bytes: section.batch_bytes,
            flush_interval: section.flush_interval,
            refusal_timeout: section.refusal_timeout,
            ends_server_errors: false,
        };
        let file = section.secret_file.as_deref();
        let secret = signing_key(section.secret.as_ref(), file, "sinks.results_webhook")?;
        Ok(Some(Self { post, secret }))
    }
}

impl std::fmt::Debug for ResultsWebhookSettings {
    // The URL may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultsWebhookSettings").finish_non_exhaustive()
    }
}

/// A sink that posts results. It ends a wait or a request when `stop` is set.
pub fn sink(
    settings: ResultsWebhookSettings,
    clock: Arc<dyn Clock>,
    telemetry: PostTelemetry,
    stop: Stop,
) -> impl Sink {
    let ResultsWebhookSettings { post, secret } = settings;
    PostSink::new(post, Batch::new(secret), clock, telemetry, stop)
}
