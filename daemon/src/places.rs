//! The status of the partitions, on either log: what `GET /api/v1/partitions` answers.

use std::sync::Arc;

use daemon_log::PartitionLog;
use proxy_uve::{Fate, Fates};
use serde_json::{Map, Value, json};

use crate::restored::RestoredStates;
use crate::telemetry::Telemetry;

/// One partition of an input.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub stream: String,
    pub partition: u16,
    /// The worker that has it, among all of a group; `None` if nobody does, or if all are in this process.
    pub owner: Option<String>,
    /// The next offset to apply.
    pub cursor: u64,
    /// Records that are there and not applied.
    pub lag: u64,
    /// Microseconds since the epoch.
    pub watermark: u64,
    pub objects: u64,
    /// What only the worker itself knows; `None` if it is in another process.
    pub own: Option<Own>,
}

/// What the process knows of a partition that is its own.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    /// A window is closing.
    pub closing: bool,
    pub fates: Fates,
    /// What the last restore did.
    pub restored: Option<RestoredStates>,
}

impl Place {
    /// As the API shows it.
    pub(crate) fn to_json(&self) -> Value {
        let mut shown = json!({
            "stream": self.stream,
            "partition": self.partition,
            "cursor": self.cursor,
            "lag": self.lag,
            "watermark": self.watermark,
            "objects": self.objects,
        });
        if let Some(owner) = &self.owner {
            shown["owner"] = owner.as_str().into();
        }
        if let Some(Own { closing, fates, restored }) = &self.own {
            let counts = Fate::ALL.iter().map(|&fate| (fate.name().to_owned(), fates.count(fate).into()));
            shown["closing"] = (*closing).into();
            shown["records"] = counts.collect::<Map<_, _>>().into();
            if let Some(restored) = restored {
                shown["restored"] = restored.to_json();
            }
        }
        shown
    }
}

/// Knows where the partitions stand.
pub(crate) trait Places: Send + Sync {
    /// All of them, in order.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer.
    fn places(&self) -> anyhow::Result<Vec<Place>>;
}

/// The partitions of a log that nobody else works on.
pub(crate) struct LocalPlaces {
    pub log: Arc<dyn PartitionLog>,
    pub telemetry: Arc<Telemetry>,
    /// How many there are. Until all are restored nothing is told: who waits for lag 0 would take some for all.
    pub partitions: usize,
}

impl Places for LocalPlaces {
    fn places(&self) -> anyhow::Result<Vec<Place>> {
        let place = |(id, status): (daemon_log::PartitionId, crate::telemetry::PartitionStatus)| {
            let next = self.log.bounds(id).map_or(status.cursor, |bounds| bounds.next);
            Place {
                stream: status.stream,
                partition: id.partition,
                owner: None,
                cursor: status.cursor,
                lag: next.saturating_sub(status.cursor),
                watermark: status.watermark,
                objects: status.objects as u64,
                own: Some(Own { closing: status.closing, fates: status.fates, restored: status.restored }),
            }
        };
        let known = self.telemetry.partitions();
        anyhow::ensure!(
            known.len() >= self.partitions,
            "{} of {} partitions are restored; `GET /readyz` tells when all are",
            known.len(),
            self.partitions
        );
        Ok(known.into_iter().map(place).collect())
    }
}

#[cfg(test)]
mod tests {
    use daemon_log::{EmbeddedLog, LogConfig, PartitionId};

    use super::*;
    use crate::telemetry::PartitionStatus;

    #[test]
    fn nothing_is_told_before_all_partitions_are_restored() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        let telemetry: Arc<Telemetry> = Arc::default();
        let local = LocalPlaces { log, telemetry: Arc::clone(&telemetry), partitions: 2 };
        telemetry.set_partition(PartitionId::new(0, 0), PartitionStatus::default());
        let error = local.places().unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 partitions are restored; `GET /readyz` tells when all are");
        telemetry.set_partition(PartitionId::new(0, 1), PartitionStatus::default());
        assert_eq!(local.places().unwrap().len(), 2);
    }
}
