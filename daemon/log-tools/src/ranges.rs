//! Sets of offsets as ranges.

use std::ops::Range;

/// Offsets, as ranges in order that do not touch.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    pub(crate) fn add(&mut self, added: Range<u64>) {
        // Mostly the frames come in order.
        if let Some(last) = self.0.last_mut().filter(|last| last.start <= added.start && added.start <= last.end) {
            last.end = last.end.max(added.end);
            return;
        }
        let at = self.0.partition_point(|range| range.end < added.start);
        let until = self.0.partition_point(|range| range.start <= added.end);
        let joined = self.0.get(at..until).unwrap_or_default();
        let start = joined.first().map_or(added.start, |first| first.start.min(added.start));
        let end = joined.last().map_or(added.end, |last| last.end.max(added.end));
        self.0.splice(at..until.max(at), std::iter::once(start..end));
    }

    /// The parts of a range that are not in the set.
    pub(crate) fn missing(&self, within: Range<u64>) -> Vec<Range<u64>> {
        let (mut at, mut missing) = (within.start, Vec::new());
        for range in &self.0 {
            if at >= within.end {
                break;
            }
            if range.start > at {
                missing.push(at..range.start.min(within.end));
            }
            at = at.max(range.end);
        }
        if at < within.end {
            missing.push(at..within.end);
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_joined_and_the_rest_is_missing() {
        let mut ranges = Ranges::default();
        for range in [0..3, 3..5, 10..12, 7..8, 5..6, 11..15] {
            ranges.add(range);
        }
        assert_eq!(ranges.0, [0..6, 7..8, 10..15]);
        assert_eq!(ranges.missing(0..20), [6..7, 8..10, 15..20]);
        assert_eq!(ranges.missing(1..4), []);
        assert_eq!(ranges.missing(9..11), std::slice::from_ref(&(9..10)));
        ranges.add(2..11);
        assert_eq!((ranges.0.len(), ranges.missing(0..15)), (1, Vec::new()));
    }
}
