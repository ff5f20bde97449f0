//! The rows that wait to be committed.

use std::collections::BTreeMap;

use crate::row::{Alarm, AlarmRow};

/// The rows that wait to be committed: one for each object and window.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Vec<u8>>,
    bytes: usize,
    /// The rows of windows that end at `end`, by object. Windows of proxy types that differ in their periods or
    /// timeouts close one after the other, and each may change the alarms of the object.
    newest: BTreeMap<String, Newest>,
    end: u64,
}

/// A row that a further proxy type may replace.
#[derive(Debug)]
struct Newest {
    /// Its index in the rows.
    index: usize,
    start: u64,
    ended: Vec<Alarm>,
}

impl Rows {
    /// Adds a row with the whole state of an object. It replaces a waiting one with the same end, and has what ended
    /// there as well.
    pub(super) fn push(&mut self, mut row: AlarmRow) {
        if self.end != row.end {
            self.newest.clear();
            self.end = row.end;
        }
        let before = self.newest.remove(&row.key);
        let index = before.as_ref().map_or(self.rows.len(), |before| before.index);
        if let Some(Newest { start, mut ended, .. }) = before {
            ended.append(&mut row.data.resolved);
            (row.start, row.data.resolved) = (start, ended);
        }
        let mut line = Vec::new();
        row.write(&mut line);
        self.bytes += line.len();
        match self.rows.get_mut(index) {
            Some(replaced) => self.bytes -= std::mem::replace(replaced, line).len(),
            None => self.rows.push(line),
        }
        self.newest.insert(row.key, Newest { index, start: row.start, ended: row.data.resolved });
    }

    /// Their number and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.bytes)
    }

    /// Takes them.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        self.newest.clear();
        self.bytes = 0;
        std::mem::take(&mut self.rows)
    }
}
