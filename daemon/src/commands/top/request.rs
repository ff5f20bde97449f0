//! One answer of `GET /api/v1/partitions`, and when it came.

use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::{Clock, micros};
use serde::Deserialize;

/// How long the daemon may take: it may have to ask Kafka first.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was answered.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Monotonic microseconds.
    pub at: u64,
    pub rows: Vec<Row>,
}

/// A partition, as the API shows it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Row {
    pub stream: String,
    pub partition: u16,
    pub owner: Option<String>,
    pub cursor: u64,
    pub lag: u64,
    /// Event time in microseconds since the epoch; 0 before the first record.
    pub watermark: u64,
    pub objects: u64,
    /// Only the daemon that works on it knows.
    pub closing: Option<bool>,
}

impl Row {
    /// Whether somebody works on it: a worker of the group, or the only daemon there is.
    pub(super) fn is_owned(&self) -> bool {
        self.owner.is_some() || self.closing.is_some()
    }
}

/// Where to ask.
pub(super) struct Source {
    agent: ureq::Agent,
    url: String,
}

impl Source {
    /// Asks nothing yet. `base` is a daemon's address, such as `http://127.0.0.1:8081`.
    pub(super) fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let url = format!("{}/api/v1/partitions", base.trim_end_matches('/'));
        Self { agent: config.build().new_agent(), url }
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// When there is no answer, or another than that of this API.
    pub(super) fn look(&self, clock: &dyn Clock) -> anyhow::Result<Look> {
        let answer = self.agent.get(&self.url).call();
        let mut answer = answer.with_context(|| format!("no answer from {}", self.url))?;
        let status = answer.status();
        let body = answer.body_mut().read_to_string().with_context(|| format!("no answer from {}", self.url))?;
        let at = micros(clock.monotonic());
        anyhow::ensure!(status.is_success(), "{} answers {status}: {}", self.url, body.trim());
        let rows = serde_json::from_str(&body);
        let rows = rows.with_context(|| format!("{} answers otherwise than a daemon; check --url", self.url))?;
        Ok(Look { at, rows })
    }
}
