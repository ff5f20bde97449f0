//! Reads a journal: its checkpoint and the writes after it.

use std::path::Path;

use crate::PartitionId;
use crate::embedded::catalog::Catalog;
use crate::embedded::change::{Change, ChunkAt, FrameAt, decode};
use crate::embedded::journal::{Kind, RECORD_LEN, RecordHead};
use crate::embedded::segment::{Family, HEAD_LEN, Place, Segment};
use crate::embedded::tables::Tables;
use crate::error::LogError;
use crate::frame::Frame;

/// A record whose changes are not applied yet.
struct Pending {
    at: u64,
    head: RecordHead,
    changes: Vec<Change>,
}

/// What a journal gives.
pub(super) struct Replayed {
    /// The end of the checkpoint.
    pub begin: u64,
    /// The end of the last whole write.
    pub end: u64,
    /// The last write, if it was not acknowledged: it may not be on the disk.
    pub last: Option<Last>,
}

/// Where the last write is.
pub(super) struct Last {
    pub at: u64,
    pub len: u64,
    changes: Vec<Change>,
}

/// Applies the checkpoint and all whole writes of a journal.
pub(super) fn replay(
    store: &Path,
    journal: &Segment,
    tables: &mut Tables,
    catalog: &mut Catalog,
    acknowledged: u64,
) -> Result<Replayed, LogError> {
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
        let sequence = last.as_ref().map_or(tables.sequence, |last| last.head.sequence) + 1;
        let next = read_record(journal, end)?;
        let Some(next) = next.ok().filter(|next| next.head.sequence == sequence && next.head.kind == Kind::Write)
        else {
            check_nothing_follows(journal, end, sequence)?;
            break;
        };
        end = next.at + next.head.len();
        if let Some(last) = last.replace(next) {
            apply(last, tables, catalog);
        }
    }
    let Some(last) = last else { return Ok(Replayed { begin, end, last: None }) };
    if last.head.sequence <= acknowledged {
        // It was on the disk before it was acknowledged. Damage of a part of it is reported by its reader.
        apply(last, tables, catalog);
        return Ok(Replayed { begin, end, last: None });
    }
    // Only a last write that was not acknowledged can be torn.
    let (at, len, changes) = (last.at, last.head.len(), last.changes.clone());
    let found = Last { at, len, changes };
    if !found.is_whole(store)? {
        return Ok(Replayed { begin, end: at, last: None });
    }
    apply(last, tables, catalog);
    Ok(Replayed { begin, end, last: Some(found) })
}

/// Fails if a whole write follows the write at `at` that is not whole: then that one is damaged and not torn.
fn check_nothing_follows(journal: &Segment, at: u64, sequence: u64) -> Result<(), LogError> {
    let head = |at| -> Result<Option<RecordHead>, LogError> {
        let bytes = journal.read(at, RECORD_LEN as usize)?;
        Ok(bytes.and_then(|bytes| RecordHead::parse(&bytes).ok()?.ok()))
    };
    let Some(damaged) = head(at)?.filter(|head| head.sequence == sequence) else { return Ok(()) };
    match head(at + damaged.len())? {
        Some(next) if next.sequence == sequence + 1 => {
            Err(journal
                .damaged(at, format!("write {sequence} fails its checksum, and write {} follows", next.sequence)))
        }
        _ => Ok(()),
    }
}

/// Reads the record at a position; the inner error is the reason why there is none.
fn read_record(journal: &Segment, at: u64) -> Result<Result<Pending, String>, LogError> {
    let short = || "the file ends within it".to_owned();
    let Some(head) = journal.read(at, RECORD_LEN as usize)? else { return Ok(Err(short())) };
    let head = match RecordHead::parse(&head) {
        Ok(head) => head.map_err(|format| journal.damaged(at, format))?,
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

impl Last {
    /// Where the frames of results and the chunks of state are; the input is within the record.
    pub(super) fn places(&self) -> impl Iterator<Item = (Family, Place)> {
        self.changes.iter().filter_map(|change| match change {
            Change::Frame(FrameAt { log: PartitionId::RESULTS, entry, .. }) => Some((Family::Results, entry.place)),
            Change::Chunk { at: Some(ChunkAt { place, .. }), .. } => Some((Family::State, *place)),
            _ => None,
        })
    }

    /// Whether all frames and chunks are there and pass their checksums.
    pub(super) fn is_whole(&self, store: &Path) -> Result<bool, LogError> {
        for change in &self.changes {
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
