//! Reads consecutive frames: the newest ones from memory, the others from their files, and these are verified.

use std::sync::Arc;

use crate::embedded::change::Entry;
use crate::embedded::journal::block_len;
use crate::embedded::segment::{Family, Segment};
use crate::embedded::writer::Writer;
use crate::error::LogError;
use crate::frame::{Frame, FrameHeader, HEADER_LEN};
use crate::{Bounds, PartitionId, RecordBatch};

/// The size of the reads that look for a frame of input, between which a journal has many small things.
const WINDOW: usize = 16 * 1024;

impl Writer {
    /// Reads frames, from the one that holds offset `from` on, until they have `max_bytes`.
    pub(super) fn read(&self, log: PartitionId, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let bounds = self.bounds(log);
        let out_of_range = |bounds| {
            let location = log.location();
            LogError::OffsetOutOfRange { location, requested: from, bounds }
        };
        if !(bounds.first..=bounds.next).contains(&from) {
            return Err(out_of_range(bounds));
        }
        let mut cursor = Cursor { writer: self, log, family: Family::of(log), walk: None };
        let (mut frames, mut bytes, mut offset) = (Vec::new(), 0, from);
        while offset < bounds.next && (frames.is_empty() || bytes < max_bytes) {
            let frame = cursor.next(offset).map_err(|error| {
                // Retention does not wait for readers, so a frame that is missing for this reason is not damaged.
                let bounds: Bounds = self.bounds(log);
                if from < bounds.first { out_of_range(bounds) } else { error }
            })?;
            (bytes, offset) = (bytes + frame.len(), frame.end());
            frames.push(frame);
        }
        Ok(RecordBatch::stored(frames, from))
    }
}

/// The place of a read in one log.
struct Cursor<'a> {
    writer: &'a Writer,
    log: PartitionId,
    family: Family,
    /// The file of the last frame and the position after it.
    walk: Option<(Arc<Segment>, u64)>,
}

impl Cursor<'_> {
    /// Returns the frame that holds an offset.
    fn next(&mut self, offset: u64) -> Result<Arc<Frame>, LogError> {
        let recent = self.writer.catalog().recent.find(self.log, offset);
        recent.map_or_else(|| self.read(offset).map(Arc::new), Ok)
    }

    /// Reads the frame that holds an offset from its file.
    fn read(&mut self, offset: u64) -> Result<Frame, LogError> {
        let (entry, file) = self.find(offset).ok_or_else(|| self.corrupt(offset, "it is missing".to_owned()))?;
        if entry.base == offset {
            let (at, len) = (u64::from(entry.place.at), entry.place.len as usize);
            return self.frame_at(&file, at, len, offset);
        }
        let is_ahead =
            |(walked, at): &(Arc<Segment>, u64)| walked.number == file.number && u64::from(entry.place.at) < *at;
        let mut at = match self.walk.take().filter(is_ahead) {
            Some((_, at)) => at,
            None => u64::from(entry.place.at),
        };
        loop {
            let header = self.find_frame(&file, &mut at, offset)?;
            let len = HEADER_LEN + header.body_len as usize;
            let start = at;
            at += len as u64;
            if header.end() <= offset {
                continue;
            }
            let frame = self.frame_at(&file, start, len, offset)?;
            self.walk = Some((file, at));
            return Ok(frame);
        }
    }

    /// Reads and verifies the frame at a position, which holds an offset.
    fn frame_at(&self, file: &Segment, at: u64, len: usize, offset: u64) -> Result<Frame, LogError> {
        let bytes = file.read(at, len)?.ok_or_else(|| self.cut_short(offset, file))?;
        let frame = Frame::parse(bytes).map_err(|reason| self.damaged(offset, file, at, &reason))?;
        if frame.header().partition != self.log || !frame.header().holds(offset) {
            return Err(self.damaged(offset, file, at, "it is another frame"));
        }
        Ok(frame)
    }

    fn find(&self, offset: u64) -> Option<(Entry, Arc<Segment>)> {
        let catalog = self.writer.catalog();
        let entry = catalog.find(self.log, offset)?;
        Some((entry, catalog.file(self.family, entry.place.segment)?))
    }

    /// Moves `at` to the next frame of the log and returns its header.
    fn find_frame(&self, file: &Segment, at: &mut u64, offset: u64) -> Result<FrameHeader, LogError> {
        let (mut window, mut start) = (Vec::new(), *at);
        loop {
            let within = (*at - start) as usize;
            let bytes = window.get(within..).unwrap_or_default();
            if bytes.len() < HEADER_LEN {
                // A write that failed may be cut off at any moment, so the file may end before the window does.
                // A file of results has frames only, one after the other.
                let len = if self.family == Family::Results { HEADER_LEN } else { WINDOW };
                window = file.read_some(*at, len)?;
                start = *at;
                if window.len() < HEADER_LEN {
                    return Err(self.cut_short(offset, file));
                }
                continue;
            }
            if let Some(len) = block_len(bytes) {
                *at += len;
                continue;
            }
            let header = FrameHeader::parse(bytes).map_err(|reason| self.damaged(offset, file, *at, &reason))?;
            if header.partition == self.log && header.base > offset {
                return Err(self.damaged(offset, file, *at, &format!("the frame begins at offset {}", header.base)));
            }
            if header.partition == self.log {
                return Ok(header);
            }
            *at += HEADER_LEN as u64 + u64::from(header.body_len);
        }
    }

    fn corrupt(&self, offset: u64, reason: String) -> LogError {
        LogError::CorruptFrame { location: self.log.location(), offset, reason }
    }

    fn damaged(&self, offset: u64, file: &Segment, at: u64, reason: &str) -> LogError {
        self.corrupt(offset, format!("{} at byte {at}: {reason}", file.path.display()))
    }

    fn cut_short(&self, offset: u64, file: &Segment) -> LogError {
        self.corrupt(offset, format!("{} ends before it", file.path.display()))
    }
}
