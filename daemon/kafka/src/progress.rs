//! How far each partition is read, out of the statistics that librdkafka reports twice a second.
//!
//! It alone knows the place behind the control records of transactions, which no message shows: a partition whose last
//! record is a commit marker is read to its end although the last message stands one offset before it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

/// Topics, with their partitions by number.
#[derive(Debug, Default, Deserialize)]
struct Report {
    #[serde(default)]
    topics: HashMap<String, Topic>,
}

#[derive(Debug, Default, Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: HashMap<String, Partition>,
}

/// Where the reading of one partition stands.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub(crate) struct Partition {
    /// The next offset to ask the broker for; negative while it is not read.
    next_offset: i64,
    /// What waits to be polled, of any partition.
    fetchq_cnt: i64,
}

/// The last report.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<HashMap<String, HashMap<i32, Partition>>>);

impl Progress {
    /// Takes over a report. One that cannot be read changes nothing.
    pub(crate) fn report(&self, json: &[u8]) {
        let Ok(report) = serde_json::from_slice::<Report>(json) else { return };
        let by_number = |topic: Topic| {
            let numbered = topic.partitions.into_iter();
            numbered.filter_map(|(number, partition)| Some((number.parse().ok()?, partition))).collect()
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            report.topics.into_iter().map(|(name, topic)| (name, by_number(topic))).collect();
    }

    /// Forgets everything: what was reported is out of date.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether everything of the partition before offset `end` was fetched, and nothing waits.
    pub(crate) fn has_read_to(&self, topic: &str, partition: i32, end: u64) -> bool {
        let report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = report.get(topic).and_then(|topic| topic.get(&partition));
        partition.is_some_and(|it| it.fetchq_cnt == 0 && u64::try_from(it.next_offset).is_ok_and(|next| next >= end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_at_its_end_only_when_all_was_fetched_and_nothing_waits() {
        let progress = Progress::default();
        progress.report(
            br#"{"name":"x","topics":{"t":{"topic":"t","partitions":{
                "0":{"next_offset":10,"fetchq_cnt":0,"ls_offset":10},
                "1":{"next_offset":10,"fetchq_cnt":3},
                "2":{"next_offset":-1001,"fetchq_cnt":0},
                "-1":{"next_offset":0,"fetchq_cnt":0}}}}}"#,
        );
        let at = |partition, end| progress.has_read_to("t", partition, end);
        assert!(at(0, 10) && !at(0, 11) && !at(1, 10) && !at(2, 0) && !at(3, 0));
        progress.report(b"no json");
        assert!(at(0, 10), "an unreadable report changes nothing");
        progress.forget();
        assert!(!at(0, 10));
    }
}
