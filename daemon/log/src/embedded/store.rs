//! The embedded store (fjall, an LSM tree with a journal) behind the few operations the log needs.
//!
//! # What was found out about it, version 3.1
//!
//! * **A failed write poisons it.** After any IO error in a write, a sync or a background flush every later write
//!   fails with `Poisoned`, for as long as it is open; reads go on. Closing and opening it again brings it back:
//!   the journal is cut behind the last whole batch. So the log drops and reopens it at the next write. Whether the
//!   failed batch survived is unknown until then.
//! * **A dead background worker would block writers for ever**: `commit` waits, without looking at the poison flag,
//!   while four flushes are pending or 30 runs wait for compaction. [`Store::write`] waits before that point itself and
//!   gives up when the store is poisoned.
//! * **The journal is checked by batch, the tables by block** (xxh3). A changed value in the journal fails the
//!   opening; a changed length or tag looks like a torn end and silently drops everything after it, which the
//!   witness of [`Directory`](super::directory::Directory) finds. A changed block fails the read. Of its manifests it
//!   stores a checksum that it does not check, which [`inspect`](super::inspect) does before it may open. What
//!   is left can make it panic while it opens, which is caught here and reported as damage.
//! * **Its journal compression is off**: recovery compresses again to compare checksums, so an update of the
//!   compressor would make an old journal unreadable.
//! * A second process is refused by a file lock, but only after 0.3 s of retries; the data directory has its own lock.

use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserValue};

use crate::embedded::inspect::inspect;
use crate::error::LogError;

/// Bytes of blocks that the store caches; the hot data is the newest, which is in the write buffers anyway.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// The journal is kept until all of it is in tables; 64 MiB is the least the store accepts.
const MAX_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// With more than one, the first hands every compaction back to the queue until another takes it, and spins as long as
/// that one is busy: a tenth of the daemon's processor time. Compactions of a log are short, flushes can wait for them.
const WORKER_THREADS: usize = 1;
/// Writers wait below the counts at which the store would make them wait (4 and 30), see the module.
const MAX_PENDING_FLUSHES: usize = 2;
const MAX_RUNS: usize = 16;
const ROOM_POLL: Duration = Duration::from_millis(5);
/// 30 s: a disk that cannot flush a few MiB in that time is out of order.
const ROOM_POLLS: u32 = 6_000;

/// The keyspaces of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Idempotency,
    Input,
    Meta,
    Results,
    State,
}

impl Space {
    const ALL: [Self; 5] = [Self::Idempotency, Self::Input, Self::Meta, Self::Results, Self::State];

    fn name(self) -> &'static str {
        match self {
            Self::Idempotency => "idempotency",
            Self::Input => "input",
            Self::Meta => "meta",
            Self::Results => "results",
            Self::State => "state",
        }
    }

    /// The write buffer; up to three of each exist while flushes are pending, 3 x 15 MiB at full load.
    fn buffer_bytes(self) -> u64 {
        let mib = match self {
            Self::Input => 6,
            Self::Results | Self::State => 4,
            Self::Idempotency | Self::Meta => 1,
        };
        mib * 1024 * 1024
    }
}

/// Changes that are written together or not at all.
pub(super) struct Batch {
    inner: fjall::OwnedWriteBatch,
    spaces: [Keyspace; Space::ALL.len()],
}

impl Batch {
    pub(super) fn insert(&mut self, space: Space, key: &[u8], value: Vec<u8>) {
        self.inner.insert(&self.spaces[space as usize], key, value);
    }

    pub(super) fn remove(&mut self, space: Space, key: &[u8]) {
        self.inner.remove(&self.spaces[space as usize], key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }
}

/// A stored key and value.
pub(super) type Pair = (fjall::UserKey, UserValue);

/// The open store.
pub(super) struct Store {
    path: PathBuf,
    spaces: [Keyspace; Space::ALL.len()],
    // After the keyspaces, so that it is dropped last.
    database: Database,
}

impl Store {
    /// Opens or creates the store at `path`; replays its journal.
    pub(super) fn open(path: &Path) -> Result<Self, LogError> {
        inspect(path)?;
        catch_unwind(AssertUnwindSafe(|| Self::try_open(path))).unwrap_or_else(|panic| {
            let reason = panic.downcast_ref::<String>().map(String::as_str);
            let reason = reason.or_else(|| panic.downcast_ref().copied()).unwrap_or("panic");
            Err(damaged(path, "while opening", reason))
        })
    }

