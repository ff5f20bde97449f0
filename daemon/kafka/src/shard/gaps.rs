//! The gaps in the input of a shard: records that retention deleted before they were applied.
//!
//! The time that they were of is unknown. It ends with the first sample behind the gap. If there is none, it ends when
//! all records are applied that the other partitions of the shard had at that moment: what was deleted is older than
//! those that come later.

use std::collections::BTreeMap;

use daemon_log::PartitionId;

use crate::member::Ends;

/// The open gaps, by input partition.
#[derive(Debug, Default)]
pub(super) struct Gaps(BTreeMap<u16, Gap>);

#[derive(Debug)]
struct Gap {
    /// The offset of the first record behind the gap.
    first: u64,
    /// The end offsets of the other partitions when this one was found to be at its end.
    others: Option<BTreeMap<u16, u64>>,
}

impl Gaps {
    /// The gaps that were saved as [`saved`](Self::saved) returns them.
    pub(super) fn restored(saved: BTreeMap<u16, u64>) -> Self {
        Self(saved.into_iter().map(|(partition, first)| (partition, Gap { first, others: None })).collect())
    }

    /// The first offset behind each gap, by partition.
    pub(super) fn saved(&self) -> BTreeMap<u16, u64> {
        self.0.iter().map(|(partition, gap)| (*partition, gap.first)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Opens a gap before the offset `first`.
    pub(super) fn open(&mut self, partition: u16, first: u64) {
        self.0.insert(partition, Gap { first, others: None });
    }

    /// Closes the gap of a partition whose record with this offset was applied.
    pub(super) fn applied(&mut self, partition: u16, offset: u64) {
        self.0.retain(|of, gap| *of != partition || offset < gap.first);
    }

    /// The offset of the first record behind the gap of a partition.
    pub(super) fn first_after(&self, partition: u16) -> Option<u64> {
        self.0.get(&partition).map(|gap| gap.first)
    }

    /// Closes gaps behind which there is no record, and returns them: each partition with the offset behind its gap.
    /// `sources` are all partitions of the shard; `holds` tells whether records of one are held, `is_applied` whether all
    /// records of one before an offset were applied.
    pub(super) fn checked(
        &mut self,
        sources: &[PartitionId],
        ends: &Ends,
        holds: impl Fn(u16) -> bool,
        is_applied: impl Fn(PartitionId, u64) -> bool,
    ) -> Vec<(u16, u64)> {
        let of_shard = || sources.iter().filter_map(|it| Some((it.partition, *ends.offsets.get(it)?)));
        let mut closed = Vec::new();
        self.0.retain(|partition, gap| {
            let is_at_end = sources.iter().any(|it| it.partition == *partition && ends.reached.contains(it));
            if gap.others.is_none() && is_at_end && of_shard().count() == sources.len() {
                gap.others = Some(of_shard().filter(|(other, _)| other != partition).collect());
            }
            let Some(others) = &gap.others else { return true };
            let is_behind = |it: &PartitionId| others.get(&it.partition).is_some_and(|end| !is_applied(*it, *end));
            let stays = holds(*partition) || sources.iter().any(is_behind);
            if !stays {
                closed.push((*partition, gap.first));
            }
            stays
        });
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PartitionId = PartitionId::new(0, 1);
    const B: PartitionId = PartitionId::new(0, 5);

    fn ends(offsets: [u64; 2], reached: &[PartitionId]) -> Ends {
        Ends {
            offsets: [A, B].into_iter().zip(offsets).collect(),
            reached: reached.iter().copied().collect(),
            ..Ends::default()
        }
    }

    #[test]
    fn a_record_behind_the_gap_closes_it() {
        let mut gaps = Gaps::default();
        gaps.open(1, 100);
        gaps.applied(5, 200);
        gaps.applied(1, 99);
        assert!(!gaps.is_empty());
        gaps.applied(1, 100);
        assert!(gaps.is_empty());
    }

    #[test]
    fn without_a_record_behind_it_the_backlog_of_the_others_closes_it() {
        let mut gaps = Gaps::default();
        gaps.open(1, 100);
        let mut check = |ends: Ends, applied_of_b: u64| {
            gaps.checked(&[A, B], &ends, |_| false, |source, end| source == B && applied_of_b >= end)
        };
        assert_eq!(check(ends([100, 70], &[B]), 70), [], "records may come behind it");
        assert_eq!(check(ends([100, 70], &[A]), 20), []);
        assert_eq!(check(ends([100, 500], &[A]), 69), [], "the backlog of that moment is not applied yet");
        assert_eq!(check(ends([100, 500], &[A]), 70), [(1, 100)]);
        assert!(gaps.is_empty());
    }
    #[test]
    fn a_gap_stays_while_records_before_it_are_held() {
        let mut gaps = Gaps::default();
        gaps.open(1, 100);
        let all = ends([100, 70], &[A, B]);
        assert_eq!(gaps.checked(&[A, B], &all, |partition| partition == 1, |_, _| true), []);
        assert_eq!(gaps.checked(&[A, B], &all, |_| false, |_, _| true), [(1, 100)]);
    }
}
