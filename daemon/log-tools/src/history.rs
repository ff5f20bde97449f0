//! The tables of a log, read from all of its journals and as far as they can be read.
//!
//! A journal begins with a checkpoint, so mostly the newest one would do. If its checkpoint is damaged, the journals
//! before it give the same tables.

use daemon_log::files::{Change, Kind, RecordHead, Tables};

/// The tables as of the last write that can be read without a gap.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) tables: Tables,
    /// Whether a checkpoint was read.
    pub(crate) is_known: bool,
    /// Whether a write before those of [`later`](Self::later) could not be read.
    is_broken: bool,
    /// The number of writes behind one that could not be read.
    pub(crate) later: u64,
    /// The largest number of a write, read or not.
    pub(crate) newest: u64,
}

impl History {
    /// Applies a record that was read.
    pub(crate) fn take(&mut self, head: RecordHead, changes: Vec<Change>) {
        self.newest = self.newest.max(head.sequence);
        if head.kind == Kind::Checkpoint {
            *self = Self { is_known: true, newest: self.newest, ..Self::default() };
            return self.apply(head, changes);
        }
        if !self.is_known || head.sequence <= self.tables.sequence {
            return;
        }
        if self.is_broken || head.sequence != self.tables.sequence + 1 {
            (self.is_broken, self.later) = (true, self.later + 1);
            return;
        }
        self.apply(head, changes);
    }

    fn apply(&mut self, head: RecordHead, changes: Vec<Change>) {
        (self.tables.sequence, self.tables.last_at) = (head.sequence, head.last_at);
        changes.into_iter().for_each(|change| self.tables.apply(change));
    }
}
