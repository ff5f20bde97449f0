//! Messages about records that a table did not aggregate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daemon_base::repeats::{Due, INTERVAL, LIMITED, RepeatLimit};
use proxy_uve::Fate;
use tracing::warn;

/// The most characters of the example key in a message.
const SHOWN_CHARACTERS: usize = 100;

/// The records of a batch that were not aggregated, by outcome.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Vec<Count>);

#[derive(Debug)]
struct Count {
    fate: Fate,
    records: u64,
    /// The index of the first record in the batch.
    first: usize,
}

impl Dropped {
    /// Adds the record with that index in the batch. A duplicate was counted before and is not lost.
    pub(crate) fn add(&mut self, index: usize, fate: Fate) {
        match self.0.iter_mut().find(|count| count.fate == fate) {
            Some(count) => count.records += 1,
            None if fate == Fate::Duplicate => {}
            None => self.0.push(Count { fate, records: 1, first: index }),
        }
    }
}

/// The messages about the dropped records of one stream, which all of its partitions share: for each outcome at most
/// one in ten seconds, with the number of records since the one before and the key of a record.
///
/// The numbers are those of this process: records that are applied again after a failed commit count again. The exact
/// ones are in the status of the partitions.
#[derive(Debug)]
pub struct DropLog {
    stream: String,
    limit: Mutex<RepeatLimit<Fate, Example>>,
}

#[derive(Debug, Eq, PartialEq)]
struct Example {
    fate: Fate,
    key: String,
}

impl DropLog {
    /// The messages of the stream of that name.
    pub fn new(stream: String) -> Self {
        Self { stream, limit: Mutex::new(RepeatLimit::new(INTERVAL, Fate::ALL.len())) }
    }

    /// Adds the records of a batch, and writes the messages that are due at the monotonic time `now`. `key` returns the
    /// key of the record with an index in the batch.
    pub(crate) fn report<'k>(&self, dropped: &Dropped, now: Duration, key: impl Fn(usize) -> Option<&'k [u8]>) {
        self.add(dropped, now, key).iter().for_each(|due| self.write(due));
    }

    fn add<'k>(&self, dropped: &Dropped, now: Duration, key: impl Fn(usize) -> Option<&'k [u8]>) -> Vec<Due<Example>> {
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = limit.due(now);
        for &Count { fate, records, first } in &dropped.0 {
            let example = Example { fate, key: key(first).map(excerpt).unwrap_or_default() };
            due.extend(limit.add(fate, records, example, now));
        }
        due
    }

    fn write(&self, due: &Due<Example>) {
        let (stream, records, Example { fate, key }) = (&self.stream, due.count, &due.message);
        warn!(name: LIMITED, %stream, fate = fate.name(), records, example_key = key, "{}", text(*fate));
    }
}

impl Drop for DropLog {
    fn drop(&mut self) {
        let rest = self.limit.get_mut().unwrap_or_else(PoisonError::into_inner).finish();
        rest.iter().for_each(|due| self.write(due));
    }
}

/// The beginning of a key, without control characters.
fn excerpt(key: &[u8]) -> String {
    String::from_utf8_lossy(key).escape_debug().take(SHOWN_CHARACTERS).collect()
}

/// The message for an outcome, with the remedy.
fn text(fate: Fate) -> &'static str {
    match fate {
        Fate::Late => {
            "Records were dropped: their windows are closed. Raise aggregation.allowed_lateness, or find the source that \
             is late."
        }
        Fate::OverLimit => {
            "Records were dropped: they are of objects or sources beyond the limit. Raise \
             aggregation.max_objects_per_partition or aggregation.max_sources_per_object, or send fewer of them. The names \
             of sources in 256 neighbouring objects have 5 MiB: where those are the limit, use more partitions or fewer labels."
        }
        Fate::Future => {
            "Records were dropped: their timestamps are ahead of their arrival by more than aggregation.allowed_skew. \
             Check the clock of the source."
        }
        Fate::Refused => {
            "Records were dropped: the time of an object went back within a ranged window, or a difference overflowed. \
             Send the samples of an object in the order of time."
        }
        Fate::MalformedKey => "Records were dropped: their keys are not `table:name`. Correct the producer.",
        Fate::MalformedPayload => "Records were dropped: their payloads are not samples. Correct the producer.",
        Fate::MalformedValue => {
            "Records were dropped: their values do not fit the type of the stream. Correct the producer, or the raw field \
             of the proxy type."
        }
        _ => "Records were dropped.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn dropped(fates: &[(usize, Fate)]) -> Dropped {
        let mut dropped = Dropped::default();
        fates.iter().for_each(|&(index, fate)| dropped.add(index, fate));
        dropped
    }

    fn due(fate: Fate, records: u64, key: &str) -> Due<Example> {
        Due { message: Example { fate, key: key.to_owned() }, count: records }
    }

    #[test]
    fn a_message_in_ten_seconds_has_the_count_since_the_one_before_and_a_key() {
        let log = DropLog::new("S-a".into());
        let keys: [&[u8]; 3] = [b"T:a", b"T:b", b"T:\n\xff"];
        let key = |index: usize| keys.get(index).copied();
        let batch = dropped(&[(1, Fate::Late), (0, Fate::Duplicate), (2, Fate::Late), (2, Fate::OverLimit)]);
        let expected = [due(Fate::Late, 2, "T:b"), due(Fate::OverLimit, 1, "T:\\n\u{fffd}")];
        assert_eq!(log.add(&batch, SECOND, key), expected);
        for _ in 0..3 {
            assert_eq!(log.add(&dropped(&[(0, Fate::Late)]), 2 * SECOND, key), []);
        }
        let late = log.add(&dropped(&[]), SECOND + INTERVAL, key);
        assert_eq!(late, [due(Fate::Late, 3, "T:a")], "also without a further record");
        assert_eq!(log.add(&dropped(&[]), 10 * INTERVAL, key), []);
    }

    #[test]
    fn a_long_key_is_cut() {
        assert_eq!(excerpt("\u{e9}".repeat(1024).as_bytes()).chars().count(), SHOWN_CHARACTERS);
    }
}
