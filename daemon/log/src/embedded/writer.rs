//! The single writer: it combines concurrent requests into one write and one sync.
//!
//! A caller adds its request to the queue ([`request_queue`](daemon_base::request_queue)). One of the callers leads: it takes the write lock
//! and writes all queued requests. A single caller pays one sync, a hundred concurrent callers share a few, and the log
//! needs no writer thread.
//!
//! The leader stages all requests into one record ([`stage`](super::stage)). If the write fails, every request of the
//! group fails, and the next request reads the tables from the files again. Readers do not use the tables; they use
//! the catalog, to which the writer publishes after the sync.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use daemon_base::remedy::remedy;
use daemon_base::request_queue::Queue;
use daemon_base::signal::Signal;

use crate::config::LogConfig;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::Change;
use crate::embedded::directory::Directory;
use crate::embedded::health::Health;
use crate::embedded::recover::{Open, Opened, recover};
use crate::embedded::segment::Family;
use crate::embedded::stage::{Reply, Request};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::{Bounds, PartitionId};

/// The smallest distance in a file between two frames of a log in the index.
const MIN_DISTANCE: u32 = 64 * 1024;
/// The most frames of a log in the index.
const ENTRIES_PER_LIMIT: u64 = 65_536;

/// The state behind the write lock.
pub(super) struct Inner {
    pub(super) directory: Directory,
    pub(super) tables: Tables,
    /// The open file of each family.
    pub(super) open: [Open; 3],
    /// Files of state that hold a damaged chunk: they stay.
    pub(super) kept: BTreeSet<u32>,
    /// Deletions of files that no write has named yet.
    pub(super) unwritten: Vec<Change>,
    /// The failure after which the tables must be read again before the next write.
    pub(super) failed: Option<String>,
    /// How often the tables were read again.
    reopened: u64,
}

/// The only writer of the log, which combines concurrent requests into one write and one sync.
pub(super) struct Writer {
    pub(super) config: LogConfig,
    /// The size at which a file of each family is closed and the next one begins.
    pub(super) segment_bytes: [u64; 3],
    queue: Queue<Request, Result<Reply, LogError>>,
    inner: Mutex<Inner>,
    catalog: RwLock<Catalog>,
    pub(super) store: PathBuf,
    pub(super) health: Health,
    /// Raised after each write that appends input.
    pub(super) records: Signal,
    /// Raised after each write that appends results.
    pub(super) results: Signal,
}

/// The write lock.
pub(super) struct Locked<'a> {
    pub(super) writer: &'a Writer,
    pub(super) inner: MutexGuard<'a, Inner>,
}

impl Writer {
    /// Opens the files in `directory` and reads the tables.
    pub(super) fn open(mut directory: Directory, config: LogConfig, segment_bytes: [u64; 3]) -> Result<Self, LogError> {
        let store = directory.store_path();
        let Opened { tables, catalog, open, missing } = read_files(&mut directory, &store, &config)?;
        Ok(Self {
            config,
            segment_bytes,
            health: Health::new(directory.path(), &store, &directory.lock_path()),
            queue: Queue::default(),
            catalog: RwLock::new(catalog),
            store,
            records: Signal::default(),
            results: Signal::default(),
            inner: Mutex::new(Inner {
                directory,
                tables,
                open,
                kept: BTreeSet::new(),
                unwritten: retired(missing),
                failed: None,
                reopened: 0,
            }),
        })
    }

    /// Writes a request together with all waiting requests, and returns when it is on disk.
    pub(super) fn submit(&self, request: Request) -> Result<Reply, LogError> {
        let write = |take: &mut dyn FnMut() -> Vec<Request>| {
            // Taken after the lock, so that the group includes the requests that arrived while this caller waited.
            let locked = self.lock();
            let requests = take();
            match locked {
                Ok(mut locked) => locked.write_group(requests),
                Err(error) => vec![Err(error); requests.len()],
            }
        };
        self.queue.submit(request, write).unwrap_or_else(|| {
            Err(LogError::Unavailable { reason: "the thread that wrote for this caller panicked".to_owned() })
        })
    }

