//! The single writer: it combines concurrent requests into one write and one sync.
//!
//! A caller adds its request to the queue ([`queue`](super::queue)). One of the callers leads: it takes the write lock
//! and writes all queued requests. A single caller pays one sync, a hundred concurrent callers share a few, and the log
//! needs no writer thread.
//!
//! The leader stages all requests into one batch ([`stage`](super::stage)). If the write fails, every request of the
//! group fails, and the tables in memory are discarded: the next request opens the store again and loads them. Readers
//! do not use the tables; they use the bounds that the writer publishes after the sync.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use daemon_base::remedy::remedy;

use crate::codec;
use crate::config::LogConfig;
use crate::embedded::directory::Directory;
use crate::embedded::health::Health;
use crate::embedded::load::load;
use crate::embedded::queue::Queue;
use crate::embedded::stage::{Reply, Request, Stage, Touched};
use crate::embedded::store::{Space, Store};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::keys;
use crate::signal::Signal;
use crate::{Bounds, PartitionId};

/// The durable bounds, up to which readers read.
#[derive(Debug, Default)]
struct Published {
    partitions: BTreeMap<PartitionId, Bounds>,
    results: Bounds,
    /// The latest time in the log, in µs UTC.
    last_at: u64,
}

/// The state behind the write lock.
struct Inner {
    directory: Directory,
    tables: Tables,
    /// The failure after which the store must be opened again before the next write.
    failed: Option<String>,
    /// How often the store was opened again.
    reopened: u64,
}

/// The only writer of the store, which combines concurrent requests into one write and one sync.
pub(super) struct Writer {
    config: LogConfig,
    queue: Queue<Request, Result<Reply, LogError>>,
    inner: Mutex<Inner>,
    store: RwLock<Option<Store>>,
    store_path: PathBuf,
    published: RwLock<Published>,
    pub(super) health: Health,
    /// Raised after each write that appends input.
    pub(super) records: Signal,
    /// Raised after each write that appends results.
    pub(super) results: Signal,
}

/// The write lock, together with a read lock on the open store.
pub(super) struct Locked<'a> {
    writer: &'a Writer,
    inner: MutexGuard<'a, Inner>,
    store: RwLockReadGuard<'a, Option<Store>>,
}

impl Writer {
    /// Opens the store in `directory` and loads the tables.
    pub(super) fn open(mut directory: Directory, config: LogConfig) -> Result<Self, LogError> {
        let store_path = directory.store_path();
        let store = Store::open(&store_path)?;
        let tables = load(&store)?;
        directory.check_acknowledged(tables.sequence)?;
        let writer = Self {
            config,
            health: Health::new(directory.path(), &store_path),
            queue: Queue::default(),
            store: RwLock::new(Some(store)),
            store_path,
            published: RwLock::default(),
            records: Signal::new(),
            results: Signal::new(),
            inner: Mutex::new(Inner { directory, tables, failed: None, reopened: 0 }),
        };
        writer.publish(&lock(&writer.inner).tables);
        Ok(writer)
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

    /// Takes the write lock, and opens the store again if it has failed.
    pub(super) fn lock(&self) -> Result<Locked<'_>, LogError> {
        self.prepare(lock(&self.inner))
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

    /// The open store, for reads below the published bounds.
    pub(super) fn reader(&self) -> RwLockReadGuard<'_, Option<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The published bounds of a partition or of the results.
    pub(super) fn bounds(&self, id: PartitionId) -> Bounds {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        if id == PartitionId::RESULTS {
            published.results
        } else {
            published.partitions.get(&id).copied().unwrap_or_default()
        }
    }

    /// The latest time in the log that is durable, in µs UTC: later records get at least this time.
    pub(super) fn last_at(&self) -> u64 {
        self.published.read().unwrap_or_else(PoisonError::into_inner).last_at
    }

    /// Opens the store again if a write or a background flush has failed.
    fn prepare<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> Result<Locked<'a>, LogError> {
        let dead = self.reader().as_ref().is_none_or(|store| store.check_alive().is_err());
        if dead && inner.failed.is_none() {
            inner.failed = Some("a background flush failed".to_owned());
        }
        if let Some(reason) = &inner.failed {
            tracing::warn!(%reason, "The store of the log failed; the log reopens it.");
            self.reopen(&mut inner)?;
        }
        Ok(Locked { writer: self, inner, store: self.reader() })
    }

    fn reopen(&self, inner: &mut Inner) -> Result<(), LogError> {
        let mut slot = self.store.write().unwrap_or_else(PoisonError::into_inner);
        // The store keeps its file lock until it is dropped.
        *slot = None;
        let opened = Store::open(&self.store_path).and_then(|store| {
            let tables = load(&store)?;
            inner.directory.check_acknowledged(tables.sequence)?;
            Ok((store, tables))
        });
        let opened = opened.map_err(|error| reopening_failed(inner.failed.as_deref(), error));
        if let Err(error) = &opened {
            self.health.ended(Some(error.to_string()));
        }
        let (store, tables) = opened?;
        *slot = Some(store);
        drop(slot);
        (inner.tables, inner.failed) = (tables, None);
        inner.reopened += 1;
        self.publish(&inner.tables);
        Ok(())
    }

