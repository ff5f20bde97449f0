//! The blocks of a journal or of a file of results, one by one, and what is damaged between them.

use daemon_log::files::{Change, Frame, FrameHeader, HEAD_LEN, HEADER_LEN, RECORD_LEN, RecordHead, decode};

use crate::snapshot::Source;

/// The size of the reads that look for the next block behind damage.
const WINDOW: usize = 1024 * 1024;

/// A block that passes its checks.
pub(crate) enum Block {
    /// The head of a record with its changes.
    Record(RecordHead, Vec<Change>),
    Frame(Frame),
}

/// Bytes that do not pass their checks.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) from: u64,
    /// Where the next block begins that can be read.
    pub(crate) to: u64,
    pub(crate) reason: String,
}

/// A reader of blocks.
pub(crate) struct Walk<'a> {
    source: &'a Source,
    at: u64,
    end: u64,
    /// The record whose changes are still to come, and where it begins.
    record: Option<(u64, RecordHead)>,
}

impl<'a> Walk<'a> {
    /// Reads from the head of the file to `end`.
    pub(crate) fn new(source: &'a Source, end: u64) -> Self {
        Self { source, at: HEAD_LEN, end: end.min(source.len), record: None }
    }

    /// The changes of the record that has begun.
    fn changes(&mut self, at: u64, head: RecordHead) -> Result<Block, Bad> {
        self.record = None;
        let (from, len) = head.changes_at(at);
        self.at = (from + len as u64).min(self.end);
        let bad = |reason| Bad { from, to: self.at, reason };
        if from + len as u64 > self.end {
            return Err(bad(format!("the file ends within the changes of write {}", head.sequence)));
        }
        let block = self.source.read_exact(from, len).map_err(bad)?;
        let changes = head.open_changes(&block).and_then(|changes| decode(changes).collect());
        changes.map(|changes| Block::Record(head, changes)).map_err(|reason| {
            let write = head.sequence;
            bad(format!("write {write}: {reason}"))
        })
    }

    fn frame(&mut self, header: FrameHeader) -> Result<Block, Bad> {
        let (from, len) = (self.at, HEADER_LEN + header.body_len as usize);
        self.at = (from + len as u64).min(self.end);
        let bad = |reason| {
            let (first, end) = (header.base, header.end());
            let reason = format!("frame of {} with offsets {first} to {end}: {reason}", header.partition.location());
            Bad { from, to: self.at, reason }
        };
        let bytes = self.source.read_exact(from, len).map_err(bad)?;
        Frame::parse(bytes).map(Block::Frame).map_err(bad)
    }

    /// Skips what is damaged at the position, up to the next block.
    fn skip(&mut self, reason: String) -> Bad {
        let from = self.at;
        // The head of a record is whole, so its changes are where it says.
        let limit = self.record.map_or(self.end, |(at, head)| head.changes_at(at).0.min(self.end));
        self.at = self.find_block(from + 1, limit);
        Bad { from, to: self.at, reason }
    }

    /// The next position before `limit` at which a block begins; `limit` if there is none.
    fn find_block(&self, mut from: u64, limit: u64) -> u64 {
        while from < limit {
            // What cannot be read has no block.
            let bytes = self.source.read(from, WINDOW + HEADER_LEN).unwrap_or_default();
            let wanted = WINDOW.min((limit - from) as usize);
            for at in 0..wanted.min(bytes.len()) {
                let begins = match bytes[at] {
                    b'F' => FrameHeader::parse(&bytes[at..]).is_ok(),
                    b'R' => RecordHead::parse(&bytes[at..]).is_ok(),
                    _ => false,
                };
                if begins {
                    return from + at as u64;
                }
            }
            from += wanted as u64;
        }
        limit
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Block, Bad>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((at, head)) = self.record
                && self.at >= head.changes_at(at).0
            {
                return Some(self.changes(at, head));
            }
            if self.at >= self.end {
                let (from, head) = self.record.take()?;
                let reason = format!("the file ends within write {}", head.sequence);
                return Some(Err(Bad { from, to: self.end, reason }));
            }
            let bytes = match self.source.read(self.at, HEADER_LEN) {
                Ok(bytes) => bytes,
                Err(reason) => return Some(Err(self.skip(reason))),
            };
            match bytes.first() {
                Some(b'R') if self.record.is_none() => match RecordHead::parse(&bytes) {
                    Ok(Ok(head)) => (self.record, self.at) = (Some((self.at, head)), self.at + RECORD_LEN),
                    Ok(Err(reason)) | Err(reason) => return Some(Err(self.skip(reason))),
                },
                Some(b'F') => {
                    return Some(match FrameHeader::parse(&bytes) {
                        Ok(header) => self.frame(header),
                        Err(reason) => Err(self.skip(reason)),
                    });
                }
                _ => return Some(Err(self.skip("no block begins here".to_owned()))),
            }
        }
    }
}
