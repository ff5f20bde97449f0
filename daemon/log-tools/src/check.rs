//! The check of every file of a log.
//!
//! It reads what a daemon reads at its start and later, and what nobody reads any more: all frames of input and results,
//! the changes of all writes, all chunks of state that are in use. It changes nothing, takes no lock, and a process may
//! write the log meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use daemon_base::regular_file;
use daemon_log::files::{
    Change, ChunkAt, Family, Frame, FrameAt, HEAD_LEN, Part, RecordHead, acknowledged_path, head, is_log, store_path,
    unseal_acknowledged,
};
use daemon_log::{EmbeddedLog, LogError, PartitionId};

use crate::history::History;
use crate::ranges::Ranges;
use crate::report::Report;
use crate::snapshot::Snapshot;
use crate::states::{DecodeState, read_chunk};
use crate::walk::{Bad, Block, Walk};

/// What was read of a log.
pub(crate) struct Content {
    pub(crate) store: PathBuf,
    pub(crate) snapshot: Snapshot,
    pub(crate) history: History,
    /// The offsets of each log that can be read.
    pub(crate) readable: BTreeMap<PartitionId, Ranges>,
    pub(crate) report: Report,
    /// The number of the last acknowledged write; 0 if it cannot be read.
    pub(crate) acknowledged: u64,
    /// A record of results without any, which takes the place of lost ones in a salvaged log.
    pub(crate) empty_result: Vec<u8>,
}

/// The last write of the newest journal, which may be torn.
type LastWrite = (RecordHead, Vec<Change>);

/// Reads all files of the log in the directory `path`, and passes each state whose checksums are right to `decode`.
///
/// # Errors
/// [`LogError::NoLog`], [`LogError::UnknownVersion`] or [`LogError::NotADirectory`] if there is no log of this version.
/// [`LogError::Io`] if a directory cannot be listed or a file cannot be opened. [`LogError::Unavailable`] if files are
/// deleted faster than they are opened. Damage is no error: the report has it.
pub fn check(path: &Path, decode: &mut DecodeState<'_>) -> Result<Report, LogError> {
    read(path, decode).map(|(content, _)| content.report)
}

/// Reads a log; returns its content and the partitions whose state is damaged.
pub(crate) fn read(path: &Path, decode: &mut DecodeState<'_>) -> Result<(Content, BTreeSet<PartitionId>), LogError> {
    let mut report = Report::default();
    let store = store_path(path);
    match (is_log(path)?, store.is_dir()) {
        (true, _) => EmbeddedLog::check_format(path)?,
        (false, true) => report.damaged(path.join("VERSION"), None, "it is missing"),
        (false, false) => return Err(LogError::NoLog { path: path.to_owned() }),
    }
    if !store.is_dir() {
        report.damaged(&store, None, "it is missing");
        let snapshot = Snapshot { files: BTreeMap::new(), newest: None };
        let (history, readable) = (History::default(), BTreeMap::new());
        return Ok((
            Content { store, snapshot, history, readable, report, acknowledged: 0, empty_result: Vec::new() },
            BTreeSet::new(),
        ));
    }
    // First: the number must not be ahead of the journal that is read.
    let acknowledged = read_acknowledged(path, &mut report);
    let snapshot = Snapshot::open(&store)?;
    (report.files, report.bytes) = (snapshot.files.len(), snapshot.bytes());
    let (history, readable) = (History::default(), BTreeMap::new());
    let empty_result = Vec::new();
    let mut content = Content { store, snapshot, history, readable, report, acknowledged, empty_result };
    content.read_journals();
    content.check_acknowledged(path);
    content.check_heads();
    content.find_missing_files();
    content.read_results();
    content.find_missing_records();
    let damaged = content.check_states(decode);
    content.check_sinks();
    content.sum_up();
    Ok((content, damaged))
}

/// The number of the last acknowledged write; 0 if it cannot be read.
fn read_acknowledged(path: &Path, report: &mut Report) -> u64 {
    let file = acknowledged_path(path);
    let found = regular_file::read(&file).map_err(|error| error.to_string());
    match found.map(|sealed| unseal_acknowledged(&sealed).ok_or(sealed.is_empty())) {
        Ok(Ok(sequence)) => return sequence,
        // A log that was opened and never written.
        Ok(Err(true)) => {}
        Ok(Err(false)) => report.damaged(file, Some(0), "its checksum is wrong"),
        Err(reason) => {
            let reason = format!("{reason}; whether the last writes are all there cannot be checked");
            report.damaged(file, None, reason);
        }
    }
    0
}

