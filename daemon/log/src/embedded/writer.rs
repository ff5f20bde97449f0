//! The single writer: all changes go through it, in groups that share one write and one sync.
//!
//! A caller puts its request into the queue ([`queue`](super::queue)). One of the callers leads: it takes the write
//! lock and writes everything that is queued by then for all of them. A lone caller pays one sync, a hundred callers
//! share a few, and no thread of its own is needed.
//!
//! Each request is staged into one batch: verified first, then applied to the tables in memory. If the write fails,
//! every request of the group fails and the tables are thrown away: the next request opens the store again and reads
//! them back. Readers never see the tables, only the ends published after the sync.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use daemon_base::failpoint;

use crate::codec;
use crate::config::LogConfig;
use crate::embedded::directory::Directory;
use crate::embedded::load::load;
use crate::embedded::queue::Queue;
use crate::embedded::store::{Batch, Space, Store};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::keys;
use crate::signal::Signal;
use crate::types::{AppendBatch, Appended, Bounds, PartitionCommit, PartitionId, SinkPosition};

/// A change that a caller wants written.
pub(super) enum Request {
    Append(AppendBatch),
    Commit(Vec<PartitionCommit>, u64),
    CommitSource(PartitionCommit, AppendBatch),
    RegisterStream(String),
    RemoveSink(String),
    ResetState(PartitionId),
    SetSink(String, SinkPosition),
}

/// The answer to a written request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Appended(Appended),
    Done,
    Stream(u16),
}

/// One write in the making.
pub(super) struct Stage<'a> {
    pub store: &'a Store,
    pub tables: &'a mut Tables,
    pub config: &'a LogConfig,
    pub batch: Batch,
    /// The number of this write.
    pub sequence: u64,
    /// The idempotency keys of this group, not yet readable in the store.
    pub fresh_keys: HashMap<String, (u32, Vec<u8>)>,
    /// Which fault point and which signals this write concerns.
    pub touched: Touched,
}

/// What a write changes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Touched {
    pub inputs: bool,
    pub retention: bool,
    pub results: bool,
    pub states: bool,
}

/// The ends that readers may read up to.
#[derive(Debug, Default)]
struct Published {
    partitions: BTreeMap<PartitionId, Bounds>,
    results: Bounds,
}

struct Inner {
    directory: Directory,
    tables: Tables,
    /// Why the store must be opened again before the next write.
    failed: Option<String>,
    reopened: u64,
}

/// The only writer of the store: it groups concurrent requests into one write and one sync.
pub(super) struct Writer {
    config: LogConfig,
    queue: Queue<Request, Result<Answer, LogError>>,
    inner: Mutex<Inner>,
    store: RwLock<Option<Store>>,
    store_path: PathBuf,
    published: RwLock<Published>,
    pub(super) records: Signal,
    pub(super) results: Signal,
}

/// The write lock with the open store in it.
pub(super) struct Locked<'a> {
    writer: &'a Writer,
    inner: MutexGuard<'a, Inner>,
    store: RwLockReadGuard<'a, Option<Store>>,
}

