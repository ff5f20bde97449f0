//! The counters of one object.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::number::Numeric;

/// Values with their counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counters<T> {
    pub(super) counters: Vec<Counter<T>>,
    /// Whether a sample was the bound of an overflowed sum.
    pub(super) is_overflowed: bool,
}

/// A value with its count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Counter<T> {
    pub(super) value: T,
    pub(super) count: u64,
    /// The part of the count that may be of other values.
    pub(super) error: u64,
}

impl<T: Numeric> Counters<T> {
    /// Counts a sample, with at most `most` counters.
    pub(super) fn add(&mut self, most: usize, value: T) {
        // -0.0 is the same value as 0.0.
        let value = if value == T::default() { T::default() } else { value };
        if let Some(counter) = self.counters.iter_mut().find(|counter| counter.value == value) {
            counter.count = counter.count.saturating_add(1);
        } else if self.counters.len() < most {
            self.counters.push(Counter { value, count: 1, error: 0 });
        } else if let Some(least) = self.counters.iter_mut().min_by_key(|counter| counter.count) {
            *least = Counter { value, count: least.count.saturating_add(1), error: least.count };
        }
    }

    /// The largest true count of a value without a counter.
    fn missed(&self, most: usize) -> u64 {
        let least = self.counters.iter().map(|counter| counter.count).min();
        least.filter(|_| self.counters.len() >= most).unwrap_or(0)
    }

    /// Adds the counts of other samples. Both are sorted by value, so that the cost is that of a sort.
    pub(super) fn add_all(&mut self, most: usize, from: &Self) {
        let missed = [self.missed(most), from.missed(most)];
        let mut others = from.counters.clone();
        for counters in [&mut self.counters, &mut others] {
            counters.sort_unstable_by(|left, right| by_value(left.value, right.value));
        }
        let mut others = others.into_iter().peekable();
        let mut added = Vec::new();
        for counter in &mut self.counters {
            while let Some(other) = others.next_if(|other| other.value < counter.value) {
                added.push(other.with(missed[0], missed[0]));
            }
            *counter = match others.next_if(|other| other.value == counter.value) {
                Some(other) => counter.with(other.count, other.error),
                None => counter.with(missed[1], missed[1]),
            };
        }
        self.counters.extend(added.into_iter().chain(others.map(|other| other.with(missed[0], missed[0]))));
        sort(&mut self.counters);
        self.counters.truncate(most);
        self.is_overflowed |= from.is_overflowed;
    }

    /// Whether two counters have the same value.
    pub(super) fn has_twins(&self) -> bool {
        let mut values: Vec<T> = self.counters.iter().map(|counter| counter.value).collect();
        values.sort_unstable_by(|left, right| by_value(*left, *right));
        values.windows(2).any(|pair| matches!(pair, [left, right] if left == right))
    }
}

impl<T> Counter<T> {
    /// The counter with a count and an error added.
    fn with(self, count: u64, error: u64) -> Self {
        Self { count: self.count.saturating_add(count), error: self.error.saturating_add(error), ..self }
    }
}

/// The order of two values, none of which is a NaN.
fn by_value<T: Numeric>(left: T, right: T) -> Ordering {
    left.partial_cmp(&right).unwrap_or(Ordering::Equal)
}

/// Sorts counters from the largest count to the smallest; those of one count by their values.
fn sort<T: Numeric>(counters: &mut [Counter<T>]) {
    counters
        .sort_unstable_by(|left, right| right.count.cmp(&left.count).then_with(|| by_value(left.value, right.value)));
}

/// Inserts a counter into the largest, in the order of [`sort`].
pub(super) fn insert<T: Numeric>(largest: &mut [Option<Counter<T>>], counter: Counter<T>) {
    let mut next = counter;
    for place in largest {
        let Some(other) = place else {
            *place = Some(next);
            return;
        };
        let is_before = next.count > other.count || next.count == other.count && next.value < other.value;
        if is_before {
            core::mem::swap(other, &mut next);
        }
    }
}
