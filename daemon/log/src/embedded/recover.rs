//! Opens the files: the newest checkpoint, the writes after it, and the end of a write that a crash tore.
//!
//! A write that was acknowledged is on the disk with all its bytes, and the next write begins only then. So only the
//! last write of the journal can be torn, in any of the files. It is cut off as a whole.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::PartitionId;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::{Change, ChunkAt, FrameAt, decode};
use crate::embedded::checkpoint::create_journal;
use crate::embedded::directory::io_error;
use crate::embedded::disk;
use crate::embedded::journal::{Kind, RECORD_LEN, RecordHead};
use crate::embedded::segment::{Family, HEAD_LEN, Place, Segment};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::frame::Frame;

/// The open log.
pub(super) struct Opened {
    pub tables: Tables,
    pub catalog: Catalog,
    /// The open file of each family.
    pub open: [Open; 3],
}

/// The file of a family to which writes append.
pub(super) struct Open {
    pub segment: Arc<Segment>,
    /// The end of its head, or of its checkpoint.
    pub begin: u64,
    /// The committed end.
    pub end: u64,
}

/// A record whose changes are not applied yet.
struct Pending {
    at: u64,
    head: RecordHead,
    changes: Vec<Change>,
}

/// Opens the files in `store`, and creates them if there are none.
pub(super) fn recover(store: &Path) -> Result<Opened, LogError> {
    let found = list(store)?;
    let number = |family| found.iter().filter(|(it, _)| *it == family).map(|(_, number)| *number).max();
    let Some(newest) = number(Family::Journal) else { return create(store, &found) };
    let (mut tables, mut catalog) = (Tables::default(), Catalog::default());
    let journal = Arc::new(Segment::open(store, Family::Journal, newest)?);
    catalog.add_file(Family::Journal, Arc::clone(&journal));
    let (begin, end) = replay(store, &journal, &mut tables, &mut catalog)?;
    retire_missing(store, &found, newest, &mut tables, &mut catalog)?;
    for (family, number) in found.into_iter().filter(|file| *file != (Family::Journal, newest)) {
        if is_used(&tables, family, number) {
            catalog.add_file(family, Arc::new(Segment::open(store, family, number)?));
        } else {
            let path = store.join(family.file_name(number));
            disk::remove(&path).map_err(|source| io_error("remove an unused file", &path, source))?;
        }
    }
    let open = open_files(store, &tables, &catalog, Open { segment: journal, begin, end })?;
    for Open { segment, end, .. } in &open {
        if segment.len()? > *end {
            segment.cut(*end)?;
        }
        // What a process wrote before it was killed may be in memory only.
        segment.sync()?;
    }
    disk::sync_directory(store).map_err(|source| io_error("sync the directory of the log", store, source))?;
    catalog.publish(&tables, &[]);
    for (id, partition) in &mut tables.partitions {
        let (ends, cursor) = (partition.ends, partition.cursor());
        partition.cursor_bytes = cursor.map_or(ends.bytes_first, |cursor| catalog.bytes_before(*id, &ends, cursor));
    }
    Ok(Opened { tables, catalog, open })
}

/// The files of the store; removes those whose creation was interrupted.
fn list(store: &Path) -> Result<BTreeSet<(Family, u32)>, LogError> {
    let io = |source| io_error("list the files of the log", store, source);
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(store).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        match name.strip_suffix(".new").map(Family::parse) {
            Some(Some(_)) => disk::remove(&path).map_err(io)?,
            _ => found.extend(Family::parse(name)),
        }
    }
    Ok(found)
}

/// Creates the first file of each family.
fn create(store: &Path, found: &BTreeSet<(Family, u32)>) -> Result<Opened, LogError> {
    // The journal is created last, so the others alone are what an interrupted creation left.
    if found.iter().any(|file| file.1 != 1) {
        let (path, location) = (store.to_owned(), "the newest file journal-N".to_owned());
        return Err(LogError::Damaged { path, location, reason: "it is missing".to_owned() });
    }
    let mut tables = Tables::default();
    let (mut catalog, mut open) = (Catalog::default(), Vec::new());
    for family in [Family::Results, Family::State] {
        let segment = Arc::new(Segment::create(store, family, 1, "")?);
        segment.sync()?;
        tables.apply(Change::File { family, segment: 1, end: HEAD_LEN });
        catalog.add_file(family, Arc::clone(&segment));
        open.push(Open { segment, begin: HEAD_LEN, end: HEAD_LEN });
    }
    // The journal has its name only after the others have theirs.
    disk::sync_directory(store).map_err(|source| io_error("sync the directory of the log", store, source))?;
    let (journal, end) = create_journal(store, 1, &tables, &catalog)?;
    let journal = Open { segment: Arc::new(journal), begin: end, end };
    catalog.add_file(Family::Journal, Arc::clone(&journal.segment));
    let [results, state] = <[_; 2]>::try_from(open).map_err(|_| LogError::invalid("two files were created"))?;
    Ok(Opened { tables, catalog, open: [journal, results, state] })
}

fn file(catalog: &Catalog, store: &Path, family: Family, number: u32) -> Result<Arc<Segment>, LogError> {
    catalog.file(family, number).ok_or_else(|| missing(store, family, number))
}

fn missing(store: &Path, family: Family, number: u32) -> LogError {
    let (path, location) = (store.to_owned(), family.file_name(number));
    LogError::Damaged { path, location, reason: "the file is missing".to_owned() }
}

