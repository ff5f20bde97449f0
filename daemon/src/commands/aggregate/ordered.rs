//! The ordered output of all threads.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::commands::aggregate::batch::SHARDS;

/// Writes the rows of all shards in the order of watermark advances and shards, whatever the order of the calls. Every
/// shard puts its rows, perhaps none, for every advance.
pub(crate) struct Ordered(Mutex<State>);

struct State {
    /// The sequence number of the next rows to write: `advance * SHARDS + shard`.
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    output: Box<dyn Write + Send>,
}

impl Ordered {
    pub(crate) fn new(output: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(State { next: 0, waiting: BTreeMap::new(), output }))
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
        state.output.write_all(bytes)?;
        bytes.clear();
        state.next += 1;
        state.drain()
    }

    /// Flushes the output.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub(crate) fn finish(&self) -> std::io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).output.flush()
    }
}

impl State {
    fn drain(&mut self) -> std::io::Result<()> {
        while let Some(bytes) = self.waiting.remove(&self.next) {
            self.output.write_all(&bytes)?;
            self.next += 1;
        }
        Ok(())
    }
}
