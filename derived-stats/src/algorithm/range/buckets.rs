//! The buckets of one object's window, over states of any algorithm that [slides](Windowed).
//!
//! A state that subtracts (a sum) has a running total of all buckets, from which expired buckets are subtracted. Any
//! other state uses two stacks, which merge each bucket twice in its life, however many samples and reads there are:
//!
//! ```text
//!        folded                        complete             newest
//! +----+----+----+----+     +----+----+----+----+----+     +----+
//! | abcd | bcd | cd | d |   |  e |  f |  g |  h |  i |     |  j |
//! +----+----+----+----+     +----+----+----+----+----+     +----+
//!                                 total = efghi
//! ```
//!
//! A folded bucket holds the merged states of itself and of the later folded ones, so the window from `b` on is
//! `bcd + total + j`. When the last folded bucket has expired and a complete one expires too, the remaining complete
//! buckets are folded, in place. (The queue of two stacks for aggregation of windows: K. Tangwongsan, M. Hirzel, S.
//! Schneider, "Low-latency sliding-window aggregation in worst-case constant time", DEBS 2017, section 2.)

mod saved;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::algorithm::UpdateError;
use crate::algorithm::range::{Range, Windowed};
use crate::number::Numeric;

/// The largest number of buckets of a window: 2^8, by the choice of their width.
pub(super) const MAX_BUCKETS: usize = 256;

/// The window of an object that has taken a sample.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Buckets<S> {
    /// Oldest first; the capacity is reserved at the start, so that later samples do not allocate.
    buckets: VecDeque<Bucket<S>>,
    /// The number of folded buckets, from the oldest on; 0 for a state that subtracts.
    folded: usize,
    /// The state of all buckets for a state that subtracts, else of the complete ones.
    total: S,
    /// The bucket of the first sample ever.
    first: u64,
    /// The bucket of the newest sample.
    newest: u64,
    /// The number of samples that were refused because they were older than the newest bucket.
    refused: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Bucket<S> {
    start: u64,
    state: S,
}

impl<S> Bucket<S> {
    fn state(&self) -> &S {
        &self.state
    }
}

fn capacity(range: Range) -> usize {
    usize::try_from(range.micros >> range.shift).unwrap_or(MAX_BUCKETS).min(MAX_BUCKETS) + 1
}

impl<S: Clone> Buckets<S> {
    pub(super) fn new(range: Range, first: u64, total: S) -> Self {
        let buckets = VecDeque::with_capacity(capacity(range));
        Self { buckets, folded: 0, total, first, newest: first, refused: 0 }
    }

    /// The upper bound of the bytes that a window of `range` allocates, if a state allocates up to `of_state` bytes.
    pub(super) fn heap_bytes(range: Range, of_state: usize) -> usize {
        size_of::<Self>() + of_state + capacity(range) * (size_of::<Bucket<S>>() + of_state)
    }

    /// The bytes that the window allocates now.
    pub(super) fn allocated_bytes<T: Numeric, A: Windowed<T, State = S>>(&self, algorithm: &A) -> usize {
        let states = self.buckets.iter().map(Bucket::state).chain([&self.total]);
        let own = size_of::<Self>() + self.buckets.capacity() * size_of::<Bucket<S>>();
        own + states.map(|state| algorithm.allocated_bytes(state)).sum::<usize>()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.len()
    }

    /// The time as which a sample of time `at` counts that may be older than the newest bucket, as long as it is inside
    /// the window.
    pub(super) fn lagging(&self, range: Range, at: u64) -> u64 {
        if range.end_of(range.bucket(at)) > self.newest { at.max(self.newest) } else { at }
    }

