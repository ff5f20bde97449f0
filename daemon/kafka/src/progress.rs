//! How far each partition is read, from the statistics that librdkafka reports twice a second.
//!
//! Only the statistics have the offset behind the control records of transactions, which no message shows: a partition
//! whose last record is a commit marker is read to its end although the last message has the offset before.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::Statistics;
use rdkafka::statistics::Topic;

/// The read progress of each partition in the last report, by topic.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<HashMap<String, HashMap<i32, Partition>>>);

/// How far one partition is read.
#[derive(Clone, Copy, Debug)]
struct Partition {
    /// The next offset to fetch; negative while the partition is not read.
    next_offset: i64,
    /// Fetched messages that wait to be polled.
    queued: i64,
}

impl Progress {
    /// Replaces the progress with that of a report.
    pub(crate) fn report(&self, statistics: Statistics) {
        let partitions = |topic: Topic| {
            let partitions = topic.partitions.into_iter();
            partitions.map(|(id, it)| (id, Partition { next_offset: it.next_offset, queued: it.fetchq_cnt })).collect()
        };
        *self.lock() = statistics.topics.into_iter().map(|(name, topic)| (name, partitions(topic))).collect();
    }

    /// Forgets the last report, which is out of date.
    pub(crate) fn forget(&self) {
        self.lock().clear();
    }

    /// Whether everything of the partition before offset `end` was fetched, and nothing waits to be polled.
    pub(crate) fn has_read_to(&self, topic: &str, partition: i32, end: u64) -> bool {
        let report = self.lock();
        let partition = report.get(topic).and_then(|topic| topic.get(&partition));
        partition.is_some_and(|it| it.queued == 0 && u64::try_from(it.next_offset).is_ok_and(|next| next >= end))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<i32, Partition>>> {
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
    fn a_partition_is_at_its_end_only_when_all_was_fetched_and_nothing_waits() {
        let partition = |(id, next_offset, fetchq_cnt)| {
            (id, rdkafka::statistics::Partition { next_offset, fetchq_cnt, ..Default::default() })
        };
        let partitions = [(0, 10, 0), (1, 10, 3), (2, -1001, 0), (-1, 0, 0)].map(partition);
        let topic = Topic { partitions: partitions.into(), ..Topic::default() };
        let progress = Progress::default();
        progress.report(Statistics { topics: [("t".to_owned(), topic)].into(), ..Statistics::default() });
        let at = |partition, end| progress.has_read_to("t", partition, end);
        assert!(at(0, 10) && !at(0, 11) && !at(1, 10) && !at(2, 0) && !at(3, 0));
        progress.forget();
        assert!(!at(0, 10));
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
            drop(consumer.poll(Duration::from_millis(20)));
            consumer.context().0.has_read_to("t", 0, 0)
        };
        assert!((0..1_000).any(|_| is_at_end()), "no report has the partition");
    }
}
