//! The errors of the log; each text states the location and the remedy.
//!
//! The errors are `Clone` because one failed disk write fails every caller that shared it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use daemon_base::remedy::remedy;

use crate::{Bounds, PartitionId};

/// An error of the log.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An operation on the Kafka cluster failed.
    #[error("cannot {operation}: {reason}; check the brokers of kafka.brokers and the permissions of this user")]
    Cluster {
        /// The operation, as it follows "cannot".
        operation: String,
        /// The error of the Kafka client.
        reason: String,
    },

    /// A stored input or result frame fails its checksum, or a frame between two others is missing.
    #[error(
        "frame at offset {offset} of {location} is damaged: {reason}; \
         restore the data directory from a copy, or salvage what can be read (`derived-statsd check --salvage NEW DIRECTORY`)"
    )]
    CorruptFrame {
        /// The log that holds the frame: a partition or the results.
        location: String,
        /// The first offset of the frame.
        offset: u64,
        /// The check that failed, with expected and found values.
        reason: String,
    },

    /// A chunk or the head (cursor and meta) of a partition's state fails its verification.
    #[error(
        "state of partition {partition} is damaged ({}): {reason}; \
         check the disk; a daemon replays the input that the log still has of it",
        chunk.map_or_else(|| "its head".to_owned(), |id| format!("chunk {id}"))
    )]
    CorruptState {
        /// The partition whose state is damaged.
        partition: PartitionId,
        /// The damaged chunk; `None` for the head.
        chunk: Option<u32>,
        /// The check that failed, with expected and found values.
        reason: String,
    },

    /// A commit moves the cursor backwards or beyond the end of the input.
    #[error("commit of partition {partition} sets its cursor to {cursor}, outside {low}..={high}")]
    CursorOutOfRange {
        /// The partition of the commit.
        partition: PartitionId,
        /// The refused cursor.
        cursor: u64,
        /// The committed cursor, which is the lowest valid one.
        low: u64,
        /// The end of the input, which is the highest valid cursor.
        high: u64,
    },

    /// The store's files fail its checks: the disk is damaged or another program changed them.
    #[error(
        "the log's files at {} do not pass their checks ({location}: {reason}); check the disk, \
         then restore the data directory from a copy, or salvage what can be read (`derived-statsd check --salvage NEW \
         DIRECTORY`)",
        path.display()
    )]
    Damaged {
        /// The file, or the directory of the store.
        path: PathBuf,
        /// The position, or the name of a missing file.
        location: String,
        /// The check that failed.
        reason: String,
    },

    /// The input that no commit covers exceeds `max_backlog_bytes`; the call wrote nothing.
    #[error(
        "the backlog has {backlog_bytes} bytes of input that no commit covers yet, the limit max_backlog_bytes is \
         {limit_bytes}; try again in {retry_after:?}"
    )]
    Full {
        /// The size of the input that no commit covers.
        backlog_bytes: u64,
        /// The configured limit.
        limit_bytes: u64,
        /// The configured wait before the next attempt.
        retry_after: Duration,
    },

    /// Something else is where the data directory, or one above it, would be.
    #[error("{} is {found}, not a directory; {remedy}", path.display())]
    NotADirectory {
        /// The path of what is there.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What to do.
        remedy: &'static str,
    },

    /// The idempotency key belongs to an earlier request with another body.
    #[error("idempotency key {key:?} was used before for another request body; use a new key")]
    IdempotencyConflict {
        /// The key.
        key: String,
    },

    /// An argument violates a documented limit.
    #[error("{reason}")]
    InvalidArgument {
        /// The argument, its limit and the value.
        reason: String,
    },

    /// The disk or the file system failed.
    #[error(
        "cannot {operation} at {}: {source}; {}",
        path.display(),
        remedy_of(source)
    )]
    Io {
        /// The operation, as it follows "cannot".
        operation: &'static str,
        /// The file or directory of the operation.
        path: PathBuf,
        /// Whether the write may be on disk in spite of the error.
        outcome_unknown: bool,
        /// The error of the operating system.
        #[source]
        source: Arc<std::io::Error>,
    },

    /// Another process has the data directory open.
    #[error("data directory {} is in use by another process; stop it or choose another", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },

    /// The files lack writes that the log acknowledged.
    #[error(
        "the log at {} ends at write {found} (byte {end}), but write {acknowledged} was acknowledged: its journal \
         was cut or damaged; restore a copy, salvage what can be read (`derived-statsd check --salvage NEW DIRECTORY`), or \
         delete the file {} to accept the loss",
        path.display(), acknowledged_file.display()
    )]
    LostTail {
        /// The newest file of the journal.
        path: PathBuf,
        /// The position after the last whole write.
        end: u64,
        /// The file that holds the number of the last acknowledged write.
        acknowledged_file: PathBuf,
        /// The number of the last write in the store.
        found: u64,
        /// The number of the last acknowledged write.
        acknowledged: u64,
    },

    /// Results are missing that a sink has not read, although no limit allowed to delete them, and nobody has accepted
    /// their loss.
    #[error(
        "results that were not delivered are missing: the file {} is gone, and no limit of retention allowed to delete it; \
         lost are {records} records of results (blocks of up to 64 KiB) that {sinks} had not read; put the file back, \
         restore a copy, or salvage the rest (`derived-statsd check --salvage NEW DIRECTORY`); or create the file {} to go \
         on without them",
        path.display(), permission.display()
    )]
    LostResults {
        /// The oldest missing file with such results.
        path: PathBuf,
        /// The number of records of results that the slowest sink had not read.
        records: u64,
        /// The names of the sinks, with commas.
        sinks: String,
        /// The file whose existence accepts the loss.
        permission: PathBuf,
    },

    /// The state of a partition cannot be used, and nobody has accepted its loss.
    #[error(
        "the saved state of partition {partition} cannot be used: {reason}; started over, the partition would lose what \
         input before offset {from} gave it, and repeat the results of the input from there on; restore a copy, or \
         create the file {} to accept that",
        permission.display()
    )]
    StateLoss {
        /// The partition of the state.
        partition: PartitionId,
        /// The damage, with its file and position.
        reason: String,
        /// The oldest input that the log has.
        from: u64,
        /// The file whose existence accepts the loss.
        permission: PathBuf,
    },

    /// A newer program wrote the state of a partition; this program does not change it.
    #[error(
        "a newer program wrote the saved state of partition {partition}, this program does not change it: {reason}"
    )]
    NewerState {
        /// The partition of the state.
        partition: PartitionId,
        /// The found and the supported version.
        reason: String,
    },

    /// There is no log at the path.
    #[error("there is no log at {}; name the data directory of a daemon that has run", path.display())]
    NoLog {
        /// The directory, which may not exist.
        path: PathBuf,
    },

    /// A commit came before a restore: none succeeded since the log was opened or last failed.
    #[error("partition {partition} must be restored before it can commit")]
    NotRestored {
        /// The partition of the commit.
        partition: PartitionId,
    },

    /// The log does not retain the requested offset any more, or has not reached it yet.
    #[error("offset {requested} of {location} is outside the retained {}..={}", bounds.first, bounds.next)]
    OffsetOutOfRange {
        /// The log of the read: a partition or the results.
        location: String,
        /// The requested offset.
        requested: u64,
        /// The retained offsets.
        bounds: Bounds,
    },

    /// The store failed and cannot be reopened; the next call tries again.
    #[error("the log is unavailable: {reason}; it tries to reopen the store at each write")]
    Unavailable {
        /// The first failure, and the failure to reopen.
        reason: String,
    },

    /// The file with the format of the data directory has another text than any version writes.
    #[error(
        "{0}/VERSION has {found}, which no version writes; if this version made the directory: \
         echo {known} > {0}/VERSION; if another program did, use another directory",
        path.display()
    )]
    DamagedVersion {
        /// The data directory.
        path: PathBuf,
        /// What the file has.
        found: String,
        /// What it has in a directory of this version.
        known: String,
    },

    /// Another version of the daemon or another program created the data directory.
    #[error(
        "data directory {} has format {found}, this program supports {known}; \
         use the version that wrote it, or another directory",
        path.display()
    )]
    UnknownVersion {
        /// The data directory.
        path: PathBuf,
        /// The format of the directory, or the first file that does not belong to a log.
        found: String,
        /// The format that this program reads and writes.
        known: u32,
    },
}

