//! The single writer: it combines concurrent requests into one write and one sync.
//!
//! A caller adds its request to the queue ([`queue`](super::queue)). One of the callers leads: it takes the write lock
//! and writes all queued requests. A single caller pays one sync, a hundred concurrent callers share a few, and the log
//! needs no writer thread.
//!
//! The leader stages all requests into one record ([`stage`](super::stage)). If the write fails, every request of the
//! group fails, and the next request reads the tables from the files again. Readers do not use the tables; they use
//! the catalog, to which the writer publishes after the sync.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use daemon_base::remedy::remedy;

use crate::config::LogConfig;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::{Change, FrameAt};
use crate::embedded::checkpoint::create_journal;
use crate::embedded::directory::Directory;
use crate::embedded::disk;
use crate::embedded::health::Health;
use crate::embedded::journal::{Kind, Record};
use crate::embedded::queue::Queue;
use crate::embedded::recover::{Open, Opened, recover};
use crate::embedded::segment::{Family, HEAD_LEN, Segment};
use crate::embedded::stage::{Reply, Request, Stage, Touched};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::signal::Signal;
use crate::{Appended, Bounds, PartitionId};

/// The least that a commit copies of the chunks of state, if it copies any.
const MIN_COPY_BYTES: u64 = 1024 * 1024;

/// The largest size of a file of the journal, far below the 4 GiB of a place.
const MAX_JOURNAL_BYTES: u64 = 1024 * 1024 * 1024;

/// The size from which a checkpoint makes its file of the journal longer.
const LARGE_CHECKPOINT: u64 = 128 * 1024;

/// The state behind the write lock.
struct Inner {
    directory: Directory,
    tables: Tables,
    /// The open file of each family.
    open: [Open; 3],
    /// Files of state that hold a damaged chunk: they stay.
    kept: BTreeSet<u32>,
    /// Deletions of files that no write has named yet.
    unwritten: Vec<Change>,
    /// The failure after which the tables must be read again before the next write.
    failed: Option<String>,
    /// How often the tables were read again.
    reopened: u64,
}

/// The only writer of the log, which combines concurrent requests into one write and one sync.
pub(super) struct Writer {
    config: LogConfig,
    /// The size at which a file of each family is closed and the next one begins.
    segment_bytes: [u64; 3],
    queue: Queue<Request, Result<Reply, LogError>>,
    inner: Mutex<Inner>,
    catalog: RwLock<Catalog>,
    store: PathBuf,
    pub(super) health: Health,
    /// Raised after each write that appends input.
    pub(super) records: Signal,
    /// Raised after each write that appends results.
    pub(super) results: Signal,
}

/// The write lock.
pub(super) struct Locked<'a> {
    writer: &'a Writer,
    inner: MutexGuard<'a, Inner>,
}

