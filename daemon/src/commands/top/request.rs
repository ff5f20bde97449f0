//! The request `GET /api/v1/partitions` and its response.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use daemon_base::clock::{Clock, micros};
use proxy_uve::Fate;
use serde::Deserialize;

use crate::commands::client::{self, ClientOptions};

/// The path of the request.
const PATH: &str = "/api/v1/partitions";

/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The partition status of one response.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The time of the response, in monotonic microseconds.
    pub at: u64,
    pub rows: Vec<Row>,
}

/// The status of a partition, as in the response.
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
    /// Present only on Kafka, for a topic that has grown: the partition that shows the objects.
    pub shard: Option<u16>,
    /// How old the offsets are; present only on Kafka.
    pub age_seconds: Option<u64>,
    /// Present only if the responding daemon owns the partition.
    pub closing: Option<bool>,
    /// The number of records by outcome; present only if the responding daemon owns the partition.
    pub records: Option<BTreeMap<String, u64>>,
}

impl Row {
    /// The number of records that do not count, duplicates aside; `None` if the response has none.
    pub(super) fn dropped(&self) -> Option<u64> {
        let counted = [Fate::Aggregated, Fate::Duplicate].map(Fate::name);
        let dropped = |records: &BTreeMap<String, u64>| {
            let dropped = records.iter().filter(|(outcome, _)| !counted.contains(&outcome.as_str()));
            dropped.map(|(_, count)| *count).fold(0, u64::saturating_add)
        };
        self.records.as_ref().map(dropped)
    }

    /// Whether a worker owns the partition: one of the group, or one of the only daemon.
    pub(super) fn is_owned(&self) -> bool {
        self.owner.is_some() || self.closing.is_some()
    }
}

/// The client of the daemon's API.
pub(super) struct Client {
    client: client::Client,
    url: String,
}

impl Client {
    /// A client for the daemon at `base`, such as `http://127.0.0.1:8081`; it sends no request.
    ///
    /// # Errors
    ///
    /// When a file of the client cannot be used.
    pub(super) fn new(base: &str, options: &ClientOptions) -> anyhow::Result<Self> {
        let base = base.trim_end_matches('/');
        Ok(Self { client: options.client(base, Some(TIMEOUT))?, url: format!("{base}{PATH}") })
    }

    /// Sends one request.
    ///
    /// # Errors
    ///
    /// Fails if there is no response, or not one of this API.
    pub(super) fn poll(&self, clock: &dyn Clock) -> anyhow::Result<Snapshot> {
        let mut answer = self.client.get(PATH)?;
        let status = answer.status();
        let body = answer.body_mut().read_to_string().with_context(|| format!("no answer from {}", self.url))?;
        let at = micros(clock.monotonic());
        anyhow::ensure!(status.is_success(), self.client.refusal(PATH, status, &body));
        let rows = serde_json::from_str(&body);
        let rows =
            rows.with_context(|| format!("the response of {} is not that of a daemon; check --url", self.url))?;
        Ok(Snapshot { at, rows })
    }
}
