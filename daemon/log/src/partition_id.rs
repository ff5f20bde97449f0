//! The address of one input partition.

use std::fmt;

/// A partition of the input: the number of a stream and the number of a partition of that stream.
///
/// [`PartitionLog::stream_id`](crate::PartitionLog::stream_id) assigns the numbers of streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct PartitionId {
    /// The number of the stream; 65,535 is reserved.
    pub stream: u16,
    /// The number of the partition within the stream.
    pub partition: u16,
}

impl PartitionId {
    /// The reserved id of the results log in frames; input cannot use it.
    pub const RESULTS: Self = Self { stream: u16::MAX, partition: u16::MAX };

    /// Creates the id of partition `partition` of the stream with number `stream`.
    pub const fn new(stream: u16, partition: u16) -> Self {
        Self { stream, partition }
    }

    /// The name of this log in error texts.
    pub fn location(self) -> String {
        if self == Self::RESULTS { "the results".to_owned() } else { format!("partition {self}") }
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.stream, self.partition)
    }
}
