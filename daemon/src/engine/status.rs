//! The status of the partitions of the embedded log.

use std::sync::Arc;

use daemon_log::{PartitionId, PartitionLog};
use daemon_partition::{PartitionStatus, StatusSource, TableStatus, WorkerTelemetry};

/// The status of the partitions of a log that only this process works on.
pub(super) struct LocalStatus {
    pub(super) log: Arc<dyn PartitionLog>,
    pub(super) telemetry: Arc<WorkerTelemetry>,
    /// How many there are. Until all are restored the answer is an error: a caller that waits for lag 0 would take some
    /// for all.
    pub(super) partitions: usize,
}

impl StatusSource for LocalStatus {
    fn partitions(&self) -> anyhow::Result<Vec<PartitionStatus>> {
        let partition = |(id, table): (PartitionId, TableStatus)| {
            let cursor = table.cursors.get(&id.partition).copied().unwrap_or(0);
            let next = self.log.bounds(id).map_or(cursor, |bounds| bounds.next);
            PartitionStatus {
                stream: table.stream.clone(),
                partition: id.partition,
                owner: None,
                cursor,
                lag: next.saturating_sub(cursor),
                watermark: table.watermark,
                objects: table.objects as u64,
                shard: None,
                age: None,
                table: Some(table),
            }
        };
        let known = self.telemetry.tables();
        anyhow::ensure!(
            known.len() >= self.partitions,
            "{} of {} partitions are restored; `GET /readyz` returns 200 when all are",
            known.len(),
            self.partitions
        );
        Ok(known.into_iter().map(partition).collect())
    }
}

#[cfg(test)]
mod tests {

    use daemon_log::{EmbeddedLog, LogConfig};

    use super::*;

    #[test]
    fn there_is_no_answer_before_all_partitions_are_restored() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EmbeddedLog::open(directory.path(), LogConfig::default()).unwrap());
        let telemetry: Arc<WorkerTelemetry> = Arc::default();
        let local = LocalStatus { log, telemetry: Arc::clone(&telemetry), partitions: 2 };
        telemetry.set_table(PartitionId::new(0, 0), TableStatus::default());
        let error = local.partitions().unwrap_err();
        assert_eq!(error.to_string(), "1 of 2 partitions are restored; `GET /readyz` returns 200 when all are");
        telemetry.set_table(PartitionId::new(0, 1), TableStatus::default());
        assert_eq!(local.partitions().unwrap().len(), 2);
    }
}
