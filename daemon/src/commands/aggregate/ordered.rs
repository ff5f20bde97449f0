//! The ordered output of all threads.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use proxy_uve::wire::PartialSeal;

use crate::commands::aggregate::batch::SHARDS;
use crate::commands::aggregate::sorted;

/// Writes the rows of all shards in the order of watermark advances and shards, whatever the order of the calls. Every
/// shard puts its rows, perhaps none, for every advance.
pub(crate) struct Ordered(Mutex<State>);

struct State {
    /// The sequence number of the next rows to write: `advance * SHARDS + shard`.
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    /// The rows of the current advance, if they are sorted.
    unsorted: Option<Vec<u8>>,
    /// Counts the rows of partial states, for the last line.
    seal: Option<PartialSeal>,
    output: Box<dyn Write + Send>,
}

impl Ordered {
    /// An output of rows; with `is_sorted` the rows of each advance are [`sorted`]. Partial states have a `seal`, which
    /// is their last line.
    pub(crate) fn new(output: Box<dyn Write + Send>, is_sorted: bool, seal: Option<PartialSeal>) -> Self {
        let unsorted = is_sorted.then(Vec::new);
        Self(Mutex::new(State { next: 0, waiting: BTreeMap::new(), unsorted, seal, output }))
    }

    /// Writes the rows in `bytes` and those that waited for them, or stores them if earlier ones are missing. `bytes`
    /// is empty afterwards.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub(crate) fn put(&self, advance: u64, shard: usize, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = advance * SHARDS as u64 + shard as u64;
        if number != state.next {
            state.waiting.insert(number, std::mem::take(bytes));
            return Ok(());
        }
        state.write(bytes)?;
        bytes.clear();
        state.drain()
    }

    /// Writes the last line of partial states, and flushes the output.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seal) = state.seal.take() {
            writeln!(state.output, "{}", seal.line())?;
        }
        state.output.flush()
    }
}

impl State {
    /// Writes the next rows; sorted ones after those of the last shard.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.next += 1;
        let Some(unsorted) = &mut self.unsorted else {
            return self.emit(bytes);
        };
        unsorted.extend_from_slice(bytes);
        if !self.next.is_multiple_of(SHARDS as u64) {
            return Ok(());
        }
        let mut rows = Vec::with_capacity(unsorted.len());
        sorted::sort(unsorted, &mut rows);
        unsorted.clear();
        self.emit(&rows)
    }

    fn emit(&mut self, rows: &[u8]) -> std::io::Result<()> {
        if let Some(seal) = &mut self.seal {
            rows.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).for_each(|line| seal.add(line));
        }
        self.output.write_all(rows)
    }

    fn drain(&mut self) -> std::io::Result<()> {
        while let Some(bytes) = self.waiting.remove(&self.next) {
            self.write(&bytes)?;
        }
        Ok(())
    }
}
