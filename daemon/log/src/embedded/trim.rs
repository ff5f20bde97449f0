//! Carries out retention, in steps that hold the write lock only briefly.

use std::collections::BTreeSet;

use daemon_base::failpoint;

use crate::codec;
use crate::embedded::load::{ends_value, parse_header, space_of};
use crate::embedded::store::{Space, Store};
use crate::embedded::tables::Ends;
use crate::embedded::writer::{Stage, Writer};
use crate::error::LogError;
use crate::frame::FrameHeader;
use crate::keys;
use crate::retention::{Oldest, input_is_spent, results_are_spent};
use crate::types::{PartitionId, Retained};

/// How many frames or keys one step deletes at most: a few milliseconds.
const STEP: usize = 1024;

/// The oldest retained frame of one log, and the frames after it.
struct Front<'a> {
    place: PartitionId,
    header: FrameHeader,
    bytes: u64,
    rest: Box<dyn Iterator<Item = Result<crate::embedded::store::Pair, LogError>> + 'a>,
}

impl Writer {
    pub(super) fn enforce_retention(&self, now: u64) -> Result<Retained, LogError> {
        failpoint::point("retention.before");
        let mut total = Retained::default();
        loop {
            let step = self.lock()?.write(|stage| stage.trim(now))?;
            if step == Retained::default() {
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
    fn trim(&mut self, now: u64) -> Result<Retained, LogError> {
        let mut step = Retained::default();
        self.trim_input(now, &mut step)?;
        self.trim_results(now, &mut step)?;
        step.idempotency_keys = self.forget_expired(now, STEP)?;
        self.touched.retention = true;
        Ok(step)
    }

    /// Deletes from the partition whose oldest frame is the oldest of all, as long as the rules allow.
    fn trim_input(&mut self, now: u64, step: &mut Retained) -> Result<(), LogError> {
        let mut fronts = Vec::new();
        for (id, partition) in &self.tables.partitions {
            if partition.applied() > partition.ends.bounds.first {
                fronts.extend(Front::open(self.store, *id, &partition.ends)?);
            }
        }
        let mut total = self.tables.input_bytes();
        let mut trimmed = BTreeSet::new();
        for _ in 0..STEP {
            let spent = |front: &Front<'_>| {
                let applied = self.tables.partitions.get(&front.place).map_or(0, |it| it.applied());
                input_is_spent(front.oldest(), applied, total, now, self.config)
            };
            let oldest = fronts.iter_mut().filter(|front| spent(front));
            let Some(front) = oldest.min_by_key(|front| (front.header.written_at, front.place)) else {
                break;
            };
            let Some(partition) = self.tables.partitions.get_mut(&front.place) else { break };
            step.input_records += u64::from(front.header.count);
            step.input_bytes += front.bytes;
            total -= front.bytes.min(total);
            trimmed.insert(front.place);
            self.batch.remove(Space::Input, &keys::frame(front.place, front.header.base));
            if !front.advance(&mut partition.ends)? {
                let emptied = front.place;
                fronts.retain(|front| front.place != emptied);
            }
        }
        for id in trimmed {
            let ends = self.tables.partitions.get(&id).map(|partition| partition.ends);
            self.store_ends(id, &ends.unwrap_or_default());
        }
        Ok(())
    }

    fn trim_results(&mut self, now: u64, step: &mut Retained) -> Result<(), LogError> {
        let (unread, mut ends) = (self.tables.unread_results(), self.tables.results);
        let Some(mut front) = Front::open(self.store, PartitionId::RESULTS, &ends)? else {
            return Ok(());
        };
        for _ in 0..STEP {
            if !results_are_spent(front.oldest(), unread, ends.bytes(), now, self.config) {
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

    fn store_ends(&mut self, place: PartitionId, ends: &Ends) {
        let key = keys::named(keys::BOUNDS, &keys::partition(place));
        let value = ends_value(&key, ends);
        self.batch.insert(Space::Meta, &key, value);
    }
}

impl<'a> Front<'a> {
    fn open(store: &'a Store, place: PartitionId, ends: &Ends) -> Result<Option<Self>, LogError> {
        let range = keys::frame(place, ends.bounds.first)..keys::frame(place, ends.bounds.next);
        let mut rest = store.scan(space_of(place), range);
        let Some((key, value)) = rest.next().transpose()? else { return Ok(None) };
        let header = parse_header(place, &key, &value)?;
        Ok(Some(Self { place, header, bytes: value.len() as u64, rest: Box::new(rest) }))
    }

    fn oldest(&self) -> Oldest {
        Oldest { written_at: self.header.written_at, end: self.header.end() }
    }

    /// Moves the log's beginning behind this frame and goes to the next; false if there is none.
    fn advance(&mut self, ends: &mut Ends) -> Result<bool, LogError> {
        ends.bounds.first = self.header.end();
        ends.bytes_first = self.header.bytes_before + self.bytes;
        let next = self.rest.next().transpose()?;
        let Some((key, value)) = next else {
            ends.oldest_at = None;
            return Ok(false);
        };
        self.header = parse_header(self.place, &key, &value)?;
        self.bytes = value.len() as u64;
        ends.oldest_at = Some(self.header.written_at);
        Ok(true)
    }
}