/// Applies the checkpoint and all whole writes of a journal; returns the end of the checkpoint and of the last write.
fn replay(store: &Path, journal: &Segment, tables: &mut Tables, catalog: &mut Catalog) -> Result<(u64, u64), LogError> {
    let damaged = |reason| journal.damaged(HEAD_LEN, format!("its checkpoint is damaged: {reason}"));
    let checkpoint = read_record(journal, HEAD_LEN)?.map_err(damaged)?;
    if checkpoint.head.kind != Kind::Checkpoint {
        return Err(damaged("it is missing".to_owned()));
    }
    let begin = HEAD_LEN + checkpoint.head.len();
    let mut end = begin;
    apply(checkpoint, tables, catalog);
    let mut last: Option<Pending> = None;
    loop {
        let next = read_record(journal, end)?;
        let sequence = last.as_ref().map_or(tables.sequence, |last| last.head.sequence) + 1;
        match next.ok().filter(|next| next.head.sequence == sequence && next.head.kind == Kind::Write) {
            Some(next) => {
                end = next.at + next.head.len();
                last.replace(next).into_iter().for_each(|last| apply(last, tables, catalog));
            }
            None => break,
        }
    }
    if let Some(last) = last {
        if !is_whole(&last, store)? {
            return Ok((begin, last.at));
        }
        apply(last, tables, catalog);
    }
    Ok((begin, end))
}

/// Reads the record at a position; the inner error says why there is none.
fn read_record(journal: &Segment, at: u64) -> Result<Result<Pending, String>, LogError> {
    let short = || "the file ends within it".to_owned();
    let Some(head) = journal.read(at, RECORD_LEN as usize)? else { return Ok(Err(short())) };
    let head = match RecordHead::parse(&head) {
        Ok(head) => head,
        Err(reason) => return Ok(Err(reason)),
    };
    let (changes_at, len) = head.changes_at(at);
    if changes_at + len as u64 > journal.len()? {
        return Ok(Err(short()));
    }
    let Some(block) = journal.read(changes_at, len)? else { return Ok(Err(short())) };
    let changes = head.open_changes(&block).and_then(|changes| decode(changes).collect());
    Ok(changes.map(|changes| Pending { at, head, changes }))
}

fn apply(record: Pending, tables: &mut Tables, catalog: &mut Catalog) {
    (tables.sequence, tables.last_at) = (record.head.sequence, record.head.last_at);
    for change in record.changes {
        match &change {
            Change::Frame(FrameAt { log, entry, .. }) | Change::Indexed { log, entry } => catalog.index(*log, *entry),
            Change::Retired { family, segment } if *family != Family::State => catalog.retire(*family, *segment),
            _ => {}
        }
        tables.apply(change);
    }
}

/// Whether all frames and chunks of a write are there and pass their checksums.
fn is_whole(record: &Pending, store: &Path) -> Result<bool, LogError> {
    for change in &record.changes {
        let whole = match change {
            Change::Frame(FrameAt { log, entry, .. }) => {
                let frame = read(store, Family::of(*log), entry.place)?.and_then(|bytes| Frame::parse(bytes).ok());
                frame.is_some_and(|frame| (frame.header().partition, frame.header().base) == (*log, entry.base))
            }
            Change::Chunk { at: Some(ChunkAt { place, crc }), .. } => {
                read(store, Family::State, *place)?.is_some_and(|bytes| crc32fast::hash(&bytes) == *crc)
            }
            _ => true,
        };
        if !whole {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads bytes of a write that may be torn; `None` if they, or their file, did not reach the disk.
fn read(store: &Path, family: Family, place: Place) -> Result<Option<Vec<u8>>, LogError> {
    match Segment::open(store, family, place.segment) {
        Ok(file) => file.read(u64::from(place.at), place.len as usize),
        Err(LogError::Damaged { .. }) => Ok(None),
        Err(LogError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The open file of each family: the newest that the tables know.
fn open_files(store: &Path, tables: &Tables, catalog: &Catalog, journal: Open) -> Result<[Open; 3], LogError> {
    let newest = |family| {
        let known = tables.file_ends.iter().rev().find(|((it, _), _)| *it == family);
        let (number, end) = known.map_or((1, HEAD_LEN), |((_, number), end)| (*number, *end));
        Ok(Open { segment: file(catalog, store, family, number)?, begin: HEAD_LEN, end })
    };
    Ok([journal, newest(Family::Results)?, newest(Family::State)?])
}

/// Forgets the oldest files that are missing: a retention that was interrupted deleted them. Any other missing file is
/// damage, except of state: the partition reports that.
fn retire_missing(
    store: &Path,
    found: &BTreeSet<(Family, u32)>,
    newest: u32,
    tables: &mut Tables,
    catalog: &mut Catalog,
) -> Result<(), LogError> {
    for family in [Family::Journal, Family::Results] {
        let parts = if family == Family::Journal { &tables.input_parts } else { &tables.results_parts };
        let gone: Vec<_> = parts.keys().copied().filter(|number| !found.contains(&(family, *number))).collect();
        let oldest = parts.keys().copied().find(|number| found.contains(&(family, *number))).unwrap_or(newest);
        for number in gone {
            let applied = |(id, part): (&PartitionId, &crate::embedded::tables::Part)| {
                tables.partitions.get(id).is_none_or(|partition| part.end <= partition.applied())
            };
            let logs = if family == Family::Journal { tables.input_parts.get(&number) } else { None };
            if number > oldest || !logs.is_none_or(|logs| logs.iter().all(applied)) {
                return Err(missing(store, family, number));
            }
            tables.retire(family, number);
            catalog.retire(family, number);
        }
    }
    Ok(())
}

/// Whether a committed write refers to a file.
fn is_used(tables: &Tables, family: Family, number: u32) -> bool {
    match family {
        Family::Journal => tables.input_parts.contains_key(&number),
        Family::Results | Family::State => tables.file_ends.contains_key(&(family, number)),
    }
}