impl Content {
    /// The first write may end before it is acknowledged; with more of them the file of the last one is not empty.
    fn check_acknowledged(&mut self, path: &Path) {
        let file = acknowledged_path(path);
        if self.history.newest > 1 && std::fs::metadata(&file).is_ok_and(|file| file.len() == 0) {
            self.report.damaged(file, Some(0), "it is empty, and the journal has several writes");
        }
    }

    /// The number of writes from the first one that cannot be read on.
    pub(crate) fn lost_writes(&self) -> u64 {
        self.acknowledged.max(self.history.newest).saturating_sub(self.history.tables.sequence)
    }

    /// Checks the heads of the files that belong to the log. The next start deletes others, such as one whose creation a
    /// power cut interrupted.
    fn check_heads(&mut self) {
        let tables = &self.history.tables;
        for ((family, number), source) in &self.snapshot.files {
            let is_used = *family == Family::Journal || tables.file_ends.contains_key(&(*family, *number));
            if !is_used {
                continue;
            }
            let found = source.read_exact(0, HEAD_LEN as usize);
            if found.as_deref() != Ok(&head(*family, *number)[..]) {
                let reason = found.err().unwrap_or_else(|| "its head is not that of this file".to_owned());
                self.report.damaged(&source.path, Some(0), reason);
            }
        }
    }

    fn read_journals(&mut self) {
        let Self { snapshot, history, readable, report, acknowledged, .. } = self;
        let mut last: Option<LastWrite> = None;
        for (number, source) in snapshot.of(Family::Journal) {
            let is_newest = snapshot.newest == Some(number);
            let mut bad: Vec<Bad> = Vec::new();
            for block in Walk::new(source, source.len) {
                match block {
                    Ok(Block::Frame(frame)) => add(readable, &frame),
                    // The last one may be torn in other files.
                    Ok(Block::Record(head, changes)) => {
                        if let Some((head, changes)) = last.replace((head, changes)) {
                            history.take(head, changes);
                        }
                    }
                    Err(found) => bad.push(found),
                }
            }
            let found = last.as_ref().map_or(0, |(head, _)| head.sequence).max(history.newest);
            let torn = bad.pop_if(|bad| is_newest && bad.to >= source.len && found >= *acknowledged);
            report.notes.extend(torn.map(|torn| {
                let (path, bytes) = (source.path.display(), source.len - torn.from);
                format!(
                    "{path} ends with {bytes} bytes of a write that was not acknowledged; the next start cuts them off"
                )
            }));
            bad.into_iter().for_each(|bad| report.damaged(&source.path, Some(bad.from), bad.reason));
        }
        self.take_last(last);
    }

    /// Applies the last write, unless it is torn, and compares it with the acknowledged one.
    fn take_last(&mut self, last: Option<LastWrite>) {
        let Self { snapshot, history, readable, report, acknowledged, .. } = self;
        if let Some((head, changes)) = last {
            if head.sequence > *acknowledged && !is_whole(snapshot, readable, &changes) {
                let write = head.sequence;
                report
                    .notes
                    .push(format!("write {write} was torn before it was acknowledged; the next start drops it"));
            } else {
                history.take(head, changes);
            }
        }
        let newest = snapshot
            .newest
            .map_or_else(|| self.store.clone(), |number| self.store.join(Family::Journal.file_name(number)));
        if !history.is_known {
            report.damaged(newest, None, "no journal has a checkpoint that can be read");
            return;
        }
        let found = history.tables.sequence;
        if history.later > 0 {
            let reason = format!("{} writes follow one behind write {found} that cannot be read", history.later);
            report.damaged(&newest, None, reason);
        }
        if found < *acknowledged && history.later == 0 {
            let reason = format!("it ends at write {found}, but write {acknowledged} was acknowledged");
            report.damaged(newest, None, reason);
        }
    }

    /// Reports the files that are missing. One of which nothing is needed was about to be deleted: its records are
    /// forgotten, as a start does.
    fn find_missing_files(&mut self) {
        let tables = &self.history.tables;
        let is_there = |family, number: &u32| self.snapshot.files.contains_key(&(family, *number));
        let oldest = tables.results_parts.keys().copied().find(|number| is_there(Family::Results, number));
        let mut missing = Vec::new();
        for (number, parts) in &tables.input_parts {
            let needed = !parts.iter().all(|(id, part)| tables.is_applied(*id, part));
            missing.extend((!is_there(Family::Journal, number)).then_some((Family::Journal, *number, needed)));
        }
        for (number, parts) in &tables.results_parts {
            let unread = |part: &Part| tables.unread_in(part) > 0;
            let needed = oldest.is_none_or(|oldest| *number > oldest) || parts.values().any(unread);
            missing.extend((!is_there(Family::Results, number)).then_some((Family::Results, *number, needed)));
        }
        let known = tables.file_ends.keys().filter(|(family, number)| !is_there(*family, number));
        let open =
            known.filter(|(family, number)| *family == Family::State || !tables.results_parts.contains_key(number));
        missing.extend(open.map(|(family, number)| (*family, *number, true)));
        for (family, number, needed) in missing {
            let path = self.store.join(family.file_name(number));
            if needed {
                self.report.damaged(path, None, "the file is missing");
            } else {
                let note = format!("{} is missing, of which nothing is needed any more", path.display());
                self.report.notes.push(note);
                self.history.tables.retire(family, number);
            }
        }
    }

