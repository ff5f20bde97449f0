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
pub(super) struct Pending {
    pub at: u64,
    pub head: RecordHead,
    changes: Vec<Change>,
}

/// What a journal gives.
pub(super) struct Replayed {
    /// The end of the checkpoint.
    pub begin: u64,
    /// The end of the last whole write.
    pub end: u64,
    pub last: Option<Pending>,
}

/// Applies the checkpoint and all whole writes of a journal.
pub(super) fn replay(
    store: &Path,
    journal: &Segment,
    tables: &mut Tables,
    catalog: &mut Catalog,
) -> Result<Replayed, LogError> {
    let damaged = |reason| journal.damaged(HEAD_LEN, format!("its checkpoint is damaged: {reason}"));
    let checkpoint = read_record(journal, HEAD_LEN)?.map_err(damaged)?;
    if checkpoint.head.kind != Kind::Checkpoint {
        return Err(damaged("it is missing".to_owned()));
    }
    let begin = HEAD_LEN + checkpoint.head.len();
    let mut end = begin;
    apply(&checkpoint, tables, catalog);
    let mut last: Option<Pending> = None;
    loop {
        let sequence = last.as_ref().map_or(tables.sequence, |last| last.head.sequence) + 1;
        let next = read_record(journal, end)?;
        let Some(next) = next.ok().filter(|next| next.head.sequence == sequence && next.head.kind == Kind::Write)
        else {
            break;
        };
        end = next.at + next.head.len();
        if let Some(last) = last.replace(next) {
            apply(&last, tables, catalog);
        }
    }
    match last {
        // Only the last write can be torn.
        Some(last) if !is_whole(&last, store)? => Ok(Replayed { begin, end: last.at, last: None }),
        Some(last) => {
            apply(&last, tables, catalog);
            Ok(Replayed { begin, end, last: Some(last) })
        }
        None => Ok(Replayed { begin, end, last }),
    }
}

/// Reads the record at a position; the inner error says why there is none.
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

impl Pending {
    /// Where the frames of results and the chunks of state are; the input is within the record.
    pub(super) fn places(&self) -> impl Iterator<Item = (Family, Place)> {
        self.changes.iter().filter_map(|change| match change {
            Change::Frame(FrameAt { log: PartitionId::RESULTS, entry, .. }) => Some((Family::Results, entry.place)),
            Change::Chunk { at: Some(ChunkAt { place, .. }), .. } => Some((Family::State, *place)),
            _ => None,
        })
    }
}

fn apply(record: &Pending, tables: &mut Tables, catalog: &mut Catalog) {
    (tables.sequence, tables.last_at) = (record.head.sequence, record.head.last_at);
    for change in &record.changes {
        match change {
            Change::Frame(FrameAt { log, entry, .. }) | Change::Indexed { log, entry } => catalog.index(*log, *entry),
            Change::Retired { family, segment } if *family != Family::State => catalog.retire(*family, *segment),
            _ => {}
        }
        tables.apply(change.clone());
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
