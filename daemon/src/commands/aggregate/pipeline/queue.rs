//! The bounded queue of decoded batches, from which every thread applies every batch.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::commands::aggregate::batch::Batch;

/// The capacity of the queue, in batches per thread.
const BATCHES_PER_THREAD: u64 = 2;

/// The next step of a thread.
pub(super) enum Task {
    /// Apply this batch.
    Apply(Arc<Batch>),
    /// Read and decode the next block.
    Decode,
    /// All batches are applied: close the windows.
    Finish,
    /// Another thread failed.
    Stop,
}

/// The queue of all threads.
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    capacity: u64,
}

#[derive(Default)]
struct State {
    /// The batches from number `first` on; `None` while one is decoded.
    batches: VecDeque<Option<Arc<Batch>>>,
    first: u64,
    /// The number of the next batch that each thread applies.
    applied: Vec<u64>,
    /// The batches whose decoding has begun.
    claimed: u64,
    /// The number of batches, once the input has ended.
    total: Option<u64>,
    /// Whether a thread failed, so that all stop.
    failed: bool,
}

impl Queue {
    pub(super) fn new(threads: usize) -> Self {
        let state = State { applied: vec![0; threads], ..State::default() };
        Self { state: Mutex::new(state), changed: Condvar::new(), capacity: BATCHES_PER_THREAD * threads as u64 }
    }

    /// The next task of a thread; blocks until there is one.
    pub(super) fn next_task(&self, thread: usize) -> Task {
        let mut state = self.lock();
        loop {
            if state.failed {
                return Task::Stop;
            }
            let next = state.applied[thread];
            if let Some(Some(batch)) = state.batches.get((next - state.first) as usize) {
                return Task::Apply(Arc::clone(batch));
            }
            match state.total {
                Some(total) if next >= total => return Task::Finish,
                None if state.claimed < state.first + self.capacity => {
                    state.claimed += 1;
                    state.batches.push_back(None);
                    return Task::Decode;
                }
                _ => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Adds the decoded batch with this number.
    pub(super) fn insert(&self, number: u64, batch: Batch) {
        let mut state = self.lock();
        let index = (number - state.first) as usize;
        state.batches[index] = Some(Arc::new(batch));
        drop(state);
        self.changed.notify_all();
    }

    /// Ends the input after `total` batches.
    pub(super) fn end(&self, total: u64) {
        self.lock().total = Some(total);
        self.changed.notify_all();
    }

    /// Records that a thread has applied a batch. The last thread gets the batch back, so that its memory is reused.
    pub(super) fn applied(&self, thread: usize, batch: Arc<Batch>) -> Option<Batch> {
        let mut state = self.lock();
        state.applied[thread] += 1;
        let done = state.applied.iter().copied().min().unwrap_or(0);
        while state.first < done {
            state.batches.pop_front();
            state.first += 1;
        }
        drop(state);
        self.changed.notify_all();
        Arc::into_inner(batch)
    }

    /// Stops all threads after a failure.
    pub(super) fn fail(&self) {
        self.lock().failed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
