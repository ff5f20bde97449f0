//! The newest frames in memory: a reader that follows the writes reads no file and verifies nothing again.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::PartitionId;
use crate::frame::Frame;

/// The most memory that the frames take, but for one that is larger. Readers may keep more of them alive.
const MAX_BYTES: usize = 2 * 1024 * 1024;
/// The most frames, because they are searched one by one.
const MAX_FRAMES: usize = 512;

/// The newest durable frames of all logs, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
}

impl Recent {
    /// Adds a frame, in place of the oldest ones.
    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.capacity();
        self.frames.push_back(Arc::new(frame));
        while self.frames.len() > 1 && (self.bytes > MAX_BYTES || self.frames.len() > MAX_FRAMES) {
            self.bytes -= self.frames.pop_front().map_or(0, |oldest| oldest.capacity());
        }
    }

    /// The frame of a log that holds an offset.
    pub(super) fn find(&self, log: PartitionId, offset: u64) -> Option<Arc<Frame>> {
        let holds = |frame: &&Arc<Frame>| frame.header().partition == log && frame.header().holds(offset);
        self.frames.iter().rev().find(holds).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameHeader;

    fn frame(partition: PartitionId, base: u64, bytes: usize) -> Frame {
        let header = FrameHeader { partition, base, written_at: 0, bytes_before: 0, count: 2, body_len: 0 };
        Frame::written(header, vec![0; bytes])
    }

    #[test]
    fn the_newest_frames_of_each_log_are_found_within_the_bounds() {
        let [a, b] = [PartitionId::new(0, 0), PartitionId::new(0, 1)];
        for (bytes, kept) in [(10, MAX_FRAMES), (MAX_BYTES / 8, 8), (2 * MAX_BYTES, 1)] {
            let mut recent = Recent::default();
            (0..1000).for_each(|number| recent.push(frame(if number % 2 == 0 { a } else { b }, number, bytes)));
            assert!(recent.bytes <= MAX_BYTES || recent.frames.len() == 1, "{bytes}");
            assert_eq!(recent.frames.len(), kept, "{bytes}");
            assert_eq!(recent.find(b, 1000).unwrap().header().base, 999, "{bytes}");
            assert!(recent.find(a, 1000).is_none() && recent.find(b, 1001).is_none(), "{bytes}");
            assert_eq!(recent.find(b, 995).is_some(), kept > 4, "{bytes}");
        }
    }
}
