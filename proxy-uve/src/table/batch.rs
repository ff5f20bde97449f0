//! Many records at a time.
//!
//! A record alone waits for memory at each step: index, key, cell. A batch takes each step for all of its records before
//! the next one, so that the waits overlap. It has to be plain sailing for that: windows open, none closing, values of
//! the one type that every lane takes. Batches that are not go record by record; the outcome is the same either way.

use derived_stats::Number;
use derived_stats::column::Update;

use crate::table::slots::{BATCH, UNKNOWN};
use crate::table::{CHUNK_SLOTS, DecodedRecord, Fate, Record, ResultSink, Table};
use crate::wire;

impl<S: ResultSink> Table<S> {
    /// Applies records whose payloads are decoded, in order, as [`ingest`](Self::ingest) does one by one.
    ///
    /// Any number at a time; from a few dozen on it is fastest. Where one batch ends and the next begins makes no
    /// difference to the results.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName, Table, TableSettings};
    /// use derived_stats::Number;
    /// use proxy_uve::DecodedRecord;
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?, &types));
    /// let mut table = Table::new(plan, TableSettings::default());
    /// let sample = |position, at| {
    ///     DecodedRecord { position, arrived: at, key: b"ObjectVNTable:demo", at, value: Number::U64(18) }
    /// };
    /// table.ingest_batch(&[sample(0, 60_000_000), sample(1, 61_000_000), sample(2, 180_000_000)]);
    /// let first = table.drain().next().expect("the first minute is over");
    /// assert!(first.json.ends_with(br#""value":{"value":36}}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ingest_batch(&mut self, records: &[DecodedRecord<'_>]) {
        for records in records.chunks(BATCH) {
            let mut slots = [UNKNOWN; BATCH];
            let slots = &mut slots[..records.len()];
            self.slots.look_ahead(records.iter().map(|record| record.key), slots);
            match self.smooth_sailing(records, slots) {
                Some(newest) => self.apply_columns(records, slots, newest),
                None => self.apply_one_by_one(records, slots),
            }
        }
    }

    /// Applies records with their payloads, in order: decodes them and goes on as [`ingest_batch`](Self::ingest_batch).
    pub fn ingest_payloads<'r>(&mut self, records: impl IntoIterator<Item = Record<'r>>) {
        const NONE: DecodedRecord<'_> =
            DecodedRecord { position: 0, arrived: 0, key: b"", at: 0, value: Number::U64(0) };
        let (mut batch, mut filled) = ([NONE; BATCH], 0);
        for Record { position, arrived, key, payload } in records {
            match wire::decode_within(payload, self.settings.max_payload_bytes) {
                Ok(sample) => {
                    let (at, value) = (sample.timestamp, sample.value);
                    batch[filled] = DecodedRecord { position, arrived, key, at, value };
                    filled += 1;
                }
                Err(_) => {
                    self.ingest_batch(&batch[..filled]);
                    filled = 0;
                    let fate = if self.is_new(position) { Fate::MalformedPayload } else { Fate::Duplicate };
                    self.count(fate);
                }
            }
            if filled == BATCH {
                self.ingest_batch(&batch);
                filled = 0;
            }
        }
        self.ingest_batch(&batch[..filled]);
    }

    fn apply_one_by_one(&mut self, records: &[DecodedRecord<'_>], slots: &[u32]) {
        for (record, &slot) in records.iter().zip(slots) {
            let fate = match self.is_new(record.position) {
                true => self.judge(record, (slot != UNKNOWN).then_some(slot as usize)),
                false => Fate::Duplicate,
            };
            self.count(fate);
        }
    }

    /// Whether every record is new, in an open window, of the right type, and makes no window due. Then the newest
    /// timestamp with them.
    fn smooth_sailing(&self, records: &[DecodedRecord<'_>], slots: &[u32]) -> Option<u64> {
        if !self.takes_columns || self.closing.is_some() {
            return None;
        }
        let (mut position, mut newest) = (self.progress.position?, self.progress.newest?);
        let open_from = self.open_from();
        for (record, &slot) in records.iter().zip(slots) {
            let is_plain = record.position > position
                && record.at >= open_from
                && record.at <= record.arrived.saturating_add(self.allowed_skew)
                && self.plan.lanes[0].spec.accepts(record.value)
                // A known key was checked when it became known.
                && (slot != UNKNOWN || self.is_key(record.key));
            if !is_plain {
                return None;
            }
            position = record.position;
            newest = newest.max(record.at);
        }
        (!self.makes_due(newest.saturating_sub(self.allowed_lateness))).then_some(newest)
    }

    /// From when on every group's window is open.
    fn open_from(&self) -> u64 {
        let watermark = self.progress.watermark;
        let starts = self.plan.groups.iter().map(|group| watermark - watermark % group.period);
        starts.max().unwrap_or(watermark)
    }

    fn apply_columns(&mut self, records: &[DecodedRecord<'_>], slots: &[u32], newest: u64) {
        let watermark = newest.saturating_sub(self.allowed_lateness);
        self.progress.watermark = self.progress.watermark.max(watermark);
        self.progress.newest = Some(newest);
        self.progress.position = records.last().map(|record| record.position);

        let mut updates = [Update { slot: 0, at: 0, value: Number::U64(0) }; BATCH];
        let mut known = 0;
        for (record, &slot) in records.iter().zip(slots) {
            let slot = if slot == UNKNOWN { self.slot(record.key) } else { Some(slot as usize) };
            if let Some(slot) = slot {
                updates[known] = Update { slot: slot as u32, at: record.at, value: record.value };
                known += 1;
            }
        }
        let updates = &updates[..known];
        self.update_columns(updates);
        self.progress.fates.add(Fate::Aggregated, known as u64);
        self.progress.fates.add(Fate::OverLimit, (records.len() - known) as u64);
    }

    fn update_columns(&mut self, updates: &[Update]) {
        for lane in &mut self.lanes {
            lane.update_all(updates);
        }
        for (group, plan) in self.groups.iter_mut().zip(&self.plan.groups) {
            by_window(updates, plan.period).for_each(|(start, updates)| group.touch_all(start, updates));
        }
        updates.iter().for_each(|update| self.dirty.insert(update.slot as usize / CHUNK_SLOTS));
    }
}

/// The runs of samples that belong to the same window of `length`, with its start.
pub(super) fn by_window(mut updates: &[Update], length: u64) -> impl Iterator<Item = (u64, &[Update])> {
    std::iter::from_fn(move || {
        let first = updates.first()?;
        let start = first.at - first.at % length;
        let other = updates.iter().position(|update| update.at.wrapping_sub(start) >= length);
        let (run, rest) = updates.split_at(other.unwrap_or(updates.len()));
        updates = rest;
        Some((start, run))
    })
}
