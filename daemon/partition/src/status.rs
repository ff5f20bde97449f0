//! The status of the partitions, on either log: the response of `GET /api/v1/partitions`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use daemon_alarms::AlarmCounts;
use proxy_uve::{Fate, Fates};
use serde_json::{Map, Value, json};

use crate::RestoredStates;

/// The status of a partition's table, as its worker last published it.
#[derive(Clone, Debug, Default)]
pub struct TableStatus {
    /// The stream, `Struct-attribute`.
    pub stream: String,
    /// The next offset to apply, by input partition; without those that had no record yet.
    pub cursors: BTreeMap<u16, u64>,
    /// Whether a window is closing; its results follow with the next records, or soon without any.
    pub closing: bool,
    /// Objects with state.
    pub objects: usize,
    /// The names of the stream's proxy types.
    pub types: Arc<[String]>,
    /// Objects with a UVE of each of these types.
    pub objects_by_type: Vec<usize>,
    /// The size of the committed state; `None` if its log knows it.
    pub state_bytes: Option<u64>,
    /// Event time up to which windows are closed, in microseconds since the epoch.
    pub watermark: u64,
    /// The number of records by outcome.
    pub fates: Fates,
    /// The numbers of alarms.
    pub alarms: AlarmCounts,
    /// The outcome of the last restore; `None` for a partition without a usable saved state.
    pub restored: Option<RestoredStates>,
}

/// The status of one partition of an input.
#[derive(Clone, Debug, Default)]
pub struct PartitionStatus {
    /// The stream, `Struct-attribute`.
    pub stream: String,
    /// The number of the partition within the stream.
    pub partition: u16,
    /// The worker of the group that owns the partition; `None` if no worker does, or if all are in this process.
    pub owner: Option<String>,
    /// The next offset to apply.
    pub cursor: u64,
    /// The number of records in the log that are not applied.
    pub lag: u64,
    /// Event time up to which windows are closed, in microseconds since the epoch.
    pub watermark: u64,
    /// Objects with state.
    pub objects: u64,
    /// The shard that the records belong to, if the input topic has more partitions than there are shards. The partition
    /// with its number shows its objects and records.
    pub shard: Option<u16>,
    /// How old the offsets are; `None` if they are as of now.
    pub age: Option<Duration>,
    /// The status of the table; `None` in every process that is not the owner.
    pub table: Option<TableStatus>,
}

impl PartitionStatus {
    /// Whether objects and records are shown with this partition: a sum over all must count those of a shard once.
    fn is_counted(&self) -> bool {
        self.shard.is_none_or(|shard| shard == self.partition)
    }

    /// The JSON of the partitions API.
    pub fn to_json(&self) -> Value {
        let mut shown = json!({
            "stream": self.stream,
            "partition": self.partition,
            "cursor": self.cursor,
            "lag": self.lag,
            "watermark": self.watermark,
            "objects": if self.is_counted() { self.objects } else { 0 },
        });
        if let Some(shard) = self.shard {
            shown["shard"] = shard.into();
        }
        if let Some(age) = self.age {
            shown["age_seconds"] = age.as_secs().into();
        }
        if let Some(owner) = &self.owner {
            shown["owner"] = owner.as_str().into();
        }
        if let Some(table) = &self.table {
            let counts = Fate::ALL.iter().map(|&fate| (fate.name().to_owned(), table.fates.count(fate).into()));
            shown["closing"] = table.closing.into();
            if !self.is_counted() {
                return shown;
            }
            shown["records"] = counts.collect::<Map<_, _>>().into();
            if let Some(restored) = &table.restored {
                shown["restored"] = restored.to_json();
            }
        }
        shown
    }
}

/// A source of the status of all partitions.
pub trait StatusSource: Send + Sync {
    /// Returns the status of all partitions, in order.
    ///
    /// # Errors
    ///
    /// When no broker has responded yet, or not all partitions are restored yet.
    fn partitions(&self) -> anyhow::Result<Vec<PartitionStatus>>;

    /// Returns the daemons that share the log, as they were found last; `None` where one daemon has it alone.
    fn members(&self) -> Option<Vec<MemberStatus>> {
        None
    }
}

/// A daemon of a group.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemberStatus {
    /// Its name.
    pub instance: String,
    /// The version of its configuration; `None` for a member that is not a daemon of this version.
    pub generation: Option<u64>,
    /// Whether it works with that configuration; else it waits, as the group has another one.
    pub works: bool,
}
