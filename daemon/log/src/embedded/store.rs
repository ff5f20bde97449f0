//! The embedded store (fjall, an LSM tree with a journal), reduced to the operations that the log needs.
//!
//! # Limitations of version 3.1
//!
//! * **A failed write poisons the store.** After an IO error in a write, a sync or a background flush, every later
//!   write fails with `Poisoned` as long as the store is open; reads still work. A reopened store works again, after it
//!   has cut its journal after the last complete batch. The log therefore reopens the store at the next write. Until
//!   then it is unknown whether the failed batch is on disk.
//! * **A background worker that has ended blocks writers without end.** While four flushes are pending or 30 runs wait
//!   for compaction, `commit` waits and does not check the poison flag. [`Store::write`] waits below these counts
//!   itself and fails when the store is poisoned.
//! * **The store verifies its journal by batch and its tables by block** (xxh3). A changed value in the journal fails
//!   the opening. A changed length or tag resembles a torn write, and the store silently drops everything after it; the
//!   file `acknowledged` of [`Directory`](super::directory::Directory) detects that. A changed block fails the read.
//!   The store never verifies the checksum of a manifest; [`inspect`](super::inspect) does it before the opening. Other
//!   damage can make the store panic during the opening; [`Store::open`] catches the panic and reports damage.
//! * **Journal compression is off.** Recovery compresses a batch again to compare checksums, so a new version of the
//!   compressor would make an old journal unreadable.
//! * A file lock excludes a second process, but only after 0.3 s of retries; the data directory has its own lock.

use std::ops::RangeBounds;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, UserValue};

use crate::embedded::inspect::inspect;
use crate::error::LogError;

/// The size of the block cache. It is small because most reads are for new data, which is in the write buffers.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// The largest size of the journal, which the store keeps until its content is in tables; 64 MiB is the smallest value
/// that the store accepts.
const MAX_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// The number of background threads. With more than one, the first returns every compaction to the queue until another
/// thread takes it, and spins while that thread is busy, which costs a tenth of the daemon's processor time. The
/// compactions of a log are short, so a flush can wait for one.
const WORKER_THREADS: usize = 1;
/// The counts of pending flushes and runs at which writers wait, below those of the store (4 and 30).
const MAX_PENDING_FLUSHES: usize = 2;
const MAX_RUNS: usize = 16;
/// The interval and the largest number of polls of a waiting writer: 30 s, in which a working disk flushes a few MiB.
const ROOM_POLL: Duration = Duration::from_millis(5);
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

    /// The size of the write buffer; up to three of each exist while flushes are pending, 3 x 15 MiB at full load.
    fn buffer_bytes(self) -> u64 {
        let mib = match self {
            Self::Input => 6,
            Self::Results | Self::State => 4,
            Self::Idempotency | Self::Meta => 1,
        };
        mib * 1024 * 1024
    }
}

/// Changes that the store writes atomically.
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
    /// Opens or creates the store at `path` and replays its journal.
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

    /// Writes a batch and syncs it; calls `written` between the write and the sync.
    ///
    /// After an error the caller must drop the store and open it again.
    pub(super) fn write(&self, batch: Batch, written: impl FnOnce()) -> Result<(), LogError> {
        self.wait_for_room()?;
        let failed = |error| map_error(&self.path, "write the log", "journal", true, error);
        batch.inner.durability(Some(PersistMode::Buffer)).commit().map_err(failed)?;
        written();
        self.database.persist(PersistMode::SyncData).map_err(failed)
    }

    /// Fails if an earlier failure, also one in a background thread, has poisoned the store.
    pub(super) fn check_alive(&self) -> Result<(), LogError> {
        let failed = |error| map_error(&self.path, "write the log", "journal", false, error);
        self.database.persist(PersistMode::Buffer).map_err(failed)
    }

    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<UserValue>, LogError> {
        self.spaces[space as usize].get(key).map_err(|error| self.read_error(space, error))
    }

    /// Iterates over the pairs of a key range, from either end.
    pub(super) fn scan<K: AsRef<[u8]>, R: RangeBounds<K>>(
        &self,
        space: Space,
        range: R,
    ) -> impl DoubleEndedIterator<Item = Result<Pair, LogError>> + use<'_, K, R> {
        self.spaces[space as usize]
            .range(range)
            .map(move |guard| guard.into_inner().map_err(|error| self.read_error(space, error)))
    }

    /// Waits until the background thread has flushed and compacted enough for another write.
    fn wait_for_room(&self) -> Result<(), LogError> {
        for _ in 0..ROOM_POLLS {
            let is_busy = |space: &Keyspace| {
                space.sealed_memtable_count() >= MAX_PENDING_FLUSHES || space.tree.l0_run_count() >= MAX_RUNS
            };
            if !self.spaces.iter().any(is_busy) {
                return Ok(());
            }
            self.check_alive()?;
            std::thread::sleep(ROOM_POLL);
        }
        Err(LogError::Unavailable { reason: "the disk is too slow: no flush finished within 30 s".to_owned() })
    }

    fn read_error(&self, space: Space, error: fjall::Error) -> LogError {
        map_error(&self.path, "read the log", space.name(), false, error)
    }
}

fn map_error(
    path: &Path,
    operation: &'static str,
    location: &str,
    outcome_unknown: bool,
    error: fjall::Error,
) -> LogError {
    use std::io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    match error {
        // A missing or short file is damage, and neither a full disk nor a missing permission.
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source))
            if !outcome_unknown && matches!(source.kind(), InvalidData | NotFound | UnexpectedEof) =>
        {
            damaged(path, location, &source.to_string())
        }
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            let path = path.to_owned();
            LogError::Io { operation, path, outcome_unknown, source: Arc::new(source) }
        }
        fjall::Error::Locked => LogError::Locked { path: path.to_owned() },
        fjall::Error::Poisoned => {
            LogError::Unavailable { reason: "an earlier write or background flush failed".to_owned() }
        }
        other => damaged(path, location, &other.to_string()),
    }
}

/// Creates the error of a damaged store.
pub(super) fn damaged(path: &Path, location: &str, reason: &str) -> LogError {
    let (path, location, reason) = (path.to_owned(), location.to_owned(), reason.to_owned());
    LogError::Damaged { path, location, reason }
}
