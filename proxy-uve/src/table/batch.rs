//! Many records at a time.
//!
//! A record alone waits for memory at each step: index, key, cell. A batch takes each step for all of its records
//! before the next one, so that the waits overlap. This fast path needs open windows, none of them closing, and values
//! of the one type that every window column takes. Other batches go record by record; the outcome is the same.

use std::borrow::Cow;

use derived_stats::Number;
use derived_stats::column::Update;

use crate::position::Position;
use crate::table::objects::{BATCH, Keys, Slots, UNKNOWN};
use crate::table::stream_state::StreamState;
use crate::table::{DecodedRecord, Fate, Fates, Plan, Record, ResultSink, Table};
use crate::wire::{self, WireSample};

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
    /// use proxy_uve::{DecodedRecord, Position};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?, &types));
    /// let mut table = Table::new(plan, TableSettings::default());
    /// let sample = |position, at| {
    ///     let position = Position::new(position);
    ///     DecodedRecord { position, arrived: at, key: b"ObjectVNTable:demo", at, value: Number::U64(18), source: "" }
    /// };
    /// let fates = table.ingest_batch(&[sample(0, 60_000_000), sample(1, 61_000_000), sample(2, 180_000_000)]);
    /// assert_eq!(fates.aggregated, 3);
    /// let first = table.drain().next().expect("the first minute is over");
    /// assert!(first.json.ends_with(br#""value":{"value":36}}"#));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Returns the counts of these records by outcome; [`fates`](Self::fates) has the counts of all records so far.
    pub fn ingest_batch(&mut self, records: &[DecodedRecord<'_>]) -> Fates {
        self.ingest_batch_with(records, |_, _| {})
    }

    /// The same, and calls `not_aggregated` with the index in `records` and the outcome of each record that is not
    /// [`Fate::Aggregated`], in order: to log, count or store late and refused records.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use proxy_uve::{schema::Schema, Plan, StreamName, Table, TableSettings};
    /// use derived_stats::Number;
    /// use proxy_uve::{DecodedRecord, Fate, Position};
    ///
    /// # let types = [Arc::clone(Schema::builtin().get("AggProxySum").expect("built in"))];
    /// # let plan = Arc::new(Plan::new(StreamName::new("UveVirtualNetworkAgent", "egress_flow_count")?, &types));
    /// let mut table = Table::new(plan, TableSettings::default());
    /// let sample = |position, at| {
    ///     let position = Position::new(position);
    ///     DecodedRecord { position, arrived: 600_000_000, key: b"ObjectVNTable:demo", at, value: Number::U64(18), source: "" }
    /// };
    /// let mut late = Vec::new();
    /// table.ingest_batch_with(&[sample(0, 600_000_000), sample(1, 60_000_000)], |index, fate| late.push((index, fate)));
    /// assert_eq!(late, [(1, Fate::Late)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn ingest_batch_with(
        &mut self,
        records: &[DecodedRecord<'_>],
        not_aggregated: impl FnMut(usize, Fate),
    ) -> Fates {
        self.stream.ingest_batch(&mut self.slots, records, not_aggregated)
    }

    /// Applies records with their payloads, in order: decodes them and continues as
    /// [`ingest_batch`](Self::ingest_batch).
    pub fn ingest_payloads<'r>(&mut self, records: impl IntoIterator<Item = Record<'r>>) -> Fates {
        self.ingest_payloads_with(records, |_, _| {})
    }

    /// The same, and calls `not_aggregated` as [`ingest_batch_with`](Self::ingest_batch_with) does; the index counts
    /// the records from 0.
    pub fn ingest_payloads_with<'r>(
        &mut self,
        records: impl IntoIterator<Item = Record<'r>>,
        not_aggregated: impl FnMut(usize, Fate),
    ) -> Fates {
        self.stream.ingest_payloads(&mut self.slots, records, not_aggregated)
    }
}

