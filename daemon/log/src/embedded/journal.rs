//! The blocks of a journal: each write is one record.
//!
//! ```text
//! record:   'R' | format u8 | kind u8 | 0 | bodies u32 | changes u32 | sequence u64 | last at u64 (µs UTC) | crc32 u32
//!           input frames, together `bodies` bytes
//!           'C' | 0 | 0 | 0 | length u32 | crc32 u32 | the changes
//! ```
//!
//! A write is atomic: it counts if all of its blocks, and all frames and chunks that its changes name, pass their
//! checksums. The checksum of the changes covers the number of the write as well.

use crate::embedded::change::{Change, FrameAt};
use crate::embedded::segment::{Family, Place};
use crate::frame::{Frame, FrameHeader};

/// The size of the head of a record.
pub const RECORD_LEN: u64 = 32;
/// The size of what is in front of the changes.
pub const CHANGES_LEN: u64 = 12;
const FORMAT: u8 = 1;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A write.
    Write,
    /// The first record of a file: its changes give the whole tables.
    Checkpoint,
}

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// What the record is.
    pub kind: Kind,
    /// The size of the input frames.
    pub bodies: u32,
    /// The size of the changes.
    pub changes: u32,
    /// The number of the write.
    pub sequence: u64,
    /// The latest time in the log (µs UTC).
    pub last_at: u64,
}

/// A write in the making: the bytes for each file, and the changes.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The frames of input, the frames of results, and the chunks of state.
    bodies: [Vec<Vec<u8>>; 3],
    sizes: [u64; 3],
    changes: Vec<u8>,
    /// The frames of the write, for the index of the readers.
    pub frames: Vec<FrameAt>,
    /// Why a change has no stored form: the record must not be written.
    pub failure: Option<String>,
}

impl Record {
    /// Adds bytes to a family; returns their position after the bytes that were added before.
    pub(super) fn add(&mut self, family: Family, bytes: Vec<u8>) -> u64 {
        let size = &mut self.sizes[family as usize];
        let at = *size;
        *size += bytes.len() as u64;
        self.bodies[family as usize].push(bytes);
        at
    }

