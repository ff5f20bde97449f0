//! One write: requests are staged into a record, the record goes to its files, and readers see it.

use crate::Appended;
use crate::embedded::directory::drop_results_path;
use crate::embedded::disk;
use crate::embedded::free::free_state;
use crate::embedded::journal::{Kind, Record};
use crate::embedded::recover::Open;
use crate::embedded::segment::Family;
use crate::embedded::stage::{Reply, Request, Stage, Touched};
use crate::embedded::writer::{Inner, Locked};
use crate::error::LogError;

/// The size of the requests that share a write, far below the 4 GiB of a place. A larger one has a write of its own.
const MAX_WRITE_BYTES: u64 = 256 * 1024 * 1024;

impl Locked<'_> {
    /// Stages changes with `stage`, then writes them.
    pub(super) fn write<T>(
        &mut self,
        stage: impl FnOnce(&mut Stage<'_>) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        self.check()?;
        self.write_checked(stage)
    }

    /// Stages and writes, after [`check`](Self::check).
    fn write_checked<T>(&mut self, stage: impl FnOnce(&mut Stage<'_>) -> Result<T, LogError>) -> Result<T, LogError> {
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
        let names_missing = !inner.unwritten.is_empty();
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
        self.finish(record, touched, &freed);
        if names_missing {
            // No later start finds the files missing, so a permission to go on without them has been used.
            disk::remove_unused(&drop_results_path(&writer.store));
        }
        Ok(reply)
    }

    /// Writes the names of the open files of results and state, unless a write has named them.
    pub(super) fn name_open_files(&mut self) -> Result<(), LogError> {
        let is_named = |family| self.known().file_ends.contains_key(&(family, self.open_number(family)));
        if is_named(Family::Results) && is_named(Family::State) {
            return Ok(());
        }
        self.write(|stage| {
            stage.name_open_files();
            Ok(())
        })
    }

    /// Fails if a write could not be found again, or if the disk is still full after a failed write: a small write may
    /// succeed on such a disk.
    fn check(&mut self) -> Result<(), LogError> {
        let health = &self.writer.health;
        health.check_found()?;
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
    fn finish(&mut self, record: Record, touched: Touched, freed: &[u32]) {
        let mut catalog = self.catalog_mut();
        catalog.publish(&self.inner.tables, &record.frames);
        record.into_frames().for_each(|frame| catalog.recent.push(frame));
        drop(catalog);
        freed.iter().for_each(|number| self.delete_state(*number));
        let sequence = self.inner.tables.sequence;
        self.inner.directory.acknowledge(sequence);
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
        file.into_iter().for_each(|file| disk::remove_unused(&file.path));
        self.catalog_mut().retire(Family::State, number);
    }

    /// Writes the requests of a group, in several writes if they are large together.
    pub(super) fn write_group(&mut self, requests: Vec<Request>) -> Vec<Result<Reply, LogError>> {
        // Not refused for a file that cannot be added.
        let known = requests.iter().map(|request| self.reply_without_change(request).map(Ok));
        if let Some(replies) = known.collect() {
            return replies;
        }
        let mut replies = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(request) = requests.next_if(|next| bytes == 0 || bytes + next.bytes() <= MAX_WRITE_BYTES) {
                bytes += request.bytes().max(1);
                part.push(request);
            }
            replies.extend(self.write_all(part));
        }
        replies
    }

    fn write_all(&mut self, requests: Vec<Request>) -> Vec<Result<Reply, LogError>> {
        if let Err(error) = self.check() {
            return requests
                .iter()
                .map(|request| self.reply_without_change(request).ok_or_else(|| error.clone()))
                .collect();
        }
        let count = requests.len();
        let stage_all =
            |stage: &mut Stage<'_>| Ok(requests.into_iter().map(|request| stage.request(request)).collect());
        self.write_checked(stage_all).unwrap_or_else(|error| vec![Err(error); count])
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