    /// Makes the bounds of the tables visible to readers.
    fn publish(&self, tables: &Tables) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = tables.partitions.iter();
        published.partitions.extend(partitions.map(|(id, partition)| (*id, partition.ends.bounds)));
        published.results = tables.results.bounds;
        published.last_at = tables.last_at;
    }
}

impl Locked<'_> {
    pub(super) fn tables(&mut self) -> &mut Tables {
        &mut self.inner.tables
    }

    pub(super) fn reopened(&self) -> u64 {
        self.inner.reopened
    }

    pub(super) fn store(&self) -> Result<&Store, LogError> {
        opened(&self.store)
    }

    /// Stages changes with `stage`, then writes them.
    pub(super) fn write<T>(
        &mut self,
        stage: impl FnOnce(&mut Stage<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let store = opened(&self.store)?;
        // The files that are open would take the write, and nobody could find it.
        if let Some(reason) = self.writer.health.is_lost() {
            return Err(LogError::Unavailable { reason });
        }
        let inner = &mut *self.inner;
        // Until the write succeeds the tables are ahead of the disk; the mark also covers a panic.
        inner.failed = Some("a write did not finish".to_owned());
        let sequence = inner.tables.sequence + 1;
        let mut staged = Stage {
            store,
            tables: &mut inner.tables,
            config: &self.writer.config,
            batch: store.batch(),
            sequence,
            fresh_keys: HashMap::new(),
            touched: Touched::default(),
        };
        let reply = stage(&mut staged);
        let Stage { mut batch, touched, .. } = staged;
        let health = &self.writer.health;
        let had_failed = health.has_failed();
        // After a failure even an empty write goes to disk once there is space again: it shows that the next one works.
        if batch.is_empty() && (!had_failed || health.check(|| inner.directory.check_disk()).is_err()) {
            inner.failed = None;
            return reply;
        }
        // After an error the batch is incomplete: discard it, and load the tables again at the next write.
        let reply = reply?;
        inner.tables.sequence = sequence;
        let stamp = [sequence.to_le_bytes(), inner.tables.last_at.to_le_bytes()].concat();
        batch.insert(Space::Meta, keys::SEQUENCE, codec::seal(keys::SEQUENCE, &[&stamp]));
        health.begin_write();
        let written = store.write(batch, || touched.failpoint());
        // A small write may succeed on a disk that is still full.
        let checked = if had_failed && written.is_ok() { inner.directory.check_disk() } else { Ok(()) };
        health.ended(written.as_ref().and(checked.as_ref()).err().map(ToString::to_string));
        inner.failed = written.as_ref().err().map(ToString::to_string);
        written?;
        self.finish(touched);
        Ok(reply)
    }

    /// Publishes a durable write and wakes the waiting readers.
    fn finish(&mut self, touched: Touched) {
        self.writer.publish(&self.inner.tables);
        let sequence = self.inner.tables.sequence;
        // The write itself is durable: with an old number the check at the next opening only detects fewer lost writes.
        if let Err(error) = self.inner.directory.acknowledge(sequence) {
            tracing::warn!(%error, "The log cannot record the number of the acknowledged write.");
        }
        if touched.inputs {
            self.writer.records.raise();
        }
        if touched.results {
            self.writer.results.raise();
        }
    }

    fn write_group(&mut self, requests: Vec<Request>) -> Vec<Result<Reply, LogError>> {
        let count = requests.len();
        let stage_all =
            |stage: &mut Stage<'_>| Ok(requests.into_iter().map(|request| stage.request(request)).collect());
        self.write(stage_all).unwrap_or_else(|error| vec![Err(error); count])
    }
}

/// The error of a store that failed with `earlier` and cannot be opened again.
fn reopening_failed(earlier: Option<&str>, error: LogError) -> LogError {
    match error {
        error if error.is_permanent() => error,
        // With its remedy, which no retry replaces.
        LogError::Io { operation, path, source, .. } if remedy(&source).is_some() => {
            LogError::Io { operation, path, outcome_unknown: true, source }
        }
        error => {
            let reason = format!("{}; reopening failed: {error}", earlier.unwrap_or_default());
            LogError::Unavailable { reason }
        }
    }
}

/// The store behind a read lock; fails if the store could not be reopened.
pub(super) fn opened(store: &Option<Store>) -> Result<&Store, LogError> {
    store.as_ref().ok_or_else(|| LogError::Unavailable { reason: "the store is closed".to_owned() })
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
            reopening_failed(Some("it is full"), error)
        };
        let denied = failed(ErrorKind::PermissionDenied);
        assert!(denied.remedy().is_some() && denied.outcome_is_unknown() && !denied.is_temporary(), "{denied}");
        let full = failed(ErrorKind::StorageFull);
        assert!(full.is_temporary() && full.to_string().contains("it is full; reopening failed"), "{full}");
    }
}