    /// Adds a sample of time `at` with `update`; refuses it if its bucket is older than the newest.
    pub(super) fn update<T: Numeric, A: Windowed<T, State = S>>(
        &mut self,
        algorithm: &A,
        range: Range,
        at: u64,
        update: impl Fn(&A, &mut S) -> Result<(), UpdateError>,
    ) -> Result<(), UpdateError> {
        let bucket = range.bucket(at);
        if bucket < self.newest {
            self.refused = self.refused.saturating_add(1);
            return Err(UpdateError::TimeWentBack { at, newest: self.newest });
        }
        if A::SUBTRACTS {
            update(algorithm, &mut self.total)?;
        }
        match self.buckets.back_mut() {
            Some(newest) if newest.start == bucket => update(algorithm, &mut newest.state)?,
            _ => {
                let mut state = algorithm.start();
                update(algorithm, &mut state)?;
                self.push(algorithm, Bucket { start: bucket, state });
            }
        }
        self.newest = bucket;
        self.expire(algorithm, range, bucket);
        Ok(())
    }

    /// Adds a bucket that is newer than all others.
    fn push<T: Numeric, A: Windowed<T, State = S>>(&mut self, algorithm: &A, bucket: Bucket<S>) {
        if !A::SUBTRACTS && self.buckets.len() > self.folded {
            // The newest bucket is now complete.
            self.buckets.back().into_iter().for_each(|complete| algorithm.append(&mut self.total, &complete.state));
        }
        self.buckets.push_back(bucket);
    }

    /// The number of buckets that have expired at `now`.
    #[inline]
    fn expired(&self, range: Range, now: u64) -> usize {
        let is_over = |bucket: &Bucket<S>| range.end_of(bucket.start) <= now;
        if self.buckets.front().is_some_and(is_over) { self.buckets.partition_point(is_over) } else { 0 }
    }

    fn expire<T: Numeric, A: Windowed<T, State = S>>(&mut self, algorithm: &A, range: Range, now: u64) {
        let expired = self.expired(range, now);
        if A::SUBTRACTS {
            if let Some(total) = self.subtracted(algorithm, expired) {
                self.total = total;
            }
            self.buckets.drain(..expired);
            return;
        }
        self.buckets.drain(..expired);
        if expired <= self.folded {
            self.folded -= expired;
            return;
        }
        // Every bucket but the newest, which takes more samples.
        self.folded = 0;
        let newest = self.buckets.pop_back();
        self.fold(algorithm);
        self.buckets.extend(newest);
        self.total = algorithm.start();
    }

    /// The total without the oldest buckets; `None` if it does not change.
    fn subtracted<T: Numeric, A: Windowed<T, State = S>>(&self, algorithm: &A, expired: usize) -> Option<S> {
        let mut is_lost = algorithm.is_saturated(&self.total);
        if expired == 0 && !is_lost {
            return None;
        }
        let mut total = self.total.clone();
        for bucket in self.buckets.range(..expired) {
            is_lost |= !algorithm.subtract(&mut total, &bucket.state);
        }
        Some(if is_lost { self.merged(algorithm, expired..self.buckets.len()) } else { total })
    }

    /// The state of some buckets that are not folded.
    fn merged<T: Numeric, A: Windowed<T, State = S>>(&self, algorithm: &A, buckets: core::ops::Range<usize>) -> S {
        let mut merged = algorithm.start();
        self.buckets.range(buckets).for_each(|bucket| algorithm.append(&mut merged, &bucket.state));
        merged
    }

    /// Folds every bucket.
    fn fold<T: Numeric, A: Windowed<T, State = S>>(&mut self, algorithm: &A) {
        let folded = core::mem::replace(&mut self.folded, self.buckets.len());
        let (before, mut rest) = self.buckets.make_contiguous().split_at_mut(folded);
        while let Some((newer, older)) = rest.split_last_mut() {
            match older.last_mut() {
                Some(last) => algorithm.append(&mut last.state, &newer.state),
                None => before.iter_mut().for_each(|bucket| algorithm.append(&mut bucket.state, &newer.state)),
            }
            rest = older;
        }
    }