    fn read_results(&mut self) {
        let Self { snapshot, history, readable, report, .. } = self;
        for (number, source) in snapshot.of(Family::Results) {
            let Some(end) = history.tables.file_ends.get(&(Family::Results, number)) else { continue };
            for block in Walk::new(source, *end) {
                match block {
                    Ok(Block::Frame(frame)) => add(readable, &frame),
                    Ok(Block::Record(..)) => {}
                    Err(Bad { from, reason, .. }) => report.damaged(&source.path, Some(from), reason),
                }
            }
            if source.len < *end {
                let reason = format!("it has {} bytes instead of {end}", source.len);
                report.damaged(&source.path, Some(source.len), reason);
            }
        }
    }

    /// Reports the records that no frame has.
    fn find_missing_records(&mut self) {
        let (tables, none) = (&self.history.tables, Ranges::default());
        let logs = tables.partitions.iter().map(|(id, partition)| (*id, partition.ends.bounds, partition.applied()));
        let results = (PartitionId::RESULTS, tables.results.bounds, tables.unread_results());
        for (log, bounds, done) in logs.chain([results]) {
            let readable = self.readable.get(&log).unwrap_or(&none);
            for gap in readable.missing(bounds.first..bounds.next) {
                let waiting = gap.end.saturating_sub(gap.start.max(done));
                let kind = if log == PartitionId::RESULTS { "not read by every sink" } else { "not applied yet" };
                let (records, first, last) = (gap.end - gap.start, gap.start, gap.end - 1);
                let location = log.location();
                let reason = format!(
                    "{records} records of {location} are missing, offsets {first} to {last}; {waiting} of them {kind}"
                );
                self.report.damaged(&self.store, None, reason);
            }
        }
    }

    fn check_sinks(&mut self) {
        let tables = &self.history.tables;
        for (name, position) in tables.sinks.iter().filter(|(_, position)| position.next > tables.results.bounds.next) {
            let (next, end) = (position.next, tables.results.bounds.next);
            let reason = format!("sink {name} is at offset {next}, behind the end of the results, {end}");
            self.report.damaged(&self.store, None, reason);
        }
    }

    fn sum_up(&mut self) {
        let (report, tables) = (&mut self.report, &self.history.tables);
        (report.write, report.at) = (tables.sequence, tables.last_at);
        let partitions = tables.partitions.values();
        report.input = partitions.clone().map(|it| it.ends.bounds.next - it.ends.bounds.first).sum();
        report.waiting = partitions.map(|it| it.ends.bounds.next.saturating_sub(it.applied())).sum();
        report.results = tables.results.bounds.next - tables.results.bounds.first;
    }
}

fn add(readable: &mut BTreeMap<PartitionId, Ranges>, frame: &Frame) {
    let header = frame.header();
    readable.entry(header.partition).or_default().add(header.base..header.end());
}

/// Whether all frames and chunks of a write are there.
fn is_whole(snapshot: &Snapshot, readable: &BTreeMap<PartitionId, Ranges>, changes: &[Change]) -> bool {
    changes.iter().all(|change| match change {
        Change::Frame(FrameAt { log: PartitionId::RESULTS, entry, .. }) => {
            let source = snapshot.files.get(&(Family::Results, entry.place.segment));
            let bytes = source.and_then(|it| it.read_exact(u64::from(entry.place.at), entry.place.len as usize).ok());
            bytes.is_some_and(|bytes| Frame::parse(bytes).is_ok())
        }
        Change::Frame(FrameAt { log, entry, count, .. }) => {
            let offsets = entry.base..entry.base + u64::from(*count);
            readable.get(log).is_some_and(|ranges| ranges.missing(offsets).is_empty())
        }
        Change::Chunk { at: Some(at @ ChunkAt { .. }), .. } => read_chunk(snapshot, *at).is_ok(),
        _ => true,
    })
}
