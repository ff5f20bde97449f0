//! Deletes frames and idempotency keys by the rules of retention, in short steps under the write lock.

use std::collections::BTreeSet;

use daemon_base::failpoint;

use crate::codec;
use crate::embedded::load::{ends_value, parse_header, space_of};
use crate::embedded::stage::Stage;
use crate::embedded::store::{Space, Store};
use crate::embedded::tables::Ends;
use crate::embedded::writer::Writer;
use crate::error::LogError;
use crate::frame::FrameHeader;
use crate::keys;
use crate::retention::{Oldest, input_is_deletable, results_are_deletable};
use crate::{PartitionId, RetentionReport};

/// The largest number of frames or keys that one step deletes, which takes a few milliseconds.
const STEP: usize = 1024;

/// The oldest retained frame of one log, and the frames after it.
struct Front<'a> {
    partition: PartitionId,
    header: FrameHeader,
    bytes: u64,
    rest: Box<dyn Iterator<Item = Result<crate::embedded::store::Pair, LogError>> + 'a>,
}

impl Writer {
    /// Runs a whole retention pass and releases the write lock after each step.
    pub(super) fn enforce_retention(&self, now: u64) -> Result<RetentionReport, LogError> {
        failpoint::point("retention.before");
        let mut total = RetentionReport::default();
        loop {
            let step = self.lock()?.write(|stage| stage.trim(now))?;
            if step == RetentionReport::default() {
                return Ok(total);
            }
            total.input_records += step.input_records;
            total.input_bytes += step.input_bytes;
            total.results += step.results;
            total.results_bytes += step.results_bytes;
            total.results_dropped += step.results_dropped;
            total.idempotency_keys += step.idempotency_keys;
        }
    }
}

impl<'a> Stage<'a> {
    /// Stages one step; an empty report ends the pass.
    fn trim(&mut self, now: u64) -> Result<RetentionReport, LogError> {
        let mut step = RetentionReport::default();
        self.trim_input(now, &mut step)?;
        self.trim_results(now, &mut step)?;
        step.idempotency_keys = self.remove_expired_keys(now, STEP)?;
        self.touched.retention = true;
        Ok(step)
    }

    /// Deletes input frames that the rules allow, the oldest of all partitions first.
    fn trim_input(&mut self, now: u64, step: &mut RetentionReport) -> Result<(), LogError> {
        let mut fronts = Vec::new();
        for (id, partition) in &self.tables.partitions {
            if partition.applied() > partition.ends.bounds.first {
                fronts.extend(Front::open(self.store, *id, &partition.ends)?);
            }
        }
        let mut total = self.tables.input_bytes();
        let mut trimmed = BTreeSet::new();
        for _ in 0..STEP {
            let deletable = |front: &Front<'_>| {
                let applied = self.tables.partitions.get(&front.partition).map_or(0, |it| it.applied());
                input_is_deletable(front.oldest(), applied, total, now, self.config)
            };
            let oldest = fronts.iter_mut().filter(|front| deletable(front));
            let Some(front) = oldest.min_by_key(|front| (front.header.written_at, front.partition)) else {
                break;
            };
            let Some(partition) = self.tables.partitions.get_mut(&front.partition) else { break };
            step.input_records += u64::from(front.header.count);
            step.input_bytes += front.bytes;
            total -= front.bytes.min(total);
            trimmed.insert(front.partition);
            self.batch.remove(Space::Input, &keys::frame(front.partition, front.header.base));
            if !front.advance(&mut partition.ends)? {
                let emptied = front.partition;
                fronts.retain(|front| front.partition != emptied);
            }
        }
        for id in trimmed {
            let ends = self.tables.partitions.get(&id).map(|partition| partition.ends);
            self.store_ends(id, &ends.unwrap_or_default());
        }
        Ok(())
    }

    /// Deletes result frames that the rules allow, the oldest first.
    fn trim_results(&mut self, now: u64, step: &mut RetentionReport) -> Result<(), LogError> {
        let (unread, mut ends) = (self.tables.unread_results(), self.tables.results);
        let Some(mut front) = Front::open(self.store, PartitionId::RESULTS, &ends)? else {
            return Ok(());
        };
        for _ in 0..STEP {
            if !results_are_deletable(front.oldest(), unread, ends.bytes(), now, self.config) {
                break;
            }
            let FrameHeader { base, count, .. } = front.header;
            step.results += u64::from(count);
            step.results_bytes += front.bytes;
            step.results_dropped += front.header.end().saturating_sub(unread.max(base));
            self.batch.remove(Space::Results, &keys::frame(PartitionId::RESULTS, base));
            if !front.advance(&mut ends)? {
                break;
            }
        }
        if step.results > 0 {
            self.tables.results = ends;
            self.tables.results_dropped += step.results_dropped;
            let dropped = self.tables.results_dropped.to_le_bytes();
            self.batch.insert(Space::Meta, keys::DROPPED, codec::seal(keys::DROPPED, &[&dropped]));
            self.store_ends(PartitionId::RESULTS, &ends);
        }
        Ok(())
    }

    /// Stages the ends of a log, so that its offsets survive the deletion of its last frame.
    fn store_ends(&mut self, partition: PartitionId, ends: &Ends) {
        let key = keys::named(keys::BOUNDS, &keys::partition(partition));
        let value = ends_value(&key, ends);
        self.batch.insert(Space::Meta, &key, value);
    }
}

impl<'a> Front<'a> {
    fn open(store: &'a Store, partition: PartitionId, ends: &Ends) -> Result<Option<Self>, LogError> {
        let range = keys::frame(partition, ends.bounds.first)..keys::frame(partition, ends.bounds.next);
        let mut rest = store.scan(space_of(partition), range);
        let Some((key, value)) = rest.next().transpose()? else { return Ok(None) };
        let header = parse_header(partition, &key, &value)?;
        Ok(Some(Self { partition, header, bytes: value.len() as u64, rest: Box::new(rest) }))
    }

    fn oldest(&self) -> Oldest {
        Oldest { written_at: self.header.written_at, end: self.header.end() }
    }

    /// Sets the first offset of the log to the end of this frame and moves to the next frame; `false` at the end.
    fn advance(&mut self, ends: &mut Ends) -> Result<bool, LogError> {
        ends.bounds.first = self.header.end();
        ends.bytes_first = self.header.bytes_before + self.bytes;
        let next = self.rest.next().transpose()?;
        let Some((key, value)) = next else {
            ends.oldest_at = None;
            return Ok(false);
        };
        self.header = parse_header(self.partition, &key, &value)?;
        self.bytes = value.len() as u64;
        ends.oldest_at = Some(self.header.written_at);
        Ok(true)
    }
}
