//! One output for all threads, in one order.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use crate::commands::aggregate::batch::SHARDS;

/// Writes pieces in the order of their moments and shards, whatever order they come in. Every shard has a piece,
/// perhaps an empty one, for every moment.
pub(crate) struct Ordered(Mutex<State>);

struct State {
    /// The next piece to write: moment times shards plus shard.
    next: u64,
    waiting: BTreeMap<u64, Vec<u8>>,
    output: Box<dyn Write + Send>,
}

impl Ordered {
    pub(crate) fn new(output: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(State { next: 0, waiting: BTreeMap::new(), output }))
    }

    /// Writes a piece, and those that waited for it. What is left in `bytes` is room to be used again.
    ///
    /// # Errors
    ///
    /// When the output cannot be written.
    pub(crate) fn put(&self, moment: u64, shard: usize, bytes: &mut Vec<u8>) -> std::io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = moment * SHARDS as u64 + shard as u64;
        if place != state.next {
            state.waiting.insert(place, std::mem::take(bytes));
            return Ok(());
        }
        state.output.write_all(bytes)?;
        bytes.clear();
        state.next += 1;
        state.drain()
    }

    /// Ends the output.
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
