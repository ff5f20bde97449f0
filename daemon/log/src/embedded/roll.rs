//! Closes the open file of a family and begins the next one.

use std::sync::Arc;

use crate::embedded::checkpoint::create_journal;
use crate::embedded::disk::{self, remove_unused};
use crate::embedded::recover::Open;
use crate::embedded::segment::{Family, HEAD_LEN, Segment};
use crate::embedded::writer::Locked;
use crate::error::LogError;

/// The largest size of a file of the journal, far below the 4 GiB of a place.
const MAX_JOURNAL_BYTES: u64 = 1024 * 1024 * 1024;

/// The size from which a checkpoint makes its file of the journal longer.
const LARGE_CHECKPOINT: u64 = 128 * 1024;

impl Locked<'_> {
    /// Closes the files that have their size.
    pub(super) fn roll_full_files(&mut self) -> Result<(), LogError> {
        for family in Family::ALL {
            let Open { begin, end, .. } = self.inner.open[family as usize];
            // Much more than a large checkpoint, so that little of the journal is checkpoints.
            let limit = if begin > LARGE_CHECKPOINT { (8 * begin).min(MAX_JOURNAL_BYTES) } else { 0 };
            if end > begin && end - begin >= self.writer.segment_bytes[family as usize].max(limit) {
                self.roll(family)?;
            }
        }
        Ok(())
    }

    /// Closes the open file of a family and begins the next one.
    pub(super) fn roll(&mut self, family: Family) -> Result<(), LogError> {
        self.writer.health.check_found()?;
        let (store, number) = (&self.writer.store, self.open_number(family) + 1);
        // The new file may be there in spite of an error.
        self.inner.failed = Some("a new file was not finished".to_owned());
        let created = if family == Family::Journal {
            create_journal(store, number, &self.inner.tables, &self.writer.catalog())
        } else {
            // On the disk before any write names it.
            Segment::create(store, family, number, "").and_then(|segment| {
                segment.sync()?;
                disk::sync_directory(store).map_err(|source| segment.write_error(source))?;
                Ok((segment, HEAD_LEN))
            })
        };
        let (segment, begin) = created.inspect_err(|error| self.writer.health.ended(Some(error.to_string())))?;
        let segment = Arc::new(segment);
        self.writer.catalog_mut().add_file(family, Arc::clone(&segment));
        let opened = Open { segment, begin, end: begin };
        let Open { segment: closed, .. } = std::mem::replace(&mut self.inner.open[family as usize], opened);
        if family == Family::Journal && !self.inner.tables.input_parts.contains_key(&closed.number) {
            // It has no input, and the checkpoint has everything else.
            remove_unused(&closed.path);
            self.writer.catalog_mut().retire(family, closed.number);
        }
        self.inner.failed = None;
        Ok(())
    }
}