impl Writer {
    pub(super) fn open(mut directory: Directory, config: LogConfig) -> Result<Self, LogError> {
        let store_path = directory.store_path();
        let store = Store::open(&store_path)?;
        let tables = load(&store)?;
        directory.check_nothing_is_lost(tables.sequence)?;
        let writer = Self {
            config,
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

    /// Writes a request together with all that are waiting; returns when it is on disk.
    pub(super) fn submit(&self, request: Request) -> Result<Answer, LogError> {
        let write = |take: &mut dyn FnMut() -> Vec<Request>| {
            // The requests are taken when the lock is there, so that all that came meanwhile go along.
            let locked = self.lock();
            let requests = take();
            match locked {
                Ok(mut locked) => locked.write_group(requests),
                Err(error) => vec![Err(error); requests.len()],
            }
        };
        self.queue
            .submit(request, write)
            .unwrap_or_else(|| Err(LogError::Unavailable { reason: "the writing thread died".to_owned() }))
    }

    /// Takes the write lock; opens the store again if it has failed.
    pub(super) fn lock(&self) -> Result<Locked<'_>, LogError> {
        self.prepare(lock(&self.inner))
    }

    /// The open store, for reading below the published ends.
    pub(super) fn reader(&self) -> RwLockReadGuard<'_, Option<Store>> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The published ends of a partition or of the results.
    pub(super) fn bounds(&self, place: PartitionId) -> Bounds {
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        if place == PartitionId::RESULTS {
            published.results
        } else {
            published.partitions.get(&place).copied().unwrap_or_default()
        }
    }

    fn prepare<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) -> Result<Locked<'a>, LogError> {
        let dead = self.reader().as_ref().is_none_or(|store| store.check_alive().is_err());
        if dead && inner.failed.is_none() {
            inner.failed = Some("a background flush failed".to_owned());
        }
        if let Some(reason) = &inner.failed {
            tracing::warn!(%reason, "The log's store has failed; opening it again.");
            self.reopen(&mut inner)?;
        }
        Ok(Locked { writer: self, inner, store: self.reader() })
    }

    fn reopen(&self, inner: &mut Inner) -> Result<(), LogError> {
        let mut slot = self.store.write().unwrap_or_else(PoisonError::into_inner);
        // The store holds its file lock until it is dropped.
        *slot = None;
        let opened = Store::open(&self.store_path).and_then(|store| {
            let tables = load(&store)?;
            inner.directory.check_nothing_is_lost(tables.sequence)?;
            Ok((store, tables))
        });
        let (store, tables) = opened.map_err(|error| {
            let earlier = inner.failed.as_deref().unwrap_or_default();
            LogError::Unavailable { reason: format!("{earlier}; then: {error}") }
        })?;
        *slot = Some(store);
        drop(slot);
        (inner.tables, inner.failed) = (tables, None);
        inner.reopened += 1;
        self.publish(&inner.tables);
        Ok(())
    }

    fn publish(&self, tables: &Tables) {
        let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
        let partitions = tables.partitions.iter();
        published.partitions.extend(partitions.map(|(id, partition)| (*id, partition.ends.bounds)));
        published.results = tables.results.bounds;
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

    /// Stages what `stage` wants, then writes it.
    pub(super) fn write<T>(
        &mut self,
        stage: impl FnOnce(&mut Stage<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let store = opened(&self.store)?;
        let inner = &mut *self.inner;
        // Until the write has succeeded the tables are ahead of the disk, also if something panics.
        inner.failed = Some("a write was not finished".to_owned());
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
        let answer = stage(&mut staged);
        let Stage { mut batch, touched, .. } = staged;
        if batch.is_empty() {
            inner.failed = None;
            return answer;
        }
        // Half staged: nothing is written, and the tables are read anew at the next write.
        let answer = answer?;
        inner.tables.sequence = sequence;
        let stamp = [sequence.to_le_bytes(), inner.tables.last_at.to_le_bytes()].concat();
        batch.insert(Space::Meta, keys::SEQUENCE, codec::seal(keys::SEQUENCE, &[&stamp]));
        if let Err(error) = store.write(batch, || touched.fault_point()) {
            inner.failed = Some(error.to_string());
            return Err(error);
        }
        inner.failed = None;
        self.finish(touched);
        Ok(answer)
    }

    fn finish(&mut self, touched: Touched) {
        self.writer.publish(&self.inner.tables);
        let sequence = self.inner.tables.sequence;
        // The write itself is durable: a witness that stays behind only makes the check at opening weaker.
        if let Err(error) = self.inner.directory.acknowledge(sequence) {
            tracing::warn!(%error, "The acknowledged write could not be noted.");
        }
        if touched.inputs {
            self.writer.records.raise();
        }
        if touched.results {
            self.writer.results.raise();
        }
    }

    fn write_group(&mut self, requests: Vec<Request>) -> Vec<Result<Answer, LogError>> {
        let count = requests.len();
        let stage_all =
            |stage: &mut Stage<'_>| Ok(requests.into_iter().map(|request| stage.request(request)).collect());
        self.write(stage_all).unwrap_or_else(|error| vec![Err(error); count])
    }
}

impl Stage<'_> {
    /// Verifies a request, then stages it: an error leaves nothing of it behind.
    fn request(&mut self, request: Request) -> Result<Answer, LogError> {
        match request {
            Request::Append(batch) => self.append(batch).map(Answer::Appended),
            Request::Commit(commits, at) => self.commit(commits, at).map(|()| Answer::Done),
            Request::CommitSource(commit, samples) => self.commit_source(commit, samples).map(|()| Answer::Done),
            Request::RegisterStream(name) => self.register_stream(name).map(Answer::Stream),
            Request::RemoveSink(name) => self.remove_sink(&name).map(|()| Answer::Done),
            Request::ResetState(partition) => self.reset_state(partition).map(|()| Answer::Done),
            Request::SetSink(name, position) => self.set_sink(name, position).map(|()| Answer::Done),
        }
    }
}

impl Touched {
    fn fault_point(self) {
        if self.inputs {
            failpoint::point("append.mid");
        }
        if self.states {
            failpoint::point("commit.mid");
        }
        if self.retention {
            failpoint::point("retention.mid");
        }
    }
}

/// The store behind a read lock; it is missing only if reopening it failed.
pub(super) fn opened(store: &Option<Store>) -> Result<&Store, LogError> {
    store.as_ref().ok_or_else(|| LogError::Unavailable { reason: "the store is closed".to_owned() })
}

/// A panic in another thread does not end the log: the writer's `failed` mark covers a change that it cut short.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