impl<S: ResultSink> StreamState<S> {
    pub(super) fn ingest_batch(
        &mut self,
        keys: &mut impl Keys,
        records: &[DecodedRecord<'_>],
        mut not_aggregated: impl FnMut(usize, Fate),
    ) -> Fates {
        let before = *self.progress.fates();
        self.apply_batch(keys, records, &mut not_aggregated);
        self.progress.fates().since(&before)
    }

    pub(super) fn ingest_payloads<'r>(
        &mut self,
        keys: &mut impl Keys,
        records: impl IntoIterator<Item = Record<'r>>,
        mut not_aggregated: impl FnMut(usize, Fate),
    ) -> Fates {
        const NONE: DecodedRecord<'_> = DecodedRecord {
            position: Position::new(0),
            arrived: 0,
            key: b"",
            at: 0,
            value: Number::U64(0),
            source: "",
        };
        let before = *self.progress.fates();
        // The records of a batch are consecutive: one that cannot be part of it ends it.
        let (mut batch, mut filled, mut first) = ([NONE; BATCH], 0, 0);
        for record in records {
            let decoded = wire::decode_texts(record.payload, self.settings.max_payload_bytes);
            let of_batch = decoded.as_ref().ok().and_then(|sample| of_batch(&record, sample, &self.plan));
            if let Some(record) = of_batch {
                batch[filled] = record;
                filled += 1;
                if filled < BATCH {
                    continue;
                }
            }
            self.apply_batch(keys, &batch[..filled], &mut |index, fate| not_aggregated(first + index, fate));
            first += filled;
            filled = 0;
            if of_batch.is_none() {
                let fate = self.apply_decoded(keys, &record, decoded);
                if fate != Fate::Aggregated {
                    not_aggregated(first, fate);
                }
                first += 1;
            }
        }
        self.apply_batch(keys, &batch[..filled], &mut |index, fate| not_aggregated(first + index, fate));
        self.progress.fates().since(&before)
    }

    fn apply_batch(
        &mut self,
        keys: &mut impl Keys,
        records: &[DecodedRecord<'_>],
        not_aggregated: &mut impl FnMut(usize, Fate),
    ) {
        for (batch, records) in records.chunks(BATCH).enumerate() {
            let mut slots = [UNKNOWN; BATCH];
            let slots = &mut slots[..records.len()];
            keys.slots().look_ahead(records.iter().map(|record| record.key), slots);
            let mut not_aggregated = |index: usize, fate: Fate| not_aggregated(batch * BATCH + index, fate);
            match self.plain_end(keys.slots(), records, slots) {
                Some(end) => {
                    self.progress.apply_run(end);
                    self.apply_columns(keys.slots_mut(), records, slots, &mut not_aggregated);
                }
                None => self.apply_one_by_one(keys, records, slots, &mut not_aggregated),
            }
        }
    }

    fn apply_one_by_one(
        &mut self,
        keys: &mut impl Keys,
        records: &[DecodedRecord<'_>],
        slots: &[u32],
        not_aggregated: &mut impl FnMut(usize, Fate),
    ) {
        for (index, (record, &slot)) in records.iter().zip(slots).enumerate() {
            let fate = match self.progress.advance_to(record.position) {
                // The slot may have gone to another object since the look-up, or the object got one.
                true => {
                    let slot = (slot != UNKNOWN).then_some(slot as usize);
                    let slot = slot.filter(|&slot| keys.slots().key(slot) == record.key);
                    let slot = slot.or_else(|| keys.slots().find(record.key));
                    self.classify_and_apply(keys, record, slot)
                }
                false => Fate::Duplicate,
            };
            self.count(keys, fate);
            if fate != Fate::Aggregated {
                not_aggregated(index, fate);
            }
        }
    }

    /// The newest position and timestamp, if the fast path can take every record: new, in an open window, of the right
    /// type, with a valid key, and none of them makes a window due.
    fn plain_end(&self, keys: &Slots, records: &[DecodedRecord<'_>], slots: &[u32]) -> Option<(Position, u64)> {
        if !self.columns.have_plain_values() || self.closing.is_some() {
            return None;
        }
        let mut run = self.progress.run()?;
        for (record, &slot) in records.iter().zip(slots) {
            let is_plain = run.add(record)
                && self.columns.is_plain(record.value)
                // A known key was checked when it became known.
                && (slot != UNKNOWN || keys.check(record.key).is_ok());
            if !is_plain {
                return None;
            }
        }
        run.end()
    }

    fn apply_columns(
        &mut self,
        keys: &mut Slots,
        records: &[DecodedRecord<'_>],
        slots: &[u32],
        not_aggregated: &mut impl FnMut(usize, Fate),
    ) {
        let mut updates = [Update { slot: 0, at: 0, value: Number::U64(0) }; BATCH];
        let mut known = 0;
        for (index, (record, &slot)) in records.iter().zip(slots).enumerate() {
            let slot = if slot == UNKNOWN { keys.find_or_insert(record.key) } else { Some(slot as usize) };
            match slot {
                Some(slot) => {
                    updates[known] = Update { slot: slot as u32, at: record.at, value: record.value };
                    known += 1;
                }
                None => not_aggregated(index, Fate::OverLimit),
            }
        }
        let updates = &updates[..known];
        self.columns.update_all(updates);
        self.objects.touch_all(&self.plan, updates);
        self.progress.count(Fate::Aggregated, known as u64);
        self.progress.count(Fate::OverLimit, (records.len() - known) as u64);
    }
}

/// The record as a part of a batch; `None` if the name of its source is needed and owned, because it has escapes.
fn of_batch<'r>(record: &Record<'r>, sample: &WireSample<'r>, plan: &Plan) -> Option<DecodedRecord<'r>> {
    let (keeps_source, value) = (plan.keeps_sources(), plan.value_of(sample).ok()?);
    let &Record { position, arrived, key, .. } = record;
    let source = match &sample.source {
        Some(Cow::Borrowed(source)) if keeps_source => *source,
        Some(Cow::Owned(_)) if keeps_source => return None,
        _ => "",
    };
    Some(DecodedRecord { position, arrived, key, at: sample.timestamp, value, source })
}