    fn try_open(path: &Path) -> Result<Self, LogError> {
        let refused = |error| map_error(path, "open the store", "while opening", false, error);
        let database = Database::builder(path)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(MAX_JOURNAL_BYTES)
            .journal_compression(CompressionType::None)
            .worker_threads(WORKER_THREADS)
            .open()
            .map_err(refused)?;
        let open = |space: Space| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(space.buffer_bytes());
            database.keyspace(space.name(), options).map_err(refused)
        };
        let [idempotency, input, meta, results, state] = Space::ALL;
        let spaces = [open(idempotency)?, open(input)?, open(meta)?, open(results)?, open(state)?];
        Ok(Self { path: path.to_owned(), spaces, database })
    }

    pub(super) fn batch(&self) -> Batch {
        Batch { inner: self.database.batch(), spaces: self.spaces.clone() }
    }

    /// Writes a batch; `written` is called when the operating system has it, and this returns when the disk has it.
    ///
    /// After an error the store must be dropped and opened again.
    pub(super) fn write(&self, batch: Batch, written: impl FnOnce()) -> Result<(), LogError> {
        self.wait_for_room()?;
        let failed = |error| map_error(&self.path, "write the log", "journal", true, error);
        batch.inner.durability(Some(PersistMode::Buffer)).commit().map_err(failed)?;
        written();
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    /// Fails if an earlier failure, maybe in a background thread, has stopped the store.
    pub(super) fn check_alive(&self) -> Result<(), LogError> {
        let failed = |error| map_error(&self.path, "write the log", "journal", false, error);
        self.database.persist(PersistMode::Buffer).map_err(failed)
    }

    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<UserValue>, LogError> {
        self.spaces[space as usize].get(key).map_err(|error| self.read_error(space, error))
    }

    /// The pairs of a key range, from either end.
    pub(super) fn scan<K: AsRef<[u8]>, R: RangeBounds<K>>(
        &self,
        space: Space,
        range: R,
    ) -> impl DoubleEndedIterator<Item = Result<Pair, LogError>> + use<'_, K, R> {
        self.spaces[space as usize]
            .range(range)
            .map(move |guard| guard.into_inner().map_err(|error| self.read_error(space, error)))
    }

    fn wait_for_room(&self) -> Result<(), LogError> {
        for _ in 0..ROOM_POLLS {
            let crowded = |space: &Keyspace| {
                space.sealed_memtable_count() >= MAX_PENDING_FLUSHES || space.tree.l0_run_count() >= MAX_RUNS
            };
            if !self.spaces.iter().any(crowded) {
                return Ok(());
            }
            self.check_alive()?;
            std::thread::sleep(ROOM_POLL);
        }
        Err(LogError::Unavailable { reason: "the disk does not keep up with the writes".to_owned() })
    }

    fn read_error(&self, space: Space, error: fjall::Error) -> LogError {
        map_error(&self.path, "read the log", space.name(), false, error)
    }
}

fn map_error(
    path: &Path,
    operation: &'static str,
    place: &str,
    outcome_unknown: bool,
    error: fjall::Error,
) -> LogError {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        // A file that is missing or too short is no matter of the disk's space or of rights.
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
            if !outcome_unknown && matches!(source.kind(), InvalidData | NotFound | UnexpectedEof) =>
        {
            damaged(path, place, &source.to_string())
        }
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            let path = path.to_owned();
            LogError::Io { operation, path, outcome_unknown, source: Arc::new(source) }
        }
        fjall::Error::Locked => LogError::Locked { path: path.to_owned() },
        fjall::Error::Poisoned => {
            LogError::Unavailable { reason: "an earlier write or background flush failed".to_owned() }
        }
        other => damaged(path, place, &other.to_string()),
    }
}

pub(super) fn damaged(path: &Path, place: &str, reason: &str) -> LogError {
    let (path, place, reason) = (path.to_owned(), place.to_owned(), reason.to_owned());
    LogError::Damaged { path, place, reason }
}
