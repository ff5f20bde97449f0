//! The messages about records that are not samples, once they are among the dead letters.
//!
//! Each names the record: topic, partition and offset, and the reason with the field. Of a partition and a kind of reason there
//! is at most one in ten seconds, with the number of records since the one before.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use daemon_base::one_line::one_line;
use daemon_base::repeats::{Due, INTERVAL, LIMITED, RepeatLimit};
use daemon_log::PartitionId;
use tracing::warn;

use crate::input_topics::InputTopics;
use crate::member::{DeadLetter, ShardCommit};

/// The most characters of a reason in a message: it may have a part of the record.
const SHOWN_CHARACTERS: usize = 300;

/// The most kinds of reasons of one partition that are distinguished: each record may have another text.
const KINDS: u64 = 4;

/// The most kinds of all partitions.
const MAX_KEYS: usize = 256;

/// The messages of a worker that are held.
#[derive(Debug)]
pub(super) struct LetterLog(RepeatLimit<(PartitionId, u64), Example>);

#[derive(Debug, Eq, PartialEq)]
struct Example {
    source: PartitionId,
    offset: u64,
    reason: String,
}

impl LetterLog {
    pub(super) fn new() -> Self {
        Self(RepeatLimit::new(INTERVAL, MAX_KEYS))
    }

    /// Adds the dead letters that were committed, and writes the messages that are due.
    pub(super) fn committed(&mut self, commits: &[ShardCommit], topics: &InputTopics, now: Duration) {
        let letters = commits.iter().flat_map(|commit| &commit.dead_letters);
        for due in letters.filter_map(|letter| self.add(letter, now)).collect::<Vec<_>>() {
            write(&due, topics);
        }
    }

    fn add(&mut self, letter: &DeadLetter, now: Duration) -> Option<Due<Example>> {
        let reason = one_line(&letter.reason, SHOWN_CHARACTERS);
        let example = Example { source: letter.source, offset: letter.offset, reason };
        self.0.add((letter.source, kind(&letter.reason)), 1, example, now)
    }

    /// Writes the held messages that are due.
    pub(super) fn tick(&mut self, topics: &InputTopics, now: Duration) {
        self.0.due(now).iter().for_each(|due| write(due, topics));
    }

    /// Writes all held messages: the end of the worker.
    pub(super) fn finish(&mut self, topics: &InputTopics) {
        self.0.finish().iter().for_each(|due| write(due, topics));
    }
}

/// Reasons that differ in digits only are of one kind.
fn kind(reason: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    reason.chars().filter(|c| !c.is_ascii_digit()).for_each(|c| c.hash(&mut hasher));
    hasher.finish() % KINDS
}

fn write(due: &Due<Example>, topics: &InputTopics) {
    let (records, Example { source, offset, reason }) = (due.count, &due.message);
    let (stream, topic) = (topics.stream(source.stream), topics.name(source.stream));
    warn!(
        name: LIMITED, %stream, %topic, partition = source.partition, offset, %reason, records,
        "Records are not samples, such as this one; they are among the dead letters. Correct the producer."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(partition: u16, offset: u64, reason: &str) -> DeadLetter {
        let source = PartitionId::new(0, partition);
        DeadLetter { source, offset, reason: reason.to_owned(), key: Vec::new(), payload: Vec::new() }
    }

    #[test]
    fn of_many_records_few_are_named_and_all_are_counted() {
        let mut log = LetterLog::new();
        let (mut named, mut counted) = (0, 0);
        for index in 0..10_000_u64 {
            // Every record has another text.
            let text = format!("`ts` is {:?}, not a number", "x".repeat(index as usize % 50));
            let now = Duration::from_millis(index);
            for due in log.add(&letter((index % 3) as u16, index, &text), now).into_iter().chain(log.0.due(now)) {
                named += 1;
                counted += due.count;
            }
        }
        assert!((3..=24).contains(&named), "{named} within ten seconds for three partitions and four kinds");
        counted += log.0.finish().iter().map(|due| due.count).sum::<u64>();
        assert_eq!(counted, 10_000);
    }

    #[test]
    fn a_message_has_one_line_of_bounded_length() {
        let text = format!("`ts` is \"\n{}\"", "é".repeat(1000));
        let due = LetterLog::new().add(&letter(2, 7, &text), Duration::ZERO).unwrap();
        let Example { source, offset, reason } = due.message;
        assert_eq!((source.partition, offset, reason.chars().count()), (2, 7, SHOWN_CHARACTERS));
        assert!(reason.starts_with("`ts` is \" é"), "{reason}");
    }
}