impl Writer {
    /// Opens the files in `directory` and reads the tables.
    pub(super) fn open(mut directory: Directory, config: LogConfig, segment_bytes: [u64; 3]) -> Result<Self, LogError> {
        let store = directory.store_path();
        let Opened { mut tables, catalog, open, missing } = recover(&store, &directory.acknowledged()?)?;
        tables.keys.drop_excess(&config);
        Ok(Self {
            config,
            segment_bytes,
            health: Health::new(directory.path(), &store),
            queue: Queue::default(),
            catalog: RwLock::new(catalog),
            store,
            records: Signal::new(),
            results: Signal::new(),
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

    fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self, inner: &mut Inner) -> Result<(), LogError> {
        let Opened { mut tables, catalog, open, missing } = recover(&self.store, &inner.directory.acknowledged()?)?;
        tables.keys.drop_excess(&self.config);
        (inner.tables, inner.open, inner.failed) = (tables, open, None);
        inner.unwritten = retired(missing);
        inner.reopened += 1;
        *self.catalog_mut() = catalog;
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

    /// The committed end of a file to which writes append; `None` for a closed file.
    pub(super) fn open_end(&self, segment: &Segment) -> Option<u64> {
        self.inner.open.iter().find(|open| open.segment.path == segment.path).map(|open| open.end)
    }

    /// Makes the next caller read the tables again.
    pub(super) fn fail(&mut self, reason: String) {
        self.inner.failed = Some(reason);
    }

    pub(super) fn drop_expired_keys(&mut self, now: u64) -> u64 {
        let config = &self.writer.config;
        self.inner.tables.keys.drop_expired(now, config)
    }

    /// Stages changes with `stage`, then writes them.
    pub(super) fn write<T>(
        &mut self,
        stage: impl FnOnce(&mut Stage<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.check()?;
        self.roll_full_files()?;
        let writer = self.writer;
        let catalog = writer.catalog();
        let inner = &mut *self.inner;
        // Until the write succeeds the tables are ahead of the disk; the mark also covers a panic.
        inner.failed = Some("a write did not finish".to_owned());
        let ends = [0, 1, 2].map(|it: usize| (inner.open[it].segment.number, inner.open[it].end));
        let sequence = inner.tables.sequence + 1;
        let mut staged = Stage {
            tables: &mut inner.tables,
            catalog: &catalog,
            config: &writer.config,
            record: Record::default(),
            sequence,
            ends,
            touched: Touched::default(),
        };
        let reply = stage(&mut staged);
        if staged.record.is_empty() && !writer.health.has_failed() {
            inner.failed = None;
            return reply;
        }
        staged.name_open_files();
        inner.unwritten.drain(..).for_each(|change| staged.change(change));
        let freed = if staged.touched.states {
            free_state(&mut staged, &mut inner.kept, writer.segment_bytes[Family::State as usize])
        } else {
            Vec::new()
        };
        let Stage { record, touched, .. } = staged;
        drop(catalog);
        let reply = reply?;
        inner.tables.sequence = sequence;
        self.put(&record, touched)?;
        self.finish(&record.frames, touched, &freed);
        Ok(reply)
    }

    /// Fails if a write could not be found again, or if the disk is still full after a failed write: a small write may
    /// succeed on such a disk.
    fn check(&mut self) -> Result<(), LogError> {
        let health = &self.writer.health;
        if let Some(reason) = health.is_lost() {
            return Err(LogError::Unavailable { reason });
        }
        if health.has_failed() {
            return health.check(|| self.inner.directory.check_disk());
        }
        Ok(())
    }

    /// Writes a record to its files and syncs them.
    fn put(&mut self, record: &Record, touched: Touched) -> Result<(), LogError> {
        let health = &self.writer.health;
        health.begin_write();
        let written = put(&mut self.inner, record, touched);
        health.ended(written.as_ref().err().map(ToString::to_string));
        self.inner.failed = written.as_ref().err().map(ToString::to_string);
        written
    }

    /// Publishes a durable write and wakes the waiting readers.
    fn finish(&mut self, frames: &[FrameAt], touched: Touched, freed: &[u32]) {
        self.catalog_mut().publish(&self.inner.tables, frames);
        freed.iter().for_each(|number| self.delete_state(*number));
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

    /// Deletes a file of state of which nothing is in use.
    fn delete_state(&self, number: u32) {
        let file = self.catalog().file(Family::State, number);
        // A file that cannot be deleted now is deleted at the next opening.
        if let Some(Err(error)) = file.map(|file| disk::remove(&file.path)) {
            tracing::warn!(%error, number, "A file of state that is not in use stays.");
        }
        self.catalog_mut().retire(Family::State, number);
    }

    fn write_group(&mut self, requests: Vec<Request>) -> Vec<Result<Reply, LogError>> {
        if let Err(error) = self.check() {
            return requests
                .iter()
                .map(|request| self.reply_without_change(request).ok_or_else(|| error.clone()))
                .collect();
        }
        let count = requests.len();
        let stage_all =
            |stage: &mut Stage<'_>| Ok(requests.into_iter().map(|request| stage.request(request)).collect());
        self.write(stage_all).unwrap_or_else(|error| vec![Err(error); count])
    }

    /// The reply to a request that changes nothing, which needs no disk.
    fn reply_without_change(&self, request: &Request) -> Option<Reply> {
        let Inner { tables, .. } = &*self.inner;
        match request {
            Request::Append(batch) => {
                let at = batch.appended_at.max(tables.last_at);
                let outcome =
                    tables.keys.outcome(batch.idempotency.as_ref()?, at, &self.writer.config).ok().flatten()?;
                Some(Reply::Appended(Appended::Duplicate { outcome }))
            }
            Request::RegisterStream(name) => tables.streams.get(name).map(|number| Reply::Stream(*number)),
            Request::RemoveSink(name) => (!tables.sinks.contains_key(name)).then_some(Reply::Done),
            Request::SetSink(name, position) => (tables.sinks.get(name) == Some(position)).then_some(Reply::Done),
            Request::Commit(..) | Request::CommitSource(..) | Request::ResetState(_) => None,
        }
    }

    fn roll_full_files(&mut self) -> Result<(), LogError> {
        for family in Family::ALL {
            let Open { begin, end, .. } = self.inner.open[family as usize];
            // Much more than a large checkpoint, so that little of the journal is checkpoints.
            let limit = if begin > LARGE_CHECKPOINT { (8 * begin).min(MAX_JOURNAL_BYTES) } else { 0 };
            if end > begin && end - begin >= self.writer.segment_bytes[family as usize].max(limit) {
                self.roll(family)?;
            }
        }
        Ok(())
    }

    /// Closes the open file of a family and begins the next one.
    pub(super) fn roll(&mut self, family: Family) -> Result<(), LogError> {
        let (store, number) = (&self.writer.store, self.open_number(family) + 1);
        // The new file may be there in spite of an error.
        self.inner.failed = Some("a new file was not finished".to_owned());
        let created = if family == Family::Journal {
            create_journal(store, number, &self.inner.tables, &self.writer.catalog())
        } else {
            // On the disk before any write names it.
            Segment::create(store, family, number, "").and_then(|segment| {
                segment.sync()?;
                disk::sync_directory(store).map_err(|source| segment.write_error(source))?;
                Ok((segment, HEAD_LEN))
            })
        };
        let (segment, begin) = created.inspect_err(|error| self.writer.health.ended(Some(error.to_string())))?;
        let segment = Arc::new(segment);
        self.writer.catalog_mut().add_file(family, Arc::clone(&segment));
        let opened = Open { segment, begin, end: begin };
        let Open { segment: closed, .. } = std::mem::replace(&mut self.inner.open[family as usize], opened);
        if family == Family::Journal && !self.inner.tables.input_parts.contains_key(&closed.number) {
            // It has no input, and the checkpoint has everything else.
            disk::remove(&closed.path).map_err(|source| closed.write_error(source))?;
            self.writer.catalog_mut().retire(family, closed.number);
        }
        self.inner.failed = None;
        Ok(())
    }
}

/// Writes a record to the end of the open files, and syncs them.
fn put(inner: &mut Inner, record: &Record, touched: Touched) -> Result<(), LogError> {
    if let Some(reason) = &record.failure {
        return Err(LogError::invalid(reason));
    }
    let (head, changes) = record.blocks(Kind::Write, inner.tables.sequence, inner.tables.last_at);
    let mut written = [false; 3];
    for family in [Family::Results, Family::State, Family::Journal] {
        let Open { segment, end, .. } = &inner.open[family as usize];
        let journal = family == Family::Journal;
        let len = if journal { record.journal_len() } else { record.size(family) };
        if end + len > u64::from(u32::MAX) {
            return Err(LogError::invalid(format!("one write has {len} bytes for {}", segment.path.display())));
        }
        if len == 0 {
            continue;
        }
        let (before, after) = if journal { (&head[..], &changes[..]) } else { (&[][..], &[][..]) };
        let parts = std::iter::once(before).chain(record.bodies(family)).chain(std::iter::once(after));
        disk::write(&segment.file, &segment.path, *end, parts).map_err(|source| segment.write_error(source))?;
        written[family as usize] = true;
    }
    touched.failpoint();
    for family in Family::ALL.into_iter().filter(|family| written[*family as usize]) {
        inner.open[family as usize].segment.sync()?;
    }
    for family in Family::ALL {
        let journal = family == Family::Journal;
        inner.open[family as usize].end += if journal { record.journal_len() } else { record.size(family) };
    }
    Ok(())
}

/// Stages copies of chunks from the oldest file of state while more than half of all bytes is not in use, and the
/// deletion of the files that are not in use; returns their numbers.
///
/// It copies in proportion to what the write has itself, so that a write is never much longer for it.
fn free_state(stage: &mut Stage<'_>, kept: &mut BTreeSet<u32>, segment_bytes: u64) -> Vec<u32> {
    let open = stage.ends[Family::State as usize].0;
    let live = |stage: &Stage<'_>, number: u32| stage.tables.live.get(&number).copied().unwrap_or(0);
    let files: BTreeMap<u32, u64> = stage.tables.file_ends.iter().filter_map(of_state).collect();
    let (total, in_use) = (files.values().sum::<u64>(), stage.tables.live.values().sum::<u64>());
    let oldest = files.keys().copied().find(|number| *number < open && !kept.contains(number));
    if let Some(oldest) = oldest.filter(|_| total > 2 * in_use + 2 * segment_bytes) {
        let before = live(stage, oldest);
        stage.copy_chunks(oldest, (2 * stage.record.size(Family::State)).max(MIN_COPY_BYTES));
        // All of it is damaged: the next one is tried.
        if before > 0 && live(stage, oldest) == before {
            kept.insert(oldest);
        }
    }
    let unused: Vec<_> = files.keys().copied().filter(|number| *number < open && live(stage, *number) == 0).collect();
    for segment in &unused {
        kept.remove(segment);
        stage.change(Change::Retired { family: Family::State, segment: *segment });
    }
    unused
}

fn of_state(((family, number), end): (&(Family, u32), &u64)) -> Option<(u32, u64)> {
    (*family == Family::State).then_some((*number, *end))
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
