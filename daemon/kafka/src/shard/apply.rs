//! How a shard applies records: at once, or in the order of event time after it held them.

use std::collections::BTreeSet;
use std::time::Duration;

use daemon_base::clock::micros;
use daemon_log::PartitionId;
use proxy_uve::{Position, Record};

use crate::foreign::{event_time, refused, skipped};
use crate::input_merge::ReadTime;
use crate::member::{DeadLetter, Incoming};

use super::Shard;

/// How far event time may advance between two polls of the topics if no lateness is allowed: to poll them for every
/// record would cost too much.
const MIN_AHEAD: Duration = Duration::from_secs(1);

/// The largest step of a clock that is taken for one.
const MAX_CLOCK_STEP: Duration = Duration::from_secs(600);

/// Of the records of a run, one in so many is looked at for its time: to decode each twice would cost as much as to
/// apply it, and the samples of a partition are about in order.
const LOOKED_AT: usize = 32;

impl Shard {
    /// Applies a run of records of one input partition, or holds them; `sources` is the number of input partitions. Returns
    /// the number of messages that no stream of their topic takes.
    pub(crate) fn apply(
        &mut self,
        source: PartitionId,
        records: &[Incoming<'_>],
        sources: usize,
        read: ReadTime,
    ) -> u64 {
        if records.is_empty() {
            return 0;
        }
        let Some((topic, needs_key)) = self.foreign.clone() else {
            self.apply_samples(source, records, sources, read);
            return 0;
        };
        let converted = topic.convert(records, needs_key);
        self.apply_samples(source, &converted.records(), sources, read);
        converted.unmatched
    }

    fn apply_samples(&mut self, source: PartitionId, records: &[Incoming<'_>], sources: usize, read: ReadTime) {
        self.table.record_came(read.now);
        let read = ReadTime { wall: self.read_at(records, read.wall), ..read };
        if sources <= 1 && self.merge.is_empty() && !self.is_ahead(records, read) {
            self.ingest(source.partition, records, read);
            self.gaps.applied(source.partition, records.last().map_or(0, |last| last.offset));
        } else {
            self.merge.push(source.partition, records, read, |at, arrived| self.table.is_future(at, arrived));
        }
    }

    /// Applies the held records that are next in the order of event time. `at_end` are the input partitions that were
    /// just found to have no further records, and `as_of` is the time of the last poll of the topics. Returns whether
    /// records wait for a newer one.
    pub(crate) fn apply_held(
        &mut self,
        sources: &[PartitionId],
        at_end: &BTreeSet<PartitionId>,
        as_of: Duration,
        now: Duration,
    ) -> bool {
        let id = self.id;
        let is_at_end = |partition| at_end.contains(&PartitionId { partition, ..id });
        loop {
            let next = self.merge.next(sources.iter().map(|source| source.partition), is_at_end, now);
            let Some((partition, held)) = next else { return false };
            if held.came <= as_of {
                self.complete_until = self.complete_until.max(held.time);
            } else if held.time > self.limit() {
                return true;
            }
            let Some(held) = self.merge.take(partition) else { return false };
            self.ingest(partition, &[held.incoming()], ReadTime { now, wall: held.at });
            // A record that is not a sample, or of the future, does not show how far the gap reaches.
            if held.time > 0 {
                self.gaps.applied(partition, held.offset);
            }
            if !self.gaps.is_empty() {
                // The time that samples of other partitions bring is unknown, too.
                self.table.mark_lost();
            }
        }
    }

    /// The time at which records are read, by the daemon's clock: neither a step back of this clock nor that of another
    /// machine makes records of the future that were not before. A saved time that is far ahead is of a wrong clock.
    fn read_at(&mut self, records: &[Incoming<'_>], wall: u64) -> u64 {
        if records.iter().all(|record| record.at.is_some()) {
            return wall;
        }
        let is_plausible = self.read_at <= wall.saturating_add(micros(MAX_CLOCK_STEP));
        self.read_at = if is_plausible { self.read_at.max(wall) } else { wall };
        self.read_at
    }

    /// Whether the newest sample of a run, of a few that are looked at, is so far ahead that records of an input partition that the daemon does not know
    /// yet could become late.
    fn is_ahead(&self, records: &[Incoming<'_>], read: ReadTime) -> bool {
        let time = |record: &Incoming<'_>| {
            let time = event_time(record.payload)?;
            (!self.table.is_future(time, read.arrival(record))).then_some(time)
        };
        records.iter().rev().step_by(LOOKED_AT).filter_map(time).any(|time| time > self.limit())
    }

    /// The event time up to which records are applied before the topics are polled again.
    fn limit(&self) -> u64 {
        self.complete_until.saturating_add(micros(self.table.settings().allowed_lateness.max(MIN_AHEAD)))
    }

    fn ingest(&mut self, partition: u16, records: &[Incoming<'_>], read: ReadTime) {
        let next = self.table.cursor(partition).unwrap_or(0);
        // A partition that is read from an earlier offset delivers applied records again.
        let records = &records[records.partition_point(|record| record.offset < next)..];
        if self.foreign.is_none() {
            return self.ingest_samples(partition, records, read);
        }
        let is_skipped = |record: &Incoming<'_>| skipped(record.payload).is_some();
        for run in records.chunk_by(|a, b| is_skipped(a) == is_skipped(b)) {
            match run.first().is_some_and(is_skipped) {
                true => self.pass(partition, run, read),
                false => self.ingest_samples(partition, run, read),
            }
        }
    }

    /// Passes messages that the stream does not take: they bring their time.
    fn pass(&mut self, partition: u16, records: &[Incoming<'_>], read: ReadTime) {
        let Some(last) = records.last() else { return };
        let is_past = |record: &&Incoming<'_>, time| !self.table.is_future(time, read.arrival(record));
        let times = records.iter().filter_map(|record| skipped(record.payload).filter(|time| is_past(&record, *time)));
        let newest = times.max().unwrap_or(0);
        self.table.pass(partition, last.offset + 1, newest, read.now);
    }

    fn ingest_samples(&mut self, partition: u16, records: &[Incoming<'_>], read: ReadTime) {
        let Some(last) = records.last() else { return };
        let mut malformed = Vec::new();
        let positioned = records.iter().zip(self.position..).map(|(record, position)| Record {
            position: Position::new(position),
            arrived: read.arrival(record),
            key: record.key,
            payload: record.payload,
        });
        self.table.apply(partition, positioned, last.offset + 1, read.now, |index| malformed.push(index));
        self.position += records.len() as u64;
        if !malformed.is_empty() {
            self.dead_letter(partition, malformed.into_iter().map(|index| &records[index]), read.now);
        }
    }

    /// Collects records that are not samples as dead letters.
    fn dead_letter<'r>(&mut self, partition: u16, records: impl Iterator<Item = &'r Incoming<'r>>, now: Duration) {
        for record in records {
            let refused = self.foreign.is_some().then(|| refused(record.payload)).flatten();
            let (reason, payload) = match refused {
                Some((reason, payload)) => (reason.to_owned(), payload),
                None => (self.table.reason_malformed(record.key, record.payload).unwrap_or_default(), record.payload),
            };
            self.dead_letter_bytes += record.key.len() + payload.len();
            self.dead_letters.push(DeadLetter {
                source: PartitionId { partition, ..self.id },
                offset: record.offset,
                reason,
                key: record.key.to_vec(),
                payload: payload.to_vec(),
            });
        }
        self.table.expect_commit(now);
    }
}