    /// Adds the buckets of another window, as if all samples had been taken in order of time.
    pub(super) fn merge<T: Numeric, A: Windowed<T, State = S>>(&mut self, algorithm: &A, range: Range, from: &Self) {
        let mut from = from.clone();
        self.first = self.first.min(from.first);
        self.newest = self.newest.max(from.newest);
        self.refused = self.refused.saturating_add(from.refused);
        self.expire(algorithm, range, self.newest);
        from.expire(algorithm, range, self.newest);
        if A::SUBTRACTS {
            algorithm.append(&mut self.total, &from.total);
            return self.merge_buckets(algorithm, Rule::Plain, &mut from);
        }
        // The newest bucket takes more samples: it is not folded.
        let newest = [self.taken_newest(algorithm, self.newest), from.taken_newest(algorithm, self.newest)];
        self.merge_buckets(algorithm, Rule::Folded, &mut from);
        (self.folded, self.total) = (self.buckets.len(), algorithm.start());
        self.buckets.extend(pairs(algorithm, Rule::Plain, newest.each_ref().map(Option::as_slice)));
    }

    fn merge_buckets<T: Numeric, A: Windowed<T, State = S>>(&mut self, algorithm: &A, rule: Rule, from: &mut Self) {
        let merged = pairs(algorithm, rule, [self.buckets.make_contiguous(), from.buckets.make_contiguous()]);
        self.buckets.clear();
        self.buckets.extend(merged);
    }

    /// Takes the bucket of `start` out, if it is the newest, and folds the others.
    fn taken_newest<T: Numeric, A: Windowed<T, State = S>>(&mut self, algorithm: &A, start: u64) -> Option<Bucket<S>> {
        let is_newest = self.buckets.len() > self.folded && self.buckets.back().is_some_and(|last| last.start == start);
        let newest = if is_newest { self.buckets.pop_back() } else { None };
        self.fold(algorithm);
        newest
    }

    /// Reads the states of the window that ends at `now`, from the oldest to the newest; `None` until one whole range
    /// has passed since the first sample.
    pub(super) fn read<T: Numeric, A: Windowed<T, State = S>, R>(
        &self,
        algorithm: &A,
        range: Range,
        now: u64,
        read: impl FnOnce(&mut dyn Iterator<Item = &S>) -> R,
    ) -> Option<R> {
        let now = range.bucket(now).max(self.newest);
        if now < range.end_of(self.first) {
            return None;
        }
        let expired = self.expired(range, now);
        if A::SUBTRACTS {
            let total = self.subtracted(algorithm, expired);
            return Some(read(&mut core::iter::once(total.as_ref().unwrap_or(&self.total))));
        }
        if expired > self.folded {
            return Some(read(&mut self.buckets.range(expired..).map(Bucket::state)));
        }
        let folded = self.buckets.get(expired).filter(|_| expired < self.folded).map(Bucket::state);
        let newest = self.buckets.range(self.folded..).next_back().map(Bucket::state);
        let complete = (!algorithm.is_empty(&self.total)).then_some(&self.total);
        Some(read(&mut folded.into_iter().chain(complete).chain(newest)))
    }
}

/// The rule by which the buckets of two windows are merged.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// The state of each start is that of the next folded bucket of each window.
    Folded,
    /// Buckets of one start are merged.
    Plain,
}

/// The buckets of two windows, in order of time.
fn pairs<T: Numeric, A: Windowed<T>>(
    algorithm: &A,
    rule: Rule,
    [mut left, mut right]: [&[Bucket<A::State>]; 2],
) -> Vec<Bucket<A::State>> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let Some(start) = left.first().into_iter().chain(right.first()).map(|bucket| bucket.start).min() {
        let mut state = algorithm.start();
        for side in [&mut left, &mut right] {
            let Some((bucket, later)) = side.split_first() else {
                continue;
            };
            let is_here = bucket.start == start;
            if is_here || rule == Rule::Folded {
                algorithm.append(&mut state, &bucket.state);
            }
            if is_here {
                *side = later;
            }
        }
        merged.push(Bucket { start, state });
    }
    merged
}
