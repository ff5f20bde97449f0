//! The errors of the log: each names the location and the remedy.
//!
//! The errors are `Clone` because one failed disk write fails every caller that shared it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::types::{Bounds, PartitionId};

/// An error of the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// The Kafka cluster did not do what it was asked.
    #[error("cannot {operation}: {reason}; check the brokers of kafka.brokers and what this user may do there")]
    Cluster { operation: String, reason: String },

    /// A stored input or result frame fails its checksum, or a frame is missing between two others.
    #[error(
        "frame at offset {offset} of {place} is damaged: {reason}; \
         restore the data directory from a copy, or delete it to start empty"
    )]
    CorruptFrame { place: String, offset: u64, reason: String },

    /// A chunk (or with `chunk: None` the head: cursor and meta) of a partition's state fails its verification.
    #[error(
        "state of partition {partition} is damaged ({}): {reason}; \
         reset its state to replay the retained input",
        chunk.map_or_else(|| "its head".to_owned(), |id| format!("chunk {id}"))
    )]
    CorruptState { partition: PartitionId, chunk: Option<u32>, reason: String },

    /// A commit moves the cursor backwards or beyond the end of the input.
    #[error("commit of partition {partition} sets its cursor to {cursor}, outside {low}..={high}")]
    CursorOutOfRange { partition: PartitionId, cursor: u64, low: u64, high: u64 },

    /// The store's own files do not pass its checks: a bad disk, or someone changed them.
    #[error(
        "the log's files at {} do not pass their checks ({place}: {reason}); check the disk, \
         then restore the data directory from a copy, or delete it to start empty",
        path.display()
    )]
    Damaged { path: PathBuf, place: String, reason: String },

    /// The input that no worker has applied yet exceeds `max_backlog_bytes`. Nothing was written.
    #[error(
        "{backlog_bytes} bytes of input wait to be applied, the limit max_backlog_bytes is \
         {limit_bytes}; try again in {retry_after:?}"
    )]
    Full { backlog_bytes: u64, limit_bytes: u64, retry_after: Duration },

    /// The same idempotency key came with another request body.
    #[error("idempotency key {key:?} was used before for another request body; use a new key")]
    IdempotencyConflict { key: String },

    /// The caller broke a stated limit.
    #[error("{what}")]
    InvalidArgument { what: String },

    /// The disk or file system refused. `outcome_unknown`: the write may nevertheless be on disk.
    #[error(
        "cannot {operation} at {}: {source}; free space or repair the disk, the log goes on by itself",
        path.display()
    )]
    Io {
        operation: &'static str,
        path: PathBuf,
        outcome_unknown: bool,
        #[source]
        source: Arc<std::io::Error>,
    },

    /// Another process has the data directory open.
    #[error("data directory {} is in use by another process; stop it or choose another", path.display())]
    Locked { path: PathBuf },

    /// Writes that were once acknowledged are gone from the files.
    #[error(
        "the log at {} ends at write {found}, but write {acknowledged} was acknowledged: its journal \
         was cut or damaged; restore a copy, or delete the file {} to accept the loss",
        path.display(), witness.display()
    )]
    LostTail { path: PathBuf, witness: PathBuf, found: u64, acknowledged: u64 },

    /// The state of a partition was written by a newer program. It is left as it is.
    #[error("the saved state of partition {partition} cannot be read by this program and is left as it is: {reason}")]
    NewerState { partition: PartitionId, reason: String },

    /// A commit without a restore since the log was opened or last failed.
    #[error("partition {partition} must be restored before it can commit")]
    NotRestored { partition: PartitionId },

    /// The asked offset is no longer, or not yet, there.
    #[error("offset {asked} of {place} is outside the retained {}..={}", bounds.first, bounds.next)]
    OffsetOutOfRange { place: String, asked: u64, bounds: Bounds },

    /// An earlier failure stopped the store and reopening it failed too; the next call tries again.
    #[error("the log is out of service: {reason}; it tries to reopen at each write")]
    Unavailable { reason: String },

    /// The data directory was written by another version of the daemon, or is not one.
    #[error(
        "data directory {} has format {found}, this program knows {known}; \
         use the version that wrote it, or another directory",
        path.display()
    )]
    UnknownVersion { path: PathBuf, found: String, known: u32 },
}

impl LogError {
    /// Whether the failed write may be on disk all the same: restore before committing, repeat an append only with
    /// its idempotency key.
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::Io { outcome_unknown: true, .. } | Self::Unavailable { .. })
    }

    /// Whether the disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether waiting and trying again can help: the backlog may drain, space may return.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Cluster { .. } | Self::Full { .. } | Self::Io { .. } | Self::Unavailable { .. })
    }

    pub fn invalid(what: impl Into<String>) -> Self {
        Self::InvalidArgument { what: what.into() }
    }
}
