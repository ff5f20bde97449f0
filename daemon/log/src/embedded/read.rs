//! Reads consecutive frames and verifies each of them.

use crate::embedded::load::{parse_header, space_of};
use crate::embedded::store::Store;
use crate::embedded::writer::{Writer, opened};
use crate::error::LogError;
use crate::frame::Frame;
use crate::keys;
use crate::{Bounds, PartitionId, RecordBatch};

impl Writer {
    /// Reads frames, from the one that holds offset `from` on, until they have `max_bytes`.
    pub(super) fn read(&self, partition: PartitionId, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let store = self.reader();
        // Taken under the lock of the store: a reopened store may lack writes that were never acknowledged.
        let bounds = self.bounds(partition);
        if !(bounds.first..=bounds.next).contains(&from) {
            return Err(LogError::OffsetOutOfRange { location: partition.location(), requested: from, bounds });
        }
        let frames = if from == bounds.next {
            Vec::new()
        } else {
            let frames = read_frames(opened(&store)?, partition, from, bounds, max_bytes);
            frames.map_err(|error| self.out_of_range_or(error, partition, from))?
        };
        Ok(RecordBatch::stored(frames, from))
    }

    /// Replaces a read error by [`LogError::OffsetOutOfRange`] if retention deleted the frame during the read.
    ///
    /// Retention does not wait for readers, so a frame that is missing for this reason is not damaged.
    fn out_of_range_or(&self, error: LogError, partition: PartitionId, from: u64) -> LogError {
        let bounds = self.bounds(partition);
        if from < bounds.first {
            return LogError::OffsetOutOfRange { location: partition.location(), requested: from, bounds };
        }
        error
    }
}

fn read_frames(
    store: &Store,
    partition: PartitionId,
    from: u64,
    bounds: Bounds,
    max_bytes: usize,
) -> Result<Vec<Frame>, LogError> {
    let space = space_of(partition);
    let holding = store.scan(space, keys::frame(partition, 0)..=keys::frame(partition, from)).next_back();
    let Some((key, _)) = holding.transpose()? else {
        return Err(missing(partition, from));
    };
    let (_, base) = keys::parse_frame(&key).unwrap_or((partition, from));
    let (mut frames, mut bytes, mut expected) = (Vec::<Frame>::new(), 0, base);
    for pair in store.scan(space, keys::frame(partition, base)..keys::frame(partition, bounds.next)) {
        let (key, value) = pair?;
        let header = parse_header(partition, &key, &value)?;
        if header.base != expected {
            return Err(missing(partition, expected));
        }
        let corrupt = |reason| LogError::CorruptFrame { location: partition.location(), offset: header.base, reason };
        let frame = Frame::parse(Box::new(value)).map_err(corrupt)?;
        (bytes, expected) = (bytes + frame.len(), frame.end());
        frames.push(frame);
        if bytes >= max_bytes {
            break;
        }
    }
    // The requested offset is below the end of the log, so the frames must contain it.
    if expected <= from { Err(missing(partition, expected)) } else { Ok(frames) }
}

fn missing(partition: PartitionId, offset: u64) -> LogError {
    LogError::CorruptFrame { location: partition.location(), offset, reason: "it is missing".to_owned() }
}