    pub(super) fn change(&mut self, change: &Change) {
        if let Err(reason) = change.encode(&mut self.changes) {
            self.failure.get_or_insert(reason);
        }
        if let Change::Frame(frame) = change {
            self.frames.push(*frame);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// The bytes of a family.
    pub(super) fn bodies(&self, family: Family) -> impl Iterator<Item = &[u8]> {
        self.bodies[family as usize].iter().map(Vec::as_slice)
    }

    /// The frames with their bytes.
    pub(super) fn into_frames(self) -> impl Iterator<Item = Frame> {
        let [input, results, _] = self.bodies.map(Vec::into_iter);
        let mut bodies = [input, results];
        self.frames.into_iter().filter_map(move |frame| {
            let (header, bytes) = (frame.header(), bodies[Family::of(frame.log) as usize].next()?);
            debug_assert_eq!(FrameHeader::parse(&bytes), Ok(header));
            Some(Frame::written(header, bytes))
        })
    }

    pub(super) fn size(&self, family: Family) -> u64 {
        self.sizes[family as usize]
    }

    /// The size of the record in the journal.
    pub(super) fn journal_len(&self) -> u64 {
        RECORD_LEN + self.size(Family::Journal) + CHANGES_LEN + self.changes.len() as u64
    }

    /// The blocks before and after the frames in the journal.
    pub(super) fn blocks(&self, kind: Kind, sequence: u64, last_at: u64) -> ([u8; RECORD_LEN as usize], Vec<u8>) {
        // The writer refuses a record of 4 GiB.
        let (bodies, changes) = (self.size(Family::Journal) as u32, self.changes.len() as u32);
        let head = RecordHead { kind, bodies, changes, sequence, last_at };
        let mut block = Vec::with_capacity(CHANGES_LEN as usize + self.changes.len());
        block.extend_from_slice(&[b'C', 0, 0, 0]);
        block.extend_from_slice(&changes.to_le_bytes());
        block.extend_from_slice(&changes_crc(sequence, &self.changes).to_le_bytes());
        block.extend_from_slice(&self.changes);
        (head.encode(), block)
    }
}

impl RecordHead {
    fn encode(&self) -> [u8; RECORD_LEN as usize] {
        let mut head = [0; RECORD_LEN as usize];
        head[..3].copy_from_slice(&[b'R', FORMAT, u8::from(self.kind == Kind::Checkpoint)]);
        head[4..8].copy_from_slice(&self.bodies.to_le_bytes());
        head[8..12].copy_from_slice(&self.changes.to_le_bytes());
        head[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        head[20..28].copy_from_slice(&self.last_at.to_le_bytes());
        let crc = crc32fast::hash(&head[..28]);
        head[28..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Parses and verifies the head of a record; the inner error is another format, not a torn write.
    ///
    /// # Errors
    /// Why no record begins here.
    pub fn parse(bytes: &[u8]) -> Result<Result<Self, String>, String> {
        let Some((head, _)) = bytes.split_first_chunk::<{ RECORD_LEN as usize }>() else {
            return Err("it ends within the head of a write".to_owned());
        };
        let u32_at = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let (computed, stored) = (crc32fast::hash(&head[..28]), u32_at(28));
        if head[0] != b'R' || computed != stored {
            return Err(format!("no write begins here (checksum {computed:08x}, stored {stored:08x})"));
        }
        let kind = match (head[1], head[2]) {
            (FORMAT, 0) => Kind::Write,
            (FORMAT, 1) => Kind::Checkpoint,
            (format, kind) => {
                return Ok(Err(format!(
                    "a write of format {format}.{kind}, this program knows {FORMAT}.0 and {FORMAT}.1"
                )));
            }
        };
        Ok(Ok(Self { kind, bodies: u32_at(4), changes: u32_at(8), sequence: u64_at(12), last_at: u64_at(20) }))
    }

    /// The size of the whole record.
    pub(super) fn len(&self) -> u64 {
        RECORD_LEN + u64::from(self.bodies) + CHANGES_LEN + u64::from(self.changes)
    }

    /// The place of the changes of a record that begins at `at`: block and content.
    pub fn changes_at(&self, at: u64) -> (u64, usize) {
        (at + RECORD_LEN + u64::from(self.bodies), CHANGES_LEN as usize + self.changes as usize)
    }

    /// Verifies the block of changes and returns its content.
    ///
    /// # Errors
    /// The check that failed, with the found and the stored value.
    pub fn open_changes<'a>(&self, block: &'a [u8]) -> Result<&'a [u8], String> {
        let (head, changes) = block.split_at_checked(CHANGES_LEN as usize).ok_or("the changes are cut short")?;
        let stored = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
        let computed = changes_crc(self.sequence, changes);
        if head[0] != b'C' || head[4..8] != self.changes.to_le_bytes() || stored != computed {
            return Err(format!("checksum of the changes is {computed:08x}, stored is {stored:08x}"));
        }
        Ok(changes)
    }
}

/// The size of the block at the beginning of these bytes of a journal; `None` for a frame and for anything else.
pub(super) fn block_len(bytes: &[u8]) -> Option<u64> {
    match bytes.first()? {
        b'R' => RecordHead::parse(bytes).ok().map(|_| RECORD_LEN),
        b'C' => Some(CHANGES_LEN + u64::from(u32::from_le_bytes(bytes.get(4..8)?.try_into().ok()?))),
        _ => None,
    }
}

/// Where bytes go that are `at` bytes after the position `start` of a file.
pub(super) fn place(segment: u32, start: u64, at: u64, len: usize) -> Place {
    // The writer refuses a record that would end after 4 GiB.
    Place { segment, at: (start + at) as u32, len: len as u32 }
}

fn changes_crc(sequence: u64, changes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(changes);
    hasher.finalize()
}
