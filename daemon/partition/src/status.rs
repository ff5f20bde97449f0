//! The status of the partitions, on either log: what `GET /api/v1/partitions` answers.

use std::collections::BTreeMap;

use proxy_uve::{Fate, Fates};
use serde_json::{Map, Value, json};

use crate::RestoredStates;

/// The state of a partition's table, as its worker last published it.
#[derive(Clone, Debug, Default)]
pub struct TableStatus {
    /// The stream, `Struct-attribute`.
    pub stream: String,
    /// The next offset to apply, by input partition; one that has shown no record yet is not in it.
    pub cursors: BTreeMap<u16, u64>,
    /// A window is closing; its results come with the next records, or soon if none come.
    pub closing: bool,
    /// Objects with state.
    pub objects: usize,
    /// Event time up to which windows are closed, in microseconds since the epoch.
    pub watermark: u64,
    /// How many records had which outcome.
    pub fates: Fates,
    /// What the last restore did; `None` for a partition that had no saved state, or none that could be used.
    pub restored: Option<RestoredStates>,
}

/// The status of one partition of an input.
#[derive(Clone, Debug, Default)]
pub struct PartitionStatus {
    /// The stream, `Struct-attribute`.
    pub stream: String,
    /// The number of the partition within the stream.
    pub partition: u16,
    /// The worker that owns it, among all of a group; `None` if no worker does, or if all are in this process.
    pub owner: Option<String>,
    /// The next offset to apply.
    pub cursor: u64,
    /// Records in the log that are not applied.
    pub lag: u64,
    /// Event time up to which windows are closed, in microseconds since the epoch.
    pub watermark: u64,
    /// Objects with state.
    pub objects: u64,
    /// What only the owning process knows; `None` in every other process.
    pub table: Option<TableStatus>,
}

impl PartitionStatus {
    /// As the API shows it.
    pub fn to_json(&self) -> Value {
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
        if let Some(table) = &self.table {
            let counts = Fate::ALL.iter().map(|&fate| (fate.name().to_owned(), table.fates.count(fate).into()));
            shown["closing"] = table.closing.into();
            shown["records"] = counts.collect::<Map<_, _>>().into();
            if let Some(restored) = &table.restored {
                shown["restored"] = restored.to_json();
            }
        }
        shown
    }
}

/// Answers with the status of the partitions.
pub trait StatusSource: Send + Sync {
    /// All partitions, in order.
    ///
    /// # Errors
    ///
    /// When the brokers do not answer, or not all partitions are restored yet.
    fn partitions(&self) -> anyhow::Result<Vec<PartitionStatus>>;
}