/// What an operator does after a failure of the file system.
fn remedy_of(error: &std::io::Error) -> &'static str {
    remedy(error).unwrap_or_else(|| match error.kind() {
        std::io::ErrorKind::InvalidInput => "move away what is there",
        std::io::ErrorKind::NotFound => "create the directory above it, or put back what is missing",
        _ => "free space or repair the disk, the log recovers without a restart",
    })
}

impl LogError {
    /// Whether the failed write may be on disk in spite of the error.
    ///
    /// A worker then restores before it commits, and a producer repeats an append only with its idempotency key.
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::Io { outcome_unknown: true, .. } | Self::Unavailable { .. })
    }

    /// Whether the disk or the quota is full.
    pub fn is_disk_full(&self) -> bool {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether a later attempt can succeed, because the backlog shrinks or disk space becomes free.
    pub fn is_temporary(&self) -> bool {
        let is_kind =
            matches!(self, Self::Cluster { .. } | Self::Full { .. } | Self::Io { .. } | Self::Unavailable { .. });
        is_kind && self.remedy().is_none()
    }

    /// Whether no later attempt of this process can succeed: the files are damaged, or are a newer program's.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::CorruptFrame { .. }
                | Self::Damaged { .. }
                | Self::LostResults { .. }
                | Self::LostTail { .. }
                | Self::NewerState { .. }
                | Self::StateLoss { .. }
                | Self::DamagedVersion { .. }
                | Self::UnknownVersion { .. }
        )
    }

    /// What an operator must change before a later attempt can succeed, if the file system refuses the operation.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Io { source, .. } => remedy(source),
            _ => None,
        }
    }

    /// Creates an [`InvalidArgument`](Self::InvalidArgument) with this text.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::InvalidArgument { reason: reason.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn what_no_retry_mends_is_not_promised_to_recover() {
        let error = |kind: ErrorKind| LogError::Io {
            operation: "write the log",
            path: "/data".into(),
            outcome_unknown: true,
            source: Arc::new(Error::from(kind)),
        };
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem, ErrorKind::NotADirectory] {
            let error = error(kind);
            let text = error.to_string();
            assert!(!error.is_temporary() && !text.contains("without a restart"), "{text}");
            assert!(text.ends_with(error.remedy().unwrap()), "{text}");
        }
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            let text = error(kind).to_string();
            assert!(error(kind).is_temporary() && text.ends_with("without a restart"), "{text}");
        }
    }
}
