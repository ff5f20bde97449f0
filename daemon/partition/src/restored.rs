//! The outcome of a partition's last restore: the states kept, dropped and started anew, for the log and the status.

use daemon_log::PartitionId;
use proxy_uve::RestoreReport;
use serde_json::{Value, json};
use tracing::{info, warn};

/// The outcome of a restore: a [`RestoreReport`] as text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct RestoredStates {
    /// The number of states that continue.
    pub kept: usize,
    /// States that no proxy type of the configuration continues.
    pub dropped: Vec<String>,
    /// States that start anew, because they were not saved or cannot be read.
    pub started: Vec<String>,
}

impl RestoredStates {
    /// Logs one line for the partition: a warning if a state was dropped or started anew.
    pub fn log(&self, partition: PartitionId, stream: &str) {
        let Self { kept, dropped, started } = self;
        if dropped.is_empty() && started.is_empty() {
            info!(%partition, %stream, kept, "The saved state was restored.");
            return;
        }
        let (dropped, started) = (dropped.join(", "), started.join(", "));
        warn!(
            %partition, %stream, kept, %dropped, %started,
            "The configuration changed since the state was saved: states that no proxy type continues were dropped, and \
             states that were not saved start anew."
        );
    }

    /// The JSON of the partitions API.
    pub fn to_json(&self) -> Value {
        let Self { kept, dropped, started } = self;
        json!({ "kept": kept, "dropped": dropped, "started": started })
    }
}

impl From<&RestoreReport> for RestoredStates {
    fn from(report: &RestoreReport) -> Self {
        Self {
            kept: report.kept().count(),
            dropped: report.dropped().map(ToString::to_string).collect(),
            started: report.started().map(ToString::to_string).collect(),
        }
    }
}
