//! Reads frames in order, each verified, none missing.

use crate::embedded::load::{parse_header, space_of};
use crate::embedded::store::Store;
use crate::embedded::writer::{Writer, opened};
use crate::error::LogError;
use crate::frame::Frame;
use crate::keys;
use crate::types::{Bounds, PartitionId, RecordBatch};

impl Writer {
    /// The frames from the one that holds offset `from` on, until they reach `max_bytes`.
    pub(super) fn read(&self, place: PartitionId, from: u64, max_bytes: usize) -> Result<RecordBatch, LogError> {
        let store = self.reader();
        // Taken under the lock of the store: reopening it may take back what was never acknowledged.
        let bounds = self.bounds(place);
        if !(bounds.first..=bounds.next).contains(&from) {
            return Err(LogError::OffsetOutOfRange { place: place.place(), asked: from, bounds });
        }
        let frames = if from == bounds.next {
            Vec::new()
        } else {
            let frames = read_frames(opened(&store)?, place, from, bounds, max_bytes);
            frames.map_err(|error| self.unless_deleted_meanwhile(place, from, error))?
        };
        Ok(RecordBatch::stored(frames, from))
    }

    /// Retention does not wait for readers: a frame that it deleted between two steps is no damage.
    fn unless_deleted_meanwhile(&self, place: PartitionId, from: u64, error: LogError) -> LogError {
        let bounds = self.bounds(place);
        if from < bounds.first {
            return LogError::OffsetOutOfRange { place: place.place(), asked: from, bounds };
        }
        error
    }
}

fn read_frames(
    store: &Store,
    place: PartitionId,
    from: u64,
    bounds: Bounds,
    max_bytes: usize,
) -> Result<Vec<Frame>, LogError> {
    let space = space_of(place);
    let holding = store.scan(space, keys::frame(place, 0)..=keys::frame(place, from)).next_back();
    let Some((key, _)) = holding.transpose()? else {
        return Err(missing(place, from));
    };
    let (_, base) = keys::parse_frame(&key).unwrap_or((place, from));
    let (mut frames, mut bytes, mut expected) = (Vec::<Frame>::new(), 0, base);
    for pair in store.scan(space, keys::frame(place, base)..keys::frame(place, bounds.next)) {
        let (key, value) = pair?;
        let header = parse_header(place, &key, &value)?;
        if header.base != expected {
            return Err(missing(place, expected));
        }
        let corrupt = |reason| LogError::CorruptFrame { place: place.place(), offset: header.base, reason };
        let frame = Frame::parse(Box::new(value)).map_err(corrupt)?;
        (bytes, expected) = (bytes + frame.len(), frame.end());
        frames.push(frame);
        if bytes >= max_bytes {
            break;
        }
    }
    // The frames must reach beyond the asked offset: it is below the end of the log.
    if expected <= from { Err(missing(place, expected)) } else { Ok(frames) }
}

fn missing(place: PartitionId, offset: u64) -> LogError {
    LogError::CorruptFrame { place: place.place(), offset, reason: "it is missing".to_owned() }
}
