//! The form of the records of the topic: the key is the cluster, the value is JSON.

use serde::{Deserialize, Serialize};

/// The longest name of a replica that is read. Names that are written are shorter.
const MAX_NAME_BYTES: usize = 1024;

/// The value of a record. One without a value forgets the cluster.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Entry {
    /// The replica.
    pub replica: String,
    /// The offset of the record that elected it, for one that only shows that it still sends; `None` for an election.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election: Option<u64>,
    /// The offset of the newest valid record of the cluster that the writer had read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<u64>,
    /// The process that wrote it, and the number of the record there.
    pub by: String,
    /// See `by`.
    pub number: u64,
}

impl Entry {
    /// The value in a record.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    /// The entry of a value; `None` for another program's.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok().filter(|entry: &Self| entry.replica.len() <= MAX_NAME_BYTES)
    }
}
