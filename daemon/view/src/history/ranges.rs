//! Ranges of object numbers: which objects some records may have results of.

/// The most ranges of an entry: with more of them the nearest ones are joined, and the entry names objects that it does
/// not have.
pub(super) const MAX_RANGES: usize = 64;

/// A range of object numbers, with its last one.
pub(super) type Range = (u32, u32);

/// All objects, also unknown ones.
pub(super) const ALL: Range = (0, u32::MAX);

/// The object numbers of some records, in the order of their rows.
#[derive(Debug, Default)]
pub(super) struct Runs(Vec<Range>);

impl Runs {
    /// Adds an object. Rows come mostly in the order of the numbers, so it mostly extends the last run.
    pub(super) fn push(&mut self, id: u32) {
        match self.0.last_mut() {
            Some((first, last)) if (*first..=*last).contains(&id) => {}
            Some((_, last)) if last.checked_add(1) == Some(id) => *last = id,
            _ => self.0.push((id, id)),
        }
    }

    pub(super) fn push_all(&mut self) {
        self.0.push(ALL);
    }

    /// Returns the ranges in order, and empties the runs.
    pub(super) fn take(&mut self) -> Ranges {
        self.0.sort_unstable();
        let mut ranges: Vec<Range> = Vec::with_capacity(self.0.len().min(MAX_RANGES));
        for (first, last) in self.0.drain(..) {
            match ranges.last_mut() {
                Some((_, end)) if first <= end.saturating_add(1) => *end = last.max(*end),
                _ => ranges.push((first, last)),
            }
        }
        let objects = ranges.iter().map(count).sum();
        Ranges { ranges: join(ranges), objects }
    }
}

/// The ranges of an entry.
#[derive(Debug)]
pub(super) struct Ranges {
    pub ranges: Box<[Range]>,
    /// The number of objects that they were made of.
    objects: u64,
}

impl Ranges {
    /// Whether they name many objects that they were not made of.
    pub(super) fn are_loose(&self) -> bool {
        let named: u64 = self.ranges.iter().map(count).sum();
        named > 4 * self.objects
    }
}

fn count((first, last): &Range) -> u64 {
    u64::from(last - first) + 1
}

/// Joins the nearest ranges until there are few enough.
fn join(ranges: Vec<Range>) -> Box<[Range]> {
    if ranges.len() <= MAX_RANGES {
        return ranges.into();
    }
    let gap = |pair: &[Range]| match pair {
        [(_, last), (first, _)] => first - last,
        _ => 0,
    };
    let mut gaps: Vec<u32> = ranges.windows(2).map(gap).collect();
    // The gaps that stay are larger than this one.
    let (_, limit, _) = gaps.select_nth_unstable_by(MAX_RANGES - 1, |a, b| b.cmp(a));
    let limit = *limit;
    let mut joined: Vec<Range> = Vec::with_capacity(MAX_RANGES);
    for (first, last) in ranges {
        match joined.last_mut() {
            Some((_, end)) if first - *end <= limit => *end = last,
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

/// Whether ranges in order have an object.
pub(super) fn contain(ranges: &[Range], id: u32) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= id);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| id <= *last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn property_ranges_name_every_object_and_few_others(ids in prop::collection::vec(0..5000_u32, 0..400)) {
            let mut runs = Runs::default();
            ids.iter().for_each(|id| runs.push(*id));
            let distinct: BTreeSet<u32> = ids.into_iter().collect();
            let Ranges { ranges, objects } = runs.take();
            prop_assert_eq!(objects, distinct.len() as u64);
            prop_assert!(ranges.len() <= MAX_RANGES);
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
            prop_assert!(distinct.iter().all(|id| contain(&ranges, *id)));
            if distinct.len() <= MAX_RANGES {
                prop_assert!((0..5000).all(|id| contain(&ranges, id) == distinct.contains(&id)));
            }
        }
    }

    #[test]
    fn rows_in_order_are_one_range_and_a_few_others_stay_apart() {
        let mut runs = Runs::default();
        (100..1100).for_each(|id| runs.push(id));
        [9000, 9000, 9001, 7].into_iter().for_each(|id| runs.push(id));
        let ranges = runs.take();
        assert_eq!((&*ranges.ranges, ranges.are_loose()), (&[(7, 7), (100, 1099), (9000, 9001)][..], false));
        (0..1000).for_each(|id| runs.push(id * 37 % 1000 * 50));
        assert!(runs.take().are_loose());
        runs.push_all();
        assert!(contain(&runs.take().ranges, u32::MAX));
    }
}