    /// Takes the write lock, and reads the tables again if a write has failed.
    pub(super) fn lock(&self) -> Result<Locked<'_>, LogError> {
        let mut inner = lock(&self.inner);
        if let Some(reason) = inner.failed.clone() {
            self.health.check_found()?;
            tracing::warn!(%reason, "A write of the log failed; the log reads its tables again.");
            self.reload(&mut inner).map_err(|error| self.reload_failed(&reason, error))?;
        }
        Ok(Locked { writer: self, inner })
    }

    /// Checks that the disk takes a write, unless a write since the last call has shown it. A failure is an
    /// [`outage`](Health::outage) until the disk has space again.
    pub(super) fn check_disk(&self) -> Result<(), LogError> {
        let locked = self.lock()?;
        if self.health.take_written() || self.health.is_lost().is_some() {
            return Ok(());
        }
        self.health.check(|| locked.inner.directory.check_disk())
    }

    /// What readers know.
    pub(super) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The durable bounds of a partition or of the results.
    pub(super) fn bounds(&self, id: PartitionId) -> Bounds {
        self.catalog().bounds(id)
    }

    pub(super) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self, inner: &mut Inner) -> Result<(), LogError> {
        let Opened { tables, catalog, open, missing } = read_files(&mut inner.directory, &self.store, &self.config)?;
        (inner.tables, inner.open, inner.failed) = (tables, open, None);
        inner.unwritten = retired(missing);
        inner.reopened += 1;
        *self.catalog_mut() = catalog;
        // A write that failed may be there.
        self.records.raise();
        self.results.raise();
        Ok(())
    }

    /// The error of tables that cannot be read after a write failed with `earlier`.
    fn reload_failed(&self, earlier: &str, error: LogError) -> LogError {
        self.health.ended(Some(error.to_string()));
        reopening_failed(earlier, error)
    }
}

impl Locked<'_> {
    /// The tables, to change what no write needs.
    pub(super) fn tables(&mut self) -> &mut Tables {
        &mut self.inner.tables
    }

    pub(super) fn config(&self) -> &LogConfig {
        &self.writer.config
    }

    /// The tables, to read them.
    pub(super) fn known(&self) -> &Tables {
        &self.inner.tables
    }

    pub(super) fn reopened(&self) -> u64 {
        self.inner.reopened
    }

    pub(super) fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.writer.catalog()
    }

    pub(super) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.writer.catalog_mut()
    }

    /// The number of the open file of a family.
    pub(super) fn open_number(&self, family: Family) -> u32 {
        self.inner.open[family as usize].segment.number
    }

    /// Makes the next caller read the tables again.
    pub(super) fn fail(&mut self, reason: String) {
        self.inner.failed = Some(reason);
    }

    pub(super) fn drop_expired_keys(&mut self, now: u64) -> u64 {
        let config = &self.writer.config;
        self.inner.tables.keys.drop_expired(now, config)
    }
}

/// Reads the tables from the files, whose last write is acknowledged then.
fn read_files(directory: &mut Directory, store: &Path, config: &LogConfig) -> Result<Opened, LogError> {
    let acknowledged = directory.acknowledged()?;
    let mut opened = recover(store, &acknowledged, config, distance(config))?;
    if acknowledged.sequence == 0 && opened.tables.sequence > 0 {
        tracing::warn!(
            "The number of the last acknowledged write is missing or damaged; whether the last writes are all there is not \
             known."
        );
    }
    directory.acknowledge(opened.tables.sequence);
    opened.tables.keys.drop_excess(config);
    Ok(opened)
}

/// The distance of frames in the index: with larger limits it is larger, so that the index stays small.
fn distance(config: &LogConfig) -> u32 {
    let limit = config.max_input_bytes.max(config.max_backlog_bytes).max(config.results_hard_limit_bytes);
    u32::try_from(limit / ENTRIES_PER_LIMIT).unwrap_or(u32::MAX).max(MIN_DISTANCE)
}

fn retired(missing: Vec<(Family, u32)>) -> Vec<Change> {
    missing.into_iter().map(|(family, segment)| Change::Retired { family, segment }).collect()
}

/// The error of a log that failed with `earlier` and whose files cannot be read again.
fn reopening_failed(earlier: &str, error: LogError) -> LogError {
    match error {
        error if error.is_permanent() => error,
        // With its remedy, which no retry replaces.
        LogError::Io { operation, path, source, .. } if remedy(&source).is_some() => {
            LogError::Io { operation, path, outcome_unknown: true, source }
        }
        error => LogError::Unavailable { reason: format!("{earlier}; reopening failed: {error}") },
    }
}

/// Locks a mutex, also after a panic in another thread: the writer's `failed` mark covers an interrupted change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_store_that_only_an_operator_can_open_again_names_the_remedy() {
        let failed = |kind: ErrorKind| {
            let source = Arc::new(kind.into());
            let error = LogError::Io { operation: "open the store", path: "/d".into(), outcome_unknown: false, source };
            reopening_failed("it is full", error)
        };
        let denied = failed(ErrorKind::PermissionDenied);
        assert!(denied.remedy().is_some() && denied.outcome_is_unknown() && !denied.is_temporary(), "{denied}");
        let full = failed(ErrorKind::StorageFull);
        assert!(full.is_temporary() && full.to_string().contains("it is full; reopening failed"), "{full}");
    }
}
