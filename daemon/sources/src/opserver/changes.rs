//! Detection of changes: which readings differ from the poll before.
//!
//! One entry for each series (object, stream and source), bounded in number: a series beyond the bound is refused, as
//! objects are. A series that is missing in the last few polls expires, so that it counts as changed when it comes back,
//! and removed sources take no memory.

use std::collections::HashMap;
use std::fmt::Write as _;

use derived_stats::Number;

use super::answer::Reading;
use super::telemetry::Rejected;

/// The number of polls without a series after which it expires: a server that just restarted may lack some for a while.
const REMEMBERED_POLLS: u64 = 3;

/// The last value of each series.
#[derive(Debug)]
pub(super) struct Changes {
    known: HashMap<Box<str>, Known>,
    poll: u64,
    limit: usize,
    scratch: String,
    /// The names of all streams that were ever polled. Their numbers do not depend on the current list.
    names: Vec<String>,
    /// The numbers of the streams that are polled now, in the order of their list.
    selected: Vec<usize>,
}

#[derive(Debug)]
struct Known {
    value: Number,
    /// The number of the poll that had it.
    seen: u64,
}

impl Changes {
    /// Returns an empty object that keeps `limit` series at most.
    pub(super) fn new(limit: usize) -> Self {
        let (names, selected) = (Vec::new(), Vec::new());
        Self { known: HashMap::new(), poll: 0, limit, scratch: String::new(), names, selected }
    }

    /// Sets the list of the streams that readings refer to by index. A stream keeps its values at another index.
    pub(super) fn select(&mut self, streams: &[String]) {
        self.selected.clear();
        for stream in streams {
            let number = self.names.iter().position(|name| name == stream).unwrap_or_else(|| {
                self.names.push(stream.clone());
                self.names.len() - 1
            });
            self.selected.push(number);
        }
    }

    /// Begins the next poll.
    pub(super) fn next_poll(&mut self) {
        self.poll += 1;
        let oldest = self.poll.saturating_sub(REMEMBERED_POLLS);
        self.known.retain(|_, known| known.seen >= oldest);
    }

    /// Returns whether the reading differs from the last one of its series, and replaces that.
    ///
    /// # Errors
    ///
    /// [`Rejected::Capacity`] if it is a new series and there is no room for one, or its stream is not selected.
    pub(super) fn is_change(&mut self, reading: &Reading) -> Result<bool, Rejected> {
        let stream = *self.selected.get(reading.stream).ok_or(Rejected::Capacity)?;
        self.scratch.clear();
        let source = reading.source.as_deref().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = write!(self.scratch, "{stream}\0{}\0{source}", reading.key);
        let now = Known { value: reading.value, seen: self.poll };
        if let Some(known) = self.known.get_mut(self.scratch.as_str()) {
            return Ok(std::mem::replace(known, now).value != reading.value);
        }
        if self.known.len() >= self.limit {
            return Err(Rejected::Capacity);
        }
        self.known.insert(self.scratch.as_str().into(), now);
        Ok(true)
    }

    /// Removes all series: at the next poll all have changed.
    pub(super) fn clear(&mut self) {
        self.known.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn reading(key: &str, stream: usize, source: Option<&str>, value: u64) -> Reading {
        Reading { key: Arc::from(key), stream, source: source.map(Arc::from), value: Number::U64(value) }
    }

    fn changes(limit: usize) -> Changes {
        let mut changes = Changes::new(limit);
        changes.select(&["V-a", "V-b"].map(str::to_owned));
        changes
    }

    #[test]
    fn the_first_value_and_every_other_one_is_a_change() {
        let mut changes = changes(10);
        let found = [5, 5, 6, 6, 5].map(|value| {
            changes.next_poll();
            changes.is_change(&reading("T:a", 0, Some("s"), value))
        });
        assert_eq!(found, [Ok(true), Ok(false), Ok(true), Ok(false), Ok(true)]);
    }

    #[test]
    fn object_stream_and_source_each_make_a_series() {
        let mut changes = changes(10);
        for other in
            [("T:a", 0, None), ("T:b", 0, None), ("T:a", 1, None), ("T:a", 0, Some("s")), ("T:a", 0, Some("t"))]
        {
            let (key, stream, source) = other;
            assert_eq!(changes.is_change(&reading(key, stream, source, 5)), Ok(true), "{other:?}");
        }
    }

    #[test]
    fn a_series_is_kept_over_two_polls_without_it_and_expires_after_three() {
        for (without, changed) in [(2, false), (3, true)] {
            let mut changes = changes(10);
            changes.next_poll();
            assert_eq!(changes.is_change(&reading("T:a", 0, None, 5)), Ok(true));
            (0..=without).for_each(|_| changes.next_poll());
            assert_eq!(changes.is_change(&reading("T:a", 0, None, 5)), Ok(changed), "{without} polls");
        }
    }

    #[test]
    fn beyond_the_bound_only_new_series_are_refused_and_room_returns() {
        let mut changes = changes(1);
        changes.next_poll();
        assert_eq!(changes.is_change(&reading("T:a", 0, None, 5)), Ok(true));
        assert_eq!(changes.is_change(&reading("T:b", 0, None, 5)), Err(Rejected::Capacity));
        assert_eq!(changes.is_change(&reading("T:a", 0, None, 6)), Ok(true));
        (0..=REMEMBERED_POLLS).for_each(|_| changes.next_poll());
        assert_eq!(changes.is_change(&reading("T:b", 0, None, 5)), Ok(true));
        changes.clear();
        assert_eq!(changes.is_change(&reading("T:b", 0, None, 5)), Ok(true));
    }
    #[test]
    fn a_stream_keeps_its_values_at_another_index_of_another_list() {
        let mut changes = changes(10);
        changes.next_poll();
        assert_eq!(changes.is_change(&reading("T:a", 1, None, 5)), Ok(true), "of V-b");
        changes.select(&["V-b", "V-c"].map(str::to_owned));
        changes.next_poll();
        assert_eq!(changes.is_change(&reading("T:a", 0, None, 5)), Ok(false), "V-b has not changed");
        assert_eq!(changes.is_change(&reading("T:a", 1, None, 5)), Ok(true), "V-c is new");
    }
}
