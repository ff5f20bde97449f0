//! How far each partition is read, from the statistics that librdkafka reports twice a second.
//!
//! Only the statistics have the offset behind the control records of transactions, which no message shows: a partition
//! whose last record is a commit marker is read to its end although the last message has the offset before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::Statistics;
use rdkafka::statistics::Topic;

/// Reports of a partition that are ignored after its reading was moved: librdkafka resets the offsets that it reports only when it fetches
/// from the new ones, so a report of that time contains those from before.
const STALE_REPORTS: u8 = 2;

/// The read progress of each partition in the last report.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Report>);

#[derive(Debug, Default)]
struct Report {
    /// The next offset to fetch, by topic and partition; negative while the partition is not read.
    next_offsets: HashMap<String, HashMap<i32, i64>>,
    /// Whether every message that was fetched before the report was polled. The report overtakes them in the queue.
    is_drained: bool,
    /// How many reports to ignore of partitions whose reading was moved.
    stale: HashMap<(String, i32), u8>,
}

impl Progress {
    /// Replaces the progress with that of a report.
    pub(crate) fn report(&self, statistics: Statistics) {
        let next_offsets = |topic: Topic| topic.partitions.into_iter().map(|(id, it)| (id, it.next_offset)).collect();
        let next_offsets = statistics.topics.into_iter().map(|(name, topic)| (name, next_offsets(topic))).collect();
        let mut report = self.lock();
        (report.next_offsets, report.is_drained) = (next_offsets, false);
        report.stale.retain(|_, stale| {
            *stale -= 1;
            *stale > 0
        });
    }

    /// Notes that a poll found no further message.
    pub(crate) fn drained(&self) {
        self.lock().is_drained = true;
    }

    /// Ignores the reports of a partition for a while: it is read from another offset from now on.
    pub(crate) fn moved(&self, topic: &str, partition: i32) {
        // One more than is to be ignored: the report in which it ends counts.
        self.lock().stale.insert((topic.to_owned(), partition), STALE_REPORTS + 1);
    }

    /// Whether everything of the partition before offset `end` was fetched and polled.
    pub(crate) fn has_read_to(&self, topic: &str, partition: i32, end: u64) -> bool {
        let report = self.lock();
        let is_stale = !report.stale.is_empty() && report.stale.contains_key(&(topic.to_owned(), partition));
        let next = report.next_offsets.get(topic).and_then(|topic| topic.get(&partition));
        report.is_drained && !is_stale && next.is_some_and(|next| u64::try_from(*next).is_ok_and(|next| next >= end))
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
    use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

    use super::*;

    #[test]
    fn a_partition_is_at_its_end_only_when_all_was_fetched_and_polled() {
        let partition = |(id, next_offset)| (id, rdkafka::statistics::Partition { next_offset, ..Default::default() });
        let topic = Topic { partitions: [(0, 10), (2, -1001), (-1, 0)].map(partition).into(), ..Topic::default() };
        let progress = Progress::default();
        let report = || Statistics { topics: [("t".to_owned(), topic.clone())].into(), ..Statistics::default() };
        let at = |partition, end| progress.has_read_to("t", partition, end);
        progress.report(report());
        assert!(!at(0, 10), "messages may wait in the queue");
        progress.drained();
        assert!(at(0, 10) && !at(0, 11) && !at(2, 0) && !at(3, 0));
        progress.report(report());
        assert!(!at(0, 10), "more messages may have been fetched since");
        progress.moved("t", 0);
        assert!(!at(0, 10));
        for _ in 0..STALE_REPORTS {
            progress.report(report());
            progress.drained();
            assert!(!at(0, 10), "the report may be of before");
        }
        progress.report(report());
        progress.drained();
        assert!(at(0, 10));
    }

    #[derive(Default)]
    struct Context(Progress);

    impl ClientContext for Context {
        fn stats(&self, statistics: Statistics) {
            self.0.report(statistics);
        }
    }

    impl ConsumerContext for Context {}

    /// A report that `rdkafka` cannot parse is only logged there: then no partition would ever be at its end.
    #[test]
    fn reports_of_this_version_of_librdkafka_are_parsed() {
        let mut config = ClientConfig::new();
        // Brokers within librdkafka: no network.
        config.set("test.mock.num.brokers", "1").set("statistics.interval.ms", "20").set("group.id", "g");
        let consumer: BaseConsumer<Context> = config.create_with_context(Context::default()).unwrap();
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset("t", 0, Offset::Beginning).unwrap();
        consumer.assign(&partitions).unwrap();
        let is_at_end = || {
            if consumer.poll(Duration::from_millis(20)).is_none() {
                consumer.context().0.drained();
            }
            consumer.context().0.has_read_to("t", 0, 0)
        };
        assert!((0..1_000).any(|_| is_at_end()), "no report has the partition");
    }
}
